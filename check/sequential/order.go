package sequential

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// chainGraph has the edges by the chain from which they go.
type chainGraph struct {
	edges []edge
	start []int32 // of each chain, and the end
}

func newChainGraph(edges []edge, chains int) chainGraph {
	g := chainGraph{edges: slices.Clone(edges), start: make([]int32, chains+1)}
	slices.SortStableFunc(g.edges, func(a, b edge) int { return cmp.Compare(a.from, b.from) })
	for _, e := range g.edges {
		g.start[e.from+1]++
	}
	for c := range chains {
		g.start[c+1] += g.start[c]
	}
	return g
}

func (g *chainGraph) from(c int32) []edge { return g.edges[g.start[c]:g.start[c+1]] }

// numbers is a heap of numbers, the least on top.
type numbers []int32

func (h numbers) Len() int           { return len(h) }
func (h numbers) Less(i, j int) bool { return h[i] < h[j] }
func (h numbers) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *numbers) Push(x any)        { *h = append(*h, x.(int32)) }
func (h *numbers) Pop() any {
	x := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return x
}

// sort orders the chains, of those that may come next always the one whose write came
// first in the history: chains are numbered so. It returns the cycle if there is one.
func (d *decider) sort() ([]int32, *Conflict) {
	g := newChainGraph(d.edges, d.chains)
	waits := make([]int32, d.chains) // for so many edges
	for _, e := range g.edges {
		waits[e.to]++
	}
	var ready numbers
	for c := int32(1); int(c) < d.chains; c++ {
		if waits[c] == 0 {
			ready = append(ready, c) // sorted, so a heap
		}
	}
	var order []int32
	next := int32(0) // what was there at first comes first: no edge goes there
	for {
		order = append(order, next)
		for _, e := range g.from(next) {
			if waits[e.to]--; waits[e.to] == 0 {
				heap.Push(&ready, e.to)
			}
		}
		if len(ready) == 0 {
			break
		}
		next = heap.Pop(&ready).(int32)
	}
	if len(order) == d.chains {
		return order, nil
	}
	return nil, d.cycle(waits)
}

// flatten puts the operations of chains in this order one after another.
func (d *decider) flatten(sequence []int32) []int {
	position := make([]int32, d.chains)
	for at, c := range sequence {
		position[c] = int32(at)
	}
	var order []int
	for i, in := range d.in {
		if in {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(position[d.chain[d.ops[a].Value]], position[d.chain[d.ops[b].Value]]),
			cmp.Compare(d.rank(int32(a)), d.rank(int32(b))))
	})
	return order
}

// refusals puts what was refused into a legal order, each as early as its process
// allows and the register does not hold what it must not. That is the best for those
// that come after it. It reports whether all fit.
func (d *decider) refusals(order []int) ([]int, bool) {
	if !slices.ContainsFunc(d.ops, func(o Op) bool { return o.Kind == Refused }) {
		return order, true
	}
	// Gap n is before the operation at position n. A value is there from gap first to
	// gap last.
	position := make([]int, len(d.ops))
	first, last := make([]int, len(d.maker)), make([]int, len(d.maker))
	for v := range first {
		first[v], last[v] = 1, 0
	}
	state := Nil
	first[Nil] = 0
	for at, i := range order {
		position[i] = at
		last[state] = at
		if d.ops[i].makes() {
			state = d.ops[i].Value
			first[state] = at + 1
		}
		last[state] = at + 1
	}
	gaps := make([][]int, len(order)+1)
	earliest := make(map[history.Process]int)
	for i := range d.ops {
		op := &d.ops[i]
		gap := earliest[op.Process]
		switch {
		case op.Kind == Refused:
			if first[op.Old] <= gap && gap <= last[op.Old] {
				gap = last[op.Old] + 1
			}
			if gap > len(order) {
				return nil, false
			}
			gaps[gap] = append(gaps[gap], i)
			earliest[op.Process] = gap
		case !d.in[i]:
		case position[i] < gap:
			return nil, false
		case !op.Crashed:
			earliest[op.Process] = position[i] + 1
		}
	}
	var all []int
	for gap, list := range gaps {
		all = append(all, list...)
		if gap < len(order) {
			all = append(all, order[gap])
		}
	}
	return all, true
}
