package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/rw"
	engine "github.com/ordeal-dev/ordeal/check/txn"
	"github.com/ordeal-dev/ordeal/history"
)

// TxnOptions refine ListAppend and RWRegister.
type TxnOptions struct {
	// Level is the isolation that is claimed; the zero Level is the strongest. What
	// breaks only stronger ones is told, but not judged.
	Level graph.Level
	// Counterexamples is the greatest number of them. Default: 5.
	Counterexamples int
	// Budget bounds the search for the shortest cycle of each class, in dependencies
	// that it looks at. Default: 20 million.
	Budget int
	// Keys is what is claimed of single registers, if that is more than Level says.
	Keys rw.KeyOrder

	_ struct{} // keyed literals only
}

// ListAppendDetails are the Details of ListAppend.
type ListAppendDetails struct {
	// Claimed is the level that is judged. Refuted ones are named by the weakest of
	// them, from which the others follow, and those that hold by the strongest.
	Claimed   graph.Level   `json:"claimed"`
	Refuted   []graph.Level `json:"refuted"`
	Strongest []graph.Level `json:"strongest"`
	// Anomalies are counts by Elle's names.
	Anomalies map[engine.Type]int `json:"anomalies"`
	// Beyond are examples, in words, of what breaks only stronger levels.
	Beyond []string     `json:"beyond,omitempty"`
	Stats  engine.Stats `json:"stats"`
}

// ListAppend checks transactions that append unique elements to lists and read them: which
// isolation levels they keep, by package txn. Each group of keys is a database of its own.
// The verdict is about the level that o claims. A counterexample is a shortest cycle of
// dependencies of its class, or the operations that show something simpler.
func ListAppend(o TxnOptions) Checker {
	if o.Counterexamples <= 0 {
		o.Counterexamples = 5
	}
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return listAppend(ctx, h, o)
	})
}

func listAppend(ctx context.Context, h *history.History, o TxnOptions) Result {
	const name = "list-append"
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	found, err := engine.ListAppend(ctx, h, engine.Options{Keep: o.Counterexamples, Budget: o.Budget})
	if err != nil {
		return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
	}
	s := found.Stats
	r := Result{Name: name, Power: []Measure{measure("transactions", s.Txns),
		measure("appends", s.Appends), measure("reads", s.Reads), measure("dependencies", s.Edges),
		measure("reads that had to have something", s.Binding)}}
	d := ListAppendDetails{
		Claimed: o.Level, Anomalies: found.Counts, Stats: s,
		Refuted: found.Lattice.Weakest(), Strongest: found.Lattice.Strongest(),
	}
	r.Counterexamples, d.Beyond = counterexamplesOf(h, found.Anomalies, o)
	r.Details = d
	nothing := ""
	if s.Reads == 0 || s.Appends == 0 || s.Binding == 0 && o.Level.Realtime() {
		nothing = "no read had to have an element"
	}
	levelVerdict(&r, found, o.Level, nothing)
	return r
}

// counterexamplesOf are the anomalies that break the claimed level, the smallest first, and
// beyond, in words, those that do not.
func counterexamplesOf(
	h *history.History, found []engine.Anomaly, o TxnOptions,
) (cxs []Counterexample, beyond []string) {
	var mine []engine.Anomaly
	for _, a := range found {
		if a.Breaks(o.Level) {
			mine = append(mine, a)
		} else {
			beyond = append(beyond, a.Why)
		}
	}
	// What is wrong by itself is easier to see than a circle. But one transaction that contradicts
	// itself says less of what became of a write than two do.
	size := func(a engine.Anomaly) int {
		if a.Type == engine.Internal {
			return len(a.Ops) + 2
		}
		return len(a.Ops)
	}
	slices.SortStableFunc(mine, func(a, b engine.Anomaly) int {
		return cmp.Or(cmp.Compare(size(a), size(b)), cmp.Compare(len(a.Cycle), len(b.Cycle)))
	})
	fractured := slices.ContainsFunc(mine, func(a engine.Anomaly) bool {
		return a.Type == engine.FracturedView || a.Type == engine.FracturedRead
	})
	for _, a := range mine[:min(len(mine), o.Counterexamples)] {
		cx := anomaly(h, a)
		// What is lost may be the part of a transaction that others miss, which tells more.
		cx.Lost = a.Gone && !fractured
		cxs = append(cxs, cx)
	}
	return cxs, beyond
}

// levelVerdict judges the claimed level, and says of the others what is known. Nothing says
// why a level that was not refuted was not shown either, "" if it was.
func levelVerdict(r *Result, found *engine.Report, claimed graph.Level, nothing string) {
	var broken, beyond []tally
	for _, t := range engine.Types() {
		list := &beyond
		if (engine.Anomaly{Type: t}).Breaks(claimed) {
			list = &broken
		}
		*list = append(*list, tally{found.Counts[t], anomalyName(t)})
	}
	strongest := "nothing holds"
	if hold := found.Lattice.Strongest(); len(hold) > 0 {
		strongest = fmt.Sprintf("what holds is %s", levelList(hold))
	}
	s := found.Stats
	switch found.Lattice[claimed] {
	case graph.Refuted:
		r.Verdict = Invalid
		r.Reason = fmt.Sprintf("not %s: %s; %s.", claimed, tallies(broken...), strongest)
		if len(r.Counterexamples) > 0 {
			r.Reason += " " + r.Counterexamples[0].Why
		}
		return
	case graph.Undecided:
		r.Verdict = Unknown
		r.Reason = fmt.Sprintf("the search for what breaks %s was given up; %s", claimed, strongest)
		return
	}
	if nothing != "" {
		r.Verdict, r.Untested, r.Reason = Unknown, true, "nothing was shown: "+nothing
		return
	}
	r.Reason = fmt.Sprintf("%s: %s in %s agree", claimed, count(s.Reads, "read", "reads"),
		count(s.Txns, "transaction", "transactions"))
	if more := tallies(beyond...); len(found.Counts) > 0 {
		r.Reason += fmt.Sprintf("; stronger levels are broken (%s), %s", more, strongest)
	}
}

func levelList(levels []graph.Level) string {
	words := make([]string, len(levels))
	for i, l := range levels {
		words[i] = l.String()
	}
	return andList(words)
}

// mutual reports whether transactions contradict each other, none more than another.
func mutual(a engine.Anomaly) bool {
	return len(a.Cycle) > 0 && a.Mark == "" || a.Type == engine.LostUpdate ||
		a.Type == engine.IncompatibleOrder
}

// anomalyMark says in a few words what is wrong with the culprit, "" where there is none.
func anomalyMark(t engine.Type) string {
	switch t {
	case engine.Unexpected:
		return "nobody wrote it"
	case engine.DuplicateElements:
		return "one element twice"
	case engine.Torn:
		return "misses the append before"
	case engine.G1a:
		return "reads what had failed"
	case engine.DirtyUpdate:
		return "has what had failed"
	case engine.G1b:
		return "reads what was unfinished"
	case engine.FutureRead:
		return "reads it before writing it"
	case engine.Internal:
		return "contradicts itself"
	case engine.FracturedView, engine.FracturedRead:
		return "sees a part of the other"
	case engine.Lost:
		return "lacks what was acknowledged"
	}
	return ""
}

// anomalyName is what a type of anomaly is called in a sentence. What is lost for all that is
// known may only be late.
func anomalyName(t engine.Type) string {
	if t == engine.Lost {
		return "never seen by the end"
	}
	return string(t)
}

// anomaly makes a counterexample of one.
func anomaly(h *history.History, a engine.Anomaly) Counterexample {
	cx := Counterexample{Key: a.Group, Why: a.Why, Called: a.Called, Minimal: a.Minimal}
	ops := slices.Compact(slices.Sorted(slices.Values(a.Ops)))
	for _, i := range ops {
		op := showOp(&h.Ops[i])
		if t := h.Ops[i].Ended; t != history.Never && a.Type != engine.Unexpected {
			cx.Until = max(cx.Until, t) // what is unexpected may be appended later
		}
		op.Culprit = i == a.Culprit && !mutual(a)
		cx.Ops = append(cx.Ops, op)
	}
	if !mutual(a) {
		cx.Mark = cmp.Or(a.Mark, anomalyMark(a.Type))
	}
	if writer := ops[0]; a.Type == engine.G1a && len(ops) == 2 && writer != a.Culprit {
		cx.Edges = append(cx.Edges, Edge{From: 0, To: 1, Kind: ReadFrom,
			Why: fmt.Sprintf("process %d read what process %d would have written", cx.Ops[1].Process,
				cx.Ops[0].Process)})
	}
	for _, e := range a.Cycle {
		cx.Edges = append(cx.Edges, Edge{
			From: slices.Index(ops, e.From), To: slices.Index(ops, e.To),
			Kind: EdgeKind(e.Kind.String()), Why: e.Why,
		})
	}
	return cx
}
