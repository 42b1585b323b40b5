package linear

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// timeline tells when an operation was open.
type timeline func(op int) Span

// sort sorts operations by their call.
func (t timeline) sort(ops []int) []int {
	slices.SortStableFunc(ops, func(a, b int) int { return cmp.Compare(t(a).Call, t(b).Call) })
	return ops
}

// sorted returns the first n operations by their call.
func (t timeline) sorted(n int) []int {
	ops := make([]int, n)
	for i := range ops {
		ops[i] = i
	}
	return t.sort(ops)
}

// flatten makes an order of groups where each comes after the one before.
func (t timeline) flatten(groups [][]int) []int {
	var order []int
	for _, g := range groups {
		order = append(order, t.sort(slices.Clone(g))...)
	}
	return order
}

// walk goes along groups that come one after the other, each in any order, and
// looks for one operation, later, that has to stand behind another one, earlier, of
// a group before its own, which was called when later had returned. group is that of
// later. If there is none, later is noOp.
func (t timeline) walk(groups [][]int) (later, earlier, group int) {
	l := newLine()
	for g, ops := range groups {
		for _, i := range ops {
			if !l.admits(t(i)) {
				return i, l.op, g
			}
		}
		for _, i := range ops {
			l.pass(i, t(i))
		}
	}
	return noOp, noOp, 0
}

// certain makes a conflict that is certain when its operations have returned.
func (t timeline) certain(kind Kind, ops ...int) Result {
	at := history.Time(0)
	ops = slices.DeleteFunc(ops, func(i int) bool { return i == noOp })
	for _, i := range ops {
		if s := t(i); !s.crashed() {
			at = max(at, s.Return)
		}
	}
	return conflict(kind, at, ops...)
}

// line is a walk along an order that the operations themselves tell: whoever comes
// later must not have returned before an earlier one was called.
type line struct {
	call history.Time
	op   int
}

func newLine() line { return line{call: beginning, op: noOp} }

// admits reports whether an operation may stand behind all that were passed.
func (l *line) admits(s Span) bool { return s.Return >= l.call }

// pass puts an operation behind those before.
func (l *line) pass(op int, s Span) {
	if s.Call > l.call {
		l.call, l.op = s.Call, op
	}
}
