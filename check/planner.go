package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ordeal-dev/ordeal/check/linear"
	"github.com/ordeal-dev/ordeal/check/search"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/models"
)

// The engines that decide linearizability, as users name them.
const (
	// engineAuto takes for each key the first of the exact engines that applies, and
	// otherwise the two searches.
	engineAuto = "auto"
	// engineExact takes the exact engines only.
	engineExact     = "exact"
	engineFrontier  = "frontier"
	engineDepth     = "dfs"
	enginePorcupine = "porcupine"
	// engineNowhere is no choice: it finds values from nowhere, and nothing else.
	engineNowhere = "values from nowhere"
)

// Engines returns what Options.Engine can be, the default first.
func Engines() []string {
	return []string{engineAuto, engineExact, engineFrontier, engineDepth, enginePorcupine}
}

// item is an operation as an engine sees it.
type item struct {
	op   *history.Operation
	p    models.Parsed
	call history.Time
	ret  history.Time
}

// crashed reports whether nobody knows if the operation took effect.
func (it *item) crashed() bool { return it.op.Type == history.Info }

// answer is what an engine found.
type answer uint8

const (
	undecided answer = iota
	legal            // linearizable
	illegal          // not linearizable
)

// finding is what was found out about one history of one object. Operations are told
// by their positions.
type finding struct {
	answer answer
	cause  cause
	fault  string // with causePanic
	// engine decided, or was the last to try; passed are those that could not be
	// used.
	engine string
	passed []passedOver
	// direct is true when it was decided without items.
	direct bool
	// conflict is that of an exact engine.
	conflict *linear.Conflict
	// order is a legal order, if one was asked for and there is one; later finds one,
	// if it is not nil.
	order []int
	later func() []int
	// blocked is the operation whose return had no place, -1 if not known.
	blocked int
	// explored counts returns up to which there certainly is a legal order.
	explored int
	// last are some of the configurations at the end of that.
	last []search.Stand
}

// passedOver is an engine that could not be used, and why.
type passedOver struct{ engine, why string }

// planner decides histories of single objects.
type planner struct {
	spec   models.Spec
	engine string
	// raw keeps the operations of unknown outcome from Porcupine's pruning.
	raw    bool
	guard  *guard
	memory uint64
	// settled is set when some key has a violation. Then no key is worth a long
	// search any more.
	settled atomic.Bool
	// desks are where searches for this spec work, of type *desk.
	desks *sync.Pool
}

// desk is memory that the searches of one key after the other use.
type desk struct {
	space *search.Space
	ops   []search.Op
}

func (p *planner) desk() *desk {
	if d, ok := p.desks.Get().(*desk); ok {
		return d
	}
	return p.newDesk()
}

func (p *planner) newDesk() *desk {
	spec := p.spec // a desk may outlive the planner
	return &desk{space: search.NewSpace(&spec)}
}

// leave gives a desk back.
func (p *planner) leave(d *desk) {
	const most = 1 << 12
	if cap(d.ops) > most {
		d.ops = nil
	}
	p.desks.Put(d)
}

// decide finds out whether items are linearizable. With order it also returns one, if
// the engine can.
func (p *planner) decide(ctx context.Context, items []item, order bool) finding {
	switch p.engine {
	case engineFrontier, engineDepth:
		d := p.desk()
		defer p.leave(d)
		return p.search(ctx, p.engine, d, d.lay(items), search.Budget{Order: order})
	case enginePorcupine:
		if !p.raw {
			items, _ = prune(items)
		}
		f, _ := porcupined(ctx, p.guard, p.spec.Porcupine, items, false)
		return f
	}
	f := p.exactly(items)
	if f.answer != undecided || p.engine == engineExact {
		return f
	}
	passed := f.passed
	f = p.both(ctx, items, order)
	f.passed = passed
	return f
}

// exactly asks the exact engines of the model.
func (p *planner) exactly(items []item) finding {
	f := finding{engine: engineExact, cause: causeEngine, blocked: -1}
	if len(items) == 0 {
		f.answer = legal
		return f
	}
	for _, e := range exactEngines(p.spec.Known()) {
		b := e.bind(items)
		r := b.decide()
		switch r.Answer {
		case linear.Linearizable:
			return finding{
				answer: legal, engine: e.name, passed: f.passed, blocked: -1, later: b.order,
			}
		case linear.Violation:
			return finding{
				answer: illegal, engine: e.name, passed: f.passed, conflict: r.Conflict, blocked: -1,
			}
		}
		f.passed = append(f.passed, passedOver{engine: e.name, why: r.Why})
	}
	return f
}

// both lets the two searches try: each alone for a while, because most histories are
// easy, and then at the same time, until one is done. A value from nowhere would cost
// them all orders of what is open beside it.
func (p *planner) both(ctx context.Context, items []item, order bool) finding {
	d := p.desk()
	defer p.leave(d)
	ops := d.lay(items)
	short := search.Budget{Steps: int64(20_000 + 8*len(ops)), Order: order}
	first := p.search(ctx, engineFrontier, d, ops, short)
	if first.answer != undecided || first.cause == causePanic || ctx.Err() != nil {
		return first
	}
	if c := unwritten(items); c != nil {
		return finding{answer: illegal, engine: engineNowhere, conflict: c, blocked: -1}
	}
	second := p.search(ctx, engineDepth, d, ops, short)
	if second.answer != undecided || ctx.Err() != nil || p.settled.Load() {
		return second
	}
	racing, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan finding, 2)
	for _, engine := range []string{engineFrontier, engineDepth} {
		crash.Go(func() {
			b := search.Budget{Memory: int64(p.memory / 2), Order: order}
			done <- p.search(racing, engine, p.newDesk(), ops, b)
		})
	}
	a := <-done
	if a.answer != undecided {
		cancel()
	}
	b := <-done
	if b.answer != undecided || a.answer == undecided && b.explored > a.explored {
		a, b = b, a
	}
	if a.answer == undecided && b.cause == causeMemory {
		a.cause = causeMemory // more time alone would not help
	}
	return a
}

// unwritten returns the first operation to return that saw what no operation called by
// then had made.
func unwritten(items []item) *linear.Conflict {
	made := make(map[models.Token]history.Time)
	for i := range items {
		for _, t := range items[i].p.Facts.Makes {
			if at, found := made[t]; !found || items[i].call < at {
				made[t] = items[i].call
			}
		}
	}
	var first *linear.Conflict
	for i := range items {
		it := &items[i]
		if it.crashed() || first != nil && first.At <= it.ret {
			continue
		}
		if slices.ContainsFunc(it.p.Facts.Sees, func(t models.Token) bool {
			at, found := made[t]
			return !t.Value.IsNil() && (!found || at > it.ret)
		}) {
			first = &linear.Conflict{Kind: linear.Unwritten, Ops: []int{i}, At: it.ret}
		}
	}
	return first
}

// search runs one of the searches under the guard.
func (p *planner) search(
	ctx context.Context, engine string, d *desk, ops []search.Op, b search.Budget,
) finding {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &watched{stop: cancel}
	b.Held = &s.bytes
	p.guard.enter(s)
	run := d.space.Frontier
	if engine == engineDepth {
		run = d.space.Depth
	}
	r := run(ctx, ops, b)
	stopped := p.guard.leave(s)
	f := finding{
		engine: engine, fault: r.Fault, order: r.Order, blocked: r.Blocked, explored: r.Passed,
		last: r.Last,
	}
	switch r.Answer {
	case search.Legal:
		f.answer = legal
		return f
	case search.Illegal:
		f.answer = illegal
		return f
	}
	switch {
	case r.Cause == search.Model:
		f.cause = causePanic
	case r.Cause == search.Memory || stopped:
		f.cause = causeMemory
	case r.Cause == search.Width:
		f.cause, f.fault = causeEngine, "too many operations are open at a time"
	default:
		f.cause = causeTime
	}
	return f
}

// lay converts items for a search at this desk.
func (d *desk) lay(items []item) []search.Op {
	d.ops = slices.Grow(d.ops[:0], len(items))[:len(items)]
	for i := range items {
		it := &items[i]
		d.ops[i] = search.Op{
			In: it.p.In, Out: it.p.Out, Facts: &it.p.Facts, Call: it.call, Return: it.ret,
		}
	}
	return d.ops
}

// certified replays an order, and finds one first if the engine that decided has none.
// An error means that somebody is wrong: then nothing is certain.
func (p *planner) certified(ctx context.Context, f finding, items []item) (bool, error) {
	d := p.desk()
	defer p.leave(d)
	ops := d.lay(items)
	if f.order == nil && f.later != nil {
		f.order = f.later()
	}
	if f.order == nil {
		b := search.Budget{Steps: int64(20_000 + 8*len(ops)), Order: true}
		g := p.search(ctx, engineFrontier, d, ops, b)
		switch g.answer {
		case illegal:
			return false, fmt.Errorf("engine %s found an order, engine %s none", f.engine, g.engine)
		case undecided:
			return false, nil
		}
		f.order = g.order
	}
	if err := search.Replay(&p.spec, ops, f.order); err != nil {
		return false, fmt.Errorf("engine %s: %w", f.engine, err)
	}
	return true, nil
}

// ValidateEngine reports an engine that there is not; an empty name is the default.
func ValidateEngine(name string) error {
	if name == "" || slices.Contains(Engines(), name) {
		return nil
	}
	return fmt.Errorf("engine %q is not known: want one of %s", name,
		strings.Join(Engines(), ", "))
}
