package maelstrom

import (
	"container/heap"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// loop is where everything in a network happens, one thing after the other: whoever does
// something holds its mutex, and what is due later is done by its goroutine, which holds it
// too. It is the clock of the links.
type loop struct {
	base time.Time
	mu   sync.Mutex // guards the rest, and the network

	queue  timers
	seq    uint64
	closed bool
	wake   chan struct{} // capacity 1: the head of the queue changed
	done   chan struct{} // closed when the goroutine has ended
}

func newLoop() *loop {
	l := &loop{base: time.Now(), wake: make(chan struct{}, 1), done: make(chan struct{})}
	crash.Go(l.run)
	return l
}

// Now implements links.Clock.
func (l *loop) Now() time.Duration { return time.Since(l.base) }

// After implements links.Clock. The caller holds mu. After close nothing is due any more.
func (l *loop) After(d time.Duration, f func()) {
	if l.closed {
		return
	}
	l.seq++
	t := &timer{due: l.Now() + d, seq: l.seq, do: f}
	if d <= 0 {
		t.due = 0 // before all that was to come later
	}
	heap.Push(&l.queue, t)
	if l.queue[0] == t {
		l.signal()
	}
}

func (l *loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// close forgets what is due and waits until nothing happens any more.
func (l *loop) close() {
	l.mu.Lock()
	l.closed, l.queue = true, nil
	l.mu.Unlock()
	l.signal()
	<-l.done
}

func (l *loop) run() {
	defer close(l.done)
	wait := time.NewTimer(time.Hour)
	defer wait.Stop()
	for {
		next, closed := l.work()
		if closed {
			return
		}
		wait.Reset(next)
		select {
		case <-wait.C:
		case <-l.wake:
		}
	}
}

// work does what is due and returns how long it is until there is more.
func (l *loop) work() (wait time.Duration, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 {
		if wait := l.queue[0].due - l.Now(); wait > 0 {
			return wait, l.closed
		}
		heap.Pop(&l.queue).(*timer).do()
	}
	return time.Hour, l.closed
}

// timer is something to be done.
type timer struct {
	due time.Duration
	seq uint64
	do  func()
}

// timers orders what is to be done by time and, among equals, by age, so that a link that
// does nothing to messages keeps their order.
type timers []*timer

func (q timers) Len() int { return len(q) }

func (q timers) Less(i, j int) bool {
	if q[i].due != q[j].due {
		return q[i].due < q[j].due
	}
	return q[i].seq < q[j].seq
}

func (q timers) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *timers) Push(x any)   { *q = append(*q, x.(*timer)) }

func (q *timers) Pop() any {
	old := *q
	last := len(old) - 1
	t := old[last]
	old[last] = nil
	*q = old[:last]
	return t
}
