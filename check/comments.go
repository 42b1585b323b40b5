package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// CommentsDetails are the Details of Comments.
type CommentsDetails struct {
	Writes int `json:"writes"`
	Reads  int `json:"reads"`
	// Binding are the reads that saw a write before which another one had been
	// acknowledged: only they can show anything.
	Binding int `json:"binding"`
	// Reversed are reads that miss such a one, Unexpected those with what nobody wrote.
	Reversed   int `json:"reversed"`
	Unexpected int `json:"unexpected"`
}

// Comments checks writes of values, each written once, and reads that return all values:
// whoever sees a write sees all that had been acknowledged before it was called. That is
// what Jepsen's test of the same name asks of a strictly serializable database, which may
// otherwise show an answer without the question ("causal reverse"). A read itself may
// miss any number of the latest writes.
func Comments() Checker { return CheckerFunc(comments) }

func comments(ctx context.Context, h *history.History) Result {
	const name = "comments"
	r := Result{Name: name}
	var d CommentsDetails
	var bad violations
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, name); stop {
			return r
		}
		if err := d.judge(key, ops, &bad); err != nil {
			return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
		}
	}
	r.Details = d
	r.Power = []Measure{measure("writes", d.Writes), measure("reads", d.Reads),
		measure("reads that had to have something", d.Binding)}
	bad.settle(&r, fmt.Sprintf("of %s, %s", count(d.Reads, "read", "reads"), tallies(
		tally{d.Reversed, "without an earlier write"}, tally{d.Unexpected, "unexpected"})),
		func() (Verdict, string) {
			if d.Binding == 0 {
				return Unknown, "nothing was shown: no read saw a write that had come after another one"
			}
			return Valid, fmt.Sprintf("%s; %d of them had to have something, and had it",
				count(d.Reads, "read", "reads"), d.Binding)
		})
	return r
}

// commented are the writes of a key by their values, and the acknowledged ones by their
// returns.
type commented struct {
	by    map[models.Scalar]*history.Operation
	acked []*history.Operation
}

func (d *CommentsDetails) judge(
	key history.Key, ops []*history.Operation, bad *violations,
) error {
	w := commented{by: make(map[models.Scalar]*history.Operation)}
	for _, op := range ops {
		switch op.F {
		case "read":
		case "write":
			if err := w.add(op); err != nil {
				return misfit(op, "comments", err)
			}
			d.Writes++
		default:
			return misfit(op, "comments", fmt.Errorf("there are only read and write"))
		}
	}
	slices.SortStableFunc(w.acked, func(a, b *history.Operation) int {
		return cmp.Compare(a.Return, b.Return)
	})
	for _, op := range ops {
		if op.F != "read" || op.Type != history.OK {
			continue
		}
		d.Reads++
		if err := d.read(key, op, &w, bad); err != nil {
			return misfit(op, "comments", err)
		}
	}
	return nil
}

func (w *commented) add(op *history.Operation) error {
	v, err := models.NewScalar(op.In)
	if err != nil {
		return fmt.Errorf("value: %w", err)
	}
	if other := w.by[v]; other != nil {
		return fmt.Errorf("operation %d of process %d wrote %s, too", other.Index, other.Process, v)
	}
	w.by[v] = op
	if op.Type == history.OK {
		w.acked = append(w.acked, op)
	}
	return nil
}

// read judges one read by the latest write that it saw.
func (d *CommentsDetails) read(
	key history.Key, op *history.Operation, w *commented, bad *violations,
) error {
	if !op.Out.IsNil() && op.Out.Kind() != history.KindList {
		return fmt.Errorf("result: want a list of values, got %s", op.Out)
	}
	seen := make(map[*history.Operation]bool, op.Out.Len())
	var latest *history.Operation
	for i := range op.Out.Len() {
		v, err := models.NewScalar(op.Out.At(i))
		if err != nil {
			return fmt.Errorf("result: %w", err)
		}
		by := w.by[v]
		if by == nil || by.Type == history.Fail || by.Call > op.Return {
			d.Unexpected++
			bad.add(key, "not written by then",
				fmt.Sprintf("Process %d read %s at %s%s, which nobody had written by then.",
					op.Process, v, seconds(op.Return), onKey(key)), by, op)
			continue
		}
		seen[by] = true
		if latest == nil || by.Call > latest.Call {
			latest = by
		}
	}
	for i, first := range w.acked {
		if latest == nil || first.Return >= latest.Call {
			break
		}
		if i == 0 {
			d.Binding++
		}
		if !seen[first] {
			d.Reversed++
			bad.add(key, "misses what was written first",
				fmt.Sprintf("Process %d read at %s%s what process %d wrote, %s, but not %s, "+
					"which process %d had been told at %s, before that write was called.", op.Process,
					seconds(op.Return), onKey(key), latest.Process, latest.In, first.In, first.Process,
					seconds(first.Return)), first, latest, op)
			break
		}
	}
	return nil
}
