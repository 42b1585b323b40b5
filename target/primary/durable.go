package primary

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
)

// record is one entry of the write-ahead log: the view joined, how much was known
// to be committed, and, if Prev or Entries say something, that the log goes on
// behind entry Prev with these entries and ends with them.
type record struct {
	_       struct{} `cbor:",toarray"`
	View    View
	Commit  uint64
	Prev    uint64
	Entries []entry
}

// checkpoint is the whole durable state: the view, the store as of an entry, and
// the log around it.
type checkpoint struct {
	_        struct{} `cbor:",toarray"`
	Version  int
	View     View
	Base     uint64
	BaseView View
	// Commit and CommitView are the entry that Store is the state of.
	Commit     uint64
	CommitView View
	Store      []byte
	Log        []entry
}

const checkpointVersion = 1

// persist appends a record to what must be durable before the next message.
func (m *Machine) persist(r record) {
	r.Commit = m.commit
	b, err := cbor.Marshal(r)
	if err != nil {
		panic("primary: encode record: " + err.Error()) // the types above all encode
	}
	m.out.Records = append(m.out.Records, b)
}

// write puts entries behind entry prev into the log, as its end, and makes them
// durable in records of bounded size.
func (m *Machine) write(prev uint64, es []entry) {
	m.log.put(prev+1, es)
	m.record(prev, es)
}

func (m *Machine) record(prev uint64, es []entry) {
	for len(es) > 0 {
		n := fits(es)
		m.persist(record{View: m.view, Prev: prev, Entries: es[:n]})
		prev, es = prev+uint64(n), es[n:]
	}
}

// replace makes the log end with these entries behind prev, up to which it is right
// already. What is there and the same stays as it is.
func (m *Machine) replace(prev uint64, es []entry) {
	for len(es) > 0 && prev < m.log.last() && m.log.viewAt(prev+1) == es[0].View {
		prev, es = prev+1, es[1:]
	}
	if len(es) > 0 {
		m.write(prev, es)
	}
}

// compact makes a checkpoint when one is due. It covers every record of the same
// Ready, which are dropped.
func (m *Machine) compact() {
	if !m.checkpointDue && m.commit < m.snap.index.Seq+m.checkpointEvery {
		return
	}
	m.checkpointDue = false
	if at := (end{View: m.log.viewAt(m.commit), Seq: m.commit}); at.Seq > m.snap.index.Seq {
		m.snap = newSnapshot(at, m.storeAt(m.commit).Encode())
	}
	if m.commit > m.keep {
		m.log.cut(min(m.commit-m.keep, m.pinned()))
	}
	b, err := cbor.Marshal(checkpoint{
		Version: checkpointVersion, View: m.view, Base: m.log.base, BaseView: m.log.baseView,
		Commit: m.snap.index.Seq, CommitView: m.snap.index.View, Store: m.snap.data,
		Log: m.log.list,
	})
	if err != nil {
		panic("primary: encode checkpoint: " + err.Error()) // the types above all encode
	}
	m.out.Checkpoint, m.out.Records = b, nil
}

// storeAt is the store as of an entry that is committed: ours, or one made from the
// last snapshot when ours is ahead.
func (m *Machine) storeAt(seq uint64) *kv.Store {
	if m.applied == seq {
		return m.store
	}
	s, err := kv.Decode(m.snap.data, m.bugs, nil)
	if err != nil {
		panic("primary: decode our own snapshot: " + err.Error())
	}
	for k := m.snap.index.Seq + 1; k <= seq; k++ {
		s.Apply(k, m.log.at(k).Command)
	}
	return s
}

// rollBack makes undone what was applied without being committed. Only a primary
// that acknowledges alone gets ahead, and only until it is primary no longer.
func (m *Machine) rollBack() {
	if m.applied > m.commit {
		m.store = m.storeAt(m.commit)
		m.applied = m.commit
	}
}

// restore reads what the node had made durable.
func (m *Machine) restore(b []byte, records [][]byte) error {
	if b != nil {
		if err := m.restoreCheckpoint(b); err != nil {
			return fmt.Errorf("restore checkpoint: %w", err)
		}
	}
	mark := m.commit
	for i, r := range records {
		if err := m.replay(r, &mark); err != nil {
			return fmt.Errorf("restore record %d: %w", i, err)
		}
	}
	if m.bugs.Has(bug.PBTruncateToCommitMark) {
		// Planted: what is not known to be committed is thrown away, as if nobody
		// had counted on it.
		m.log.list = m.log.list[:mark-m.log.base]
		m.record(m.log.base, m.log.list)
	}
	m.commitTo(mark)
	return nil
}

// maxGap bounds how far behind the end of the log a record may go on.
const maxGap = 100_000

// replay applies a record that was durable, and notes how much it knew to be
// committed.
func (m *Machine) replay(b []byte, mark *uint64) error {
	var r record
	if err := m.codec.mode.Unmarshal(b, &r); err != nil {
		return err
	}
	m.view = max(m.view, r.View)
	if len(r.Entries) > 0 {
		if r.Prev < m.log.base || r.Prev > m.log.last()+maxGap {
			return fmt.Errorf("entries behind %d are out of place", r.Prev)
		}
		m.log.put(r.Prev+1, r.Entries)
	}
	*mark = min(max(*mark, r.Commit), m.log.last())
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
	store, err := kv.Decode(c.Store, m.bugs, nil)
	if err != nil {
		return err
	}
	m.log = entries{base: c.Base, baseView: c.BaseView, list: c.Log}
	if c.Base > c.Commit || c.Commit > m.log.last() || store.Applied() > c.Commit ||
		c.Base > 1<<60 {
		return errors.New("indexes contradict each other")
	}
	m.view, m.store, m.commit, m.applied = c.View, store, c.Commit, c.Commit
	m.snap = newSnapshot(end{View: c.CommitView, Seq: c.Commit}, c.Store)
	return nil
}
