package dmvcc

import (
	"fmt"
	"math/rand/v2"
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

// run is one run: what it is made of, and what the clients saw.
type run struct {
	options sim.Options
	rec     *txntest.Recorder
	watcher *watcher
}

// outside is a run that is judged by what the clients saw.
func outside(seed uint64, mode Mode) *run {
	rec := &txntest.Recorder{Mix: txntest.Mix{
		Steps: 4, Whole: 0.4, Single: 0.2, Readers: 0.3, Aborted: 0.05,
	}}
	if seed%2 == 0 {
		rec.Mix.Fresh = 25
	}
	w := newWatcher(mode)
	dialogs := rec.New
	if mode == Quorum {
		dialogs = func(rng *rand.Rand, n int) sim.Dialog {
			if n%8 == 0 {
				return &mover{}
			}
			return rec.New(rng, n)
		}
	}
	return &run{rec: rec, watcher: w, options: sim.Options{
		Seed: seed, Ops: 80, Clients: 8, Describe: Describe,
		New:     w.factory(func(m *Machine) { tune(m, seed) }),
		Dialogs: dialogs, Final: rec.Final,
		AtEnd: []func(*sim.Cluster) error{
			func(*sim.Cluster) error { return rec.Judge(txntest.SnapshotIsolation) },
		},
	}}
}

// mover moves a shard, to the node that it asks or to another.
type mover struct{ moved bool }

func (m *mover) Next(rng *rand.Rand, _ *sim.Op) (protocol.Request, bool) {
	if m.moved {
		return protocol.Request{}, false
	}
	m.moved = true
	return protocol.Request{Object: "admin", F: "move", Value: marshal(moving{
		Shard: rng.IntN(shardCount), To: protocol.NodeID(fmt.Sprint("n", 1+rng.IntN(3))),
	})}, true
}

// inside adds the checks against the dumb database.
func inside(seed uint64, mode Mode) *run {
	r := outside(seed, mode)
	r.options.Observe, r.options.Check = r.watcher.observe, r.watcher.check
	return r
}

// tune makes checkpoints frequent in some runs.
func tune(m *Machine, seed uint64) {
	if seed%3 == 1 {
		m.checkpointEvery = 1 + int(seed%53)
		m.group.Compact(20, 10)
	}
}

// TestSimulation runs both modes under everything the simulation can do to them.
func TestSimulation(t *testing.T) {
	n := simtest.Seeds(t, 60)
	var total tally
	err := sim.Sweep(0, n, func(seed uint64) error {
		r := inside(seed, Mode(seed/3%2))
		r.options.More = []sim.FaultKind{sim.ClockBack, sim.WallJump}
		tr, err := sim.Run(r.options)
		if err == nil {
			total.add(tr, r.watcher)
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
	numbers, aborted, faults    int
	moves                       int
}

func (s *tally) add(tr *sim.Trace, w *watcher) {
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
		case op.Request.F == "move" && op.Outcome == protocol.OK:
			s.moves++
		}
	}
	s.numbers += len(w.ops)
	s.aborted += len(w.gone)
	for _, n := range tr.Injected {
		s.faults += n
	}
}

func (s *tally) String() string {
	return fmt.Sprintf("%d runs: %d commits, %d conflicts, %d unknown; "+
		"%d numbers, %d aborted; %d faults, %d moves", s.runs, s.commits, s.conflicts, s.unknown,
		s.numbers, s.aborted, s.faults, s.moves)
}

func (s *tally) enough(runs int) error {
	if s.runs != runs || s.commits < 20*runs || s.conflicts < runs || s.unknown < runs/4 ||
		s.aborted < runs/3 || s.faults < 2*runs || s.moves < runs {
		return fmt.Errorf("too little happens: %v", s)
	}
	return nil
}

// TestSimulationFindsPlantedBugs proves the power of the simulation: a few seeds
// find each planted bug, once with a check that sees only what the clients see, and
// once with the dumb database, which sees more. The numbers wanted are about half of
// those seen when the test was written.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	const ms = time.Millisecond
	calm := &sim.Faults{Think: ms, Loss: 0.05}
	oneWay := &sim.Faults{Think: ms, Kinds: []sim.FaultKind{sim.OneWay, sim.Flaky}, Every: 300 * ms}
	kills := &sim.Faults{
		Think: ms, MaxDelay: 40 * ms, Kinds: []sim.FaultKind{sim.Kill}, Every: 300 * ms,
	}
	late := &sim.Faults{
		Think: ms, Loss: 0.2, Replay: 0.4, Reorder: 0.3,
		Kinds: []sim.FaultKind{sim.Isolate, sim.Kill, sim.Stop}, Every: 300 * ms,
	}
	for at, b := range []struct {
		id                    bug.ID
		mode                  Mode
		runs, outside, inside int         // seeds, and how many of them must find it
		faults                *sim.Faults // nil: any
		more                  []sim.FaultKind
	}{
		{bug.DMVWatermarkSkipsGap, All, 5, 3, 3, calm, nil},
		{bug.DMVWatermarkSkipsGap, Quorum, 5, 0, 2, calm, nil},
		{bug.DMVPublishAfterFirstNode, All, 5, 2, 3, calm, nil},
		{bug.DMVQuorumPublishAnyNodeRead, Quorum, 8, 2, 3, oneWay, nil},
		{bug.DMVStaleMetadataRead, All, 4, 2, 2, calm, nil},
		{bug.DMVNumberFromClock, All, 8, 2, 2, nil, []sim.FaultKind{sim.WallJump}},
		{bug.DMVNumberNeverClosed, Quorum, 4, 2, 2, kills, nil},
		{bug.DMVAbortThenLateOp, All, 5, 3, 3, late, nil},
		{bug.DMVAbortThenLateOp, Quorum, 8, 1, 2, late, nil},
		{bug.DMVWatermarkOverwrite, All, 5, 3, 3, calm, nil},
		{bug.DMVAckBeforeWatermark, All, 5, 3, 3, calm, nil},
		{bug.DMVObservedMarkAfterMove, Quorum, 8, 1, 1, oneWay, nil},
		{bug.TimeoutAsFail, All, 8, 4, 4, late, nil},
		{bug.ErrorAsOK, All, 8, 1, 1, nil, nil},
		{bug.NoFsync, Quorum, 8, 1, 3, nil, nil},
	} {
		t.Run(fmt.Sprintf("%s %d", b.id, b.mode), func(t *testing.T) {
			longtest.Sample(t, at, 5)
			t.Parallel()
			count := func(make func(uint64, Mode) *run) (found int) {
				for seed := range uint64(b.runs) {
					r := make(seed, b.mode)
					r.rec.Mix = txntest.Mix{Lists: 10, Steps: 6, Whole: 0.2, Readers: 0.4}
					opts := r.options
					opts.Ops, opts.Clients = 160, 12
					opts.Bugs, opts.Faults, opts.More = bug.Set{b.id: true}, b.faults, b.more
					if _, err := sim.Run(opts); err != nil {
						found++
					}
				}
				return found
			}
			out, in := count(outside), count(inside)
			t.Logf("%s %d: of %d seeds, %d find it from outside, %d from inside",
				b.id, b.mode, b.runs, out, in)
			if out < b.outside || in < b.inside {
				t.Errorf("want at least %d and %d", b.outside, b.inside)
			}
		})
	}
}
