package rw

import (
	"context"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/weak"
)

// Analyze decides all levels of graph. From consistent view up, one may stay undecided when
// the budget ends; those below are exact. When ctx ends, what is undecided stays so.
func Analyze(ctx context.Context, x *weak.Index, o Options) *Report {
	a := &analysis{
		ctx: ctx, x: x, o: o, p: newProblem(sourceOf(x, o.Keys)),
		r: &Report{
			Methods: make(map[graph.Level]Method), Wrong: x.Wrong(),
			Fractured: make(map[graph.Level]*weak.Violation),
		},
	}
	a.r.Lost, a.r.Cyclic, a.r.Names = a.p.lost, a.p.cycles, a.p.name
	a.stats()
	a.wrong()
	a.shown()
	a.below()
	for _, l := range graph.Levels() {
		a.decide(l)
	}
	a.cores()
	a.finish()
	return a.r
}

type analysis struct {
	ctx   context.Context
	x     *weak.Index
	o     Options
	p     *problem
	r     *Report
	arcs  []arc
	whole bool // arcs are all there are
	ranks [][]int32
	holds []graph.Level
	parts []impossiblePart
}

// impossiblePart is what refutes a level.
type impossiblePart struct {
	level  graph.Level
	demand demand
	source *source
}

func (a *analysis) stats() {
	s := &a.r.Stats
	s.Txns, s.Reads, s.Writes = a.p.n, len(a.p.reads), len(a.p.writes)
	for _, w := range a.p.writes {
		if a.p.blind(w.version) {
			s.Blind++
		}
	}
}

func (a *analysis) refute(l graph.Level, m Method) {
	a.r.Lattice.Refute(l)
	if a.r.Methods[l] == "" {
		a.r.Methods[l] = m
	}
}

func (a *analysis) refuted(l graph.Level) bool { return a.r.Lattice[l] == graph.Refuted }

// Refutes returns the weakest level that a read rules out which is wrong by itself.
func Refutes(k weak.Kind) graph.Level {
	switch k {
	case weak.ThinAir:
		return graph.ReadUncommitted
	case weak.AbortedRead, weak.Intermediate, weak.FutureRead:
		return graph.ReadCommitted
	default:
		return graph.ReadAtomic
	}
}

func (a *analysis) wrong() {
	for i := range a.r.Wrong {
		a.refute(Refutes(a.r.Wrong[i].Kind), Shown)
	}
	if len(a.p.cycles) > 0 {
		a.refute(graph.ReadUncommitted, Shown)
	}
	if len(a.p.lost) > 0 {
		a.refute(graph.Causal, Shown)
	}
}

// shown looks for cycles of what is certain.
func (a *analysis) shown() {
	a.arcs, a.whole = a.p.certain()
	a.r.Stats.Dependencies = len(a.arcs)
	found := a.p.graphOf(a.arcs).Analyze(a.o.Cycles)
	for _, l := range found.Lattice.Weakest() {
		a.refute(l, Shown)
	}
	for _, c := range found.Cycles {
		a.r.Cycles = append(a.r.Cycles, a.p.cycle(c, a.arcs))
	}
	a.r.Counts = found.Counts
}

// cycle translates one of a graph of arcs.
func (p *problem) cycle(c graph.Cycle, arcs []arc) Cycle {
	out := Cycle{Class: c.Class}
	for _, e := range c.Edges {
		edge := Edge{From: p.name[e.From], To: p.name[e.To], Kind: e.Kind, Key: -1}
		if e.Kind <= graph.RW {
			arc := arcs[e.Cause]
			edge.Rule, edge.Key = arc.rule, p.keyName[p.key[arc.older]]
			edge.Older, edge.Newer = p.nameOf(p.writer[arc.older]), p.nameOf(p.writer[arc.newer])
		}
		out.Edges = append(out.Edges, edge)
	}
	return out
}

// below decides the levels that need no order of versions.
func (a *analysis) below() {
	for _, l := range []graph.Level{graph.MonotonicAtomicView, graph.ReadAtomic} {
		if a.refuted(l) {
			continue
		}
		level := weak.MonotonicAtomicView
		if l == graph.ReadAtomic {
			level = weak.ReadAtomic
		}
		v, err := a.x.Check(level, false)
		switch {
		case err != nil:
			a.r.Lattice.Doubt(l)
			a.r.Methods[l] = Unsolved
		case v != nil:
			a.r.Fractured[l] = v
			a.refute(l, Saturated)
		default:
			a.r.Methods[l] = Saturated
		}
	}
}

// decide decides a level from consistent view up.
func (a *analysis) decide(l graph.Level) {
	d, ok := demandOf(l)
	if !ok || a.refuted(l) {
		return
	}
	if a.implied(l) {
		a.r.Methods[l] = Implied
		return
	}
	switch v := a.solve(a.p, d, a.arcs, a.whole); v.result {
	case found:
		a.holds = append(a.holds, l)
		a.r.Methods[l] = v.method
		if a.r.Order == nil && !d.single {
			a.r.Order, a.r.Shows = v.order, l
		}
	case impossible:
		if l == graph.Serializable {
			l = graph.RepeatableRead // there are only items here
		}
		a.refute(l, Exhausted)
		if l == graph.SnapshotIsolation {
			a.refute(graph.RepeatableRead, Implied)
		}
		a.parts = append(a.parts, impossiblePart{l, d, v.part})
	default:
		a.r.Lattice.Doubt(l)
		a.r.Methods[l] = Unsolved
	}
}

// cores shows why levels are refuted, but for those for which it is enough that a weaker one
// is.
func (a *analysis) cores() {
	for _, p := range a.parts {
		follows := p.level == graph.RepeatableRead && a.refuted(graph.SnapshotIsolation)
		for _, w := range a.r.Lattice.Refuted() {
			follows = follows || w != p.level && p.level.Implies(w)
		}
		if follows {
			a.r.Methods[p.level] = Implied
			continue
		}
		a.r.Cores = append(a.r.Cores, a.core(p.source, p.level, p.demand))
	}
}

func (a *analysis) implied(l graph.Level) bool {
	return slices.ContainsFunc(a.holds, func(h graph.Level) bool { return h.Implies(l) })
}

func all(n int) []txn {
	list := make([]txn, n)
	for i := range list {
		list[i] = txn(i)
	}
	return list
}

// consistent reports whether consistent view holds if the versions of each key are in the
// order of their writers' places.
func (a *analysis) consistent(p *problem, arcs []arc, place []int32) bool {
	arcs = slices.Clone(arcs)
	for k := range p.keys {
		list := make([]version, 0, p.first[k+1]-p.first[k])
		for v := p.first[k] + 1; v < p.first[k+1]; v++ {
			list = append(list, v)
		}
		slices.SortFunc(list, func(v, w version) int {
			return int(place[p.writer[v]] - place[p.writer[w]])
		})
		last := p.first[k]
		for _, v := range list {
			arcs = p.succession(arcs, last, v, OtherwiseCycle)
			last = v
		}
	}
	return p.net(demand{single: true}, arcs).consistent(arcs, place)
}

// finish names the method of what follows from other levels.
func (a *analysis) finish() {
	for _, l := range graph.Levels() {
		if a.r.Methods[l] == "" {
			a.r.Methods[l] = Implied
		}
	}
	slices.SortStableFunc(a.r.Cycles, func(x, y Cycle) int { return len(x.Edges) - len(y.Edges) })
}
