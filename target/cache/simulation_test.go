package cache

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// watcher knows the order of the writes, and checks what nodes hold.
type watcher struct {
	nodes map[protocol.NodeID]*Machine
	// slots are those of each value, by key.
	slots map[string]map[string]uint64
	// latest is the last value written, by key.
	latest map[string]string
	last   map[string]uint64
	hits   int
}

func newWatcher() *watcher {
	return &watcher{nodes: map[protocol.NodeID]*Machine{}, slots: map[string]map[string]uint64{},
		latest: map[string]string{}, last: map[string]uint64{}}
}

func (w *watcher) factory(cfg protocol.Config) (protocol.Machine, error) {
	m, err := newWith(cfg, func() *state {
		s := newState(cfg.Bugs)
		s.applied = func(slot uint64, key, value string) {
			if w.slots[key] == nil {
				w.slots[key] = map[string]uint64{}
			}
			w.slots[key][value] = slot
			if slot > w.last[key] {
				w.last[key], w.latest[key] = slot, value
			}
		}
		return s
	})
	if err == nil {
		w.nodes[cfg.Self] = m
	}
	return m, err
}

// check: a copy that a node would answer from now, by its own clock, is the last
// value that was written. It is asked after every step.
func (w *watcher) check(c *sim.Cluster) error {
	for _, n := range c.Nodes() {
		m := w.nodes[n.ID()]
		if !n.Up() || m == nil {
			continue
		}
		now := m.now + max(0, c.Clock(n)-m.wall)
		for key, x := range m.holder.copies {
			if now < x.end {
				w.hits++
				if want := cmp.Or(w.latest[key], "null"); x.value != want {
					return fmt.Errorf("%s holds %s of %s, written was %s", n.ID(), x.value, key, want)
				}
			}
		}
	}
	return nil
}

// linearizable: each operation has a place in the order of the writes that agrees with
// real time.
func (w *watcher) linearizable(c *sim.Cluster) error {
	pos := map[*sim.Op]uint64{}
	keys := map[string][]*sim.Op{}
	for _, op := range c.Ops() {
		_, there := w.slots[op.Request.Key][op.Request.Value]
		if op.Done && op.Outcome == protocol.Fail && op.Request.F == "write" && there {
			return fmt.Errorf("failed, but written: %v", op)
		}
		if !op.Done || op.Outcome != protocol.OK || op.Request.Object != "register" {
			continue
		}
		value := op.Request.Value
		if op.Request.F == "read" {
			value = op.Value
		}
		slot, there := w.slots[op.Request.Key][value]
		if !there && value != "null" {
			return fmt.Errorf("nobody has written it: %v", op)
		}
		pos[op] = slot
		keys[op.Request.Key] = append(keys[op.Request.Key], op)
	}
	for _, ops := range keys {
		returned := slices.Clone(ops)
		slices.SortFunc(ops, func(a, b *sim.Op) int { return cmp.Compare(a.Invoke, b.Invoke) })
		slices.SortFunc(returned, func(a, b *sim.Op) int { return cmp.Compare(a.Return, b.Return) })
		var a *sim.Op
		for _, b := range ops {
			for ; len(returned) > 0 && returned[0].Return < b.Invoke; returned = returned[1:] {
				if a == nil || pos[returned[0]] > pos[a] {
					a = returned[0]
				}
			}
			if a != nil && pos[b] < pos[a] {
				return fmt.Errorf("%v, and later %v", a, b)
			}
		}
	}
	return nil
}

// reads generates mostly reads, and now and then a hand-over.
func reads(keys, orders int) sim.Generator {
	return func(rng *rand.Rand, n int) protocol.Request {
		if orders > 0 && rng.IntN(orders) == 0 {
			return protocol.Request{Object: "admin", F: "transfer",
				Value: fmt.Sprintf(`"n%d"`, 1+rng.IntN(3))}
		}
		r := protocol.Request{Object: "register", F: "read", Key: sim.Key(rng.IntN(keys))}
		if rng.IntN(4) == 0 {
			r.F, r.Value = "write", strconv.Itoa(n)
		}
		return r
	}
}

// faultsOf draws a mix of faults within what is declared.
func faultsOf(seed uint64) *sim.Faults {
	f := sim.Swarm(rand.New(rand.NewPCG(seed, 77)))
	f.Kinds = append(slices.DeleteFunc(f.Kinds, func(k sim.FaultKind) bool {
		return k == sim.ClockDrift || k == sim.ClockJump
	}), sim.ClockBounded, sim.WallJump)
	f.Every, f.Think = max(f.Every, 900*time.Millisecond), max(f.Think, 100*time.Millisecond)
	return &f
}

// TestSimulation runs the correct protocol under everything that the claim covers.
func TestSimulation(t *testing.T) {
	n := simtest.Seeds(t, 100)
	var mu sync.Mutex
	var ok, all, hits, quick int
	err := sim.Sweep(0, n, func(seed uint64) error {
		w := newWatcher()
		tr, err := sim.Run(sim.Options{
			Seed: seed, Ops: 200, Recovery: 40 * time.Second, Generate: reads(2, 40),
			Faults: faultsOf(seed), New: w.factory, Check: w.check,
			AtEnd: []func(*sim.Cluster) error{w.linearizable},
		})
		mu.Lock()
		defer mu.Unlock()
		hits += w.hits
		for _, op := range tr.Ops {
			all++
			if op.Outcome == protocol.OK {
				ok++
				if op.Request.F == "read" && op.Return-op.Invoke < tr.Faults.MinDelay*3 {
					quick++
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d runs, %d of %d operations ok, %d copies seen", n, ok, all, hits)
	if ok < all/3 || hits < 100*int(n) {
		t.Error("the caches were hardly used")
	}
}

func rough(kinds ...sim.FaultKind) *sim.Faults {
	return &sim.Faults{
		Reorder: 0.3, Loss: 0.05, Think: 30 * time.Millisecond,
		Kinds: kinds, Every: 2500 * time.Millisecond, Last: 1500 * time.Millisecond,
	}
}

// TestSimulationFindsPlantedBugs: from what clients see alone, but for the order of
// the writes.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	for _, b := range []struct {
		id     bug.ID
		within uint64
		orders int
		faults *sim.Faults
	}{
		{id: bug.CacheWriteNoWait, within: 10, faults: rough(sim.Isolate)},
		{id: bug.CacheInvalidateOvertakesGrant, within: 40, faults: rough()},
		{id: bug.CacheServerRestartNoWait, within: 40, faults: rough(sim.Kill)},
		{id: bug.TimeoutAsFail, within: 10, faults: rough(sim.Isolate)},
		{id: bug.ErrorAsOK, within: 10, faults: rough(sim.Halves)},
		{id: bug.NoFsync, within: 40, faults: rough(sim.KillAll)},
		{id: bug.LeaseChainedPromiseLost, within: 200, orders: 60, faults: rough(sim.Kill)},
	} {
		t.Run(string(b.id), func(t *testing.T) {
			t.Parallel()
			run := func(seed uint64, bugs bug.Set) error {
				w := newWatcher()
				_, err := sim.Run(sim.Options{
					Seed: seed, Bugs: bugs, Nodes: 3, Clients: 6, Ops: 800, Faults: b.faults,
					Generate: reads(2, b.orders), New: w.factory, Recovery: 40 * time.Second,
					AtEnd: []func(*sim.Cluster) error{w.linearizable},
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
