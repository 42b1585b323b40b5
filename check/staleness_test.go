package check

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// TestStalenessCounterexamples: what is shown breaks the claim by itself, and nothing
// can be taken out of it but what others saw.
func TestStalenessCounterexamples(t *testing.T) {
	found := map[string]int{}
	for round := range sweep.Rounds(t, 2000) {
		r := sweep.Rand(t, uint64(round), 5)
		h := registerHistory(r)
		for i := range h.Ops { // milliseconds, and some concurrency
			op := &h.Ops[i]
			op.Call *= 1e6
			if op.Return != history.Never {
				op.Return = op.Return*1e6 + history.Time(r.IntN(15))*1e6
			}
			op.Ended, op.Process = op.Return, history.Process(i)
		}
		what, o := "versions", StalenessOptions{Versions: 1 + r.IntN(2)}
		if r.IntN(2) == 0 {
			what, o = "time", StalenessOptions{Time: time.Duration(1+r.IntN(30)) * time.Millisecond}
		}
		res := Staleness(o).Check(t.Context(), h)
		if res.Verdict != Invalid {
			found["not "+what]++
			continue
		}
		found[what]++
		cx := res.Counterexamples[0]
		if !cx.Minimal || Staleness(o).Check(t.Context(), shownBut(h, cx, -1)).Verdict != Invalid {
			t.Fatalf("round %d: no violation by itself: %+v", round, cx)
		}
		if cx.Until == 0 || len(cx.Edges) == 0 {
			t.Fatalf("round %d: no time or no edges: %+v", round, cx)
		}
		for i, op := range cx.Ops {
			seen := slices.ContainsFunc(cx.Ops, func(o Op) bool { return o.F == "read" && o.Out == op.In })
			if op.F == "write" && seen {
				continue
			}
			if Staleness(o).Check(t.Context(), shownBut(h, cx, i)).Verdict == Invalid {
				t.Fatalf("round %d: %s can be taken out: %+v", round, op.Describe, cx)
			}
		}
	}
	for _, what := range []string{"versions", "time", "not versions", "not time"} {
		if found[what] < 100 {
			t.Errorf("%d: %s", found[what], what)
		}
	}
}

// TestWeakerThanLinearizable: what is linearizable is sequentially consistent and not stale,
// and what is not linearizable is stale.
func TestWeakerThanLinearizable(t *testing.T) {
	var fine, wrong, ordered int
	for round := range sweep.Rounds(t, 2000) {
		h := registerHistory(rand.New(rand.NewPCG(uint64(round), 11)))
		linearizable := Linearizable("register", Options{}).Check(t.Context(), h).Verdict
		sequential := Sequential().Check(t.Context(), h).Verdict
		d := Staleness(StalenessOptions{}).Check(t.Context(), h).Details.(StalenessDetails)
		fresh := d.Together == 0 && d.TogetherHigh == 0
		switch {
		case d.Writes == 0 || d.Reads == 0: // nothing is shown
		case linearizable == Unknown, (linearizable == Valid) != fresh,
			linearizable == Valid && sequential == Invalid:
			t.Fatalf("round %d: linearizable %s, sequential %s, %+v", round, linearizable, sequential, d)
		case linearizable == Valid:
			fine++
		case sequential == Valid:
			ordered++
		default:
			wrong++
		}
	}
	if fine < 100 || ordered < 100 || wrong < 100 {
		t.Errorf("%d linearizable, %d sequential only, %d neither", fine, ordered, wrong)
	}
}

// TestStalenessCounted: without times nothing can be said of a claim in milliseconds.
func TestStalenessCounted(t *testing.T) {
	w := func(typ history.Type, f history.F, v history.Value) history.Event {
		return history.Event{Process: 1, Type: typ, F: f, Value: v}
	}
	h, err := history.New(w(history.Invoke, "write", history.Int(1)),
		w(history.OK, "write", history.Int(1)), w(history.Invoke, "read", history.Value{}),
		w(history.OK, "read", history.Int(1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		o    StalenessOptions
		want Verdict
	}{
		{StalenessOptions{}, Valid}, {StalenessOptions{Versions: 1}, Valid},
		{StalenessOptions{Time: time.Millisecond}, Unknown},
	} {
		if r := Staleness(tt.o).Check(t.Context(), h); r.Verdict != tt.want {
			t.Errorf("%+v: %s, %s", tt.o, r.Verdict, r.Reason)
		}
	}
}

func TestBuckets(t *testing.T) {
	got := buckets([]int64{0, 0, 1, 3, 4, 5, 9}, 1)
	want := []StaleBucket{{0, 2}, {1, 1}, {2, 0}, {4, 2}, {8, 1}, {16, 1}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := buckets(nil, 1); len(got) != 1 || got[0].Reads != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
