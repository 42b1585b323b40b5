// Package crash decides what a panic in a goroutine does to the program. Go ends it
// with status 2, which for the checker's callers is a verdict, and leaves behind what
// was to be undone. So every goroutine of the harness is started by Go or through
// Guard (internal/tidy tests it), and the program says once, by Handle, how it wants
// to end.
//
// A panic is never survived: the goroutine may hold locks, and the state that it left
// is nobody's. What runs between panic and end (Before) must therefore take no lock of
// the harness and trust only what is on disk. Programs that do not call Handle, such
// as tests and users of the packages, panic as ever.
package crash

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Panic is what went wrong.
type Panic struct {
	Value any
	Stack string
}

// Error is one line.
func (p Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// program is how this program ends. It is the one global variable of the harness,
// because a panic belongs to the process, not to a test.
var program ending

type ending struct {
	mu     sync.Mutex
	end    func(Panic)
	before []*func(Panic)
}

// beforeLimit bounds each of the functions of Before.
const beforeLimit = 30 * time.Second

// Handle sets what ends the program after a panic; end must not return. Called with
// nil it makes panics plain ones again.
func Handle(end func(Panic)) {
	program.mu.Lock()
	defer program.mu.Unlock()
	program.end = end
}

// Before has f called after a panic, before the program ends, until remove is called.
// The newest is called first; none may take longer than 30 seconds.
func Before(f func(Panic)) (remove func()) {
	program.mu.Lock()
	defer program.mu.Unlock()
	program.before = append(program.before, &f)
	return func() {
		program.mu.Lock()
		defer program.mu.Unlock()
		for i, g := range program.before {
			if g == &f {
				program.before = append(program.before[:i:i], program.before[i+1:]...)
				return
			}
		}
	}
}

// Go runs f in a goroutine of its own.
func Go(f func()) { go Guard(f)() }

// Guard returns a function that does what f does, for sync.WaitGroup.Go,
// time.AfterFunc and the like.
func Guard(f func()) func() {
	return func() {
		defer catch()
		f()
	}
}

// catch is deferred, so that the stack is still that of the panic.
func catch() {
	v := recover()
	if v == nil {
		return
	}
	program.mu.Lock() // for good: the first panic is the one that is told
	if program.end == nil {
		program.mu.Unlock()
		panic(v)
	}
	p := Panic{Value: v, Stack: string(debug.Stack())}
	for i := len(program.before) - 1; i >= 0; i-- {
		attempt(*program.before[i], p)
	}
	program.end(p)
}

// attempt calls f, whatever becomes of it.
func attempt(f func(Panic), p Panic) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }() // the first panic says more
		f(p)
	}()
	late := time.NewTimer(beforeLimit)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
}
