package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// LivenessOptions say what a system promises.
type LivenessOptions struct {
	// Grace is how long after the last fault everything has to work again.
	// Default: 5 s.
	Grace time.Duration
	// Patience is for how long a key has to have been tried in vain. Default: 1 s.
	Patience time.Duration
	// Claimed is true when the system promises progress. Otherwise keys that are
	// stuck are only reported.
	Claimed bool
	// Foreign is true when somebody else runs the nodes, who may have stopped some: a key
	// that is stuck is a doubt then, no proof.
	Foreign bool

	_ struct{} // keyed literals only
}

// LivenessDetails are the Details of Liveness.
type LivenessDetails struct {
	// Keys is how many were tried after the grace, Answered how many of them
	// worked, Stuck how many did not although they were tried long enough.
	Keys     int           `json:"keys"`
	Answered int           `json:"answered"`
	Stuck    int           `json:"stuck"`
	Names    []history.Key `json:"names,omitempty"`
	// Slowest is how long after the grace the last key worked for the first time,
	// in nanoseconds.
	Slowest int64 `json:"slowest"`
}

// Liveness checks that in the end every key works: some time after the last fault has
// been healed, an operation on each key that is tried succeeds. What stands in the
// way for longer, such as the lock of a transaction that nobody ends, is a
// violation. Keys that were tried fewer than three times, or not for long enough,
// are not judged.
func Liveness(o LivenessOptions) Checker {
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	o.Patience = cmp.Or(o.Patience, time.Second)
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return liveness(ctx, h, o)
	})
}

func liveness(ctx context.Context, h *history.History, o LivenessOptions) Result {
	const name = "liveness"
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	r := Result{Name: name}
	var d LivenessDetails
	var bad violations
	from := later(quietFrom(h), history.Time(o.Grace))
	if from == history.Never {
		r.Verdict, r.Reason = Unknown, "a fault was never healed"
		return r
	}
	stalls := stallSpans(h)
	for key, ops := range h.ByKey() {
		d.key(key, ops, from, from-history.Time(o.Grace), stalls, history.Time(o.Patience), &bad)
	}
	r.Details = d
	r.Power = []Measure{measure("keys tried at the end", d.Keys),
		measure("keys that worked", d.Answered),
		{Name: "slowest", Value: float64(d.Slowest) / 1e9, Unit: "s"}}
	switch {
	case d.Stuck > 0 && !o.Claimed:
		r.Reason = fmt.Sprintf("not claimed, but %s stuck in the end: %s",
			count(d.Stuck, "key is", "keys are"), names(d.Names))
	case d.Stuck > 0 && o.Foreign:
		r.Verdict = Unknown
		r.Reason = fmt.Sprintf("%s stuck in the end, and %s: %s",
			count(d.Stuck, "key is", "keys are"), foreign, names(d.Names))
	default:
		bad.settle(&r, fmt.Sprintf("%s stuck in the end", count(d.Stuck, "key is", "keys are")),
			func() (Verdict, string) {
				if d.Answered == 0 {
					return Unknown, "nothing was shown: no key was tried after all faults had been healed"
				}
				reason := fmt.Sprintf("%s worked again after the last fault",
					count(d.Answered, "key", "keys"))
				if n := d.Keys - d.Answered; n > 0 {
					reason += fmt.Sprintf("; %d more were not tried for long enough", n)
				}
				return Valid, reason
			})
	}
	return r
}

// stallSpans are the times in which the harness itself stood still.
func stallSpans(h *history.History) []span {
	var spans []span
	for _, e := range h.Nemesis {
		if from, ok := e.Value.Get("from").AsInt(); ok && e.F == Stall {
			spans = append(spans, span{from: history.Time(from), to: e.Time})
		}
	}
	return union(spans, 0)
}

// key judges the operations that were called after from; the faults were over at quiet.
func (d *LivenessDetails) key(
	key history.Key, ops []*history.Operation, from, quiet history.Time, stalls []span,
	patience history.Time, bad *violations,
) {
	var vain []*history.Operation
	first := history.Never
	for _, op := range ops {
		switch {
		case op.Call <= from || op.Ended == history.Never || overlaps(stalls, op.Call, op.Ended):
		case worked(op):
			first = min(first, op.Ended)
		default:
			vain = append(vain, op)
		}
	}
	if first == history.Never && len(vain) == 0 {
		return
	}
	d.Keys++
	if first != history.Never {
		d.Answered++
		d.Slowest = max(d.Slowest, int64(first-from))
		return
	}
	last := slices.MaxFunc(vain, func(a, b *history.Operation) int {
		return cmp.Compare(a.Ended, b.Ended)
	})
	if len(vain) < 3 || last.Ended-vain[0].Call < patience {
		return
	}
	d.Stuck++
	if len(d.Names) < 100 {
		d.Names = append(d.Names, key)
	}
	why, shown := stuck(key, ops, vain, last, quiet)
	bad.add(key, "did not succeed", why, shown...)
}

// stuck tells of a key on which nothing works any more. It shows the last that worked; the last
// operation after that of which nobody knows what became, because it may be in the way, or else
// the first that failed; and some of those that did not work in the end.
func stuck(
	key history.Key, ops, vain []*history.Operation, last *history.Operation, quiet history.Time,
) (why string, shown []*history.Operation) {
	var good, open *history.Operation
	for _, op := range ops {
		switch {
		case op.Call >= vain[0].Call:
		case worked(op) && (good == nil || op.Ended > good.Ended):
			good = op
		}
	}
	for _, op := range ops {
		before := good != nil && op.Type == history.Fail && op.Call <= good.Ended
		if op.Call < vain[0].Call && !worked(op) && !before && (open == nil || hinders(op, open)) {
			open = op
		}
	}
	when := "there was no fault"
	if quiet > 0 {
		when = "the last fault was over at " + seconds(quiet)
	}
	why = fmt.Sprintf("None of %s%s from %s to %s succeeded, although %s.",
		count(len(vain), "operation", "operations"), onKey(key), seconds(vain[0].Call),
		seconds(last.Ended), when)
	if last.Error != "" {
		why += fmt.Sprintf(" The last of them was told %s.", quoted(last.Error))
	}
	if good != nil {
		why += fmt.Sprintf(" The last success was that of process %d, answered at %s.", good.Process,
			seconds(good.Ended))
	} else {
		why += " There never was a success."
	}
	if open != nil {
		tell := " The first failure after it was that of process %d, called at %s."
		switch {
		case open.Type == history.Info:
			tell = " What became of an operation of process %d, called at %s, is unknown: it may be in " +
				"the way."
		case good == nil:
			tell = " The first failure was that of process %d, called at %s."
		}
		why += fmt.Sprintf(tell, open.Process, seconds(open.Call))
	}
	return why, append([]*history.Operation{open, good}, vain[:3]...)
}

// hinders reports whether an operation may rather be in the way than another one, or tells
// sooner that something is.
func hinders(op, other *history.Operation) bool {
	if open := op.Type == history.Info; open != (other.Type == history.Info) {
		return open
	}
	return op.Call > other.Call == (op.Type == history.Info)
}

// quoted puts a text in quotes, without escapes where it has quotes itself.
func quoted(text string) string {
	if strings.Contains(text, `"`) {
		return fmt.Sprintf("%#q", text)
	}
	return fmt.Sprintf("%q", text)
}

// worked reports whether an operation shows that its object works.
func worked(op *history.Operation) bool { return op.Type == history.OK || answersState(op) }

// answersState reports whether a failure is an answer about the object's state: it
// works.
func answersState(op *history.Operation) bool {
	return op.Type == history.Fail && (strings.HasPrefix(op.Error, "precondition-failed") ||
		strings.HasPrefix(op.Error, "empty") || strings.HasPrefix(op.Error, "stale-token"))
}
