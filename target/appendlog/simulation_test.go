package appendlog

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

func factory(cfg protocol.Config) (protocol.Machine, error) { return New(cfg) }

// plain are the options of a run that is judged by what its clients see alone.
func plain(seed uint64) sim.Options {
	cl := &clients{}
	return sim.Options{
		Seed: seed, New: factory, Describe: Describe,
		Dialogs: cl.dialog, Final: cl.last, Observe: cl.observe,
		AtEnd: []func(*sim.Cluster) error{cl.judge},
	}
}

// checked are the options of a run with every check that there is.
func checked(seed uint64) sim.Options {
	w := newWatcher()
	opts := plain(seed)
	clients := opts.Observe
	opts.Observe = func(c *sim.Cluster, e *sim.Event) {
		clients(c, e)
		w.observe(c, e)
	}
	opts.Check = w.check
	opts.AtEnd = append(opts.AtEnd, agree)
	opts.More = []sim.FaultKind{sim.ClockBack}
	return opts
}

// TestSimulation runs the correct protocol under everything the simulation can
// do to it. That its runs end means that the nodes converge after healing.
func TestSimulation(t *testing.T) {
	n := simtest.Seeds(t, 100)
	var total tally
	err := sim.Sweep(0, n, func(seed uint64) error {
		tr, err := sim.Run(checked(seed))
		if err == nil {
			total.add(tr)
		}
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
	mu       sync.Mutex
	runs     int
	ops      int
	outcomes [3]int
	sessions int // reads with a token
	faults   map[sim.FaultKind]int
	time     time.Duration
}

func (s *tally) add(tr *sim.Trace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.time += tr.Time
	for _, op := range tr.Ops {
		s.ops++
		s.outcomes[op.Outcome]++
		if op.Request.F == "read" && op.Request.Token != "" && op.Outcome == protocol.OK {
			s.sessions++
		}
	}
	if s.faults == nil {
		s.faults = map[sim.FaultKind]int{}
	}
	for k, n := range tr.Injected {
		s.faults[k] += n
	}
}

func (s *tally) String() string {
	return fmt.Sprintf("%d runs of %v on average, %d operations: %d ok, %d fail, %d unknown; "+
		"%d reads in sessions; faults %v", s.runs, s.time/time.Duration(max(1, s.runs)), s.ops,
		s.outcomes[protocol.OK], s.outcomes[protocol.Fail], s.outcomes[protocol.Unknown],
		s.sessions, s.faults)
}

func (s *tally) enough(runs int) error {
	switch {
	case s.runs != runs || s.ops < 200*runs:
		return fmt.Errorf("too few operations: %v", s)
	case s.outcomes[protocol.OK] < s.ops/2 || s.sessions < 20*runs:
		return fmt.Errorf("too few operations succeed: %v", s)
	case s.outcomes[protocol.Fail] < runs/4 || s.outcomes[protocol.Unknown] < runs:
		return fmt.Errorf("faults rarely reach the clients: %v", s)
	}
	for _, k := range sim.AllFaults() {
		if s.faults[k] < runs/10 {
			return fmt.Errorf("fault %s rarely happens: %v", k, s)
		}
	}
	return nil
}

// TestSimulationRepeats runs seeds twice: the trace is the same, event by event.
func TestSimulationRepeats(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		a, err := sim.Run(checked(seed))
		if err != nil {
			t.Fatal(err)
		}
		b, err := sim.Run(checked(seed))
		if err != nil {
			t.Fatal(err)
		}
		if a.Hash != b.Hash || a.Events != b.Events || a.Time != b.Time {
			t.Errorf("seed %d: %x with %d events, then %x with %d",
				seed, a.Hash, a.Events, b.Hash, b.Events)
		}
	}
}

// TestSimulationFindsPlantedBugs proves the power of the simulation: a few seeds
// find each planted bug with a check that sees only what the clients see, and with
// the invariants, which see more. The numbers wanted are about half of those seen
// when the test was written.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	const runs = 8
	for at, b := range []struct {
		id              bug.ID
		outside, inside int // seeds that must find it
	}{
		{id: bug.LogIDReuseAfterRestart, outside: 2, inside: 2},
		{id: bug.LogCountMeansPrefix, outside: 4, inside: 4},
		{id: bug.LogNewestCopyReplaces, outside: 2, inside: 3},
		{id: bug.LogPositionAsIdentity, outside: 4, inside: 4},
		{id: bug.LogSessionTokenIgnored, outside: 3, inside: 3},
		{id: bug.LogCompactionDropsAppend, outside: 2, inside: 2},
		{id: bug.ErrorAsOK, outside: 1, inside: 1},
		{id: bug.NoFsync, outside: 2, inside: 4},
	} {
		t.Run(string(b.id), func(t *testing.T) {
			longtest.Sample(t, at, 4)
			t.Parallel()
			count := func(options func(uint64) sim.Options) (found int) {
				for seed := range uint64(runs) {
					opts := options(seed)
					opts.Bugs = bug.Set{b.id: true}
					if _, err := sim.Run(opts); err != nil {
						found++
					}
				}
				return found
			}
			out, in := count(plain), count(checked)
			t.Logf("%s: of %d seeds, %d find it from outside, %d from inside", b.id, runs, out, in)
			if out < b.outside || in < b.inside {
				t.Errorf("want at least %d and %d", b.outside, b.inside)
			}
		})
	}
}
