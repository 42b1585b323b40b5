package workload

import (
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// persist is a part of a test that shows that everything works.
type persist struct {
	gen   Generator
	kinds []check.Floor
	left  int
	begun history.Time // 0: not yet
	least time.Duration
	// tried and worked are the kinds that somebody tried, and that worked.
	tried, worked []bool
}

// persistent runs g for n operations, or for the time given if that is over sooner; but as
// long as of some kind of operation that is tried none works, it goes on.
func persistent(kinds []check.Floor, n int, least time.Duration, g Generator) Generator {
	return &persist{
		gen: g, kinds: kinds, left: n, least: least,
		tried: make([]bool, len(kinds)), worked: make([]bool, len(kinds)),
	}
}

func (p *persist) Next(ctx Context) (Step, Generator) {
	n := *p
	if n.begun == 0 {
		n.begun = max(1, ctx.Time)
	}
	if enough := p.left <= 0 || ctx.Time-n.begun >= history.Time(p.least); enough && p.shown() {
		return over()
	}
	step, next := p.gen.Next(ctx)
	switch {
	case step.Kind == StepOp:
		n.left--
	case n.begun == p.begun && same(p.gen, next):
		return step, p
	}
	n.gen = next
	return step, &n
}

// shown reports whether every kind that was tried works.
func (p *persist) shown() bool { return slices.Equal(p.tried, p.worked) }

func (p *persist) Update(ctx Context, ev history.Event) Generator {
	n := *p
	n.gen = p.gen.Update(ctx, ev)
	changed := !same(p.gen, n.gen)
	for i, k := range p.kinds {
		op := history.Operation{F: ev.F, In: ev.Value}
		if p.begun == 0 || p.worked[i] || k.F != ev.F || k.Is != nil && !k.Is(&op) {
			continue
		}
		works := ev.Type != history.Invoke && check.Answers(ev.Type, ev.Error)
		if works || !p.tried[i] {
			n.tried, n.worked = slices.Clone(n.tried), slices.Clone(n.worked)
			n.tried[i], n.worked[i], changed = true, works, true
		}
	}
	if !changed {
		return p
	}
	return &n
}
