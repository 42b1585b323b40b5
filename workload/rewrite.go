package workload

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

type mapped struct {
	f   func(Context, Op) Op
	gen Generator
}

// Map changes every operation of g by f, a pure function.
func Map(f func(ctx Context, op Op) Op, g Generator) Generator { return &mapped{f: f, gen: g} }

// FMap renames the Fs of g's operations; those that names does not hold stay. The
// events that g is told of keep the new names.
func FMap(names map[history.F]history.F, g Generator) Generator {
	return Map(func(_ Context, op Op) Op {
		if f, ok := names[op.F]; ok {
			op.F = f
		}
		return op
	}, g)
}

func (m *mapped) Next(ctx Context) (Step, Generator) {
	inner := ctx
	inner.Rand = ctx.Rand.Split(1)
	step, next := m.gen.Next(inner)
	if step.Kind == StepOp {
		ctx.Rand = ctx.Rand.Split(0)
		step.Op = m.f(ctx, step.Op)
	}
	if same(m.gen, next) {
		return step, m
	}
	return step, &mapped{f: m.f, gen: next}
}

func (m *mapped) Update(ctx Context, ev history.Event) Generator {
	if next := m.gen.Update(ctx, ev); !same(m.gen, next) {
		return &mapped{f: m.f, gen: next}
	}
	return m
}

type seeded struct {
	seed uint64
	gen  Generator
}

// Seeded mixes a seed into the randomness of g, so that it makes other choices than
// the same generator elsewhere in the test.
func Seeded(seed uint64, g Generator) Generator { return &seeded{seed: seed, gen: g} }

func (s *seeded) Next(ctx Context) (Step, Generator) {
	ctx.Rand = ctx.Rand.Split(s.seed)
	step, next := s.gen.Next(ctx)
	if same(s.gen, next) {
		return step, s
	}
	return step, &seeded{seed: s.seed, gen: next}
}

func (s *seeded) Update(ctx Context, ev history.Event) Generator {
	if next := s.gen.Update(ctx, ev); !same(s.gen, next) {
		return &seeded{seed: s.seed, gen: next}
	}
	return s
}

// maxRejected bounds how many operations in a row a Filter may reject: a filter
// that nothing passes is a mistake, and must not stop the test without a word.
const maxRejected = 10_000

type filtered struct {
	pred func(Op) bool
	gen  Generator
}

// Filter drops the operations of g that pred rejects. It is broken when it has
// rejected ten thousand in a row.
func Filter(pred func(Op) bool, g Generator) Generator { return &filtered{pred: pred, gen: g} }

func (f *filtered) Next(ctx Context) (Step, Generator) {
	gen, inner := f.gen, ctx
	for i := range uint64(maxRejected) {
		inner.Rand = ctx.Rand.Split(i)
		step, next := gen.Next(inner)
		switch {
		case step.Kind == StepOp && !f.pred(step.Op):
			gen = next
		case same(f.gen, next):
			return step, f
		default:
			return step, &filtered{pred: f.pred, gen: next}
		}
	}
	return Broken(fmt.Errorf("filter: nothing passed in %d operations", maxRejected)), f
}

func (f *filtered) Update(ctx Context, ev history.Event) Generator {
	if next := f.gen.Update(ctx, ev); !same(f.gen, next) {
		return &filtered{pred: f.pred, gen: next}
	}
	return f
}

type validate struct {
	name string
	fs   []history.F
	gen  Generator
}

// Validate checks that g keeps the contract: operations of a known kind, with an F
// out of fs (any, if there are none), not before time zero, for a free thread, and
// a successor with every answer. What it finds breaks the generator, with an error
// that gives the name and the operation.
func Validate(name string, g Generator, fs ...history.F) Generator {
	return &validate{name: name, fs: fs, gen: g}
}

func (v *validate) Next(ctx Context) (Step, Generator) {
	step, next := v.gen.Next(ctx)
	if err := v.check(ctx, step, next); err != nil {
		return Broken(fmt.Errorf("generator %s: %w", v.name, err)), v
	}
	if same(v.gen, next) {
		return step, v
	}
	return step, &validate{name: v.name, fs: v.fs, gen: next}
}

func (v *validate) check(ctx Context, step Step, next Generator) error {
	switch {
	case step.Kind == StepBroken:
		return step.Err
	case step.Kind > StepBroken:
		return fmt.Errorf("step of unknown kind %d", step.Kind)
	case step.Kind == StepDone:
		return nil
	case next == nil:
		return errors.New("no successor")
	case step.Kind == StepPending:
		return nil
	case ctx.Busy(ctx.Thread):
		return fmt.Errorf("asked for thread %d, which is busy, and gave %v", ctx.Thread, step.Op)
	}
	if err := v.checkOp(step.Op); err != nil {
		return fmt.Errorf("bad operation %v: %w", step.Op, err)
	}
	return nil
}

func (v *validate) checkOp(op Op) error {
	switch {
	case op.At < 0:
		return fmt.Errorf("time %d is negative", op.At)
	case op.Kind == OpSleep:
		if n, ok := op.Value.AsInt(); !ok || n < 0 {
			return errors.New("sleep needs nanoseconds")
		}
	case op.Kind == OpLog:
		if _, ok := op.Value.AsString(); !ok {
			return errors.New("log needs a text")
		}
	case op.Kind != OpInvoke:
		return errors.New("unknown kind")
	case op.F == "":
		return errors.New("no f")
	case len(v.fs) > 0 && !slices.Contains(v.fs, op.F):
		return fmt.Errorf("f is not one of %v", v.fs)
	}
	return nil
}

func (v *validate) Update(ctx Context, ev history.Event) Generator {
	next := v.gen.Update(ctx, ev)
	if same(v.gen, next) {
		return v
	}
	return &validate{name: v.name, fs: v.fs, gen: next}
}
