package paxos

import (
	"hash/crc32"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	partBytes = batchBytes
	// resendAfter is how long the same piece of log or snapshot is not sent
	// again to the same follower.
	resendAfter = 60 * ms
	// pinFor is how long a snapshot is kept for those who are fetching it, and
	// with it the log above it.
	pinFor = 2000 * ms
	// learnMax bounds how many slots are sent at once.
	learnMax = 1000
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshot is an encoded store.
type snapshot struct {
	index uint64
	data  []byte
	sum   uint32
}

// maxPinned is how many chosen slots a snapshot may hold in the log, however long
// somebody goes on fetching it.
func (m *Machine) maxPinned() uint64 { return m.ahead / 4 }

func (s *snapshot) parts() int { return (len(s.data) + partBytes - 1) / partBytes }

// incoming is a snapshot that is being received.
type incoming struct {
	index uint64
	sum   uint32
	parts [][]byte
}

// missing is the first part that has not arrived.
func (in *incoming) missing() int {
	for i, p := range in.parts {
		if p == nil {
			return i
		}
	}
	return len(in.parts)
}

func (m *Machine) have() have {
	h := have{Commit: m.commit}
	if m.incoming != nil {
		h.Snapshot, h.Part = m.incoming.index, m.incoming.missing()
	}
	return h
}

// beyond reports whether a node that has h has got further since it had o.
func (h have) beyond(o have) bool {
	if h.Commit != o.Commit {
		return h.Commit > o.Commit
	}
	return h.Snapshot > o.Snapshot || h.Snapshot == o.Snapshot && h.Part > o.Part
}

// catchUp sends a follower what it lacks next: chosen commands if they are
// still in the log, else a piece of a snapshot. The follower's answer asks for
// more; if it gets lost, the next heartbeat's does.
//
// Only an answer that has got further is served at once. Were each that differs, late copies
// of answers would be: each makes an answer of its own, and a network that doubles and
// reorders would turn two of them into millions within seconds.
func (m *Machine) catchUp(to int) {
	p := &m.lead.peers[to]
	h := p.have
	if !h.beyond(p.sent) && m.now-p.sentAt < resendAfter {
		return
	}
	p.sent, p.sentAt = h, m.now
	if h.Commit < m.log.base {
		m.sendSnapshot(to, h)
		return
	}
	var ps []proposal
	for k := h.Commit + 1; k <= min(m.commit, h.Commit+learnMax); k++ {
		ps = append(ps, proposal{Slot: k, Command: m.log.at(k).cmd})
	}
	for i := 1; i <= burst && len(ps) > 0; i++ {
		n := fits(ps)
		m.send(to, kindLearn, learn{Proposals: ps[:n], More: i < burst && n < len(ps)})
		ps = ps[n:]
	}
}

// onLearn takes chosen commands. They need no record: what is chosen is durable
// at a majority, and this node's votes are what they were.
func (m *Machine) onLearn(from int, l *learn) {
	if m.role == leader {
		return // a late copy; a leader's log is its own
	}
	for _, p := range l.Proposals {
		if p.Slot <= m.log.base || p.Slot > m.log.base+m.ahead {
			continue
		}
		e := m.log.grow(p.Slot)
		if !e.chosen && e.cmd != p.Command {
			e.vote = Ballot{} // what we voted for lost; it counts for nothing any more
		}
		e.cmd, e.chosen = p.Command, true
	}
	m.applyChosen()
	if !l.More {
		m.send(from, kindProgress, progress{Have: m.have()})
	}
}

func (m *Machine) onProgress(from int, p *progress) {
	if m.role != leader {
		if p.Have.Commit < m.log.base {
			m.teach(from, p.Have)
		}
		return
	}
	m.lead.peers[from].have = p.Have
	if p.Have.Commit < m.commit && m.lead.peers[from].sentAt != never {
		m.catchUp(from)
	}
}

// sendSnapshot sends the next parts of the snapshot that the follower is
// receiving, or the first ones of our latest.
func (m *Machine) sendSnapshot(to int, h have) {
	s := m.snap
	part := 0
	// The pinned one is of use while it tells something new, and while the log goes on
	// where it ends: after maxPinned slots it does not.
	if p := m.pinned; p != nil && m.now < m.pinnedTill &&
		p.index > h.Commit && p.index >= m.log.base {
		s = p
	}
	if h.Snapshot == s.index && h.Part > 0 && h.Part < s.parts() {
		part = h.Part
	}
	m.pinned, m.pinnedTill = s, m.now+pinFor
	end := min(part+burst, s.parts())
	for i := part; i < end; i++ {
		m.send(to, kindSnapshotPart, snapshotPart{
			Index: s.index, Parts: s.parts(), Part: i, Sum: s.sum, More: i < end-1,
			Data: s.data[i*partBytes : min((i+1)*partBytes, len(s.data))],
		})
	}
}

// teach sends a piece of the snapshot to a node that wants to lead and lacks what was
// compacted here. What is chosen may be told by anybody, and it has to be: the node
// that knows it may have been removed, so that it does not lead itself, and those that
// vote now may need its answer in phase 1, by the configuration that they know.
func (m *Machine) teach(to int, h have) {
	l := &m.known[to]
	if !h.beyond(l.taught) && m.now-l.taughtAt < resendAfter {
		return
	}
	l.taught, l.taughtAt = h, m.now
	m.sendSnapshot(to, h)
}

// maxParts bounds what a follower is ready to collect.
const maxParts = 1 << 14

func (m *Machine) onSnapshotPart(from int, p *snapshotPart) {
	if m.role == leader || p.Index <= m.commit || p.Parts < 1 || p.Parts > maxParts ||
		p.Part < 0 || p.Part >= p.Parts {
		return
	}
	in := m.incoming
	if in == nil || in.index != p.Index || in.sum != p.Sum || len(in.parts) != p.Parts {
		in = &incoming{index: p.Index, sum: p.Sum, parts: make([][]byte, p.Parts)}
		m.incoming = in
	}
	in.parts[p.Part] = p.Data
	if in.missing() == len(in.parts) {
		m.install(in)
	}
	if !p.More || m.incoming == nil {
		m.send(from, kindProgress, progress{Have: m.have()})
	}
}

// install replaces the state by a snapshot and the log up to it by nothing.
// Votes above it stay: they may be needed.
func (m *Machine) install(in *incoming) {
	m.incoming = nil
	var data []byte
	for _, p := range in.parts {
		data = append(data, p...)
	}
	if crc32.Checksum(data, castagnoli) != in.sum {
		return
	}
	store, err := kv.Decode(data, m.bugs, m.ext)
	if err != nil || store.Applied() < in.index {
		return
	}
	m.store = store
	m.log.cut(in.index)
	m.commit = in.index
	m.applied = max(in.index, store.Applied())
	m.snap = &snapshot{index: in.index, data: data, sum: in.sum}
	m.checkpointDue = true // before anything leaves that reveals the snapshot
	m.applyChosen()
}

// keepSlots is how many applied slots a checkpoint leaves in the log, for
// followers that lag a little; checkpointSlots how many are applied between two.
const (
	keepSlots       = 500
	checkpointSlots = 500
)

// pinnedIndex is the slot above which the log is kept for a snapshot being
// fetched, the greatest one if there is none.
func (m *Machine) pinnedIndex(now protocol.Time) uint64 {
	if m.pinned == nil || now >= m.pinnedTill {
		m.pinned = nil
		return ^uint64(0)
	}
	return m.pinned.index
}
