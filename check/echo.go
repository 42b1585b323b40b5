package check

import (
	"context"
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// Echo checks that every operation "echo" returned what it was called with.
func Echo() Checker { return CheckerFunc(echo) }

func echo(ctx context.Context, h *history.History) Result {
	const name = "echo"
	r := Result{Name: name}
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	var bad violations
	answered := 0
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.F != "echo" || op.Type != history.OK {
			continue
		}
		answered++
		if !op.In.Equal(op.Out) {
			bad.add(op.Key, "not what was sent",
				fmt.Sprintf("Process %d asked for %s and got %s, at %s.", op.Process, op.In,
					op.Out, seconds(op.Return)), op)
		}
	}
	r.Power = []Measure{measure("echoes", answered)}
	bad.settle(&r, fmt.Sprintf("of %s", count(answered, "echo", "echoes")),
		func() (Verdict, string) {
			if answered == 0 {
				return Unknown, "nothing was sent back"
			}
			return Valid, fmt.Sprintf("all of %s are what was asked for", count(answered, "echo", "echoes"))
		})
	return r
}
