package session

import "context"

// Reduce takes operations out of a violation as long as it stays one: what is left,
// ascending, its conflict, and whether nothing more can be taken out. What a read
// returned of writes that are not among what is left says nothing. When ctx ends it leaves
// things as they are.
func Reduce(
	ctx context.Context, h *History, g Guarantees, c *Conflict,
) (left []int, reduced *Conflict, minimal bool) {
	const most = 150
	left, reduced = c.Culprits(), c
	if c.Kind < Missing || len(left) > most {
		return left, c, c.Kind < Missing
	}
	if again := part(ctx, h, g, left); again != nil {
		reduced = again
	}
	for changed := true; changed; {
		changed = false
		for at := len(left) - 1; at >= 0; at-- {
			rest := append(append([]int(nil), left[:at]...), left[at+1:]...)
			if again := part(ctx, h, g, rest); again != nil {
				left, reduced, changed = rest, again, true
			}
		}
	}
	return left, reduced, ctx.Err() == nil
}

// part decides about some operations alone.
func part(ctx context.Context, h *History, g Guarantees, ops []int) *Conflict {
	p := *h
	p.Partial = true
	p.Ops = make([]Op, len(ops))
	for at, i := range ops {
		p.Ops[at] = h.Ops[i]
	}
	got := Decide(ctx, &p, g)
	if got.Answer != Violation {
		return nil
	}
	c := *got.Conflict
	back := func(at *int) {
		if *at != noOp {
			*at = ops[*at]
		}
	}
	back(&c.Read)
	back(&c.Write)
	for i := range c.Steps {
		back(&c.Steps[i].From)
		back(&c.Steps[i].To)
	}
	for i := range c.Edges {
		e := &c.Edges[i]
		back(&e.From)
		back(&e.To)
		back(&e.By)
		for j := range e.Steps {
			back(&e.Steps[j].From)
			back(&e.Steps[j].To)
		}
	}
	return &c
}
