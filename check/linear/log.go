package linear

import (
	"cmp"
	"fmt"
	"slices"
)

// LogOp is an operation of a log that is only appended to and is empty at first: an
// append of Value, or a read of all Elements in order. A read of unknown outcome is
// passed over.
type LogOp struct {
	Span
	Read  bool
	Value Value
	// Offset is how many elements were there before an append, or Unknown if it
	// did not tell.
	Offset   int64
	Elements []Value
}

// Logs decides logs whose elements are appended once each. It takes time in
// proportion to the sizes of all reads together. It also decides fetch-and-add:
// what an increment returned is an offset, and its value a number of its own.
//
// The longest read and the offsets tell the order of all appends, and the length of
// a read tells its place among them. In this order nobody may come after an
// operation that was called when it had returned. What is acknowledged but has no
// offset, and no read has it, comes after everything else; there must be no further
// offsets then. An offset that nobody has was taken by an append of unknown outcome.
// Those that are called first are taken first, for every later offset is needed no
// sooner; the others can be left out.
func Logs(ops []LogOp) Result {
	_, res := newLogRun(ops)
	return res
}

// LogsOrder returns a legal order of the operations, nil if Logs finds none.
func LogsOrder(ops []LogOp) []int {
	l, res := newLogRun(ops)
	if res.Answer != Linearizable {
		return nil
	}
	return l.timeline().flatten(l.groups)
}

type logRun struct {
	ops []LogOp
	// longest is the longest read, noOp if there is none, of length elements.
	longest int
	length  int
	// appender is who appended each value, position where the longest read has it.
	appender, position []int32
	// told are the appends whose offsets are beyond the longest read, by offset;
	// loose those that were acknowledged without an offset and that no read has,
	// and crashed those of unknown outcome that no read has, by call.
	told, loose, crashed []int
	groups               [][]int
}

func newLogRun(ops []LogOp) (*logRun, Result) {
	l := &logRun{ops: ops, longest: noOp}
	if why := l.gather(); why != "" {
		return l, notApplicable(why)
	}
	for _, step := range []func() Result{l.agree, l.offsets, l.group, l.tail, l.judge} {
		if res := step(); res.Answer != Linearizable {
			return l, res
		}
	}
	return l, Result{Answer: Linearizable}
}

// gather finds who appended each value and the longest read. The text is a
// precondition that does not hold.
func (l *logRun) gather() (why string) {
	most, size := Nil, len(l.ops)
	for i := range l.ops {
		op := &l.ops[i]
		most = max(most, op.Value)
		if !op.Read || op.crashed() {
			continue
		}
		size += len(op.Elements)
		for _, v := range op.Elements {
			most = max(most, v)
		}
		if l.longest == noOp || len(op.Elements) > l.length {
			l.longest, l.length = i, len(op.Elements)
		}
	}
	if !dense(most, size) {
		return notDense
	}
	l.appender = slices.Repeat([]int32{none}, int(most)+1)
	l.position = slices.Repeat([]int32{none}, int(most)+1)
	for i := range l.ops {
		op := &l.ops[i]
		switch {
		case op.Return < op.Call:
			return backwards(i, op.Span)
		case op.Read:
		case l.appender[op.Value] != none:
			return fmt.Sprintf("elements are not unique: operation %d appends one that was "+
				"appended before", i)
		default:
			l.appender[op.Value] = int32(i)
		}
	}
	return ""
}

// agree wants every read to be a prefix of the longest.
func (l *logRun) agree() Result {
	if l.longest == noOp {
		return Result{Answer: Linearizable}
	}
	longest := &l.ops[l.longest]
	for i, v := range longest.Elements {
		switch {
		case l.appender[v] == none:
			return l.certain(Unwritten, l.longest)
		case l.position[v] != none:
			return l.certain(Repeated, l.longest)
		}
		l.position[v] = int32(i)
	}
	for i := range l.ops {
		op := &l.ops[i]
		if op.Read && !op.crashed() && !slices.Equal(op.Elements, longest.Elements[:len(op.Elements)]) {
			return l.certain(Diverged, i, l.longest)
		}
	}
	return Result{Answer: Linearizable}
}

// offsets compares offsets with the longest read and with each other.
func (l *logRun) offsets() Result {
	for i := range l.ops {
		op := &l.ops[i]
		at := int64(none)
		if !op.Read {
			at = int64(l.position[op.Value])
		}
		switch {
		case op.Read:
		case op.crashed():
			if at == Unknown {
				l.crashed = append(l.crashed, i)
			}
		case op.Offset == Unknown:
			if at == Unknown {
				l.loose = append(l.loose, i)
			}
		case op.Offset < 0 || op.Offset != at && (at != Unknown || op.Offset < int64(l.length)):
			return l.certain(Clash, i, l.longest)
		case at == Unknown:
			l.told = append(l.told, i)
		}
	}
	l.timeline().sort(l.crashed)
	slices.SortFunc(l.told, func(a, b int) int {
		return cmp.Compare(l.ops[a].Offset, l.ops[b].Offset)
	})
	for i := 1; i < len(l.told); i++ {
		if l.ops[l.told[i-1]].Offset == l.ops[l.told[i]].Offset {
			return l.certain(Clash, l.told[i-1], l.told[i])
		}
	}
	return Result{Answer: Linearizable}
}

// group puts the reads between the elements of the longest.
func (l *logRun) group() Result {
	l.groups = make([][]int, 2*l.length+1)
	for i := range l.ops {
		if op := &l.ops[i]; op.Read && !op.crashed() {
			at := 2 * len(op.Elements)
			l.groups[at] = append(l.groups[at], i)
		}
	}
	if l.longest != noOp {
		appends := make([]int, l.length)
		for i, v := range l.ops[l.longest].Elements {
			appends[i] = int(l.appender[v])
			l.groups[2*i+1] = appends[i : i+1 : i+1]
		}
	}
	return Result{Answer: Linearizable}
}

// tail puts everything that the longest read does not have behind it.
func (l *logRun) tail() Result {
	if len(l.told) == 0 {
		l.groups = append(l.groups, l.loose)
		return Result{Answer: Linearizable}
	}
	if len(l.loose) > 0 {
		return notApplicable(fmt.Sprintf("some appends told their offset but operation %d did not, "+
			"and no read has it", l.loose[0]))
	}
	// soonest is who returned first of the told from each on.
	soonest := slices.Clone(l.told)
	for i := len(soonest) - 2; i >= 0; i-- {
		if l.ops[soonest[i+1]].Return < l.ops[soonest[i]].Return {
			soonest[i] = soonest[i+1]
		}
	}
	at, crashed := int64(l.length), l.crashed
	for i, n := range l.told {
		for ; at < l.ops[n].Offset; at++ {
			if len(crashed) == 0 || l.ops[crashed[0]].Call > l.ops[soonest[i]].Return {
				return l.gap(soonest[i])
			}
			l.groups = append(l.groups, crashed[:1:1])
			crashed = crashed[1:]
		}
		l.groups = append(l.groups, l.told[i:i+1:i+1])
		at++
	}
	return Result{Answer: Linearizable}
}

// gap is the conflict that too few appends were called when op returned. It is
// certain when nobody is open any more who was called by then.
func (l *logRun) gap(op int) Result {
	res := l.certain(Gap, op)
	if l.longest != noOp {
		res.Conflict.At = max(res.Conflict.At, l.ops[l.longest].Return)
	}
	for i := range l.ops {
		if o := &l.ops[i]; !o.Read && !o.crashed() && o.Call <= l.ops[op].Return {
			res.Conflict.At = max(res.Conflict.At, o.Return)
		}
	}
	return res
}

func (l *logRun) timeline() timeline { return func(i int) Span { return l.ops[i].Span } }

func (l *logRun) certain(kind Kind, ops ...int) Result {
	return l.timeline().certain(kind, ops...)
}

// judge walks along the groups. If y has to come after x, which was called when y had
// returned, it says why.
func (l *logRun) judge() Result {
	y, x, _ := l.timeline().walk(l.groups)
	if y == noOp {
		return Result{Answer: Linearizable}
	}
	switch later, earlier := &l.ops[y], &l.ops[x]; {
	case later.Read && earlier.Read:
		return l.certain(Shrunk, y, x)
	case later.Read:
		return l.certain(Inverted, y, x)
	case earlier.Read:
		return l.certain(Missing, y, x)
	case l.position[later.Value] != none:
		return l.certain(Reordered, y, x, l.longest)
	case later.Offset == Unknown:
		return l.certain(Between, y, x, l.longest)
	case l.position[earlier.Value] != none:
		return l.certain(Misordered, y, x, y, l.longest)
	default:
		return l.certain(Misordered, y, x, y, x)
	}
}
