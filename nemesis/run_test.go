package nemesis

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

// bench is a fake cluster with all that a runner needs.
type bench struct {
	*fakeCluster
	env    Env
	log    *fakeLog
	epochs atomic.Int64
	ledger string
}

func newBench(t *testing.T, n int) *bench {
	t.Helper()
	c := newFakeCluster(n)
	b := &bench{fakeCluster: c, log: &fakeLog{cluster: c}}
	b.ledger = filepath.Join(t.TempDir(), "ledger.jsonl")
	l, err := OpenLedger(b.ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	b.env = Env{
		Nodes: c.nodes, Network: c, Processes: c, Clocks: c, Disks: c, Hosts: c,
		Primaries: c.primaries,
		Admin:     c, Orders: allOrders(),
		Ledger: l,
		Log:    b.log, BumpEpoch: func() { b.epochs.Add(1) }, Clock: c,
	}
	return b
}

// run carries out the schedule and checks what must hold after every run.
func (b *bench) run(t *testing.T, ctx context.Context, steps ...Step) Summary {
	t.Helper()
	for i := range steps {
		if steps[i].ID == 0 {
			steps[i].ID = int64(i + 1)
		}
		if steps[i].Seed == 0 {
			steps[i].Seed = 1
		}
	}
	r, err := NewRunner(b.env, steps)
	if err != nil {
		t.Fatal(err)
	}
	b.exited = r.Exited
	s, err := r.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if left := b.env.Ledger.Outstanding(); len(left.Faults) > 0 {
		t.Errorf("outstanding: %+v", left.Faults)
	}
	if err := b.sound(); err != nil {
		t.Errorf("the cluster is not sound: %v", err)
	}
	stored, err := LoadSummary(b.ledger)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%+v", stored.Faults), fmt.Sprintf("%+v", s.Faults); got != want {
		t.Errorf("stored summary %s, want %s", got, want)
	}
	return s
}

// bubble runs fn in virtual time.
func bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}

// every is a schedule with each kind of fault once, one after the other.
func every(n int) []Step {
	var steps []Step
	at := time.Second
	add := func(s Step) {
		s.At, s.For = at, 2*time.Second
		steps = append(steps, s)
		at += 5 * time.Second
	}
	for _, k := range Kinds() {
		shapes := k.Shapes
		if shapes == nil {
			shapes = []Shape{""}
		}
		if k.Name == "flapping" || k.Name == "one-way" {
			shapes = shapes[:1]
		}
		for _, shape := range shapes {
			if shape != "" && shape.fits(n) != nil {
				continue
			}
			if n == 1 && k.UsesNetwork && shape == "" {
				continue // there are no links between nodes
			}
			if n == 1 && (stopsByDisk(k.Name) || k.Name == "disk-wipe" || k.Admin != nil) {
				continue // one node has no minority, and nobody to hand anything to
			}
			add(Step{Fault: k.Name, Shape: shape})
		}
	}
	return steps
}

// TestCommands shows, for each kind of fault, the commands by which it is
// injected and healed, and what the history gets.
func TestCommands(t *testing.T) {
	for _, n := range []int{1, 3, 5, 7} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(t, n)
				s := b.run(t, t.Context(), every(n)...)
				golden(t, fmt.Sprintf("commands-%d.txt", n), b.script())
				if r := s.Result(); r.Verdict != check.Valid {
					t.Errorf("verdict %v: %s", r.Verdict, r.Reason)
				}
				if got := int(b.epochs.Load()); got != len(s.Faults) {
					t.Errorf("%d epochs for %d faults", got, len(s.Faults))
				}
			})
		})
	}
}

// TestCancelled ends the test in the middle of faults: everything is healed all
// the same, at once.
func TestCancelled(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(t, 3)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				s := b.run(t, ctx,
					Step{Fault: kind.Name, At: time.Second, For: time.Hour},
					Step{Fault: "kill", At: time.Hour, For: time.Second})
				if took := b.Now(); time.Duration(took) > 10*time.Second {
					t.Errorf("it took %v", time.Duration(took))
				}
				first, second := s.Faults[0], s.Faults[1]
				if !first.Injected || !first.Bit || !first.Healed || !first.Interrupted {
					t.Errorf("record %+v", first)
				}
				if second.Skipped == "" || !second.Interrupted {
					t.Errorf("record of the step that was not reached: %+v", second)
				}
				if r := s.Result(); r.Verdict != check.Valid {
					t.Errorf("verdict %v: %s", r.Verdict, r.Reason)
				}
			})
		})
	}
}

// TestCancelledBeforeAnything must not pass: nothing was tested.
func TestCancelledBeforeAnything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := b.run(t, ctx, Step{Fault: "kill", At: time.Second, For: time.Second})
		wantUnknown(t, s, "none was applied")
	})
}

func wantUnknown(t *testing.T, s Summary, sentence string) {
	t.Helper()
	r := s.Result()
	if r.Verdict != check.Unknown || !strings.Contains(r.Reason, sentence) {
		t.Errorf("got %v: %q, want unknown with %q", r.Verdict, r.Reason, sentence)
	}
}

// TestInjectFails lets a command fail in the middle of the injection.
func TestInjectFails(t *testing.T) {
	tests := []struct {
		step  Step
		fails string
		undo  string
	}{
		{Step{Fault: "partition", Nodes: []Node{"n1"}}, "rules fault-1: cut n1->n2 n1->n3 " +
			"n2->n1 n3->n1", "clear fault-1"},
		{Step{Fault: "kill-all"}, "kill n2", "start n1"},
		{Step{Fault: "kill-all"}, "kill n2", "start n3"},
		{Step{Fault: "pause", Target: TargetAll}, "pause n3", "resume n1"},
		{Step{Fault: "kill-seq"}, "kill n1", "start n1"},
		{Step{Fault: "rolling-restart", Nodes: []Node{"n2"}}, "kill n2", "start n2"},
	}
	for _, test := range tests {
		t.Run(test.step.Fault+" "+test.fails, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(t, 3)
				b.failing[test.fails] = 1
				test.step.At, test.step.For = time.Second, time.Minute
				s := b.run(t, t.Context(), test.step)
				if b.count(test.undo) == 0 {
					t.Errorf("no %q in\n%s", test.undo, b.script())
				}
				if took := time.Duration(b.Now()); took > 30*time.Second {
					t.Errorf("it took %v: a failed fault must not stay", took)
				}
				wantUnknown(t, s, test.fails+" does not work")
			})
		})
	}
}

// TestHealFails lets healing fail: it is tried again, and never keeps the other
// faults from being healed.
func TestHealFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.failing["clear fault-1"] = healAttempts // the late attempt works
		b.failing["start n2"] = 1
		s := b.run(t, t.Context(),
			Step{Fault: "partition", Nodes: []Node{"n1"}, At: time.Second, For: time.Second},
			Step{Fault: "kill", Nodes: []Node{"n2"}, At: 3 * time.Second, For: time.Second})
		for _, f := range s.Faults {
			if !f.Healed || f.HealError == "" {
				t.Errorf("record %+v", f)
			}
		}
		if r := s.Result(); r.Verdict != check.Valid {
			t.Errorf("verdict %v: %s", r.Verdict, r.Reason)
		}
	})
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.failing["clear fault-1"] = 100
		s, err := Run(t.Context(), b.env, []Step{
			{ID: 1, Fault: "partition", Nodes: []Node{"n1"}, At: time.Second, For: time.Second},
			{ID: 2, Fault: "kill", Nodes: []Node{"n2"}, At: 3 * time.Second, For: time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		wantUnknown(t, s, "partition #1 (n1 | n2 n3) was not healed: clear fault-1: ")
		wantUnknown(t, s, "not sound after the last fault")
		if !s.Faults[1].Healed {
			t.Errorf("the other fault: %+v", s.Faults[1])
		}
		left := b.env.Ledger.Outstanding()
		if len(left.Faults) != 1 || left.Faults[0].Undo[0] != "clear fault-1" {
			t.Errorf("outstanding %+v", left)
		}
	})
}

// TestSilent looks at a fault whose nodes do not answer: it is healed at once afterwards,
// with all the time that healing has.
func TestSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.silent = func(now time.Duration) bool { return now > 2*time.Second }
		s := b.run(t, t.Context(), Step{
			Fault: "partition", Nodes: []Node{"n1"}, At: time.Second, For: 2 * time.Second,
		})
		f := s.Faults[0]
		if lasted := time.Duration(f.End - f.Start); !f.Healed || f.HealError != "" ||
			lasted > 13*time.Second {
			t.Errorf("it lasted %v: %+v", lasted, f)
		}
		wantUnknown(t, s, "context deadline exceeded")
	})
}

// TestNoEvidence runs every kind of fault on a cluster that takes all commands
// and does nothing.
func TestNoEvidence(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(t, 3)
				b.toothless = true
				s := b.run(t, t.Context(),
					Step{Fault: kind.Name, At: time.Second, For: 3 * time.Second})
				if f := s.Faults[0]; f.Bit || f.Evidence.Idle {
					t.Errorf("record %+v", f)
				}
				wantUnknown(t, s, kind.Name+" #1 ")
			})
		})
	}
}

// TestNoTraffic hurts messages where there are none.
func TestNoTraffic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.traffic = 0
		s := b.run(t, t.Context(), Step{Fault: "messages", At: time.Second, For: time.Second})
		wantUnknown(t, s, "no effect on any of 0 messages")
		if !s.Faults[0].Evidence.Idle {
			t.Errorf("record %+v", s.Faults[0])
		}
	})
}

// TestSkipped shows when a step is not done and what that means.
func TestSkipped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.leader = ""
		second := time.Second
		s := b.run(t, t.Context(),
			Step{Fault: "pause", Target: TargetPrimaries, At: second, For: second},
			Step{Fault: "kill", Nodes: []Node{"n2"}, At: 4 * second, For: second},
			Step{Fault: "kill", Nodes: []Node{"n2"}, At: 9 * second / 2, For: second},
			Step{
				Fault: "partition", Target: TargetPrimaries, Else: []Node{"n3"},
				At: 8 * second, For: second,
			})
		wantUnknown(t, s, "no pause was applied: no primaries are known")
		if why := s.Faults[2].Skipped; why != "every process was already down" {
			t.Errorf("second kill skipped: %q", why)
		}
		if f := s.Faults[3]; f.What != "n3 | n1 n2" || !f.Bit {
			t.Errorf("fallback %+v", f)
		}
	})
}

// TestOverlap lets faults meet on one node: none undoes another.
func TestOverlap(t *testing.T) {
	second := time.Second
	n2 := []Node{"n2"}
	tests := []struct {
		name  string
		steps []Step
	}{
		{"kill kill", []Step{
			{Fault: "kill", Nodes: n2, At: second, For: 3 * second},
			{Fault: "kill", Nodes: []Node{"n2", "n3"}, At: 2 * second, For: 4 * second},
		}},
		{"pause kill", []Step{
			{Fault: "pause", Nodes: n2, At: second, For: 5 * second},
			{Fault: "kill", Nodes: n2, At: 2 * second, For: 2 * second},
		}},
		{"kill pause", []Step{
			{Fault: "kill", Nodes: n2, At: second, For: 4 * second},
			{Fault: "pause", Nodes: []Node{"n2", "n3"}, At: 2 * second, For: second},
		}},
		{"pause pause", []Step{
			{Fault: "pause", Nodes: n2, At: second, For: 2 * second},
			{Fault: "pause", Nodes: n2, At: 2 * second, For: 3 * second},
		}},
		{"storm kill", []Step{
			{Fault: "restart-storm", Nodes: n2, At: second, For: 4 * second},
			{Fault: "kill", Nodes: []Node{"n2", "n3"}, At: 2 * second, For: 6 * second},
		}},
		{"cut cut", []Step{
			{Fault: "partition", Nodes: n2, At: second, For: 2 * second},
			{Fault: "partition", Nodes: []Node{"n3"}, At: 2 * second, For: 3 * second},
			{Fault: "loss", At: 5 * second / 2, For: 2 * second},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(t, 3)
				s := b.run(t, t.Context(), test.steps...)
				name := "overlap-" + strings.ReplaceAll(test.name, " ", "-") + ".txt"
				golden(t, name, b.script())
				if r := s.Result(); r.Verdict != check.Valid {
					t.Errorf("verdict %v: %s", r.Verdict, r.Reason)
				}
			})
		})
	}
}

// TestPlanned runs random schedules of everything to their end.
func TestPlanned(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T) {
			b := newBench(t, 3+2*int(seed%2))
			steps, err := Plan(PlanConfig{
				Seed: seed, Nodes: b.nodes, Faults: []string{"all"}, Duration: time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			s := b.run(t, t.Context(), steps...)
			if r := s.Result(); r.Verdict != check.Valid {
				t.Errorf("seed %d: verdict %v: %s", seed, r.Verdict, r.Reason)
			}
			if took := time.Duration(b.Now()); took > time.Minute {
				t.Errorf("seed %d: it took %v", seed, took)
			}
		})
	}
}

// TestRunnerRefuses lists mistakes that must be found before anything is done.
func TestRunnerRefuses(t *testing.T) {
	b := newBench(t, 2)
	_, err := NewRunner(Env{}, nil)
	for _, want := range []string{"no nodes", "no ledger", "no log", "no clock"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	b.env.Processes = nil
	_, err = NewRunner(b.env, []Step{
		{ID: 1, Fault: "kill", For: 1},
		{ID: 1, Fault: "partition", Shape: ShapeRing, For: 1},
		{ID: 3, Fault: "partition", Nodes: []Node{"n9"}, For: 1},
	})
	for _, want := range []string{
		"step 1: kill needs processes", "step 1: there are two", "ring needs at least 3",
		`step 3: there is no node "n9"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestLeaderless waits for a leader only once for long, and ends a step that had
// to wait at the time that was planned.
func TestLeaderless(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.leader = ""
		second := time.Second
		step := func(at time.Duration) Step {
			return Step{
				Fault: "kill", Target: TargetPrimaries, Else: []Node{"n3"}, At: at, For: 6 * second,
			}
		}
		s := b.run(t, t.Context(), step(second), step(11*second))
		for i, want := range []struct{ start, end time.Duration }{
			{3 * second, 7 * second}, {11*second + 200*time.Millisecond, 17 * second},
		} {
			f := s.Faults[i]
			start, end := time.Duration(f.Start), time.Duration(f.End)
			if start != want.start || end < want.end || end > want.end+50*time.Millisecond {
				t.Errorf("step %d from %v to %v, want %v to %v", i, start, end, want.start, want.end)
			}
		}
	})
}

// TestLinksOnRecord: the ledger says which links a fault disturbs, before it does.
func TestLinksOnRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		s := b.run(t, t.Context(),
			Step{For: time.Second, Fault: "partition", Shape: ShapeIsolate, Nodes: []Node{"n2"}},
			Step{At: 3 * time.Second, For: time.Second, Fault: "messages",
				Params: Params{"loss": "0.5"}},
			Step{At: 6 * time.Second, For: time.Second, Fault: "kill", Nodes: []Node{"n1"}},
		)
		want := []string{
			"cut n1>n2 n2>n1 n2>n3 n3>n2",
			"n1>n2 n1>n3 n2>n1 n2>n3 n3>n1 n3>n2",
			"",
		}
		for i, f := range s.Faults {
			var words []string
			if f.Cut {
				words = append(words, "cut")
			}
			for _, l := range f.Links {
				words = append(words, fmt.Sprintf("%s>%s", l.From, l.To))
			}
			if got := strings.Join(words, " "); got != want[i] {
				t.Errorf("%s: links %q, want %q", f.Step.Fault, got, want[i])
			}
		}
	})
}

// TestMessagesMet: what was lost had no other fate, so that nothing else is missing of it.
func TestMessagesMet(t *testing.T) {
	rule := Rule{Loss: 0.4, Duplicate: 0.3}
	for _, test := range []struct {
		name      string
		sum       Counters
		bit, idle bool
	}{
		{"both effects", Counters{Passed: 60, Lost: 40, Duplicated: 20}, true, false},
		{"all were lost, or dropped by a cut", Counters{Lost: 73, Dropped: 110}, true, false},
		{"many passed and none came twice", Counters{Passed: 100, Lost: 40}, false, false},
		{"many passed and none was lost", Counters{Passed: 100, Duplicated: 30}, false, false},
		{"only a cut", Counters{Dropped: 100}, false, true},
	} {
		f := &netFault{rules: map[Link]Rule{{From: "n1", To: "n2"}: rule}}
		if e := f.observeMessages(test.sum, test.sum); e.Bit != test.bit || e.Idle != test.idle {
			t.Errorf("%s: %+v", test.name, e)
		}
	}
	f := &netFault{rules: map[Link]Rule{{From: "n1", To: "n2"}: {Duplicate: 0.3}}}
	if e := f.observeMessages(Counters{Lost: 100}, Counters{}); e.Bit || !e.Idle {
		t.Errorf("all were lost by another fault: %+v", e)
	}
	if e := f.observeMessages(Counters{Passed: 9}, Counters{}); e.Bit || e.Idle {
		t.Errorf("some passed, and none came twice: %+v", e)
	}
}
