package linear

import (
	"cmp"
	"slices"
	"sort"

	"github.com/ordeal-dev/ordeal/history"
)

// Queues decides first-in first-out queues whose elements are enqueued once each.
//
// Whatever is enqueued earlier for certain must not be dequeued later for certain,
// and who found the queue empty needs a moment at which nothing had to be there;
// this is all (Henzinger, Sezgin and Vafeiadis, "Aspect-oriented linearizability
// proofs", 2013). An enqueue of unknown outcome whose element nobody got can be left
// out. What was acknowledged and has to be gone by some time, because somebody got
// a later element or nothing, must have been taken by a dequeue of unknown outcome
// that was called by then: those matched by their deadlines.
func Queues(ops []QueueOp) Result {
	_, res := newQueueRun(ops)
	return res
}

// QueuesOrder returns a legal order of the operations, nil if Queues finds none.
func QueuesOrder(ops []QueueOp) []int {
	q, res := newQueueRun(ops)
	if res.Answer != Linearizable {
		return nil
	}
	return q.order()
}

type queueRun struct {
	elementRun
}

func newQueueRun(ops []QueueOp) (*queueRun, Result) {
	q := &queueRun{elementRun{ops: ops}}
	for _, step := range []func() Result{q.gather, q.findOvertaken, q.findEmpty, q.match} {
		if res := step(); res.Answer != Linearizable {
			return q, res
		}
	}
	return q, Result{Answer: Linearizable}
}

// soonest returns, for every element, which of it and those that were called later
// is gone first.
func (q *queueRun) soonest() []int32 {
	first := make([]int32, len(q.elements))
	for i := range slices.Backward(q.elements) {
		first[i] = int32(i)
		if i+1 < len(first) && q.elements[first[i+1]].gone < q.elements[i].gone {
			first[i] = first[i+1]
		}
	}
	return first
}

// overtaker returns the element that is gone first of those enqueued after t, nil
// if there is none.
func (q *queueRun) overtaker(soonest []int32, t history.Time) *element {
	i := sort.Search(len(q.elements), func(i int) bool { return q.elements[i].call > t })
	if i == len(q.elements) {
		return nil
	}
	return &q.elements[soonest[i]]
}

// findOvertaken compares elements that were dequeued.
func (q *queueRun) findOvertaken() Result {
	soonest := q.soonest()
	for i := range q.elements {
		e := &q.elements[i]
		if o := q.overtaker(soonest, e.in); o != nil && o.gone < e.out {
			return conflict(Overtaken, e.gone, e.enqueue, o.enqueue, o.dequeue, e.dequeue)
		}
	}
	return Result{Answer: Linearizable}
}

// match finds who took what nobody knows to have dequeued.
func (q *queueRun) match() Result {
	soonest, lost := q.soonest(), q.lost
	for i := range q.rest {
		e := &q.rest[i]
		deadline := q.deadline(e.in)
		o := q.overtaker(soonest, e.in)
		if o != nil {
			deadline = min(deadline, o.gone)
		}
		if deadline == history.Never {
			break // nor do those behind it have one
		}
		if len(lost) == 0 || q.ops[lost[0]].Call > deadline {
			return q.neverDequeued(e, o)
		}
		q.taken(e, lost[0])
		lost = lost[1:]
	}
	return Result{Answer: Linearizable}
}

// neverDequeued is the conflict that o overtook e, which is still there. It is
// certain when those have returned that could have taken it.
func (q *queueRun) neverDequeued(e, o *element) Result {
	at := o.gone
	for i := range q.ops {
		if d := &q.ops[i]; d.Dequeue && !d.crashed() && d.Call <= o.gone {
			at = max(at, d.Return)
		}
	}
	return conflict(Overtaken, at, e.enqueue, o.enqueue, o.dequeue)
}

// order arranges all elements, moments of emptiness being elements that come and
// go at once, and then everybody in time.
func (q *queueRun) order() []int {
	all := slices.Concat(q.elements, q.rest)
	for i, t := range q.moments {
		all = append(all, element{
			enqueue: noOp, dequeue: q.empty[i], call: t, in: t, out: t, gone: t,
		})
	}
	all = queued(all)
	// Everybody comes as late and goes as early as those around it allow.
	type moment struct {
		at history.Time
		op int
	}
	ins := make([]history.Time, len(all))
	late := history.Never
	for i := range slices.Backward(all) {
		late = min(late, all[i].in)
		ins[i] = late
	}
	var moments []moment
	early := beginning
	for i, e := range all {
		if e.enqueue != noOp {
			moments = append(moments, moment{ins[i], e.enqueue})
		}
		if e.dequeue != noOp {
			early = max(early, e.out)
			moments = append(moments, moment{max(early, ins[i]), e.dequeue})
		}
	}
	slices.SortStableFunc(moments, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	order := make([]int, len(moments))
	for i, m := range moments {
		order[i] = m.op
	}
	return order
}

// queued sorts elements such that nobody stands behind one that has to come in or go
// out later. It takes, again and again, of those that nobody left has to come in
// before, the one that goes out first.
func queued(all []element) []element {
	slices.SortFunc(all, func(a, b element) int { return cmp.Compare(a.call, b.call) })
	byIn := make([]int, len(all))
	for i := range byIn {
		byIn[i] = i
	}
	slices.SortFunc(byIn, func(a, b int) int { return cmp.Compare(all[a].in, all[b].in) })
	done := make([]bool, len(all))
	ready := heap[int]{less: func(a, b *int) bool { return all[*a].out < all[*b].out }}
	sorted := make([]element, 0, len(all))
	next := 0
	for len(sorted) < len(all) {
		for done[byIn[0]] {
			byIn = byIn[1:]
		}
		for ; next < len(all) && all[next].call <= all[byIn[0]].in; next++ {
			ready.push(next)
		}
		i := ready.pop()
		done[i] = true
		sorted = append(sorted, all[i])
	}
	return sorted
}
