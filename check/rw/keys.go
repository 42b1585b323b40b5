package rw

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/weak"
)

// KeyOrder is what a system claims of single keys, beside an isolation level that does not
// claim it.
type KeyOrder uint8

// The orders of keys.
const (
	// KeysFree: nothing.
	KeysFree KeyOrder = iota
	// KeysSequential: what one session sees of a key is never older than before.
	KeysSequential
	// KeysLinearizable: what anybody sees of a key is never older than what somebody had
	// seen who had returned before.
	KeysLinearizable
)

// relation says that one version of a key is older than another, because of two
// transactions that saw them one after the other, or of one that read the older one and
// wrote the newer.
type relation struct {
	older, newer  version
	first, second txn
}

// Cyclic are versions of a key of which each is older than the next, and the last older than
// the first, by what pairs of transactions saw one after the other.
type Cyclic struct {
	Key int32
	// Writers of the versions, and for each the transactions that saw it and then the
	// next one.
	Writers []weak.Txn
	Seen    [][2]weak.Txn
}

// glimpse is what a transaction saw of a key, first and last.
type glimpse struct {
	by          txn
	first, last version
}

// order finds what the claimed order of the keys says, and where it contradicts itself.
func (p *problem) order() {
	if p.keyOrder == KeysFree {
		return
	}
	seen := make([][]glimpse, p.keys)
	for t := range txn(p.n) {
		for _, r := range p.readsOf(t) {
			seen[r.key] = append(seen[r.key], glimpse{t, r.version, r.version})
		}
		for _, w := range p.writesOf(t) {
			if n := len(seen[w.key]); n > 0 && seen[w.key][n-1].by == t {
				seen[w.key][n-1].last = w.version
				continue
			}
			seen[w.key] = append(seen[w.key], glimpse{t, w.version, w.version})
		}
	}
	for k, list := range seen {
		var relations []relation
		relate := func(a, b glimpse) {
			if a.last != b.first {
				relations = append(relations, relation{a.last, b.first, a.by, b.by})
			}
		}
		for _, g := range list {
			if g.first != g.last {
				relations = append(relations, relation{g.first, g.last, g.by, g.by})
			}
		}
		p.inSessions(list, relate)
		if p.keyOrder == KeysLinearizable && p.call != nil {
			p.inKeyTime(list, relate)
		}
		if cycle := p.cyclic(int32(k), relations); cycle != nil {
			p.cycles = append(p.cycles, *cycle)
			continue
		}
		p.relations = append(p.relations, relations...)
	}
}

// inSessions calls f with what one session saw of a key one after the other. The list is in
// the order of the sessions.
func (p *problem) inSessions(list []glimpse, f func(a, b glimpse)) {
	last := -1
	for i, g := range list {
		if last >= 0 && p.session[list[last].by] == p.session[g.by] {
			f(list[last], g)
		}
		if p.ret == nil || p.ret[g.by] != graph.Never {
			last = i
		}
	}
}

// inKeyTime calls f with those of which one had returned before the other was called, as
// far as they do not follow from others.
func (p *problem) inKeyTime(list []glimpse, f func(a, b glimpse)) {
	byCall := slices.Clone(list)
	slices.SortStableFunc(byCall, func(a, b glimpse) int {
		return cmp.Compare(p.call[a.by], p.call[b.by])
	})
	earliest := make([]int64, len(list)+1)
	earliest[len(list)] = graph.Never
	for i := len(list) - 1; i >= 0; i-- {
		earliest[i] = min(earliest[i+1], p.ret[byCall[i].by])
	}
	for _, g := range list {
		at, _ := slices.BinarySearchFunc(byCall, p.ret[g.by], func(o glimpse, ret int64) int {
			if p.call[o.by] <= ret {
				return -1
			}
			return 1
		})
		for limit := earliest[at]; at < len(list) && p.call[byCall[at].by] <= limit; at++ {
			f(g, byCall[at])
		}
	}
}

// cyclic returns a cycle of the relations of a key, nil if there is none. The initial
// version is older than all others.
func (p *problem) cyclic(key int32, relations []relation) *Cyclic {
	into := make(map[version][]relation)
	wait := make(map[version]int)
	for _, r := range relations {
		if p.initial(r.newer) {
			return &Cyclic{
				Key: p.keyName[key], Writers: []weak.Txn{p.nameOf(p.writer[r.older]), weak.Initial},
				Seen: [][2]weak.Txn{{p.name[r.first], p.name[r.second]}},
			}
		}
		into[r.newer] = append(into[r.newer], r)
		wait[r.older]++
	}
	var free []version // nothing left is newer than these
	for v := p.first[key]; v < p.first[key+1]; v++ {
		if wait[v] == 0 {
			free = append(free, v)
		}
	}
	gone := make(map[version]bool)
	for len(free) > 0 {
		v := free[len(free)-1]
		free = free[:len(free)-1]
		gone[v] = true
		for _, r := range into[v] {
			if wait[r.older]--; wait[r.older] == 0 {
				free = append(free, r.older)
			}
		}
	}
	next := make(map[version]relation) // to one that is on a cycle or leads to one
	for _, r := range relations {
		if !gone[r.older] && !gone[r.newer] {
			next[r.older] = r
		}
	}
	for _, r := range relations {
		if !gone[r.older] {
			return p.around(key, r.older, next)
		}
	}
	return nil
}

// around follows relations until a version comes again.
func (p *problem) around(key int32, v version, next map[version]relation) *Cyclic {
	met := make(map[version]bool)
	for !met[v] {
		met[v] = true
		v = next[v].newer
	}
	c := &Cyclic{Key: p.keyName[key]}
	for from := v; ; {
		r := next[v]
		c.Writers = append(c.Writers, p.nameOf(p.writer[v]))
		c.Seen = append(c.Seen, [2]weak.Txn{p.name[r.first], p.name[r.second]})
		if v = r.newer; v == from {
			return c
		}
	}
}
