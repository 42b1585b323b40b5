package vtime

import (
	"context"
	"time"
)

// worldKey is the key under which a context finds its nearest virtual one.
type worldKey struct{}

// virtual is a context of a virtual world. It tells no deadline: that would be taken
// for one in real time.
type virtual struct {
	world  *World
	parent *virtual
	done   chan struct{} // made when somebody asks
	err    error
	cause  error
	hooks  hooks
	above  *hook // in the parent
}

var _ context.Context = (*virtual)(nil)

func (v *virtual) Deadline() (time.Time, bool) { return time.Time{}, false }
func (v *virtual) Err() error                  { return v.err }

func (v *virtual) Done() <-chan struct{} {
	if v.done == nil {
		v.done = make(chan struct{})
		if v.err != nil {
			close(v.done)
		}
	}
	return v.done
}

// Value knows its own key only. Those of package context must not find a context of the
// real world.
func (v *virtual) Value(key any) any {
	if key == (worldKey{}) {
		return v
	}
	return nil
}

// AfterFunc is what package context looks for when a context of its own is derived from
// this one. f is called by whoever cancels.
func (v *virtual) AfterFunc(f func()) func() bool {
	if v.err != nil {
		f()
		return func() bool { return false }
	}
	h := v.hooks.add(f)
	return h.remove
}

// cancel ends the context and all that were derived from it. The first call counts.
func (v *virtual) cancel(err, cause error) {
	if v.err != nil {
		return
	}
	if cause == nil {
		cause = err
	}
	v.err, v.cause = err, cause
	v.above.remove()
	if v.done != nil {
		close(v.done)
	}
	v.hooks.run()
}

// nearest returns the virtual context that ctx is or was derived from, nil for none.
func nearest(ctx context.Context) *virtual {
	if v, ok := ctx.(*virtual); ok {
		return v
	}
	v, _ := ctx.Value(worldKey{}).(*virtual)
	return v
}

// derive makes a context that ends with its parent.
func (v *virtual) derive() *virtual {
	child := &virtual{world: v.world, parent: v}
	if v.err != nil {
		child.cancel(v.err, v.cause)
		return child
	}
	child.above = v.hooks.add(func() { child.cancel(v.err, v.cause) })
	return child
}

// WithCancelCause is context.WithCancelCause.
func WithCancelCause(parent context.Context) (context.Context, context.CancelCauseFunc) {
	v := nearest(parent)
	if v == nil {
		return context.WithCancelCause(parent)
	}
	child := v.derive()
	return child, func(cause error) { child.cancel(context.Canceled, cause) }
}

// WithCancel is context.WithCancel.
func WithCancel(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := WithCancelCause(parent)
	return ctx, func() { cancel(nil) }
}

// WithTimeoutCause is context.WithTimeoutCause.
func WithTimeoutCause(
	parent context.Context, d time.Duration, cause error,
) (context.Context, context.CancelFunc) {
	v := nearest(parent)
	if v == nil {
		return context.WithTimeoutCause(parent, d, cause)
	}
	child := v.derive()
	if child.err == nil {
		v.world.After(d, func() { child.cancel(context.DeadlineExceeded, cause) })
	}
	return child, func() { child.cancel(context.Canceled, nil) }
}

// WithTimeout is context.WithTimeout.
func WithTimeout(
	parent context.Context, d time.Duration,
) (context.Context, context.CancelFunc) {
	return WithTimeoutCause(parent, d, nil)
}

// WithoutCancel is context.WithoutCancel: its world stays the same.
func WithoutCancel(parent context.Context) context.Context {
	v := nearest(parent)
	if v == nil {
		return context.WithoutCancel(parent)
	}
	return &virtual{world: v.world}
}

// Cause is context.Cause.
func Cause(ctx context.Context) error {
	if v := nearest(ctx); v != nil {
		return v.cause
	}
	return context.Cause(ctx)
}

// hooks is a list of what is to be done when a context ends, in the order of time.
type hooks struct{ first, last *hook }

type hook struct {
	list       *hooks
	prev, next *hook
	fn         func()
}

func (l *hooks) add(fn func()) *hook {
	h := &hook{list: l, prev: l.last, fn: fn}
	if l.last != nil {
		l.last.next = h
	} else {
		l.first = h
	}
	l.last = h
	return h
}

// remove takes the hook out of its list and reports whether it was still in it.
func (h *hook) remove() bool {
	if h == nil || h.list == nil {
		return false
	}
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		h.list.first = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	} else {
		h.list.last = h.prev
	}
	h.list, h.prev, h.next = nil, nil, nil
	return true
}

// run takes out and calls one hook after the other.
func (l *hooks) run() {
	for l.first != nil {
		h := l.first
		fn := h.fn
		h.remove()
		fn()
	}
}
