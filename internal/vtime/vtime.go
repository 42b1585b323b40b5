// Package vtime lets the same code wait, work side by side and give up after a time,
// either in real time or in a virtual world.
//
// The context says which: one that comes from Run belongs to a virtual world, every
// other to the real one. In the real world the functions here do what those of time,
// context and sync do. In a virtual world there is one event loop. What would be
// goroutines are coroutines (package iter) of which one runs at a time, until it waits;
// when all wait, time jumps to the next event. So nothing depends on the machine, its
// load, or the Go scheduler: the same inputs give the same run, step by step. The idea
// is that of FoundationDB's simulator (Zhou et al., "FoundationDB: A Distributed
// Unbundled Transactional Key Value Store", SIGMOD 2021, section 4).
//
// Code that is to run in both worlds waits by nothing else: a channel, a mutex that is
// held while its owner waits, or a context derived by package context would stop the
// virtual world for ever, or be decided by real time. A mutex that is held for moments
// only is fine.
package vtime

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/ordeal-dev/ordeal/internal/timers"
)

// World is a virtual world: its time, and what is to happen in it. It must be used from
// within only: by its fibers and by the functions that it calls.
type World struct {
	now     time.Duration
	queue   timers.Queue
	ready   []*fiber // first come, first served; from turn on
	turn    int
	current *fiber
	fibers  int // that have not ended
}

// fiber is a thread of a virtual world.
type fiber struct {
	next    func() (struct{}, bool)
	yield   func(struct{}) bool
	waits   uint64 // counts its waits, so that a late waker wakes nobody
	waiting bool
}

// ErrStuck says that a virtual world has fibers that nothing will ever wake.
var ErrStuck = errors.New("the virtual world is stuck: something waits for what never comes")

const (
	// lookEvery is after how many turns the real context is looked at.
	lookEvery = 256
	// patience is how long fibers may go on after the first has ended.
	patience = 24 * time.Hour
)

// Run makes a world, runs f in it and returns when f and all that it has started have
// ended. The context that f gets is canceled when f returns, or when ctx is: that is the
// one way in which the real world reaches into the virtual one. A panic in the world is
// one of Run.
func Run(ctx context.Context, f func(ctx context.Context)) error {
	w := &World{}
	root := &virtual{world: w}
	over := false
	var last time.Duration
	w.spawn(func() {
		f(root)
		over, last = true, w.now+patience
		root.cancel(context.Canceled, nil)
	})
	for turn := 0; w.fibers > 0; turn++ {
		if turn%lookEvery == 0 && ctx.Err() != nil {
			root.cancel(context.Canceled, context.Cause(ctx))
		}
		if next := w.nextReady(); next != nil {
			w.resume(next)
			continue
		}
		t, ok := w.queue.Pop()
		if !ok || over && t.At > last {
			return fmt.Errorf("%w: %d of its fibers, at %v", ErrStuck, w.fibers, w.now)
		}
		w.now = t.At
		t.Do()
	}
	return nil
}

// From returns the virtual world that a context belongs to, nil for the real one.
func From(ctx context.Context) *World {
	if v, ok := ctx.(*virtual); ok {
		return v.world
	}
	if v, ok := ctx.Value(worldKey{}).(*virtual); ok {
		return v.world
	}
	return nil
}

// Now is the time since the world began.
func (w *World) Now() time.Duration { return w.now }

// At lets f happen at a time, or at once if that is over. What is due at the same time
// happens in the order of its calls. f must not wait.
func (w *World) At(t time.Duration, f func()) { w.queue.Push(max(t, w.now), f) }

// After lets f happen when d has passed.
func (w *World) After(d time.Duration, f func()) { w.At(w.now+d, f) }

// Await lets the calling fiber wait until done is called, or until ctx ends, and reports
// whether it was the first. start is called at once; it may call done itself. Later
// calls of done do nothing.
func (w *World) Await(ctx context.Context, start func(done func())) bool {
	v := nearest(ctx)
	if v != nil && v.err != nil {
		return false
	}
	finished := false
	wake := w.waker()
	start(func() {
		if !finished {
			finished = true
			wake()
		}
	})
	if finished {
		w.park()
		return true
	}
	var h *hook
	if v != nil {
		h = v.hooks.add(wake)
	}
	w.park()
	h.remove()
	return finished
}

// spawn makes a fiber that begins when those before it have had their turn.
func (w *World) spawn(f func()) {
	fb := &fiber{}
	fb.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		fb.yield = yield
		f()
	})
	w.fibers++
	w.ready = append(w.ready, fb)
}

// nextReady takes the fiber whose turn it is, nil if all wait. The place of those that
// had theirs is used again.
func (w *World) nextReady() *fiber {
	if w.turn == len(w.ready) {
		w.ready, w.turn = w.ready[:0], 0
		return nil
	}
	next := w.ready[w.turn]
	w.ready[w.turn] = nil
	w.turn++
	return next
}

func (w *World) resume(fb *fiber) {
	w.current = fb
	if _, more := fb.next(); !more {
		w.fibers--
	}
	w.current = nil
}

// waker begins a wait of the current fiber; the function that it returns ends it.
func (w *World) waker() func() {
	fb := w.current
	if fb == nil {
		panic("vtime: a wait outside of any fiber")
	}
	fb.waits++
	fb.waiting = true
	turn := fb.waits
	return func() {
		if fb.waiting && fb.waits == turn {
			fb.waiting = false
			w.ready = append(w.ready, fb)
		}
	}
}

// park gives way to others until the current fiber is woken.
func (w *World) park() { w.current.yield(struct{}{}) }
