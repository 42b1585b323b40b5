package check

import (
	"math/rand/v2"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// reversed looks at each read and each pair of writes.
func reversed(h *history.History) bool {
	has := func(read *history.Operation, v history.Value) bool {
		for i := range read.Out.Len() {
			if read.Out.At(i).Equal(v) {
				return true
			}
		}
		return false
	}
	for i := range h.Ops {
		read := &h.Ops[i]
		if read.F != "read" || read.Type != history.OK {
			continue
		}
		known := 0
		for j := range h.Ops {
			b := &h.Ops[j]
			if b.F != "write" || !has(read, b.In) {
				continue
			}
			if b.Type == history.Fail || b.Call > read.Return {
				return true
			}
			known++
			for k := range h.Ops {
				a := &h.Ops[k]
				if a.F == "write" && a.Type == history.OK && a.Return < b.Call && !has(read, a.In) {
					return true
				}
			}
		}
		if known < read.Out.Len() {
			return true
		}
	}
	return false
}

// TestCommentsTwin compares with looking at all pairs.
func TestCommentsTwin(t *testing.T) {
	r := sweep.Rand(t, 41, 42)
	count := map[Verdict]int{}
	n := sweep.Rounds(t, 3000)
	for range n {
		h := &history.History{}
		for i := range 3 + r.IntN(6) {
			op := history.Operation{Index: int64(i), Process: history.Process(i), F: "write",
				In: history.Int(int64(i)), Type: history.OK, Call: history.Time(r.IntN(20))}
			op.Return = op.Call + history.Time(r.IntN(6))
			switch r.IntN(9) {
			case 0:
				op.Type, op.Return = history.Info, history.Never
			case 1:
				op.Type = history.Fail
			case 2, 3, 4:
				op.F, op.In = "read", history.Nil()
			}
			h.Ops = append(h.Ops, op)
		}
		lies := r.IntN(2) == 0
		for i := range h.Ops {
			if h.Ops[i].F == "read" && h.Ops[i].Type == history.OK {
				h.Ops[i].Out = history.Ints(drawSeen(r, h, &h.Ops[i], lies)...)
			}
		}
		result := Comments().Check(t.Context(), h)
		if (result.Verdict == Invalid) != reversed(h) || result.Verdict == Unknown && !result.Untested {
			t.Fatalf("%s: %s\n%s", result.Verdict, result.Reason, timeline(h.Ops))
		}
		count[result.Verdict]++
	}
	for _, v := range []Verdict{Valid, Unknown, Invalid} {
		if count[v] < n/10 {
			t.Errorf("%v: too few of one kind", count)
		}
	}
}

// drawSeen draws what a read sees: what had been called by some time, in that order, and
// with lies something else.
func drawSeen(
	r *rand.Rand, h *history.History, read *history.Operation, lies bool,
) (seen []int64) {
	until := read.Call - history.Time(r.IntN(8))
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.F == "write" && op.Type != history.Fail && op.Call <= until && op.Call <= read.Return ||
			lies && r.IntN(6) == 0 {
			seen = append(seen, int64(i))
		}
	}
	return seen
}

// TestCommentsMisfits: what is no such history has no verdict.
func TestCommentsMisfits(t *testing.T) {
	write := history.Operation{F: "write", In: history.Int(1), Type: history.OK, Return: 1}
	for _, ops := range [][]history.Operation{
		{write, write}, {{F: "cas", Type: history.OK}},
		{write, {F: "read", Out: history.Int(1), Type: history.OK, Call: 2, Return: 3}},
	} {
		r := Comments().Check(t.Context(), &history.History{Ops: ops})
		if r.Verdict != Unknown || r.Untested {
			t.Errorf("%s: %s", r.Verdict, r.Reason)
		}
	}
}
