package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// amount is what an operation, which did not fail, adds to something that is read.
type amount struct {
	op *history.Operation
	n  int64
}

// certain reports whether the amount has to be in what was called at t, possible whether it
// may be in what returned at t.
func (a amount) certain(t history.Time) bool { return a.op.Type == history.OK && a.op.Return < t }

func (a amount) possible(t history.Time) bool { return a.op.Call <= t }

// sums are running sums of the positive and of the negative amounts, by a time.
type sums struct {
	at       []history.Time
	pos, neg []int64 // of the amounts up to and including this one
}

func newSums(adds []amount, at func(*history.Operation) history.Time) sums {
	adds = slices.Clone(adds)
	slices.SortStableFunc(adds, func(a, b amount) int { return cmp.Compare(at(a.op), at(b.op)) })
	var s sums
	var pos, neg int64
	for _, a := range adds {
		pos += max(a.n, 0)
		neg += min(a.n, 0)
		s.at = append(s.at, at(a.op))
		s.pos, s.neg = append(s.pos, pos), append(s.neg, neg)
	}
	return s
}

// before returns the sums of all amounts before t, or up to t.
func (s sums) before(t history.Time, including bool) (pos, neg int64) {
	if including {
		t++ // times are whole nanoseconds
	}
	i, _ := slices.BinarySearch(s.at, t)
	if i == 0 {
		return 0, 0
	}
	return s.pos[i-1], s.neg[i-1]
}

// bound sets the bounds of reads. An add that was acknowledged before the read was
// called is certain; one that was called by the time the read returned is possible.
func bound(adds []amount, reads []CounterRead) {
	acked := slices.DeleteFunc(slices.Clone(adds), func(a amount) bool {
		return a.op.Type != history.OK
	})
	certain := newSums(acked, func(op *history.Operation) history.Time { return op.Return })
	possible := newSums(adds, func(op *history.Operation) history.Time { return op.Call })
	for i := range reads {
		r := &reads[i]
		certainPos, certainNeg := certain.before(r.source.Call, false)
		possiblePos, possibleNeg := possible.before(r.source.Return, true)
		r.Low = certainPos + possibleNeg
		r.High = possiblePos + certainNeg
		r.wrong = r.Value < r.Low || r.Value > r.High
	}
}

// shownMost is the number of amounts up to which all that bound a read are shown.
const shownMost = 24

// counterexample shows a wrong read with as few as possible of the amounts that it has to
// have, and all that it may have: without one of these it would be all the more wrong. If
// they are too many it shows the read alone.
func (c *CounterRead) counterexample(
	key history.Key, why string, adds []amount,
) Counterexample {
	sign, left := int64(1), c.Value // a read that is too low has to have more of what is positive
	if c.Value > c.High {
		sign = -1
	}
	var must []amount
	var ops []*history.Operation
	for _, a := range adds {
		switch {
		case a.n*sign > 0 && a.certain(c.source.Call):
			must = append(must, a)
		case a.n*sign < 0 && a.possible(c.source.Return):
			ops, left = append(ops, a.op), left-a.n
		}
	}
	slices.SortStableFunc(must, func(a, b amount) int { return cmp.Compare(b.n*sign, a.n*sign) })
	for i := 0; left*sign >= 0 && i < len(must); i++ {
		ops, left = append(ops, must[i].op), left-must[i].n
	}
	slices.SortFunc(ops, func(a, b *history.Operation) int { return cmp.Compare(a.Index, b.Index) })
	ops = slices.Compact(ops) // one may add more than once
	whole := len(ops) <= shownMost
	mark := fmt.Sprintf("the others make it at least %d", c.Value-left)
	if sign < 0 {
		mark = fmt.Sprintf("the others make it at most %d", c.Value-left)
	}
	if !whole || len(ops) == 0 {
		ops, mark = nil, "has to be "+c.bounds()
	}
	cx := counterexample(key, mark, why, append(ops, c.source)...)
	cx.Minimal = whole
	return cx
}
