package linear

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// Bags decides unordered queues whose elements are enqueued once each: a dequeue
// returns any element that is there.
//
// Elements do not matter to each other. Besides being there when it is dequeued,
// and once only, an element has to be gone when somebody finds the bag empty, as in
// Queues.
func Bags(ops []QueueOp) Result {
	_, res := newBagRun(ops)
	return res
}

func newBagRun(ops []QueueOp) (*elementRun, Result) {
	b := &elementRun{ops: ops}
	if res := b.gather(); res.Answer != Linearizable {
		return b, res
	}
	return b, b.findEmpty()
}

// BagsOrder returns a legal order of the operations, nil if Bags finds none.
func BagsOrder(ops []QueueOp) []int {
	b, res := newBagRun(ops)
	if res.Answer != Linearizable {
		return nil
	}
	for i, lost := 0, b.lost; i < len(b.rest); i++ {
		if b.deadline(b.rest[i].in) == history.Never {
			break
		}
		b.taken(&b.rest[i], lost[0])
		lost = lost[1:]
	}
	// Of what happens at one moment, first those go who were there before, then come
	// those who found nothing and elements that go at once, then those who stay.
	type moment struct {
		at     history.Time
		within int
		op     int
	}
	const going, passing, staying = 0, 1, 2
	var moments []moment
	for _, e := range slices.Concat(b.elements, b.rest) {
		switch {
		case e.dequeue == noOp:
			moments = append(moments, moment{e.in, staying, e.enqueue})
		case e.out > e.in:
			moments = append(moments, moment{e.in, staying, e.enqueue}, moment{e.out, going, e.dequeue})
		default:
			moments = append(moments, moment{e.in, passing, e.enqueue}, moment{e.in, passing, e.dequeue})
		}
	}
	for i, t := range b.moments {
		moments = append(moments, moment{t, passing, b.empty[i]})
	}
	slices.SortStableFunc(moments, func(a, b moment) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.within, b.within))
	})
	order := make([]int, len(moments))
	for i, m := range moments {
		order[i] = m.op
	}
	return order
}
