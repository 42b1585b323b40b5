package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/ordeal-dev/ordeal/check/sequential"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// SequentialDetails are the Details of Sequential.
type SequentialDetails struct {
	Keys      int `json:"keys"`
	Processes int `json:"processes"`
	Reads     int `json:"reads"`
	Writes    int `json:"writes"`
	Swaps     int `json:"swaps"`
	// Pairs count how often a process went from one value of a key to another: only
	// there something could have gone wrong.
	Pairs int `json:"pairs"`
	// Undecided are keys of which nothing is known, Violated those without a legal
	// order.
	Undecided []history.Key `json:"undecided,omitempty"`
	Violated  []history.Key `json:"violated,omitempty"`
}

// Sequential checks that every key by itself is a sequentially consistent register:
// write v, read -> v, nil at first, and cas [old, new], with every value written once.
// There has to be one order of all operations on the key that keeps the order of each
// process and in which each read returns what was written last. What was done when does
// not matter, so reads may be old, but each process only goes forward, and all see the
// writes in one order. A process is a session; after an operation of unknown outcome a
// worker goes on as another. Between keys nothing is asked: keys that are sequentially
// consistent one by one need not be so together.
//
// Package sequential says how that is decided, exactly unless values repeat or the
// error code of a refused cas says that the value did not match.
func Sequential() Checker { return CheckerFunc(sequentialCheck) }

const sequentialName = "sequential"

// sequentialKey is one key, as numbers.
type sequentialKey struct {
	key history.Key
	// ops and from run in parallel.
	ops  []sequential.Op
	from []*history.Operation
	// failed are writes that had no effect, by what they would have written.
	failed map[sequential.Value]*history.Operation
	number map[models.Scalar]sequential.Value
}

func sequentialCheck(ctx context.Context, h *history.History) Result {
	r := Result{Name: sequentialName}
	var d SequentialDetails
	processes := make(map[history.Process]bool)
	why := ""
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, sequentialName); stop {
			return r
		}
		d.Keys++
		k := sequentialKey{key: key, number: map[models.Scalar]sequential.Value{{}: sequential.Nil},
			failed: map[sequential.Value]*history.Operation{}}
		for _, op := range ops {
			processes[op.Process] = true
			if err := k.add(op, &d); err != nil {
				return Result{Name: sequentialName, Verdict: Unknown, Reason: err.Error()}
			}
		}
		got := sequential.Decide(k.ops)
		d.Pairs += got.Pairs
		switch got.Answer {
		case sequential.Violation:
			d.Violated = append(d.Violated, key)
			if len(r.Counterexamples) < 5 {
				r.Counterexamples = append(r.Counterexamples, k.counterexample(got.Conflict))
			}
		case sequential.Undecided:
			d.Undecided = append(d.Undecided, key)
			if why == "" {
				why = got.Why
			}
		}
	}
	d.Processes = len(processes)
	r.Details = d
	r.Power = []Measure{measure("keys", d.Keys), measure("sessions", d.Processes),
		measure("reads", d.Reads), measure("writes", d.Writes), measure("swaps", d.Swaps),
		measure("steps from one value to another", d.Pairs)}
	r.Verdict, r.Reason = d.verdict(r.Counterexamples, why)
	return r
}

func (d *SequentialDetails) verdict(cxs []Counterexample, why string) (Verdict, string) {
	switch {
	case len(cxs) > 0:
		return Invalid, fmt.Sprintf("%d of %s without a legal order: %s. %s", len(d.Violated),
			count(d.Keys, "key", "keys"), names(d.Violated), cxs[0].Why)
	case len(d.Undecided) > 0:
		return Unknown, fmt.Sprintf("%d of %s undecided: %s: %s", len(d.Undecided),
			count(d.Keys, "key", "keys"), names(d.Undecided), why)
	case d.Pairs == 0:
		return Unknown, "nothing was shown: no process went from one value to another"
	}
	return Valid, fmt.Sprintf("%s with a legal order; processes went %s from one "+
		"value to another", count(d.Keys, "key", "keys"), count(d.Pairs, "time", "times"))
}

// value numbers a value.
func (k *sequentialKey) value(v history.Value) (sequential.Value, error) {
	s, err := models.NewScalar(v)
	if err != nil {
		return 0, err
	}
	n, known := k.number[s]
	if !known {
		n = sequential.Value(len(k.number))
		k.number[s] = n
	}
	return n, nil
}

// add puts an operation among those to be decided, if it says anything.
func (k *sequentialKey) add(op *history.Operation, d *SequentialDetails) (err error) {
	const what = "a register"
	o := sequential.Op{Process: op.Process, Crashed: op.Type == history.Info}
	switch op.F {
	case "read":
		if op.Type != history.OK {
			return nil
		}
		d.Reads++
		o.Value, err = k.value(op.Out)
	case "write":
		o.Kind = sequential.Write
		o.Value, err = k.value(op.In)
	case "cas":
		if op.In.Kind() != history.KindList || op.In.Len() != 2 {
			return misfit(op, what, fmt.Errorf("value: want [old, new], got %s", op.In))
		}
		o.Kind = sequential.Swap
		if o.Old, err = k.value(op.In.At(0)); err == nil {
			o.Value, err = k.value(op.In.At(1))
		}
	default:
		err = fmt.Errorf("it has only read, write and cas")
	}
	if err != nil {
		return misfit(op, what, err)
	}
	if op.Type == history.Fail {
		k.failed[o.Value] = op
		code, _, _ := strings.Cut(op.Error, ":")
		if op.F != "cas" || code != models.CodeMismatch {
			return nil
		}
		o.Kind, o.Value = sequential.Refused, sequential.Nil
	}
	switch o.Kind {
	case sequential.Write:
		d.Writes++
	case sequential.Swap:
		d.Swaps++
	}
	k.ops, k.from = append(k.ops, o), append(k.from, op)
	return nil
}
