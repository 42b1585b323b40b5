package run

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// exitedEarly is what the error of a start says if the process ended by itself.
const exitedEarly = "exited before it was ready"

// comesBack judges whether every node that a fault has taken down runs again, where the
// system promises to work again. A process that ends by itself whenever it is started, with
// a sound disk, on a host that has all it needs, is a violation; only of a simulated host
// that is known.
func comesBack(faults []nemesis.FaultRecord) check.Checker {
	return check.CheckerFunc(func(context.Context, *history.History) check.Result {
		r := check.Result{Name: "restarts", Reason: "every node that was taken down runs again"}
		i := slices.IndexFunc(faults, func(f nemesis.FaultRecord) bool {
			return f.Injected && !f.Healed && strings.Contains(f.HealError, exitedEarly)
		})
		if i < 0 {
			return r
		}
		f := faults[i]
		r.Verdict = check.Invalid
		r.Reason = fmt.Sprintf("after %s was over a node did not start again: %s",
			f.What, f.HealError)
		over := f.Start + history.Time(f.Step.For)
		r.Counterexamples = []check.Counterexample{{Why: r.Reason, Until: over}}
		return r
	})
}
