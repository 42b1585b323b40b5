package paxos

import (
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// onLogs are runs whose nodes keep their records in real logs on bad disks, with a
// checkpoint every so many slots.
func onLogs(seed, every uint64, faults *sim.Faults, more ...sim.FaultKind) sim.Options {
	return sim.Options{
		Seed: seed, Log: true, Salvages: true, More: more,
		Faults: faults, Describe: Describe, Generate: lists,
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

// TestDisks runs the correct protocol on disks that fail, fill up, tear, and lose
// bits in the middle of what was durable.
func TestDisks(t *testing.T) {
	t.Parallel()
	for seed := range simtest.Seeds(t, 60) {
		opts := onLogs(seed, 20, nil, sim.SyncError, sim.FullDisk, sim.BitFlip)
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
	for at, b := range []struct {
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
			longtest.Sample(t, at+1, 4)
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

// TestTruncateCorruptMiddle plants the bug that forgets what the disk has lost. It
// takes a quorum of the damaged member and of one that was cut off.
func TestTruncateCorruptMiddle(t *testing.T) {
	t.Parallel()
	const within = 300
	run := func(seed uint64, bugs bug.Set) error {
		opts := onLogs(seed, 500, &sim.Faults{
			Think: 60 * time.Millisecond, Every: 900 * time.Millisecond, Last: 1800 * time.Millisecond,
			Kinds: []sim.FaultKind{sim.Isolate, sim.Kill},
		}, sim.BitFlip)
		opts.Bugs, opts.Nodes, opts.Ops = bugs, 3, 500
		_, err := sim.Run(opts)
		return err
	}
	found := uint64(0)
	var err error
	for err == nil {
		if found == within {
			t.Fatalf("not found within %d seeds", within)
		}
		err = run(found, bug.Set{bug.TruncateMiddle: true})
		found++
	}
	t.Logf("found with seed %d: %.200s", found-1, err.Error())
	for seed := range found {
		if err := run(seed, nil); err != nil {
			t.Fatalf("without the bug: %v", err)
		}
	}
}
