package soak

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
)

// TestOutcomes: every way in which a run can come out is told as what it is, each in a
// process of its own that disturbs no other.
func TestOutcomes(t *testing.T) {
	o := options(planOf(t, "budget: {memory: 200MB, runs: 10, parallel: 2}\nrepeat: 0",
		entryOf("valid", isValid), entryOf("unknown", isUnknown), entryOf("violated", isViolated),
		entryOf("crashes", crashes), entryOf("hangs", hangs, "limit: 2s"),
		entryOf("hungry", hungry), entryOf("late", late), entryOf("slow", slow),
		entryOf("lying", lying), entryOf("untrusted", untrusted)), t.TempDir())
	sum := soakIt(t, o)
	want := map[string]Outcome{
		"valid": Valid, "slow": Valid, "unknown": Unknown, "untrusted": Unknown, "violated": Violated,
		"late": Violated, "crashes": Crashed, "hangs": Crashed, "hungry": Crashed, "lying": Crashed,
	}
	for _, c := range sum.Cells {
		name, _, _ := strings.Cut(c.ID, "/")
		if c.Runs != 1 || c.Worst != want[name] {
			t.Errorf("%s: %d runs, %s, want one, %s", name, c.Runs, c.Worst, want[name])
		}
	}
	if sum.Outcome != Violated || len(sum.Findings) != 1 || sum.Findings[0].Runs != 2 {
		t.Errorf("%s with findings %+v: want one, in two runs", sum.Outcome, sum.Findings)
	}
	reasons := map[string]string{
		"crashes": "the disk is on fire", "hangs": "it hung", "hungry": "memory",
		"lying": "results are unknown", "untrusted": "nothing was tested",
	}
	state, err := LoadState(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range state.Ended {
		name, _, _ := strings.Cut(e.Cell, "/")
		if !strings.Contains(e.Reason, reasons[name]) {
			t.Errorf("%s: %q, want %q", name, e.Reason, reasons[name])
		}
		log, err := os.ReadFile(filepath.Join(o.Dir, filepath.FromSlash(e.Log)))
		if err != nil || !strings.Contains(string(log), "the fake checker") {
			t.Errorf("%s: log %q, %v", name, log, err)
		}
		if name == "hangs" && !strings.Contains(string(log), "goroutine ") {
			t.Errorf("a hung checker did not print where it is: %s", log)
		}
	}
}

// TestFindings: violations that differ in accidents only are one finding, whose first run is
// repeated with its seed; those of canaries are none.
func TestFindings(t *testing.T) {
	o := options(planOf(t, "budget: {runs: 9, parallel: 2}\nrepeat: 5",
		entryOf("flaky", flaky), entryOf("good", isValid),
		entryOf("canary", isViolated, "canary: true, bug: cli-timeout-as-fail")), t.TempDir())
	sum := soakIt(t, o)
	if len(sum.Findings) != 1 {
		t.Fatalf("%d findings, want 1: %+v", len(sum.Findings), sum.Findings)
	}
	f := sum.Findings[0]
	if f.Runs != 3 || f.Tries != 5 || f.Reproduced != 2 || f.Exact != 2 {
		t.Errorf("in %d runs, reproduced %d (%d) of %d; want 3, 2 (2) of 5", f.Runs, f.Reproduced,
			f.Exact, f.Tries)
	}
	if f.First.Run >= f.Last.Run || f.First.Seed == f.Last.Seed {
		t.Errorf("first %+v, last %+v", f.First, f.Last)
	}
	if sum.Outcome != Violated || sum.Outcomes[Violated] != 3 || sum.CanaryRuns != 3 {
		t.Errorf("%s: %v, canary %d", sum.Outcome, sum.Outcomes, sum.CanaryRuns)
	}
	issue, err := os.ReadFile(filepath.Join(o.Dir, issuesDir, f.ID+".md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# " + f.ID + ": reference paxos", "reproduced 2 of 5", f.First.Command,
	} {
		if !strings.Contains(string(issue), want) {
			t.Errorf("the issue lacks %q:\n%s", want, issue)
		}
	}
	others, _ := os.ReadDir(filepath.Join(o.Dir, issuesDir))
	if len(others) != 1 {
		t.Errorf("%d issues, want 1", len(others))
	}
}

// TestCanary: the night is red when a planted bug is not found, whatever else is well.
func TestCanary(t *testing.T) {
	for name, c := range map[string]struct {
		behavior int
		want     Outcome
	}{"found": {isViolated, Valid}, "missed": {isValid, Crashed}, "unknown": {isUnknown, Crashed}} {
		t.Run(name, func(t *testing.T) {
			o := options(planOf(t, "budget: {runs: 3}", entryOf("good", isValid, "weight: 5"),
				entryOf("canary", c.behavior, "canary: true, bug: cli-timeout-as-fail")), t.TempDir())
			sum := soakIt(t, o)
			if sum.Outcome != c.want {
				t.Errorf("%s: %s, want %s", sum.Outcome, sum.Reason, c.want)
			}
			if missed := strings.Contains(sum.Reason, "canary"); missed != (c.want == Crashed) {
				t.Errorf("reason %q", sum.Reason)
			}
		})
	}
}

// TestInterrupted: what goes on when a soak is interrupted is told to heal and end, is no
// result, and is run again by the next process.
func TestInterrupted(t *testing.T) {
	t.Setenv(role, "checker")
	dir := t.TempDir()
	o := options(planOf(t, "budget: {runs: 2, parallel: 2}",
		entryOf("waits", obedient), entryOf("good", isValid)), dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := Run(ctx, o)
		done <- err
	}()
	await(t, "one run to end and one to go on", func() bool {
		s, err := LoadState(dir)
		waiting, _ := runDirs(filepath.Join(dir, workDir, "*"))
		return err == nil && len(s.Ended) == 1 && len(s.Open) == 1 && len(waiting) >= 0 &&
			fileThere(filepath.Join(dir, workDir, "r*", "fake-test", "*", "test.json"))
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s, err := LoadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Ended) != 1 || s.Interrupted != 1 || len(s.Open) != 0 || s.Stopped != "interrupted" {
		t.Errorf("%d ended, %d interrupted, %d open, %q", len(s.Ended), s.Interrupted, len(s.Open),
			s.Stopped)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, workDir)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func fileThere(pattern string) bool {
	found, err := filepath.Glob(pattern)
	return err == nil && len(found) > 0
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestGoesOn: a soak whose budget was used up goes on when it gets more, and not otherwise;
// its directory is nobody else's.
func TestGoesOn(t *testing.T) {
	dir := t.TempDir()
	o := options(planOf(t, "budget: {runs: 3}", entryOf("good", isValid)), dir)
	soakIt(t, o)
	if _, err := tryIt(t, o); !errors.Is(err, ErrOver) {
		t.Errorf("once more: %v, want %v", err, ErrOver)
	}
	o.Budget.Runs = 5
	if sum := soakIt(t, o); sum.Runs != 5 {
		t.Errorf("%d runs, want 5", sum.Runs)
	}
	o.Plan = planOf(t, "budget: {runs: 9}", entryOf("good", isValid))
	if _, err := tryIt(t, o); !errors.Is(err, ErrOther) {
		t.Errorf("another plan: %v, want %v", err, ErrOther)
	}
}

// TestGivesUp: when nothing but crashes comes, the machine or the harness is broken.
func TestGivesUp(t *testing.T) {
	o := options(planOf(t, "budget: {runs: 100, parallel: 1}", entryOf("bad", crashes)), t.TempDir())
	sum, err := tryIt(t, o)
	if err == nil || !strings.Contains(err.Error(), "5 runs in a row crashed") {
		t.Errorf("error %v", err)
	}
	if sum.Runs != crashesMost || sum.Outcome != Crashed || len(sum.Stopped) != 1 {
		t.Errorf("%d runs, %s, stopped %v", sum.Runs, sum.Outcome, sum.Stopped)
	}
}

// TestTimeBudget: nothing is begun that would not end in time.
func TestTimeBudget(t *testing.T) {
	o := options(planOf(t, "budget: {parallel: 1}", entryOf("slow", slow)), t.TempDir())
	o.Budget.Time = 2 * time.Second
	sum := soakIt(t, o)
	if sum.Runs < 1 || sum.Active > 4*time.Second {
		t.Errorf("%d runs in %v", sum.Runs, sum.Active)
	}
}

// TestPrune: old valid runs go first, then what has no verdict, and never what is invalid
// or its repetitions; when only those are left, the soak says so and ends.
func TestPrune(t *testing.T) {
	o := options(planOf(t, "budget: {disk: 20kB, runs: 40, parallel: 1}\nrepeat: 2",
		entryOf("good", isValid), entryOf("unknown", isUnknown), entryOf("bad", isViolated)),
		t.TempDir())
	sum, err := tryIt(t, o)
	if !errors.Is(err, errDisk) {
		t.Errorf("error %v, want %v", err, errDisk)
	}
	state, err := LoadState(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Kept > 20_000 || sum.Pruned == 0 {
		t.Errorf("%d bytes kept, %d runs pruned", sum.Kept, sum.Pruned)
	}
	for a, e := range state.Ended {
		there := fileThere(filepath.Join(o.Dir, filepath.FromSlash(e.Files)))
		if kept := e.Outcome == Violated || a.Try > 0; there == state.Pruned[a] || kept && !there {
			t.Errorf("run %s, %s: its files are there: %v", a, e.Outcome, there)
		}
	}
}

// TestDispensable is the order in which runs go.
func TestDispensable(t *testing.T) {
	s := newState()
	s.Header = &Header{Cells: []CellInfo{{ID: "x"}, {ID: "canary", Canary: true}}, Shards: 1, Shard: 1}
	add := func(run, try int, cell string, o Outcome) {
		a := Attempt{run, try}
		s.Order = append(s.Order, a)
		s.Ended[a] = Ended{Record: Record{Outcome: o, Bytes: 1}, Attempt: a, Cell: cell}
	}
	add(1, 0, "canary", Violated)
	add(2, 0, "x", Crashed)
	add(3, 0, "x", Unknown)
	add(4, 0, "x", Violated)
	add(4, 1, "x", Valid)
	add(5, 0, "x", Valid)
	add(6, 0, "canary", Violated)
	add(7, 0, "x", Valid)
	var order []int
	for {
		a, ok := s.dispensable()
		if !ok {
			break
		}
		s.Pruned[a] = true
		order = append(order, a.Run)
	}
	if want := []int{5, 7, 6, 3, 2}; !slices.Equal(order, want) {
		t.Errorf("%v, want %v; never 1, 4, 4.1", order, want)
	}
}

// TestMergedShards: shards in directories of their own, together, say what one soak says.
func TestMergedShards(t *testing.T) {
	longtest.Only(t)
	plan := func() *Plan {
		return planOf(t, "budget: {runs: 23, parallel: 1}\nrepeat: 2",
			entryOf("good", isValid, "weight: 4"), entryOf("unknown", isUnknown),
			entryOf("flaky", flaky), entryOf("canary", isViolated, "canary: true, bug: cli-timeout-as-fail"))
	}
	whole := soakIt(t, options(plan(), t.TempDir()))
	var dirs []string
	for k := 1; k <= 3; k++ {
		o := options(plan(), t.TempDir())
		o.Shard, o.Shards = k, 3
		dirs = append(dirs, o.Dir)
		soakIt(t, o)
	}
	if part, err := Merge(dirs[:2]); err != nil || part.Runs >= whole.Runs {
		t.Errorf("two of three shards: %d runs, %v", part.Runs, err)
	}
	merged, err := Merge(dirs)
	if err != nil {
		t.Fatal(err)
	}
	same(t, whole, merged)
	if _, err := Merge([]string{dirs[0], dirs[1], dirs[0]}); err == nil {
		t.Error("a shard twice is no mistake")
	}
}

// same compares what two summaries say of the plan, not of when and where.
func same(t *testing.T, a, b Summary) {
	t.Helper()
	type findingKey struct {
		id                          string
		runs, tries, reproduced     int
		first, last                 int
		firstSeed, lastSeed         uint64
		why, firstCommand, lastCell string
	}
	keys := func(s Summary) []findingKey {
		var out []findingKey
		for _, f := range s.Findings {
			out = append(out, findingKey{f.ID, f.Runs, f.Tries, f.Reproduced, f.First.Run, f.Last.Run,
				f.First.Seed, f.Last.Seed, f.Why, f.First.Command, f.Last.Cell})
		}
		return out
	}
	if a.Outcome != b.Outcome || a.Reason != b.Reason || a.Runs != b.Runs ||
		a.CanaryRuns != b.CanaryRuns || !maps.Equal(a.Outcomes, b.Outcomes) {
		t.Errorf("%s, %d runs, %v: %s; other: %s, %d runs, %v: %s", a.Outcome, a.Runs, a.Outcomes,
			a.Reason, b.Outcome, b.Runs, b.Outcomes, b.Reason)
	}
	if !slices.Equal(keys(a), keys(b)) {
		t.Errorf("findings %+v; other %+v", keys(a), keys(b))
	}
	if !slices.Equal(a.Canaries, b.Canaries) || !slices.Equal(a.Doubts, b.Doubts) {
		t.Errorf("canaries %+v, doubts %+v; other %+v, %+v", a.Canaries, a.Doubts, b.Canaries, b.Doubts)
	}
	for i := range a.Cells {
		x, y := a.Cells[i], b.Cells[i]
		if x.ID != y.ID || !maps.Equal(x.Outcomes, y.Outcomes) {
			t.Errorf("%s: %v; other %s: %v", x.ID, x.Outcomes, y.ID, y.Outcomes)
		}
	}
}
