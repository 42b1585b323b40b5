package linear

import "testing"

func randomRevisions(w *world, shared bool) []RevisionOp {
	ops := make([]RevisionOp, len(w.spans))
	values := Nil
	for i, s := range w.spans {
		ops[i] = RevisionOp{Span: s, Write: w.IntN(2) == 0, Position: Unknown}
		if ops[i].Write {
			values++
			ops[i].Value = values
		}
	}
	state, at := Nil, int64(0)
	told := make([]int64, values+2)
	for _, i := range w.moments {
		op := &ops[i]
		if op.Write {
			if state == Nil || !shared || w.IntN(2) == 0 {
				at += 1 + w.Int64N(3)
			}
			state = op.Value
			told[state] = at
		}
		op.Value = state
		if state != Nil && !(op.Write && op.crashed() && w.IntN(2) == 0) {
			op.Position = at
		}
	}
	for range w.mistakes(3) {
		op := &ops[w.IntN(len(ops))]
		switch {
		case op.crashed():
		case !op.Write:
			op.Value = Value(w.IntN(int(values) + 2))
			op.Position = told[op.Value]
		case w.IntN(2) == 0:
			op.Position = w.Int64N(8)
		}
	}
	return ops
}

// revisionState is a value with its position.
type revisionState struct {
	value    Value
	position int64
}

func revisionStep(ops []RevisionOp, shared bool) func(s revisionState, i int) []revisionState {
	greater := func(p, than int64) bool { return p > than || shared && p == than }
	return func(s revisionState, i int) (next []revisionState) {
		op := ops[i]
		if !op.Write {
			return only(s, s == revisionState{op.Value, op.Position} ||
				op.Value == Nil && s.value == Nil)
		}
		for p := range int64(3*len(ops) + 8) { // as far as positions are drawn
			if (op.Position == Unknown || op.Position == p) && (s.value == Nil || greater(p, s.position)) {
				next = append(next, revisionState{op.Value, p})
			}
		}
		return next
	}
}

func revisionEngine(shared bool) *engine[RevisionOp, revisionState] {
	o := RevisionOptions{Shared: shared}
	kinds := []Kind{Initial, Unwritten, Inverted, Clash, Misordered}
	if shared {
		kinds = append(kinds, Opposed)
	}
	return &engine[RevisionOp, revisionState]{
		draw:  func(w *world) []RevisionOp { return randomRevisions(w, shared) },
		run:   func(ops []RevisionOp) Result { return Revisions(ops, o) },
		order: func(ops []RevisionOp) []int { return RevisionsOrder(ops, o) },
		step: func(ops []RevisionOp) func(revisionState, int) []revisionState {
			return revisionStep(ops, shared)
		},
		span:    func(op *RevisionOp) *Span { return &op.Span },
		changes: func(op *RevisionOp) bool { return op.Write },
		forget:  func(op *RevisionOp) { op.Position = Unknown },
		rename:  func(op *RevisionOp, name func(Value) Value) { op.Value = name(op.Value) },
		kinds:   kinds,
		each: func(i, n int) (ops []RevisionOp) {
			for p := range int64(n) {
				ops = append(ops, RevisionOp{Write: true, Value: Value(i + 1), Position: p})
				for v := range Value(n + 1) {
					ops = append(ops, RevisionOp{Value: v, Position: p})
				}
			}
			return ops
		},
		most: 9,
		// The position of what crashed may be lost with it.
		partial: true,
	}
}

func TestRevisionsAgainstTwin(t *testing.T) { revisionEngine(false).test(t, 3000) }
func TestTokensAgainstTwin(t *testing.T)    { revisionEngine(true).test(t, 3000) }
func TestRevisionsChanges(t *testing.T)     { revisionEngine(false).testChanges(t, 2000) }
func TestRevisionsLong(t *testing.T)        { revisionEngine(false).testLong(t, 100) }
func TestTokensLong(t *testing.T)           { revisionEngine(true).testLong(t, 100) }

func TestRevisionsExhaustively(t *testing.T) { revisionEngine(false).testExhaustively(t, 3) }
func TestTokensExhaustively(t *testing.T)    { revisionEngine(true).testExhaustively(t, 3) }
