package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/run"
)

// role makes the test's own program something else: a checker, or a soak.
const role = "ORDEAL_SOAK_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "checker":
		os.Exit(fakeChecker(os.Args[1:]))
	case "soak":
		os.Exit(soakProcess(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// The fake checker does what its number of clients says.
const (
	isValid = 20 + iota
	isUnknown
	isViolated
	crashes
	hangs
	hungry
	flaky     // its repetitions are invalid, valid, invalid, …
	late      // invalid, and then it crashes
	slow      // valid, after a while
	obedient  // runs until its leash is cut
	lying     // says valid, but its results do not
	untrusted // nothing was tested
)

// fakeChecker is a checker that tests nothing: it leaves a run as its arguments ask for.
func fakeChecker(args []string) int {
	flag := func(name string) string {
		if i := slices.Index(args, name); i >= 0 {
			return args[i+1]
		}
		return ""
	}
	seed, _ := strconv.ParseUint(flag("--seed"), 10, 64)
	clients, _ := strconv.Atoi(flag("--concurrency"))
	try := 0
	if args[0] == "replay" {
		t, err := run.LoadTest(args[1])
		if err != nil {
			fmt.Println(err)
			return 255
		}
		seed, clients = t.Config.Seed, t.Config.Concurrency
		_, _ = fmt.Sscanf(filepath.Base(flag("--store")), "r%d.%d", new(int), &try)
	}
	fmt.Println("the fake checker, seed", seed)
	dir := filepath.Join(flag("--store"), "fake-test", fmt.Sprint(time.Now().UnixNano()))
	cfg := run.Default()
	cfg.Cluster, cfg.Seed, cfg.Concurrency = "sim", seed, clients
	if clients == untrusted {
		fmt.Println("nothing was tested")
		return 2
	}
	leave(dir, "test.json", run.Test{
		Format: 1, Name: "fake-test", Started: time.Now(), Config: cfg,
		Repeat: fmt.Sprintf("checker test --concurrency %d --seed %d", clients, seed),
	})
	switch clients {
	case crashes:
		fmt.Println("the disk is on fire")
		return 3
	case hangs:
		select {}
	case hungry:
		eaten := make([]byte, 256<<20)
		for i := range eaten {
			eaten[i] = byte(i)
		}
		<-time.After(time.Minute)
		fmt.Println(len(eaten))
	case slow:
		<-time.After(300 * time.Millisecond)
	case obedient:
		_, _ = io.Copy(io.Discard, os.Stdin)
		leave(dir, "healed", true)
	case flaky:
		if try%2 == 0 {
			clients = isViolated
		}
	case late:
		leave(dir, "results.json", resultOf(isViolated, seed))
		return 255
	case lying:
		leave(dir, "results.json", resultOf(isUnknown, seed))
		return 0
	}
	r := resultOf(clients, seed)
	leave(dir, "results.json", r)
	leave(dir, "history.jsonl", strings.Repeat("x", 1000))
	return map[check.Verdict]int{check.Valid: 0, check.Invalid: 1, check.Unknown: 2}[r.Verdict]
}

// resultOf is a result as a checker writes it. What differs from seed to seed is accidental.
func resultOf(clients int, seed uint64) check.Result {
	leaf := check.Result{Name: "linearizable", Reason: "all is well"}
	switch clients {
	case isUnknown:
		leaf.Verdict, leaf.Reason = check.Unknown, fmt.Sprintf("%d of 5 faults left no evidence", seed%4)
	case isViolated:
		why := fmt.Sprintf("Process %d got read() = %d at %d.250 s on key c%d although write(%d) of "+
			"process %d (acknowledged at 1.2 s) had replaced it, and nothing put %d there after that.",
			seed%15, seed%97, seed%60, seed%9, seed%101, seed%13, seed%97)
		leaf.Verdict, leaf.Reason = check.Invalid, "not linearizable: "+why
		leaf.Counterexamples = []check.Counterexample{{
			Key: "c1", Why: why, Ops: []check.Op{
				{Call: 1, Return: 2, Type: "ok", F: "write"},
				{Call: 3, Return: 4, Type: "ok", F: "read", Culprit: true},
			},
		}}
	}
	return check.Result{
		Name: "register", Verdict: leaf.Verdict, Reason: leaf.Name + ": " + leaf.Reason,
		Parts: []check.Result{leaf},
	}
}

func leave(dir, name string, v any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
	}
	if err != nil {
		panic(err)
	}
}

// soakProcess is a soak in a process of its own, to be killed: plan, directory, runs, and how
// many at a time.
func soakProcess(args []string) int {
	os.Setenv(role, "checker")
	runs, _ := strconv.Atoi(args[2])
	parallel, _ := strconv.Atoi(args[3])
	shard, shards, err := ParseShard(args[4], os.Getenv)
	if err != nil {
		fmt.Println(err)
		return 254
	}
	plan, err := LoadPlan(args[0])
	if err != nil {
		fmt.Println(err)
		return 254
	}
	o := options(plan, args[1])
	o.Shard, o.Shards, o.Budget.Runs, o.Budget.Parallel = shard, shards, runs, parallel
	o.Out = os.Stdout
	if _, err := Run(context.Background(), o); err != nil {
		fmt.Println(err)
		return 255
	}
	return 0
}

func options(plan *Plan, dir string) Options {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return Options{
		Plan: plan, Dir: dir, Seed: 7, Shard: 1, Shards: 1, Program: []string{self},
		Out: io.Discard, Version: "test", Grace: 10 * time.Second, Now: time.Now,
		Abort: context.Background(),
	}
}

// entryOf is a part of a plan whose runs come out in one way.
func entryOf(name string, behavior int, more ...string) string {
	return fmt.Sprintf("  - {name: %s, concurrency: %d%s}\n", name, behavior,
		strings.Join(append([]string{""}, more...), ", "))
}

// planOf makes a plan for the fake checker.
func planOf(t testing.TB, head string, entries ...string) *Plan {
	t.Helper()
	text := "name: fake\nseed: 7\n" + head +
		"\ndefaults: {cluster: sim, time: 5s}\nmatrix:\n" + strings.Join(entries, "")
	p, err := ParsePlan("plan.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

// soakIt soaks a plan with the fake checker.
func soakIt(t *testing.T, o Options) Summary {
	t.Helper()
	sum, err := tryIt(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func tryIt(t *testing.T, o Options) (Summary, error) {
	t.Helper()
	t.Setenv(role, "checker")
	var out bytes.Buffer
	o.Out = &out
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", out.String())
		}
	})
	return Run(t.Context(), o)
}
