package txn

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// Several elements of one list that nobody read are in some order, which nobody knows. A
// serial order of the other dependencies orders them, too, so that serializability does
// not depend on it. But of two transactions that append to one list one has to have the
// other in its snapshot, and that could make a cycle either way. So one way is tried: the
// order that a certificate without them gives them.

// settle doubts the levels that hold only as long as nothing is said about that order.
func (c *columns) settle(g *graph.Graph, l *graph.Lattice) {
	if len(c.hidden) == 0 {
		return
	}
	guesses := []struct{ level, by graph.Level }{
		{graph.StrongSnapshotIsolation, graph.StrongSnapshotIsolation},
		{graph.StrongSessionSnapshotIsolation, graph.StrongSessionSnapshotIsolation},
		{graph.SnapshotIsolation, graph.SnapshotIsolation},
		{graph.Causal, graph.ReadCommitted},
	}
	for _, guess := range guesses {
		implied := slices.ContainsFunc(graph.Levels(), func(s graph.Level) bool {
			return s != guess.level && s.Implies(guess.level) && l[s] == graph.Holds
		})
		if l[guess.level] != graph.Holds || implied {
			continue
		}
		order, _ := g.Order(guess.by)
		found := g.With(c.guess(order)).Analyze(graph.Options{})
		if found.Lattice[guess.level] != graph.Holds {
			l.Doubt(guess.level)
		}
	}
}

// guess orders the appends that are in no list by the commits of their transactions.
func (c *columns) guess(order []graph.Event) []graph.Edge {
	at := make([]int, len(c.ops))
	for i, e := range order {
		if e.Commits() {
			at[e.Txn()] = i
		}
	}
	var edges []graph.Edge
	for _, rows := range c.hidden {
		rows = slices.SortedFunc(slices.Values(rows), func(a, b uint32) int {
			return cmp.Compare(at[c.appends[a].txn], at[c.appends[b].txn])
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
