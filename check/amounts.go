package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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

// suspicion is that what one operation adds was not added once: it would explain a wrong read.
type suspicion struct {
	op *history.Operation
	n  int64
	// times is how often it would have been added.
	times int64
}

func (s suspicion) tell(what string) string {
	who := fmt.Sprintf("the %s of process %d, which ", what, s.op.Process)
	switch {
	case s.op.Type == history.Fail:
		return fmt.Sprintf("%shad failed for certain at %s, had taken effect", who, seconds(s.op.Return))
	case s.op.Type == history.Info:
		who += fmt.Sprintf("was called at %s (%+d, outcome unknown)", seconds(s.op.Call), s.n)
	default:
		who += fmt.Sprintf("was acknowledged at %s (%+d)", seconds(s.op.Return), s.n)
	}
	if s.times > 1 {
		return who + ", had taken effect twice"
	}
	return who + ", had not taken effect by then"
}

func (s suspicion) note() string {
	switch {
	case s.op.Type == history.Fail:
		return "it had failed, but would explain ✕"
	case s.times > 1:
		return "twice, it would explain ✕"
	}
	return "without it ✕ would be right"
}

// suspectsMost is up to how many operations are told that would explain a read. Of more than
// that the last one is.
const suspectsMost = 2

// suspect notes what would explain a wrong read: the last of what had failed for certain, if it
// had not; or else what may have been added twice, or not at all although it was acknowledged.
// fits says whether n more (or fewer) of the operation suit everything else that was read.
func (c *CounterRead) suspect(failed, adds []amount, fits func(suspicion) bool) {
	c.suspects, c.others = nil, 0
	for _, a := range failed {
		s := suspicion{op: a.op, n: a.n, times: 1}
		if a.possible(c.source.Return) && c.without(a.n) && fits(s) &&
			(len(c.suspects) == 0 || a.op.Call > c.suspects[0].op.Call) {
			c.suspects = []suspicion{s}
		}
	}
	if len(c.suspects) > 0 {
		return
	}
	for _, a := range adds {
		if twice := (suspicion{a.op, a.n, 2}); a.possible(c.source.Return) && c.twice(a) && fits(twice) {
			c.suspects = append(c.suspects, twice)
		}
		if never := (suspicion{a.op, a.n, 0}); a.certain(c.source.Call) && c.without(-a.n) &&
			fits(never) {
			c.suspects = append(c.suspects, never)
		}
	}
	if len(c.suspects) > suspectsMost {
		last := slices.MaxFunc(c.suspects, func(a, b suspicion) int {
			return cmp.Compare(a.op.Call, b.op.Call)
		})
		c.suspects, c.others = []suspicion{last}, len(c.suspects)-1
	}
}

// without reports whether a read would be right if it had n less.
func (c *CounterRead) without(n int64) bool { return c.Value-n >= c.Low && c.Value-n <= c.High }

// twice reports whether a read would be right if an amount, which it certainly has then, had
// been added once only.
func (c *CounterRead) twice(a amount) bool {
	low, high := c.Low, c.High
	if !a.certain(c.source.Call) { // the bounds leave it open whether it is there at all
		low, high = low+max(a.n, 0), high+min(a.n, 0)
	}
	return c.Value-a.n >= low && c.Value-a.n <= high
}

// accusation tells what would explain it, "" if there is nothing.
func (c *CounterRead) accusation(what string) string {
	if len(c.suspects) == 0 {
		return ""
	}
	var all []string
	for _, s := range c.suspects {
		all = append(all, s.tell(what))
	}
	text := " It would be right if " + strings.Join(all, ", or if ")
	if c.others > 0 {
		text += fmt.Sprintf("; %d others would explain it, too", c.others)
	}
	return text + "."
}

// show adds what is suspected to a counterexample. What it tells as a sum stays a part of that.
func (c *CounterRead) show(cx *Counterexample) {
	for _, s := range c.suspects {
		i := slices.IndexFunc(cx.Ops, func(op Op) bool { return op.Index == s.op.Index })
		if i < 0 && s.op.Type != history.Fail && (cx.Before != "" || !cx.Minimal) {
			continue
		}
		if i < 0 {
			i = len(cx.Ops)
			cx.Ops = append(cx.Ops, showOp(s.op))
			cx.Minimal = false
		}
		cx.Ops[i].Missed, cx.Ops[i].Note = true, s.note()
	}
	slices.SortStableFunc(cx.Ops, func(a, b Op) int { return cmp.Compare(a.Index, b.Index) })
}

// explainedFirst puts first what has an explanation.
func explainedFirst(cxs []Counterexample) {
	rank := func(cx Counterexample) int {
		if slices.ContainsFunc(cx.Ops, func(op Op) bool { return op.Note != "" }) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(cxs, func(a, b Counterexample) int { return cmp.Compare(rank(a), rank(b)) })
}
