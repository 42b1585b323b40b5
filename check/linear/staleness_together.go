package linear

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// Together is the least time t such that the moments of all operations can be chosen so
// that no read is stale by more than t, exactly.
//
// A read is stale by no more than t if and only if its value was there at some moment
// between t before its call and its return. So there is such a choice if and only if the
// history is linearizable once all reads are taken to have been called t earlier (Golab,
// Li and Shah call that Δ-atomicity), and for registers with unique values this is a matter of
// pairs; see the comment on register. The answer lies between the most of what single
// reads need and what lets every last read of a value be called when the first of them
// returned, and a longer time never hurts, so that it can be looked for by halves.
func (s *Staleness) Together() history.Time {
	low, high := history.Time(0), history.Time(0)
	for _, r := range s.reads {
		low = max(low, r.Time)
	}
	for i := range s.marks {
		if m := &s.marks[i]; m.write != noOp && m.lastRead != noOp {
			high = max(high, m.last-m.first)
		}
	}
	high = max(low, high)
	if s.Opposed(low) == nil {
		return low
	}
	for low+1 < high { // high will do, low will not
		if middle := low + (high-low)/2; s.Opposed(middle) == nil {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// late is when the last operation of a value was called, if reads had been called t
// earlier.
func (m *mark) late(t history.Time) history.Time {
	if m.lastRead == noOp {
		return m.call
	}
	return max(m.call, m.last-t)
}

// Opposed is a conflict of two values if no read may be stale by more than t: 0 returned
// before 1 was called, or t before that if 1 is a read, and 2, of the value of 1, before
// 3, of the value of 0. Nobody made Nil: then 0 is -1. The result is nil if there is no
// such conflict.
//
// Of marks by their first return one that conflicts with another before it has its first
// return inside that zone, from first to late. Without a conflict so far such zones do
// not overlap, and there is only one that may reach so far: that which reaches farthest.
func (s *Staleness) Opposed(t history.Time) *Conflict {
	far := 0 // the mark that reaches farthest
	for i := 1; i < len(s.marks); i++ {
		m, f := &s.marks[i], &s.marks[far]
		if f.late(t) > m.first && f.first < m.late(t) {
			return &Conflict{Kind: Opposed, Ops: []int{f.firstOp, m.lateOp(t), m.firstOp, f.lateOp(t)}}
		}
		if m.late(t) > f.late(t) {
			far = i
		}
	}
	return nil
}

// lateOp is the operation that late speaks of.
func (m *mark) lateOp(t history.Time) int {
	if m.lastRead == noOp || m.last-t <= m.call {
		return m.write
	}
	return m.lastRead
}

// Bounds are bounds of the least k such that there is one order in which no read is stale
// by more than k versions. Low is the most that a single read needs, or 1 if the history is
// not linearizable; high what the best order has of some that are tried. (No fast algorithm
// is known for any k; for k = 1 see Golab, Hurwitz and Li, "On the k-atomicity-verification
// problem", 2013.)
func (s *Staleness) Bounds() (low, high int) {
	for _, r := range s.reads {
		low = max(low, r.Versions)
	}
	if low == 0 && s.Opposed(0) != nil {
		low = 1
	}
	_, high = s.order(low)
	return low, high
}

// Within reports whether an order was found in which no read is stale by more than k
// versions. If not, there may be one all the same, unless a read by itself needs more.
func (s *Staleness) Within(k int) bool {
	_, need := s.order(k)
	return need <= k
}

// order is the best order of the writes, as marks, of those that are tried, and by how
// many versions its reads are stale at most. It is good enough with k.
func (s *Staleness) order(k int) (best []int32, need int) {
	t := history.Time(-1)
	tries := []func() []int32{
		func() []int32 { return s.sorted(func(m *mark) history.Time { return m.first }) },
		func() []int32 { return s.byCall },
		func() []int32 { // one that proves Together: see register, and RegisterOrder
			t = s.Together()
			return s.sorted(func(m *mark) history.Time {
				if m.write == noOp {
					return beginning
				}
				return m.first + m.late(t)
			})
		},
		func() []int32 { return s.greedy(k) },
		func() []int32 { return s.greedy(k + 1) },
	}
	need = len(s.marks)
	for _, try := range tries {
		order := try()
		if n := s.needs(order); n < need {
			best, need = order, n
		}
		if need <= k {
			break
		}
	}
	return best, need
}

func (s *Staleness) sorted(by func(m *mark) history.Time) []int32 {
	order := make([]int32, len(s.marks))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		return cmp.Compare(by(&s.marks[a]), by(&s.marks[b]))
	})
	return order
}

// needs is by how many versions reads are stale at most in an order of the writes, or the
// number of marks if the order is not admitted. Reads stand as early as they may.
func (s *Staleness) needs(order []int32) int {
	if len(order) < len(s.marks) || order[0] != 0 {
		return len(s.marks)
	}
	place := make([]int, len(s.marks))
	called := beginning
	for at, i := range order {
		m := &s.marks[i]
		if m.first < called {
			return len(s.marks)
		}
		called = max(called, m.call)
		place[i] = at
	}
	behind := make([]int, len(s.marks)+1) // the last place of the first so many marks
	for i := range s.marks {
		behind[i+1] = max(behind[i], place[i])
	}
	need := 0
	for i := range s.marks {
		if m := &s.marks[i]; m.lastRead != noOp {
			need = max(need, behind[s.doneBefore(m.last)]-place[i])
		}
	}
	return need
}

// greedy makes an order write by write. Of those that may come next it takes the one that
// returned first, as that is what most of the reads before wait for; but one whose own
// reads have to stand behind more than k of what is left has to wait, if another can come
// first, and not too much was tried.
func (s *Staleness) greedy(k int) []int32 {
	n := len(s.marks)
	left := make(tree, n+1)
	done := make([]bool, n)
	for i := range n {
		left.add(i, 1)
	}
	order := make([]int32, 0, n)
	steps := 16 * n // of a few tens of nanoseconds
	for lead := 0; lead < n; {
		if done[lead] {
			lead++
			continue
		}
		next := lead
		// What was called by the first return of all that is left may come next.
		for i := lead; i < n && steps > 0; i, steps = i+1, steps-1 {
			m := &s.marks[i]
			if done[i] || m.call > s.marks[lead].first {
				continue
			}
			waits := 0
			if m.lastRead != noOp {
				before := s.doneBefore(m.last)
				waits = left.below(before)
				if i < before {
					waits--
				}
			}
			if waits <= k {
				next = i
				break
			}
			if i-lead > 256 {
				break
			}
		}
		done[next] = true
		left.add(next, -1)
		order = append(order, int32(next))
	}
	return order
}
