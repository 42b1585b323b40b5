package check

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// setTruth is what SetFull counts, by looking at every element and every read.
type setTruth struct {
	stable, lost, neverRead, stale, duplicated, unexpected, uncovered int
}

func dumbSetFull(ops []history.Operation) setTruth {
	var s setTruth
	elements := map[int64]bool{}
	var reads []*history.Operation
	for i := range ops {
		op := &ops[i]
		if op.F == "add" {
			n, _ := op.In.AsInt()
			elements[n] = true
		} else if op.Type == history.OK {
			reads = append(reads, op)
			for at := range op.Out.Len() {
				n, _ := op.Out.At(at).AsInt()
				elements[n] = true
			}
		}
	}
	for x := range elements {
		s.element(x, ops, reads)
	}
	return s
}

// times returns how often x is in the read.
func times(x int64, read *history.Operation) int {
	n := 0
	for at := range read.Out.Len() {
		if y, _ := read.Out.At(at).AsInt(); y == x {
			n++
		}
	}
	return n
}

func (s *setTruth) element(x int64, ops []history.Operation, reads []*history.Operation) {
	called, known, seen := history.Never, history.Never, history.Never
	for i := range ops {
		op := &ops[i]
		if n, _ := op.In.AsInt(); op.F != "add" || n != x || op.Type == history.Fail {
			continue
		}
		called = min(called, op.Call)
		if op.Type == history.OK {
			known = min(known, op.Return)
		}
	}
	answered := known
	var present, absent *history.Operation // the last ones
	duplicated := false
	for _, read := range reads {
		switch times(x, read) {
		case 0:
			absent = read
			continue
		case 1:
		default:
			duplicated = true
		}
		present = read
		seen = min(seen, read.Return)
	}
	known = min(known, seen)
	if duplicated {
		s.duplicated++
	}
	late := absent != nil && known != history.Never && absent.Call > known
	switch {
	case seen != history.Never && called > seen:
		s.unexpected++
	case called == history.Never:
	case late && (present == nil || absent.Call > present.Call):
		s.lost++
	case present == nil || absent != nil && absent.Call > present.Call:
		s.neverRead++
		if answered != history.Never && !slices.ContainsFunc(reads,
			func(r *history.Operation) bool { return r.Call > answered }) {
			s.uncovered++
		}
	default:
		s.stable++
		if late {
			s.stale++
		}
	}
}

// TestSetFullTwin compares SetFull with the look at everything.
func TestSetFullTwin(t *testing.T) {
	r := sweep.Rand(t, 5, 5)
	var sum setTruth
	for range sweep.Rounds(t, 5_000) {
		h := &history.History{}
		at := history.Time(0)
		for range 2 + r.IntN(8) {
			at += history.Time(1 + r.IntN(3)) // no two calls at once
			op := history.Operation{F: "add", In: history.Int(int64(r.IntN(4))), Call: at,
				Type: []history.Type{history.OK, history.OK, history.Info, history.Fail}[r.IntN(4)]}
			op.Return = at + history.Time(r.IntN(8))
			if r.IntN(2) == 0 {
				op.F, op.In, op.Type = "read", history.Value{}, history.OK
				var vs []history.Value
				for x := range int64(5) {
					for range []int{0, 1, 1, 1, 2}[min(r.IntN(5), r.IntN(6))] {
						vs = append(vs, history.Int(x))
					}
				}
				op.Out = history.List(vs...)
			}
			if op.Type == history.Info {
				op.Return = history.Never
			}
			h.Ops = append(h.Ops, op)
		}
		d := SetFull(SetFullOptions{}).Check(t.Context(), h).Details.(SetFullDetails)
		got := setTruth{d.Stable, d.Lost, d.NeverRead, d.Stale, d.Duplicated, d.Unexpected,
			d.Uncovered}
		want := dumbSetFull(h.Ops)
		if got != want {
			t.Fatalf("got %+v, want %+v for\n%s", got, want, timeline(h.Ops))
		}
		sum.stable += want.stable
		sum.lost += want.lost
		sum.neverRead += want.neverRead
		sum.stale += want.stale
		sum.duplicated += want.duplicated
		sum.unexpected += want.unexpected
		sum.uncovered += want.uncovered
	}
	t.Logf("%+v", sum)
	if slices.Min([]int{sum.stable, sum.lost, sum.neverRead, sum.stale, sum.duplicated,
		sum.unexpected, sum.uncovered}) < 100 {
		t.Errorf("too rare to test anything: %+v", sum)
	}
}

// TestCounterIsSound: whatever the bounds reject is not linearizable, and a read
// alone is rejected exactly when it is out of reach of every choice of adds that its
// bounds describe.
func TestCounterIsSound(t *testing.T) {
	all := twins()
	at := slices.IndexFunc(all, func(tw twin) bool { return tw.model == "counter" })
	runTwin(t, rand.New(rand.NewPCG(6, 6)), all[at], sweep.Rounds(t, 5_000), func(
		t *testing.T, r *rand.Rand, _ *linearizable, tw twin, h *history.History, _ bool,
	) {
		for i := range h.Ops { // take things away, too
			n, _ := h.Ops[i].In.AsInt()
			if h.Ops[i].F == "add" && r.IntN(3) == 0 {
				h.Ops[i].In = history.Int(-n)
			}
		}
		truth := bruteForce(tw.world, h.Ops)
		res := Counter().Check(t.Context(), h)
		if res.Verdict == Invalid && truth {
			t.Errorf("rejected although it is linearizable: %s", res.Reason)
		}
		d, ok := res.Details.(CounterDetails)
		if !ok {
			t.Fatalf("%s: %s", res.Verdict, res.Reason)
		}
		for i := range h.Ops {
			op := &h.Ops[i]
			if op.F != "read" || op.Type != history.OK {
				continue
			}
			low, high := dumbBounds(h.Ops, op)
			n, _ := op.Out.AsInt()
			wrong := slices.ContainsFunc(d.Wrong, func(w CounterRead) bool {
				return w.Index == op.Index
			})
			if wrong != (n < low || n > high) {
				t.Errorf("read of %d, bounds %d to %d: wrong %t", n, low, high, wrong)
			}
		}
	})
}

func dumbBounds(ops []history.Operation, read *history.Operation) (low, high int64) {
	for i := range ops {
		op := &ops[i]
		n, _ := op.In.AsInt()
		switch {
		case op.F != "add" || op.Type == history.Fail || op.Call > read.Return:
		case op.Type == history.OK && op.Return < read.Call:
			low, high = low+n, high+n
		default:
			low, high = low+min(n, 0), high+max(n, 0)
		}
	}
	return low, high
}

func BenchmarkSetFull(b *testing.B) {
	h := &history.History{}
	var vs []history.Value
	for i := range 5_000 {
		at := history.Time(i) * 10
		h.Ops = append(h.Ops, history.Operation{F: "add", In: history.Int(int64(i)),
			Type: history.OK, Call: at, Return: at + 5})
		vs = append(vs, history.Int(int64(i)))
		if i%25 == 0 {
			h.Ops = append(h.Ops, history.Operation{F: "read",
				Out: history.List(slices.Clone(vs)...), Type: history.OK, Call: at + 6, Return: at + 9})
		}
	}
	c := SetFull(SetFullOptions{Linearizable: true})
	b.ReportAllocs()
	for b.Loop() {
		if r := c.Check(b.Context(), h); r.Verdict != Valid {
			b.Fatal(r.Reason)
		}
	}
}
