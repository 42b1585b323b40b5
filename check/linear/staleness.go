package linear

import (
	"cmp"
	"slices"
	"sort"

	"github.com/ordeal-dev/ordeal/history"
)

// Stale is by how much a read was stale at least.
type Stale struct {
	// Op is the read.
	Op int
	// Versions is how many writes at least came between the write that it saw and it.
	Versions int
	// Time is for how long at least the value that it returned had been replaced, in
	// nanoseconds.
	Time history.Time
	// Next is an operation that shows the latter: the value of Next had come after the
	// one that was read when Next returned, Time before the read was called. It is -1
	// if the read need not be stale.
	Next int
}

// Staleness knows by how much the reads of a register were stale, if its written values
// are all different and none is Nil, which it holds at first.
//
// An order is admitted if it has all operations, of those of unknown outcome only which
// it likes; nobody stands behind an operation that was called after it had returned; and
// every read stands behind the write of its value, however far. The versions by which a
// read is stale in an order are the writes between the two. That the history is k-atomic
// (Golab, Li and Shah, "Analyzing consistency properties for fun and profit", 2011, with
// k counted from 1) means that there is an order in which no read is stale by more than
// k-1. Give each operation a moment between its call and its return, in that order: the
// time by which a read is stale is from the moment at which its value was replaced to its
// own.
//
// Let c(w) be the call of the write of w, and f(w) the first return of that write and of
// the reads that returned w; Nil has both at the beginning of time.
//
// A write u stands before another write w in every order if f(u) < c(w): whoever returned
// first is u or stands behind it, and stands before w. In the same way u stands before every
// read that was called after f(u). There is no more to obey: take any order of the writes
// that keeps those pairs, and put every read right behind the last of its write and of the
// writes that it has to follow, reads in one place by their call. That is an admitted order.
// For let a return before b is called. A read a of w stands right behind w or an x with f(x)
// before its call, and both w and x have their f before the call of b; a write has so itself.
// So b, if it is a write, stands behind that by the order of the writes, and if it is a read,
// by its own place. (No value has f before c, as no read returned before its write was called.
// A write with f at the end, never answered nor seen, may be left out.)
//
// So between a read of w called at t and its write stand at least the writes u with
// f(w) < c(u) and f(u) < t. No others do in this order: first the writes x that need not
// follow w, that is with c(x) <= f(w), then w, then all others, which must follow it; each
// part by f. It keeps the pairs: if f(u) < c(x) for an x of the first part, then
// c(u) <= f(u) < c(x) <= f(w), so that u is in that part, too, and before x, by f; and an u of
// the last part need not precede w, as f(u) >= c(u) > f(w) >= c(w). Of the last part those
// with f(u) < t come first, and behind them the read. So the number is exact.
//
// In any choice of moments a write u is done by f(u), as whoever returned first is u or saw it.
// So the value of w has been replaced by the least f(u) of all u with f(w) < c(u), and the read
// is done at t or later: it is stale at least by the difference, if that is positive. It is
// stale no longer in this choice: u of the last part at f(u), w at f(w), x of the first part at
// f(x) or f(w), whichever is earlier, and that is not before c(x); every read when it is called,
// or at the moment of its write if that is later, which is not after its return. So the time is
// exact.
//
// These are the least numbers for each read taken for itself; one order need not have all
// of them. What all together need is told by Together and Bounds.
type Staleness struct {
	ops   []RegisterOp
	marks []mark  // by first, but for those never seen and never answered
	of    []int32 // the mark of each value, none if there is none
	reads []Stale
	// byCall are marks by their call, and earliest, for each place there, the mark with
	// the least first from there on.
	byCall, earliest []int32
	exposed          int
}

// mark is what is known of a written value. Of the reads last was called last; it is the
// beginning if there is none.
type mark struct {
	call, first, last        history.Time
	write, firstOp, lastRead int
}

// NewStaleness computes how stale reads were, in time n log n. It says Violation if a
// read returned what nobody had written by then, NotApplicable if values repeat, and
// otherwise Linearizable, which here only means that there are orders as above.
func NewStaleness(ops []RegisterOp) (*Staleness, Result) {
	s := &Staleness{ops: ops}
	if res := s.collect(); res.Answer != Linearizable {
		return nil, res
	}
	s.index()
	s.measure()
	return s, Result{Answer: Linearizable}
}

// Reads are the reads that have an answer, in the order of the history.
func (s *Staleness) Reads() []Stale { return s.reads }

// Exposed is how many reads were called when some write had taken effect for certain:
// only these could have been stale.
func (s *Staleness) Exposed() int { return s.exposed }

// collect finds the marks.
func (s *Staleness) collect() Result {
	greatest := Nil
	for i := range s.ops {
		if s.ops[i].Return < s.ops[i].Call {
			return notApplicable(backwards(i, s.ops[i].Span))
		}
		greatest = max(greatest, s.ops[i].Value)
	}
	s.of = make([]int32, greatest+1)
	for v := range s.of {
		s.of[v] = none
	}
	s.of[Nil] = 0
	s.marks = append(s.marks, mark{call: beginning, first: beginning, last: beginning,
		write: noOp, firstOp: noOp, lastRead: noOp})
	for i := range s.ops {
		op := &s.ops[i]
		if !op.Write {
			continue
		}
		if s.of[op.Value] != none {
			return notApplicable("values are not unique: one is written that was written before or " +
				"that the register has at first")
		}
		s.of[op.Value] = int32(len(s.marks))
		s.marks = append(s.marks, mark{call: op.Call, first: op.Return, last: beginning,
			write: i, firstOp: i, lastRead: noOp})
	}
	for i := range s.ops {
		op := &s.ops[i]
		if op.Write || op.crashed() {
			continue
		}
		at := s.of[op.Value]
		if at == none || s.marks[at].call > op.Return {
			return conflict(Unwritten, op.Return, i)
		}
		m := &s.marks[at]
		if op.Return < m.first {
			m.first, m.firstOp = op.Return, i
		}
		if m.lastRead == noOp || op.Call > m.last {
			m.last, m.lastRead = op.Call, i
		}
	}
	return Result{Answer: Linearizable}
}

// index sorts the marks that count.
func (s *Staleness) index() {
	s.marks = slices.DeleteFunc(s.marks, func(m mark) bool { return m.first == history.Never })
	slices.SortStableFunc(s.marks, func(a, b mark) int { return cmp.Compare(a.first, b.first) })
	for v := range s.of {
		s.of[v] = none
	}
	for i := range s.marks {
		v := Nil
		if w := s.marks[i].write; w != noOp {
			v = s.ops[w].Value
		}
		s.of[v] = int32(i)
	}
	s.byCall = make([]int32, len(s.marks))
	for i := range s.byCall {
		s.byCall[i] = int32(i)
	}
	slices.SortStableFunc(s.byCall, func(a, b int32) int {
		return cmp.Compare(s.marks[a].call, s.marks[b].call)
	})
	s.earliest = make([]int32, len(s.marks))
	least := int32(len(s.marks))
	for at := len(s.byCall) - 1; at >= 0; at-- {
		least = min(least, s.byCall[at]) // marks are sorted by first
		s.earliest[at] = least
	}
}

// calledAfter is the first place in byCall of a mark called after t.
func (s *Staleness) calledAfter(t history.Time) int {
	return sort.Search(len(s.byCall), func(i int) bool { return s.marks[s.byCall[i]].call > t })
}

// doneBefore is how many marks have their first return before t: they come first.
func (s *Staleness) doneBefore(t history.Time) int {
	return sort.Search(len(s.marks), func(i int) bool { return s.marks[i].first >= t })
}

// measure finds out about every read.
func (s *Staleness) measure() {
	type question struct{ read, after, done int }
	var questions []question
	for i := range s.ops {
		op := &s.ops[i]
		if op.Write || op.crashed() {
			continue
		}
		r := Stale{Op: i, Next: noOp}
		after := s.calledAfter(s.marks[s.of[op.Value]].first)
		if after < len(s.byCall) {
			if next := &s.marks[s.earliest[after]]; next.first < op.Call {
				r.Time, r.Next = op.Call-next.first, next.firstOp
				questions = append(questions, question{len(s.reads), after, s.doneBefore(op.Call)})
			}
		}
		if len(s.marks) > 1 && s.marks[1].first < op.Call { // the first is Nil
			s.exposed++
		}
		s.reads = append(s.reads, r)
	}
	slices.SortFunc(questions, func(a, b question) int { return cmp.Compare(a.done, b.done) })
	place := make([]int, len(s.marks)) // in byCall
	for at, m := range s.byCall {
		place[m] = at
	}
	counts := make(tree, len(s.marks)+1)
	added := 0
	for _, q := range questions {
		for ; added < q.done; added++ {
			counts.add(place[added], 1)
		}
		s.reads[q.read].Versions = q.done - counts.below(q.after)
	}
}

// Between are the writes that have to come between a read and the write that it saw, each
// with the operation that shows that it had taken effect before the read, which may be
// the write itself.
func (s *Staleness) Between(read int) (writes, shown []int) {
	first := s.marks[s.of[s.ops[read].Value]].first
	for i := range s.marks[:s.doneBefore(s.ops[read].Call)] {
		if m := &s.marks[i]; m.call > first {
			writes, shown = append(writes, m.write), append(shown, m.firstOp)
		}
	}
	return writes, shown
}

// Origin are the write that a read saw, -1 of Nil, and the first to return of that and
// its reads.
func (s *Staleness) Origin(read int) (write, first int) {
	m := &s.marks[s.of[s.ops[read].Value]]
	return m.write, m.firstOp
}

// tree holds counts by place, and their sums: Fenwick, "A new data structure for
// cumulative frequency tables", 1994.
type tree []int

func (t tree) add(place, n int) {
	for i := place + 1; i < len(t); i += i & -i {
		t[i] += n
	}
}

// below is the sum of the counts before a place.
func (t tree) below(place int) (sum int) {
	for i := place; i > 0; i -= i & -i {
		sum += t[i]
	}
	return sum
}
