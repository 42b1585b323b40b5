package txn

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// findings are the anomalies, counted, and the first few of each type.
type findings struct {
	keep      int
	counts    map[Type]int
	anomalies []Anomaly
}

func newFindings(keep int) findings {
	return findings{keep: keep, counts: make(map[Type]int)}
}

// add counts an anomaly, and has it told if there are not enough of its type yet.
func (f *findings) add(t Type, tell func() Anomaly) {
	f.counts[t]++
	if f.counts[t] <= f.keep {
		a := tell()
		a.Type = t
		f.anomalies = append(f.anomalies, a)
	}
}

// report puts together what was found by looking at single lists and in the graph.
func (c *columns) report(g *graph.Graph, found graph.Report) *Report {
	c.undone(g, &found)
	r := &Report{Lattice: found.Lattice, Stats: c.stats, Counts: c.found.counts}
	c.refute(&r.Lattice)
	if c.partial {
		r.Lattice.Doubt(graph.MonotonicAtomicView)
	}
	c.settle(g, found.Components, &r.Lattice)
	if r.Lattice[graph.MonotonicAtomicView] == graph.Undecided {
		c.fractures()
		r.Lattice.Settle(graph.ReadAtomic)
		c.refute(&r.Lattice)
	}
	for class, n := range found.Counts {
		r.Counts[Type(class.String())] = n
	}
	r.Anomalies = c.found.anomalies
	for _, cycle := range found.Cycles {
		r.Anomalies = append(r.Anomalies, c.phrase.cycle(cycle))
	}
	types := Types()
	slices.SortStableFunc(r.Anomalies, func(a, b Anomaly) int {
		return cmp.Or(cmp.Compare(slices.Index(types, a.Type), slices.Index(types, b.Type)),
			cmp.Compare(len(a.Cycle), len(b.Cycle)))
	})
	return r
}

// refute takes what was found so far to the levels.
func (c *columns) refute(l *graph.Lattice) {
	for t := range c.found.counts {
		for _, weakest := range t.Refutes() {
			l.Refute(weakest)
		}
	}
}
