package rw

import (
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// contradicts reports whether a part refutes a demand; false if that is not known.
func (a *analysis) contradicts(s *source, d demand) bool {
	p := newProblem(s)
	arcs, whole := p.certain()
	return a.solve(p, d, arcs, whole).result == impossible
}

// core makes a part that refutes a demand as small as it can be.
func (a *analysis) core(s *source, l graph.Level, d demand) Core {
	quick := *a // what takes long is as good as legal here
	quick.o.Steps, quick.o.Conflicts = 2_000_000, 500
	a = &quick
	tests, minimal := a.o.tests(), false
	for chunk := max(1, s.n/2); !minimal && tests > 0 && a.ctx.Err() == nil; {
		var smaller bool
		s, smaller = a.without(s, d, chunk, &tests)
		if chunk > 1 {
			chunk = max(1, min(chunk, s.n)/2)
			continue
		}
		minimal = !smaller && tests > 0 && a.ctx.Err() == nil
	}
	c := Core{Level: l, Txns: s.name, Minimal: minimal}
	p := newProblem(s)
	for k := range p.keys {
		if p.first[k+1]-p.first[k] > 1 {
			c.Keys = append(c.Keys, p.keyName[k])
		}
	}
	slices.Sort(c.Keys)
	c.Cycle = a.contradiction(p, l, d)
	return c
}

// without leaves out what is not needed, so many neighbors at a time.
func (a *analysis) without(s *source, d demand, chunk int, tests *int) (*source, bool) {
	smaller := false
	for at := 0; at < s.n && *tests > 0 && a.ctx.Err() == nil; {
		*tests -= 1 + s.n/16
		keep := slices.Delete(all(s.n), at, min(s.n, at+chunk))
		part := s.only(keep)
		if len(keep) == 0 || !a.contradicts(part, d) {
			at += chunk
			continue
		}
		s, smaller = part, true
	}
	return s, smaller
}

// contradiction looks for a cycle among the dependencies that must be, if only one order
// of some versions is possible.
func (a *analysis) contradiction(p *problem, l graph.Level, d demand) Cycle {
	arcs, _ := p.certain()
	s, ok := p.prune(a.ctx, d, arcs, d.nodeRanks(p.guesses()[0]))
	if !ok || !s.cycle {
		return Cycle{}
	}
	r := p.graphOf(s.arcs).Analyze(a.o.Cycles)
	best, ok := r.Shortest(l)
	if !ok {
		return Cycle{}
	}
	c := p.cycle(best, s.arcs)
	forced := slices.ContainsFunc(c.Edges, func(e Edge) bool { return e.Rule == OtherwiseCycle })
	if by := (map[family]graph.Kind{
		anyOrder: graph.WW, sessionOrder: graph.Process, timeOrder: graph.Realtime,
	})[d.family]; forced {
		c.Class.By = max(c.Class.By, by)
	}
	return c
}
