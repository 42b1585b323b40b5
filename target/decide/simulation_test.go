package decide

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// single is a dialog of one request.
type single struct{ req protocol.Request }

func (s single) Next(_ *rand.Rand, last *sim.Op) (protocol.Request, bool) {
	return s.req, last == nil
}

// contend makes proposals of unique values and questions, most of them in the
// newest instance; so many of them come before the next instance begins.
func contend(each int) func(*rand.Rand, int) sim.Dialog {
	return func(rng *rand.Rand, n int) sim.Dialog {
		at := n / each
		if rng.IntN(4) == 0 {
			at = rng.IntN(at + 1) // what has become of an old one?
		}
		r := protocol.Request{Object: "decide", F: "ask", Key: sim.Key(at)}
		if rng.IntN(3) > 0 {
			r.F, r.Value = "propose", strconv.Itoa(n)
		}
		return single{req: r}
	}
}

// askAll asks once more in every instance, at every node.
func askAll(c *sim.Cluster) []func() sim.Dialog {
	var keys []string
	for _, op := range c.Ops() {
		if !slices.Contains(keys, op.Request.Key) {
			keys = append(keys, op.Request.Key)
		}
	}
	var ds []func() sim.Dialog
	for _, key := range keys {
		ds = append(ds, func() sim.Dialog {
			return single{req: protocol.Request{Object: "decide", F: "ask", Key: key}}
		})
	}
	return ds
}

func factory(cfg protocol.Config) (protocol.Machine, error) { return New(cfg) }

// plain are the options of a run that is judged by what its clients see alone.
func plain(seed uint64) sim.Options {
	return sim.Options{
		Seed: seed, New: factory, Describe: Describe, Clients: 8,
		Dialogs: contend(6 + int(seed%20)), Final: askAll,
		AtEnd: []func(*sim.Cluster) error{writeOnce},
	}
}

// checked are the options of a run with every check that there is.
func checked(seed uint64) sim.Options {
	every := checkpointEvery
	if seed%2 == 0 {
		every = 1 + int(seed%19)
	}
	w := newWatcher(every)
	opts := plain(seed)
	opts.New, opts.Observe, opts.Check = w.factory, w.observe, w.check
	opts.AtEnd = append(opts.AtEnd, w.failed)
	opts.More = []sim.FaultKind{sim.ClockBack}
	return opts
}

// TestSimulation runs the correct protocol under everything the simulation can
// do to it.
func TestSimulation(t *testing.T) {
	n := simtest.Seeds(t, 120)
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
	contests int // instances with several proposals
	null     int // questions answered "undecided"
	adopted  int // proposals answered with another's value
	faults   map[sim.FaultKind]int
	time     time.Duration
}

func (s *tally) add(tr *sim.Trace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.time += tr.Time
	proposals := map[string]int{}
	for _, op := range tr.Ops {
		s.ops++
		s.outcomes[op.Outcome]++
		ok := op.Done && op.Outcome == protocol.OK
		switch {
		case op.Request.F == "propose":
			proposals[op.Request.Key]++
			if ok && op.Value != op.Request.Value {
				s.adopted++
			}
		case ok && op.Value == "null":
			s.null++
		}
	}
	for _, n := range proposals {
		if n > 1 {
			s.contests++
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
		"%d contested instances, %d answers undecided, %d proposals overtaken; faults %v",
		s.runs, s.time/time.Duration(max(1, s.runs)), s.ops, s.outcomes[protocol.OK],
		s.outcomes[protocol.Fail], s.outcomes[protocol.Unknown], s.contests, s.null, s.adopted,
		s.faults)
}

func (s *tally) enough(runs int) error {
	switch {
	case s.runs != runs || s.ops < 200*runs:
		return fmt.Errorf("too few operations: %v", s)
	case s.outcomes[protocol.OK] < s.ops/2:
		return fmt.Errorf("too few operations succeed: %v", s)
	case s.outcomes[protocol.Fail] < runs || s.outcomes[protocol.Unknown] < runs:
		return fmt.Errorf("faults rarely reach the clients: %v", s)
	case s.contests < 5*runs || s.null < runs || s.adopted < 20*runs:
		return fmt.Errorf("too little contention: %v", s)
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
// find a planted bug, with a check that sees only what the clients see, or with the
// invariants, which see more. The numbers wanted are about half of those seen when
// the test was written. The bugs that are missing here need a schedule too rare for
// so few seeds; all have a script that shows theirs.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	const runs = 8
	for at, b := range []struct {
		id              bug.ID
		outside, inside int // seeds that must find it
	}{
		{id: bug.PXAdoptOwnValue, outside: 6, inside: 6},
		{id: bug.PXAcceptBelowPromise, outside: 2, inside: 6},
		{id: bug.PXAcceptKeepsOldPromise, inside: 4},
		{id: bug.PXSingleBallotVar, inside: 2},
		{id: bug.PXPromiseInMemory, inside: 6},
		{id: bug.PXAcceptedInMemory, outside: 2, inside: 6},
		{id: bug.PXSkipPhase1OnRetry, outside: 3, inside: 3},
		{id: bug.PXDupReplyCounted, inside: 1},
		{id: bug.PXLearnMixedBallots, inside: 3},
		{id: bug.PXAcceptsOnlyFirst, outside: 6},
		{id: bug.TimeoutAsFail, outside: 1},
		{id: bug.NoFsync, outside: 3, inside: 4},
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
			for _, c := range []struct {
				where   string
				want    int
				options func(uint64) sim.Options
			}{{"outside", b.outside, plain}, {"inside", b.inside, checked}} {
				if c.want == 0 {
					continue
				}
				n := count(c.options)
				t.Logf("%s: of %d seeds, %d find it from %s", b.id, runs, n, c.where)
				if n < c.want {
					t.Errorf("want at least %d", c.want)
				}
			}
		})
	}
}
