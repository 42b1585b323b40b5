package workload

import (
	"fmt"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// Generator says what the threads of a test do. It is an immutable value: Next
// and Update never change the receiver, they return its successor, and for the
// same receiver and arguments they return the same answer. Implementations are
// pointers or other comparable types, so that "nothing changed" can be seen.
type Generator interface {
	// Next says what the thread ctx.Thread, which is free, should do.
	//
	// The returned generator takes the receiver's place when the step is an
	// operation whose time has come, or is pending. When the operation lies in
	// the future the returned generator is dropped, and the receiver is asked
	// again at that time or when something changes, whichever is first. A done
	// step is for ever and for all threads.
	Next(ctx Context) (Step, Generator)
	// Update tells the generator of an invocation or a completion. ctx.Thread is
	// the thread of the event. Steps that are no operations (sleep, log) are not
	// told of.
	Update(ctx Context, event history.Event) Generator
}

// Context is what a generator knows of the test when it is asked. It is valid
// during the call only.
type Context struct {
	Time history.Time
	// Thread is the thread that asks, or whose event is told, and Process the
	// process it now is.
	Thread  int
	Process history.Process
	// Threads is the number of worker threads, numbered from 0.
	Threads int
	// Epoch counts the fault windows that have ended.
	Epoch int64
	// Rand is the randomness of this step. A combinator that draws from it hands
	// a Split to the generators inside.
	Rand Rand

	busy  *threadSet
	scope *threadSet
}

// Busy reports whether a thread is executing an operation, sleeping or waiting
// before it may try a dead node again.
func (c Context) Busy(thread int) bool { return c.busy != nil && c.busy.has(thread) }

// BusyCount returns the number of busy threads among those in scope.
func (c Context) BusyCount() int {
	switch {
	case c.busy == nil:
		return 0
	case c.scope == nil:
		return c.busy.count
	default:
		return c.busy.common(c.scope)
	}
}

// Scope returns how many threads this generator may work with: all, or those
// that OnThreads, Reserve and the like have left it.
func (c Context) Scope() int {
	if c.scope == nil {
		return c.Threads
	}
	return c.scope.count
}

// InScope reports whether the generator may work with a thread.
func (c Context) InScope(thread int) bool { return c.scope == nil || c.scope.has(thread) }

// Rank returns how many threads in scope have a lower number than the given one:
// its position among them, from 0.
func (c Context) Rank(thread int) int {
	if c.scope == nil {
		return thread
	}
	return c.scope.rank(thread)
}

// ThreadOf returns the thread that a process runs on.
func (c Context) ThreadOf(p history.Process) int { return int(int64(p) % int64(c.Threads)) }

// narrow returns the threads in scope that pred accepts.
func (c Context) narrow(pred func(thread int) bool) *threadSet {
	set := newThreadSet(c.Threads)
	for t := range c.Threads {
		if c.InScope(t) && pred(t) {
			set.add(t)
		}
	}
	return set
}

// OpKind says what a thread does with an Op.
type OpKind uint8

// The kinds of operations. Only OpInvoke appears in the history.
const (
	// OpInvoke calls the system.
	OpInvoke OpKind = iota
	// OpSleep keeps the thread busy for Value, an integer of nanoseconds.
	OpSleep
	// OpLog writes Value, a string, to the log of the run.
	OpLog
)

// Op is something for one thread to do.
type Op struct {
	Kind  OpKind
	F     history.F
	Key   history.Key
	Value history.Value
	// At is the time before which the operation must not begin. Zero is at once.
	At history.Time
}

// String shows the operation for messages: "write k3 7".
func (o Op) String() string {
	switch o.Kind {
	case OpSleep:
		n, _ := o.Value.AsInt()
		return "sleep " + time.Duration(n).String()
	case OpLog:
		s, _ := o.Value.AsString()
		return fmt.Sprintf("log %q", s)
	case OpInvoke:
		s := string(o.F)
		if o.Key != "" {
			s += " " + string(o.Key)
		}
		if !o.Value.IsNil() {
			s += " " + o.Value.String()
		}
		return s
	default:
		return fmt.Sprintf("operation of kind %d", o.Kind)
	}
}

// StepKind is the kind of a generator's answer.
type StepKind uint8

// The kinds of steps.
const (
	// StepDone: there is nothing more to do, for any thread, ever.
	StepDone StepKind = iota
	// StepOp: do Step.Op.
	StepOp
	// StepPending: nothing for this thread now; ask again when something has
	// changed, or at Step.Op.At if that is not zero.
	StepPending
	// StepBroken: the generator breaks its contract; Step.Err says how.
	StepBroken
)

// Step is a generator's answer to Next.
type Step struct {
	Kind StepKind
	Op   Op
	Err  error
}

// Do is the step that performs op.
func Do(op Op) Step { return Step{Kind: StepOp, Op: op} }

// Pending is the step that has nothing for this thread now.
func Pending() Step { return Step{Kind: StepPending} }

// PendingUntil is Pending with the time at which to ask again even if nothing
// happened before.
func PendingUntil(t history.Time) Step { return Step{Kind: StepPending, Op: Op{At: t}} }

// Done is the step that ends a generator.
func Done() Step { return Step{Kind: StepDone} }

// Broken is the step of a generator that cannot go on.
func Broken(err error) Step { return Step{Kind: StepBroken, Err: err} }

// when returns the time at which the step's operation can begin.
func (s Step) when(now history.Time) history.Time { return max(s.Op.At, now) }

// ready reports whether the step is an operation that can begin now.
func (s Step) ready(now history.Time) bool { return s.Kind == StepOp && s.Op.At <= now }

// sooner returns the earlier of two wake-up times, where zero is none.
func sooner(a, b history.Time) history.Time {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	default:
		return min(a, b)
	}
}

// same reports whether two generators are the same value. Values that cannot be
// compared are taken for different.
func same(a, b Generator) (equal bool) {
	defer func() {
		if recover() != nil {
			equal = false
		}
	}()
	return a == b
}

// nothing is the generator that is done.
type nothing struct{}

// Nothing returns the generator that has nothing to do.
func Nothing() Generator { return nothing{} }

func (n nothing) Next(Context) (Step, Generator)            { return Done(), n }
func (n nothing) Update(Context, history.Event) Generator   { return n }
func over() (Step, Generator)                               { return Done(), nothing{} }
func hold(g Generator, wake history.Time) (Step, Generator) { return PendingUntil(wake), g }

// fn is the generator of a function.
type fn struct{ f func(Context) Op }

// Func returns the generator that asks f for every operation, for ever. f is pure:
// what it draws comes from the context's Rand.
func Func(f func(ctx Context) Op) Generator { return &fn{f: f} }

func (g *fn) Next(ctx Context) (Step, Generator)      { return Do(g.f(ctx)), g }
func (g *fn) Update(Context, history.Event) Generator { return g }

// ops is the generator of a list of operations.
type ops struct{ rest []Op }

// Ops returns the generator of these operations, one after the other, by whatever
// thread is free.
func Ops(list ...Op) Generator { return &ops{rest: list} }

func (g *ops) Next(Context) (Step, Generator) {
	if len(g.rest) == 0 {
		return over()
	}
	return Do(g.rest[0]), &ops{rest: g.rest[1:]}
}

func (g *ops) Update(Context, history.Event) Generator { return g }

// Sleep returns the generator that keeps one thread busy for d, once.
func Sleep(d time.Duration) Generator {
	return Ops(Op{Kind: OpSleep, Value: history.Int(int64(d))})
}

// Log returns the generator that writes text to the log of the run, once.
func Log(text string) Generator { return Ops(Op{Kind: OpLog, Value: history.Str(text)}) }
