package paxos

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
)

// checkpoint is the whole durable state: the promise, the store as of a slot,
// and the log that is kept around it, votes above it included.
type checkpoint struct {
	_        struct{} `cbor:",toarray"`
	Version  int
	Promised Ballot
	Base     uint64
	Commit   uint64
	Store    []byte
	Log      []vote
}

const checkpointVersion = 1

// Compact sets how many slots are applied between two checkpoints, and how many
// applied slots a checkpoint leaves in the log. Small numbers are for tests of what
// is built on the log.
func (m *Machine) Compact(every, kept uint64) { m.checkpointEvery, m.keep = every, kept }

// compact makes a checkpoint when one is due. It covers every record of the
// same Ready, which are dropped.
func (m *Machine) compact() {
	// A log without room takes nothing more, so nothing else would ever make it due.
	full := m.commit > m.snap.index && m.commit >= m.log.base+m.ahead
	if !m.checkpointDue && !full && m.commit < m.snap.index+m.checkpointEvery {
		return
	}
	m.checkpointDue = false
	data := m.store.Encode()
	m.snap = &snapshot{index: m.commit, data: data, sum: crc32.Checksum(data, castagnoli)}
	if m.commit > m.keep {
		pin := m.pinnedIndex(m.now)
		if m.commit > m.maxPinned() {
			pin = max(pin, m.commit-m.maxPinned())
		}
		m.log.cut(min(m.commit-m.keep, pin))
	}
	if m.bugs.Has(bug.MPAppliedIndexNotAtomic) && m.planted.flushed != nil {
		data = m.planted.flushed // planted: as of another slot than the index
	}
	c := checkpoint{
		Version: checkpointVersion, Promised: m.promised,
		Base: m.log.base, Commit: m.commit, Store: data,
	}
	for k := m.log.base + 1; k <= m.log.last(); k++ {
		if e := m.log.at(k); e.known() {
			c.Log = append(c.Log, vote{Slot: k, Ballot: e.vote, Chosen: e.chosen, Command: e.cmd})
		}
	}
	b, err := cbor.Marshal(c)
	if err != nil {
		panic("paxos: encode checkpoint: " + err.Error()) // the types above all encode
	}
	m.out.Checkpoint, m.out.Records = b, nil
}

// restore reads what the node had made durable.
func (m *Machine) restore(b []byte, records [][]byte) error {
	if b != nil {
		if err := m.restoreCheckpoint(b); err != nil {
			return fmt.Errorf("restore checkpoint: %w", err)
		}
	}
	for i, r := range records {
		if err := m.replay(r); err != nil {
			return fmt.Errorf("restore record %d: %w", i, err)
		}
	}
	m.maxRound = m.promised.Round
	return nil
}

func (m *Machine) restoreCheckpoint(b []byte) error {
	var c checkpoint
	if err := m.codec.mode.Unmarshal(b, &c); err != nil {
		return err
	}
	if c.Version != checkpointVersion {
		return fmt.Errorf("version %d, want %d", c.Version, checkpointVersion)
	}
	store, err := kv.Decode(c.Store, m.bugs, m.ext)
	if err != nil {
		return err
	}
	applied := store.Applied()
	if m.bugs.Has(bug.MPAppliedIndexNotAtomic) {
		applied = c.Commit
	}
	if c.Base > c.Commit || c.Commit > applied {
		return errors.New("indexes contradict each other")
	}
	m.promised, m.store = c.Promised, store
	m.log.base, m.commit, m.applied = c.Base, c.Commit, applied
	for _, v := range c.Log {
		if v.Slot <= c.Base || v.Slot > c.Base+2*m.ahead {
			return fmt.Errorf("slot %d is out of place", v.Slot)
		}
		*m.log.grow(v.Slot) = slotState{
			vote: v.Ballot, chosen: v.Chosen, cmd: v.Command,
			applied: v.Chosen && v.Slot <= m.applied,
		}
	}
	m.snap = &snapshot{
		index: c.Commit, data: c.Store, sum: crc32.Checksum(c.Store, castagnoli),
	}
	return nil
}
