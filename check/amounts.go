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

const (
	// shownMost is the number of amounts up to which all that bound a read are shown.
	shownMost = 24
	// addsMost is how many of them are shown rather than added up.
	addsMost = 12
	// lastAdds is how many that a read has to have are shown nevertheless: one of them may
	// be what it misses.
	lastAdds = 3
)

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
	if len(ops) > addsMost {
		if cx, ok := c.afterwards(key, why, adds); ok {
			return cx
		}
	}
	whole := len(ops) <= shownMost
	who, bound := "the others", c.Value-left
	if bound != c.Low && bound != c.High { // not all of the others are needed
		who = "even these alone"
	}
	mark := fmt.Sprintf("%s make it at least %d", who, bound)
	if sign < 0 {
		mark = fmt.Sprintf("%s make it at most %d", who, bound)
	}
	if !whole || len(ops) == 0 {
		ops, mark = nil, c.need()
	}
	cx := counterexample(key, mark, why, append(ops, c.source)...)
	cx.Minimal = whole
	return cx
}

// afterwards shows a wrong read with what was added since a moment at which nothing
// acknowledged was open, and of unknown outcome before it; it tells the sum of all that had
// been acknowledged by then. It is false if these are too many, too.
func (c *CounterRead) afterwards(
	key history.Key, why string, adds []amount,
) (cx Counterexample, ok bool) {
	var certain []amount
	for _, a := range adds {
		if a.certain(c.source.Call) {
			certain = append(certain, a)
		}
	}
	slices.SortStableFunc(certain, func(a, b amount) int { return cmp.Compare(a.op.Call, b.op.Call) })
	from, by, sum := 0, history.Time(0), int64(0)
	for i, end, total := 0, history.Time(0), int64(0); i+lastAdds < len(certain); i++ {
		end, total = max(end, certain[i].op.Return), total+certain[i].n
		if certain[i+1].op.Call > end {
			from, by, sum = i+1, end, total
		}
	}
	if from == 0 {
		return cx, false
	}
	told := make(map[*history.Operation]bool)
	for _, a := range certain[:from] {
		told[a.op] = true
	}
	var ops []*history.Operation
	for _, a := range adds {
		if !told[a.op] && a.possible(c.source.Return) {
			ops = append(ops, a.op)
		}
	}
	slices.SortFunc(ops, func(a, b *history.Operation) int { return cmp.Compare(a.Index, b.Index) })
	ops = slices.Compact(ops) // one may add more than once
	if len(ops) > shownMost {
		return cx, false
	}
	cx = counterexample(key, c.need(), why, append(ops, c.source)...)
	cx.Minimal = false
	cx.Before = fmt.Sprintf("%s, the last of them acknowledged at %s, add up to %d.",
		count(len(told), "operation", "operations"), seconds(by), sum)
	return cx, true
}

// accuse notes what had failed for certain and would explain a read if it had not: the last such
// before it.
func (c *CounterRead) accuse(failed []amount) {
	for _, a := range failed {
		without := c.Value - a.n
		if a.possible(c.source.Return) && without >= c.Low && without <= c.High &&
			(c.accused == nil || a.op.Call > c.accused.Call) {
			c.accused = a.op
		}
	}
}

// accusation tells of it, "" if there is nothing.
func (c *CounterRead) accusation(what string) string {
	if c.accused == nil {
		return ""
	}
	return fmt.Sprintf(" It would be right if the %s of process %d, which had failed for certain at "+
		"%s, had taken effect.", what, c.accused.Process, seconds(c.accused.Return))
}

// show adds it to a counterexample.
func (c *CounterRead) show(cx *Counterexample) {
	if c.accused == nil {
		return
	}
	op := showOp(c.accused)
	op.Missed, op.Note = true, "it had failed, but would explain ✕"
	cx.Ops = append(cx.Ops, op)
	slices.SortStableFunc(cx.Ops, func(a, b Op) int { return cmp.Compare(a.Index, b.Index) })
	cx.Minimal = false
}
