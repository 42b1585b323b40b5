package linear

import (
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

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
	for range w.IntN(3) { // spoil it
		switch op := &ops[w.IntN(len(ops))]; op.Kind {
		case CASRead:
			op.Value = Value(w.IntN(int(values) + 1))
		case CASSwap, CASRefused:
			op.Old = Value(w.IntN(int(values) + 1))
		}
	}
	return ops
}

func casSpans(ops []CASOp) []Span {
	spans := make([]Span, len(ops))
	for i := range ops {
		spans[i] = ops[i].Span
	}
	return spans
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

func TestCASAgainstTwin(t *testing.T) {
	for name, refusals := range map[string]bool{"plain": false, "with refusals": true} {
		t.Run(name, func(t *testing.T) {
			var seen tally
			for round := range rounds(t, 5000) {
				ops := randomCAS(newWorld(seeded(round), 10), refusals)
				got := CAS(ops)
				if got.Answer == NotApplicable && refusals {
					seen.other++
					continue
				}
				want := bruteForce(casSpans(ops), Nil, casStep(ops))
				seen.count(want)
				if (got.Answer == Linearizable) != want {
					t.Fatalf("round %d: %v, twin says %v: %v", round, got, want, ops)
				}
				if want {
					if err := replay(casSpans(ops), CASOrder(ops), Nil, casStep(ops)); err != nil {
						t.Fatalf("round %d: %v: %v", round, err, ops)
					}
					continue
				}
				known := knownCAS(ops, got.Conflict.At)
				if len(got.Conflict.Culprits()) > 4 && got.Conflict.Kind != Circle ||
					bruteForce(casSpans(known), Nil, casStep(known)) {
					t.Fatalf("round %d: %+v was not certain: %v", round, got.Conflict, ops)
				}
			}
			seen.check(t)
		})
	}
}

// knownCAS is what was known of a history with time t.
func knownCAS(ops []CASOp, t history.Time) []CASOp {
	var known []CASOp
	for _, op := range ops {
		if op.Return > t {
			op.Return = history.Never
		}
		if op.Call <= t {
			known = append(known, op)
		}
	}
	return known
}
