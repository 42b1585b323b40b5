package check

import (
	"context"
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// Fitting checks that what was answered with ok can be the answer to what was asked at all: fits
// says why it cannot. It is for clients that hand on what the system said, and are not in
// doubt themselves: an answer to another operation is then a broken promise of the system,
// whatever the other judges, who cannot read it, make of it.
func Fitting(fits func(op *history.Operation) error) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		const name = "answers"
		r := Result{Name: name}
		if r, stop := interrupted(ctx, name); stop {
			return r
		}
		var bad violations
		answered := 0
		for i := range h.Ops {
			op := &h.Ops[i]
			if op.Type != history.OK {
				continue
			}
			answered++
			if err := fits(op); err != nil {
				bad.add(op.Key, "the answer to something else",
					fmt.Sprintf("Process %d asked for %s %s and was told %s, at %s, which cannot be the "+
						"answer: %v.", op.Process, op.F, op.In, op.Out, seconds(op.Return), err), op)
			}
		}
		bad.settle(&r, fmt.Sprintf("of %s", count(answered, "answer", "answers")),
			func() (Verdict, string) {
				return Valid, fmt.Sprintf("each of %s fits what was asked",
					count(answered, "answer", "answers"))
			})
		return r
	})
}
