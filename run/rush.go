package run

import (
	"cmp"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/workload"
)

// A rush lasts from a little before a fault begins, or ends, until a little after: some
// operations of usual length, and few enough of them that the rest of a test stays what its rate
// makes it.
const (
	rushBefore = 10 * time.Millisecond
	rushAfter  = 40 * time.Millisecond
)

// rushes are the moments of faults. What goes wrong at such a moment goes wrong with operations
// that are half done, and at a rate below what a system can do, that is mostly none.
func rushes(steps []nemesis.Step) []workload.Rush {
	var out []workload.Rush
	for _, s := range steps {
		for _, at := range []time.Duration{s.At, s.At + s.For} {
			out = append(out, workload.Rush{From: at - rushBefore, To: at + rushAfter})
		}
	}
	slices.SortFunc(out, func(a, b workload.Rush) int { return cmp.Compare(a.From, b.From) })
	return out
}
