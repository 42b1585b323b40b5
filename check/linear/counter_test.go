package linear

import "testing"

// randomCounters draws the history of a counter to which threes are added.
func randomCounters(w *world) []CounterOp {
	ops := make([]CounterOp, len(w.spans))
	for i, s := range w.spans {
		ops[i] = CounterOp{Span: s, Read: w.IntN(3) == 0, Value: 3}
	}
	state := int64(0)
	for _, i := range w.moments {
		if ops[i].Read {
			ops[i].Value = state
		} else {
			state += 3
		}
	}
	for range w.mistakes(4) {
		if op := &ops[w.IntN(len(ops))]; op.Read {
			op.Value += 3 * (w.Int64N(5) - 2)
			if w.IntN(20) == 0 {
				op.Value++
			}
		}
	}
	return ops
}

func counterStep(ops []CounterOp) func(s int64, i int) []int64 {
	return func(s int64, i int) []int64 {
		if ops[i].Read {
			return only(s, s == ops[i].Value)
		}
		return []int64{s + ops[i].Value}
	}
}

var counterEngine = engine[CounterOp, int64]{
	draw: randomCounters, run: Counters, order: CountersOrder, step: counterStep,
	span:    func(op *CounterOp) *Span { return &op.Span },
	changes: func(op *CounterOp) bool { return !op.Read },
	each: func(_, n int) []CounterOp {
		ops := []CounterOp{{Value: 1}}
		for v := range int64(n + 1) {
			ops = append(ops, CounterOp{Read: true, Value: v})
		}
		return ops
	},
	kinds: []Kind{Unwritten, Shrunk, Gap, Undercount, Skipped},
}

func TestCountersAgainstTwin(t *testing.T) { counterEngine.test(t, 5000) }
func TestCountersChanges(t *testing.T)     { counterEngine.testChanges(t, 2000) }

func TestCountersLong(t *testing.T) { counterEngine.testLong(t, 200) }

func TestCounterPreconditions(t *testing.T) {
	for name, ops := range map[string][]CounterOp{
		"different":  {{Value: 1}, {Value: 2}},
		"negative":   {{Value: -1}},
		"ends first": {{Span: Span{5, 1}, Value: 1}},
	} {
		if got := Counters(ops); got.Answer != NotApplicable || got.Why == "" {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCountersExhaustively(t *testing.T) { counterEngine.testExhaustively(t, 4) }
