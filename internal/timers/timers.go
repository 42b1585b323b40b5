// Package timers holds what is to happen at a time in a world that has its own clock: the
// heart of a simulation. It knows no clock, and nobody else's order than that of time and,
// at the same time, of age, so that what happens is always the same.
package timers

import "time"

// Timer is something to happen at a time.
type Timer struct {
	At  time.Duration
	Do  func()
	age uint64
}

// Queue has timers by their time; of those of the same time the one that was pushed first
// comes first. It is a binary heap without interfaces, because simulations spend their time
// here. The zero Queue is empty.
type Queue struct {
	heap []Timer
	age  uint64
}

func (q *Queue) less(i, j int) bool {
	a, b := &q.heap[i], &q.heap[j]
	return a.At < b.At || a.At == b.At && a.age < b.age
}

// Push adds a timer.
func (q *Queue) Push(at time.Duration, do func()) {
	q.age++
	q.heap = append(q.heap, Timer{At: at, Do: do, age: q.age})
	for i := len(q.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.less(i, up) {
			return
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

// Pop takes the next timer, if there is one.
func (q *Queue) Pop() (Timer, bool) {
	if len(q.heap) == 0 {
		return Timer{}, false
	}
	top, last := q.heap[0], len(q.heap)-1
	q.heap[0], q.heap[last] = q.heap[last], Timer{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return top, true
		}
		if down+1 < last && q.less(down+1, down) {
			down++
		}
		if !q.less(down, i) {
			return top, true
		}
		q.heap[i], q.heap[down] = q.heap[down], q.heap[i]
		i = down
	}
}
