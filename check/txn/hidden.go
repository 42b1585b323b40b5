package txn

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// Several elements of one list that nobody read are in some order, which nobody knows. Where
// they are in different strongly connected components, these order them, and no cycle comes
// of it. But of two transactions on one cycle that append to one list, one has to have the
// other in its snapshot, and that could make another cycle either way. So a few ways are
// tried: the orders that a certificate without them, or time, gives them.

// settle doubts the levels that hold only as long as nothing is said about that order.
func (c *columns) settle(g *graph.Graph, components [][]graph.Txn, l *graph.Lattice) {
	groups := c.entangled(components)
	if len(groups) == 0 {
		return
	}
	for _, try := range []struct{ level, by graph.Level }{
		{graph.StrongSnapshotIsolation, graph.StrongSnapshotIsolation},
		{graph.StrongSessionSnapshotIsolation, graph.StrongSessionSnapshotIsolation},
		{graph.SnapshotIsolation, graph.SnapshotIsolation},
		{graph.Causal, graph.ReadCommitted},
	} {
		implied := slices.ContainsFunc(graph.Levels(), func(s graph.Level) bool {
			return s != try.level && s.Implies(try.level) && l[s] == graph.Holds
		})
		if l[try.level] == graph.Holds && !implied && !c.orderable(g, groups, try.level, try.by) {
			l.Doubt(try.level)
		}
	}
}

// entangled returns the rows, two or more, of appends to one list that nobody read, of
// transactions in one component.
func (c *columns) entangled(components [][]graph.Txn) [][]uint32 {
	component := make(map[uint32]int)
	for i, list := range components {
		for _, t := range list {
			component[uint32(t)] = i
		}
	}
	var groups [][]uint32
	for _, rows := range c.hidden {
		parts := make(map[int][]uint32)
		for _, row := range rows {
			if i, ok := component[c.appends[row].txn]; ok {
				parts[i] = append(parts[i], row)
			}
		}
		for _, part := range parts {
			if len(part) > 1 {
				groups = append(groups, part)
			}
		}
	}
	return groups
}

// orderable reports whether a level holds with one of the orders that are tried.
func (c *columns) orderable(
	g *graph.Graph, groups [][]uint32, level, by graph.Level,
) bool {
	order, _ := g.Order(by)
	commit, snapshot := make([]int, len(c.ops)), make([]int, len(c.ops))
	for i, e := range order {
		if e.Commits() {
			commit[e.Txn()] = i
		} else {
			snapshot[e.Txn()] = i
		}
	}
	for _, at := range []func(t uint32) int{
		func(t uint32) int { return commit[t] },
		func(t uint32) int { return snapshot[t] },
		func(t uint32) int { return int(c.ops[t].Call) },
		func(t uint32) int { return int(c.ops[t].Return) },
	} {
		found := g.With(c.guess(groups, at)).Analyze(graph.Options{})
		if found.Lattice[level] == graph.Holds {
			return true
		}
	}
	return false
}

// guess orders the rows of each group.
func (c *columns) guess(groups [][]uint32, at func(txn uint32) int) []graph.Edge {
	var edges []graph.Edge
	for _, rows := range groups {
		slices.SortFunc(rows, func(a, b uint32) int {
			x, y := c.appends[a].txn, c.appends[b].txn
			return cmp.Or(cmp.Compare(at(x), at(y)), cmp.Compare(x, y))
		})
		for i := 1; i < len(rows); i++ {
			edges = append(edges, graph.Edge{
				From: graph.Txn(c.appends[rows[i-1]].txn), To: graph.Txn(c.appends[rows[i]].txn),
				Kind: graph.WW, Cause: rows[i] | unobserved,
			})
		}
	}
	return edges
}
