package primary

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// mixed generates operations on all kinds of objects, transactions of several, and
// now and then a change of the primary.
func mixed(rng *rand.Rand, n int) protocol.Request {
	key := strconv.Itoa(rng.IntN(2))
	v := strconv.Itoa(n)
	small := func() string { return strconv.Itoa(rng.IntN(3)) }
	if rng.IntN(40) == 0 {
		return protocol.Request{
			Object: adminObject, F: "transfer", Value: `"n` + strconv.Itoa(1+rng.IntN(3)) + `"`,
		}
	}
	rs := []protocol.Request{
		{Object: "register", F: "read", Key: "r" + key},
		{Object: "register", F: "write", Key: "r" + key, Value: small()},
		{Object: "register", F: "cas", Key: "r" + key, Value: "[" + small() + "," + small() + "]"},
		{Object: "list", F: "append", Key: "l" + key, Value: v},
		{Object: "list", F: "read", Key: "l" + key},
		{Object: "set", F: "add", Key: "s", Value: v},
		{Object: "set", F: "read", Key: "s"},
		{Object: "counter", F: "add", Key: "c", Value: small()},
		{Object: "counter", F: "read", Key: "c"},
		{Object: "queue", F: "enqueue", Key: "q", Value: v},
		{Object: "queue", F: "dequeue", Key: "q"},
		{Object: "txn", F: "run", Value: `[["append","l` + key + `",` + v +
			`],["r","l0",null],["r","l1",null],["add","c",1],["w","r` + key + `",` + small() + `]]`},
	}
	return rs[rng.IntN(len(rs))]
}

// faultsOf draws a mix of faults under which there is some progress: a change of the
// view must fit in now and then.
func faultsOf(seed uint64) *sim.Faults {
	f := sim.Swarm(rand.New(rand.NewPCG(seed, 77)))
	f.Every = max(f.Every, 300*time.Millisecond)
	if len(f.Kinds) <= 3 && slices.Contains(f.Kinds, sim.KillAll) {
		f.Every = max(f.Every, 1500*time.Millisecond)
	}
	f.Last = min(f.Last, f.Every*3/2)
	return &f
}

// checked are the options of a run with every check that there is.
func checked(t testing.TB, seed uint64, mode mode) (sim.Options, *watcher) {
	w := newWatcher(t, mode)
	every, kept := uint64(20+seed%40), uint64(seed%30)
	opts := sim.Options{
		Seed: seed, Ops: 100, Recovery: 6 * time.Second, Sessions: seed%2 == 0,
		Generate: mixed, Faults: faultsOf(seed), More: []sim.FaultKind{sim.ClockBack},
		New: w.factory(every, kept), Describe: Describe,
		Observe: w.observe, Check: w.check, AtEnd: []func(*sim.Cluster) error{w.linearizable},
	}
	if mode.copyReads {
		opts.AtEnd = []func(*sim.Cluster) error{w.sequential}
	}
	if mode.acks == ackSelf {
		opts.AtEnd = nil // it claims less; see TestAsyncLosesOnlyAtChanges
	}
	return opts, w
}

// TestSimulation runs the correct protocol, in each of its modes, under everything
// that the simulation can do to it.
func TestSimulation(t *testing.T) {
	for _, tc := range []struct {
		mode mode
		runs uint64
	}{
		{mode{name: "primary"}, 120},
		{mode{name: "primary-all", acks: ackAll}, 30},
		{mode{name: "primary-copy-reads", copyReads: true}, 30},
		{mode{name: "primary-async", acks: ackSelf}, 30},
	} {
		t.Run(tc.mode.name, func(t *testing.T) {
			n := simtest.Seeds(t, tc.runs)
			var total tally
			err := sim.Sweep(0, n, func(seed uint64) error {
				opts, w := checked(t, seed, tc.mode)
				tr, err := sim.Run(opts)
				total.add(tr, w)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(&total)
			if err := total.enough(int(n)); err != nil {
				t.Error(err)
			}
		})
	}
}

// tally sums up what the runs have been through, to see that they were not idle.
type tally struct {
	mu                      sync.Mutex
	runs, ops, steps        int
	entries, views, fetches int
	longest                 time.Duration
	outcomes                [3]int
	faults                  map[sim.FaultKind]int
}

func (s *tally) add(tr *sim.Trace, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.steps += tr.Steps
	s.entries += len(w.committed)
	s.views += len(w.primaries)
	s.fetches += w.fetches
	s.longest = max(s.longest, tr.Time)
	for _, op := range tr.Ops {
		s.ops++
		s.outcomes[op.Outcome]++
	}
	if s.faults == nil {
		s.faults = map[sim.FaultKind]int{}
	}
	for k, n := range tr.Injected {
		s.faults[k] += n
	}
}

func (s *tally) String() string {
	return fmt.Sprintf("%d runs, %d operations: %d ok, %d fail, %d unknown; %d steps, "+
		"%d entries, %d views, %d parts of states; longest %v; faults %v",
		s.runs, s.ops, s.outcomes[protocol.OK], s.outcomes[protocol.Fail],
		s.outcomes[protocol.Unknown], s.steps, s.entries, s.views, s.fetches,
		s.longest, s.faults)
}

func (s *tally) enough(runs int) error {
	switch {
	case s.runs != runs || s.ops < 100*runs || s.outcomes[protocol.OK] < s.ops/3:
		return fmt.Errorf("%w: too few operations: %v", errIdle, s)
	case s.outcomes[protocol.Fail] < runs || s.outcomes[protocol.Unknown] < runs:
		return fmt.Errorf("%w: faults rarely reach the clients: %v", errIdle, s)
	case s.views < 2*runs || s.fetches < runs:
		return fmt.Errorf("%w: few changes of the view or transfers: %v", errIdle, s)
	}
	for _, k := range append(sim.AllFaults(), sim.ClockBack) {
		if s.faults[k] < runs/10 {
			return fmt.Errorf("%w: fault %s rarely happens: %v", errIdle, k, s)
		}
	}
	return nil
}
