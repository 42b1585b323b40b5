package commit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// faultsOf draws a mix of faults under which some transactions come through: an
// election must fit in now and then.
func faultsOf(seed uint64) *sim.Faults {
	f := sim.Swarm(rand.New(rand.NewPCG(seed, 78)))
	f.Every = max(f.Every, 500*time.Millisecond)
	if len(f.Kinds) <= 3 && slices.Contains(f.Kinds, sim.KillAll) {
		f.Every = max(f.Every, 1500*time.Millisecond)
	}
	f.Last = min(f.Last, f.Every*3/2)
	return &f
}

// checked are the options of a run with every check that there is.
func checked(name string, seed uint64) (sim.Options, *watcher, *clients) {
	w, c := newWatcher(name), &clients{}
	return sim.Options{
		Seed: seed, Ops: 80, Recovery: 15 * time.Second, Faults: faultsOf(seed),
		More:    []sim.FaultKind{sim.ClockBack},
		Dialogs: c.dialog, Final: c.final, New: w.factory(20+seed%40, seed%30),
		Describe: Describe, Observe: w.observe, Check: w.check,
		AtEnd: []func(*sim.Cluster) error{c.serializable},
	}, w, c
}

// TestSimulation runs the correct protocols under everything that the simulation
// can do to them.
func TestSimulation(t *testing.T) {
	for name, otherwise := range map[string]uint64{"2pc": 25, "3pc": 25} {
		t.Run(name, func(t *testing.T) {
			n := simtest.Seeds(t, otherwise)
			total := sweep(t, n, func(seed uint64) (sim.Options, *watcher, *clients) {
				return checked(name, seed)
			})
			for _, k := range sim.AllFaults() {
				if total.faults[k] < int(n)/10 {
					t.Errorf("fault %s rarely happens: %v", k, total)
				}
			}
		})
	}
}

// TestCrashes runs plain three-phase commit under crashes, which are all that it
// claims to survive.
func TestCrashes(t *testing.T) {
	sweep(t, simtest.Seeds(t, 20), func(seed uint64) (sim.Options, *watcher, *clients) {
		opts, w, c := checked("3pc-plain", seed)
		opts.Faults = &sim.Faults{
			Think: 60 * time.Millisecond, Every: 500 * time.Millisecond, Last: 600 * time.Millisecond,
			Kinds: []sim.FaultKind{sim.Kill, sim.KillInside, sim.KillAll, sim.RollingKill},
		}
		opts.More = nil
		return opts, w, c
	})
}

func sweep(
	t *testing.T, n uint64, options func(seed uint64) (sim.Options, *watcher, *clients),
) *tally {
	t.Helper()
	var total tally
	err := sim.Sweep(0, n, func(seed uint64) error {
		opts, w, c := options(seed)
		tr, err := sim.Run(opts)
		total.add(tr, w, c)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(&total)
	if err := total.enough(int(n)); err != nil {
		t.Error(err)
	}
	return &total
}

// tally sums up what the runs have been through, to see that they were not idle.
type tally struct {
	mu            sync.Mutex
	runs, commits int
	outcomes      [3]int
	longest       time.Duration
	steps         int
	faults        map[sim.FaultKind]int
}

func (s *tally) add(tr *sim.Trace, w *watcher, c *clients) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.commits += w.commits
	s.steps += tr.Steps
	s.longest = max(s.longest, tr.Time)
	for _, t := range c.all {
		if t.done {
			s.outcomes[t.outcome]++
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
	return fmt.Sprintf("%d runs, transactions: %d ok, %d fail, %d unknown; %d commits decided; "+
		"%d steps; longest %v; faults %v", s.runs, s.outcomes[protocol.OK],
		s.outcomes[protocol.Fail], s.outcomes[protocol.Unknown], s.commits, s.steps, s.longest,
		s.faults)
}

func (s *tally) enough(runs int) error {
	if s.outcomes[protocol.OK] < 30*runs || s.outcomes[protocol.Fail] < runs ||
		s.outcomes[protocol.Unknown] == 0 || s.commits < 20*runs {
		return fmt.Errorf("idle: %v", s)
	}
	return nil
}
