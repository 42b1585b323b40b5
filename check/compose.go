package check

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
)

// Compose returns a checker that runs all checkers, at the same time, and merges
// their verdicts: one invalid part makes the whole invalid. Parts keep the order of
// checkers. A part that panics is unknown, with the stack in its Details; the
// others are not disturbed. Without parts the verdict is unknown.
func Compose(name string, checkers ...Checker) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		r := Result{Name: name, Parts: make([]Result, len(checkers))}
		var wg sync.WaitGroup
		for i, c := range checkers {
			wg.Go(crash.Guard(func() { r.Parts[i] = guarded(ctx, c, h) }))
		}
		wg.Wait()
		if len(checkers) == 0 {
			r.Verdict, r.Reason = Unknown, "there is nothing to check"
			return r
		}
		var reasons []string
		for i := range r.Parts {
			r.Verdict = Merge(r.Verdict, r.Parts[i].Verdict)
		}
		for i := range r.Parts {
			if p := &r.Parts[i]; p.Verdict == r.Verdict {
				reasons = append(reasons, p.Name+": "+p.Reason)
			}
		}
		r.Reason = strings.Join(reasons, "; ")
		return r
	})
}

// Named returns c with another name for its results, for checkers that are used
// twice in one test.
func Named(name string, c Checker) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		r := c.Check(ctx, h)
		r.Name = name
		return r
	})
}

// PanicDetails are the Details of a checker that panicked.
type PanicDetails struct {
	Panic string `json:"panic"`
	Stack string `json:"stack"`
}

// guarded runs c and makes a panic an unknown verdict: a defect of a checker must
// not take away what the others found.
func guarded(ctx context.Context, c Checker, h *history.History) (r Result) {
	defer func() {
		if p := recover(); p != nil {
			r = Result{
				Name: "checker", Verdict: Unknown,
				Reason:  fmt.Sprintf("the checker panicked: %v", p),
				Details: PanicDetails{Panic: fmt.Sprint(p), Stack: string(debug.Stack())},
			}
		}
	}()
	return c.Check(ctx, h)
}

// interrupted returns the result of a checker whose context ended before it did.
func interrupted(ctx context.Context, name string) (Result, bool) {
	if ctx.Err() == nil {
		return Result{}, false
	}
	return Result{
		Name: name, Verdict: Unknown,
		Reason: fmt.Sprintf("stopped before the end: %v", context.Cause(ctx)),
	}, true
}
