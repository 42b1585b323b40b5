package linear

import (
	"slices"
	"testing"
	"unicode/utf8"
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
	for range w.mistakes(4) {
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

// logStep is a log as a text with a letter for every element.
func logStep(ops []LogOp) func(s string, i int) []string {
	return func(s string, i int) []string {
		op := ops[i]
		if op.Read {
			return only(s, s == letters(op.Elements...))
		}
		ok := op.Offset == Unknown || op.Offset == int64(utf8.RuneCountInString(s))
		return only(s+letters(op.Value), ok)
	}
}

func letters(values ...Value) string {
	runes := make([]rune, len(values))
	for i, v := range values {
		runes[i] = rune(v)
	}
	return string(runes)
}

func logEngine(telling int) *engine[LogOp, string] {
	kinds := []Kind{Unwritten, Inverted, Missing, Shrunk, Repeated, Diverged}
	if telling > 0 {
		kinds = append(kinds, Clash, Misordered, Gap)
	} else {
		kinds = append(kinds, Between, Reordered)
	}
	return &engine[LogOp, string]{
		draw: func(w *world) []LogOp { return randomLogs(w, telling) },
		run:  Logs, order: LogsOrder, step: logStep,
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
		kinds: kinds,
		each: func(i, n int) []LogOp {
			ops := []LogOp{{Value: Value(i + 1), Offset: Unknown}, {Read: true}}
			for offset := range int64(n) {
				if telling > 0 {
					ops = append(ops, LogOp{Value: Value(i + 1), Offset: offset})
				}
			}
			for a := Value(1); a <= Value(n); a++ {
				ops = append(ops, LogOp{Read: true, Elements: []Value{a}})
				for b := Value(1); b <= Value(n); b++ {
					if a != b {
						ops = append(ops, LogOp{Read: true, Elements: []Value{a, b}})
					}
				}
			}
			return ops
		},
		partial: telling%100 != 0,
	}
}

func TestLogsAgainstTwin(t *testing.T)        { logEngine(0).test(t, 5000) }
func TestLogsChanges(t *testing.T)            { logEngine(0).testChanges(t, 2000) }
func TestOffsetsAgainstTwin(t *testing.T)     { logEngine(100).test(t, 5000) }
func TestOffsetsChanges(t *testing.T)         { logEngine(100).testChanges(t, 2000) }
func TestSomeOffsetsAgainstTwin(t *testing.T) { logEngine(70).test(t, 5000) }
func TestLogsLong(t *testing.T)               { logEngine(0).testLong(t, 100) }
func TestOffsetsLong(t *testing.T)            { logEngine(100).testLong(t, 100) }

func TestLogsExhaustively(t *testing.T)        { logEngine(0).testExhaustively(t, 3) }
func TestSomeOffsetsExhaustively(t *testing.T) { logEngine(70).testExhaustively(t, 3) }
