package txn

import (
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// Of lists that contradict each other the longest is taken for the one that stayed, and
// whatever it does not have for what came later: shorter ones may be of writes that were
// undone, which rules out read committed, but not read uncommitted. If several are as long,
// any of them may have stayed. The graph has the order of one. Where that has a circle of
// writes, the others are tried.

// lasting bounds the dependencies that are looked at while orders are tried.
const lasting = 1 << 24

// undone looks whether another choice of lists has no circle of writes. Then there is none.
func (c *columns) undone(g *graph.Graph, found *graph.Report) {
	g0 := graph.Class{Base: graph.G0}
	for _, t := range []Type{Unexpected, DuplicateElements, Torn} {
		if c.found.counts[t] > 0 {
			return
		}
	}
	if c.found.counts[IncompatibleOrder] == 0 || found.Counts[g0] == 0 {
		return
	}
	status := c.choose(g)
	if status == graph.Refuted {
		return
	}
	found.Lattice[graph.ReadUncommitted] = status
	delete(found.Counts, g0)
	found.Cycles = slices.DeleteFunc(found.Cycles, func(y graph.Cycle) bool { return y.Class == g0 })
}

// choose looks for a list of each key so that the writes have an order.
func (c *columns) choose(g *graph.Graph) graph.Status {
	var doubtful [][][]graph.Edge // by key and list
	keys := make(map[uint32]bool)
	for key := range uint32(len(c.names)) {
		if lists := c.equals(key); len(lists) > 1 {
			keys[key] = true
			doubtful = append(doubtful, c.writes(key, lists))
		}
	}
	var certain []graph.Edge
	for t := range graph.Txn(g.Txns()) {
		g.EachFrom(t, func(e graph.Edge) {
			if e.Kind != graph.WW {
				return
			}
			if key, _ := c.phrase.version(e); !keys[key] {
				certain = append(certain, e)
			}
		})
	}
	left := lasting
	var try func(edges []graph.Edge, keys [][][]graph.Edge) graph.Status
	try = func(edges []graph.Edge, keys [][][]graph.Edge) graph.Status {
		left -= g.Txns() + len(edges)
		if !haveOrder(g.Txns(), edges) {
			return graph.Refuted
		}
		if len(keys) == 0 {
			return graph.Holds
		}
		for _, list := range keys[0] {
			if left < 0 {
				return graph.Undecided
			}
			if s := try(slices.Concat(edges, list), keys[1:]); s != graph.Refuted {
				return s
			}
		}
		return graph.Refuted
	}
	return try(certain, doubtful)
}

// haveOrder reports whether writes are in no circle.
func haveOrder(txns int, writes []graph.Edge) bool {
	b := graph.NewBuilder(txns, len(writes))
	for _, e := range writes {
		b.Add(e.Kind, e.From, e.To, e.Cause)
	}
	_, ok := b.Build(graph.Times{}).Order(graph.ReadUncommitted)
	return ok
}

// equals returns the longest lists of a key if they are several that contradict each other.
func (c *columns) equals(key uint32) [][]elem {
	lists := [][]elem{c.longest[key]}
	for _, r := range c.readsOf(key) {
		if r.odd && len(r.list) == len(lists[0]) && !slices.ContainsFunc(lists, func(l []elem) bool {
			return slices.Equal(l, r.list)
		}) {
			lists = append(lists, r.list)
		}
	}
	return lists
}

// writes returns the order of a key's writes by each of the lists: what a list does not
// have comes behind it.
func (c *columns) writes(key uint32, lists [][]elem) [][]graph.Edge {
	var x index
	if c.index(&x, key) != nil {
		return nil // it was good the first time
	}
	var orders [][]graph.Edge
	for _, list := range lists {
		var edges []graph.Edge
		last := graph.Txn(-1)
		next := func(row uint32) (t graph.Txn) {
			t = graph.Txn(c.appends[row].txn)
			if last >= 0 && last != t {
				edges = append(edges, graph.Edge{From: last, To: t, Kind: graph.WW})
			}
			return t
		}
		has := make(map[uint32]bool)
		for _, e := range list {
			if row := x.row(e); c.outcome[c.appends[row].txn].effective() {
				has[row], last = true, next(row)
			}
		}
		for i, a := range c.appendsOf(key) {
			if row := c.appendStart[key] + uint32(i); !has[row] && c.outcome[a.txn].effective() {
				next(row)
			}
		}
		orders = append(orders, edges)
	}
	return orders
}
