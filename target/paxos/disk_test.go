package paxos

import (
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// onLogs are runs whose nodes keep their records in real logs on bad disks, with a
// checkpoint every so many slots.
func onLogs(seed, every uint64, faults *sim.Faults, more ...sim.FaultKind) sim.Options {
	return sim.Options{
		Seed: seed, Log: true, More: more, Faults: faults, Describe: Describe, Generate: lists,
		New: func(cfg protocol.Config) (protocol.Machine, error) {
			m, err := New(cfg)
			if err == nil {
				m.checkpointEvery, m.keep = every, every/2
			}
			return m, err
		},
		AtEnd: []func(*sim.Cluster) error{atomicLists},
	}
}

// TestDisks runs the correct protocol on disks that fail, fill up and tear.
func TestDisks(t *testing.T) {
	t.Parallel()
	for seed := range seeds(t, 60) {
		opts := onLogs(seed, 20, nil, sim.SyncError, sim.FullDisk)
		if _, err := sim.Run(opts); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDisksFindPlantedBugs plants the bugs of logs: some seeds find each, and as many
// runs without it are clean.
func TestDisksFindPlantedBugs(t *testing.T) {
	kills := func(kinds ...sim.FaultKind) *sim.Faults {
		return &sim.Faults{
			Think: 100 * time.Millisecond, Sync: 5 * time.Millisecond, Kinds: kinds,
			Every: 3 * time.Second, Last: time.Second,
		}
	}
	for _, b := range []struct {
		id     bug.ID
		every  uint64
		faults *sim.Faults
		more   []sim.FaultKind
	}{
		{bug.TornReplayed, 20, kills(sim.KillAll, sim.KillInside), nil},
		{bug.FsyncRetryOK, 500, kills(sim.KillAll), []sim.FaultKind{sim.SyncError}},
		{bug.FullAck, 20, kills(sim.KillAll), []sim.FaultKind{sim.FullDisk}},
		{bug.CompactFirst, 20, kills(sim.KillAll), nil},
	} {
		t.Run(string(b.id), func(t *testing.T) {
			t.Parallel()
			const within = 40
			run := func(seed uint64, bugs bug.Set) error {
				opts := onLogs(seed, b.every, b.faults, b.more...)
				opts.Bugs, opts.Ops = bugs, 600
				_, err := sim.Run(opts)
				return err
			}
			found := uint64(0)
			var err error
			for ; err == nil; found++ {
				if found == within {
					t.Fatalf("not found within %d seeds", within)
				}
				err = run(found, bug.Set{b.id: true})
			}
			t.Logf("found with seed %d: %.200s", found-1, err.Error())
			for seed := range found {
				if err := run(seed, nil); err != nil {
					t.Fatalf("without the bug: %v", err)
				}
			}
		})
	}
}
