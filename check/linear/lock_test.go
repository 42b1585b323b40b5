package linear

import (
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// randomLocks draws owners who acquire and release a lock in turn. In every third
// history they do not care much who holds it.
func randomLocks(w *world) []LockOp {
	var ops []LockOp
	careless := w.mistakes(3) == 1
	free := history.Time(0) // since when, in the world of the careful ones
	for owner := range 1 + w.IntN(5) {
		at := history.Time(w.IntN(10))
		for range 1 + w.IntN(2) {
			for _, acquire := range []bool{true, false} {
				if len(ops) == 10 {
					return ops
				}
				effect := at + history.Time(w.IntN(4))
				if acquire && !careless {
					effect = max(effect, free)
				}
				end := effect + history.Time(w.IntN(3))
				free = max(free, effect)
				op := LockOp{Span: Span{at, end}, Acquire: acquire, Owner: owner}
				if w.IntN(8) == 0 {
					op.Return = history.Never
				}
				ops = append(ops, op)
				if op.crashed() {
					at = history.Never
					break
				}
				at = end + 1 + history.Time(w.IntN(3))
			}
			if at == history.Never || w.IntN(3) == 0 {
				break
			}
		}
	}
	return ops
}

// lockStep is a lock that does not ask who releases it.
func lockStep(ops []LockOp) func(held bool, i int) []bool {
	return func(held bool, i int) []bool { return only(!held, ops[i].Acquire != held) }
}

var lockEngine = engine[LockOp, bool]{
	draw: randomLocks, run: Locks, order: LocksOrder, step: lockStep,
	span:    func(op *LockOp) *Span { return &op.Span },
	changes: func(*LockOp) bool { return true },
	kinds:   []Kind{Overlap},
	exact:   true,
}

func TestLocksAgainstTwin(t *testing.T) { lockEngine.test(t, 5000) }

func TestLocksPreconditions(t *testing.T) {
	acquire := func(owner int, call, ret history.Time) LockOp {
		return LockOp{Span: Span{call, ret}, Acquire: true, Owner: owner}
	}
	for name, ops := range map[string][]LockOp{
		"twice":          {acquire(1, 1, 2), acquire(1, 3, 4)},
		"released first": {{Span: Span{1, 2}, Owner: 1}},
		"after unknown":  {acquire(1, 1, history.Never), {Span: Span{3, 4}, Owner: 1}},
		"at once":        {acquire(1, 1, 5), {Span: Span{5, 9}, Owner: 1}},
		"ends first":     {acquire(1, 5, 1)},
	} {
		if got := Locks(ops); got.Answer != NotApplicable || got.Why == "" {
			t.Errorf("%s: %v", name, got)
		}
	}
}
