package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// CounterDetails are the Details of Counter.
type CounterDetails struct {
	Reads int `json:"reads"`
	Adds  int `json:"adds"`
	// Wrong are the reads outside their bounds, the first 100.
	Wrong []CounterRead `json:"wrong,omitempty"`
	// Exact counts the reads that had only one possible answer.
	Exact int `json:"exact"`
}

// CounterRead is a read with the bounds that its value has to keep.
type CounterRead struct {
	Key   history.Key `json:"key,omitempty"`
	Index int64       `json:"index"`
	Low   int64       `json:"low"`
	Value int64       `json:"value"`
	High  int64       `json:"high"`
	wrong bool
	// suspects would explain it, and so would as many others.
	suspects []suspicion
	others   int
	source   *history.Operation
}

// Counter checks the reads of counters (add n, read -> n, 0 at first) against
// bounds: a read has to include every add that was acknowledged before it was
// called, and may include every other one that was called before it returned and
// did not fail. Adds may be negative. The bounds are necessary and fast, for any
// concurrency; whether reads fit together only the model "counter" can say.
func Counter() Checker { return CheckerFunc(counter) }

func counter(ctx context.Context, h *history.History) Result {
	const name = "counter"
	r := Result{Name: name}
	var d CounterDetails
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, name); stop {
			return r
		}
		adds, failed, reads, err := counterOps(ops)
		if err != nil {
			return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
		}
		bound(adds, reads)
		d.Adds += len(adds)
		d.Reads += len(reads)
		for _, read := range reads {
			if read.Low == read.High {
				d.Exact++
			}
			if !read.wrong {
				continue
			}
			read.Key = key
			read.suspect(failed, adds, func(suspicion) bool { return true })
			d.Wrong = append(d.Wrong, read)
			if len(r.Counterexamples) < 5 {
				cx := read.counterexample(key, read.why(), adds)
				read.show(&cx)
				r.Counterexamples = append(r.Counterexamples, cx)
			}
		}
	}
	// What is shown with all that bounds it tells more than a read alone, and the less it is
	// the more easily it is seen.
	alone := func(c Counterexample) int {
		if c.Minimal || c.Before != "" {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(r.Counterexamples, func(a, b Counterexample) int {
		return cmp.Or(cmp.Compare(alone(a), alone(b)), cmp.Compare(len(a.Ops), len(b.Ops)))
	})
	explainedFirst(r.Counterexamples)
	r.Power = []Measure{measure("reads", d.Reads), measure("adds", d.Adds),
		measure("reads with one possible answer", d.Exact)}
	wrong := len(d.Wrong)
	d.Wrong = d.Wrong[:min(wrong, 100)]
	r.Details = d
	switch {
	case wrong > 0:
		r.Verdict = Invalid
		r.Reason = fmt.Sprintf("%d of %s out of bounds: %s", wrong,
			count(d.Reads, "read is", "reads are"), d.Wrong[0].why())
	case d.Reads == 0:
		r.Verdict, r.Untested, r.Reason = Unknown, true, "no read of a counter succeeded"
	case d.Adds == 0:
		r.Verdict, r.Untested, r.Reason = Unknown, true, "nothing was added to any counter"
	default:
		r.Reason = fmt.Sprintf("%s within the bounds", count(d.Reads, "read is", "reads are"))
	}
	return r
}

func (c CounterRead) why() string {
	return fmt.Sprintf("Process %d read %d at %s%s, %s.%s", c.source.Process, c.Value,
		seconds(c.source.Return), onKey(c.Key), c.wants("adds"), c.accusation("add"))
}

// wants says which bound a read breaks, that of what was added before and beside it.
func (c CounterRead) wants(adds string) string {
	switch {
	case c.Low == c.High:
		return fmt.Sprintf("but the %s before it make %d", adds, c.Low)
	case c.Value < c.Low:
		return fmt.Sprintf("but the %s before and beside it make at least %d", adds, c.Low)
	}
	return fmt.Sprintf("but the %s before and beside it make at most %d", adds, c.High)
}

// need is what a wrong read had to be, as far as it is wrong.
func (c CounterRead) need() string {
	switch {
	case c.Low == c.High:
		return fmt.Sprintf("has to be %d", c.Low)
	case c.Value < c.Low:
		return fmt.Sprintf("has to be at least %d", c.Low)
	}
	return fmt.Sprintf("has to be at most %d", c.High)
}

// bounds are what a read may have found, in words.
func (c CounterRead) bounds() string {
	if c.Low == c.High {
		return fmt.Sprint(c.Low)
	}
	return fmt.Sprintf("%d to %d", c.Low, c.High)
}

func counterOps(
	ops []*history.Operation,
) (adds, failed []amount, reads []CounterRead, err error) {
	for _, op := range ops {
		switch op.F {
		case "add":
			n, ok := op.In.AsInt()
			if !ok {
				return nil, nil, nil, misfit(op, "a counter",
					fmt.Errorf("value: want an integer, got %s", op.In))
			}
			if op.Type == history.Fail {
				failed = append(failed, amount{op, n})
			} else {
				adds = append(adds, amount{op, n})
			}
		case "read":
			if op.Type != history.OK {
				continue
			}
			n, ok := op.Out.AsInt()
			if !ok {
				return nil, nil, nil, misfit(op, "a counter",
					fmt.Errorf("result: want an integer, got %s", op.Out))
			}
			reads = append(reads, CounterRead{Index: op.Index, Value: n, source: op})
		default:
			return nil, nil, nil, misfit(op, "a counter", fmt.Errorf("it has only add and read"))
		}
	}
	return adds, failed, reads, nil
}
