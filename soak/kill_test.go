package soak

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestKilled: a soak that is killed with SIGKILL at random moments comes to the end all the
// same: its journal has each run once, with the seed that it was to have, its store has the
// files of each, and nothing else is left.
func TestKilled(t *testing.T) {
	const runs, repeats = 20, 2
	kills := 6
	if text := os.Getenv("ORDEAL_SOAK_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	plan := planOf(t, fmt.Sprintf("repeat: %d", repeats), entryOf("good", isValid, "weight: 2"),
		entryOf("slow", slow), entryOf("unknown", isUnknown), entryOf("flaky", flaky),
		entryOf("canary", isViolated, "canary: true, bug: cli-timeout-as-fail"))
	path, out := filepath.Join(dir, "plan.yaml"), filepath.Join(dir, "soak")
	if err := os.WriteFile(path, plan.Text, 0o644); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("moments by seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	ended, killed := false, 0
	for ; !ended && killed < kills; killed++ {
		// One in four while it starts or recovers, the others amid its runs.
		amid := rng.IntN(4) > 0
		ended = killedSoak(t, path, out, runs, amid, time.Duration(rng.IntN(250))*time.Millisecond)
	}
	if !ended && !killedSoak(t, path, out, runs, false, 2*time.Minute) {
		t.Fatal("it did not come to its end")
	}
	state, err := LoadState(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("killed %d times, %d runs were cut off", killed, state.Interrupted)
	complete(t, state, plan, runs)
	sum := summarize([]*State{state})
	whole := options(plan, t.TempDir())
	whole.Budget = Budget{Runs: runs, Parallel: 1}
	same(t, soakIt(t, whole), sum)
}

// killedSoak runs a soak as a process of its own and kills it after a while, counted from the
// first run that it begins if it is to be amid its runs, unless it ended before.
func killedSoak(
	t *testing.T, plan, dir string, runs int, amid bool, after time.Duration,
) (ended bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, plan, dir, strconv.Itoa(runs), "3", "1/1")
	cmd.Env = append(os.Environ(), role+"=soak")
	cmd.Stderr = os.Stderr
	if testing.Verbose() {
		cmd.Stdout = os.Stdout
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	before := begun(dir)
	go func() { done <- cmd.Wait() }()
	for amid && begun(dir) == before && len(done) == 0 {
		<-time.After(5 * time.Millisecond)
	}
	select {
	case err = <-done:
	case <-time.After(after):
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		err = <-done
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		t.Fatalf("the soak failed: %v", err)
	}
	return err == nil
}

// begun counts the runs that a journal says were begun.
func begun(dir string) int {
	b, _ := os.ReadFile(filepath.Join(dir, journalFile)) // at first there is none
	return bytes.Count(b, []byte(`"type":"begin"`))
}

// complete proves that a soak has every run once, and that its files are where it says.
func complete(t *testing.T, s *State, plan *Plan, runs int) {
	t.Helper()
	d := newDeck(s.Seed, plan.Cells)
	for n := 1; n <= runs; n++ {
		e, ok := s.Ended[Attempt{Run: n}]
		if !ok {
			t.Errorf("run %d is lost", n)
			continue
		}
		if want := d.cell(n); e.Cell != want.ID || e.Seed != runSeed(s.Seed, n) {
			t.Errorf("run %d was of %s with seed %d", n, e.Cell, e.Seed)
		}
	}
	discovered := len(s.discoverers())
	if want := runs + discovered*s.Repeat; len(s.Ended) != want || len(s.Order) != want {
		t.Errorf("%d results of %d, want %d", len(s.Ended), len(s.Order), want)
	}
	if len(s.Open) > 0 {
		t.Errorf("%v are still open", s.Open)
	}
	files := map[string]bool{}
	for _, e := range s.Ended {
		files[filepath.Join(s.Dir, filepath.FromSlash(e.Files))] = true
	}
	stored, err := filepath.Glob(filepath.Join(s.Dir, storeDir, "*", "*", "test.json"))
	if err != nil || len(stored) != len(files) || len(files) != len(s.Ended) {
		t.Errorf("%d runs in the store, %d in the journal with %d places: %v", len(stored),
			len(s.Ended), len(files), err)
	}
	for _, test := range stored {
		if !files[filepath.Dir(test)] {
			t.Errorf("%s is nobody's", test)
		}
	}
	if left, err := os.ReadDir(filepath.Join(s.Dir, workDir)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestTornJournal: what a killed writer left of a line never counted, and a line that cannot
// be is no soak's.
func TestTornJournal(t *testing.T) {
	dir := t.TempDir()
	o := options(planOf(t, "budget: {runs: 2}", entryOf("good", isValid)), dir)
	soakIt(t, o)
	path := filepath.Join(dir, journalFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	torn := append([]byte(nil), whole...)
	torn = append(torn, `{"type":"end","run":9,"reco`...)
	if err := os.WriteFile(path, torn, 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err := LoadState(dir); err != nil || len(s.Ended) != 2 {
		t.Errorf("torn: %v", err)
	}
	o.Budget.Runs = 3
	if sum := soakIt(t, o); sum.Runs != 3 {
		t.Errorf("after a torn line: %d runs, want 3", sum.Runs)
	}
	for _, line := range []string{
		`{"type":"end","run":1,"record":{"outcome":"valid"}}`, `{"type":"begin","run":2}`,
		`{"type":"plan","format":1}`, `nonsense`, `{"type":"tea"}`,
	} {
		text := append(append([]byte(nil), whole...), line+"\n"...)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadState(dir); err == nil {
			t.Errorf("%s: no mistake", line)
		}
	}
}

// TestAlone: two processes do not work at one soak.
func TestAlone(t *testing.T) {
	dir := t.TempDir()
	j, err := openJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.close() }()
	o := options(planOf(t, "budget: {runs: 2}", entryOf("good", isValid)), dir)
	if _, err := tryIt(t, o); !errors.Is(err, errWorking) {
		t.Errorf("%v, want %v", err, errWorking)
	}
}
