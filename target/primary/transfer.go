package primary

import (
	"hash/crc32"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// A copy that lacks entries which the primary has forgotten fetches its state, in
// parts, one at a time and not in a hurry. Until it has all of it, and what was
// logged since, it says about its log what it said before, and counts for nothing.

const (
	// keepEntries is how many committed entries a checkpoint leaves in the log, for
	// copies that lag a little; checkpointEntries how many are committed between
	// two.
	keepEntries       = 200
	checkpointEntries = 300
	// partBytes bounds a part; leastParts is into how many the state is divided, so
	// that fetching it takes a while, however small it is.
	partBytes  = 16_000
	leastParts = 8
	// partEvery is the least time between two parts to the same copy, partAgain the
	// time after which one is sent again.
	partEvery = 20 * ms
	partAgain = 80 * ms
	// pinFor is how long a state that was sent from is kept, and with it the log
	// above it; maxPinned how many entries that may be.
	pinFor    = 1000 * ms
	maxPinned = 20_000
	// maxParts bounds what a copy is ready to collect.
	maxParts = 1 << 14
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshot is an encoded store, as of an entry.
type snapshot struct {
	index end
	data  []byte
	sum   uint32
}

func newSnapshot(index end, data []byte) *snapshot {
	return &snapshot{index: index, data: data, sum: crc32.Checksum(data, castagnoli)}
}

func (s *snapshot) partSize() int {
	return min(partBytes, (len(s.data)+leastParts-1)/leastParts)
}

func (s *snapshot) parts() int { return (len(s.data) + s.partSize() - 1) / s.partSize() }

// incoming is a snapshot that is being received.
type incoming struct {
	index end
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

// have tells how much of a state a copy has received.
type have struct {
	_ struct{} `cbor:",toarray"`
	// Seq and Sum identify the state, Part is the first one missing.
	Seq  uint64
	Sum  uint32
	Part int
}

func (m *Machine) have() have {
	if m.incoming == nil {
		return have{}
	}
	return have{Seq: m.incoming.index.Seq, Sum: m.incoming.sum, Part: m.incoming.missing()}
}

// stateTransfer is what a primary knows of one copy that needs the state.
type stateTransfer struct {
	from *snapshot
	have have
	// sent is the part that was sent last, and sentAt when.
	sent   int
	sentAt protocol.Time
}

// sendState sends a copy that needs it the next part of the state.
func (m *Machine) sendState(to int) {
	p := &m.lead.peers[to]
	t := &p.state
	if p.next > m.log.base {
		t.from = nil
		return
	}
	if m.now-p.contact >= lively || m.now-t.sentAt < partEvery {
		return
	}
	if t.from == nil || t.from.index.Seq < m.log.base {
		t.from, t.sent = m.snap, -1
	}
	part := 0
	if t.have.Seq == t.from.index.Seq && t.have.Sum == t.from.sum {
		part = t.have.Part
	}
	if part == t.sent && m.now-t.sentAt < partAgain || part >= t.from.parts() {
		return
	}
	t.sent, t.sentAt = part, m.now
	size := t.from.partSize()
	m.send(to, kindStatePart, statePart{
		View: m.view, Index: t.from.index, Sum: t.from.sum,
		Parts: t.from.parts(), Part: part,
		Data: t.from.data[part*size : min((part+1)*size, len(t.from.data))],
	})
}

// pinned is the entry above which the log is kept for the sake of copies that are
// fetching the state as of it.
func (m *Machine) pinned() uint64 {
	pin := m.snap.index.Seq
	if m.role != leading {
		return pin
	}
	for _, p := range m.lead.peers {
		if from := p.state.from; from != nil && m.now-p.contact < pinFor {
			if from.index.Seq+maxPinned > m.commit {
				pin = min(pin, from.index.Seq)
			}
		}
	}
	return pin
}

func (m *Machine) onStatePart(from int, s *statePart) {
	if s.View < m.view || !m.obey(from, s.View) {
		return
	}
	if s.Index.Seq <= max(m.commit, m.matched) && !m.holey() || s.Index.Seq <= m.commit ||
		s.Parts < 1 || s.Parts > maxParts || s.Part < 0 || s.Part >= s.Parts {
		return
	}
	in := m.incoming
	if in == nil || in.index != s.Index || in.sum != s.Sum || len(in.parts) != s.Parts {
		in = &incoming{index: s.Index, sum: s.Sum, parts: make([][]byte, s.Parts)}
		m.incoming = in
	}
	in.parts[s.Part] = s.Data
	if in.missing() == len(in.parts) {
		m.install(in)
	}
	m.send(from, kindLogged, logged{
		View: s.View, Matched: m.matched, Want: m.wanted(), State: m.have(),
	})
}

// install puts the state that was fetched into the place of ours, and forgets the
// log up to it. What we have above it stays if it goes on from there: it may be
// committed, and another primary may have to take it over from us.
func (m *Machine) install(in *incoming) {
	m.incoming = nil
	var data []byte
	for _, p := range in.parts {
		data = append(data, p...)
	}
	if crc32.Checksum(data, castagnoli) != in.sum {
		return
	}
	store, err := kv.Decode(data, m.bugs, nil)
	if err != nil || store.Applied() > in.index.Seq {
		return
	}
	goesOn := m.log.viewAt(in.index.Seq) == in.index.View && m.log.last() >= in.index.Seq
	if goesOn || m.holey() {
		m.log.cut(min(in.index.Seq, m.log.last()))
	}
	if m.log.base != in.index.Seq {
		m.log = entries{base: in.index.Seq}
	}
	m.log.baseView = in.index.View
	m.store = store
	m.commit, m.applied = in.index.Seq, in.index.Seq
	m.matched = max(m.matched, in.index.Seq)
	m.snap = &snapshot{index: in.index, data: data, sum: in.sum}
	m.misled = misled{}
	m.checkpointDue = true // before anything leaves that reveals the state
	m.answerLocal()
}
