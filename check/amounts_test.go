package check

import (
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// TestWrongReadsOfCounters: a counterexample is wrong by itself, and without any of the adds
// that the read has to have it is not, or not on that side; the others would only have
// made it less wrong.
func TestWrongReadsOfCounters(t *testing.T) {
	r := sweep.Rand(t, 31, 32)
	shown, small := 0, 0
	for range sweep.Rounds(t, 2000) {
		h := &history.History{}
		for i := range 2 + r.IntN(10) {
			op := history.Operation{Index: int64(i), Process: history.Process(i), Type: history.OK,
				F: "add", In: history.Int(r.Int64N(7) - 2), Call: history.Time(r.IntN(20))}
			op.Return = op.Call + history.Time(r.IntN(6))
			switch r.IntN(8) {
			case 0:
				op.Type, op.Return = history.Info, history.Never
			case 1, 2:
				op.F, op.In, op.Out = "read", history.Nil(), history.Int(r.Int64N(12)-3)
			}
			h.Ops = append(h.Ops, op)
		}
		for _, cx := range Counter().Check(t.Context(), h).Counterexamples {
			shown++
			var part []history.Operation
			for _, o := range cx.Ops {
				part = append(part, h.Ops[o.Index])
			}
			side := wrongSide(part)
			if !cx.Minimal || side == 0 {
				t.Fatalf("not wrong by itself:\n%s%s", timeline(part), cx.Why)
			}
			for i := range part {
				rest := wrongSide(slices.Delete(slices.Clone(part), i, i+1))
				n, isAdd := part[i].In.AsInt()
				if needed := !isAdd || n > 0 == (side < 0); needed == (rest == side) {
					t.Fatalf("without %d it is wrong by %d:\n%s%s", i, rest, timeline(part), cx.Why)
				}
			}
			if len(part) < len(h.Ops)/2 {
				small++
			}
		}
	}
	if shown < 500 || small < shown/10 {
		t.Errorf("%d counterexamples, %d of them small", shown, small)
	}
}

// wrongSide adds up anew, and returns -1 if the read among operations is too low whatever
// happened, 1 if it is too high, and 0 if there is none or it is neither.
func wrongSide(ops []history.Operation) int {
	at := slices.IndexFunc(ops, func(op history.Operation) bool { return op.F == "read" })
	if at < 0 {
		return 0
	}
	read := &ops[at]
	got, _ := read.Out.AsInt()
	low, high := int64(0), int64(0)
	for _, a := range ops {
		n, isAdd := a.In.AsInt()
		switch {
		case !isAdd || a.Call > read.Return:
		case a.Type == history.OK && a.Return < read.Call:
			low, high = low+n, high+n
		default:
			low, high = low+min(n, 0), high+max(n, 0)
		}
	}
	switch {
	case got < low:
		return -1
	case got > high:
		return 1
	}
	return 0
}
