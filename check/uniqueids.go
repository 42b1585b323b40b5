package check

import (
	"context"
	"fmt"

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
			r.Counterexamples = append(r.Counterexamples, counterexample(op.Key,
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
		r.Verdict, r.Reason = Unknown, "fewer than two ids were given out"
	default:
		r.Reason = fmt.Sprintf("all of %s are different", count(d.Acknowledged, "id", "ids"))
	}
	return r
}
