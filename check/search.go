package check

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/models"
)

// item is an operation as a search sees it.
type item struct {
	op   *history.Operation
	p    models.Parsed
	call history.Time
	ret  history.Time
}

// crashed reports whether nobody knows if the operation took effect.
func (it *item) crashed() bool { return it.op.Type == history.Info }

// answer is what a search found.
type answer uint8

const (
	undecided answer = iota
	legal            // linearizable
	illegal          // not linearizable
)

// cause says why a search ended undecided.
type cause int32

const (
	causeNone   cause = iota
	causeTime         // its time was up, or its context ended
	causeMemory       // the heap had grown too far
	causePanic        // the model panicked
)

// search is one run of Porcupine that can be stopped from outside. Porcupine has
// no handle for that but its own timeout, so the model has: once stopped is set,
// no step is possible any more, and the search unwinds and ends as if the history
// were illegal. Whoever stopped it knows better.
type search struct {
	stopped atomic.Int32 // a cause
	// states counts the configurations that the search may have remembered.
	states atomic.Int64
	fault  atomic.Pointer[string]
}

func (s *search) stop(why cause) { s.stopped.CompareAndSwap(int32(causeNone), int32(why)) }

// model makes m stoppable.
func (s *search) model(m porcupine.Model) porcupine.Model {
	step := m.Step
	m.StepContext = func(
		_ context.Context, state, in, out any,
	) (ok bool, next any) {
		if s.stopped.Load() != 0 {
			return false, state
		}
		defer func() {
			if r := recover(); r != nil {
				// This goroutine is Porcupine's: a panic would end the program.
				text := fmt.Sprintf("%v\n%s", r, debug.Stack())
				s.fault.CompareAndSwap(nil, &text)
				s.stop(causePanic)
				ok, next = false, state
			}
		}()
		ok, next = step(state, in, out)
		if ok {
			s.states.Add(1)
		}
		return ok, next
	}
	return m
}

// finding is the result of one search.
type finding struct {
	answer answer
	cause  cause
	fault  string // with causePanic
	info   porcupine.LinearizationInfo
}

// run decides whether items are linearizable, until ctx ends or the guard stops
// it. When it returns, nothing of it is running any more.
func run(
	ctx context.Context, g *guard, m porcupine.Model, items []item, verbose bool,
) finding {
	if ctx.Err() != nil {
		return finding{cause: causeTime}
	}
	s := &search{}
	defer context.AfterFunc(ctx, crash.Guard(func() { s.stop(causeTime) }))()
	g.enter(s)
	defer g.leave(s)

	var f finding
	sm := s.model(m)
	ok := false
	if verbose {
		var r porcupine.CheckResult
		ops := operations(items)
		for i := range ops {
			ops[i].Metadata = fmt.Sprintf("process %d, operation %d",
				items[i].op.Process, items[i].op.Index)
		}
		r, f.info = porcupine.CheckOperationsVerbose(sm, ops, 0)
		ok = r == porcupine.Ok
	} else {
		ok = porcupine.CheckOperations(sm, operations(items))
	}
	switch c := cause(s.stopped.Load()); {
	case ok:
		f.answer = legal // a complete order was found, stopped or not
	case c != causeNone:
		f.cause = c
		if t := s.fault.Load(); t != nil {
			f.fault = *t
		}
	default:
		f.answer = illegal
	}
	return f
}

// operations converts items for Porcupine, with small client numbers, which are
// the rows of its pages.
func operations(items []item) []porcupine.Operation {
	rows := make(map[history.Process]int)
	ops := make([]porcupine.Operation, len(items))
	for i := range items {
		it := &items[i]
		row, found := rows[it.op.Process]
		if !found {
			row = len(rows)
			rows[it.op.Process] = row
		}
		ops[i] = porcupine.Operation{
			ClientId: row,
			Input:    it.p.In, Call: int64(it.call),
			Output: it.p.Out, Return: int64(it.ret),
		}
	}
	return ops
}

// guard stops searches when together they make the heap grow by more than limit
// bytes: the largest one first, so that one hard key does not take the others
// down with it.
type guard struct {
	limit uint64
	base  uint64
	quit  chan struct{}
	ended chan struct{}

	mu      sync.Mutex
	running map[*search]bool
}

// guardPeriod is how often the guard looks. A search allocates a few hundred
// megabytes a second at most.
const guardPeriod = 10 * time.Millisecond

// newGuard starts a guard; a limit of 0 means none. It must be closed.
func newGuard(limit uint64) *guard {
	g := &guard{
		limit: limit, base: heapObjects(),
		quit: make(chan struct{}), ended: make(chan struct{}),
		running: make(map[*search]bool),
	}
	crash.Go(g.watch)
	return g
}

func (g *guard) close() {
	close(g.quit)
	<-g.ended
}

func (g *guard) enter(s *search) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[s] = true
}

func (g *guard) leave(s *search) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, s)
}

func (g *guard) watch() {
	defer close(g.ended)
	if g.limit == 0 {
		return
	}
	tick := time.NewTicker(guardPeriod)
	defer tick.Stop()
	for {
		select {
		case <-g.quit:
			return
		case <-tick.C:
		}
		if !g.over(heapObjects()) {
			continue
		}
		// Much of that may be garbage. What is left after a collection is not.
		runtime.GC()
		if g.over(heapLive()) {
			g.stopLargest()
		}
	}
}

func (g *guard) over(heap uint64) bool { return heap > g.base+g.limit }

func (g *guard) stopLargest() {
	g.mu.Lock()
	defer g.mu.Unlock()
	var largest *search
	for s := range g.running {
		if s.stopped.Load() == 0 &&
			(largest == nil || s.states.Load() > largest.states.Load()) {
			largest = s
		}
	}
	if largest != nil {
		largest.stop(causeMemory)
	}
}

// heapObjects returns the bytes of all objects on the heap, dead ones that are
// not yet swept included.
func heapObjects() uint64 { return readMetric("/memory/classes/heap/objects:bytes") }

// heapLive returns the bytes that the last collection found reachable.
func heapLive() uint64 { return readMetric("/gc/heap/live:bytes") }

func readMetric(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0 // a runtime without it: then there is no bound
	}
	return s[0].Value.Uint64()
}
