package workload

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/longtest"
)

// rough answers with random latencies around two milliseconds, fails one in twenty
// and leaves one in fifty unknown after a time limit, except during the first
// second.
func rough(seed uint64) func(int, history.Event) Answer {
	n := uint64(0)
	return func(_ int, op history.Event) Answer {
		n++
		r := randAt(seed, n)
		a := Answer{Type: history.OK, Latency: time.Duration(1 + r.IntN(4_000_000))}
		switch f := r.Split(1).Float(); {
		case op.Time < 1000*ms:
		case f < 0.05:
			a.Type = history.Fail
		case f < 0.07:
			a.Type, a.Latency = history.Info, 100*time.Millisecond
		}
		return a
	}
}

// keyLife is what happened to one key.
type keyLife struct {
	ops, fails, unknown, flying, peak int
	first, last                       history.Time
	values                            map[string]bool
	nodes                             map[int]bool
}

// lives follows the keys through a simulation on 5 nodes.
func lives(t *testing.T, out *Simulated, threads int) map[history.Key]*keyLife {
	t.Helper()
	keys := map[history.Key]*keyLife{}
	for i := range out.Events {
		ev := &out.Events[i]
		k := keys[ev.Key]
		if k == nil {
			k = &keyLife{first: ev.Time, values: map[string]bool{}, nodes: map[int]bool{}}
			keys[ev.Key] = k
		}
		switch ev.Type {
		case history.Invoke:
			k.ops++
			k.flying++
			k.peak = max(k.peak, k.flying)
			k.last = ev.Time
			k.nodes[int(ev.Process)%threads%5] = true
			if v := ev.Value.String(); ev.F == Write && k.values[v] {
				t.Errorf("%s is written to %s twice", v, ev.Key)
			} else if ev.F == Write {
				k.values[v] = true
			}
			continue
		case history.Fail:
			k.fails++
		case history.Info:
			if ev.F != Read {
				k.unknown++
			}
		}
		k.flying--
	}
	return keys
}

// TestKeysStayCheckable: whatever the system does, a key has few operations, few at
// a time, few of unknown outcome, and no value twice.
func TestKeysStayCheckable(t *testing.T) {
	for _, threads := range longtest.Of([]int{12}, []int{1, 5, 12, 40}) {
		for _, name := range []string{"register", "cas-register"} {
			w, err := Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Concurrency: threads, Nodes: 5, TimeLimit: 3 * time.Second, Rate: 1500}
			out := simulate(t, Simulation{
				Generator: w.Generator(o), Concurrency: threads, Seed: 7, Respond: rough(1),
			})
			keys := lives(t, out, threads)
			for key, k := range keys {
				if k.ops > 120+50+k.fails || k.peak > 5+2 || k.unknown > 4 {
					t.Errorf("%s with %d threads: key %s has %d operations, %d at a time, %d unknown",
						name, threads, key, k.ops, k.peak, k.unknown)
				}
			}
			if len(keys) < 12 {
				t.Errorf("%s with %d threads: only %d keys", name, threads, len(keys))
			}
		}
	}
}

// TestKeysAreHotAndLong: keys see concurrency from several nodes, and the slow ones
// live long, with pauses.
func TestKeysAreHotAndLong(t *testing.T) {
	longtest.Only(t)
	o := Options{Concurrency: 10, Nodes: 5, TimeLimit: 40 * time.Second, Rate: 1000}
	out := simulate(t, Simulation{
		Generator: registerWorkload().Generator(o), Concurrency: 10, Respond: slowly(3),
	})
	var hot, long, wide, all int
	for _, k := range lives(t, out, 10) {
		if k.ops < 100 {
			continue // the last ones
		}
		all++
		if k.peak >= 3 {
			hot++
		}
		if len(k.nodes) >= 4 {
			wide++
		}
		if k.last-k.first > 8000*ms {
			long++
		}
	}
	if hot < all*3/4 || wide < all*3/4 || long < 8 {
		t.Errorf("of %d keys %d were hot, %d on four nodes, %d long", all, hot, wide, long)
	}
}

// sleepy is a key that does one thing and then nothing for a second, again and again.
type sleepy struct{ next history.Time }

func (k *sleepy) Next(ctx Context) (Step, Generator) {
	if ctx.Time < k.next {
		return PendingUntil(k.next), k
	}
	return Do(Op{F: Read}), &sleepy{next: ctx.Time + 1000*ms}
}

func (k *sleepy) Update(Context, history.Event) Generator { return k }

// TestKeysWaitAlone: a key that waits keeps nobody from the others, also when it has a turn.
func TestKeysWaitAlone(t *testing.T) {
	g := TimeLimit(10*time.Second, Independent(KeysConfig{
		Prefix: "k", Live: 6, PerKey: 5, Ops: 1000, Burst: 16, Read: Read,
		New: func() Generator { return &sleepy{} },
	}))
	out := simulate(t, Simulation{Generator: g, Concurrency: 10, Respond: slowly(1)})
	n := map[history.Key]int{}
	for _, s := range out.Steps {
		n[s.Op.Key]++
	}
	for key, times := range n {
		if times < 9 {
			t.Errorf("%s was worked on %d times in 10 s, want 10", key, times)
		}
	}
	if len(n) != 6 {
		t.Errorf("%d keys were worked on, want 6", len(n))
	}
}

// TestEpochs: most keys are fresh after a fault window, a minority survives one
// more, and none two.
func TestEpochs(t *testing.T) {
	const window = 3000 * ms
	o := Options{
		Concurrency: 10, Nodes: 5, TimeLimit: 60 * time.Second, Rate: 200, OpsPerKey: 10_000,
	}
	out := simulate(t, Simulation{
		Generator: registerWorkload().Generator(o), Concurrency: 10, Respond: slowly(3),
		Epoch: func(now history.Time) int64 { return int64(now / window) },
	})
	live := map[history.Key]map[int64]int{} // operations by epoch
	for i := range out.Events {
		if ev := &out.Events[i]; ev.Type == history.Invoke {
			if live[ev.Key] == nil {
				live[ev.Key] = map[int64]int{}
			}
			live[ev.Key][int64(ev.Time/window)]++
		}
	}
	spans := map[int]int{}
	for _, epochs := range live {
		n := 0
		for _, ops := range epochs {
			if ops > 10 { // re-reads of a retired key are fewer
				n++
			}
		}
		spans[n]++
	}
	if spans[1] < 80 || spans[2] < 25 || spans[2] > spans[1]*3/4 || spans[3] > 0 {
		t.Errorf("keys by the number of epochs in which they were used: %v", spans)
	}
}

// TestRetiredKeysAreReadAgain: about one operation in twenty is such a read.
func TestRetiredKeysAreReadAgain(t *testing.T) {
	longtest.Only(t)
	o := Options{Concurrency: 10, Nodes: 5, TimeLimit: 20 * time.Second, Rate: 2000}
	out := simulate(t, Simulation{
		Generator: registerWorkload().Generator(o), Concurrency: 10, Respond: slowly(2),
	})
	lastWrite := map[history.Key]history.Time{}
	for i := range out.Events {
		if ev := &out.Events[i]; ev.F == Write {
			lastWrite[ev.Key] = ev.Time
		}
	}
	late := 0
	for _, s := range out.Steps {
		if s.Op.F == Read && s.Time > lastWrite[s.Op.Key]+100*ms {
			late++
		}
	}
	if share := float64(late) / float64(len(out.Steps)); share < 0.03 || share > 0.06 {
		t.Errorf("%.3f of the operations read a retired key, want about 0.04", share)
	}
}

// TestFinalReads: every key is read by two nodes, unless a node is dead.
func TestFinalReads(t *testing.T) {
	for _, c := range []struct {
		keys, nodes, threads, limit int
		dead                        int // node, -1 for none
		flaky                       bool
	}{
		{keys: 1, nodes: 3, threads: 3, limit: 100, dead: -1},
		{keys: 9, nodes: 5, threads: 10, limit: 100, dead: -1},
		{keys: 100, nodes: 5, threads: 7, limit: 100, dead: -1, flaky: true},
		{keys: 50, nodes: 3, threads: 2, limit: 100, dead: -1},
		{keys: 20, nodes: 1, threads: 4, limit: 100, dead: -1},
		{keys: 1000, nodes: 3, threads: 6, limit: 60, dead: -1},
		{keys: 80, nodes: 5, threads: 5, limit: 100, dead: 2},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			var writes []Op
			for k := range c.keys {
				writes = append(writes, Op{F: Write, Key: history.Key(fmt.Sprintf("r%d", k))})
			}
			n := uint64(0)
			out := simulate(t, Simulation{
				Generator: Ops(writes...), Concurrency: c.threads,
				Final: FinalReads("r", Read, c.nodes, c.limit),
				Respond: func(thread int, op history.Event) Answer {
					n++
					a := Answer{Type: history.OK, Latency: time.Millisecond}
					if op.F == Read && (thread%c.nodes == c.dead || c.flaky && randAt(1, n).Chance(0.1)) {
						a.Type = history.Info
					}
					return a
				},
			})
			classes := min(c.nodes, c.threads)
			readers := map[history.Key]map[int]bool{}
			for i := range out.Events {
				ev := &out.Events[i]
				if ev.F != Read || ev.Type != history.OK {
					continue
				}
				if readers[ev.Key] == nil {
					readers[ev.Key] = map[int]bool{}
				}
				readers[ev.Key][int(ev.Process)%c.threads%classes] = true
			}
			checkReaders(t, readers, min(c.keys, c.limit), classes, c.dead >= 0)
			newest := history.Key(fmt.Sprintf("r%d", c.keys-1))
			if readers["r0"] == nil || readers[newest] == nil {
				t.Errorf("the oldest or the newest key was not read")
			}
		})
	}
}

func checkReaders(t *testing.T, readers map[history.Key]map[int]bool, keys, want int, dead bool) {
	t.Helper()
	if len(readers) != keys {
		t.Errorf("%d keys were read, want %d", len(readers), keys)
	}
	for key, nodes := range readers {
		if len(nodes) != want && (!dead || len(nodes) != want-1) {
			t.Errorf("key %s was read by %d nodes, want %d", key, len(nodes), want)
		}
	}
}

// TestCASSucceeds: against an atomic register, a good share of the compare-and-sets
// finds what it expects, and some do not.
func TestCASSucceeds(t *testing.T) {
	longtest.Only(t)
	o := Options{Concurrency: 10, Nodes: 5, TimeLimit: 20 * time.Second, Rate: 1000}
	store := newStore()
	out := simulate(t, Simulation{
		Generator: casWorkload().Generator(o), Concurrency: 10,
		Respond: func(_ int, op history.Event) Answer {
			v, err := store.apply(op)
			a := Answer{Type: history.OK, Value: v, Latency: 3 * time.Millisecond}
			if err != nil {
				a.Type, a.Error = history.Fail, err.Error()
			}
			return a
		},
	})
	var ok, all int
	for i := range out.Events {
		if ev := &out.Events[i]; ev.F == CAS && ev.Type != history.Invoke {
			all++
			if ev.Type == history.OK {
				ok++
			}
		}
	}
	if share := float64(ok) / float64(all); all < 5000 || share < 0.25 || share > 0.9 {
		t.Errorf("%d of %d compare-and-sets succeeded", ok, all)
	}
}

// TestGeneratorsArePure: the generators of all workloads give the same answer when they
// are asked twice and the same history when they are run twice, do something with
// every kind of operation, and do not get stuck.
func TestGeneratorsArePure(t *testing.T) {
	for _, w := range All() {
		t.Run(w.Name, func(t *testing.T) {
			o := Options{Concurrency: 6, Nodes: 3, TimeLimit: 2 * time.Second, Rate: 300,
				Settle: 10 * time.Millisecond}
			out := simulate(t, Simulation{
				Generator: w.Generator(o), Final: w.Final(o), Concurrency: 6, Seed: 3,
			})
			seen := map[history.F]int{}
			for _, s := range out.Steps {
				seen[s.Op.F]++
			}
			for _, f := range w.Fs {
				// A token is needed for some, and this system gives none.
				if seen[f] == 0 && f != Release && (f != Write || w.Object != "fenced") {
					t.Errorf("no %s in %d operations", f, len(out.Steps))
				}
			}
			if len(out.Steps) < 300 || out.Stuck {
				t.Errorf("%d operations, stuck: %t", len(out.Steps), out.Stuck)
			}
		})
	}
}

// TestSeeds: the same seeds give the same choices, and either seed matters.
func TestSeeds(t *testing.T) {
	choices := func(run, own uint64) string {
		o := Options{Concurrency: 4, Nodes: 3, TimeLimit: time.Second, Rate: 500, Seed: own}
		return show(simulate(t, Simulation{
			Generator: casWorkload().Generator(o), Concurrency: 4, Seed: run, Respond: slowly(1),
		}))
	}
	same := choices(1, 1)
	if choices(1, 1) != same {
		t.Error("the same seeds gave other choices")
	}
	if choices(2, 1) == same || choices(1, 2) == same {
		t.Error("another seed gave the same choices")
	}
}

// TestLookup: an unknown name is answered with those there are.
func TestLookup(t *testing.T) {
	_, err := Lookup("regster")
	if err == nil || !strings.Contains(err.Error(), "register, cas-register, set-full, counter") {
		t.Errorf("error is %v", err)
	}
	for _, w := range All() {
		if got, err := Lookup(w.Name); err != nil || got.Name != w.Name || w.Doc == "" {
			t.Errorf("lookup %s: %v", w.Name, err)
		}
		floors := w.Floors(Options{TimeLimit: time.Minute})
		wants := len(w.Fs)
		if w.Object == "fenced" {
			wants-- // locks need not be given back
		}
		if len(floors) < wants {
			t.Errorf("%s has %d floors for %d kinds of operations", w.Name, len(floors), len(w.Fs))
		}
		for _, f := range floors {
			if f.Before < 5 || f.Total < f.Before+f.During+f.After {
				t.Errorf("%s: floor %+v", w.Name, f)
			}
		}
	}
}

// TestOptionsValidate: every problem is in the one error.
func TestOptionsValidate(t *testing.T) {
	good := Options{Concurrency: 10, Nodes: 5, TimeLimit: time.Minute}
	if err := good.Validate(); err != nil {
		t.Errorf("good options: %v", err)
	}
	bad := Options{
		Concurrency: 0, Nodes: -1, Rate: -2, Keys: -3, OpsPerKey: -4, ThreadsPerKey: -5,
		MaxUnknownPerKey: -6, LongLife: -7, FinalKeys: -8, FinalLimit: -9, AvailabilityGrace: -10,
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("bad options are valid")
	}
	for _, want := range []string{"concurrency", "nodes", "time limit", "rate is", "keys is",
		"operations per key", "threads per key", "unknown mutations", "long life", "final keys",
		"final limit", "availability grace"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error:\n%v", want, err)
		}
	}
	crowded := Options{Concurrency: 30, Nodes: 5, TimeLimit: time.Minute, Keys: 5}
	if err := crowded.Validate(); err == nil || !strings.Contains(err.Error(), "idle") {
		t.Errorf("5 keys for 30 threads: %v", err)
	}
}
