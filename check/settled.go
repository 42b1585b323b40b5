package check

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ordeal-dev/ordeal/check/search"
	"github.com/ordeal-dev/ordeal/history"
)

const (
	// partMost is how many operations of a counterexample are shown rather than told.
	partMost = 8
	// settledTries bounds the moments at which a state is looked for.
	settledTries = 4
)

// settled is a state that a history certainly had at a moment at which no operation was open.
// What came before only made that state.
type settled struct {
	// from is the first operation after it.
	from  int
	by    history.Time
	state string
}

// tell says what the operations before it came to.
func (s settled) tell() string {
	return fmt.Sprintf("%s, the last of them answered at %s, had left the state %s, in whatever "+
		"order they took effect.", count(s.from, "operation", "operations"), seconds(s.by), s.state)
}

// settle looks for the last moment before the culprit was called at which the state of items,
// which are sorted by their calls, is certain. It is false if there is none, or if items are
// so few that all of them may as well be shown.
func (m *minimizer) settle(ctx context.Context, items []item, culprit int) (settled, bool) {
	if len(items) <= partMost || culprit < 0 {
		return settled{}, false
	}
	tries := 0
	for _, at := range slices.Backward(quietMoments(items)) {
		if at > culprit {
			continue
		}
		if tries++; tries > settledTries || ctx.Err() != nil {
			break
		}
		state, ok := m.stateAfter(ctx, items[:at])
		if !ok || !m.endsIn(ctx, items[:at], state) {
			continue
		}
		s := settled{from: at, state: m.spec.Porcupine.DescribeState(state)}
		for i := range items[:at] {
			s.by = max(s.by, items[i].ret)
		}
		return s, true
	}
	return settled{}, false
}

// leaveOut takes the first n operations out of a counterexample, with the orders of these.
func (c *Counterexample) leaveOut(n int) {
	c.Ops = c.Ops[n:]
	c.Edges = slices.DeleteFunc(c.Edges, func(e Edge) bool { return e.From < n || e.To < n })
	for i := range c.Edges {
		c.Edges[i].From -= n
		c.Edges[i].To -= n
	}
}

// stateAfter returns a state in which items may leave the object.
func (m *minimizer) stateAfter(ctx context.Context, items []item) (any, bool) {
	p := &planner{spec: m.spec, guard: m.planner.guard, desks: new(sync.Pool)}
	d := p.desk()
	f := p.search(ctx, engineFrontier, d, d.lay(items), search.Budget{Steps: 1 << 20, Order: true})
	if f.answer != legal || len(f.order) != len(items) {
		return nil, false
	}
	pm := m.spec.Porcupine
	state := pm.Init()
	for _, at := range f.order {
		ok, next := pm.Step(state, items[at].p.In, items[at].p.Out)
		if !ok {
			return nil, false
		}
		state = next
	}
	return state, true
}
