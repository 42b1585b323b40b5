package check

import (
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// TestDirect: what is decided without items has the same verdict and the same counts
// as by way of them.
func TestDirect(t *testing.T) {
	for _, tw := range twins()[:2] {
		t.Run(tw.model, func(t *testing.T) { testDirect(t, tw) })
	}
}

func testDirect(t *testing.T, tw twin) {
	r := sweep.Rand(t, 9, 9)
	decided, bad := 0, 0
	for range sweep.Rounds(t, longtest.Of(2500, 10_000)) {
		h := tw.history(r)
		for i := range h.Ops { // two keys, and values of any size
			h.Ops[i].Key = history.Key([]string{"a", "b"}[r.IntN(8)/7])
		}
		if r.IntN(2) == 0 {
			scale(h, 1_000_003)
		}
		if r.IntN(3) == 0 {
			failSome(r, h)
		}
		l := Linearizable(tw.model, Options{}).(*linearizable)
		objects, err := l.objects(h)
		if err != nil {
			t.Fatal(err)
		}
		fast := byEase(l.direct(h))
		if len(fast) == 0 {
			continue
		}
		for _, o := range objects {
			at := slices.IndexFunc(fast, func(f *object) bool { return f.key == o.key })
			if at < 0 {
				t.Fatalf("no key %s:\n%s", o.key, timeline(h.Ops))
			}
			f := fast[at]
			if f.size != o.size || f.unknown != o.unknown || f.observations != o.observations ||
				f.changes != o.changes {
				t.Fatalf("%+v instead of %+v:\n%s", f, o, timeline(h.Ops))
			}
			if f.finding.answer == undecided {
				continue
			}
			want := idlePlanner(l, engineFrontier).decide(t.Context(), o.all, false).answer
			if f.finding.answer != want || f.concurrency != o.concurrency ||
				want == legal && f.written != o.written {
				t.Fatalf("answer %d, want %d; %+v, want %+v:\n%s", f.finding.answer, want, f, o,
					timeline(h.Ops))
			}
			decided++
			if want == illegal {
				bad++
			}
		}
	}
	t.Logf("%d decided, %d of them not linearizable", decided, bad)
	if decided < 1000 || bad*10 < decided || bad*10 > 9*decided {
		t.Errorf("%d decided, %d not linearizable: too few of a kind", decided, bad)
	}
}

func scale(h *history.History, by int64) {
	for i := range h.Ops {
		for _, v := range []*history.Value{&h.Ops[i].In, &h.Ops[i].Out} {
			if n, ok := v.AsInt(); ok {
				*v = history.Int(n * by)
			} else if v.Len() == 2 {
				a, known := v.At(0).AsInt()
				b, _ := v.At(1).AsInt()
				if known {
					*v = history.Pair(a*by, b*by)
				}
			}
		}
	}
}

// TestDirectLeavesTheRest: what does not look like a register of numbers is parsed.
func TestDirectLeavesTheRest(t *testing.T) {
	l := Linearizable("register", Options{}).(*linearizable)
	for _, text := range []string{
		`p0 write "a" 0..10`, `p0 write -1 0..10`, `p0 write null 0..10`, `p0 cas [1,2] 0..10`,
		`p0 write [1,2] 0..10`, `p0 read = true 0..10`, `p0 write 4294967295 0..10`,
	} {
		if o := l.direct(mustTimeline(t, "p1 write 5 0..5\n"+text)); o != nil {
			t.Errorf("%s: taken for a number", text)
		}
	}
	r := l.Check(t.Context(), mustTimeline(t, `
		p0 write 1 0..10
		p0 cas [1,2] 20..30`))
	if r.Verdict != Unknown {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

// TestDirectGivesUp: a key whose values repeat goes the long way, and is counted once.
func TestDirectGivesUp(t *testing.T) {
	r := Linearizable("register", Options{}).Check(t.Context(), mustTimeline(t, `
		p0 write 1 on a 0..10
		p0 write 2 on b 11..12
		p1 read = 1 on a 20..30
		p2 write 1 on a 25..?
		p1 read = 2 on b 31..32
		p1 read = 1 on a 40..50`))
	if r.Verdict != Valid {
		t.Fatalf("%s: %s", r.Verdict, r.Reason)
	}
	want := map[string]float64{
		"operations": 6, "unknown operations": 1, "observations": 3, "max concurrency": 2,
		"observations of written values": 3, "operations per key max": 4,
		"keys decided by register zones": 1, "keys decided by frontier": 1,
		"keys with a replayed order": 2,
	}
	for _, m := range r.Power {
		if w, known := want[m.Name]; known && w != m.Value {
			t.Errorf("%s: %v, want %v", m.Name, m.Value, w)
		}
		delete(want, m.Name)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}
