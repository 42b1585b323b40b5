package appendlog

import (
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// batchBytes is about how many bytes of elements go into one message, so that
	// it fits a datagram.
	batchBytes = 45_000
	// maxBatches bounds the answer to one digest.
	maxBatches = 4
	// elementBytes and holdingBytes are the most that an element takes beside its
	// key, value and object, and a holding beside its spans of spanBytes each; node
	// names have up to 64 bytes.
	elementBytes, holdingBytes, spanBytes = 160, 90, 20
)

func (e Element) size() int {
	return len(e.Object) + len(e.Key) + len(e.Value) + elementBytes
}

// transmit sends elements to a member, in as many messages as it takes.
func (m *Machine) transmit(to protocol.NodeID, es []Element) {
	size, from := 0, 0
	for i, e := range es {
		if i > from && size+e.size() > batchBytes {
			m.send(to, message{Kind: kindElements, Elements: es[from:i]})
			size, from = 0, i
		}
		size += e.size()
	}
	if from < len(es) {
		m.send(to, message{Kind: kindElements, Elements: es[from:]})
	}
}

// receive keeps what it is sent, and tells the sender what is durable here:
// also what it held already.
func (m *Machine) receive(from protocol.NodeID, es []Element) {
	got := map[Series]ranges{}
	for _, e := range es {
		m.keep(e)
		got[e.ID.Series] = got[e.ID.Series].with(e.ID.Seq)
	}
	var hs []holding
	for series, r := range got {
		hs = append(hs, holding{Series: series, Ranges: r})
	}
	slices.SortFunc(hs, func(a, b holding) int { return a.Series.Compare(b.Series) })
	m.send(from, message{Kind: kindKept, Holdings: hs})
	m.serveWaiting()
}

// tellHave sends a digest to the next member in turn: of each node's series the
// exact ranges that are held here.
func (m *Machine) tellHave() {
	others := m.others()
	if len(others) == 0 {
		return
	}
	to := others[m.turn%len(others)]
	m.turn++
	for _, node := range m.origins() {
		m.send(to, message{
			Kind: kindHave, Node: node, Holdings: m.digest(node), Total: m.store.total(),
		})
	}
}

// digest is what is held of a node's series, as much of it as fits one message,
// the oldest first. What is left out counts as missing: it is sent once more for
// nothing, after what is really missing before it.
func (m *Machine) digest(node protocol.NodeID) []holding {
	var hs []holding
	left := batchBytes
	for _, h := range m.store.of(node) {
		if m.cfg.Bugs.Has(bug.LogCountMeansPrefix) {
			// Planted bug: so many elements are taken for the first so many.
			h.Ranges = ranges{{From: 1, To: h.Ranges.count()}}
		}
		left -= holdingBytes
		if left < spanBytes {
			break
		}
		h.Ranges = h.Ranges[:min(len(h.Ranges), left/spanBytes)]
		left -= spanBytes * len(h.Ranges)
		hs = append(hs, h)
	}
	return hs
}

// origins are the nodes whose series there can be.
func (m *Machine) origins() []protocol.NodeID {
	if m.cfg.Bugs.Has(bug.LogPositionAsIdentity) {
		return append(slices.Clone(m.cfg.Members), "")
	}
	return m.cfg.Members
}

// compare sends a member what it does not hold, by its digest. What it lacks of
// elements that it has told itself is as good as an acknowledgment.
func (m *Machine) compare(from protocol.NodeID, w message) {
	theirs := map[Series]ranges{}
	for _, h := range w.Holdings {
		theirs[h.Series] = h.Ranges
	}
	if m.cfg.Bugs.Has(bug.LogNewestCopyReplaces) && w.Total > m.store.total() {
		m.replace(w.Node, theirs) // planted bug
		return
	}
	m.kept(from, w.Holdings)
	var missing []Element
	size := 0
	for _, mine := range m.store.of(w.Node) {
		for _, s := range mine.Ranges.without(theirs[mine.Series]) {
			for seq := s.From; seq <= s.To; seq++ {
				e, ok := m.store.elements[ID{Series: mine.Series, Seq: seq}]
				if !ok {
					continue
				}
				if size += e.size(); size > maxBatches*batchBytes {
					m.transmit(from, missing)
					return
				}
				missing = append(missing, e)
			}
		}
	}
	m.transmit(from, missing)
}

// replace is the planted bug log-newest-copy-replaces: the copy of whoever holds
// more elements takes the place of one's own.
func (m *Machine) replace(node protocol.NodeID, theirs map[Series]ranges) {
	changed := false
	for _, mine := range m.store.of(node) {
		for _, s := range mine.Ranges.without(theirs[mine.Series]) {
			for seq := s.From; seq <= s.To; seq++ {
				m.store.forget(ID{Series: mine.Series, Seq: seq})
				changed = true
			}
		}
		m.store.held[mine.Series] = mine.Ranges.without(mine.Ranges.without(theirs[mine.Series]))
	}
	if changed {
		m.checkpoint(m.store.all())
	}
}
