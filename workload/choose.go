package workload

import (
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// Weighted is a member of a WeightedMix. A weight of zero or less is never chosen.
type Weighted struct {
	Weight int
	Gen    Generator
}

type mix struct {
	members []Weighted
	total   int
}

// Mix chooses one of the generators at random for every operation, until all are
// done. See WeightedMix.
func Mix(gens ...Generator) Generator {
	members := make([]Weighted, len(gens))
	for i, g := range gens {
		members[i] = Weighted{Weight: 1, Gen: g}
	}
	return WeightedMix(members...)
}

// WeightedMix chooses one of its members for every operation, with probability in
// proportion to the weights, until all are done. A member that is pending, or
// whose operation lies in the future, does not hold up the others. Updates go to
// all members.
func WeightedMix(members ...Weighted) Generator {
	m := &mix{}
	for _, w := range members {
		if w.Weight > 0 {
			m.members = append(m.members, w)
			m.total += w.Weight
		}
	}
	return m
}

func (m *mix) Next(ctx Context) (Step, Generator) {
	draw, inner := ctx.Rand.Split(0), ctx
	inner.Rand = ctx.Rand.Split(1)
	var (
		cur  = m
		left = make([]bool, len(m.members)) // asked, pending or too early
		best = pick{member: -1}
		wake history.Time
	)
	total := m.total
	for i := uint64(0); total > 0; i++ {
		k := cur.pick(left, draw.Split(i).IntN(total))
		step, next := cur.members[k].Gen.Next(inner)
		switch step.Kind {
		case StepBroken:
			return step, cur
		case StepDone:
			total -= cur.members[k].Weight
			cur = cur.without(k)
			left = slices.Delete(left, k, k+1)
			if best.member > k {
				best.member--
			}
			continue
		case StepPending:
			wake = sooner(wake, step.Op.At)
			cur = cur.with(k, next)
		case StepOp:
			if step.ready(ctx.Time) {
				return step, cur.with(k, next)
			}
			if best.member < 0 || step.Op.At < best.step.Op.At {
				best = pick{member: k, step: step, next: next}
			}
		}
		left[k] = true
		total -= cur.members[k].Weight
	}
	switch {
	case best.member >= 0:
		return best.step, cur.with(best.member, best.next)
	case len(cur.members) == 0:
		return over()
	default:
		return hold(cur, wake)
	}
}

// pick is a member's answer that has been put aside.
type pick struct {
	member int
	step   Step
	next   Generator
}

// pick returns the member at position r on the line of the weights of those that
// are not in left.
func (m *mix) pick(left []bool, r int) int {
	for k, w := range m.members {
		if left[k] {
			continue
		}
		if r < w.Weight {
			return k
		}
		r -= w.Weight
	}
	panic("workload: mix: weights do not add up")
}

func (m *mix) with(k int, g Generator) *mix {
	if same(m.members[k].Gen, g) {
		return m
	}
	n := &mix{members: slices.Clone(m.members), total: m.total}
	n.members[k].Gen = g
	return n
}

func (m *mix) without(k int) *mix {
	n := &mix{total: m.total - m.members[k].Weight}
	n.members = slices.Delete(slices.Clone(m.members), k, k+1)
	return n
}

func (m *mix) Update(ctx Context, ev history.Event) Generator {
	for k := range m.members {
		m = m.with(k, m.members[k].Gen.Update(ctx, ev))
	}
	return m
}

type anyOf struct{ gens []Generator }

// Any asks all of the generators and takes the soonest operation; a tie is broken
// at random. It is done when all are. Updates go to all.
func Any(gens ...Generator) Generator { return &anyOf{gens: gens} }

func (a *anyOf) Next(ctx Context) (Step, Generator) {
	var (
		best      = pick{member: -1}
		wake      history.Time
		ties      int
		kept      = make([]Generator, 0, len(a.gens))
		unchanged = true
	)
	for i, g := range a.gens {
		inner := ctx
		inner.Rand = ctx.Rand.Split(uint64(i) + 1)
		step, next := g.Next(inner)
		switch step.Kind {
		case StepBroken:
			return step, a
		case StepDone:
			unchanged = false
			continue
		case StepPending:
			wake = sooner(wake, step.Op.At)
			unchanged = unchanged && same(g, next)
			kept = append(kept, next)
			continue
		case StepOp:
			kept = append(kept, g)
		}
		now, then := step.when(ctx.Time), best.step.when(ctx.Time)
		if best.member >= 0 && now == then {
			ties++
		} else {
			ties = 1
		}
		if best.member < 0 || now < then ||
			now == then && ctx.Rand.Split(0).Split(uint64(i)).IntN(ties) == 0 {
			best = pick{member: len(kept) - 1, step: step, next: next}
		}
	}
	return a.choose(kept, best, unchanged, wake)
}

// choose makes the answer of Any from what its members said. When a member's
// operation lies in the future, the receiver is asked again, and what the pending
// members have changed is found out again then.
func (a *anyOf) choose(
	kept []Generator, best pick, unchanged bool, wake history.Time,
) (Step, Generator) {
	switch {
	case best.member >= 0:
		kept[best.member] = best.next
		return best.step, &anyOf{gens: kept}
	case len(kept) == 0:
		return over()
	case unchanged:
		return hold(a, wake)
	default:
		return hold(&anyOf{gens: kept}, wake)
	}
}

func (a *anyOf) Update(ctx Context, ev history.Event) Generator {
	if gens, changed := updateAll(a.gens, ctx, ev); changed {
		return &anyOf{gens: gens}
	}
	return a
}

// updateAll updates a list of generators, copying it if one has changed.
func updateAll(gens []Generator, ctx Context, ev history.Event) ([]Generator, bool) {
	var out []Generator
	for i, g := range gens {
		next := g.Update(ctx, ev)
		if out == nil && !same(g, next) {
			out = slices.Clone(gens)
		}
		if out != nil {
			out[i] = next
		}
	}
	return out, out != nil
}

type flipFlop struct {
	gens []Generator
	turn int
}

// FlipFlop takes an operation of a, then one of b, then of a again, and is done
// when the one whose turn it is is done. It waits for that one. Updates go to
// both.
func FlipFlop(a, b Generator) Generator { return &flipFlop{gens: []Generator{a, b}} }

func (f *flipFlop) Next(ctx Context) (Step, Generator) {
	step, next := f.gens[f.turn].Next(ctx)
	switch step.Kind {
	case StepOp:
		n := &flipFlop{gens: slices.Clone(f.gens), turn: 1 - f.turn}
		n.gens[f.turn] = next
		return step, n
	case StepPending:
		if same(f.gens[f.turn], next) {
			return step, f
		}
		n := &flipFlop{gens: slices.Clone(f.gens), turn: f.turn}
		n.gens[f.turn] = next
		return step, n
	case StepDone:
		return over()
	default:
		return step, f
	}
}

func (f *flipFlop) Update(ctx Context, ev history.Event) Generator {
	if gens, changed := updateAll(f.gens, ctx, ev); changed {
		return &flipFlop{gens: gens, turn: f.turn}
	}
	return f
}
