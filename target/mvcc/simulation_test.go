package mvcc

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
	"github.com/ordeal-dev/ordeal/target/txntest"
)

// mode is one of the protocols.
type mode struct {
	rule Rule
	log  bool
}

func modes() []mode {
	var all []mode
	for _, r := range []Rule{SI, Serializable, Merge} {
		all = append(all, mode{r, false}, mode{r, true})
	}
	return all
}

func (m mode) level() txntest.Level {
	if m.rule == Serializable {
		return txntest.Serializable
	}
	return txntest.SnapshotIsolation
}

// options are those of a run that is judged from outside, by what the clients saw.
func options(seed uint64, m mode) sim.Options {
	rec := &txntest.Recorder{Mix: txntest.Mix{
		Registers: int(seed % 3), Steps: 6, Whole: 0.3, Single: 0.2, Readers: 0.3, Aborted: 0.05,
	}}
	if seed%2 == 0 {
		rec.Mix.Fresh, rec.Mix.Lists = 20, 3
	}
	w := newTwin()
	return sim.Options{
		Seed: seed, Nodes: [...]int{1, 3, 3, 5}[seed%4], Ops: 100, Clients: 8, Describe: Describe,
		New:     w.factory(m.rule, m.log, func(s *server) { tune(s, seed) }),
		Dialogs: rec.New, Final: rec.Final,
		AtEnd: []func(*sim.Cluster) error{func(*sim.Cluster) error { return rec.Judge(m.level()) }},
	}
}

// inside adds the checks against the dumb twin.
func inside(seed uint64, m mode) sim.Options {
	o := options(seed, m)
	w := newTwin()
	o.New = w.factory(m.rule, m.log, func(s *server) { tune(s, seed) })
	o.Observe, o.Check = w.observe, w.check
	return o
}

// tune makes things happen in a few seconds that otherwise take long.
func tune(s *server, seed uint64) {
	const ms = protocol.Time(time.Millisecond)
	s.collectEvery, s.keptFor, s.idleAfter = 100*ms, 200*ms, 3000*ms
	if seed%2 == 1 {
		s.checkpointEvery = 1 + int(seed%29)
	}
}

// TestSimulation runs all modes under everything the simulation can do to them.
func TestSimulation(t *testing.T) {
	n := simtest.Seeds(t, 120)
	var total tally
	err := sim.Sweep(0, n, func(seed uint64) error {
		m := modes()[seed%uint64(len(modes()))]
		o := inside(seed, m)
		o.More = []sim.FaultKind{sim.ClockBack}
		tr, err := sim.Run(o)
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
	mu                          sync.Mutex
	runs                        int
	commits, conflicts, unknown int
	faults                      int
}

func (s *tally) add(tr *sim.Trace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	for _, op := range tr.Ops {
		switch commit := op.Request.F == "commit" || op.Request.F == "run"; {
		case commit && op.Outcome == protocol.OK:
			s.commits++
		case commit && op.Code == codeConflict:
			s.conflicts++
		case commit && op.Outcome == protocol.Unknown:
			s.unknown++
		}
	}
	for _, n := range tr.Injected {
		s.faults += n
	}
}

func (s *tally) String() string {
	return fmt.Sprintf("%d runs: %d commits, %d conflicts, %d unknown; %d faults",
		s.runs, s.commits, s.conflicts, s.unknown, s.faults)
}

func (s *tally) enough(runs int) error {
	if s.runs != runs || s.commits < 40*runs || s.conflicts < 4*runs || s.unknown < runs/4 ||
		s.faults < 2*runs {
		return fmt.Errorf("too little happens: %v", s)
	}
	return nil
}

// TestSimulationFindsPlantedBugs proves the power of the simulation: a few dozen
// seeds find each planted bug, once with a check that sees only what the clients
// see, and once with the dumb twin, which sees more. The numbers wanted are about
// half of those seen when the test was written. (What only a repeated value can
// show, this judgment of unique elements cannot see from outside: testdata has the
// script.)
func TestSimulationFindsPlantedBugs(t *testing.T) {
	si, siLog := mode{SI, false}, mode{SI, true}
	ser := mode{Serializable, false}
	busy := &sim.Faults{Think: time.Millisecond}
	kills := &sim.Faults{
		Think: time.Millisecond, Kinds: []sim.FaultKind{sim.Kill, sim.KillAll},
		Every: 150 * time.Millisecond, Last: 100 * time.Millisecond,
	}
	stops := &sim.Faults{Kinds: []sim.FaultKind{sim.Stop}, Last: 2 * time.Second}
	const runs = 16
	for at, b := range []struct {
		id              bug.ID
		mode            mode
		outside, inside int         // seeds that must find it
		faults          *sim.Faults // nil: any
	}{
		{bug.MVCCNoConflictCheck, si, 8, 8, nil},
		{bug.MVCCNoConflictCheck, siLog, 8, 8, nil},
		{bug.MVCCConflictByValue, si, 0, 5, nil},
		{bug.MVCCSnapshotPerRead, siLog, 7, 8, nil},
		{bug.MVCCCommitOrderInversion, si, 4, 7, busy},
		{bug.MVCCDirtyRead, si, 8, 8, nil},
		{bug.MVCCAbortLeavesVersion, si, 6, 6, nil},
		{bug.MVCCAbortLeavesVersion, siLog, 6, 6, nil},
		{bug.MVCCWriteSkew, ser, 8, 8, nil},
		{bug.MVCCSSIMissesAbsentKeys, ser, 3, 3, nil},
		{bug.MVCCSSIExemptsReadonly, ser, 3, 3, nil},
		{bug.MVCCGCLiveSnapshot, si, 5, 7, nil},
		{bug.MVCCCompactionLeaks, siLog, 5, 8, nil},
		{bug.MVCCMergeWrongBase, mode{Merge, false}, 8, 8, nil},
		{bug.MVCCBlindAutoRetry, si, 8, 8, nil},
		{bug.MVCCCrashHalfCommit, si, 6, 6, kills},
		{bug.TimeoutAsFail, si, 3, 3, stops},
		{bug.ErrorAsOK, si, 2, 2, stops},
		{bug.NoFsync, si, 6, 6, nil},
		{bug.NoDedup, si, 5, 5, nil},
	} {
		t.Run(string(b.id)+" "+name(b.mode.rule, b.mode.log), func(t *testing.T) {
			longtest.Sample(t, at, 5)
			t.Parallel()
			count := func(options func(uint64, mode) sim.Options) (found int) {
				for seed := range uint64(runs) {
					opts := options(seed, b.mode)
					opts.Bugs, opts.Faults = bug.Set{b.id: true}, b.faults
					if _, err := sim.Run(opts); err != nil {
						found++
					}
				}
				return found
			}
			out, in := count(options), count(inside)
			t.Logf("%s: of %d seeds, %d find it from outside, %d from inside", b.id, runs, out, in)
			if out < b.outside || in < b.inside {
				t.Errorf("want at least %d and %d", b.outside, b.inside)
			}
		})
	}
}
