package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// DecideDetails are the Details of Decide.
type DecideDetails struct {
	Instances int `json:"instances"`
	Decided   int `json:"decided"`
	Proposals int `json:"proposals"`
	Asks      int `json:"asks"`
	// Undecided asks were told that nothing is decided.
	Undecided int `json:"undecided"`
	// Contended instances had two proposals at the same time.
	Contended int `json:"contended"`
	// The instances in which two values were decided, one that nobody may have
	// proposed, or one that was decided and then was not.
	Disagreed int `json:"disagreed"`
	Invented  int `json:"invented"`
	Forgotten int `json:"forgotten"`
}

// Decide checks instances of consensus: propose v -> the decided value, and ask ->
// the decided value, or nil if it is certain that nothing is decided yet. All answers
// name the same value (agreement), somebody proposed it before the first answer did
// (validity), and once it has been named nothing else is answered (stability).
//
// The three together are linearizability of a write-once register: the decision can
// be placed after the call of a proposal of its value and after the calls of all who
// saw nothing, and before the first return of somebody who saw it. The time is
// linear.
func Decide() Checker { return CheckerFunc(decide) }

func decide(ctx context.Context, h *history.History) Result {
	const name = "decide"
	r := Result{Name: name}
	var d DecideDetails
	var bad violations
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, name); stop {
			return r
		}
		in, err := readInstance(ops)
		if err != nil {
			return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
		}
		d.judge(key, in, &bad)
	}
	r.Details = d
	r.Power = []Measure{measure("instances", d.Instances), measure("decided", d.Decided),
		measure("contended", d.Contended), measure("proposals", d.Proposals),
		measure("asks", d.Asks), measure("asks before the decision", d.Undecided)}
	bad.settle(&r, fmt.Sprintf("of %s, %s", count(d.Instances, "instance", "instances"), tallies(
		tally{d.Disagreed, "with two decisions"}, tally{d.Invented, "with an invented decision"},
		tally{d.Forgotten, "with a forgotten decision"})),
		func() (Verdict, string) {
			if d.Decided == 0 {
				return Unknown, "nothing was shown: nothing was decided"
			}
			return Valid, fmt.Sprintf("one decision each in %s, %d of them contended",
				count(d.Decided, "instance", "instances"), d.Contended)
		})
	return r
}

// instance is what happened in one instance.
type instance struct {
	proposals []*history.Operation
	// answers name a value, by their order; nothing are the asks that found none.
	answers []*history.Operation
	nothing []*history.Operation
	asks    int
}

func readInstance(ops []*history.Operation) (instance, error) {
	var in instance
	for _, op := range ops {
		switch op.F {
		case "propose":
			if op.In.IsNil() {
				return in, misfit(op, "a decision", fmt.Errorf("value: nil cannot be proposed"))
			}
			if op.Type == history.OK && op.Out.IsNil() {
				return in, misfit(op, "a decision", fmt.Errorf("result: no value was decided"))
			}
			in.proposals = append(in.proposals, op)
		case "ask":
			in.asks++
		default:
			return in, misfit(op, "a decision", fmt.Errorf("it has only propose and ask"))
		}
		switch {
		case op.Type != history.OK:
		case op.Out.IsNil():
			in.nothing = append(in.nothing, op)
		default:
			in.answers = append(in.answers, op)
		}
	}
	return in, nil
}

func (d *DecideDetails) judge(key history.Key, in instance, bad *violations) {
	d.Instances++
	d.Proposals += len(in.proposals)
	d.Asks += in.asks
	d.Undecided += len(in.nothing)
	if in.contended() {
		d.Contended++
	}
	if len(in.answers) == 0 {
		return
	}
	d.Decided++
	first := in.answers[0] // the one that returned first
	for _, op := range in.answers {
		if op.Return < first.Return {
			first = op
		}
	}
	for _, op := range in.answers {
		if !op.Out.Equal(first.Out) {
			d.Disagreed++
			one, other := in.proposer(first), in.proposer(op)
			from := proposed(first, one) + proposed(op, other)
			if one == first && other == op {
				from = " Each had proposed that itself."
			}
			bad.add(key, "another decision",
				fmt.Sprintf("Process %d was told by %s that %s is decided, and process %d by %s "+
					"that %s is.%s", first.Process, seconds(first.Return), first.Out, op.Process,
					seconds(op.Return), op.Out, from), others(first, op, one, other)...)
			return
		}
	}
	if why, ops := in.invented(first); why != "" {
		d.Invented++
		bad.add(key, "an invented decision", why, append(ops, first)...)
		return
	}
	for _, op := range in.nothing {
		if op.Call > first.Return {
			d.Forgotten++
			bad.add(key, "the decision is forgotten",
				fmt.Sprintf("Process %d was told that nothing is decided (called at %s), although "+
					"process %d had been told by %s that %s is.", op.Process, seconds(op.Call), first.Process,
					seconds(first.Return), first.Out), first, op)
			return
		}
	}
}

// proposer is the first proposal of the value of an answer, nil if there is none.
func (in instance) proposer(answer *history.Operation) (first *history.Operation) {
	for _, op := range in.proposals {
		if op.In.Equal(answer.Out) && op.Type != history.Fail && op.Call <= answer.Return &&
			(first == nil || op.Call < first.Call) {
			first = op
		}
	}
	return first
}

// proposed says who proposed the value of an answer, and what became of that.
func proposed(answer, by *history.Operation) string {
	switch {
	case by == nil:
		return ""
	case by == answer:
		return fmt.Sprintf(" Process %d had proposed %s itself.", by.Process, answer.Out)
	case by.Type == history.Info:
		return fmt.Sprintf(" %s was proposed by process %d at %s, with unknown outcome.",
			answer.Out, by.Process, seconds(by.Call))
	case !by.Out.Equal(answer.Out):
		return fmt.Sprintf(" %s was proposed by process %d at %s, which was told that %s is decided.",
			answer.Out, by.Process, seconds(by.Call), by.Out)
	}
	return fmt.Sprintf(" %s was proposed by process %d at %s.", answer.Out, by.Process,
		seconds(by.Call))
}

// others are two answers with the proposals of their values, the second answer at the end.
func others(
	first, second *history.Operation, proposals ...*history.Operation,
) []*history.Operation {
	ops := []*history.Operation{first}
	for _, op := range proposals {
		if op != nil && op != second && !slices.Contains(ops, op) {
			ops = append(ops, op)
		}
	}
	return append(ops, second)
}

// contended reports whether two proposals were in progress at the same time.
func (in instance) contended() bool {
	for i, a := range in.proposals {
		for _, b := range in.proposals[:i] {
			if a.Call <= b.Return && b.Call <= a.Return {
				return true
			}
		}
	}
	return false
}

// invented says why nobody can have proposed the value before first named it.
func (in instance) invented(first *history.Operation) (string, []*history.Operation) {
	got := fmt.Sprintf("Process %d was told at %s that %s is decided, ", first.Process,
		seconds(first.Return), first.Out)
	var late, failed *history.Operation
	for _, op := range in.proposals {
		switch {
		case !op.In.Equal(first.Out):
		case op.Type == history.Fail:
			failed = op
		case op.Call <= first.Return:
			return "", nil
		default:
			late = op
		}
	}
	switch {
	case failed != nil:
		return got + fmt.Sprintf("but the proposal of process %d had failed.", failed.Process),
			[]*history.Operation{failed}
	case late != nil:
		return got + fmt.Sprintf("which process %d only began to propose at %s.", late.Process,
			seconds(late.Call)), []*history.Operation{late}
	default:
		return got + "which nobody ever proposed.", nil
	}
}
