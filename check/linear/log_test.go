package linear

import (
	"slices"
	"testing"
)

// randomLogs draws the history of a log. Of a hundred appends, so many tell their
// offset.
func randomLogs(w *world, telling int) []LogOp {
	ops := make([]LogOp, len(w.spans))
	values := Nil
	for i, s := range w.spans {
		ops[i] = LogOp{Span: s, Read: w.IntN(4) == 0, Offset: Unknown}
		if !ops[i].Read {
			values++
			ops[i].Value = values
		}
	}
	var state []Value
	for _, i := range w.moments {
		op := &ops[i]
		if op.Read {
			op.Elements = slices.Clone(state)
			continue
		}
		if !op.crashed() && w.IntN(100) < telling {
			op.Offset = int64(len(state))
		}
		state = append(state, op.Value)
	}
	for range w.IntN(4) { // spoil it
		op := &ops[w.IntN(len(ops))]
		switch n := len(op.Elements); {
		case !op.Read:
			if op.Offset != Unknown {
				op.Offset = max(0, op.Offset+w.Int64N(3)-1)
			}
		case n > 1 && w.IntN(3) == 0:
			i, j := w.IntN(n), w.IntN(n)
			op.Elements[i], op.Elements[j] = op.Elements[j], op.Elements[i]
		case n > 0 && w.IntN(2) == 0:
			op.Elements = op.Elements[:n-1]
		default:
			op.Elements = append(op.Elements, Value(w.IntN(int(values)+2)))
		}
	}
	return ops
}

// logStep is a log as a number with a digit for every element, after a 1.
func logStep(ops []LogOp) func(s uint64, i int) []uint64 {
	length := func(s uint64) (n int64) {
		for ; s > 1; s /= 32 {
			n++
		}
		return n
	}
	return func(s uint64, i int) []uint64 {
		op := ops[i]
		if !op.Read {
			ok := op.Offset == Unknown || op.Offset == length(s)
			return only(s*32+uint64(op.Value), ok)
		}
		all := uint64(1)
		for _, v := range op.Elements {
			all = all*32 + uint64(v)
		}
		return only(s, s == all)
	}
}

func logEngine(telling int) *engine[LogOp, uint64] {
	kinds := []Kind{Unwritten, Inverted, Missing, Shrunk, Repeated, Diverged}
	if telling > 0 {
		kinds = append(kinds, Clash, Misordered, Gap)
	} else {
		kinds = append(kinds, Between, Reordered)
	}
	return &engine[LogOp, uint64]{
		draw: func(w *world) []LogOp { return randomLogs(w, telling) },
		run:  Logs, order: LogsOrder, start: 1, step: logStep,
		span:    func(op *LogOp) *Span { return &op.Span },
		changes: func(op *LogOp) bool { return !op.Read },
		forget:  func(op *LogOp) { op.Offset = Unknown },
		rename: func(op *LogOp, name func(Value) Value) {
			op.Value = name(op.Value)
			op.Elements = slices.Clone(op.Elements)
			for i, v := range op.Elements {
				op.Elements[i] = name(v)
			}
		},
		kinds:   kinds,
		partial: telling%100 != 0,
	}
}

func TestLogsAgainstTwin(t *testing.T)        { logEngine(0).test(t, 5000) }
func TestLogsChanges(t *testing.T)            { logEngine(0).testChanges(t, 2000) }
func TestOffsetsAgainstTwin(t *testing.T)     { logEngine(100).test(t, 5000) }
func TestOffsetsChanges(t *testing.T)         { logEngine(100).testChanges(t, 2000) }
func TestSomeOffsetsAgainstTwin(t *testing.T) { logEngine(70).test(t, 5000) }
