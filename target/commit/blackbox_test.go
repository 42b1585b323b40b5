package commit

import (
	"slices"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// rough are the faults by which a bug shows.
func rough(kinds ...sim.FaultKind) *sim.Faults {
	return &sim.Faults{
		Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Think: 10 * time.Millisecond,
		Kinds: kinds, Every: 1500 * time.Millisecond, Last: 1500 * time.Millisecond,
	}
}

// late are faults that let single messages come seconds late.
func late(kinds ...sim.FaultKind) *sim.Faults {
	f := rough(kinds...)
	f.Replay, f.Loss = 0.1, 0.2
	return f
}

func calm() *sim.Faults { return &sim.Faults{Think: time.Millisecond} }

// TestSimulationFindsPlantedBugs proves the power of the simulation: checks that
// see only what the clients see find the planted bugs, and find nothing in as many
// runs of the correct protocol under the same faults. Three bugs need a message or
// two crashes at the right moments, and have scripts instead: late_op.txt,
// 3pc_late.txt and 3pc_reprepare.txt in testdata.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	for at, b := range []struct {
		id     bug.ID
		first  uint64 // seed
		within uint64 // so many
		faults *sim.Faults
	}{
		{bug.TimeoutAsFail, 0, 30, rough(sim.Isolate, sim.Kill)},
		{bug.ErrorAsOK, 0, 30, rough(sim.Halves)},
		{bug.NoFsync, 0, 30, rough(sim.KillAll)},
		{bug.TwoPCVoteBeforeLog, 0, 50, rough(sim.Kill, sim.RollingKill)},
		{bug.TwoPCDecideBeforeLog, 24, 50, rough(sim.Kill, sim.Isolate, sim.Flaky)},
		{bug.TwoPCTimeoutAbort, 0, 30, rough(sim.Isolate, sim.OneWay)},
		{bug.TwoPCLocksLost, 30, 100, rough(sim.Kill, sim.KillAll, sim.Isolate)},
		{bug.TwoPCPresumeAbort, 5, 100, rough(sim.Stop, sim.Flaky)},
		{bug.TwoPCForgetAfterFirstAck, 0, 30, rough(sim.Isolate, sim.Stop)},
		{bug.TwoPCCommitNotIdempotent, 0, 10, rough()},
		{bug.TwoPCReadThroughPrepared, 0, 10, calm()},
		{bug.TwoPCUnlockAtPrepare, 0, 10, calm()},
		{bug.TwoPCTwoCoordinators, 61, 100, rough(sim.Stop)},
		{bug.TwoPCNeverResolves, 0, 30, rough(sim.Kill)},
		{bug.TwoPCOrphanPrepare, 0, 50, late(sim.Isolate)},
		{bug.ThreePCNoQuorum, 9, 50, rough(sim.Halves, sim.Isolate)},
		{bug.ThreePCLoneTimeout, 9, 50, rough(sim.OneWay, sim.Stop)},
		{bug.ThreePCPrecommitInMemory, 27, 100, rough(sim.KillAll, sim.RollingKill)},
	} {
		for _, name := range protocolsOf(b.id) {
			t.Run(string(b.id)+" in "+name, func(t *testing.T) {
				longtest.Sample(t, at, 4)
				t.Parallel()
				reveals(t, name, b.id, b.first, b.within, b.faults)
			})
		}
	}
}

// protocolsOf lists the protocols of this package that a bug can be planted in.
func protocolsOf(id bug.ID) []string {
	var names []string
	for _, info := range bug.All() {
		if info.ID == id {
			names = slices.DeleteFunc(slices.Clone(info.Protocols),
				func(name string) bool { return name != "2pc" && name != "3pc" })
		}
	}
	return names
}

// reveals runs seeds until one of them shows the bug, and these without it.
func reveals(
	t *testing.T, name string, id bug.ID, first, within uint64, faults *sim.Faults,
) {
	run := func(seed uint64, bugs bug.Set) error {
		c := &clients{}
		_, err := sim.Run(sim.Options{
			Seed: seed, Nodes: 3, Ops: 100, Recovery: 6 * time.Second,
			Bugs: bugs, Faults: faults,
			Dialogs: c.dialog, Final: c.final, Describe: Describe,
			New: func(cfg protocol.Config) (protocol.Machine, error) {
				return newMachine(cfg, name, nil)
			},
			AtEnd: []func(*sim.Cluster) error{c.serializable},
		})
		return err
	}
	found := first
	var err error
	for ; err == nil; found++ {
		if found == first+within {
			t.Fatalf("not found within %d seeds", within)
		}
		err = run(found, bug.Set{id: true})
	}
	t.Logf("found with seed %d: %.300v", found-1, err)
	for seed := first; seed < found; seed++ {
		if err := run(seed, nil); err != nil {
			t.Fatalf("without the bug: %v", err)
		}
	}
}
