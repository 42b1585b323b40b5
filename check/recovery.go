package check

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// RecoveryOptions say what a system promises.
type RecoveryOptions struct {
	// Kinds are the kinds of operations that have to work again: of a floor the F, the
	// name and Is.
	Kinds []Floor
	// Grace is how long after the last fault a kind may still fail. Default: 20 s.
	Grace time.Duration
	// Claimed is true when the system promises to work again once everything is healed.
	// Otherwise what does not is only reported.
	Claimed bool
	// Foreign is true when somebody else runs the nodes: see AvailabilityOptions.
	Foreign bool

	_ struct{} // keyed literals only
}

// RecoveryDetails are the Details of Recovery.
type RecoveryDetails struct {
	Kinds []RecoveredKind `json:"kinds,omitempty"`
}

// RecoveredKind is what became of a kind of operation after the last fault.
type RecoveredKind struct {
	Kind string `json:"kind"`
	// Tried counts the operations that ended, Worked those that were answered.
	Tried  int `json:"tried"`
	Worked int `json:"worked"`
	// For is how long it was tried after the last fault, in nanoseconds.
	For int64 `json:"for"`
}

// recoveryTries is how many operations in vain are a proof.
const recoveryTries = 10

// Recovery checks that what worked before the first fault works again when all are healed:
// of every kind of operation that is tried again and again for longer than the grace at
// least one has to succeed. An operation that was refused because of the object's state
// works. It judges all keys together, so that it sees systems that have come to a halt, in
// all or, as a database that takes no writes, in part; Liveness sees single keys.
func Recovery(o RecoveryOptions) Checker {
	o.Grace = cmp.Or(o.Grace, 20*time.Second)
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return recovery(ctx, h, o)
	})
}

func recovery(ctx context.Context, h *history.History, o RecoveryOptions) Result {
	const name = "recovery"
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	r := Result{Name: name}
	first, quiet := firstFault(h), quietFrom(h)
	switch {
	case first == history.Never:
		r.Reason = "there was no fault to recover from"
		return r
	case quiet == history.Never:
		r.Reason = "not exercised: a fault was never healed"
		return r
	}
	var d RecoveryDetails
	var bad violations
	stalls := stallSpans(h)
	for _, k := range o.Kinds {
		if kind, vain := k.recovered(h, first, quiet, stalls); kind.Tried > 0 {
			d.Kinds = append(d.Kinds, kind)
			if kind.Worked == 0 && kind.Tried >= recoveryTries && kind.For > int64(o.Grace) {
				last := vain[len(vain)-1]
				bad.add("", "did not succeed", fmt.Sprintf("From %s to %s none of %d %s operations "+
					"succeeded, although the last fault was healed at %s and such operations had "+
					"succeeded before the first; the last one was told %q.", seconds(vain[0].Call),
					seconds(last.Ended), len(vain), kind.Kind, seconds(quiet), last.Error),
					vain[0], vain[1], last)
			}
		}
	}
	r.Details = d
	for _, k := range d.Kinds {
		r.Power = append(r.Power,
			measure(k.Kind+" operations that worked after the last fault", k.Worked))
	}
	switch {
	case bad.n > 0 && !o.Claimed:
		r.Reason = fmt.Sprintf("not claimed, but %s did not work again",
			count(bad.n, "kind of operation", "kinds of operations"))
	case bad.n > 0 && o.Foreign:
		r.Verdict = Unknown
		r.Reason = fmt.Sprintf("%s did not work again, and %s",
			count(bad.n, "kind of operation", "kinds of operations"), foreign)
	default:
		bad.settle(&r, fmt.Sprintf("%s did not work again after the last fault was healed",
			count(bad.n, "kind of operation", "kinds of operations")),
			func() (Verdict, string) { return Valid, d.String() })
	}
	return r
}

// String says how it went.
func (d RecoveryDetails) String() string {
	worked := 0
	for _, k := range d.Kinds {
		if k.Worked > 0 {
			worked++
		}
	}
	if worked == 0 {
		return "not exercised: nothing was tried for long enough after the last fault"
	}
	return fmt.Sprintf("%s worked again after the last fault",
		count(worked, "kind of operation", "kinds of operations"))
}

// firstFault is when the first fault began, Never if there was none.
func firstFault(h *history.History) history.Time {
	first := history.Never
	for _, w := range h.Windows() {
		first = min(first, w.Start)
	}
	return first
}

// recovered looks at the operations of the kind that were called after quiet. Of a kind
// that never worked before the first fault nothing is said.
func (f Floor) recovered(
	h *history.History, first, quiet history.Time, stalls []span,
) (RecoveredKind, []*history.Operation) {
	kind := RecoveredKind{Kind: cmp.Or(f.Name, string(f.F))}
	var vain []*history.Operation
	before := false
	end := quiet
	for i := range h.Ops {
		op := &h.Ops[i]
		works := op.Type == history.OK || answersState(op)
		switch {
		case f.F != "" && op.F != f.F || f.Is != nil && !f.Is(op):
		case works && op.Return <= first:
			before = true
		case op.Call <= quiet || op.Ended == history.Never || overlaps(stalls, op.Call, op.Ended):
		case works:
			kind.Tried++
			kind.Worked++
		default:
			kind.Tried++
			vain = append(vain, op)
			end = max(end, op.Ended)
		}
	}
	if !before {
		return RecoveredKind{}, nil
	}
	kind.For = int64(end - quiet)
	return kind, vain
}

// Answers reports whether an operation of this outcome shows that its kind works: it
// succeeded, or was refused because of the object's state.
func Answers(t history.Type, err string) bool {
	return t == history.OK || answersState(&history.Operation{Type: t, Error: err})
}
