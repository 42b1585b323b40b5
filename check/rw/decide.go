package rw

import (
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// verdict is what solve found out.
type verdict struct {
	result outcome
	method Method
	// order is the certificate of what was found, but for consistent view, and part what
	// is impossible.
	order []graph.Event
	part  *source
}

// guesses are what the scheduler goes by, one attempt after the other.
func (p *problem) guesses() [][]int32 {
	e := p.estimate()
	return [][]int32{
		p.ranks(func(t txn) int64 { return min(e.deadline[t], e.need[t]) }),
		p.ranks(func(t txn) int64 { return e.deadline[t] }),
		p.ranks(func(t txn) int64 { return e.need[t] }),
	}
}

// solve decides whether a problem satisfies a demand. Arcs are what is certain, whole says
// that none is missing.
func (a *analysis) solve(p *problem, d demand, arcs []arc, whole bool) verdict {
	if len(p.lost)+len(p.cycles) > 0 {
		return verdict{result: impossible, method: Shown, part: &p.source}
	}
	ranks := a.ranks
	if p != a.p || ranks == nil {
		ranks = p.guesses()
	}
	if p == a.p {
		a.ranks = ranks
	}
	if v := a.guess(p, d, arcs, ranks); v.result != gaveUp || a.ctx.Err() != nil {
		return v
	}
	if p.n > windowTxns {
		if v := a.windows(p, d, ranks[0]); v.result != gaveUp || a.ctx.Err() != nil {
			return v
		}
	}
	return a.search(p, d, arcs, whole, ranks[0])
}

// guess tries the orders that the ranks suggest.
func (a *analysis) guess(p *problem, d demand, arcs []arc, ranks [][]int32) verdict {
	for _, rank := range ranks {
		if a.ctx.Err() != nil {
			break
		}
		if d.single {
			if a.consistent(p, arcs, rank) {
				return verdict{result: found, method: Scheduled}
			}
			continue
		}
		if order, ok := p.schedule(d, rank); ok {
			return p.verified(d, order, Scheduled)
		}
	}
	return verdict{method: Unsolved}
}

// verified looks at an order once more before it counts.
func (p *problem) verified(d demand, order []graph.Event, m Method) verdict {
	if err := p.replay(d, order); err != nil {
		panic(fmt.Sprintf("rw: an order by %s is none: %v", m, err))
	}
	return verdict{result: found, method: m, order: order}
}

// search decides by pruning and search.
func (a *analysis) search(p *problem, d demand, arcs []arc, whole bool, rank []int32) verdict {
	s, ok := p.prune(a.ctx, d, arcs, d.nodeRanks(rank))
	switch {
	case !ok:
		return verdict{method: Unsolved}
	case s.cycle:
		return verdict{result: impossible, method: Exhausted, part: p.proven(a.ctx, s)}
	}
	z := newSolver(s)
	switch z.run(a.ctx, a.o.budget()) {
	case gaveUp:
		return verdict{method: Unsolved}
	case impossible:
		return verdict{result: impossible, method: Exhausted, part: &p.source}
	}
	if d.single {
		if !a.consistent(p, arcs, z.g.place) {
			return verdict{method: Unsolved}
		}
		return verdict{result: found, method: Solved}
	}
	order := z.events(d)
	if !whole && p.replay(d, order) != nil { // the missing dependencies were needed
		return verdict{method: Unsolved}
	}
	return p.verified(d, order, Solved)
}

// events is the order that a solver found.
func (z *solver) events(d demand) []graph.Event {
	var order []graph.Event
	for _, u := range z.g.order() {
		e := graph.Event(u)
		if !d.split {
			e = graph.CommitOf(graph.Txn(u))
		}
		order = append(order, e)
	}
	return order
}

// windows decides a large problem with the help of its parts: what they force, and, where
// the scheduler gets stuck all the same, what a search would do there. What refutes a part
// refutes the whole.
func (a *analysis) windows(p *problem, d demand, rank []int32) verdict {
	press := p.press()
	turns, bad := p.turns(a.ctx, d, press)
	if bad != nil {
		return verdict{result: impossible, method: Exhausted, part: bad}
	}
	for best := -1; !d.single && a.ctx.Err() == nil; {
		order, ok := p.schedule(d, rank, turns...)
		if ok {
			return p.verified(d, order, Scheduled)
		}
		if len(order) <= best {
			break
		}
		best = len(order)
		more, part := a.unstick(p, d, order, press)
		if part != nil {
			return verdict{result: impossible, method: Exhausted, part: part}
		}
		turns = append(turns, more...)
	}
	return verdict{method: Unsolved}
}

// unstick searches that part of a problem in which the scheduler got stuck, and returns
// the turns of what it finds there, or the part if there is nothing to find.
func (a *analysis) unstick(
	p *problem, d demand, order []graph.Event, press []int32,
) (turns []turn, bad *source) {
	done := make([]bool, p.n)
	for _, e := range order {
		done[e.Txn()] = done[e.Txn()] || e.Commits()
	}
	list := byPress(press)
	stuck := slices.IndexFunc(list, func(t txn) bool { return !done[t] })
	from := max(0, min(stuck-windowTxns/2, len(list)-windowTxns))
	keep := p.window(list[from : from+windowTxns])
	part := newProblem(p.source.only(keep))
	arcs, whole := part.certain()
	v := a.search(part, d, arcs, whole, part.guesses()[0])
	switch v.result {
	case impossible:
		return nil, v.part
	case gaveUp:
		return nil, nil
	}
	// Near the edges the part does not see what binds it: only its middle counts.
	middle := func(t txn) bool {
		at := int(press[keep[t]]) - from
		return at > windowTxns/4 && at < windowTxns*3/4
	}
	last := make([]txn, part.keys) // writer of the latest version, plus one
	for _, e := range v.order {
		if !e.Commits() {
			continue
		}
		t := txn(e.Txn())
		for _, w := range part.writesOf(t) {
			if before := last[w.key]; before > 0 && middle(before-1) && middle(t) {
				turns = append(turns, turn{keep[before-1], keep[t]})
			}
			last[w.key] = t + 1
		}
	}
	return turns, nil
}

// nodeRanks makes ranks of nodes from those of transactions.
func (d demand) nodeRanks(rank []int32) []int32 {
	if !d.split {
		return rank
	}
	nodes := make([]int32, 0, 2*len(rank))
	for _, r := range rank {
		nodes = append(nodes, 2*r, 2*r+1)
	}
	return nodes
}
