package workload

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

var update = flag.Bool("update", false, "rewrite the golden files; inspect the difference")

// story is a simulation whose steps are in the golden file.
type story struct {
	title string
	sim   Simulation
}

// rename appends x to an F, so that it shows that Map was there.
func rename(_ Context, op Op) Op {
	op.F += "x"
	return op
}

func even(t int) bool { return t%2 == 0 }

func stories() []story {
	say := func(title string, g Generator) story {
		return story{title: title, sim: Simulation{Generator: g, Respond: slowly(1)}}
	}
	second := time.Second
	list := []story{
		say("once: one operation", Once(f("a"))),
		say("limit 4: four", Limit(4, f("a"))),
		say("repeat 3: the first of the sequence, three times", Repeat(3, seq("a", "b"))),
		say("cycle 2: the sequence, twice", Cycle(2, seq("a", "b"))),
		say("cycle of nothing is done", Cycle(-1, Nothing())),
		say("concat: one after the other", Concat(seq("a", "b"), Nothing(), seq("c"))),
		say("phases: all threads are free between", Phases(Limit(4, f("a")), Limit(2, f("b")))),
		say("then: first, and when all are free, second", Then(Limit(2, f("a")), Once(f("b")))),
		say("flip-flop: in turn, until one is done", FlipFlop(f("a"), seq("b", "c"))),
		say("map, f-map, filter", Filter(func(op Op) bool { return op.F != "bx" },
			Map(rename, FMap(map[history.F]history.F{"a": "z"}, seq("a", "b", "c"))))),
		say("each-thread: a copy for each of three", EachThread(seq("a", "b"))),
		say("on-threads: 0 and 2 only, and phases sees only them",
			OnThreads(even, Phases(Limit(3, f("a")), Once(f("b"))))),
		say("on-threads without any thread is done",
			OnThreads(func(int) bool { return false }, f("a"))),
		say("reserve: one thread for a, two for b", Reserve(Nothing(),
			Range{Threads: 1, Gen: Limit(2, f("a"))}, Range{Threads: 2, Gen: Limit(3, f("b"))})),
		say("reserve within threads 1 and 2 counts from 1",
			OnThreads(func(t int) bool { return t > 0 }, Reserve(seq("rest"),
				Range{Threads: 1, Gen: Limit(2, f("a"))}))),
		say("reserve for threads that are not there is done",
			Reserve(f("rest"), Range{Threads: 3, Gen: Once(f("a"))}, Range{Threads: 5, Gen: f("b")})),
		say("any: the soonest", Any(Delay(4*time.Millisecond, Limit(3, f("slow"))),
			Delay(3*time.Millisecond, Limit(3, f("fast"))))),
		say("delay 2 ms: exactly", Delay(2*time.Millisecond, Limit(4, f("a")))),
		say("stagger 2 ms: on the average", Stagger(2*time.Millisecond, Limit(8, f("a")))),
		say("time-limit 3 ms from the first operation",
			Concat(Sleep(second), Synchronize(TimeLimit(3*time.Millisecond,
				Delay(time.Millisecond, f("a")))))),
		say("time-limit ends what is pending, too",
			Concat(TimeLimit(3*time.Millisecond, Concat(seq("a"), never{})), seq("b"))),
		say("sleep keeps one thread busy", Phases(Sleep(second), Once(f("a")))),
		say("log, then go on", Concat(Log("hello"), Once(f("a")))),
		say("cycle-times: 5 ms of a, 2 ms of b", TimeLimit(15*time.Millisecond, CycleTimes(
			Turn{Length: 5 * time.Millisecond, Gen: Delay(2*time.Millisecond, f("a"))},
			Turn{Length: 2 * time.Millisecond, Gen: Delay(time.Millisecond, f("b"))}))),
		say("concurrency-limit 2", Limit(5, ConcurrencyLimit(2, f("a")))),
		say("followed: the second was told of the first", Followed(Limit(2, f("a")),
			Limit(2, counting{}))),
		say("mix of one that is pending", Limit(3, Mix(never{}, f("a")))),
		say("any of one that is pending", Limit(3, Any(never{}, f("a")))),
		say("nothing but pending", never{}),
	}
	crashing := []story{
		say("until-ok: fail, info, ok", UntilOK(f("a"))),
		say("process-limit 5: three threads and two crashes", ProcessLimit(5, f("a"))),
		say("each-process: a fresh copy after info", EachProcess(seq("a", "b"))),
	}
	for i := range crashing {
		crashing[i].sim.Respond = imperfect()
		crashing[i].sim.MaxOps = 30
	}
	return append(list, crashing...)
}

// TestStories compares what the combinators do, step by step, with the golden file.
// If it fails, run with -update and read the difference: only what is meant may
// change.
func TestStories(t *testing.T) {
	var b strings.Builder
	for _, s := range stories() {
		out := simulate(t, s.sim)
		b.WriteString("# " + s.title + "\n" + show(out) + "\n")
	}
	compare(t, "combinators.txt", b.String())
}

func compare(t *testing.T, name, got string) {
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
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			t.Fatalf("%s differs at line %d\ngot  %s\nwant %s", path, i+1, g[i], w[min(i, len(w)-1)])
		}
	}
	t.Fatalf("%s has more lines than expected", path)
}

// TestMixWeights draws often enough that a wrong weight shows.
func TestMixWeights(t *testing.T) {
	g := WeightedMix(Weighted{Weight: 6, Gen: f("a")}, Weighted{Weight: 3, Gen: f("b")},
		Weighted{Weight: 1, Gen: f("c")}, Weighted{Weight: 0, Gen: f("never")})
	out := simulate(t, Simulation{Generator: Limit(10_000, g), Seed: 3})
	n := map[history.F]int{}
	for _, s := range out.Steps {
		n[s.Op.F]++
	}
	for name, want := range map[history.F]int{"a": 6000, "b": 3000, "c": 1000, "never": 0} {
		if d := n[name] - want; d < -200 || d > 200 {
			t.Errorf("%s: %d of 10000, want about %d", name, n[name], want)
		}
	}
}

// TestUpdatesReachAll: Jepsen's mix and flip-flop swallow updates; ours must not.
func TestUpdatesReachAll(t *testing.T) {
	for name, g := range map[string]Generator{
		"mix":         Mix(counting{}, f("a")),
		"any":         Any(counting{}, f("a")),
		"flip-flop":   FlipFlop(counting{}, f("a")),
		"cycle-times": CycleTimes(Turn{Length: time.Second, Gen: counting{}}),
		"stagger":     Stagger(1, counting{}),
		"time-limit":  TimeLimit(time.Hour, counting{}),
		"map":         Map(func(_ Context, op Op) Op { return op }, counting{}),
		"filter":      Filter(func(Op) bool { return true }, counting{}),
		"validate":    Validate("v", counting{}),
		"repeat":      Repeat(-1, counting{}),
		"cycle":       Cycle(-1, counting{}),
		"synchronize": Synchronize(counting{}),
		"until-ok":    UntilOK(Filter(func(Op) bool { return true }, counting{})),
		"reserve":     Reserve(counting{}),
		"seeded":      Seeded(1, counting{}),
	} {
		out := simulate(t, Simulation{
			Generator: Limit(20, g), Concurrency: 1,
			Respond: func(int, history.Event) Answer { return Answer{Type: history.Fail} },
		})
		var last int64
		for i, s := range out.Steps {
			if v, ok := s.Op.Value.AsInt(); ok && s.Op.F == "told" {
				last = v
				if v != int64(2*i) {
					t.Errorf("%s: told of %d events before step %d, want %d", name, v, i, 2*i)
				}
			}
		}
		if last < 20 {
			t.Errorf("%s: at the end it was told of %d events only", name, last)
		}
	}
}

// TestStaggerRate: the total rate is kept whatever the latency and the threads.
func TestStaggerRate(t *testing.T) {
	for _, latency := range []int{0, 1, 20} {
		g := TimeLimit(10*time.Second, Stagger(10*time.Millisecond, f("a")))
		out := simulate(t, Simulation{Generator: g, Concurrency: 20, Respond: slowly(latency)})
		if n := len(out.Steps); n < 900 || n > 1100 {
			t.Errorf("latency %d ms: %d operations in 10 s, want about 1000", latency, n)
		}
	}
}

// TestRushing: in a rush all threads are at work, and beside it the rate is what it was.
func TestRushing(t *testing.T) {
	rushes := []Rush{
		{From: -time.Second, To: -time.Millisecond}, // over before it begins
		{From: time.Second, To: 1100 * time.Millisecond},
		{From: 1050 * time.Millisecond, To: 1150 * time.Millisecond},
		{From: 9 * time.Second, To: 10 * time.Second}, // not reached
	}
	g := TimeLimit(3*time.Second, Rushing(10*time.Millisecond, rushes, f("a")))
	out := simulate(t, Simulation{Generator: g, Concurrency: 20, Respond: slowly(20)})
	begin := out.Steps[0].Time
	var before, within, after int
	for _, s := range out.Steps {
		switch at := time.Duration(s.Time - begin); {
		case at < time.Second:
			before++
		case at < 1150*time.Millisecond:
			within++
		default:
			after++
		}
	}
	// Twenty threads that take 20 ms are done seven times in 150 ms.
	if within < 7*20 || within > 8*20 {
		t.Errorf("%d operations in the rushes, want 140 to 160", within)
	}
	if before < 70 || before > 130 || after < 150 || after > 220 {
		t.Errorf("%d operations before and %d after the rushes, want about 100 and 185", before, after)
	}
}

// TestStaggerDoesNotBurst: after a stall of all threads, the plan is not made up for.
func TestStaggerDoesNotBurst(t *testing.T) {
	n := 0
	stall := func(int, history.Event) Answer {
		if n++; n <= 2 {
			return Answer{Type: history.OK, Latency: time.Second}
		}
		return Answer{Type: history.OK}
	}
	g := TimeLimit(2*time.Second, Stagger(10*time.Millisecond, f("a")))
	out := simulate(t, Simulation{Generator: g, Concurrency: 2, Respond: stall})
	if n := len(out.Steps); n < 70 || n > 130 {
		t.Errorf("%d operations in the second after the stall, want about 100", n)
	}
}

// TestThreadsShare: nobody is preferred when there is little to do.
func TestThreadsShare(t *testing.T) {
	g := Limit(1000, Delay(time.Millisecond, f("a")))
	out := simulate(t, Simulation{Generator: g, Concurrency: 5})
	n := make([]int, 5)
	for _, s := range out.Steps {
		n[s.Thread]++
	}
	for thread, c := range n {
		if c < 140 || c > 260 {
			t.Errorf("thread %d did %d of 1000", thread, c)
		}
	}
}

// TestValidate shows what a broken generator is told.
func TestValidate(t *testing.T) {
	op := func(op Op) Generator { return Func(func(Context) Op { return op }) }
	for _, c := range []struct {
		gen  Generator
		want string
	}{
		{op(Op{}), "generator demo: bad operation : no f"},
		{op(Op{F: "x", Key: "k", Value: history.Int(1)}), "bad operation x k 1: f is not one of [a b]"},
		{op(Op{F: "a", At: -1}), "bad operation a: time -1 is negative"},
		{op(Op{Kind: OpSleep}), "bad operation sleep 0s: sleep needs nanoseconds"},
		{op(Op{Kind: OpLog}), `bad operation log "": log needs a text`},
		{op(Op{Kind: 9}), "operation of kind 9"},
		{Filter(func(Op) bool { return false }, f("a")), "nothing passed in 10000 operations"},
		{noSuccessor{}, "generator demo: no successor"},
		{panicking{}, "panicked: oops"},
	} {
		_, err := Simulate(Simulation{Generator: Validate("demo", c.gen, "a", "b"), Concurrency: 1})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	out := simulate(t, Simulation{Generator: Validate("demo", seq("a", "b"), "a", "b")})
	if fs(out) != "a b" {
		t.Errorf("a good generator gave %q", fs(out))
	}
}

type noSuccessor struct{ never }

func (noSuccessor) Next(Context) (Step, Generator) { return Do(Op{F: "a"}), nil }

type panicking struct{ never }

func (panicking) Next(Context) (Step, Generator) { panic("oops") }

// TestProcesses: an info makes a new process of the same thread.
func TestProcesses(t *testing.T) {
	out := simulate(t, Simulation{
		Generator: Limit(9, f("a")), Concurrency: 2, Respond: imperfect(),
	})
	last := map[int64]history.Process{0: 0, 1: 1}
	for i := range out.Events {
		ev := &out.Events[i]
		thread := int64(ev.Process) % 2
		if ev.Process != last[thread] {
			t.Errorf("event %d is of process %d, want %d", i, ev.Process, last[thread])
		}
		if ev.Type == history.Info {
			last[thread] += 2
		}
	}
	if last[0]+last[1] != 1+3*2 {
		t.Errorf("three infos left processes %v", last)
	}
	if _, err := history.New(out.Events...); err != nil {
		t.Error(err)
	}
}
