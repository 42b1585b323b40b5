package txn

import (
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// The cause of an edge is the place of a version in the order of all keys, or, with this
// bit, the row of an append that is in no list.
const unobserved = 1 << 31

// dependencies makes the graph.
func (c *columns) dependencies() *graph.Graph {
	b := graph.NewBuilder(len(c.ops), 2*len(c.order)+len(c.reads)+len(c.ops))
	k := keyEdges{c: c, b: b, t: c.times()}
	for key := range uint32(len(c.names)) {
		k.of(key)
	}
	g := b.Build(k.t)
	c.stats.Edges = g.Edges()
	return g
}

// times are those of the graph. Of what crashed or failed nobody knows an end.
func (c *columns) times() graph.Times {
	n := len(c.ops)
	t := graph.Times{Call: make([]int64, n), Return: make([]int64, n), Session: make([]int32, n)}
	sessions := newSessionNumbers()
	for i := range c.ops {
		op := &c.ops[i]
		t.Call[i], t.Return[i] = int64(op.Call), graph.Never
		if c.outcome[i] == committed {
			t.Return[i] = max(int64(op.Return), int64(op.Call))
		}
		t.Session[i] = sessions.number(op.Key, op.Process)
	}
	return t
}

// keyEdges adds the dependencies of one key after the other.
type keyEdges struct {
	c *columns
	b *graph.Builder
	t graph.Times

	order []uint32 // rows of the key's versions
	base  uint32   // place of the first of them
	// before are the transactions that wrote the last version up to a place, from 1,
	// and next the first place from there on that another transaction wrote.
	before []uint32
	next   []uint32
	// hidden are the rows of appends that are in no list, loose those that are in a list
	// that does not fit the order, and have no place in it.
	hidden, loose []uint32
	// readers are those of the last version.
	readers []uint32
	// acknowledged is when the key's first append was, and latest the read that was
	// called last, none if there is none.
	acknowledged int64
	latest       uint32
}

func (k *keyEdges) of(key uint32) {
	k.base = k.c.orderStart[key]
	k.order = k.c.order[k.base:k.c.orderStart[key+1]]
	k.versions()
	k.appends(key)
	k.reads(key)
	k.unobserved()
}

// writer returns the transaction, from 1, that made the version at a place, 0 if none did
// that took effect.
func (k *keyEdges) writer(place int) uint32 {
	row := k.order[place]
	if row == none {
		return 0
	}
	if t := k.c.appends[row].txn; k.c.outcome[t].effective() {
		return t + 1
	}
	return 0
}

// versions adds the order of the versions.
func (k *keyEdges) versions() {
	n := len(k.order)
	k.before = append(k.before[:0], make([]uint32, n+1)...)
	k.next = append(k.next[:0], make([]uint32, n+1)...)
	aborted := uint32(none)
	for i := range n {
		w, last := k.writer(i), k.before[i]
		k.before[i+1] = w
		switch {
		case w == 0:
			k.before[i+1] = last
			if row := k.order[i]; row != none && aborted == none {
				aborted = row
			}
			continue
		case aborted != none:
			bad, good := &k.c.appends[aborted], &k.c.appends[k.order[i]]
			k.c.found.add(DirtyUpdate, func() Anomaly { return k.c.phrase.dirty(bad, good) })
			aborted = none
		}
		if last != 0 && last != w {
			k.b.Add(graph.WW, graph.Txn(last-1), graph.Txn(w-1), k.base+uint32(i))
		}
	}
	k.next[n] = uint32(n)
	for i := n - 1; i >= 0; i-- {
		if w := k.writer(i); w == 0 || w == k.before[i] {
			k.next[i] = k.next[i+1]
		} else {
			k.next[i] = uint32(i)
		}
	}
}

// appends finds those that took effect, but have no place in the order.
func (k *keyEdges) appends(key uint32) {
	k.hidden, k.loose, k.acknowledged = k.hidden[:0], k.loose[:0], graph.Never
	rows := k.c.appendsOf(key)
	for i := range rows {
		a := &rows[i]
		k.acknowledged = min(k.acknowledged, k.t.Return[a.txn])
		row := k.c.appendStart[key] + uint32(i)
		switch {
		case a.place > 0 || !k.c.outcome[a.txn].effective():
		case a.loose:
			k.loose = append(k.loose, row)
		default:
			k.c.stats.Unobserved++
			if a.final {
				k.hidden = append(k.hidden, row)
			}
		}
	}
}

// reads adds what was read, and what was overwritten after it had been read.
func (k *keyEdges) reads(key uint32) {
	k.readers, k.latest = k.readers[:0], none
	n := len(k.order)
	var last *seen // the same transaction reading the same again adds nothing
	updates := map[int]uint32(nil)
	reads := k.c.readsOf(key)
	for i := range reads {
		r := &reads[i]
		call := k.t.Call[r.txn]
		if k.latest == none || call > k.t.Call[k.latest] {
			k.latest = r.txn
		}
		if k.acknowledged < call {
			k.c.stats.Binding++
		}
		if r.odd {
			continue
		}
		at := len(r.list)
		for at > 0 && k.before[at] == r.txn+1 && k.writer(at-1) == r.txn+1 {
			at-- // its own
		}
		if r.update {
			if updates == nil {
				updates = make(map[int]uint32)
			}
			if first, ok := updates[at]; ok {
				k.c.found.add(LostUpdate, func() Anomaly {
					return k.c.phrase.lostUpdate(key, at, first, r.txn)
				})
			} else {
				updates[at] = r.txn
			}
		}
		if last != nil && last.txn == r.txn && len(last.list) == len(r.list) {
			continue
		}
		last = r
		if w := k.before[at]; at > 0 && w != 0 && k.writer(at-1) != 0 && w != r.txn+1 {
			k.b.Add(graph.WR, graph.Txn(w-1), graph.Txn(r.txn), k.base+uint32(at)-1)
		}
		next := int(k.next[at])
		if next == n {
			k.readers = append(k.readers, r.txn)
		} else if w := k.writer(next); w != r.txn+1 {
			k.b.Add(graph.RW, graph.Txn(r.txn), graph.Txn(w-1), k.base+uint32(next))
		}
	}
}

// pairsMax bounds the edges from those who read the last version to what came after it in
// no list, both of which may be many in a system that lost what it acknowledged.
const pairsMax = 1 << 20

// unobserved adds the appends that are in no list, or not in the longest, behind those
// that are.
func (k *keyEdges) unobserved() {
	last := k.before[len(k.order)]
	for _, row := range k.loose {
		if last != 0 {
			k.b.Add(graph.WW, graph.Txn(last-1), graph.Txn(k.c.appends[row].txn), row|unobserved)
		}
	}
	if len(k.hidden) > 1 {
		k.c.hidden = append(k.c.hidden, slices.Clone(k.hidden))
	}
	readers := k.readers
	if len(k.hidden)*len(readers) > pairsMax {
		k.c.partial = true
		readers = readers[:max(1, pairsMax/len(k.hidden))]
	}
	for _, row := range k.hidden {
		a := &k.c.appends[row]
		if last != 0 {
			k.b.Add(graph.WW, graph.Txn(last-1), graph.Txn(a.txn), row|unobserved)
		}
		for _, t := range readers {
			k.b.Add(graph.RW, graph.Txn(t), graph.Txn(a.txn), row|unobserved)
		}
		if k.latest != none && k.t.Return[a.txn] < k.t.Call[k.latest] {
			k.c.found.add(Lost, func() Anomaly { return k.c.phrase.lost(a, k.latest) })
		}
	}
}
