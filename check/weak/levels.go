package weak

import "slices"

// Check decides one level: the shortest cycle that contradicts it, nil if it holds. Reads
// that are wrong by themselves are not its matter. With sessions, what a session did
// first came before what it did next; Causal always has that. The error is a
// *TooManyError.
func (x *Index) Check(l Level, sessions bool) (*Violation, error) {
	g := graph{x: x, sessions: sessions || l == Causal, extra: &edges{}}
	order, done := g.sort()
	if len(order) < len(done) {
		return g.shortest(done), nil
	}
	switch l {
	case ReadCommitted:
		return nil, nil
	case MonotonicAtomicView:
		x.monotonic(g.extra)
	case ReadAtomic:
		x.atomic(g.extra, sessions)
	case Causal:
		if err := x.causal(order, g.extra); err != nil {
			return nil, err
		}
	}
	if len(g.extra.unborn) > 0 {
		return g.unborn(), nil
	}
	g.extra.seal(len(x.txn))
	if order, done = g.sort(); len(order) < len(done) {
		return g.shortest(done), nil
	}
	return nil, nil
}

// wrote reports whether a node wrote a key.
func (x *Index) wrote(i node, key int32) bool {
	_, found := slices.BinarySearch(x.writes[x.writeAt[i]:x.writeAt[i+1]], key)
	return found
}

// mark is something about a key in a transaction; it means nothing if of is another.
type mark struct {
	of   int32
	from node
}

// monotonic applies the rule of monotonic atomic view: a read of key that comes after
// one of t2, which wrote key, makes t2 earlier than what it read. Only the next read of
// the key matters: the one after it has that one's source before it.
func (x *Index) monotonic(e *edges) {
	marks := make([]mark, x.h.keys)
	seen := make([]int32, len(x.txn)) // the reader, plus one, that saw a node
	var later []int32
	var first []bool
	for i := range node(len(x.txn)) {
		reads := x.reads[x.readAt[i]:x.readAt[i+1]]
		if len(reads) < 2 {
			continue
		}
		first = first[:0]
		for _, r := range reads {
			isFirst := r.from != initial && seen[r.from] != i+1
			if isFirst {
				seen[r.from] = i + 1
			}
			first = append(first, isFirst)
		}
		later = later[:0] // the keys that are read after the place, backwards
		for at := len(reads) - 1; at >= 0; at-- {
			r := reads[at]
			if first[at] {
				x.overwritten(e, i, r.from, later, marks)
			}
			if m := &marks[r.key]; m.of != i+1 {
				later = append(later, r.key)
			} else if m.from != r.from && r.from != initial && !first[at] {
				e.add(extra{from: r.from, to: m.from, via: i, key: r.key})
			}
			marks[r.key] = mark{of: i + 1, from: r.from}
		}
	}
}

// overwritten adds the edges from t2, which i has seen, to what i read of the keys that
// t2 wrote: keys are those that were read, marks from whom.
func (x *Index) overwritten(e *edges, i, t2 node, keys []int32, marks []mark) {
	writes := x.writes[x.writeAt[t2]:x.writeAt[t2+1]]
	if len(writes) <= 4*len(keys) {
		for _, key := range writes {
			if m := marks[key]; m.of == i+1 && m.from != t2 {
				e.add(extra{from: t2, to: m.from, via: i, key: key})
			}
		}
		return
	}
	for _, key := range keys {
		if m := marks[key]; m.from != t2 && x.wrote(t2, key) {
			e.add(extra{from: t2, to: m.from, via: i, key: key})
		}
	}
}

// atomic applies the rule of read atomic: a read of key by a transaction that saw t2
// anywhere, or comes after it in its session, makes t2 earlier than what it read, if t2
// wrote key.
func (x *Index) atomic(e *edges, sessions bool) {
	marks := make([]mark, x.h.keys)
	last := make([]mark, x.h.keys) // the last writer of a key in the session
	seen := make([]int32, len(x.txn))
	var keys []int32
	for i := range node(len(x.txn)) {
		reads := x.reads[x.readAt[i]:x.readAt[i+1]]
		keys = keys[:0]
		for _, r := range reads {
			m := &marks[r.key]
			if m.of != i+1 {
				keys = append(keys, r.key)
				*m = mark{of: i + 1, from: r.from}
			} else if m.from != r.from { // two versions: either is older than the other
				x.both(e, i, m.from, r)
			}
		}
		for _, r := range reads {
			if r.from != initial && seen[r.from] != i+1 {
				seen[r.from] = i + 1
				x.overwritten(e, i, r.from, keys, marks)
			}
		}
		if !sessions {
			continue
		}
		s := x.session[i] + 1
		for _, key := range keys {
			if l := last[key]; l.of == s && l.from != marks[key].from {
				e.add(extra{from: l.from, to: marks[key].from, via: i, key: key})
			}
		}
		for _, key := range x.writes[x.writeAt[i]:x.writeAt[i+1]] {
			last[key] = mark{of: s, from: i}
		}
	}
}

// both adds the edges between two versions of a key that one transaction read.
func (x *Index) both(e *edges, i, first node, r external) {
	if first != initial {
		e.add(extra{from: first, to: r.from, via: i, key: r.key})
	}
	if r.from != initial {
		e.add(extra{from: r.from, to: first, via: i, key: r.key})
	}
}
