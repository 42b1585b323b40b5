package paxos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// leaseMode is the protocol lease-read.
func leaseMode() Mode { return Mode{Protocol: "lease-read", Leases: true} }

// boundedFaults is faultsOf with clocks that keep to what was declared, and the time
// of day set at will. Faults come less often, because an election waits for promises.
func boundedFaults(seed uint64) *sim.Faults {
	f := faultsOf(seed)
	outside := func(k sim.FaultKind) bool { return k == sim.ClockDrift || k == sim.ClockJump }
	f.Kinds = append(slices.DeleteFunc(f.Kinds, outside), sim.ClockBounded, sim.WallJump)
	f.Every = max(f.Every, 900*time.Millisecond)
	if slices.Contains(f.Kinds, sim.KillAll) || slices.Contains(f.Kinds, sim.RollingKill) {
		f.Every = max(f.Every, 2*time.Second)
	}
	f.Think = max(f.Think, 100*time.Millisecond)
	return f
}

// orders generates mostly operations of another kind, now and then a transfer.
func orders(next sim.Generator) sim.Generator {
	return func(rng *rand.Rand, n int) protocol.Request {
		if rng.IntN(25) == 0 {
			to := fmt.Sprintf(`"n%d"`, 1+rng.IntN(3))
			return protocol.Request{Object: adminObject, F: orderTransfer, Value: to}
		}
		return next(rng, n)
	}
}

// TestLeaseSimulation runs lease reads under everything that the claim covers.
func TestLeaseSimulation(t *testing.T) {
	n := simtest.Seeds(t, 60)
	var total tally
	var local int
	err := sim.Sweep(0, n, func(seed uint64) error {
		opts, w := checked(t, seed)
		w.mode = leaseMode()
		opts.Faults, opts.Recovery, opts.Ops = boundedFaults(seed), 12*time.Second, 200
		opts.Generate = orders(mixed)
		lw := leaseWatcher{watcher: w}
		opts.Check = lw.check
		tr, err := sim.Run(opts)
		total.add(tr, w)
		total.mu.Lock()
		defer total.mu.Unlock()
		local += lw.held
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(&total, local, "steps under a lease")
	if local < total.steps/4 {
		t.Errorf("a lease was held in %d of %d steps only", local, total.steps)
	}
	for _, k := range []sim.FaultKind{sim.ClockBounded, sim.WallJump, sim.Stop, sim.Kill} {
		if total.faults[k] < int(n)/10 {
			t.Errorf("fault %s rarely happens", k)
		}
	}
}

// leaseWatcher checks the leases as well: no two at a time, by the true clocks.
type leaseWatcher struct {
	*watcher
	held int
}

func (w *leaseWatcher) check(c *sim.Cluster) error {
	var holders []protocol.NodeID
	for _, n := range c.Nodes() {
		if !n.Up() {
			continue
		}
		m := w.nodes[n.ID()].machine
		if m.role != leader || m.commit < m.lead.noop || m.lead.tenure.released {
			continue
		}
		now := m.now + max(0, c.Clock(n)-m.wall)
		if now < m.lead.tenure.holder.End(m.latest().majority()-1) {
			holders = append(holders, m.self)
		}
	}
	w.held += len(holders)
	if len(holders) > 1 {
		w.fail("%v hold a lease at the same time", holders)
	}
	return w.watcher.check(c)
}

// leaseRough are faults under which a wrong lease shows: some last longer than it.
func leaseRough(kinds ...sim.FaultKind) *sim.Faults {
	return &sim.Faults{
		Replay: 0.05, Reorder: 0.3, Duplicate: 0.2, Think: 30 * time.Millisecond,
		Kinds: kinds, Every: 3 * time.Second, Last: 3500 * time.Millisecond,
	}
}

// TestLeaseSimulationFindsPlantedBugs: from what clients see alone. The bugs that
// need faults in a certain order have scripts only: bug_lease_*.txt.
func TestLeaseSimulationFindsPlantedBugs(t *testing.T) {
	often := leaseRough(sim.Isolate, sim.WallJump)
	often.Every = 1200 * time.Millisecond
	for at, b := range []struct {
		id     bug.ID
		within uint64
		faults *sim.Faults
	}{
		// One run in forty has the reply late enough.
		{id: bug.LeaseFromReplyTime, within: 120, faults: leaseRough(sim.Isolate, sim.Stop)},
		{id: bug.LeaseResendExtends, within: 40, faults: leaseRough(sim.Isolate)},
		{id: bug.LeaseLastMessageWins, within: 40, faults: leaseRough(sim.Isolate)},
		{id: bug.LeaseAssumeOnSend, within: 40, faults: leaseRough(sim.Isolate)},
		{id: bug.LeaseWallClock, within: 40, faults: often},
		{id: bug.LeaseWriteNoEpoch, within: 40, faults: leaseRough(sim.Stop)},
		{id: bug.LeaseKeptAfterTransfer, within: 40, faults: leaseRough(sim.Flaky)},
	} {
		t.Run(string(b.id), func(t *testing.T) {
			longtest.Sample(t, at+1, 5)
			t.Parallel()
			run := func(seed uint64, bugs bug.Set) error {
				_, err := sim.Run(sim.Options{
					Seed: seed, Bugs: bugs, Describe: Describe, Nodes: 3, Clients: 8, Ops: 1000,
					Generate: orders(lists), Faults: b.faults, Recovery: 12 * time.Second,
					New: func(cfg protocol.Config) (protocol.Machine, error) {
						return NewLeaseRead(cfg)
					},
					AtEnd: []func(*sim.Cluster) error{atomicLists},
				})
				return err
			}
			found := uint64(0)
			for run(found, bug.Set{b.id: true}) == nil {
				if found++; found == b.within {
					t.Fatalf("not found within %d seeds", b.within)
				}
			}
			t.Logf("found with seed %d", found)
			for seed := range min(found+1, 5) {
				if err := run(seed, nil); err != nil {
					t.Fatalf("without the bug: %v", err)
				}
			}
		})
	}
}
