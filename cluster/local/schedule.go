package local

import (
	"container/heap"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// scheduler delivers held datagrams when they are due: one heap, one timer and
// one goroutine for all links of a cluster, however many datagrams are held.
type scheduler struct {
	base time.Time

	mu     sync.Mutex
	queue  packetHeap
	seq    uint64
	closed bool

	wake chan struct{} // capacity 1: the head of the queue changed
	done chan struct{} // closed when the goroutine has ended
}

func newScheduler() *scheduler {
	s := &scheduler{
		base: time.Now(),
		wake: make(chan struct{}, 1),
		done: make(chan struct{}),
	}
	crash.Go(s.run)
	return s
}

// now is monotonic time since the scheduler was made.
func (s *scheduler) now() time.Duration { return time.Since(s.base) }

// add has p.fire called at due. After close, p is forgotten.
func (s *scheduler) add(p *packet, due time.Duration) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.seq++
	p.due, p.seq = due, s.seq
	heap.Push(&s.queue, p)
	first := s.queue[0] == p
	s.mu.Unlock()
	if first {
		s.signal()
	}
}

func (s *scheduler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// close forgets what is held and waits until nothing is delivered any more.
func (s *scheduler) close() {
	s.mu.Lock()
	s.closed = true
	s.queue = nil
	s.mu.Unlock()
	s.signal()
	<-s.done
}

func (s *scheduler) run() {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p, wait, closed := s.next()
		switch {
		case closed:
			return
		case p != nil:
			p.link.fire(p)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.wake:
		}
	}
}

// next takes out the first packet if it is due, or says how long to wait.
func (s *scheduler) next() (p *packet, wait time.Duration, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, true
	}
	if len(s.queue) == 0 {
		return nil, time.Hour, false
	}
	if wait := s.queue[0].due - s.now(); wait > 0 {
		return nil, wait, false
	}
	return heap.Pop(&s.queue).(*packet), 0, false
}

// packetHeap orders packets by due time and, among equals, by arrival, so that a
// constant delay never reorders.
type packetHeap []*packet

func (h packetHeap) Len() int { return len(h) }

func (h packetHeap) Less(i, j int) bool {
	if h[i].due != h[j].due {
		return h[i].due < h[j].due
	}
	return h[i].seq < h[j].seq
}

func (h packetHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *packetHeap) Push(x any) { *h = append(*h, x.(*packet)) }

func (h *packetHeap) Pop() any {
	old := *h
	n := len(old) - 1
	p := old[n]
	old[n] = nil
	*h = old[:n]
	return p
}
