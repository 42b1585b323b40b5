package vtime

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// Sleep waits for d and reports whether ctx was still alive at the end.
func Sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	if w := From(ctx); w != nil {
		return w.Await(ctx, func(done func()) { w.After(d, done) })
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Spawn runs f beside its caller, as a goroutine whose panic is one of the program.
func Spawn(ctx context.Context, f func()) {
	if w := From(ctx); w != nil {
		w.spawn(f)
		return
	}
	crash.Go(f)
}

// Together runs do for each number below n, side by side, and joins the errors.
func Together(ctx context.Context, n int, do func(i int) error) error {
	errs := make([]error, n)
	g := NewGroup(ctx)
	for i := range n {
		g.Add(func() { errs[i] = do(i) })
	}
	g.Wait()
	return errors.Join(errs...)
}

// OnCancel has f called when ctx ends, unless stop is called before. f must not wait.
func OnCancel(ctx context.Context, f func()) (stop func() bool) {
	if v := nearest(ctx); v != nil {
		return v.AfterFunc(f)
	}
	return context.AfterFunc(ctx, crash.Guard(f))
}

// Timer calls a function once. It is made by Later.
type Timer struct {
	real *time.Timer
	w    *World
	f    func()
	turn uint64 // of the last Reset or Stop
}

// Later returns a timer that calls f, which must not wait, when d has passed.
func Later(ctx context.Context, d time.Duration, f func()) *Timer {
	w := From(ctx)
	if w == nil {
		return &Timer{real: time.AfterFunc(d, crash.Guard(f))}
	}
	t := &Timer{w: w, f: f}
	t.Reset(d)
	return t
}

// Reset lets the timer call when d has passed from now, and not before.
func (t *Timer) Reset(d time.Duration) {
	if t.w == nil {
		t.real.Reset(d)
		return
	}
	t.turn++
	turn := t.turn
	t.w.After(d, func() {
		if t.turn == turn {
			t.f()
		}
	})
}

// Stop lets the timer call no more.
func (t *Timer) Stop() {
	if t.w == nil {
		t.real.Stop()
		return
	}
	t.turn++
}

// Group waits for all that was added to it.
type Group struct {
	real sync.WaitGroup
	w    *World
	open int
	wake []func()
}

// NewGroup returns an empty group in the world of ctx.
func NewGroup(ctx context.Context) *Group { return &Group{w: From(ctx)} }

// Add runs f beside its caller.
func (g *Group) Add(f func()) {
	if g.w == nil {
		g.real.Go(crash.Guard(f))
		return
	}
	g.open++
	g.w.spawn(func() { f(); g.done() })
}

// Begin adds one that ends by a call of End.
func (g *Group) Begin() {
	if g.w == nil {
		g.real.Add(1)
		return
	}
	g.open++
}

// End ends what Begin has added.
func (g *Group) End() {
	if g.w == nil {
		g.real.Done()
		return
	}
	g.done()
}

func (g *Group) done() {
	if g.open--; g.open > 0 {
		return
	}
	for _, wake := range g.wake {
		wake()
	}
	g.wake = nil
}

// Wait waits until all have ended.
func (g *Group) Wait() {
	if g.w == nil {
		g.real.Wait()
		return
	}
	for g.open > 0 {
		g.wake = append(g.wake, g.w.waker())
		g.w.park()
	}
}

// WaitFor waits until all have ended, for d at most, and reports whether they have.
func (g *Group) WaitFor(ctx context.Context, d time.Duration) bool {
	limited, cancel := WithTimeout(WithoutCancel(ctx), d)
	defer cancel()
	return Start(ctx, func() error { g.Wait(); return nil }).Wait(limited) == nil
}

// Task is something that runs beside its caller and comes to an end.
type Task struct {
	real chan struct{}
	w    *World
	over bool
	err  error
	wake []func()
}

// Start begins a task.
func Start(ctx context.Context, f func() error) *Task {
	t := &Task{w: From(ctx)}
	if t.w == nil {
		t.real = make(chan struct{})
		crash.Go(func() { t.err = f(); close(t.real) })
		return t
	}
	t.w.spawn(func() {
		t.err, t.over = f(), true
		for _, wake := range t.wake {
			wake()
		}
		t.wake = nil
	})
	return t
}

// Wait waits for the task's end and returns its error, or the cause of the end of ctx
// if that comes first.
func (t *Task) Wait(ctx context.Context) error {
	if t.w == nil {
		select {
		case <-t.real:
			return t.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if !t.over && !t.w.Await(ctx, func(done func()) { t.wake = append(t.wake, done) }) {
		return Cause(ctx)
	}
	return t.err
}

// Gate holds up one waiter until it is opened; each opening lets one through.
type Gate struct {
	real chan struct{}
	w    *World
	open bool
	wake func()
}

// NewGate returns a closed gate in the world of ctx.
func NewGate(ctx context.Context) *Gate {
	return &Gate{w: From(ctx), real: make(chan struct{}, 1)}
}

// Open lets the one that waits through, or the next one to come. It must not be called
// again before.
func (g *Gate) Open() {
	if g.w == nil {
		g.real <- struct{}{}
		return
	}
	g.open = true
	if g.wake != nil {
		g.wake()
	}
}

// Wait waits until the gate is open, and closes it.
func (g *Gate) Wait() {
	if g.w == nil {
		<-g.real
		return
	}
	for !g.open {
		g.wake = g.w.waker()
		g.w.park()
	}
	g.open, g.wake = false, nil
}

// Once does something once; who comes later waits until it is done.
type Once struct {
	mu   Mutex
	done bool
}

// Do calls f unless an earlier call has.
func (o *Once) Do(ctx context.Context, f func()) {
	defer o.mu.Lock(ctx)()
	if !o.done {
		f()
		o.done = true
	}
}

// Mutex is a lock that may be held by one who waits for something else.
type Mutex struct {
	real sync.Mutex
	held bool
	wake []func() // of those that want it, in the order of their coming
}

// Lock takes the lock and returns what gives it back. All users of one Mutex live in one
// world, that of ctx.
func (m *Mutex) Lock(ctx context.Context) (unlock func()) {
	w := From(ctx)
	if w == nil {
		m.real.Lock()
		return m.real.Unlock
	}
	for m.held {
		m.wake = append(m.wake, w.waker())
		w.park()
	}
	m.held = true
	return func() {
		m.held = false
		if len(m.wake) > 0 {
			wake := m.wake[0]
			m.wake = m.wake[1:]
			wake()
		}
	}
}
