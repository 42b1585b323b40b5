package search

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// Replay verifies a certificate: that order, positions in ops, is a legal order of the
// history. It knows nothing of how the order was found. A nil error means that every
// operation that returned is in it, none twice, none before one that had returned
// before it was called, and that the model executes them all as they ended.
func Replay(spec *models.Spec, ops []Op, order []int) error {
	placed := make([]bool, len(ops))
	state := spec.Porcupine.Init()
	latest := history.Time(-1) // call of those so far
	for n, i := range order {
		if i < 0 || i >= len(ops) || placed[i] {
			return fmt.Errorf("order: entry %d is operation %d, which is none or placed twice", n, i)
		}
		placed[i] = true
		o := &ops[i]
		if o.Return < latest {
			return fmt.Errorf("order: operation %d had returned before one that is placed before it "+
				"was called", i)
		}
		latest = max(latest, o.Call)
		ok, next := spec.Porcupine.Step(state, o.In, o.Out)
		if !ok {
			return fmt.Errorf("order: operation %d cannot end so after the %d before it", i, n)
		}
		state = next
	}
	for i := range ops {
		if !placed[i] && ops[i].Return != history.Never {
			return fmt.Errorf("order: operation %d has returned but is not placed", i)
		}
	}
	return nil
}
