package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports/live"
	"github.com/ordeal-dev/ordeal/reports/store"
)

// TestFaults is a whole run with a frozen node and one that is cut off: both faults
// leave evidence and are healed, a correct protocol is never found invalid, and
// nothing is left running.
func TestFaults(t *testing.T) {
	t.Parallel()
	target, err := BuildTarget(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := Default()
	cfg.Store, cfg.Target, cfg.Schedule = filepath.Join(dir, "store"), target,
		filepath.Join(dir, "faults.jsonl")
	cfg.Protocol, cfg.Workload, cfg.Nodes, cfg.Concurrency = "quorum", "register", 3, 6
	cfg.Rate, cfg.TimeLimit, cfg.Seed = 150, 4*time.Second, 11
	steps := `{"at":"1s","for":"1s","fault":"pause","nodes":["n1"]}
{"at":"2.2s","for":"1s","fault":"partition","shape":"isolate","nodes":["n2"]}
`
	if err := os.WriteFile(cfg.Schedule, []byte(steps), 0o644); err != nil {
		t.Fatal(err)
	}
	env := testEnv(t)
	told := check.Verdict(99)
	env.Judged = func(v check.Verdict) { told = v }
	out, err := Run(t.Context(), cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	if out.Result.Verdict == check.Invalid {
		t.Errorf("invalid: %s", out.Result.Reason)
	}
	if told != out.Result.Verdict {
		t.Errorf("told %s of %s", told, out.Result.Verdict)
	}
	summary, err := nemesis.LoadSummary(filepath.Join(out.Dir, ledgerFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range summary.Faults {
		if !f.Injected || !f.Bit || !f.Healed {
			t.Errorf("fault %d: %+v", f.Step.ID, f)
		}
	}
	if len(summary.Faults) != 2 || summary.Final == nil || !summary.Final.Bit {
		t.Errorf("%d faults, in the end %+v", len(summary.Faults), summary.Final)
	}
	ps, err := exec.Command("ps", "-A", "-ww", "-o", "command=").Output()
	if err != nil || strings.Contains(string(ps), out.Dir) {
		t.Errorf("%v, still running:\n%s", err, ps)
	}
	for _, p := range out.Test.Phases {
		if p.Error != "" || p.End < p.Start {
			t.Errorf("phase %+v", p)
		}
	}
	listedAs(t, cfg, out)
}

// listedAs: the store knows of the run what the run knows of itself, from the index alone.
func listedAs(t *testing.T, cfg Config, out Outcome) {
	t.Helper()
	s, err := store.Open(cfg.Store, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs()
	if err != nil || len(runs) != 1 {
		t.Fatalf("listed %+v, %v", runs, err)
	}
	r := runs[0]
	got := fmt.Sprint(r.State, r.Name, r.Seed, r.System, r.Bug, r.Workload, r.Faults, r.Cluster,
		r.Nodes, r.Concurrency, r.TimeLimit, r.Started.Equal(out.Test.Started), s.Dir(r.ID))
	want := fmt.Sprint(out.Result.Verdict, out.Test.Name, cfg.Seed, out.Test.System, cfg.Bug,
		cfg.Workload, []string{"schedule"}, cfg.Cluster, cfg.Nodes, cfg.Concurrency, cfg.TimeLimit, true,
		out.Dir)
	if got != want {
		t.Errorf("listed as %s, want %s", got, want)
	}
	if r.Operations == 0 || r.OK == 0 || r.Rate <= 0 || r.P50 <= 0 || r.P99 < r.P50 ||
		r.CheckTook <= 0 || r.Judged.IsZero() {
		t.Errorf("its numbers: %+v", r.Run)
	}
	results, err := os.ReadFile(filepath.Join(out.Dir, resultsFile))
	if err == nil {
		err = valid(published(t), results)
	}
	if err != nil {
		t.Errorf("its results are not as published: %v", err)
	}
	if _, err := os.Stat(filepath.Join(out.Dir, live.FileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a run that ended still looks alive: %v", err)
	}
}

// TestSeams is a whole run in which the clocks and the disk of real nodes are troubled:
// it is measured, and a node that ends because of it is no surprise.
func TestSeams(t *testing.T) {
	longtest.Only(t)
	t.Parallel()
	target, err := BuildTarget(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := Default()
	cfg.Store, cfg.Target, cfg.Schedule = filepath.Join(dir, "store"), target,
		filepath.Join(dir, "faults.jsonl")
	cfg.Protocol, cfg.Workload, cfg.Nodes, cfg.Concurrency = "quorum", "register", 3, 6
	cfg.Rate, cfg.TimeLimit, cfg.Seed = 150, 5*time.Second, 12
	steps := `{"at":"0.5s","for":"1s","fault":"clock-jump","nodes":["n1"],"params":{"offset":"-1h"}}
{"at":"1s","for":"2s","fault":"clock-drift","nodes":["n3"],"params":{"rate":1.5}}
{"at":"3s","for":"1s","fault":"disk-full","nodes":["n2"]}
`
	if err := os.WriteFile(cfg.Schedule, []byte(steps), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := Run(t.Context(), cfg, testEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(out.Test.Notes, "; "); out.Result.Verdict == check.Invalid ||
		strings.Contains(notes, "ended by itself") {
		t.Errorf("%s: %s; notes %s", out.Result.Verdict, out.Result.Reason, notes)
	}
	summary, err := nemesis.LoadSummary(filepath.Join(out.Dir, ledgerFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range summary.Faults {
		if !f.Injected || !f.Bit || !f.Healed {
			t.Errorf("fault %d: %+v", f.Step.ID, f)
		}
	}
	if len(summary.Faults) != 3 || summary.Final == nil || !summary.Final.Bit {
		t.Errorf("%d faults, in the end %+v", len(summary.Faults), summary.Final)
	}
	for _, name := range []string{"clock", "disk"} {
		left, err := filepath.Glob(filepath.Join(out.Dir, nodesDir, "*", name))
		if err != nil || len(left) > 0 {
			t.Errorf("files left: %v, %v", left, err)
		}
	}
}
