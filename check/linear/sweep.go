package linear

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// Span is when an operation was open: from Call until Return, both included.
// Return is history.Never if the outcome is unknown.
type Span struct {
	Call, Return history.Time
}

func (s Span) crashed() bool { return s.Return == history.Never }

// before reports whether an operation was over before o was called.
func (s Span) before(o Span) bool { return s.Return < o.Call }

// due is an open operation and when it returns.
type due struct {
	at history.Time
	op int
}

// returns has the open operations and tells who returns first. Its size is the
// concurrency of a history, so that a sweep over operations sorted by call sees all
// events in order without ever sorting them.
//
// It is a tournament: a binary tree whose leaves are the open operations and whose
// inner nodes are the earlier of their two children. Unlike a heap it has nothing
// for a processor to guess wrong.
type returns struct {
	tree []leaf
	ops  []int
	free []int
}

// leaf is the place of an open operation, with the time that it returns at; Never
// if the place is free.
type leaf struct {
	at    history.Time
	place int
}

func (r *returns) len() int { return len(r.ops) - len(r.free) }

// next is when the first operation returns, Never if none is open.
func (r *returns) next() history.Time {
	if len(r.tree) == 0 {
		return history.Never
	}
	return r.tree[1].at
}

func (r *returns) push(d due) {
	if len(r.free) == 0 {
		r.grow()
	}
	place := r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	r.ops[place] = d.op
	r.set(place, d.at)
}

// pop takes out the operation that returns first. There must be one.
func (r *returns) pop() due {
	first := r.tree[1]
	r.free = append(r.free, first.place)
	r.set(first.place, history.Never)
	return due{at: first.at, op: r.ops[first.place]}
}

func (r *returns) set(place int, at history.Time) {
	tree := r.tree
	i := len(tree)/2 + place
	x := leaf{at: at, place: place}
	tree[i] = x
	for i > 1 {
		if s := tree[i^1]; s.at < x.at {
			x = s
		}
		i >>= 1
		tree[i] = x
	}
}

// grow doubles the number of places.
func (r *returns) grow() {
	old := r.tree
	n := max(16, len(old)) // places: half of the tree are leaves
	r.tree = make([]leaf, 2*n)
	for i := range r.tree {
		r.tree[i].at = history.Never
	}
	for place := n - 1; place >= len(r.ops); place-- {
		r.free = append(r.free, place)
		r.tree[n+place].place = place
	}
	was := len(r.ops)
	r.ops = append(r.ops, make([]int, n-was)...)
	for place := range was {
		r.set(place, old[len(old)/2+place].at)
	}
}

// backwards says that an operation ends before it begins.
func backwards(op int, s Span) string {
	return fmt.Sprintf("operation %d returns at %d, before its call at %d", op, s.Return, s.Call)
}
