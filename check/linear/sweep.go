package linear

import (
	"cmp"
	"fmt"
	"slices"

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

// due is an open operation in a heap of returns.
type due struct {
	at history.Time
	op int
}

// returns is a heap of open operations, the one that returns first on top. Its
// size is the concurrency of a history, so that a sweep over operations sorted by
// call sees all events in order without ever sorting them.
type returns []due

func (h *returns) push(d due) {
	q := append(*h, d)
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if q[parent].at <= d.at {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = d
	*h = q
}

func (h *returns) pop() due {
	q := *h
	top, last := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	*h = q
	if len(q) == 0 {
		return top
	}
	i := 0
	for {
		first := 4*i + 1
		if first >= len(q) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(q)); c++ {
			if q[c].at < q[least].at {
				least = c
			}
		}
		if q[least].at >= last.at {
			break
		}
		q[i] = q[least]
		i = least
	}
	q[i] = last
	return top
}

// byCall returns the indices of n operations by their call, nil if they are sorted.
func byCall(n int, span func(i int) Span) []int {
	sorted := true
	for i := 1; i < n && sorted; i++ {
		sorted = span(i-1).Call <= span(i).Call
	}
	if sorted {
		return nil
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(span(a).Call, span(b).Call) })
	return order
}

// orderByCall is byCall, spelled out if they are sorted.
func orderByCall(n int, span func(i int) Span) []int {
	order := byCall(n, span)
	if order == nil {
		order = make([]int, n)
		for i := range order {
			order[i] = i
		}
	}
	return order
}

// backwards says that an operation ends before it begins.
func backwards(op int, s Span) string {
	return fmt.Sprintf("operation %d returns at %d, before its call at %d", op, s.Return, s.Call)
}

// heap is a heap of T, the least on top.
type heap[T any] struct {
	less  func(a, b *T) bool
	items []T
}

func (h *heap[T]) len() int { return len(h.items) }
func (h *heap[T]) top() *T  { return &h.items[0] }

func (h *heap[T]) push(x T) {
	h.items = append(h.items, x)
	q := h.items
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.less(&q[i], &q[parent]) {
			break
		}
		q[i], q[parent] = q[parent], q[i]
		i = parent
	}
}

func (h *heap[T]) pop() T {
	q := h.items
	top := q[0]
	q[0] = q[len(q)-1]
	q = q[:len(q)-1]
	h.items = q
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(q); c++ {
			if h.less(&q[c], &q[least]) {
				least = c
			}
		}
		if least == i {
			return top
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
}
