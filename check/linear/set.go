package linear

import (
	"cmp"
	"fmt"
	"slices"
)

// SetOp is an operation of a set that only grows and is empty at first: an add of
// Value, or a read of all Elements, in any order. A read of unknown outcome is
// passed over.
type SetOp struct {
	Span
	Read     bool
	Value    Value
	Elements []Value
}

// Sets decides sets whose elements are added once each. It takes time in
// proportion to the sizes of all reads together.
//
// Reads tell the order themselves. Of two, the smaller is contained in the larger;
// the elements that a size has more than the one before were added between the
// reads of that and its own; and what no read has was added after all of them. In
// this order nobody may come after an operation that was called when it had
// returned. An add of unknown outcome that no read has can be left out.
func Sets(ops []SetOp) Result {
	_, res := newSetRun(ops)
	return res
}

// SetsOrder returns a legal order of the operations, nil if Sets finds none.
func SetsOrder(ops []SetOp) []int {
	s, res := newSetRun(ops)
	if res.Answer != Linearizable {
		return nil
	}
	return s.timeline().flatten(s.groups)
}

type setRun struct {
	ops []SetOp
	// adder is who added each value, seen the read that has the value and was the
	// first to in the order of sizes.
	adder, seen []int32
	// groups are operations that are in any order among each other, but come after
	// those of the groups before: adds and reads in turn.
	groups [][]int
}

func newSetRun(ops []SetOp) (*setRun, Result) {
	s := &setRun{ops: ops}
	if why := s.gather(); why != "" {
		return s, notApplicable(why)
	}
	if res := s.level(); res.Answer != Linearizable {
		return s, res
	}
	return s, s.judge()
}

// gather finds who added each value. The text is a precondition that does not hold.
func (s *setRun) gather() (why string) {
	most, size := Nil, len(s.ops)
	for i := range s.ops {
		most = max(most, s.ops[i].Value)
		size += len(s.ops[i].Elements)
		for _, v := range s.ops[i].Elements {
			most = max(most, v)
		}
	}
	if !dense(most, size) {
		return notDense
	}
	s.adder = slices.Repeat([]int32{none}, int(most)+1)
	s.seen = slices.Repeat([]int32{none}, int(most)+1)
	for i := range s.ops {
		op := &s.ops[i]
		if op.Return < op.Call {
			return backwards(i, op.Span)
		}
		if op.Read {
			continue
		}
		if s.adder[op.Value] != none {
			return fmt.Sprintf("elements are not unique: operation %d adds one that was added before", i)
		}
		s.adder[op.Value] = int32(i)
	}
	return ""
}

// sized is a read and how many different elements it has.
type sized struct{ op, size int }

// reads returns the reads by their size.
func (s *setRun) reads() []sized {
	var reads []sized
	mark := slices.Repeat([]int32{none}, len(s.adder))
	for i := range s.ops {
		op := &s.ops[i]
		if !op.Read || op.crashed() {
			continue
		}
		r := sized{op: i}
		for _, v := range op.Elements {
			if mark[v] != int32(i) {
				mark[v] = int32(i)
				r.size++
			}
		}
		reads = append(reads, r)
	}
	slices.SortStableFunc(reads, func(a, b sized) int { return cmp.Compare(a.size, b.size) })
	return reads
}

// level makes the groups.
func (s *setRun) level() Result {
	union := 0 // how many elements the reads until now have
	var before sized
	for _, r := range s.reads() {
		var adds []int
		for _, v := range s.ops[r.op].Elements {
			switch {
			case s.adder[v] == none:
				return conflict(Unwritten, s.ops[r.op].Return, r.op)
			case s.seen[v] == none:
				s.seen[v] = int32(r.op)
				adds = append(adds, int(s.adder[v]))
			}
		}
		if r.size < union+len(adds) {
			return s.timeline().certain(Incomparable, before.op, r.op)
		}
		if len(s.groups) == 0 || len(adds) > 0 {
			s.groups = append(s.groups, adds, nil)
		}
		last := len(s.groups) - 1
		s.groups[last] = append(s.groups[last], r.op)
		union, before = r.size, r
	}
	var unseen []int
	for i := range s.ops {
		if op := &s.ops[i]; !op.Read && !op.crashed() && s.seen[op.Value] == none {
			unseen = append(unseen, i)
		}
	}
	s.groups = append(s.groups, unseen)
	return Result{Answer: Linearizable}
}

func (s *setRun) timeline() timeline { return func(i int) Span { return s.ops[i].Span } }

// judge walks along the groups. If y, of a group, has to come after x, which was
// called when y had returned, it says why.
func (s *setRun) judge() Result {
	t := s.timeline()
	y, x, group := t.walk(s.groups)
	switch {
	case y == noOp:
		return Result{Answer: Linearizable}
	case s.ops[y].Read && s.ops[x].Read:
		return t.certain(Shrunk, y, x)
	case s.ops[y].Read:
		return t.certain(Inverted, y, x)
	case s.ops[x].Read:
		return t.certain(Missing, y, x)
	default:
		return t.certain(Between, y, x, s.groups[group-1][0])
	}
}
