package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// EventualCounterOptions say what a counter promises, and who could see it.
type EventualCounterOptions struct {
	// Grace is how long after the last fault, and after an add was acknowledged, a read may
	// miss it. Default: 5 s.
	Grace time.Duration
	// Clients is the number of clients that work at a time, Nodes that of nodes: the client
	// with the number c talks to node c mod Nodes. If they are given, a counter is valid only
	// if each node was read when it had to have everything.
	Clients, Nodes int

	_ struct{} // keyed literals only
}

// EventualCounterDetails are the Details of EventualCounter.
type EventualCounterDetails struct {
	CounterDetails
	// Binding counts the reads that had to have what was acknowledged, Unseen are the nodes
	// (from 0) without such a read.
	Binding int   `json:"binding"`
	Unseen  []int `json:"unseen,omitempty"`
}

// EventualCounter checks counters (add n, read -> n, 0 at first) that have all adds in the
// end. Whenever a counter is read, it must not have what nobody has yet tried to add: the
// value lies between the sum of all negative adds that were called by then, and that of all
// positive ones. When everything must have been spread, it must have every add that was
// acknowledged, and may have those of unknown outcome.
func EventualCounter(o EventualCounterOptions) Checker {
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return eventualCounter(ctx, h, o)
	})
}

func eventualCounter(ctx context.Context, h *history.History, o EventualCounterOptions) Result {
	const name = "eventual counter"
	r := Result{Name: name}
	c := eventual{o: o, grace: history.Time(o.Grace), seen: map[int]bool{}}
	c.quiet = later(quietFrom(h), c.grace)
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, name); stop {
			return r
		}
		adds, _, reads, err := counterOps(ops)
		if err != nil {
			return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
		}
		c.key(key, adds, reads)
	}
	d := &c.d
	for n := range min(o.Nodes, o.Clients) {
		if !c.seen[n] {
			d.Unseen = append(d.Unseen, n)
		}
	}
	r.Details = *d
	r.Power = []Measure{measure("reads", d.Reads), measure("adds", d.Adds),
		measure("reads that had to have everything", d.Binding)}
	c.bad.settle(&r, fmt.Sprintf("%d of %s out of bounds", c.bad.n,
		count(d.Reads, "read is", "reads are")), c.otherwise)
	return r
}

// eventual adds up the keys.
type eventual struct {
	o            EventualCounterOptions
	grace, quiet history.Time
	d            EventualCounterDetails
	seen         map[int]bool
	bad          violations
}

// binds reports whether a read comes when everything must have been spread that was
// acknowledged longer than the grace ago.
func (c *eventual) binds(op *history.Operation) bool {
	return c.quiet != history.Never && op.Call > c.quiet
}

// certain reports whether a read must have an add.
func (c *eventual) certain(a amount, read *history.Operation) bool {
	return c.binds(read) && a.op.Type == history.OK && a.op.Return+c.grace < read.Call
}

func (c *eventual) key(key history.Key, adds []amount, reads []CounterRead) {
	acked := slices.DeleteFunc(slices.Clone(adds), func(a amount) bool {
		return a.op.Type != history.OK
	})
	certain := newSums(acked, func(op *history.Operation) history.Time { return op.Return + c.grace })
	possible := newSums(adds, func(op *history.Operation) history.Time { return op.Call })
	c.d.Adds, c.d.Reads = c.d.Adds+len(adds), c.d.Reads+len(reads)
	for i := range reads {
		r := &reads[i]
		r.High, r.Low = possible.before(r.source.Return, true)
		if c.binds(r.source) {
			pos, neg := certain.before(r.source.Call, false)
			r.Low, r.High = r.Low+pos, r.High+neg
			if pos != 0 || neg != 0 {
				c.d.Binding++
				c.see(r.source)
			}
		}
		if r.Low == r.High {
			c.d.Exact++
		}
		if r.Value < r.Low || r.Value > r.High {
			c.wrong(key, *r, adds)
		}
	}
}

// see notes at which node a read had to have everything.
func (c *eventual) see(op *history.Operation) {
	if c.o.Clients > 0 && c.o.Nodes > 0 {
		c.seen[int(op.Process)%c.o.Clients%min(c.o.Nodes, c.o.Clients)] = true
	}
}

func (c *eventual) wrong(key history.Key, r CounterRead, adds []amount) {
	r.Key = key
	if len(c.d.Wrong) < 100 {
		c.d.Wrong = append(c.d.Wrong, r)
	}
	// What it need not have yet is no reason for its being too low or too high.
	short := r.Value < r.Low
	told := slices.DeleteFunc(slices.Clone(adds), func(a amount) bool {
		return (a.n > 0) == short && !c.certain(a, r.source)
	})
	c.bad.show(func() Counterexample { return r.counterexample(key, c.why(r), told) })
}

// why says what the bounds of a read are.
func (c *eventual) why(r CounterRead) string {
	what := "all that anybody had tried to add by then only allows"
	if c.binds(r.source) {
		what = "all that was added long before, and all that may have been, only allows"
	}
	return fmt.Sprintf("Process %d read %d at %s%s, but %s %s.", r.source.Process, r.Value,
		seconds(r.source.Return), onKey(r.Key), what, r.bounds())
}

func (c *eventual) otherwise() (Verdict, string) {
	switch {
	case c.d.Binding == 0:
		return Unknown, "nothing was shown: no read had to have anything"
	case len(c.d.Unseen) > 0:
		return Unknown, fmt.Sprintf("in the end %s not read: %v, counted from 0",
			count(len(c.d.Unseen), "node was", "nodes were"), c.d.Unseen)
	}
	return Valid, fmt.Sprintf("%s within the bounds, %d of them when everything had to be there",
		count(c.d.Reads, "read is", "reads are"), c.d.Binding)
}
