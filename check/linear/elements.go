package linear

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/ordeal-dev/ordeal/history"
)

// QueueOp is an operation of a queue that is empty at first: an enqueue of Value, or
// a dequeue that returned it, or Nil if it found the queue empty. The Value of a
// dequeue of unknown outcome does not count.
type QueueOp struct {
	Span
	Dequeue bool
	Value   Value
}

// element is what passes through a queue. It is there for certain between in and
// out, if in comes before out.
type element struct {
	enqueue int
	// dequeue is noOp if no answer has it. It may be one of unknown outcome that is
	// thought to have taken it.
	dequeue int
	// The enqueue takes effect from call until in, the dequeue from out until gone;
	// out and gone are history.Never if there is none.
	call, in, out, gone history.Time
}

// elementRun is what queues and bags have in common.
type elementRun struct {
	ops []QueueOp
	// elements were dequeued, rest were acknowledged and never dequeued by anyone
	// whose answer is known; sorted by call and by in.
	elements, rest []element
	// lost are the dequeues of unknown outcome and empty those that found nothing,
	// by call.
	lost, empty []int
	// moments are when the queue was empty for each of empty, and drained the same
	// in order.
	moments, drained []history.Time
	// twice is an element that was dequeued more than once.
	twice Result
}

// gather pairs enqueues with dequeues.
func (r *elementRun) gather() Result {
	most := Nil
	for i := range r.ops {
		if r.ops[i].Return < r.ops[i].Call {
			return notApplicable(backwards(i, r.ops[i].Span))
		}
		most = max(most, r.ops[i].Value)
	}
	if !dense(most, len(r.ops)) {
		return notApplicable(notDense)
	}
	enqueue := slices.Repeat([]int32{none}, int(most)+1)
	dequeue := slices.Repeat([]int32{none}, int(most)+1)
	for i := range r.ops {
		op := &r.ops[i]
		switch {
		case !op.Dequeue && (enqueue[op.Value] != none || op.Value == Nil):
			return notApplicable(fmt.Sprintf("elements are not unique: operation %d enqueues one "+
				"that was enqueued before, or nil", i))
		case !op.Dequeue:
			enqueue[op.Value] = int32(i)
		case op.crashed():
			r.lost = append(r.lost, i)
		case op.Value == Nil:
			r.empty = append(r.empty, i)
		case dequeue[op.Value] != none:
			// Only if nobody enqueues it again: pair decides when all are known.
			other := int(dequeue[op.Value])
			r.twice = conflict(Twice, max(op.Return, r.ops[other].Return), other, i)
		default:
			dequeue[op.Value] = int32(i)
		}
	}
	t := timeline(func(i int) Span { return r.ops[i].Span })
	t.sort(r.lost)
	t.sort(r.empty)
	return r.pair(enqueue, dequeue)
}

// pair makes the elements.
func (r *elementRun) pair(enqueue, dequeue []int32) Result {
	if r.twice.Answer == Violation {
		return r.twice
	}
	for v := range enqueue {
		in, out := int(enqueue[v]), int(dequeue[v])
		switch {
		case in == noOp && out == noOp:
			continue
		case in == noOp:
			return conflict(Unwritten, r.ops[out].Return, out)
		case out == noOp:
			if op := &r.ops[in]; !op.crashed() {
				r.rest = append(r.rest, element{
					enqueue: in, dequeue: noOp, call: op.Call, in: op.Return,
					out: history.Never, gone: history.Never,
				})
			}
			continue
		case r.ops[out].before(r.ops[in].Span):
			return conflict(Inverted, r.ops[out].Return, out, in)
		}
		i, o := &r.ops[in], &r.ops[out]
		r.elements = append(r.elements, element{
			enqueue: in, dequeue: out, call: i.Call, in: min(i.Return, o.Return),
			out: max(i.Call, o.Call), gone: o.Return,
		})
	}
	slices.SortFunc(r.elements, func(a, b element) int { return cmp.Compare(a.call, b.call) })
	slices.SortFunc(r.rest, func(a, b element) int { return cmp.Compare(a.in, b.in) })
	return Result{Answer: Linearizable}
}

// remaining is how many elements of rest were there for certain at a time, unless
// somebody took them.
func (r *elementRun) remaining(at history.Time) int {
	return sort.Search(len(r.rest), func(i int) bool { return r.rest[i].in >= at })
}

// takers is how many dequeues of unknown outcome were called by a time.
func (r *elementRun) takers(at history.Time) int {
	return sort.Search(len(r.lost), func(i int) bool { return r.ops[r.lost[i]].Call > at })
}

// cleared reports whether dequeues of unknown outcome may have taken all that would
// be left otherwise. They are matched by deadline: all that must be gone at some
// moment must have been taken by somebody called by then, and that is enough.
func (r *elementRun) cleared(at history.Time) bool { return r.remaining(at) <= r.takers(at) }

// covers are the times when some element was there that was dequeued later: open
// intervals, disjoint, in order.
func (r *elementRun) covers() []Span {
	var all []Span
	for i := range r.elements {
		if e := &r.elements[i]; e.in < e.out {
			all = append(all, Span{e.in, e.out})
		}
	}
	slices.SortFunc(all, func(a, b Span) int { return cmp.Compare(a.Call, b.Call) })
	merged := all[:0]
	for _, s := range all {
		if n := len(merged); n > 0 && s.Call < merged[n-1].Return {
			merged[n-1].Return = max(merged[n-1].Return, s.Return)
		} else {
			merged = append(merged, s)
		}
	}
	return merged
}

// within returns the one of disjoint open intervals that has t inside.
func within(spans []Span, t history.Time) (s Span, found bool) {
	i := sort.Search(len(spans), func(i int) bool { return spans[i].Return > t })
	if i < len(spans) && spans[i].Call < t {
		return spans[i], true
	}
	return Span{}, false
}

// findEmpty finds, for everybody who found nothing, the first moment at which there
// may have been nothing.
//
// It need not look at other moments than the call, the ends of covers, and the
// calls of dequeues of unknown outcome: between them the queue only gets fuller.
func (r *elementRun) findEmpty() Result {
	if len(r.empty) == 0 {
		return Result{Answer: Linearizable}
	}
	covers := r.covers()
	var good []history.Time
	try := func(t history.Time) bool {
		_, covered := within(covers, t)
		return !covered && r.cleared(t)
	}
	for _, s := range covers {
		if try(s.Return) {
			good = append(good, s.Return)
		}
	}
	for _, i := range r.lost {
		if t := r.ops[i].Call; try(t) {
			good = append(good, t)
		}
	}
	slices.Sort(good)
	for _, i := range r.empty {
		op := &r.ops[i]
		at := op.Call
		if !try(at) {
			next, _ := slices.BinarySearch(good, at)
			if next == len(good) || good[next] > op.Return {
				return r.occupied(i)
			}
			at = good[next]
		}
		r.moments = append(r.moments, at)
	}
	r.drained = slices.Sorted(slices.Values(r.moments))
	return Result{Answer: Linearizable}
}

// occupied is the conflict that op found nothing although something was there all
// the time. It names those elements that together were there: as few as a walk along
// the time finds that always takes the one that stays the longest.
func (r *elementRun) occupied(op int) Result {
	o := &r.ops[op]
	ops, at := []int{op}, o.Return
	for i := range r.ops { // whoever was still open could have taken what is left
		if d := &r.ops[i]; d.Dequeue && !d.crashed() && d.Call <= o.Return {
			at = max(at, d.Return)
		}
	}
	left := 0 // how many of rest are named
	for t := o.Call; t <= o.Return; {
		longest := -1
		for i := range r.elements {
			e := &r.elements[i]
			if e.in < t && t < e.out && (longest < 0 || e.out > r.elements[longest].out) {
				longest = i
			}
		}
		if longest >= 0 {
			e := &r.elements[longest]
			ops = append(ops, e.enqueue)
			at = max(at, e.gone)
			t = e.out
			continue
		}
		takers := r.takers(t)
		left = max(left, takers+1)
		if takers == len(r.lost) {
			break
		}
		t = r.ops[r.lost[takers]].Call
	}
	for _, e := range r.rest[:left] {
		ops = append(ops, e.enqueue)
	}
	return conflict(Occupied, at, ops...)
}

// deadline returns the first moment of emptiness after t, by which whatever was
// there at t has to be gone.
func (r *elementRun) deadline(t history.Time) history.Time {
	i := sort.Search(len(r.drained), func(i int) bool { return r.drained[i] > t })
	if i == len(r.drained) {
		return history.Never
	}
	return r.drained[i]
}

// taken lets op, a dequeue of unknown outcome, take an element.
func (r *elementRun) taken(e *element, op int) {
	e.dequeue, e.out = op, max(e.call, r.ops[op].Call)
}
