package rw

import (
	"context"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// Pruning ends with a cycle. Each of its arcs that is not certain by itself was forced,
// because the other order of two versions would have closed a cycle of earlier arcs; so
// the transactions of all these cycles are all that a contradiction needs.

// proof collects them.
type proof struct {
	*pruned
	needed map[txn]bool
	nets   map[int]*net // by the number of arcs
	done   map[int32]bool
	owed   []int32 // arcs that need a reason
}

// proven returns the part that a cycle in what was pruned needs, or all if that shows none by
// itself.
func (p *problem) proven(ctx context.Context, s *pruned) *source {
	f := proof{pruned: s, needed: make(map[txn]bool), nets: make(map[int]*net),
		done: make(map[int32]bool)}
	f.cycles()
	for len(f.owed) > 0 && ctx.Err() == nil {
		i := f.owed[len(f.owed)-1]
		f.owed = f.owed[:len(f.owed)-1]
		f.reason(i)
	}
	if len(f.needed) == p.n {
		return &p.source
	}
	small := p.source.only(slices.Sorted(maps.Keys(f.needed)))
	q := newProblem(small)
	if len(q.lost)+len(q.cycles) > 0 {
		return small
	}
	arcs, _ := q.certain()
	d := s.net.demand
	if t, ok := q.prune(ctx, d, arcs, d.nodeRanks(q.guesses()[0])); ok && t.cycle {
		return small
	}
	return &p.source
}

// cycles begins with the cycle itself: for consistent view, one rw and the way back.
func (f *proof) cycles() {
	g := f.net
	if len(f.order) == g.nodes {
		place := make([]int32, g.nodes)
		for i, u := range f.order {
			place[u] = int32(i)
		}
		for i, a := range f.arcs {
			if a.kind != graph.RW || place[a.to] > place[a.from] {
				continue
			}
			if way, ok := g.way(a.to, a.from); ok {
				f.use(g, way)
				f.need(int32(i))
				return
			}
		}
		return
	}
	u := f.onCycle()
	var best []int32
	for e, from := range g.from {
		if from != u {
			continue
		}
		if way, ok := g.way(g.to[e], u); ok && (best == nil || len(way)+1 < len(best)) {
			best = append(way, int32(e))
		}
	}
	f.use(g, best)
}

// onCycle returns a node on a cycle: whoever goes back from one that has no place in the
// order, to others like that, comes to one twice.
func (f *proof) onCycle() int32 {
	g := f.net
	placed, before := make([]bool, g.nodes), make([]int32, g.nodes)
	for _, u := range f.order {
		placed[u] = true
	}
	for e, v := range g.to {
		if !placed[g.from[e]] {
			before[v] = g.from[e]
		}
	}
	u := int32(slices.Index(placed, false))
	for range g.nodes {
		u = before[u]
	}
	return u
}

// use adds the arcs of a way, places in g.
func (f *proof) use(g *net, way []int32) {
	for _, e := range way {
		for _, u := range []int32{g.from[e], g.to[e]} {
			if g.split {
				u /= 2
			}
			f.needed[u] = true
		}
		if i := g.cause[e]; i >= 0 {
			f.need(i)
		}
	}
}

// need adds an arc, and who wrote the versions that it is about.
func (f *proof) need(i int32) {
	if f.done[i] {
		return
	}
	f.done[i] = true
	a := &f.arcs[i]
	f.needed[a.from], f.needed[a.to] = true, true
	f.versions(a.older, a.newer)
	if a.rule == OtherwiseCycle {
		f.owed = append(f.owed, i)
	}
}

func (f *proof) versions(list ...version) {
	for _, v := range list {
		if w := f.net.writer[v]; w != nobody {
			f.needed[w] = true
		}
	}
}

// reason adds the shortest of the cycles that the other order of two versions would close.
func (f *proof) reason(i int32) {
	at, found := slices.BinarySearch(f.rounds, int(i))
	if !found {
		at--
	}
	known := f.rounds[at]
	g := f.nets[known]
	if g == nil {
		g = f.net.problem.net(f.net.demand, f.arcs[:known])
		f.nets[known] = g
	}
	newer, older := f.arcs[i].older, f.arcs[i].newer // the other way round
	to := g.writer[newer]
	var best []int32
	reader := nobody
	try := func(k graph.Kind, from txn) {
		u, v := g.ends(k, from, to)
		if way, ok := g.way(v, u); ok && (best == nil || len(way) < len(best)) {
			best, reader = way, from
		}
	}
	try(graph.WW, g.writer[older])
	for _, r := range g.readersOf(older) {
		if r != to {
			try(graph.RW, r)
		}
	}
	f.use(g, best)
	if reader != nobody {
		f.needed[reader] = true
	}
}

// way returns a shortest way from one node to another, as places of arcs; none if they are
// the same.
func (g *net) way(from, to int32) ([]int32, bool) {
	if g.out == nil {
		g.out = make([][]int32, g.nodes)
		for e, u := range g.from {
			g.out[u] = append(g.out[u], int32(e))
		}
	}
	by := make([]int32, g.nodes) // the arc by which a node was reached, plus one
	by[from] = -1
	for queue := []int32{from}; len(queue) > 0; queue = queue[1:] {
		u := queue[0]
		if u == to {
			var way []int32
			for u != from {
				e := by[u] - 1
				way = append(way, e)
				u = g.from[e]
			}
			return way, true
		}
		for _, e := range g.out[u] {
			if v := g.to[e]; by[v] == 0 {
				by[v] = e + 1
				queue = append(queue, v)
			}
		}
	}
	return nil, false
}
