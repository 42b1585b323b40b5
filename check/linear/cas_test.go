package linear

import "testing"

// randomCAS draws the history of a register with compare-and-set.
func randomCAS(w *world, refusals bool) []CASOp {
	ops := make([]CASOp, len(w.spans))
	values := Nil
	fresh := func() Value { values++; return values }
	for i, s := range w.spans {
		ops[i] = CASOp{Span: s, Kind: CASKind(w.IntN(3))}
		if ops[i].Kind != CASRead {
			ops[i].Value = fresh()
		}
		ops[i].Old = Value(w.IntN(int(values) + 1))
	}
	state := Nil
	for _, i := range w.moments {
		switch op := &ops[i]; {
		case op.Kind == CASRead:
			op.Value = state
		case op.Kind == CASWrite:
			state = op.Value
		case refusals && op.Old != state && w.IntN(3) > 0:
			op.Kind = CASRefused
		default:
			op.Old = state
			state = op.Value
		}
	}
	for range w.mistakes(3) {
		switch op := &ops[w.IntN(len(ops))]; op.Kind {
		case CASRead:
			op.Value = Value(w.IntN(int(values) + 2))
		case CASSwap, CASRefused:
			op.Old = Value(w.IntN(int(values) + 2))
		}
	}
	return ops
}

func casStep(ops []CASOp) func(s Value, i int) []Value {
	return func(s Value, i int) []Value {
		switch op := ops[i]; op.Kind {
		case CASRead:
			return only(s, s == op.Value)
		case CASWrite:
			return []Value{op.Value}
		case CASSwap:
			return only(op.Value, s == op.Old)
		default:
			return only(s, s != op.Old)
		}
	}
}

func casEngine(refusals bool) *engine[CASOp, Value] {
	return &engine[CASOp, Value]{
		draw: func(w *world) []CASOp { return randomCAS(w, refusals) },
		run:  CAS, order: CASOrder, step: casStep,
		span:    func(op *CASOp) *Span { return &op.Span },
		changes: func(op *CASOp) bool { return op.Kind == CASWrite || op.Kind == CASSwap },
		rename: func(op *CASOp, name func(Value) Value) {
			op.Old, op.Value = name(op.Old), name(op.Value)
		},
		kinds:   []Kind{Opposed, Initial, Unwritten, Unfounded, Inverted, Twice, Circle},
		partial: refusals,
		each: func(i, n int) []CASOp {
			ops := []CASOp{{Kind: CASWrite, Value: Value(i + 1)}}
			for v := range Value(n + 1) {
				ops = append(ops, CASOp{Kind: CASRead, Value: v},
					CASOp{Kind: CASSwap, Old: v, Value: Value(i + 1)})
				if refusals {
					ops = append(ops, CASOp{Kind: CASRefused, Old: v})
				}
			}
			return ops
		},
	}
}

func TestCASAgainstTwin(t *testing.T)      { casEngine(false).test(t, 6000) }
func TestCASChanges(t *testing.T)          { casEngine(false).testChanges(t, 2000) }
func TestRefusalsAgainstTwin(t *testing.T) { casEngine(true).test(t, 6000) }
func TestCASLong(t *testing.T)             { casEngine(false).testLong(t, 200) }

func TestCASExhaustively(t *testing.T)      { casEngine(false).testExhaustively(t, 3) }
func TestRefusalsExhaustively(t *testing.T) { casEngine(true).testExhaustively(t, 3) }
