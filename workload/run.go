package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// Defaults of a RunConfig.
const (
	DefaultTimeout = 5 * time.Second
	DefaultGrace   = time.Second
	DefaultBackoff = 100 * time.Millisecond
)

// RunConfig is what Run needs to know.
type RunConfig struct {
	// Generator says what to do. Required.
	Generator Generator
	// Final begins when Generator is done, all threads are free and BeforeFinal
	// has returned. It is told of all events from the beginning, so that it knows
	// what there is to read. May be nil.
	Final Generator
	// BeforeFinal heals the system and waits until it has settled. If it fails,
	// the final phase is left out and Run returns the error. Its context ends a
	// grace after Run's. May be nil.
	BeforeFinal func(ctx context.Context) error
	// Open opens the clients. Required.
	Open Opener
	// Recorder receives every event, and is the clock of the run. Required. Run
	// does not close it.
	Recorder *history.Recorder
	// Concurrency is the number of threads. Required.
	Concurrency int
	// Seed decides the random choices of the generators.
	Seed uint64
	// Timeout ends the context of an operation. 0: DefaultTimeout.
	Timeout time.Duration
	// OpenTimeout ends that of an open, before an operation is called. 0: Timeout.
	OpenTimeout time.Duration
	// Grace is how long operations in flight may go on after the end of Run's
	// context, and how long a client may ignore the end of its own before its
	// thread goes on without it. 0: DefaultGrace.
	Grace time.Duration
	// Backoff is the pause of a thread that could not open a client, and the
	// longest pause of one whose operations fail one after the other: a dead
	// node must not spin. 0: DefaultBackoff.
	Backoff time.Duration
	// Epoch returns how many fault windows have ended. May be nil.
	Epoch func() int64
	// Logger receives log operations, panics of clients and threads that hang.
	// Nil discards them.
	Logger *slog.Logger
	// Stats is counted up, if it is not nil.
	Stats *Stats
	// Progress is called every ProgressEvery (0: a second), from one goroutine.
	// May be nil.
	Progress      func(Snapshot)
	ProgressEvery time.Duration
}

func (c *RunConfig) fill() error {
	var errs []error
	want := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	want(c.Generator != nil, "no generator")
	want(c.Open != nil, "no opener")
	want(c.Recorder != nil, "no recorder")
	want(c.Concurrency > 0, fmt.Sprintf("concurrency is %d, not positive", c.Concurrency))
	want(c.Timeout >= 0, fmt.Sprintf("timeout is negative: %v", c.Timeout))
	want(c.OpenTimeout >= 0, fmt.Sprintf("open timeout is negative: %v", c.OpenTimeout))
	want(c.Grace >= 0, fmt.Sprintf("grace is negative: %v", c.Grace))
	want(c.Backoff >= 0, fmt.Sprintf("backoff is negative: %v", c.Backoff))
	want(c.BeforeFinal == nil || c.Final != nil, "something before final, but no final")
	orElse(&c.Timeout, DefaultTimeout)
	orElse(&c.OpenTimeout, c.Timeout)
	orElse(&c.Grace, DefaultGrace)
	orElse(&c.Backoff, DefaultBackoff)
	orElse(&c.ProgressEvery, time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Stats == nil {
		c.Stats = &Stats{}
	}
	return errors.Join(errs...)
}

// orElse gives a value that is zero its default.
func orElse[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// phase is where a run stands.
type phase uint8

const (
	phaseMain phase = iota
	phaseSettling
	phaseFinal
	phaseOver
)

// reask is how long a pending generator is left alone when nothing happens: an
// epoch changes without an event.
const reask = history.Time(25 * time.Millisecond)

type runner struct {
	cfg RunConfig
	// ops is the parent of the contexts of all operations. It outlives the
	// context of Run by the grace.
	ops     context.Context
	cutOps  context.CancelFunc
	resting context.Context // of pauses; it ends when the phase is over
	cutRest context.CancelFunc
	threads *vtime.Group
	helpers *vtime.Group // closing clients, settling

	mu      sync.Mutex // guards the rest
	sched   *scheduler
	idle    []*worker
	workers []*worker // by thread
	phase   phase
	settles bool
	err     error
	rounds  uint64
	timer   *vtime.Timer
	armed   history.Time // when the timer will fire, 0 if it will not
	cut     history.Time // from when on operations hang, after cancellation; 0: not yet
}

// Run runs a generator with concurrent workers and records what they see. Thread t
// begins as process t; after an operation of unknown outcome it goes on as process
// p + Concurrency with a new client.
//
// In a virtual world (package vtime) it is the same, in virtual time.
//
// It returns when the generator, and then the final generator, is done, when ctx
// ends (with its error; operations in flight get a grace and are recorded as info
// if they do not end), when the generator breaks its contract, or when the recorder
// fails. It never leaves an invocation without a completion.
func Run(ctx context.Context, cfg RunConfig) error {
	if err := cfg.fill(); err != nil {
		return fmt.Errorf("run workload: %w", err)
	}
	r := &runner{
		cfg: cfg, threads: vtime.NewGroup(ctx), helpers: vtime.NewGroup(ctx),
		sched: newScheduler(cfg.Generator, cfg.Final, cfg.Concurrency, cfg.Seed, cfg.Epoch),
	}
	r.ops, r.cutOps = vtime.WithCancel(vtime.WithoutCancel(ctx))
	defer r.cutOps()
	r.resting, r.cutRest = vtime.WithCancel(vtime.WithoutCancel(ctx))
	defer r.cutRest()
	defer vtime.OnCancel(ctx, func() { r.cancel(vtime.Cause(ctx)) })()

	for t := range cfg.Concurrency {
		r.workers = append(r.workers, newWorker(r, t, cfg.Recorder.NewLog()))
	}
	r.mu.Lock()
	r.timer = vtime.Later(ctx, time.Hour, r.tick)
	starting := append([]*worker(nil), r.workers...)
	r.mu.Unlock()
	for _, w := range starting {
		r.threads.Begin()
		vtime.Spawn(ctx, w.work)
	}
	watching, unwatch := vtime.WithCancel(vtime.WithoutCancel(ctx))
	watched := vtime.Start(ctx, func() error { r.watch(ctx, watching); return nil })
	r.threads.Wait()
	unwatch()
	_ = watched.Wait(vtime.WithoutCancel(ctx))
	r.timer.Stop()
	if !r.helpers.WaitFor(ctx, cfg.Grace) { // a client's Close may hang, too
		cfg.Logger.Warn("clients do not close", "after", cfg.Grace)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return fmt.Errorf("run workload: %w", r.err)
	}
	return nil
}

// next hands in what a worker has done, if it has done anything, and waits for its
// next operation. It reports false at the end of the run.
func (r *runner) next(w *worker, did outcome) (Op, bool) {
	r.mu.Lock()
	r.hand(w.thread, did)
	if r.phase == phaseOver {
		r.mu.Unlock()
		return Op{}, false
	}
	w.given = false
	r.idle = append(r.idle, w)
	r.dispatch()
	if w.given || r.phase == phaseOver {
		r.mu.Unlock()
		return w.op, w.given
	}
	w.waiting = true
	r.mu.Unlock()
	w.wake.Wait()
	return w.op, w.given
}

// hand tells the scheduler what a thread has done. The caller holds mu.
func (r *runner) hand(thread int, did outcome) {
	switch {
	case did.nothing:
	case did.quiet:
		r.sched.release(thread)
	default:
		if err := r.sched.complete(r.cfg.Recorder.Now(), thread, did.event); err != nil {
			r.stop(err)
		}
	}
}

// tick asks again after some time.
func (r *runner) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = 0
	r.dispatch()
}

// dispatch gives operations to the idle workers until none of them gets one. It
// asks in a circle that begins anywhere, so that no thread is preferred, and is
// done when all have been asked since the generator last changed. The caller
// holds mu.
func (r *runner) dispatch() {
	switch {
	case r.phase == phaseOver:
		return
	case r.phase == phaseSettling:
		r.settle()
		return
	case len(r.idle) == 0:
		return
	}
	now := r.cfg.Recorder.Now()
	wake := now + reask
	i := 0
	if len(r.idle) > 1 {
		r.rounds++
		i = randAt(r.cfg.Seed, r.rounds).IntN(len(r.idle))
	}
	for unchanged := 0; len(r.idle) > 0 && unchanged < len(r.idle); i++ {
		i %= len(r.idle)
		w := r.idle[i]
		step, changed := r.sched.ask(now, w.thread)
		if changed {
			unchanged = 0
		}
		unchanged++
		switch {
		case step.Kind == StepDone:
			r.finish()
			return
		case step.Kind == StepBroken:
			r.stop(step.Err)
			return
		case step.ready(now):
			last := len(r.idle) - 1
			r.idle[i] = r.idle[last]
			r.idle = r.idle[:last]
			unchanged, i = 0, i-1
			w.give(step.Op, r.sched.procs[w.thread])
		case step.Op.At > now:
			wake = min(wake, step.Op.At)
		}
	}
	if len(r.idle) > 0 && (r.armed == 0 || wake < r.armed) {
		r.armed = wake
		r.timer.Reset(time.Duration(wake - now))
	}
}

// finish ends a phase, because the generator is done. The caller holds mu.
func (r *runner) finish() {
	if r.phase == phaseMain && r.cfg.Final != nil {
		r.phase = phaseSettling
		r.settle()
		return
	}
	r.stop(nil)
}

// settle begins the final phase when all threads are free. The caller holds mu.
func (r *runner) settle() {
	if r.settles || len(r.idle) < r.cfg.Concurrency {
		return
	}
	r.settles = true
	r.helpers.Add(func() {
		var err error
		if r.cfg.BeforeFinal != nil {
			err = r.cfg.BeforeFinal(r.ops)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case r.phase == phaseOver:
		case err != nil:
			r.stop(fmt.Errorf("before the final phase: %w", err))
		default:
			r.sched.finish()
			r.phase = phaseFinal
			r.dispatch()
		}
	})
}

// stop ends the run; workers end when what they do has ended. The first error
// counts. The caller holds mu.
func (r *runner) stop(err error) {
	if r.err == nil {
		r.err = err
	}
	if r.phase == phaseOver {
		return
	}
	r.phase = phaseOver
	r.cutRest()
	for _, w := range r.idle {
		w.dismiss()
	}
	r.idle = nil
}

// cancel ends the run because its context has ended.
func (r *runner) cancel(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop(cause)
	r.cut = r.cfg.Recorder.Now() + history.Time(r.cfg.Grace)
	vtime.Later(r.ops, r.cfg.Grace, r.cutOps)
}

// watch reports progress, and looks for threads that hang and for a failed
// recorder, until end.
func (r *runner) watch(ctx, end context.Context) {
	every := min(r.cfg.Timeout, r.cfg.Grace) / 4
	every = min(max(every, 5*time.Millisecond), 250*time.Millisecond, r.cfg.ProgressEvery)
	told := r.cfg.Recorder.Now()
	for vtime.Sleep(end, every) {
		r.look(ctx)
		now := r.cfg.Recorder.Now()
		if now-told >= history.Time(r.cfg.ProgressEvery) && r.cfg.Progress != nil {
			told = now
			r.cfg.Progress(r.cfg.Stats.Snapshot(now))
		}
	}
}

// look replaces the workers whose clients do not come back although their context
// has ended.
func (r *runner) look(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.cfg.Recorder.Err(); err != nil {
		r.stop(err)
	}
	now := r.cfg.Recorder.Now()
	for t, w := range r.workers {
		did, hangs := w.abandon(now, r.cut)
		if !hangs {
			continue
		}
		r.cfg.Logger.WarnContext(ctx, "client ignores the end of its context; going on without it",
			"thread", t, "f", did.event.F, "key", did.event.Key)
		r.hand(t, did)
		if r.phase == phaseOver {
			r.threads.End()
			continue
		}
		r.workers[t] = newWorker(r, t, w.log)
		vtime.Spawn(r.ops, r.workers[t].work)
	}
}
