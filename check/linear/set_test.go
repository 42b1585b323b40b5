package linear

import (
	"slices"
	"testing"
)

// randomSets draws the history of a set; reads may have an element twice.
func randomSets(w *world) []SetOp {
	ops := make([]SetOp, len(w.spans))
	values := Nil
	for i, s := range w.spans {
		ops[i] = SetOp{Span: s, Read: w.IntN(2) == 0}
		if !ops[i].Read {
			values++
			ops[i].Value = values
		}
	}
	var state []Value
	for _, i := range w.moments {
		if op := &ops[i]; op.Read {
			op.Elements = slices.Clone(state)
			w.Shuffle(len(state), func(i, j int) { state[i], state[j] = state[j], state[i] })
		} else {
			state = append(state, op.Value)
		}
	}
	for range w.mistakes(3) {
		op := &ops[w.IntN(len(ops))]
		switch {
		case !op.Read:
		case len(op.Elements) > 0 && w.IntN(2) == 0:
			op.Elements = op.Elements[1:]
		default:
			op.Elements = append(op.Elements, Value(w.IntN(int(values)+2)))
		}
	}
	return ops
}

// setStep is a set as a number with a bit for every element.
func setStep(ops []SetOp) func(s uint32, i int) []uint32 {
	return func(s uint32, i int) []uint32 {
		op := ops[i]
		if !op.Read {
			return []uint32{s | 1<<op.Value}
		}
		var all uint32
		for _, v := range op.Elements {
			all |= 1 << v
		}
		return only(s, s == all)
	}
}

var setEngine = engine[SetOp, uint32]{
	draw: randomSets, run: Sets, order: SetsOrder, step: setStep,
	span:    func(op *SetOp) *Span { return &op.Span },
	changes: func(op *SetOp) bool { return !op.Read },
	rename: func(op *SetOp, name func(Value) Value) {
		op.Value = name(op.Value)
		op.Elements = slices.Clone(op.Elements)
		for i, v := range op.Elements {
			op.Elements[i] = name(v)
		}
	},
	each: func(i, n int) []SetOp {
		ops := []SetOp{{Value: Value(i + 1)}}
		for set := range 1 << n {
			op := SetOp{Read: true}
			for v := range n {
				if set>>v&1 == 1 {
					op.Elements = append(op.Elements, Value(v+1))
				}
			}
			ops = append(ops, op)
		}
		return ops
	},
	kinds: []Kind{Unwritten, Inverted, Missing, Shrunk, Incomparable, Between},
}

func TestSetsAgainstTwin(t *testing.T) { setEngine.test(t, 5000) }
func TestSetsChanges(t *testing.T)     { setEngine.testChanges(t, 2000) }
func TestSetsLong(t *testing.T)        { setEngine.testLong(t, 200) }

func TestSetsExhaustively(t *testing.T) { setEngine.testExhaustively(t, 3) }
