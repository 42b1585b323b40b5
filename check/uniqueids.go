package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// UniqueIDsDetails are the Details of UniqueIDs.
type UniqueIDsDetails struct {
	Attempted    int `json:"attempted"`
	Acknowledged int `json:"acknowledged"`
	// Duplicated counts the ids that were given out more than once; the list
	// holds the first 100.
	Duplicated   int      `json:"duplicated"`
	DuplicateIDs []string `json:"duplicateIDs,omitempty"`
}

// UniqueIDs checks that no two operations "generate" returned the same id, whatever
// their key.
func UniqueIDs() Checker { return CheckerFunc(uniqueIDs) }

func uniqueIDs(ctx context.Context, h *history.History) Result {
	const name, most = "unique-ids", 5
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	r := Result{Name: name}
	var d UniqueIDsDetails
	first := make(map[models.Scalar]*history.Operation)
	again := make(map[models.Scalar]bool)
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.F != "generate" {
			continue
		}
		d.Attempted++
		if op.Type != history.OK {
			continue
		}
		id, err := models.NewScalar(op.Out)
		if err == nil && id.IsNil() {
			err = fmt.Errorf("result: no id")
		}
		if err != nil {
			return Result{Name: name, Verdict: Unknown,
				Reason: misfit(op, "unique ids", err).Error()}
		}
		d.Acknowledged++
		other := first[id]
		if other == nil {
			first[id] = op
			continue
		}
		if !again[id] {
			again[id] = true
			d.Duplicated++
			d.DuplicateIDs = sample(d.DuplicateIDs, id)
		}
		if len(r.Counterexamples) < most {
			if other.Return > op.Return { // it was only called before
				other, op = op, other
			}
			r.Counterexamples = append(r.Counterexamples, counterexample(op.Key, "the same id once more",
				fmt.Sprintf("Process %d got the id %s at %s, which process %d had got at %s.",
					op.Process, id, seconds(op.Return), other.Process, seconds(other.Return)),
				other, op))
		}
	}
	r.Details = d
	r.Power = []Measure{measure("ids", d.Acknowledged)}
	switch {
	case d.Duplicated > 0:
		r.Verdict = Invalid
		r.Reason = fmt.Sprintf("%s given out more than once",
			count(d.Duplicated, "id was", "ids were"))
	case d.Acknowledged < 2:
		r.Verdict, r.Untested, r.Reason = Unknown, true, "fewer than two ids were given out"
	default:
		r.Reason = fmt.Sprintf("all of %s are different", count(d.Acknowledged, "id", "ids"))
	}
	return r
}

// IncreasingIDs checks that ids rise: whoever called "generate" after another had got
// an id, gets a greater one. Ids that skip numbers are fine.
func IncreasingIDs() Checker { return CheckerFunc(increasingIDs) }

func increasingIDs(ctx context.Context, h *history.History) Result {
	const name = "increasing-ids"
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	r := Result{Name: name}
	var byCall []*history.Operation
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.F != "generate" || op.Type != history.OK {
			continue
		}
		if _, isInt := op.Out.AsInt(); !isInt {
			return Result{Name: name, Verdict: Unknown, Reason: misfit(op, "increasing ids",
				fmt.Errorf("result: want an integer, got %s", op.Out)).Error()}
		}
		byCall = append(byCall, op)
	}
	byReturn := slices.Clone(byCall)
	slices.SortStableFunc(byCall, func(a, b *history.Operation) int {
		return cmp.Compare(a.Call, b.Call)
	})
	slices.SortStableFunc(byReturn, func(a, b *history.Operation) int {
		return cmp.Compare(a.Return, b.Return)
	})
	id := func(op *history.Operation) int64 { n, _ := op.Out.AsInt(); return n }
	var bad violations
	var greatest *history.Operation // of those that had returned before
	next, compared := 0, 0
	for _, op := range byCall {
		for ; next < len(byReturn) && byReturn[next].Return < op.Call; next++ {
			if greatest == nil || id(byReturn[next]) > id(greatest) {
				greatest = byReturn[next]
			}
		}
		if greatest == nil {
			continue
		}
		if compared++; id(op) <= id(greatest) {
			bad.add(op.Key, "not a greater id",
				fmt.Sprintf("Process %d got the id %d (called at %s), after process %d had got "+
					"%d by %s.", op.Process, id(op), seconds(op.Call), greatest.Process, id(greatest),
					seconds(greatest.Return)), greatest, op)
		}
	}
	r.Power = []Measure{measure("ids compared", compared)}
	bad.settle(&r, "ids that do not rise", func() (Verdict, string) {
		if compared == 0 {
			return Unknown, "nothing was shown: no id was asked for after another"
		}
		return Valid, fmt.Sprintf("%s later than others, all greater", count(compared, "id", "ids"))
	})
	return r
}
