package check

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// registerHistory draws operations of a few processes on a register, whose values are
// unique, with reads of anything.
func registerHistory(r *rand.Rand) *history.History {
	h := &history.History{}
	written := []history.Value{{}}
	for i := range int64(3 + r.IntN(12)) {
		op := history.Operation{Index: i, Process: history.Process(r.IntN(3)), F: "read",
			Type: history.OK, Call: history.Time(10 * i), Return: history.Time(10*i + 5)}
		if r.IntN(2) == 0 {
			op.F, op.In = "write", history.Int(i+1)
			written = append(written, op.In)
			if r.IntN(5) == 0 {
				op.Type, op.Return, op.Process = history.Info, history.Never, history.Process(9+i)
			}
		} else {
			op.Out = written[max(r.IntN(len(written)), r.IntN(len(written)))]
		}
		op.Ended = op.Return
		h.Ops = append(h.Ops, op)
	}
	return h
}

// shownBut is a history with the operations of a counterexample but one.
func shownBut(h *history.History, cx Counterexample, out int) *history.History {
	rest := &history.History{}
	for i, o := range cx.Ops {
		if i == out {
			continue
		}
		at := slices.IndexFunc(h.Ops, func(op history.Operation) bool { return op.Index == o.Index })
		rest.Ops = append(rest.Ops, h.Ops[at])
	}
	return rest
}

// TestSequentialCounterexamples: what is shown is a violation by itself, nothing can be
// taken out of it but what others saw, and its edges go around.
func TestSequentialCounterexamples(t *testing.T) {
	invalid := 0
	for round := range sweep.Rounds(t, 2000) {
		h := registerHistory(rand.New(rand.NewPCG(uint64(round), 3)))
		r := Sequential().Check(t.Context(), h)
		if r.Verdict != Invalid {
			continue
		}
		invalid++
		cx := r.Counterexamples[0]
		if !cx.Minimal || Sequential().Check(t.Context(), shownBut(h, cx, -1)).Verdict != Invalid {
			t.Fatalf("round %d: no violation by itself: %+v", round, cx)
		}
		for i, op := range cx.Ops {
			seen := slices.ContainsFunc(cx.Ops, func(o Op) bool { return o.F == "read" && o.Out == op.In })
			if op.F == "write" && seen {
				continue
			}
			if Sequential().Check(t.Context(), shownBut(h, cx, i)).Verdict == Invalid {
				t.Fatalf("round %d: %s can be taken out: %+v", round, op.Describe, cx)
			}
		}
		early := &history.History{} // what was known when it was certain
		for _, op := range h.Ops {
			if op.Return > cx.Until {
				op.Type, op.Return, op.Ended = history.Info, history.Never, history.Never
			}
			if op.Call <= cx.Until {
				early.Ops = append(early.Ops, op)
			}
		}
		if Sequential().Check(t.Context(), early).Verdict != Invalid {
			t.Fatalf("round %d: not certain at %d: %+v", round, cx.Until, cx)
		}
		if !goesAround(cx) {
			t.Fatalf("round %d: no cycle of edges: %+v", round, cx)
		}
	}
	if invalid < 200 {
		t.Errorf("only %d violations", invalid)
	}
}

// goesAround reports whether the edges of a counterexample have a cycle.
func goesAround(cx Counterexample) bool {
	left := cx.Edges
	for {
		var rest []Edge // without those from where nobody leads
		for _, e := range left {
			if slices.ContainsFunc(left, func(f Edge) bool { return f.To == e.From }) {
				rest = append(rest, e)
			}
		}
		if len(rest) == len(left) {
			return len(rest) > 0
		}
		left = rest
	}
}
