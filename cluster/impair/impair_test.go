package impair

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/nemesis"
)

const ms = time.Millisecond

var (
	ab = nemesis.Link{From: "n1", To: "n2"}
	ba = nemesis.Link{From: "n2", To: "n1"}
)

func TestRulesCombineToTheWorst(t *testing.T) {
	for _, tc := range []struct {
		name    string
		a, b, w nemesis.Rule
	}{
		{name: "clean", a: nemesis.Rule{}, b: nemesis.Rule{}, w: nemesis.Rule{}},
		{name: "cut", a: nemesis.Rule{Cut: true}, b: nemesis.Rule{Loss: 0.1},
			w: nemesis.Rule{Cut: true, Loss: 0.1}},
		{name: "shares", a: nemesis.Rule{Loss: 0.5, Reorder: 0.1, Corrupt: 1},
			b: nemesis.Rule{Loss: 0.2, Reorder: 0.3, Duplicate: 0.1},
			w: nemesis.Rule{Loss: 0.5, Reorder: 0.3, Duplicate: 0.1, Corrupt: 1}},
		{name: "delay", a: nemesis.Rule{Delay: 5 * ms}, b: nemesis.Rule{Delay: 3 * ms, Jitter: ms},
			w: nemesis.Rule{Delay: 5 * ms, Jitter: ms}},
		{name: "replay", a: nemesis.Rule{Replay: 0.1, ReplayMin: 2 * ms, ReplayMax: 3 * ms},
			b: nemesis.Rule{Replay: 0.2, ReplayMin: ms, ReplayMax: 9 * ms},
			w: nemesis.Rule{Replay: 0.2, ReplayMin: 2 * ms, ReplayMax: 9 * ms}},
		{name: "hold", a: nemesis.Rule{Hold: 0.1, HoldMin: 2 * ms, HoldMax: 3 * ms},
			b: nemesis.Rule{Hold: 0.2, HoldMin: ms, HoldMax: 9 * ms},
			w: nemesis.Rule{Hold: 0.2, HoldMin: 2 * ms, HoldMax: 9 * ms}},
		{name: "one rate", a: nemesis.Rule{Rate: 100}, b: nemesis.Rule{}, w: nemesis.Rule{Rate: 100}},
		{name: "two rates", a: nemesis.Rule{Rate: 100}, b: nemesis.Rule{Rate: 7},
			w: nemesis.Rule{Rate: 7}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Combine(tc.a, tc.b); got != tc.w {
				t.Errorf("combine(a, b) = %+v", got)
			}
			if got := Combine(tc.b, tc.a); got != tc.w {
				t.Errorf("combine(b, a) = %+v", got)
			}
		})
	}
}

func TestCheckSaysAllThatIsWrong(t *testing.T) {
	err := Check(nemesis.Rule{
		Loss: 1.5, Corrupt: math.NaN(), Delay: -1, ReplayMin: 2, ReplayMax: 1, HoldMin: 1, Rate: -1,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{
		"loss 1.5", "corrupt NaN", "delay -1ns", "replay_max", "hold_max", "rate -1",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
	if err := Check(nemesis.Rule{Loss: 1, Delay: ms, Jitter: 2 * ms}); err != nil {
		t.Errorf("refused: %v", err)
	}
}

// The same seed draws the same choices for a link, another seed others.
func TestLinksDrawFromTheSeed(t *testing.T) {
	draw := func(seed uint64, l nemesis.Link) (draws [8]uint64) {
		rng := Rand(seed, l)
		for i := range draws {
			draws[i] = rng.Uint64()
		}
		return draws
	}
	first := draw(1, ab)
	if first != draw(1, ab) {
		t.Error("the same seed gave other draws")
	}
	if first == draw(2, ab) || first == draw(1, ba) {
		t.Error("different seeds or links gave the same draws")
	}
}

// Certain effects are certain, and absent ones never show.
func TestDraw(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rule  nemesis.Rule
		probe bool
		size  int
		ok    func(Fate) bool
	}{
		{"clean", nemesis.Rule{}, false, 9, func(f Fate) bool { return f == Fate{FlipBit: -1} }},
		{"cut beats all", nemesis.Rule{Cut: true, Loss: 1, Duplicate: 1}, false, 9,
			func(f Fate) bool { return f == Fate{FlipBit: -1, Outcome: Cut} }},
		{"loss", nemesis.Rule{Loss: 1, Duplicate: 1}, false, 9,
			func(f Fate) bool { return f == Fate{FlipBit: -1, Outcome: Lost} }},
		{"corrupt", nemesis.Rule{Corrupt: 1}, false, 9,
			func(f Fate) bool { return f.FlipBit >= 0 && f.FlipBit < 72 }},
		{"nothing to corrupt", nemesis.Rule{Corrupt: 1}, false, 0,
			func(f Fate) bool { return f.FlipBit == -1 }},
		{"hold has no copies", nemesis.Rule{Hold: 1, HoldMin: ms, HoldMax: 2 * ms, Duplicate: 1,
			Replay: 1, Reorder: 1, Delay: ms}, false, 9,
			func(f Fate) bool {
				return f.Held && f.Wait >= ms && f.Wait <= 2*ms && !f.Duplicate && !f.Replay &&
					f.Overtakers == 0 && f.Delay == 0
			}},
		{"a probe is not held", nemesis.Rule{Hold: 1, HoldMin: ms, HoldMax: ms}, true, 9,
			func(f Fate) bool { return f == Fate{FlipBit: -1} }},
		{"delay and jitter", nemesis.Rule{Delay: 3 * ms, Jitter: 5 * ms}, false, 9,
			func(f Fate) bool { return f.Delay >= 0 && f.Delay <= 8*ms }},
		{"reorder", nemesis.Rule{Reorder: 1}, false, 9,
			func(f Fate) bool { return f.Overtakers >= 1 && f.Overtakers <= MaxOvertakers }},
		{"copies", nemesis.Rule{Duplicate: 1, Replay: 1, ReplayMin: ms, ReplayMax: 4 * ms}, false, 9,
			func(f Fate) bool {
				return f.Duplicate && f.Replay && f.ReplayDelay >= ms && f.ReplayDelay <= 4*ms
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			line := Line{Rand: Rand(1, ab)}
			for range 200 {
				if f := line.Draw(0, tc.size, tc.rule, tc.probe); !tc.ok(f) {
					t.Fatalf("drew %+v", f)
				}
			}
		})
	}
}

// A slow line makes messages wait in turn, and drops them beyond QueueTime.
func TestRateQueuesAndOverflows(t *testing.T) {
	line := Line{Rand: Rand(1, ab)}
	rule := nemesis.Rule{Rate: 1000}
	var last time.Duration
	waited, dropped := 0, 0
	for range 30 {
		f := line.Draw(time.Hour, 100, rule, false)
		switch {
		case f.Outcome == Overflow:
			dropped++
		case f.Throttled:
			waited++
			if f.Wait != last+100*ms && last != 0 {
				t.Errorf("waits %v after one that waits %v", f.Wait, last)
			}
			last = f.Wait
		}
	}
	if waited == 0 || dropped == 0 || last > QueueTime+100*ms {
		t.Errorf("%d waited, %d dropped, the last of %v", waited, dropped, last)
	}
	if f := line.Draw(2*time.Hour, 1, rule, false); f.Wait != 0 {
		t.Errorf("an idle line makes wait %v", f.Wait)
	}
}

// Over many messages the shares are the rule's, whatever the seed.
func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := Line{Rand: Rand(rapid.Uint64().Draw(t, "seed"), ba)}
		rule := nemesis.Rule{Loss: 0.3, Duplicate: 0.25, Reorder: 0.2, Corrupt: 0.1}
		const n = 4000
		var lost, twins, late, bad float64
		for range n {
			f := line.Draw(0, 100, rule, false)
			switch {
			case f.Outcome == Lost:
				lost++
				continue
			case f.Duplicate:
				twins++
			}
			if f.Overtakers > 0 {
				late++
			}
			if f.FlipBit >= 0 {
				bad++
			}
		}
		near := func(name string, got, of, share float64) {
			if d := math.Abs(got/of - share); d > 6*math.Sqrt(share*(1-share)/of) {
				t.Errorf("%s: %.3f of the messages, the rule says %.3f", name, got/of, share)
			}
		}
		near("lost", lost, n, rule.Loss)
		near("duplicated", twins, n-lost, rule.Duplicate)
		near("reordered", late, n-lost, rule.Reorder)
		near("corrupted", bad, n-lost, rule.Corrupt)
	})
}
