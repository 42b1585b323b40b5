package quorum

import (
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// onLogs are runs whose nodes keep their records in real logs on bad disks.
func onLogs(seed uint64, more ...sim.FaultKind) sim.Options {
	return sim.Options{
		Seed: seed, Log: true, Salvages: true, More: more, New: factory, Describe: Describe,
		AtEnd: []func(*sim.Cluster) error{atomicOps},
	}
}

// TestDisks runs the correct protocol on disks that fail, fill up, tear, and lose
// bits in the middle of what was durable.
func TestDisks(t *testing.T) {
	t.Parallel()
	flips := 0
	for seed := range simtest.Seeds(t, 100) {
		opts := onLogs(seed, sim.SyncError, sim.FullDisk, sim.BitFlip)
		tr, err := sim.Run(opts)
		if err != nil {
			t.Fatal(err)
		}
		flips += tr.Injected[sim.BitFlip]
	}
	t.Logf("%d attempts to flip a bit", flips)
}

// TestTruncateCorruptMiddle plants the bug that forgets what the disk has lost.
func TestTruncateCorruptMiddle(t *testing.T) {
	t.Parallel()
	const within = 100
	run := func(seed uint64, bugs bug.Set) error {
		opts := onLogs(seed, sim.BitFlip)
		opts.Bugs, opts.Nodes, opts.Ops = bugs, 3, 300
		opts.Faults = &sim.Faults{
			Think: 30 * time.Millisecond, Loss: 0.2, Kinds: []sim.FaultKind{sim.Isolate},
			Every: 250 * time.Millisecond, Last: 500 * time.Millisecond,
		}
		_, err := sim.Run(opts)
		return err
	}
	found := uint64(0)
	for run(found, bug.Set{bug.TruncateMiddle: true}) == nil {
		if found++; found == within {
			t.Fatalf("not found within %d seeds", within)
		}
	}
	t.Logf("found with seed %d", found)
	for seed := range found + 1 {
		if err := run(seed, nil); err != nil {
			t.Fatalf("without the bug: %v", err)
		}
	}
}
