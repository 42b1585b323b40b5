package check

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"sync"

	"github.com/ordeal-dev/ordeal/check/linear"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// minimizer reduces a history that is not linearizable to a few of its operations
// that are not linearizable either.
//
// Not every subset will do. Without the write of 3, a read of 3 is a violation of
// its own that says nothing about the system. An operation is taken out only where
// this keeps a linearizable history linearizable, so that what remains illegal was
// illegal before:
//
//   - An operation that changes nothing (a read) can always be taken out.
//   - One that makes something can be taken out when nothing it makes is seen by
//     an operation that stays: restricted to what stays, a linearization still has
//     before each observation the last change that the observation saw.
//   - Not so beside an answer that says what the state was not (a refused
//     compare-and-set): that has to go first.
//   - Operations in one unit (enqueue and dequeue of an element, snapshot and commit of a
//     transaction) go together.
//   - Pinned operations stay.
//
// Also, everything called after the first return that makes the history illegal
// can go: linearizability is closed under prefixes. And everything before a moment at
// which no operation was open can go if, in whatever order it happened, it left the
// object as it was at first.
//
// Within these rules this is Zeller and Hildebrandt's "Simplifying and isolating
// failure-inducing input" (2002), chunks of operations by halves.
type minimizer struct {
	planner *planner
	spec    models.Spec
	// unsure is set when a search was not decided in time.
	unsure bool
}

// answer decides whether items, a history of its own, are linearizable.
func (m *minimizer) answer(ctx context.Context, items []item) answer {
	f := m.planner.decide(ctx, items, false)
	if f.answer == undecided {
		m.unsure = true
	}
	return f.answer
}

// reduce returns a part of items, which must not be linearizable, that is not
// linearizable either. minimal is true when no operation can be taken out of it by
// the rules. f is what was found out about items: where an engine found operations
// that contradict each other, little else is looked at.
func (m *minimizer) reduce(
	ctx context.Context, items []item, f finding,
) (part []item, minimal bool) {
	if f.conflict != nil {
		part = explained(items, f.conflict)
	}
	if len(part) == 0 || m.answer(ctx, part) != illegal {
		part = m.cut(ctx, upTo(items, f))
	}
	byCall(part)
	if end, found := m.firstViolation(ctx, part, nil); found {
		part = slices.DeleteFunc(part, func(it item) bool { return useless(&it, end) })
	}
	for size := (len(part) + 1) / 2; size >= 1; {
		before := len(part)
		for at := 0; at < len(part) && ctx.Err() == nil; {
			rest := without(part, at, min(at+size, len(part)))
			if len(rest) < len(part) && m.answer(ctx, rest) == illegal {
				part = rest // the next chunk is at the same place now
			} else {
				at += size
			}
		}
		if size == 1 && (len(part) == before || ctx.Err() != nil) {
			break
		}
		size = max(1, min(size/2, len(part)))
	}
	return part, ctx.Err() == nil && !m.unsure
}

func byCall(items []item) {
	slices.SortStableFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.call, b.call), cmp.Compare(a.op.Index, b.op.Index))
	})
}

// upTo returns the items that matter up to the return at which an engine found that
// there is no order, all if it did not say which.
func upTo(items []item, f finding) []item {
	part := slices.Clone(items)
	var end history.Time
	switch {
	case f.conflict != nil:
		end = f.conflict.At
	case f.blocked >= 0:
		end = items[f.blocked].ret
	default:
		return part
	}
	part = slices.DeleteFunc(part, func(it item) bool { return useless(&it, end) })
	byCall(part)
	return part
}

// useless reports whether an operation does not matter to what was certain at end.
func useless(it *item, end history.Time) bool {
	return it.call > end || it.p.Facts.Pure && it.ret > end
}

// explained returns the operations of a conflict and whatever made what they saw,
// before the conflict was certain. It returns nothing if that could break the rules.
func explained(items []item, c *linear.Conflict) []item {
	makers := make(map[models.Token][]int)
	units := make(map[models.Token][]int)
	for i := range items {
		f := &items[i].p.Facts
		if items[i].call > c.At {
			continue
		}
		if f.Pinned {
			return nil
		}
		for _, t := range f.Makes {
			makers[t] = append(makers[t], i)
		}
		if f.InUnit {
			units[f.Unit] = append(units[f.Unit], i)
		}
	}
	culprits := c.Culprits()
	var part []item
	taken := make(map[int]bool)
	for n := 0; n < len(culprits); n++ {
		i := culprits[n]
		if taken[i] {
			continue
		}
		taken[i] = true
		part = append(part, items[i])
		f := &items[i].p.Facts
		if f.Denies {
			return nil
		}
		for _, t := range f.Sees {
			culprits = append(culprits, makers[t]...)
		}
		if f.InUnit {
			culprits = append(culprits, units[f.Unit]...)
		}
	}
	return part
}

// cut removes operations from the start of items, which are sorted by their calls,
// up to the last moment at which that is possible. It is for models with pinned
// operations; the others do not need it.
func (m *minimizer) cut(ctx context.Context, items []item) []item {
	pinned := slices.ContainsFunc(items, func(it item) bool { return it.p.Facts.Pinned })
	if !pinned {
		return items
	}
	for _, i := range slices.Backward(quietMoments(items)) {
		if ctx.Err() != nil {
			break
		}
		if m.answer(ctx, items[i:]) == illegal &&
			m.endsIn(ctx, items[:i], m.spec.Porcupine.Init()) {
			return items[i:]
		}
	}
	return items
}

// quietMoments returns the first operations after moments at which none was open, of items that are
// sorted by their calls.
func quietMoments(items []item) (firsts []int) {
	end := history.Time(-1)
	for i := range items {
		if i > 0 && items[i].call > end {
			firsts = append(firsts, i)
		}
		end = max(end, items[i].ret)
	}
	return firsts
}

// probe is an operation that needs any state but a certain one.
type probe struct{}

// endsIn reports whether items, of which none is open at the end, certainly leave a state:
// there is no place for a probe after them.
func (m *minimizer) endsIn(ctx context.Context, items []item, end any) bool {
	pm := m.spec.Porcupine
	step := pm.Step
	pm.Step = func(state, in, out any) (bool, any) {
		if _, ok := in.(probe); ok {
			return !pm.Equal(state, end), state
		}
		return step(state, in, out)
	}
	over := history.Time(0)
	for i := range items {
		over = max(over, items[i].ret)
	}
	last := item{
		op: &history.Operation{Type: history.OK},
		// It has no token to see, and yet what it says of the state is not nothing.
		p: models.Parsed{In: probe{}, Facts: models.Facts{
			Pure: true, Observes: true, Denies: true,
		}},
		call: over + 1, ret: over + 1,
	}
	spec := models.Spec{
		Name: m.spec.Name, Porcupine: pm, Comparable: m.spec.Comparable,
		Classes: func() models.Classes { // a probe has no class
			next := uint32(0)
			return models.Classes{
				Number: func(any, any) uint32 { next++; return next },
				Reset:  func() { next = 0 },
			}
		},
	}
	p := &planner{
		spec: spec, engine: engineAuto, guard: m.planner.guard, memory: m.planner.memory,
		desks: new(sync.Pool),
	}
	f := p.decide(ctx, append(slices.Clone(items), last), false)
	return f.answer == illegal && m.legal(ctx, items)
}

// legal reports whether items are linearizable by themselves. If they are not, they
// leave no state at all.
func (m *minimizer) legal(ctx context.Context, items []item) bool {
	return m.answer(ctx, items) == legal
}

// without returns items without those of items[from:to] that can be taken out.
func without(items []item, from, to int) []item {
	goes := make([]bool, len(items))
	for i := from; i < to; i++ {
		goes[i] = !items[i].p.Facts.Pinned
	}
	takeUnits(items, goes)
	for settle(items, goes) {
	}
	rest := make([]item, 0, len(items))
	for i := range items {
		if !goes[i] {
			rest = append(rest, items[i])
		}
	}
	return rest
}

// takeUnits extends goes to whole units.
func takeUnits(items []item, goes []bool) {
	units := make(map[models.Token]bool)
	for i := range items {
		if goes[i] && items[i].p.Facts.InUnit {
			units[items[i].p.Facts.Unit] = true
		}
	}
	for i := range items {
		if f := &items[i].p.Facts; f.InUnit && units[f.Unit] {
			goes[i] = true
		}
	}
}

// settle takes back from goes what has to stay beside what stays, and reports
// whether there was anything.
func settle(items []item, goes []bool) bool {
	seen := make(map[models.Token]bool)
	denies := false
	for i := range items {
		if goes[i] {
			continue
		}
		f := &items[i].p.Facts
		denies = denies || f.Denies
		for _, t := range f.Sees {
			seen[t] = true
		}
	}
	changed := false
	for i := range items {
		f := &items[i].p.Facts
		// What is put into a queue is seen by its own unit only.
		if !goes[i] || f.InUnit && !f.Replaces {
			continue
		}
		if denies && !f.Pure ||
			slices.ContainsFunc(f.Makes, func(t models.Token) bool { return seen[t] }) {
			goes[i] = false
			changed = true
			if f.InUnit {
				keepUnit(items, goes, f.Unit)
			}
		}
	}
	return changed
}

// keepUnit takes a whole unit back from goes.
func keepUnit(items []item, goes []bool, unit models.Token) {
	for i := range items {
		if f := &items[i].p.Facts; f.InUnit && f.Unit == unit {
			goes[i] = false
		}
	}
}

// firstViolation returns the earliest return by which the history is already
// illegal, whatever happened later. failed are operations that certainly changed
// nothing, as was known when they had returned.
func (m *minimizer) firstViolation(
	ctx context.Context, items []item, failed []*history.Operation,
) (history.Time, bool) {
	var returns []history.Time
	for i := range items {
		if !items[i].crashed() {
			returns = append(returns, items[i].ret)
		}
	}
	for _, op := range failed {
		returns = append(returns, op.Return)
	}
	slices.Sort(returns)
	returns = slices.Compact(returns)
	sure := true
	at := sort.Search(len(returns), func(i int) bool {
		a := m.answer(ctx, m.prefix(items, failed, returns[i]))
		sure = sure && a != undecided
		return a == illegal
	})
	if !sure || at == len(returns) {
		return 0, false
	}
	return returns[at], true
}

// prefix returns the history as it was just after time t: operations that had not
// returned by then have an unknown outcome, also those that failed later.
func (m *minimizer) prefix(
	items []item, failed []*history.Operation, t history.Time,
) []item {
	var out []item
	for _, it := range items {
		switch {
		case it.call > t:
		case it.ret <= t || it.crashed():
			out = append(out, it)
		default:
			out = m.pending(out, *it.op)
		}
	}
	for _, op := range failed {
		if op.Call <= t && op.Return > t {
			out = m.pending(out, *op)
		}
	}
	return out
}

// pending appends an operation as it was before it returned.
func (m *minimizer) pending(out []item, op history.Operation) []item {
	op.Type, op.Return, op.Out, op.Error = history.Info, history.Never, history.Value{}, ""
	p, err := m.spec.Parse(op)
	if err != nil {
		panic("check: " + err.Error()) // it fitted with a known outcome
	}
	if p.Facts.Ignored || p.Facts.Pure {
		return out
	}
	return append(out, item{op: &op, p: p, call: op.Call, ret: history.Never})
}
