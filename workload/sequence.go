package workload

import (
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

type concat struct{ gens []Generator }

// Concat runs the generators one after the other, each to its end. Updates go to
// the current one.
func Concat(gens ...Generator) Generator { return &concat{gens: gens} }

func (c *concat) Next(ctx Context) (Step, Generator) {
	for gens := c.gens; len(gens) > 0; gens = gens[1:] {
		step, next := gens[0].Next(ctx)
		switch {
		case step.Kind == StepDone:
			continue
		case len(gens) == len(c.gens) && same(gens[0], next):
			return step, c
		default:
			n := &concat{gens: slices.Clone(gens)}
			n.gens[0] = next
			return step, n
		}
	}
	return over()
}

func (c *concat) Update(ctx Context, ev history.Event) Generator {
	if len(c.gens) == 0 {
		return c
	}
	next := c.gens[0].Update(ctx, ev)
	if same(c.gens[0], next) {
		return c
	}
	n := &concat{gens: slices.Clone(c.gens)}
	n.gens[0] = next
	return n
}

type synchronize struct{ gen Generator }

// Synchronize waits until all threads in scope are free, then becomes g.
func Synchronize(g Generator) Generator { return &synchronize{gen: g} }

func (s *synchronize) Next(ctx Context) (Step, Generator) {
	if ctx.BusyCount() > 0 {
		return Pending(), s
	}
	return s.gen.Next(ctx)
}

func (s *synchronize) Update(ctx Context, ev history.Event) Generator {
	if next := s.gen.Update(ctx, ev); !same(s.gen, next) {
		return &synchronize{gen: next}
	}
	return s
}

// Phases runs the generators one after the other; each begins when the one before
// is done and all threads are free.
func Phases(gens ...Generator) Generator {
	synced := make([]Generator, len(gens))
	for i, g := range gens {
		synced[i] = Synchronize(g)
	}
	return Concat(synced...)
}

// Then runs first to its end, waits until all threads are free, and runs second.
// (Jepsen's then has the arguments the other way round, for its threading macro.)
func Then(first, second Generator) Generator { return Concat(first, Synchronize(second)) }

type followed struct {
	gens []Generator // first and last
	last bool
}

// Followed is Then, but last is told of the events from the beginning.
func Followed(first, last Generator) Generator {
	return &followed{gens: []Generator{first, last}}
}

func (f *followed) Next(ctx Context) (Step, Generator) {
	n, i := *f, 0
	if f.last {
		i = 1
	}
	step, next := f.gens[i].Next(ctx)
	if step.Kind == StepDone && !f.last {
		if ctx.BusyCount() > 0 {
			return Pending(), f
		}
		i, n.last = 1, true
		step, next = f.gens[1].Next(ctx)
	}
	switch {
	case step.Kind == StepDone:
		return over()
	case n.last == f.last && same(f.gens[i], next):
		return step, f
	}
	n.gens = slices.Clone(f.gens)
	n.gens[i] = next
	return step, &n
}

func (f *followed) Update(ctx Context, ev history.Event) Generator {
	if gens, changed := updateAll(f.gens, ctx, ev); changed {
		return &followed{gens: gens, last: f.last}
	}
	return f
}

type limit struct {
	left int
	gen  Generator
}

// Limit ends g after n operations.
func Limit(n int, g Generator) Generator { return &limit{left: n, gen: g} }

// Once ends g after one operation.
func Once(g Generator) Generator { return Limit(1, g) }

func (l *limit) Next(ctx Context) (Step, Generator) {
	if l.left <= 0 {
		return over()
	}
	step, next := l.gen.Next(ctx)
	left := l.left
	if step.Kind == StepOp {
		left--
	} else if same(l.gen, next) {
		return step, l
	}
	return step, &limit{left: left, gen: next}
}

func (l *limit) Update(ctx Context, ev history.Event) Generator {
	if next := l.gen.Update(ctx, ev); !same(l.gen, next) {
		return &limit{left: l.left, gen: next}
	}
	return l
}

// endless is the count of a Repeat or Cycle without limit.
const endless = -1

type repeat struct {
	left int
	gen  Generator
}

// Repeat asks the unchanged g for every operation, n times, or for ever if n is
// negative. It is the opposite of Once: g never advances, except by updates.
func Repeat(n int, g Generator) Generator { return &repeat{left: max(n, endless), gen: g} }

func (r *repeat) Next(ctx Context) (Step, Generator) {
	if r.left == 0 {
		return over()
	}
	step, _ := r.gen.Next(ctx)
	if step.Kind != StepOp || r.left == endless {
		return step, r
	}
	return step, &repeat{left: r.left - 1, gen: r.gen}
}

func (r *repeat) Update(ctx Context, ev history.Event) Generator {
	if next := r.gen.Update(ctx, ev); !same(r.gen, next) {
		return &repeat{left: r.left, gen: next}
	}
	return r
}

type cycle struct {
	left       int // further rounds after this one
	fresh, gen Generator
}

// Cycle starts g again from the beginning when it is done, n rounds in all, or for
// ever if n is negative. A g that is done before its first operation ends it.
func Cycle(n int, g Generator) Generator {
	switch {
	case n == 0:
		return Nothing()
	case n < 0:
		return &cycle{left: endless, fresh: g, gen: g}
	default:
		return &cycle{left: n - 1, fresh: g, gen: g}
	}
}

func (c *cycle) Next(ctx Context) (Step, Generator) {
	left := c.left
	step, next := c.gen.Next(ctx)
	if step.Kind == StepDone && left != 0 {
		if left != endless {
			left--
		}
		step, next = c.fresh.Next(ctx)
	}
	switch {
	case step.Kind == StepDone:
		return over()
	case left == c.left && same(c.gen, next):
		return step, c
	default:
		return step, &cycle{left: left, fresh: c.fresh, gen: next}
	}
}

func (c *cycle) Update(ctx Context, ev history.Event) Generator {
	if next := c.gen.Update(ctx, ev); !same(c.gen, next) {
		return &cycle{left: c.left, fresh: c.fresh, gen: next}
	}
	return c
}

type untilOK struct {
	gen    Generator
	active []history.Process // with an operation of this generator
	ok     bool
}

// UntilOK ends g when one of its own operations has completed with ok.
func UntilOK(g Generator) Generator { return &untilOK{gen: g} }

func (u *untilOK) Next(ctx Context) (Step, Generator) {
	if u.ok {
		return over()
	}
	step, next := u.gen.Next(ctx)
	n := *u
	n.gen = next
	if step.Kind == StepOp && step.Op.Kind == OpInvoke {
		n.active = append(slices.Clip(u.active), ctx.Process)
	} else if same(u.gen, next) {
		return step, u
	}
	return step, &n
}

func (u *untilOK) Update(ctx Context, ev history.Event) Generator {
	n := *u
	n.gen = u.gen.Update(ctx, ev)
	if i := slices.Index(u.active, ev.Process); i >= 0 && ev.Type != history.Invoke {
		n.active = slices.Delete(slices.Clone(u.active), i, i+1)
		n.ok = u.ok || ev.Type == history.OK
	} else if same(u.gen, n.gen) {
		return u
	}
	return &n
}
