package workload

import (
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// scoped remembers the scope that a combinator gives to a generator inside, for as
// long as the scope around it stays the same.
type scoped struct {
	outer   *threadSet
	threads int
	set     *threadSet
}

func (s scoped) in(ctx Context, pred func(thread int) bool) scoped {
	if s.set != nil && s.outer == ctx.scope && s.threads == ctx.Threads {
		return s
	}
	return scoped{outer: ctx.scope, threads: ctx.Threads, set: ctx.narrow(pred)}
}

type onThreads struct {
	pred  func(thread int) bool
	gen   Generator
	scope scoped
}

// OnThreads gives g only the threads that pred accepts, as if there were no
// others. Updates of other threads do not reach it. If pred accepts no thread in
// scope it is done.
func OnThreads(pred func(thread int) bool, g Generator) Generator {
	return &onThreads{pred: pred, gen: g}
}

func (o *onThreads) Next(ctx Context) (Step, Generator) {
	scope := o.scope.in(ctx, o.pred)
	if scope.set.count == 0 {
		return over()
	}
	if !o.pred(ctx.Thread) {
		if scope == o.scope {
			return Pending(), o
		}
		return Pending(), &onThreads{pred: o.pred, gen: o.gen, scope: scope}
	}
	ctx.scope = scope.set
	step, next := o.gen.Next(ctx)
	if step.Kind == StepPending && same(o.gen, next) && scope == o.scope {
		return step, o
	}
	return step, &onThreads{pred: o.pred, gen: next, scope: scope}
}

func (o *onThreads) Update(ctx Context, ev history.Event) Generator {
	if !o.pred(ctx.Thread) {
		return o
	}
	scope := o.scope.in(ctx, o.pred)
	ctx.scope = scope.set
	if next := o.gen.Update(ctx, ev); !same(o.gen, next) {
		return &onThreads{pred: o.pred, gen: next, scope: scope}
	}
	return o
}

// Range gives a number of threads to a generator, for Reserve.
type Range struct {
	Threads int
	Gen     Generator
}

type reserve struct {
	ranges []Range
	gens   []Generator // of the ranges, and the rest; nil is done
	scopes []scoped
}

// Reserve gives the first threads in scope to the first range, the next to the
// second, and so on; rest gets all that remain (Nothing leaves them idle). Each
// sees only its own threads and their updates. It is done when all are.
func Reserve(rest Generator, ranges ...Range) Generator {
	r := &reserve{ranges: ranges, scopes: make([]scoped, len(ranges)+1)}
	for _, g := range ranges {
		r.gens = append(r.gens, g.Gen)
	}
	r.gens = append(r.gens, rest)
	if same(rest, Nothing()) {
		r.gens[len(ranges)] = nil
	}
	return r
}

// index returns the range of the thread with the given rank, len(ranges) for the
// rest.
func (r *reserve) index(rank int) int {
	for i, g := range r.ranges {
		if rank < g.Threads {
			return i
		}
		rank -= g.Threads
	}
	return len(r.ranges)
}

func (r *reserve) enter(ctx Context) (i int, scope scoped, inner Context) {
	i = r.index(ctx.Rank(ctx.Thread))
	scope = r.scopes[i].in(ctx, func(t int) bool { return r.index(ctx.Rank(t)) == i })
	inner = ctx
	inner.scope = scope.set
	return i, scope, inner
}

func (r *reserve) with(i int, g Generator, scope scoped) *reserve {
	if same(r.gens[i], g) && r.scopes[i] == scope {
		return r
	}
	n := *r
	n.gens, n.scopes = slices.Clone(r.gens), slices.Clone(r.scopes)
	n.gens[i], n.scopes[i] = g, scope
	return &n
}

func (r *reserve) Next(ctx Context) (Step, Generator) {
	i, scope, inner := r.enter(ctx)
	if r.gens[i] == nil {
		return r.idle(ctx)
	}
	step, next := r.gens[i].Next(inner)
	if step.Kind == StepDone {
		return r.with(i, nil, scope).idle(ctx)
	}
	return step, r.with(i, next, scope)
}

// idle is the answer to a thread whose range is done. Ranges for which there are
// no threads do not count.
func (r *reserve) idle(ctx Context) (Step, Generator) {
	first := 0
	for i, g := range r.gens {
		if g != nil && first < ctx.Scope() && (i == len(r.ranges) || r.ranges[i].Threads > 0) {
			return Pending(), r
		}
		if i < len(r.ranges) {
			first += max(0, r.ranges[i].Threads)
		}
	}
	return over()
}

func (r *reserve) Update(ctx Context, ev history.Event) Generator {
	i, scope, inner := r.enter(ctx)
	if r.gens[i] == nil {
		return r
	}
	return r.with(i, r.gens[i].Update(inner, ev), scope)
}

// copyOf is one thread's copy of a generator.
type copyOf struct {
	gen     Generator
	process history.Process
	begun   bool
	done    bool
	scope   scoped
}

type each struct {
	fresh      Generator
	perProcess bool
	copies     vector[copyOf]
	done       int // threads whose copy is done
}

// EachThread gives every thread its own copy of g, which sees that thread alone.
// It is done when all copies are.
func EachThread(g Generator) Generator { return &each{fresh: g} }

// EachProcess gives every process its own copy of g: a thread begins a fresh one
// when it goes on as a new process. It is done when the copies of all current
// processes are.
func EachProcess(g Generator) Generator { return &each{fresh: g, perProcess: true} }

// of returns the copy for the thread of ctx, and the context it sees.
func (e *each) of(ctx Context) (copyOf, Context) {
	c := e.copies.get(ctx.Thread)
	if !c.begun || e.perProcess && c.process != ctx.Process {
		c.gen, c.process, c.begun, c.done = e.fresh, ctx.Process, true, false
	}
	c.scope = c.scope.in(ctx, func(t int) bool { return t == ctx.Thread })
	ctx.scope = c.scope.set
	return c, ctx
}

func (e *each) Next(ctx Context) (Step, Generator) {
	old := e.copies.get(ctx.Thread)
	c, inner := e.of(ctx)
	n := *e
	if old.done && !c.done {
		n.done--
	}
	if c.done {
		return e.idle(ctx)
	}
	step, next := c.gen.Next(inner)
	if step.Kind == StepPending && same(old.gen, next) && old.scope == c.scope {
		return step, e
	}
	c.gen = next
	if step.Kind == StepDone {
		c.done = true
		n.done++
	}
	n.copies = e.copies.set(ctx.Thread, c)
	if c.done {
		return n.idle(ctx)
	}
	return step, &n
}

// idle is the answer to a thread whose copy is done.
func (e *each) idle(ctx Context) (Step, Generator) {
	if e.done >= ctx.Scope() {
		return over()
	}
	return Pending(), e
}

func (e *each) Update(ctx Context, ev history.Event) Generator {
	old := e.copies.get(ctx.Thread)
	if !old.begun || old.done || e.perProcess && old.process != ev.Process {
		return e
	}
	c, inner := e.of(ctx)
	if next := c.gen.Update(inner, ev); !same(c.gen, next) {
		n := *e
		c.gen = next
		n.copies = e.copies.set(ctx.Thread, c)
		return &n
	}
	return e
}

type processLimit struct {
	limit   int
	crashed int
	gen     Generator
}

// ProcessLimit ends g when, with the next operation, more than n processes could
// have taken part: one for each thread, and one more for every operation of
// unknown outcome. It bounds how much the outcomes that nobody knows cost a
// checker.
func ProcessLimit(n int, g Generator) Generator { return &processLimit{limit: n, gen: g} }

func (l *processLimit) Next(ctx Context) (Step, Generator) {
	if ctx.Scope()+l.crashed > l.limit {
		return over()
	}
	step, next := l.gen.Next(ctx)
	if same(l.gen, next) {
		return step, l
	}
	return step, &processLimit{limit: l.limit, crashed: l.crashed, gen: next}
}

func (l *processLimit) Update(ctx Context, ev history.Event) Generator {
	next := l.gen.Update(ctx, ev)
	crashed := l.crashed
	if ev.Type == history.Info {
		crashed++
	}
	if crashed == l.crashed && same(l.gen, next) {
		return l
	}
	return &processLimit{limit: l.limit, crashed: crashed, gen: next}
}

type concurrencyLimit struct {
	limit int
	gen   Generator
}

// ConcurrencyLimit holds g back while n or more threads in scope are busy.
func ConcurrencyLimit(n int, g Generator) Generator {
	return &concurrencyLimit{limit: n, gen: g}
}

func (l *concurrencyLimit) Next(ctx Context) (Step, Generator) {
	if ctx.BusyCount() >= l.limit {
		return Pending(), l
	}
	step, next := l.gen.Next(ctx)
	if same(l.gen, next) {
		return step, l
	}
	return step, &concurrencyLimit{limit: l.limit, gen: next}
}

func (l *concurrencyLimit) Update(ctx Context, ev history.Event) Generator {
	if next := l.gen.Update(ctx, ev); !same(l.gen, next) {
		return &concurrencyLimit{limit: l.limit, gen: next}
	}
	return l
}
