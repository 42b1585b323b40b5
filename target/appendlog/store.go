package appendlog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Series is all elements that one node has made in one life.
type Series struct {
	_     struct{} `cbor:",toarray"`
	Node  protocol.NodeID
	Epoch protocol.Epoch
}

// Compare orders series by node, then epoch.
func (s Series) Compare(o Series) int {
	return cmp.Or(cmp.Compare(s.Node, o.Node), cmp.Compare(s.Epoch, o.Epoch))
}

// ID is the identity of an element: its series and its number there, from 1.
type ID struct {
	_      struct{} `cbor:",toarray"`
	Series Series
	Seq    uint64
}

// String returns "node.epoch.number".
func (i ID) String() string {
	return fmt.Sprintf("%s.%d.%d", i.Series.Node, i.Series.Epoch, i.Seq)
}

// Element is one thing that was added. It never changes.
type Element struct {
	_  struct{} `cbor:",toarray"`
	ID ID
	// Time is logical: greater than that of everything which the appending node
	// and its client had seen.
	Time        uint64
	Object, Key string // to what it was added
	Value       string // compact JSON
}

// String returns "value@id".
func (e Element) String() string { return e.Value + "@" + e.ID.String() }

// before is the order in which elements are shown: by logical time, and by
// identity where that is equal. It is the same at all nodes; an element that
// arrives late may still come in between.
func (e Element) before(o Element) int {
	return cmp.Or(cmp.Compare(e.Time, o.Time), e.ID.Series.Compare(o.ID.Series),
		cmp.Compare(e.ID.Seq, o.ID.Seq))
}

// name is an object's kind and key.
type name struct{ object, key string }

// store is the elements that a node holds.
type store struct {
	elements map[ID]Element
	names    map[name][]ID
	held     map[Series]ranges // the numbers of elements, by series
	clock    uint64            // the greatest logical time of an element
}

func newStore() *store {
	return &store{
		elements: map[ID]Element{}, names: map[name][]ID{}, held: map[Series]ranges{},
	}
}

// add takes an element in, unless it is held already; it reports whether it was
// new.
func (s *store) add(e Element) bool {
	if s.held[e.ID.Series].has(e.ID.Seq) {
		return false
	}
	s.held[e.ID.Series] = s.held[e.ID.Series].with(e.ID.Seq)
	s.put(e)
	return true
}

func (s *store) put(e Element) {
	n := name{e.Object, e.Key}
	s.elements[e.ID] = e
	s.names[n] = append(s.names[n], e.ID)
	s.clock = max(s.clock, e.Time)
}

// forget drops an element but not the knowledge that it was held. Only planted
// bugs do that.
func (s *store) forget(id ID) {
	e, ok := s.elements[id]
	if !ok {
		return
	}
	delete(s.elements, id)
	n := name{e.Object, e.Key}
	s.names[n] = slices.DeleteFunc(s.names[n], func(i ID) bool { return i == id })
}

// all lists the elements in the order in which they are shown.
func (s *store) all() []Element {
	out := make([]Element, 0, len(s.elements))
	for _, e := range s.elements {
		out = append(out, e)
	}
	slices.SortFunc(out, Element.before)
	return out
}

// show is an object as a JSON list. In a set equal values are one.
func (s *store) show(object, key string) string {
	ids := s.names[name{object, key}]
	es := make([]Element, 0, len(ids))
	for _, id := range ids {
		es = append(es, s.elements[id])
	}
	slices.SortFunc(es, Element.before)
	seen := map[string]bool{}
	var b strings.Builder
	b.WriteByte('[')
	for _, e := range es {
		if object == "set" && seen[e.Value] {
			continue
		}
		seen[e.Value] = true
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(e.Value)
	}
	b.WriteByte(']')
	return b.String()
}

// total counts the elements held.
func (s *store) total() uint64 {
	n := uint64(0)
	for _, r := range s.held {
		n += r.count()
	}
	return n
}

// of lists what is held of the series that a node has begun, in their order.
func (s *store) of(node protocol.NodeID) []holding {
	var hs []holding
	for series, r := range s.held {
		if series.Node == node {
			hs = append(hs, holding{Series: series, Ranges: r})
		}
	}
	slices.SortFunc(hs, func(a, b holding) int { return a.Series.Compare(b.Series) })
	return hs
}
