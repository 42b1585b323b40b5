package run

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports"
	"github.com/ordeal-dev/ordeal/reports/store"
)

var started = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestValidateListsEverything: one look at the message is enough to mend a
// configuration.
func TestValidateListsEverything(t *testing.T) {
	c := Default()
	c.Workload, c.Cluster, c.Nodes, c.Concurrency = "banc", "moon", 0, 0
	c.TimeLimit, c.Rate, c.Interval = 0, -1, 0
	c.OpTimeout, c.BasePort = c.RequestTimeout, -1
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`workload "banc"`, `cluster "moon"`, "nodes is 0", "concurrency is 0", "time limit is 0s",
		"rate is -1", "interval is 0s", "op timeout", "base port is -1",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %q", want, err)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
}

func TestCreateDir(t *testing.T) {
	store := t.TempDir()
	var wg sync.WaitGroup
	dirs := make([]string, 8)
	for i := range dirs {
		wg.Go(func() {
			var err error
			if dirs[i], err = createDir(store, "test", started); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(dirs)
	if n := len(slices.Compact(dirs)); n != 8 {
		t.Errorf("8 runs in one millisecond share %d directories", n)
	}
	latest, err := filepath.EvalSymlinks(filepath.Join(store, latestLink))
	if err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(store)
	if err != nil {
		t.Fatal(err)
	}
	if rel, err := filepath.Rel(real, latest); err != nil || filepath.Dir(rel) != "test" {
		t.Errorf("latest is %s", latest)
	}
}

// fakeRun makes a run's directory by hand.
func fakeRun(t *testing.T, change func(*Test), history, ledger string) string {
	t.Helper()
	cfg := Default()
	cfg.Workload, cfg.Seed = "register", 7
	test := Test{
		Format: testFormat, Name: cfg.Name(), Started: started, Config: cfg,
		Claim: "linearizable", System: "reference paxos", Nodes: []string{"n1"},
	}
	test.Phases = []reports.Phase{{Name: "workload beside nemesis", End: 5}}
	change(&test)
	dir, err := createDir(t.TempDir(), test.Name, started)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(filepath.Join(dir, testFile), test); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{historyFile: history, ledgerFile: ledger} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	header = `{"ordeal":"history","format":1}
`
	write = header + `{"index":0,"time":1,"process":0,"type":"invoke","f":"write","key":"x","value":1}
{"index":1,"time":2,"process":0,"type":"ok","f":"write","key":"x","value":1}
{"index":2,"time":3,"process":1,"type":"invoke","f":"read","key":"x","value":null}
`
	fresh = write + `{"index":3,"time":4,"process":1,"type":"ok","f":"read","key":"x","value":1}
`
	stale = write + `{"index":3,"time":4,"process":1,"type":"ok","f":"read","key":"x","value":null}
`
)

// TestCheck: what a run's directory holds decides the verdict, whatever became of
// its checker.
func TestCheck(t *testing.T) {
	limits := CheckLimits{Time: time.Minute, Memory: 1 << 30}
	whole := func(*Test) {}
	cut := func(test *Test) { test.Phases = nil }
	noted := func(test *Test) { test.Notes = []string{"node n1 ended by itself"} }
	for _, c := range []struct {
		name    string
		change  func(*Test)
		history string
		want    check.Verdict
		reason  string
	}{
		{"nothing before the kill", cut, header, check.Unknown, "cut off"},
		{"cut off", cut, fresh, check.Unknown, "cut off"},
		{"cut off and torn", cut, fresh[:len(fresh)-9], check.Unknown, "cut off"},
		{"stale", whole, stale, check.Invalid, "key x"},
		{"stale and cut off", cut, stale, check.Invalid, "key x"},
		{"stale and noted", noted, stale, check.Invalid, "key x"},
		{"noted", noted, fresh, check.Unknown, "ended by itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fakeRun(t, c.change, c.history, "")
			out, err := Check(t.Context(), dir, limits)
			if err != nil {
				t.Fatal(err)
			}
			if out.Result.Verdict != c.want || !strings.Contains(out.Result.Reason, c.reason) {
				t.Errorf("%s: %s", out.Result.Verdict, out.Result.Reason)
			}
			for _, name := range []string{resultsFile, junitFile, reportFile} {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestReportFromStore: the stored result makes the same page as the check did,
// Porcupine's view included.
func TestReportFromStore(t *testing.T) {
	dir := fakeRun(t, func(*Test) {}, stale, "")
	out, err := Check(t.Context(), dir, CheckLimits{Time: time.Minute, Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(out.Report)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(first), `<details class="porcupine">`) {
		t.Error("Porcupine's view is missing")
	}
	if err := os.Remove(out.Report); err != nil {
		t.Fatal(err)
	}
	again, err := Report(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(again.Report)
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Error("the page made from the store differs")
	}
}

func TestBadRuns(t *testing.T) {
	newer := fakeRun(t, func(test *Test) { test.Format = testFormat + 1 }, fresh, "")
	empty := fakeRun(t, func(*Test) {}, "", "")
	for dir, want := range map[string]string{
		t.TempDir(): "is no run",
		newer:       "use a newer checker",
		empty:       historyFile,
	} {
		out, err := Check(t.Context(), dir, CheckLimits{Time: time.Minute})
		if err == nil || !strings.Contains(err.Error(), want) || out.Result != nil {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
	s, err := store.Open(filepath.Dir(filepath.Dir(empty)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs()
	if err != nil || len(runs) != 1 || runs[0].State != store.Unjudged {
		t.Errorf("listed %v, %v", runs, err)
	}
}

// TestHeal ends a frozen process that a killed checker left behind, and only that
// one, and only when no checker works there; a clock that was bent is true again.
func TestHeal(t *testing.T) {
	dir := fakeRun(t, func(*Test) {}, header, "")
	marker := filepath.Join(dir, nodesDir, "n1", "data")
	left := exec.Command("/bin/sh", "-c", "echo up; read line", marker)
	left.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if _, err := left.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := left.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := left.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ledger, err := nemesis.OpenLedger(filepath.Join(dir, ledgerFile))
	if err != nil {
		t.Fatal(err)
	}
	record := nemesis.ProcessRecord{Node: "n1", PID: left.Process.Pid, Marker: marker}
	clock := filepath.Join(dir, nodesDir, "n1", "clock")
	bent := nemesis.Entry{Type: nemesis.EntryIntent, Fault: 1, Intent: &nemesis.Intent{
		What: "a bent clock", Undo: []string{nemesis.UndoClock + " n1"},
	}}
	if err := errors.Join(os.MkdirAll(filepath.Dir(clock), 0o755),
		os.WriteFile(clock, []byte(`{"freeze":true}`), 0o644), ledger.Append(bent),
		ledger.ProcessStarted(record), ledger.Close()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- left.Wait() }()

	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Heal(t.Context(), dir); !errors.Is(err, errRunning) {
		t.Errorf("beside a living checker: %v", err)
	}
	lock.release()
	lines, err := Heal(t.Context(), dir)
	if err != nil || len(lines) != 2 || !strings.Contains(lines[0], "ended process") ||
		lines[1] != "fault 1 (a bent clock) is over" {
		t.Errorf("healed %q, %v", lines, err)
	}
	if _, err := os.Stat(clock); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the clock file: %v", err)
	}
	<-ended
	lines, err = Heal(t.Context(), dir)
	if err != nil || !strings.Contains(strings.Join(lines, ""), "nothing to heal") {
		t.Errorf("healed again: %q, %v", lines, err)
	}
}

// TestInterrupted cancels a run in mid-fault: everything is healed and gone, and
// what was recorded is judged.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	target, err := BuildTarget(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	schedule := filepath.Join(dir, "faults.jsonl")
	steps := `{"at":"1s","for":"60s","fault":"pause","nodes":["n1"]}
{"at":"1s","for":"60s","fault":"partition","shape":"isolate","nodes":["n2"]}
`
	if err := os.WriteFile(schedule, []byte(steps), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.Store, cfg.Target, cfg.Schedule = filepath.Join(dir, "store"), target, schedule
	cfg.Protocol, cfg.Workload, cfg.Nodes, cfg.Rate = "quorum", "register", 3, 300
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		awaitText(t, filepath.Join(cfg.Store, latestLink, ledgerFile), `"type":"done"`, 2)
	}()
	out, err := Run(ctx, cfg, testEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(out.Test.Notes, "; ")
	if out.Result.Verdict != check.Unknown || !strings.Contains(notes, "interrupted") ||
		!strings.Contains(out.Result.Reason, "final reads: there were no final reads") {
		t.Errorf("%s: %s, notes %q", out.Result.Verdict, out.Result.Reason, notes)
	}
	entries, _, err := nemesis.ReadLedger(filepath.Join(out.Dir, ledgerFile))
	if err != nil {
		t.Fatal(err)
	}
	if left := nemesis.OutstandingIn(entries); !left.Empty() {
		t.Errorf("left behind: %+v", left)
	}
	var result check.Result
	b, err := os.ReadFile(filepath.Join(out.Dir, resultsFile))
	if err = errors.Join(err, json.Unmarshal(b, &result)); err != nil {
		t.Error(err)
	}
}
