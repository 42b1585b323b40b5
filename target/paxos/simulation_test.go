package paxos

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

// mixed generates operations on all kinds of objects.
func mixed(rng *rand.Rand, n int) protocol.Request {
	key := strconv.Itoa(rng.IntN(2))
	v := strconv.Itoa(n)
	small := func() string { return strconv.Itoa(rng.IntN(3)) }
	rs := []protocol.Request{
		{Object: "register", F: "read", Key: "r" + key},
		{Object: "register", F: "write", Key: "r" + key, Value: small()},
		{Object: "register", F: "cas", Key: "r" + key, Value: "[" + small() + "," + small() + "]"},
		{Object: "list", F: "append", Key: "l" + key, Value: v},
		{Object: "list", F: "append", Key: "l" + key, Value: v},
		{Object: "list", F: "read", Key: "l" + key},
		{Object: "set", F: "add", Key: "s", Value: v},
		{Object: "set", F: "read", Key: "s"},
		{Object: "counter", F: "add", Key: "c", Value: small()},
		{Object: "counter", F: "read", Key: "c"},
		{Object: "queue", F: "enqueue", Key: "q", Value: v},
		{Object: "queue", F: "dequeue", Key: "q"},
	}
	return rs[rng.IntN(len(rs))]
}

// faultsOf draws a mix of faults under which a log makes some progress: an
// election must fit in now and then.
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
func checked(t testing.TB, seed uint64) (sim.Options, *watcher) {
	w := newWatcher(t)
	every, kept := uint64(20+seed%40), uint64(seed%30)
	return sim.Options{
		Seed: seed, Ops: 100, Recovery: 6 * time.Second, Sessions: seed%2 == 0,
		Generate: mixed, Faults: faultsOf(seed),
		New: w.factory(every, kept), Describe: Describe,
		Observe: w.observe, Check: w.check, AtEnd: []func(*sim.Cluster) error{w.linearizable},
	}, w
}

// TestSimulation runs the correct protocol under everything that the simulation
// can do to it.
func TestSimulation(t *testing.T) {
	n := simtest.Seeds(t, 300)
	var total tally
	err := sim.Sweep(0, n, func(seed uint64) error {
		opts, w := checked(t, seed)
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
}

// tally sums up what the runs have been through, to see that they were not idle.
type tally struct {
	mu                        sync.Mutex
	runs, ops, steps          int
	slots, elections, install int
	longest                   time.Duration
	outcomes                  [3]int
	faults                    map[sim.FaultKind]int
}

func (s *tally) add(tr *sim.Trace, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.steps += tr.Steps
	s.slots += len(w.chosen)
	s.elections += w.elections
	s.install += w.installs
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
		"%d slots, %d elections, %d snapshots installed; longest %v; faults %v",
		s.runs, s.ops, s.outcomes[protocol.OK], s.outcomes[protocol.Fail],
		s.outcomes[protocol.Unknown], s.steps, s.slots, s.elections, s.install,
		s.longest, s.faults)
}

func (s *tally) enough(runs int) error {
	switch {
	case s.runs != runs || s.ops < 100*runs || s.outcomes[protocol.OK] < s.ops/3:
		return fmt.Errorf("%w: too few operations: %v", errIdle, s)
	case s.outcomes[protocol.Fail] < runs || s.outcomes[protocol.Unknown] < runs:
		return fmt.Errorf("%w: faults rarely reach the clients: %v", errIdle, s)
	case s.elections < 2*runs || s.install < runs/10:
		return fmt.Errorf("%w: few elections or snapshots: %v", errIdle, s)
	}
	for _, k := range sim.AllFaults() {
		if s.faults[k] < runs/10 {
			return fmt.Errorf("%w: fault %s rarely happens: %v", errIdle, k, s)
		}
	}
	return nil
}
