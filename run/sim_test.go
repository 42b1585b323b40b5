package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports/live"
	"github.com/ordeal-dev/ordeal/systems"
)

// simulation is a test in virtual time.
func simulation(t *testing.T, protocol string, seed uint64) Config {
	cfg := Default()
	cfg.Store, cfg.Cluster, cfg.Protocol, cfg.Workload = t.TempDir(), "sim", protocol, ""
	cfg.Seed, cfg.Rate, cfg.TimeLimit = seed, 50, 20*time.Second
	if err := cfg.ChooseWorkload(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func simulate(t *testing.T, cfg Config) (Outcome, []byte) {
	t.Helper()
	out, err := Run(t.Context(), cfg, testEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out.Dir, historyFile))
	if err != nil {
		t.Fatal(err)
	}
	return out, b
}

// golden is the hash of the history of one run. On another machine, with another operating
// system, and under the race detector it has to be the same. It changes when
// the protocol, the workload, these faults or the simulation do; then the test prints it.
const golden = "7ca01993c2260805fa14846a51d04d3e2a68780b37edd49a70ab514be9fd4254"

func TestSimulationIsTheSameEverywhere(t *testing.T) {
	cfg := simulation(t, "quorum", 20261126)
	cfg.Schedule = filepath.Join(t.TempDir(), "faults.jsonl")
	steps := `{"at":"1s","for":"3s","fault":"partition","shape":"ring","seed":1}
{"at":"3s","for":"3s","fault":"messages","seed":2}
{"at":"5s","for":"2s","fault":"kill-all","seed":3}
{"at":"9s","for":"3s","fault":"clock-drift","target":"minority","seed":4}
{"at":"13s","for":"3s","fault":"disk-torn","seed":5}
`
	if err := os.WriteFile(cfg.Schedule, []byte(steps), 0o644); err != nil {
		t.Fatal(err)
	}
	out, history := simulate(t, cfg)
	if out.Result.Verdict == check.Invalid {
		t.Errorf("invalid: %s", out.Result.Reason)
	}
	sum := sha256.Sum256(history)
	if got := hex.EncodeToString(sum[:]); got != golden {
		t.Errorf("the history's hash is %s, want %s", got, golden)
	}
}

// TestSimulationRepeats: same seed, same history, byte for byte, also where the Go
// scheduler has less to choose from.
func TestSimulationRepeats(t *testing.T) {
	cfg := simulation(t, "paxos", 7)
	cfg.Faults = []string{"all", "clock", "disk", "admin"}
	_, first := simulate(t, cfg)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if _, second := simulate(t, cfg); !bytes.Equal(first, second) {
		t.Errorf("the second run is another one: %s", difference(first, second))
	}
}

// difference tells the first line in which two histories differ.
func difference(a, b []byte) string {
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return fmt.Sprintf("line %d: %s / %s", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

// TestSimulatedFaultsBite: every kind of fault but those of hosts is possible, leaves its
// evidence, and is healed.
func TestSimulatedFaultsBite(t *testing.T) {
	for protocol, kinds := range kindsByProtocol(t) {
		t.Run(protocol, func(t *testing.T) {
			if len(kinds) > 8 {
				kinds = longtest.Of(kinds[len(kinds)-8:], kinds)
			}
			cfg := simulation(t, protocol, 5)
			cfg.Rate = 200 // so that what happens to few messages happens to some
			cfg.Schedule = filepath.Join(t.TempDir(), "faults.jsonl")
			var b strings.Builder
			for i, k := range kinds {
				// One after the other, with time to recover.
				fmt.Fprintf(&b, `{"id":%d,"at":"%ds","for":"3s","fault":%q,"seed":%d}`+"\n",
					i+1, 2+6*i, k, i+1)
			}
			cfg.TimeLimit = time.Duration(4+6*len(kinds)) * time.Second
			if err := os.WriteFile(cfg.Schedule, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			out, _ := simulate(t, cfg)
			if out.Result.Verdict == check.Invalid {
				t.Errorf("invalid: %s", out.Result.Reason)
			}
			summary, err := nemesis.LoadSummary(filepath.Join(out.Dir, ledgerFile))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range summary.Faults {
				if !f.Injected || !f.Bit || !f.Healed {
					t.Errorf("fault %s: %+v", f.Step.Fault, f)
				}
			}
			if len(summary.Faults) != len(kinds) || summary.Final == nil || !summary.Final.Bit {
				t.Errorf("%d faults, in the end %+v", len(summary.Faults), summary.Final)
			}
		})
	}
}

// kindsByProtocol gives each kind of fault to a protocol that can have it.
func kindsByProtocol(t *testing.T) map[string][]string {
	out := map[string][]string{}
	for _, k := range nemesis.Kinds() {
		protocol := "paxos"
		switch {
		case k.Host != "":
			continue // these nodes have no hosts
		case strings.Contains(k.Name, "wipe"):
			protocol = "quorum"
		case slices.Contains(k.Admin, nemesis.AdminMove):
			protocol = "dmvcc-quorum"
		}
		out[protocol] = append(out[protocol], k.Name)
	}
	if len(out) != 3 {
		t.Fatalf("kinds of faults for %d protocols", len(out))
	}
	return out
}

// TestSimulatedProtocols: every protocol runs with the first workload of its claim, or
// with SIM_SEEDS with each of them, and none is found invalid.
func TestSimulatedProtocols(t *testing.T) {
	for at, p := range systems.Protocols() {
		workloads := p.Workloads
		if os.Getenv("SIM_SEEDS") == "" {
			workloads = workloads[:1]
		}
		for i, w := range workloads {
			t.Run(p.Name+"/"+w, func(t *testing.T) {
				longtest.Sample(t, at, 3)
				cfg := simulation(t, p.Name, uint64(100+i))
				cfg.Workload, cfg.TimeLimit, cfg.Faults = w, 3*time.Second, p.Faults
				out, _ := simulate(t, cfg)
				if out.Result.Verdict == check.Invalid {
					t.Errorf("invalid: %s", out.Result.Reason)
				}
				if len(out.Test.Notes) > 0 {
					t.Errorf("notes: %q", out.Test.Notes)
				}
			})
		}
	}
}

// TestSimulatedBug: what is wrong with a protocol shows in virtual time as well, and the
// test ends there.
func TestSimulatedBug(t *testing.T) {
	cfg := simulation(t, "paxos", 3)
	cfg.Bug, cfg.StopOnViolation, cfg.TimeLimit = "cli-timeout-as-fail", true, 5*time.Minute
	out, first := simulate(t, cfg)
	if out.Result.Verdict != check.Invalid || out.Test.Stopped == "" {
		t.Errorf("verdict %s, stopped %q", out.Result.Verdict, out.Test.Stopped)
	}
	if _, second := simulate(t, cfg); !bytes.Equal(first, second) {
		t.Errorf("the second run is another one: %s", difference(first, second))
	}
	cfg.Bug = "abd-no-write-back"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "not to protocol paxos") {
		t.Errorf("a bug of another protocol: %v", err)
	}
}

// follower looks, whenever a test says something, at what others can see of it.
type follower struct {
	store string
	seen  map[string]live.Snapshot // by what was said
}

func (f *follower) Write(said []byte) (int, error) {
	dirs, err := filepath.Glob(filepath.Join(f.store, "*", "*", live.FileName))
	if err != nil || len(dirs) == 0 {
		return len(said), err
	}
	follow, err := live.Follow(filepath.Dir(dirs[0]))
	if err != nil {
		return 0, err
	}
	word, _, _ := strings.Cut(string(said), " ")
	snap, err := follow.Look(time.Now())
	f.seen[word] = snap
	return len(said), err
}

// TestSimulationIsFollowed: how a test in virtual time goes can be seen from outside, and
// no trace of that stays.
func TestSimulationIsFollowed(t *testing.T) {
	cfg := simulation(t, "paxos", 3)
	cfg.Bug, cfg.StopOnViolation, cfg.TimeLimit = "cli-timeout-as-fail", true, 5*time.Minute
	f := &follower{store: cfg.Store, seen: map[string]live.Snapshot{}}
	env := testEnv(t)
	env.Out = f
	out, err := Run(t.Context(), cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	snap := f.seen["violation"]
	if snap.State != "running" || snap.Phase != live.PhaseWorkload || snap.Counts.OK == 0 {
		t.Errorf("at the violation others saw %s, %q, %d successes", snap.State, snap.Phase,
			snap.Counts.OK)
	}
	if _, err := os.Stat(filepath.Join(out.Dir, live.FileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the status is still there: %v", err)
	}
}

// TestNobodyRestsInTheEnd: transactions that --txn-pause has rest do so until all is healed.
func TestNobodyRestsInTheEnd(t *testing.T) {
	cfg := simulation(t, "mvcc-si", 3)
	cfg.TimeLimit, cfg.TxnPause, cfg.OpTimeout = 15*time.Second, 2*time.Second, 4*time.Second
	out, _ := simulate(t, cfg)
	test, err := LoadTest(out.Dir)
	if err != nil {
		t.Fatal(err)
	}
	h, err := history.Load(filepath.Join(out.Dir, historyFile))
	if err != nil {
		t.Fatal(err)
	}
	healed := history.Never
	for _, p := range test.Phases {
		if p.Name == phaseRecovery {
			healed = p.End
		}
	}
	rests, final := 0, 0
	for _, op := range h.Ops {
		long := op.Type == history.OK && op.Return-op.Call >= history.Time(cfg.TxnPause)
		switch {
		case op.Call < healed && long:
			rests++
		case op.Call >= healed && long:
			t.Errorf("the transaction %d rested in the end", op.Index)
		case op.Call >= healed:
			final++
		}
	}
	if rests == 0 || final < 50 {
		t.Errorf("%d rested before, %d operations in the end", rests, final)
	}
}

// TestReplay: a stored run of the simulator is repeated bit for bit, and where it is not,
// that is told.
func TestReplay(t *testing.T) {
	cfg := simulation(t, "quorum", 8)
	cfg.TimeLimit, cfg.Noise, cfg.Rush = 10*time.Second, true, true
	out, history := simulate(t, cfg)
	r, err := Replay(t.Context(), out.Dir, t.TempDir(), testEnv(t))
	if err != nil || !r.Exact || !r.Same || r.Bytes != len(history) || r.Dir == out.Dir {
		t.Errorf("replayed %+v, error %v", r, err)
	}
	// The files that its own command names are its own, and stay.
	again, err := LoadTest(r.Dir)
	if own := filepath.Join(r.Dir, scheduleFile); err != nil || !strings.Contains(again.Repeat, own) {
		t.Errorf("repeat: %s, want the schedule %s (%v)", again.Repeat, own, err)
	}
	history[len(history)/2] ^= 1
	if err := os.WriteFile(filepath.Join(out.Dir, historyFile), history, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err = Replay(t.Context(), out.Dir, t.TempDir(), testEnv(t))
	if !errors.Is(err, ErrOtherHistory) || r.Same || r.Result == nil ||
		!strings.Contains(r.Difference, "line ") {
		t.Errorf("replayed %+v, error %v", r, err)
	}
}

// TestOperationsAreRepeated: the operations of a run, done again at their times under the same
// faults, before and after healing, make almost the same history; shrinking rests on that.
func TestOperationsAreRepeated(t *testing.T) {
	cfg := simulation(t, "paxos", 3)
	cfg.TimeLimit = 10 * time.Second
	out, first := simulate(t, cfg)
	s, _, err := newShrinker(t.Context(), invalid(t, out.Dir), DefaultShrink("sim"), testEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(s.dir)
	again, err := s.put(s.best, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	again.Store, again.TimeLimit = t.TempDir(), cfg.TimeLimit
	_, second := simulate(t, again)
	a, b := strings.Split(string(first), "\n"), strings.Split(string(second), "\n")
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	if same < len(a)*9/10 {
		t.Errorf("the first %d of %d lines are the same, then %s instead of %s", same, len(a),
			b[same], a[same])
	}
}

// invalid makes a stored run one that found something.
func invalid(t *testing.T, dir string) string {
	r, err := LoadResult(dir)
	if err != nil {
		t.Fatal(err)
	}
	r.Verdict, r.Parts = check.Invalid, nil
	if err := writeJSON(filepath.Join(dir, resultsFile), r); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestShrink: what is left shows the violation, is small, and can be replayed itself.
func TestShrink(t *testing.T) {
	longtest.Only(t)
	cfg := simulation(t, "paxos", 3)
	cfg.Bug, cfg.Rate = "cli-timeout-as-fail", 100
	out, _ := simulate(t, cfg)
	if out.Result.Verdict != check.Invalid {
		t.Fatalf("verdict %s: %s", out.Result.Verdict, out.Result.Reason)
	}
	small, size, err := Shrink(t.Context(), out.Dir, DefaultShrink("sim"), testEnv(t))
	if err != nil || small.Result == nil || small.Result.Verdict != check.Invalid {
		t.Fatalf("shrunk to %+v, error %v", small, err)
	}
	if size.Operations[1] > 20 || size.Faults[1] > 2 || !size.Whole ||
		size.Operations[0] < 1000 || size.Faults[0] < 2 {
		t.Errorf("%s", size)
	}
	for _, dir := range []string{out.Dir, small.Dir} {
		page, err := os.ReadFile(filepath.Join(dir, reportFile))
		if err != nil || !strings.Contains(string(page), "operations of 15 clients") {
			t.Errorf("the report of %s does not tell of it (%v)", dir, err)
		}
	}
	r, err := Replay(t.Context(), small.Dir, t.TempDir(), testEnv(t))
	if err != nil || !r.Same {
		t.Errorf("the shrunk run is not the same again: %v", err)
	}
	if s, err := readScript(filepath.Join(small.Dir, operationsFile)); err != nil ||
		s.size() != size.Operations[1] {
		t.Errorf("%d operations are stored, want %d (%v)", s.size(), size.Operations[1], err)
	}
}

// TestShrinkNothing: a run without a violation is refused.
func TestShrinkNothing(t *testing.T) {
	cfg := simulation(t, "quorum", 8)
	cfg.TimeLimit = 3 * time.Second
	out, _ := simulate(t, cfg)
	_, _, err := Shrink(t.Context(), out.Dir, DefaultShrink("sim"), testEnv(t))
	if err == nil || !strings.Contains(err.Error(), "no violation") {
		t.Errorf("error %v", err)
	}
}
