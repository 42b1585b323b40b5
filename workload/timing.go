package workload

import (
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// maxLag is how far Stagger may fall behind its plan and still catch up. Without
// it the lateness of every timer would lower a high rate; with more, a pause of
// all threads would be followed by a burst.
const maxLag = history.Time(10 * time.Millisecond)

type pace struct {
	mean   history.Time
	random bool
	gen    Generator
	next   history.Time // the plan for the next operation
	begun  bool
	rushes []Rush       // those that are not over, counted from origin
	origin history.Time // of the first operation
}

// Rush is a time, counted from the first operation, in which operations come as fast as
// threads are free for them.
type Rush struct{ From, To time.Duration }

// Rushing is Stagger that does not wait during rushes, which are in the order of their
// beginnings.
func Rushing(mean time.Duration, rushes []Rush, g Generator) Generator {
	return &pace{mean: history.Time(mean), random: true, rushes: rushes, gen: g}
}

// due is when the next operation may come: as planned, or in a rush before that.
func (p *pace) due(now history.Time) history.Time {
	for _, r := range p.rushes {
		if now < p.origin+history.Time(r.To) {
			return min(p.next, max(now, p.origin+history.Time(r.From)))
		}
	}
	return p.next
}

// Stagger spreads g's operations at random: the time between two is uniform in
// [0, 2*mean), for all threads together. It plans against the clock, so slow
// operations do not slow it down; time lost because no thread was free is not
// made up for, except for a few milliseconds.
func Stagger(mean time.Duration, g Generator) Generator {
	return Rushing(mean, nil, g)
}

// Delay makes g's operations exactly dt apart, for all threads together, and
// catches up when it is late.
func Delay(dt time.Duration, g Generator) Generator {
	return &pace{mean: history.Time(dt), gen: g}
}

// briefly is a mean distance below which a pace does not even look at what comes
// next before its time has come: at a high rate every idle thread asks again at
// every operation. The price is that it may be done that much later.
const briefly = history.Time(100 * time.Millisecond)

func (p *pace) Next(ctx Context) (Step, Generator) {
	due := p.due(ctx.Time)
	if p.begun && due > ctx.Time && p.mean < briefly {
		return hold(p, due)
	}
	inner := ctx
	inner.Rand = ctx.Rand.Split(1)
	step, next := p.gen.Next(inner)
	n := *p
	n.gen = next
	if step.Kind != StepOp {
		if step.Kind == StepPending && !same(p.gen, next) {
			return step, &n
		}
		return step, p
	}
	at := step.when(ctx.Time)
	if p.begun {
		at = max(step.Op.At, due)
	} else {
		n.origin = at
	}
	gap := p.mean
	if p.random && p.mean > 0 {
		gap = history.Time(ctx.Rand.Split(0).Float() * 2 * float64(p.mean))
		at = max(at, ctx.Time-maxLag)
	}
	for len(n.rushes) > 0 && n.origin+history.Time(n.rushes[0].To) <= ctx.Time {
		n.rushes = n.rushes[1:]
	}
	n.begun, n.next = true, at+gap
	step.Op.At = at
	return step, &n
}

func (p *pace) Update(ctx Context, ev history.Event) Generator {
	next := p.gen.Update(ctx, ev)
	if same(p.gen, next) {
		return p
	}
	n := *p
	n.gen = next
	return &n
}

type timeLimit struct {
	length history.Time
	cutoff history.Time // 0 before the first operation
	gen    Generator
}

// TimeLimit ends g a time d after its first operation began.
func TimeLimit(d time.Duration, g Generator) Generator {
	return &timeLimit{length: history.Time(d), gen: g}
}

func (l *timeLimit) Next(ctx Context) (Step, Generator) {
	if l.length <= 0 || l.cutoff != 0 && ctx.Time >= l.cutoff {
		return over()
	}
	step, next := l.gen.Next(ctx)
	n := &timeLimit{length: l.length, cutoff: l.cutoff, gen: next}
	switch step.Kind {
	case StepOp:
		at := step.when(ctx.Time)
		if l.cutoff == 0 {
			n.cutoff = at + l.length
		}
		if at >= n.cutoff {
			// The rest would begin too late, but what is asked of it by then
			// may still be early enough: look again at the end.
			return hold(l, n.cutoff)
		}
	case StepPending:
		if l.cutoff != 0 {
			step.Op.At = sooner(step.Op.At, l.cutoff)
		}
		if same(l.gen, next) {
			return step, l
		}
	}
	return step, n
}

func (l *timeLimit) Update(ctx Context, ev history.Event) Generator {
	if next := l.gen.Update(ctx, ev); !same(l.gen, next) {
		return &timeLimit{length: l.length, cutoff: l.cutoff, gen: next}
	}
	return l
}

// Turn is one entry of the schedule of CycleTimes.
type Turn struct {
	Length time.Duration
	Gen    Generator
}

type cycleTimes struct {
	turns  []Turn
	period history.Time
	start  history.Time
	begun  bool
}

// CycleTimes lets its generators take turns by the clock, again and again, each for
// the length of its turn. They keep their state between turns. An operation that
// would begin after the end of the turn waits for the generator's next turn. The
// turn of a generator that is done passes idly, and when all are done it is done.
// Updates go to all.
func CycleTimes(turns ...Turn) Generator {
	c := &cycleTimes{}
	for _, t := range turns {
		if t.Length > 0 {
			c.turns = append(c.turns, t)
			c.period += history.Time(t.Length)
		}
	}
	return c
}

func (c *cycleTimes) Next(ctx Context) (Step, Generator) {
	if c.period == 0 {
		return over()
	}
	if !c.begun {
		// The start has to be remembered even if the first operation lies in
		// the future, so it is a step of its own.
		n := *c
		n.begun, n.start = true, ctx.Time
		return Pending(), &n
	}
	i, end := c.turn(ctx.Time)
	step, next := c.turns[i].Gen.Next(ctx)
	switch {
	case step.Kind == StepBroken:
		return step, c
	case step.Kind == StepDone:
		n := c.with(i, Nothing())
		for _, t := range n.turns {
			if !same(t.Gen, Nothing()) {
				return hold(n, end)
			}
		}
		return over()
	case step.Kind == StepOp && step.Op.At >= end:
		return hold(c, end)
	case step.Kind == StepPending:
		step.Op.At = sooner(step.Op.At, end)
	}
	return step, c.with(i, next)
}

// turn returns whose turn it is at a time, and when that turn ends.
func (c *cycleTimes) turn(now history.Time) (i int, end history.Time) {
	into := (now - c.start) % c.period
	end = now - into
	for i, t := range c.turns {
		end += history.Time(t.Length)
		if now < end {
			return i, end
		}
	}
	panic("workload: cycle-times: no turn at a time within the period")
}

func (c *cycleTimes) with(i int, g Generator) *cycleTimes {
	if same(c.turns[i].Gen, g) {
		return c
	}
	n := *c
	n.turns = slices.Clone(c.turns)
	n.turns[i].Gen = g
	return &n
}

func (c *cycleTimes) Update(ctx Context, ev history.Event) Generator {
	for i := range c.turns {
		c = c.with(i, c.turns[i].Gen.Update(ctx, ev))
	}
	return c
}

type settled struct {
	wait, until history.Time // until is 0 before the first question
	gen         Generator
}

// Settled begins g after d has passed since it was first asked. Updates go to g
// from the beginning.
func Settled(d time.Duration, g Generator) Generator {
	return &settled{wait: history.Time(d), gen: g}
}

func (s *settled) Next(ctx Context) (Step, Generator) {
	switch {
	case s.until == 0:
		n := *s
		n.until = max(1, ctx.Time+s.wait)
		return Pending(), &n
	case ctx.Time < s.until:
		return hold(s, s.until)
	}
	return s.gen.Next(ctx)
}

func (s *settled) Update(ctx Context, ev history.Event) Generator {
	if next := s.gen.Update(ctx, ev); !same(s.gen, next) {
		return &settled{wait: s.wait, until: s.until, gen: next}
	}
	return s
}
