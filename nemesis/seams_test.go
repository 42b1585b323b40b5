package nemesis

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// TestSeamsOverlap lets faults of clocks and disks meet each other and faults of
// processes on one node: none undoes another, and each that acts leaves evidence.
func TestSeamsOverlap(t *testing.T) {
	second := time.Second
	n2, all := []Node{"n2"}, []Node{"n1", "n2", "n3"}
	for _, test := range []struct {
		steps   []Step
		skipped int    // the step, from 1, that finds nothing to do
		why     string // part of the evidence of the last step
	}{
		{steps: []Step{
			{Fault: "clock-jump", Nodes: n2, At: second, For: 4 * second},
			{Fault: "clock-freeze", Nodes: n2, At: 2 * second, For: second},
		}, skipped: 2},
		{steps: []Step{
			{Fault: "clock-jump", Nodes: n2, At: second, For: 4 * second},
			{Fault: "clock-drift", Nodes: all, At: 2 * second, For: 5 * second},
		}, why: "; left to another fault: n2"},
		{steps: []Step{ // the clock of a new start begins anew, and is still bent
			{Fault: "kill", Nodes: n2, At: 2 * second, For: second},
			{Fault: "clock-drift", Nodes: n2, At: second, For: 6 * second},
		}, why: "n2: both clocks at rate 1.04"},
		{steps: []Step{
			{Fault: "pause", Nodes: n2, At: 2 * second, For: 5 * second},
			{Fault: "clock-jump", Nodes: n2, At: second, For: 3 * second},
		}, why: "n2: both clocks 2s ahead"},
		{steps: []Step{
			{Fault: "kill", Nodes: n2, At: second, For: 4 * second},
			{Fault: "disk-slow", Nodes: n2, At: 2 * second, For: second},
		}, skipped: 2},
		{steps: []Step{
			{Fault: "disk-full", Nodes: n2, At: second, For: 4 * second},
			{Fault: "kill", Nodes: []Node{"n2", "n3"}, At: 2 * second, For: second},
		}, why: "gone after SIGKILL: n3"},
		{steps: []Step{
			{Fault: "disk-slow", Nodes: n2, At: second, For: 4 * second},
			{Fault: "disk-torn", Nodes: all, At: 2 * second, For: 4 * second},
		}, why: "torn writes: n1 100, n3 100; left to another fault: n2; gone"},
	} {
		name := test.steps[0].Fault + " " + test.steps[1].Fault
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(t, 3)
				s := b.run(t, t.Context(), test.steps...)
				for i, f := range s.Faults {
					if skipped := test.skipped == i+1; (f.Skipped != "") != skipped || f.Bit == skipped {
						t.Errorf("record %+v", f)
					}
				}
				if last := s.Faults[len(s.Faults)-1]; !strings.Contains(last.Evidence.Why, test.why) {
					t.Errorf("evidence %q, want %q", last.Evidence.Why, test.why)
				}
				if r := s.Result(); r.Verdict != check.Valid {
					t.Errorf("verdict %v: %s", r.Verdict, r.Reason)
				}
				if t.Failed() {
					t.Log(b.script())
				}
			})
		})
	}
}

// TestClockStays leaves a clock bent: neither the fault nor the whole is healed.
func TestClockStays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.failing["clock n1: true"] = 100
		s, err := Run(t.Context(), b.env, []Step{{
			ID: 1, Fault: "clock-jump", Nodes: []Node{"n1"}, At: time.Second, For: time.Second,
		}})
		if err != nil {
			t.Fatal(err)
		}
		wantUnknown(t, s, "was not healed: clock n1: true does not work")
		wantUnknown(t, s, "not sound after the last fault: the clock of n1 is not true again: wall 2s")
		left := b.env.Ledger.Outstanding()
		if len(left.Faults) != 1 || left.Faults[0].Undo[0] != "true-clock n1" {
			t.Errorf("outstanding %+v", left)
		}
	})
}

// TestClockTrace is a table of readings and whether they show a bend, or a true clock.
func TestClockTrace(t *testing.T) {
	ms := time.Millisecond
	// at gives readings every 100 ms of a clock that gains so much in each.
	at := func(from time.Duration, n int, skew, gain time.Duration) (out []ClockReading) {
		for i := range n {
			running := from + time.Duration(i)*100*ms
			s := skew + time.Duration(i)*gain
			out = append(out, ClockReading{Monotonic: running + s, Running: running, WallError: s})
		}
		return out
	}
	for _, test := range []struct {
		name     string
		readings []ClockReading
		bend     Bend
		shows    bool
		isTrue   bool
	}{
		{"a jump", at(0, 1, 2*time.Second, 0), Bend{Offset: 2 * time.Second}, true, false},
		{"no jump", at(0, 5, 0, 0), Bend{Offset: 2 * time.Second}, false, true},
		{"the other way", at(0, 5, -2*time.Second, 0), Bend{Offset: 2 * time.Second}, false, false},
		{"fast", at(0, 6, 0, 4*ms), Bend{Rate: 1.04}, true, false},
		{"slow", at(0, 6, 0, -4*ms), Bend{Rate: 0.96}, true, false},
		{"slow instead of fast", at(0, 6, 0, -4*ms), Bend{Rate: 1.04}, false, false},
		{"too short to tell", at(0, 4, 0, 4*ms), Bend{Rate: 1.04}, false, false},
		{"a little, too short to tell", at(0, 9, 0, ms), Bend{Rate: 1.01}, false, false},
		{"a little", at(0, 12, 0, ms), Bend{Rate: 1.01}, true, false},
		{"a rate that is not bent", at(0, 12, 0, 0), Bend{Rate: 1.01}, false, true},
		{"what drift has made stays", at(0, 11, 30*ms, 0), Bend{Rate: 1.04}, false, true},
		{"frozen", at(0, 6, 0, -100*ms), Bend{Freeze: true}, true, false},
		{"frozen later", append(at(0, 9, 0, 0), at(900*ms, 6, -100*ms, -100*ms)...),
			Bend{Freeze: true}, true, false},
	} {
		trace := &clockTrace{
			shown: map[string]string{}, away: map[string]bool{}, jumps: map[string]int{},
		}
		h := hands()[1]
		for _, r := range test.readings {
			trace.add(r)
			trace.look(h, test.bend, false)
		}
		if shows := trace.shown[h.name] != ""; shows != test.shows {
			t.Errorf("%s: shown %v", test.name, trace.shown)
		}
		if got := trace.isTrue(ClockSetting{Monotonic: test.bend}); got != test.isTrue {
			t.Errorf("%s: true %t", test.name, got)
		}
	}
}

// TestQuietDisk troubles disks on which nothing is written: that proves nothing.
func TestQuietDisk(t *testing.T) {
	for fault, why := range map[string]string{
		"disk-slow":  "nothing was written: no delayed syncs",
		"disk-error": "did not end, perhaps nothing was written: n1",
		"disk-full":  "did not end, perhaps nothing was written: n1",
		"disk-torn":  "nothing was written: no torn writes",
	} {
		bubble(t, func(t *testing.T) {
			b := newBench(t, 3)
			b.traffic = 0
			s := b.run(t, t.Context(), Step{
				Fault: fault, Nodes: []Node{"n1"}, At: time.Second, For: time.Second,
			})
			wantUnknown(t, s, why)
			if !s.Faults[0].Evidence.Idle {
				t.Errorf("record %+v", s.Faults[0])
			}
		})
	}
}

// TestDefiantNode: a node that goes on although its disk has failed it was hurt, and is not
// waited for.
func TestDefiantNode(t *testing.T) {
	for _, fault := range []string{"disk-error", "disk-full"} {
		bubble(t, func(t *testing.T) {
			b := newBench(t, 3)
			b.disks["n1"].defies = true
			s := b.run(t, t.Context(), Step{
				Fault: fault, Nodes: []Node{"n1"}, At: time.Second, For: time.Second,
			})
			f := s.Faults[0]
			if why := "goes on although its disk failed it: n1"; !f.Bit || f.Evidence.Why != why {
				t.Errorf("%s: record %+v", fault, f)
			}
			if took := time.Duration(f.End - f.Start); !f.Healed || took > 3*time.Second {
				t.Errorf("%s: healed %t, over after %v", fault, f.Healed, took)
			}
		})
	}
}

// TestOneQuietDisk: where something else was hurt, a fault that met nothing is no doubt.
func TestOneQuietDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.traffic = 0
		n1, second := []Node{"n1"}, time.Second
		s := b.run(t, t.Context(),
			Step{ID: 1, Fault: "disk-slow", Nodes: n1, At: second, For: second},
			Step{ID: 2, Fault: "disk-error", Nodes: n1, At: 10 * second, For: second},
			Step{ID: 3, Fault: "kill", Nodes: n1, At: 20 * second, For: second})
		r := s.Result()
		want := "3 of 3 faults were injected and healed; 1 left evidence, 2 met nothing that they " +
			"could act upon"
		if r.Verdict != check.Valid || r.Reason != want {
			t.Errorf("got %v: %q, want valid: %q", r.Verdict, r.Reason, want)
		}
	})
}

// TestAlwaysQuietDisk: what meets nothing again and again has not been tested.
func TestAlwaysQuietDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.traffic = 0
		n1, second := []Node{"n1"}, time.Second
		wantUnknown(t, b.run(t, t.Context(),
			Step{ID: 1, Fault: "disk-slow", Nodes: n1, At: second, For: second},
			Step{ID: 2, Fault: "disk-slow", Nodes: n1, At: 10 * second, For: second},
			Step{ID: 3, Fault: "disk-slow", Nodes: n1, At: 20 * second, For: second},
			Step{ID: 4, Fault: "kill", Nodes: n1, At: 30 * second, For: second},
		), "none of 3 disk-slow met anything")
	})
}

// TestSlowDiskOfTheDead slows a disk on which nothing is written at first; and before the
// end its node is killed, and what it has counted is gone.
func TestSlowDiskOfTheDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.traffic = 0
		time.AfterFunc(5*time.Second, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.traffic = 1
		})
		n1 := []Node{"n1"}
		s := b.run(t, t.Context(),
			Step{Fault: "disk-slow", Nodes: n1, At: time.Second, For: 7 * time.Second},
			Step{Fault: "kill", Nodes: n1, At: 6 * time.Second, For: 4 * time.Second},
		)
		if f := s.Faults[0]; !f.Bit || !f.Healed {
			t.Errorf("record %+v", f)
		}
		if r := s.Result(); r.Verdict != check.Valid {
			t.Error(r.Reason)
		}
	})
}

// TestStopsAMinority hits fewer nodes than were asked for.
func TestStopsAMinority(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 5)
		s := b.run(t, t.Context(), Step{
			Fault: "disk-full", Target: TargetAll, At: time.Second, For: time.Second,
		})
		if f := s.Faults[0]; len(f.Nodes) != 2 || !f.Bit {
			t.Errorf("record %+v", f)
		}
	})
	bubble(t, func(t *testing.T) {
		b := newBench(t, 2)
		s := b.run(t, t.Context(), Step{Fault: "disk-error", At: time.Second, For: time.Second})
		wantUnknown(t, s, "none was applied")
		if why := s.Faults[0].Skipped; why != "a minority of 2 nodes is no node at all" {
			t.Errorf("skipped: %q", why)
		}
	})
}

// TestExits tells ends that a fault wished from others: a panic never is one.
func TestExits(t *testing.T) {
	b := newBench(t, 3)
	r, err := NewRunner(b.env, []Step{killStep})
	must(t, err)
	w := r.world
	w.expect(1, []Node{"n1", "n2"}, true)
	w.expect(1, []Node{"n2"}, false)
	for _, test := range []struct {
		node   Node
		words  string
		wished bool
	}{
		{"n1", "panic: index out of range", false},
		{"n1", "fatal error: all goroutines are asleep", false},
		{"n1", "disk failed", true},
		{"n2", "disk failed", false},
		{"n3", "disk failed", false},
	} {
		if got := r.Exited(test.node, test.words); got != test.wished {
			t.Errorf("%s %q: wished %t", test.node, test.words, got)
		}
	}
	if words, ok := w.lastWords(1, "n1"); !ok || words != "disk failed" {
		t.Errorf("last words %q, %t", words, ok)
	}
	w.release(1)
	if r.Exited("n1", "disk failed") {
		t.Error("wished by a fault that is over")
	}
}

// TestFlip flips bits of nodes that can go on without their log, and of one without
// a log.
func TestFlip(t *testing.T) {
	flip := Step{Fault: "bit-flip", Nodes: []Node{"n1", "n2"}, At: time.Second, For: time.Second}
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.disks["n1"].mends, b.disks["n2"].small = true, true
		s := b.run(t, t.Context(), flip)
		if f := s.Faults[0]; !f.Bit || !strings.Contains(f.Evidence.Why, "n1 at byte") ||
			!strings.Contains(f.Evidence.Why, "started with it; the log of n2 is too small") {
			t.Errorf("record %+v", f)
		}
		if n := b.count("unflip n1"); n != 0 {
			t.Errorf("the log of a node that runs was changed:\n%s", b.script())
		}
	})
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.disks["n1"].small, b.disks["n2"].small = true, true
		s := b.run(t, t.Context(), flip)
		if f := s.Faults[0]; f.Skipped != "no log was large enough to be damaged" || !f.Healed {
			t.Errorf("record %+v", f)
		}
	})
}

// TestWipe wipes disks, one at a time: while a node lacks something, nothing else is
// taken away.
func TestWipe(t *testing.T) {
	wipe := func(n Node, at time.Duration) Step {
		return Step{Fault: "disk-wipe", Nodes: []Node{n}, At: at, For: 300 * time.Millisecond}
	}
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		s := b.run(t, t.Context(), wipe("n1", time.Second), wipe("n2", 3*time.Second))
		for _, f := range s.Faults {
			if !f.Bit || !f.Healed || f.Evidence.Facts["bytes lost"] != 1000 ||
				f.End < f.Start+history.Time(700*time.Millisecond) ||
				!strings.HasSuffix(f.Healing.Why, "it has got back what it lost") {
				t.Errorf("record %+v", f)
			}
		}
	})
	for what, second := range map[string]Step{
		"another fault has taken": wipe("n2", 1200*time.Millisecond),
		"another fault": {
			Fault: "bit-flip", Nodes: []Node{"n2"}, At: 1200 * time.Millisecond, For: time.Second,
		},
	} {
		bubble(t, func(t *testing.T) {
			b := newBench(t, 3)
			s := b.run(t, t.Context(), wipe("n1", time.Second), second)
			if f := s.Faults[1]; !strings.HasPrefix(f.Skipped, what) {
				t.Errorf("record %+v", f)
			}
		})
	}
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		kill := Step{Fault: "kill", Nodes: []Node{"n3"}, At: 500 * time.Millisecond, For: 2 * time.Second}
		s := b.run(t, t.Context(), kill, wipe("n1", time.Second))
		if f := s.Faults[1]; f.Skipped == "" || b.count("wipe n1") != 0 {
			t.Errorf("record %+v", f)
		}
	})
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.disks["n1"].forgets = true
		step := wipe("n1", time.Second)
		step.ID = 1
		s, err := Run(t.Context(), b.env, []Step{step})
		if err != nil {
			t.Fatal(err)
		}
		wantUnknown(t, s, "n1 has not got back what it lost")
	})
}

// TestNothingToSpare takes something from a disk while members are away, or the other way
// round: with so few members left nobody could get back what is lost.
func TestNothingToSpare(t *testing.T) {
	step := func(fault string, n Node, at time.Duration) Step {
		return Step{Fault: fault, Nodes: []Node{n}, At: at, For: 400 * time.Millisecond}
	}
	for _, loss := range []string{"bit-flip", "disk-wipe"} {
		for _, test := range []struct {
			nodes         int
			first, second Step
			skipped       string
		}{
			{3, step("remove-member", "n1", time.Second), step(loss, "n2", 1200*time.Millisecond),
				"members are away"},
			{3, step(loss, "n2", time.Second), step("remove-member", "n1", 1200*time.Millisecond),
				"another fault has taken something"},
			// Gone from its window, and not back yet.
			{3, step(loss, "n2", time.Second), step("remove-member", "n1", 1600*time.Millisecond),
				"another fault has taken something"},
			{3, step(loss, "n2", time.Second), step("remove-member", "n1", 4*time.Second), ""},
			{5, step("remove-member", "n1", time.Second), step(loss, "n2", 1200*time.Millisecond),
				""},
			{5, step(loss, "n2", time.Second), step("remove-member", "n1", 1200*time.Millisecond),
				""},
		} {
			bubble(t, func(t *testing.T) {
				b := newBench(t, test.nodes)
				b.disks["n2"].mends = true
				s := b.run(t, t.Context(), test.first, test.second)
				first, second := s.Faults[0], s.Faults[1]
				if !first.Bit || !first.Healed || !second.Healed && test.skipped == "" ||
					!strings.HasPrefix(second.Skipped, test.skipped) ||
					(second.Skipped == "") != (test.skipped == "") {
					t.Errorf("%d nodes, %s then %s: %+v", test.nodes, test.first.Fault,
						test.second.Fault, second)
				}
				if len(b.admin.members) != test.nodes {
					t.Errorf("members %v", b.admin.members)
				}
			})
		}
	}
}

// TestSeamsPlanned runs random schedules of the families that are chosen by name.
func TestSeamsPlanned(t *testing.T) {
	for seed := range uint64(12) {
		bubble(t, func(t *testing.T) {
			b := newBench(t, 3+2*int(seed%2))
			steps, err := Plan(PlanConfig{
				Seed: seed, Nodes: b.nodes, Faults: []string{"all", "clock", "drift", "disk"},
				Duration: time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			if r := b.run(t, t.Context(), steps...).Result(); r.Verdict != check.Valid {
				t.Errorf("seed %d: verdict %v: %s", seed, r.Verdict, r.Reason)
			}
		})
	}
}

// TestDriftIsBounded holds the family to what a claim may rely on: monotonic clocks
// keep their rate within 5 % and never jump.
func TestDriftIsBounded(t *testing.T) {
	kinds := map[string]int{}
	for seed := range uint64(100) {
		for _, s := range plan(t, PlanConfig{
			Seed: seed, Nodes: someNodes(3), Faults: []string{"drift"}, Duration: time.Minute,
		}) {
			kinds[s.Fault]++
			for _, name := range []string{"rate", "others"} {
				var rate float64
				if text, ok := s.Params[name]; !ok {
					continue
				} else if _, err := fmt.Sscan(text, &rate); err != nil || math.Abs(rate-1) > 0.05 {
					t.Errorf("%s %s, %v", name, text, err)
				}
			}
			if s.Fault != "clock-drift" && s.Params["clock"] != "wall" {
				t.Errorf("step %+v", s)
			}
		}
	}
	for _, kind := range []string{"clock-drift", "clock-jump", "clock-strobe"} {
		if kinds[kind] < 50 {
			t.Errorf("%s: %d times", kind, kinds[kind])
		}
	}
	for _, s := range plan(t, PlanConfig{
		Seed: 1, Nodes: someNodes(3), Faults: []string{"all"}, Duration: 10 * time.Minute,
	}) {
		if slices.Contains([]string{"clock", "disk"}, sortOf(s.Fault)) {
			t.Errorf("all includes %+v", s)
		}
	}
}

// TestClockOfTheDead bends a clock, and another fault takes the process away before that
// could show, and keeps it: no doubt, and no test of clocks.
func TestClockOfTheDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		n1, second := []Node{"n1"}, time.Second
		drift := Params{"clock": "both", "rate": "1.01"}
		s := b.run(t, t.Context(),
			Step{ID: 1, Fault: "clock-drift", Nodes: n1, Params: drift, At: second, For: second},
			Step{ID: 2, Fault: "kill", Nodes: n1, At: second + 20*time.Millisecond, For: 9 * second})
		if f := s.Faults[0]; f.Bit || !f.Evidence.Idle {
			t.Errorf("record %+v", f)
		}
		if r := s.Result(); r.Verdict != check.Valid {
			t.Errorf("got %v: %s", r.Verdict, r.Reason)
		}
	})
}

// TestQuietDiskOfTheDead slows a disk on which nothing is written, and before the end another
// fault takes its node away: what was seen until then counts.
func TestQuietDiskOfTheDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.traffic = 0
		n1, second := []Node{"n1"}, time.Second
		s := b.run(t, t.Context(),
			Step{ID: 1, Fault: "disk-slow", Nodes: n1, At: second, For: 3 * second},
			Step{ID: 2, Fault: "kill", Nodes: n1, At: 6 * second, For: 9 * second})
		if f := s.Faults[0]; f.Bit || !f.Evidence.Idle {
			t.Errorf("record %+v", f)
		}
	})
}
