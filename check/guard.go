package check

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// cause says why a search ended undecided.
type cause int32

const (
	causeNone   cause = iota
	causeTime         // its time was up, or its context ended
	causeMemory       // the heap had grown too far
	causePanic        // the model panicked, or broke its word
	causeEngine       // the engine that was asked for cannot decide this
)

// watched is a search that a guard may stop.
type watched struct {
	// stop ends the search. It is called at most once.
	stop func()
	// bytes is what the search holds, about.
	bytes   atomic.Int64
	stopped bool // by the guard, under its lock
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
	running map[*watched]bool
}

// guardPeriod is how often the guard looks. A search allocates a few hundred
// megabytes a second at most.
const guardPeriod = 10 * time.Millisecond

// newGuard starts a guard; a limit of 0 means none. It must be closed.
func newGuard(limit uint64) *guard {
	g := &guard{
		limit: limit, base: heapObjects(),
		quit: make(chan struct{}), ended: make(chan struct{}),
		running: make(map[*watched]bool),
	}
	crash.Go(g.watch)
	return g
}

func (g *guard) close() {
	close(g.quit)
	<-g.ended
}

func (g *guard) enter(s *watched) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[s] = true
}

// leave reports whether the guard had stopped s.
func (g *guard) leave(s *watched) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, s)
	return s.stopped
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
	var largest *watched
	for s := range g.running {
		if !s.stopped && (largest == nil || s.bytes.Load() > largest.bytes.Load()) {
			largest = s
		}
	}
	if largest != nil {
		largest.stopped = true
		largest.stop()
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
