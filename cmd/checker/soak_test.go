package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/run"
	"github.com/ordeal-dev/ordeal/soak"
)

// TestSoakKilled: a soak of real runs, simulated and on processes, that is killed at random
// moments has each run once in the end, and leaves no process. $ORDEAL_SOAK_KILLS is how
// often it is killed.
func TestSoakKilled(t *testing.T) {
	t.Parallel()
	kills, runs := longtest.Of(1, 3), longtest.Of(5, 16)
	if text := os.Getenv("ORDEAL_SOAK_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	target, err := run.BuildTarget(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	plan, out := filepath.Join(dir, "plan.yaml"), filepath.Join(dir, "soak")
	text := `name: killed
seed: 11
budget: {parallel: 2}
repeat: 1
defaults: {cluster: sim, rate: 50, time: 15s}
matrix:
  - {protocol: [paxos, quorum, 2pc], weight: 2}
  - {name: bug, protocol: paxos, bug: cli-error-as-ok, time: 1m, stop_on_violation: true}
  - {name: processes, cluster: local, nodes: 3, protocol: paxos, concurrency: 3, rate: 20, time: 5s}
`
	if err := os.WriteFile(plan, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("moments by seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	args := []string{"soak", plan, "--out", out, "--runs", strconv.Itoa(runs), "--target", target}
	for range kills {
		// Later than it takes to start, so that something was under way.
		after := time.Duration(500+rng.IntN(4000)) * time.Millisecond
		if status := runFor(t, after, args); status >= 0 {
			break
		}
	}
	// 254: it was over before the last kill. Busy machines make runs of processes unknown.
	if status := runFor(t, 5*time.Minute, args); status != exitInvalid && status != exitUsage {
		t.Errorf("exit status %d, want %d: the planted bug is found", status, exitInvalid)
	}
	state, err := soak.LoadState(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d runs were cut off", state.Interrupted)
	seeds := map[uint64]bool{}
	for n := 1; n <= runs; n++ {
		e, ok := state.Ended[soak.Attempt{Run: n}]
		if !ok {
			t.Errorf("run %d is lost", n)
			continue
		}
		seeds[e.Seed] = true
		stored, err := run.LoadTest(filepath.Join(out, filepath.FromSlash(e.Files)))
		if err != nil || stored.Config.Seed != e.Seed {
			t.Errorf("run %d has seed %d, its files %d: %v", n, e.Seed, stored.Config.Seed, err)
		}
	}
	all, err := filepath.Glob(filepath.Join(out, "store", "*", "*", "test.json"))
	if len(all) != len(state.Ended) || len(seeds) != runs || err != nil {
		t.Errorf("%d runs in the store, %d in the journal, %d seeds: %v", len(all), len(state.Ended),
			len(seeds), err)
	}
	if err := await(20*time.Second, func() bool { return len(processes(out)) == 0 }); err != nil {
		t.Errorf("still running: %v", processes(out))
	}
}

// runFor runs the checker, kills it with SIGKILL after a while, and returns its exit status,
// -1 if it was killed.
func runFor(t *testing.T, after time.Duration, args []string) int {
	t.Helper()
	cmd := exec.Command("checker", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if status := cmd.ProcessState.ExitCode(); status != exitCrash {
		return status
	}
	t.Fatalf("the soak failed:\n%s", out.String())
	return 0
}

// TestSoakMetrics: what Prometheus is told while a soak goes on.
func TestSoakMetrics(t *testing.T) {
	dir := t.TempDir()
	plan := filepath.Join(dir, "plan.yaml")
	text := "name: scraped\nseed: 1\nmatrix: {cluster: sim, rate: 50, time: 20s}\n"
	if err := os.WriteFile(plan, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("checker", "soak", plan, "--runs", "3", "--out", filepath.Join(dir, "soak"),
		"--metrics", "127.0.0.1:0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("http://127.0.0.1:")) {
		t.Errorf("it does not say where it answers:\n%s", out)
	}
	var sum soak.Summary
	b, err := os.ReadFile(filepath.Join(dir, "soak", "summary.json"))
	if err == nil {
		err = json.Unmarshal(b, &sum)
	}
	if err != nil || sum.Runs != 3 {
		t.Errorf("%d runs, %v", sum.Runs, err)
	}
	metrics, err := os.ReadFile(filepath.Join(dir, "soak", "metrics.prom"))
	want := fmt.Sprintf(`ordeal_soak_operations_total{soak="scraped"} %d`, sum.Operations)
	if err != nil || !bytes.Contains(metrics, []byte(want)) {
		t.Errorf("%v: no %s in\n%s", err, want, metrics)
	}
}
