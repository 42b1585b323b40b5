package graph

import (
	"cmp"
	"slices"
)

// Cycle is a cycle of dependencies, each edge beginning where the one before ended and the
// last one ending where the first begins.
type Cycle struct {
	Class Class
	Edges []Edge
}

// Breaks reports whether the cycle rules a level out.
func (c Cycle) Breaks(l Level) bool {
	return slices.ContainsFunc(c.Class.Refutes(), l.Implies)
}

// Report is what Analyze found.
type Report struct {
	// Lattice has the levels. ReadAtomic and MonotonicAtomicView are undecided when
	// Causal is refuted but not ReadCommitted: edges alone do not tell.
	Lattice Lattice
	// Cycles are shortest ones of their classes and components, by class and length.
	// When the budget ended, one may be longer than it had to be.
	Cycles []Cycle
	// Counts are the strongly connected components in which a class was found.
	Counts map[Class]int
	// Components are the strongly connected components with sessions and time, those of
	// more than one transaction: no cycle is anywhere else.
	Components [][]Txn
	// Exhausted says that the budget ended: there may be classes that Cycles lacks.
	// The lattice is exact all the same, except for what it calls undecided.
	Exhausted bool
}

// Shortest returns the shortest cycle that breaks a level, of the gravest class if
// several are as short.
func (r *Report) Shortest(l Level) (Cycle, bool) {
	var best Cycle
	for _, c := range r.Cycles {
		if c.Breaks(l) && (best.Edges == nil || len(c.Edges) < len(best.Edges)) {
			best = c
		}
	}
	return best, best.Edges != nil
}

// Options bound an analysis. Zero fields have defaults.
type Options struct {
	// Budget is the number of edges that the search for the cycles of one class may
	// look at. Default: 20 million.
	Budget int
	// Keep is the greatest number of cycles of one class that are returned. Default: 4.
	Keep int
}

// Analyze decides all levels, and finds the shortest cycle of every class. Classes with
// session or time are only looked for where the same class without is absent.
func (g *Graph) Analyze(o Options) Report {
	if o.Budget <= 0 {
		o.Budget = 20_000_000
	}
	if o.Keep <= 0 {
		o.Keep = 4
	}
	a := analysis{o: o}
	a.r.Counts = map[Class]int{}
	strict, _ := StrictSerializable.rules()
	order := g.serial(strict)
	if len(order) == g.n {
		return a.r
	}
	gone := make([]bool, g.n)
	for _, t := range order {
		gone[t] = true
	}
	number := make([]int32, g.n)
	rest := g.induce(slices.DeleteFunc(allTxns(g.n), func(t Txn) bool { return gone[t] }), number)
	a.r.Components = rest.components(strict)
	core := slices.Concat(a.r.Components...)
	slices.Sort(core)
	for _, list := range a.r.Components {
		for i, t := range list {
			list[i] = rest.whole[t]
		}
	}
	a.core = rest.induce(core, make([]int32, rest.n))
	for i, t := range a.core.whole {
		a.core.whole[i] = rest.whole[t]
	}
	a.levels()
	a.found = make([]uint8, a.core.n)
	for _, by := range []Kind{WW, Process, Realtime} {
		a.family(by)
	}
	a.causal()
	a.witnesses()
	slices.SortStableFunc(a.r.Cycles, func(x, y Cycle) int {
		return cmp.Or(cmp.Compare(x.Class.By, y.Class.By), cmp.Compare(x.Class.Base, y.Class.Base),
			cmp.Compare(len(x.Edges), len(y.Edges)))
	})
	a.trim()
	return a.r
}

// analysis works on the core: the transactions that are on a cycle at all.
type analysis struct {
	o    Options
	r    Report
	core part
	// found are the bases, as bits, of which a cycle without session or time was
	// found in the component of a transaction, and with the session.
	found []uint8
	// unsure says that the search for GSingle was given up.
	unsure bool
}

// levels decides those that have rules, from the strongest down.
func (a *analysis) levels() {
	var holding []Level
	for _, l := range Levels() {
		r, ok := l.rules()
		implied := slices.ContainsFunc(holding, func(h Level) bool { return h.Implies(l) })
		if !ok || implied {
			continue
		}
		if a.core.obeys(r) {
			holding = append(holding, l)
		} else {
			a.r.Lattice.Refute(l)
		}
	}
}

func (g *Graph) obeys(r rules) bool {
	if r.split {
		return len(g.events(r)) == 2*g.n
	}
	return len(g.serial(r)) == g.n
}

// family looks for the classes by data alone, with sessions, or with time.
func (a *analysis) family(by Kind) {
	level := map[Kind]Level{
		WW: Serializable, Process: StrongSessionSerializable, Realtime: StrictSerializable,
	}[by]
	if a.r.Lattice[level] != Refuted {
		return
	}
	var bases []Base
	for b := G0; b <= G2; b++ {
		weakest := Class{b, by}.Refutes()
		refuted := func(l Level) bool { return a.r.Lattice[l] == Refuted }
		// Of GSingle the level is not decided yet, but what it implies is.
		if b == GSingle && by == WW {
			weakest = []Level{SnapshotIsolation}
		}
		if !slices.ContainsFunc(weakest, func(l Level) bool { return !refuted(l) }) {
			bases = append(bases, b)
		}
	}
	budget := make(map[Base]int)
	for _, b := range bases {
		budget[b] = a.o.Budget
	}
	rules, _ := level.rules()
	number := make([]int32, a.core.n)
	for _, list := range a.core.components(rules) {
		s := newSearch(a.core.induce(list, number), 0)
		var skip uint8
		for _, t := range list {
			skip |= a.found[t]
		}
		for _, b := range bases {
			if skip>>b&1 != 0 {
				continue
			}
			s.left, s.exhausted = budget[b], false
			if cycle := s.shortest(Class{b, by}); cycle != nil {
				a.keep(Class{b, by}, list, cycle)
			}
			budget[b] = s.left
			a.r.Exhausted = a.r.Exhausted || s.exhausted
			a.unsure = a.unsure || s.exhausted && b == GSingle && by == WW
		}
	}
}

// keep notes a cycle of a component.
func (a *analysis) keep(c Class, component []Txn, cycle []Edge) {
	for _, t := range component {
		a.found[t] |= 1 << c.Base
	}
	for i := range cycle {
		e := &cycle[i]
		e.From, e.To = a.core.whole[component[e.From]], a.core.whole[component[e.To]]
	}
	a.r.Counts[c]++
	a.r.Cycles = append(a.r.Cycles, Cycle{c, cycle})
}

// causal decides the level that has no sort of its own: it allows rw, but not exactly one.
func (a *analysis) causal() {
	l := &a.r.Lattice
	switch {
	case a.r.Counts[Class{GSingle, WW}] > 0:
		l.Refute(Causal)
	case a.unsure && l[ReadCommitted] == Holds:
		a.reach()
	}
	if l[Causal] != Holds && l[ReadCommitted] == Holds {
		l.Doubt(MonotonicAtomicView)
	}
}

// reach decides Causal where no cycle was found in time.
func (a *analysis) reach() {
	e, decided := a.core.reaches()
	switch {
	case !decided:
		a.r.Lattice.Doubt(Causal)
	case e != nil:
		s := newSearch(a.core, 1<<62)
		c := Class{GSingle, WW}
		tail, _ := s.path(c, e.To, e.From, 1<<30)
		a.keep(c, allTxns(a.core.n), append([]Edge{*e}, tail...))
		a.r.Lattice.Refute(Causal)
	}
}

// witnesses finds some cycle for each level that is refuted, but of which the search did not
// come to one.
func (a *analysis) witnesses() {
	for _, l := range a.r.Lattice.Weakest() {
		shown := slices.ContainsFunc(a.r.Cycles, func(c Cycle) bool { return c.Breaks(l) })
		if _, ok := l.rules(); !ok || shown {
			continue
		}
		cycle := a.core.witness(l)
		a.keep(ClassOf(cycle), allTxns(a.core.n), cycle)
	}
}

// trim keeps the first few cycles of each class.
func (a *analysis) trim() {
	kept := make(map[Class]int)
	a.r.Cycles = slices.DeleteFunc(a.r.Cycles, func(c Cycle) bool {
		kept[c.Class]++
		return kept[c.Class] > a.o.Keep
	})
}
