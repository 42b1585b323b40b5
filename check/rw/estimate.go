package rw

import (
	"cmp"
	"math"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// estimate guesses when transactions committed. A version has to be there at the latest
// when the first of its writer and its readers returns, its deadline; it is needed until
// the last of them is called, its need. If the deadline comes first, no other version can
// be in between; else it may be overwritten at once, and the earlier it comes the better.
type estimate struct {
	deadline, need []int64
}

func (p *problem) estimate() estimate {
	e := estimate{deadline: slices.Clone(p.ret), need: slices.Clone(p.call)}
	if p.call == nil {
		e.deadline, e.need = p.positions(), p.positions()
	}
	latest := make([]txn, p.n)
	for i := range latest {
		latest[i] = txn(i)
	}
	slices.SortFunc(latest, func(a, b txn) int { return cmp.Compare(e.deadline[b], e.deadline[a]) })
	for range 2 { // readers mostly return later than their writers: once would nearly do
		for _, t := range latest {
			for _, r := range p.readsOf(t) {
				if w := p.writer[r.version]; w != nobody {
					e.deadline[w] = min(e.deadline[w], e.deadline[t])
				}
			}
		}
	}
	for t := range txn(p.n) {
		call := e.need[t]
		if p.call != nil {
			call = p.call[t]
		}
		for _, r := range p.readsOf(t) {
			if w := p.writer[r.version]; w != nobody {
				e.need[w] = max(e.need[w], call)
			}
		}
	}
	return e
}

// zones are when each version is seen: lo is the first return of its writer and readers, hi
// the last of their calls. If the lo of one comes before the hi of another it is the older
// one: somebody was done with it before somebody else began with the other.
type zones struct {
	lo, hi []int64
	// uninstalled are the versions of each key by their lo, from next[key] on those that
	// may not have been installed.
	uninstalled []version
	next        []version
}

func (p *problem) zones() *zones {
	z := &zones{
		lo: make([]int64, len(p.writer)), hi: make([]int64, len(p.writer)),
		uninstalled: make([]version, len(p.writer)), next: make([]version, p.keys),
	}
	for v := range version(len(p.writer)) {
		z.uninstalled[v] = v
		z.lo[v], z.hi[v] = graph.Never, math.MinInt64
		seen := func(t txn) {
			z.lo[v], z.hi[v] = min(z.lo[v], p.ret[t]), max(z.hi[v], p.call[t])
		}
		if !p.initial(v) {
			seen(p.writer[v])
		}
		for _, r := range p.readersOf(v) {
			seen(r)
		}
	}
	for k := range p.keys {
		z.next[k] = p.first[k] + 1 // the initial version is there
		slices.SortFunc(z.uninstalled[z.next[k]:p.first[k+1]], func(v, w version) int {
			return cmp.Compare(z.lo[v], z.lo[w])
		})
	}
	return z
}

// positions stand for times where there are none: the place in an order of reads and
// sessions, taken in turn.
func (p *problem) positions() []int64 {
	wait := make([]int32, p.n)
	follow := make([][]txn, p.n)
	for t := range txn(p.n) {
		add := func(from txn) {
			if from != nobody {
				follow[from] = append(follow[from], t)
				wait[t]++
			}
		}
		add(p.before(t))
		for _, r := range p.readsOf(t) {
			add(p.writer[r.version])
		}
	}
	at := make([]int64, p.n)
	for t := range at {
		at[t] = graph.Never
	}
	var queue []txn
	for t := range txn(p.n) {
		if wait[t] == 0 {
			queue = append(queue, t)
		}
	}
	for head := 0; head < len(queue); head++ {
		t := queue[head]
		at[t] = int64(head)
		for _, next := range follow[t] {
			if wait[next]--; wait[next] == 0 {
				queue = append(queue, next)
			}
		}
	}
	return at
}

// press ranks the transactions by their estimated commits alone.
func (p *problem) press() []int32 {
	e := p.estimate()
	list := all(p.n)
	slices.SortFunc(list, func(t, u txn) int {
		return cmp.Or(cmp.Compare(min(e.deadline[t], e.need[t]), min(e.deadline[u], e.need[u])),
			cmp.Compare(t, u))
	})
	rank := make([]int32, p.n)
	for i, t := range list {
		rank[t] = int32(i)
	}
	return rank
}

// ranks orders the transactions by how much time presses: those that only read come
// first, because they stand in the way of others and nobody waits for them.
func (p *problem) ranks(press func(t txn) int64) []int32 {
	list := make([]txn, p.n)
	for i := range list {
		list[i] = txn(i)
	}
	slices.SortFunc(list, func(a, b txn) int {
		return cmp.Or(
			cmp.Compare(min(1, len(p.writesOf(a))), min(1, len(p.writesOf(b)))),
			cmp.Compare(press(a), press(b)), cmp.Compare(a, b))
	})
	rank := make([]int32, p.n)
	for i, t := range list {
		rank[t] = int32(i)
	}
	return rank
}

// heap of transactions, the one of the lowest rank first.
type heap struct {
	rank []int32
	list []txn
}

func (h *heap) push(t txn) {
	h.list = append(h.list, t)
	for i := len(h.list) - 1; i > 0; {
		up := (i - 1) / 2
		if h.rank[h.list[up]] <= h.rank[h.list[i]] {
			return
		}
		h.list[up], h.list[i] = h.list[i], h.list[up]
		i = up
	}
}

func (h *heap) pop() txn {
	top, last := h.list[0], len(h.list)-1
	h.list[0] = h.list[last]
	h.list = h.list[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return top
		}
		if down+1 < last && h.rank[h.list[down+1]] < h.rank[h.list[down]] {
			down++
		}
		if h.rank[h.list[i]] <= h.rank[h.list[down]] {
			return top
		}
		h.list[i], h.list[down] = h.list[down], h.list[i]
		i = down
	}
}
