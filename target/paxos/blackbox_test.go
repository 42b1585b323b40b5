package paxos

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// The checks in this file see only what the clients see. With them the planted
// bugs show that they can be found from outside, and the checks that they work.

// lists generates appends of unique values, and reads.
func lists(rng *rand.Rand, n int) protocol.Request {
	r := protocol.Request{Object: "list", F: "read", Key: "l" + strconv.Itoa(rng.IntN(2))}
	if rng.IntN(2) == 0 {
		r.F, r.Value = "append", strconv.Itoa(n)
	}
	return r
}

// atomicLists checks that the operations on each list could have happened one
// at a time, each between its call and its return. A list shows its own history,
// so that an append has a position, and a read the position that it saw.
func atomicLists(c *sim.Cluster) error {
	byKey := map[string][]*sim.Op{}
	for _, op := range c.Ops() {
		if op.Request.Object == "list" {
			byKey[op.Request.Key] = append(byKey[op.Request.Key], op)
		}
	}
	for key, ops := range byKey {
		if err := atomicList(ops); err != nil {
			return fmt.Errorf("list %s: %w", key, err)
		}
	}
	return nil
}

func atomicList(ops []*sim.Op) error {
	var longest []string
	var seenAt *sim.Op
	for _, op := range ops {
		if l := elements(op); len(l) > len(longest) {
			longest, seenAt = l, op
		}
	}
	at := map[string]int{}
	for i, x := range longest {
		if _, twice := at[x]; twice {
			return fmt.Errorf("%s twice: %v", x, seenAt)
		}
		at[x] = i + 1
	}
	pos := map[*sim.Op]int{}
	for _, op := range ops {
		p, in := at[op.Request.Value]
		switch {
		case op.Request.F == "read" && op.Done && op.Outcome == protocol.OK:
			l := elements(op)
			if !slices.Equal(l, longest[:len(l)]) {
				return fmt.Errorf("no prefix of %v: %v", longest, op)
			}
			pos[op] = len(l)
		case op.Request.F == "append" && op.Done && op.Outcome == protocol.Fail && in:
			return fmt.Errorf("failed, but there: %v", op)
		case op.Request.F == "append" && op.Done && op.Outcome == protocol.OK && in:
			pos[op] = p
		case op.Request.F == "append" && op.Done && op.Outcome == protocol.OK:
			if seenAt != nil && op.Return < seenAt.Invoke {
				return fmt.Errorf("lost: %v; not in %v", op, seenAt)
			}
		}
	}
	return inRealTime(pos)
}

func inRealTime(pos map[*sim.Op]int) error {
	called := slices.Collect(maps.Keys(pos))
	returned := slices.Clone(called)
	slices.SortFunc(called, func(a, b *sim.Op) int { return cmp.Compare(a.Invoke, b.Invoke) })
	slices.SortFunc(returned, func(a, b *sim.Op) int { return cmp.Compare(a.Return, b.Return) })
	var a *sim.Op // the one at the greatest position of those that returned before
	for _, b := range called {
		for ; len(returned) > 0 && returned[0].Return < b.Invoke; returned = returned[1:] {
			if a == nil || pos[returned[0]] > pos[a] {
				a = returned[0]
			}
		}
		if a != nil && (pos[b] < pos[a] || pos[b] == pos[a] && b.Request.F == "append") {
			return fmt.Errorf("%v at %d, later %v at %d", a, pos[a], b, pos[b])
		}
	}
	return nil
}

func elements(op *sim.Op) []string {
	l := strings.Trim(op.Value, "[]")
	if op.Request.F != "read" || !op.Done || op.Outcome != protocol.OK || l == "" {
		return nil
	}
	return strings.Split(l, ",")
}

// cases generates compare-and-sets and reads over a small domain.
func cases(rng *rand.Rand, _ int) protocol.Request {
	r := protocol.Request{Object: "register", F: "read", Key: "r"}
	switch rng.IntN(4) {
	case 0:
		r.F, r.Value = "write", strconv.Itoa(rng.IntN(3))
	case 1, 2:
		r.F, r.Value = "cas", fmt.Sprintf("[%d,%d]", rng.IntN(3), rng.IntN(3))
	}
	return r
}

// atomicRegister searches for an order of the operations on the one register
// (Wing and Gong, 1993, with the memory of Lowe, 2017). It is for histories
// without unknown outcomes.
func atomicRegister(c *sim.Cluster) error {
	var ops []*sim.Op
	for _, op := range c.Ops() {
		if op.Request.Object == "register" && op.Done && op.Outcome != protocol.Unknown {
			ops = append(ops, op)
		}
	}
	dead := map[string]bool{}
	done := make([]byte, len(ops))
	for i := range done {
		done[i] = '.'
	}
	var search func(value string, left int) bool
	search = func(value string, left int) bool {
		id := value + string(done)
		if left == 0 || dead[id] {
			return left == 0
		}
		first := time.Duration(1<<63 - 1)
		for i, op := range ops {
			if done[i] == '.' {
				first = min(first, op.Return)
			}
		}
		for i, op := range ops {
			if done[i] != '.' || op.Invoke > first {
				continue
			}
			if next, fits := step(value, op); fits {
				done[i] = 'x'
				if search(next, left-1) {
					return true
				}
				done[i] = '.'
			}
		}
		dead[id] = true
		return false
	}
	if !search("null", len(ops)) {
		return fmt.Errorf("no order explains the %d operations on the register", len(ops))
	}
	return nil
}

// step tells what an operation makes of the register, and whether its reply fits.
func step(value string, op *sim.Op) (next string, fits bool) {
	switch op.Request.F {
	case "read":
		return value, op.Outcome == protocol.Fail || op.Value == value
	case "write":
		return op.Request.Value, op.Outcome == protocol.OK
	default:
		from, to, _ := strings.Cut(strings.Trim(op.Request.Value, "[]"), ",")
		if op.Outcome == protocol.OK {
			return to, value == from
		}
		return value, value != from
	}
}

// quiet are faults that are none: only clients in a hurry.
func quiet() *sim.Faults { return &sim.Faults{Think: time.Millisecond} }

// rough are the faults by which a bug shows.
func rough(kinds ...sim.FaultKind) *sim.Faults {
	return &sim.Faults{
		Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Replay: 0.02, Think: 10 * time.Millisecond,
		Kinds: kinds, Every: 1500 * time.Millisecond, Last: 1500 * time.Millisecond,
	}
}

// TestSimulationFindsPlantedBugs proves the power of the simulation: checks
// that see only what the clients see find every planted bug, and find nothing
// in as many runs of the correct protocol under the same faults.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	for at, b := range []struct {
		id     bug.ID
		within uint64 // seeds
		opts   sim.Options
		check  func(*sim.Cluster) error
	}{
		{id: bug.NoDedup, within: 20, check: atomicLists,
			opts: sim.Options{Sessions: true, Generate: lists, Faults: rough(sim.Isolate)}},
		{id: bug.TimeoutAsFail, within: 20, check: atomicLists,
			opts: sim.Options{Generate: lists, Faults: rough(sim.Isolate, sim.Kill)}},
		{id: bug.ErrorAsOK, within: 20, check: atomicLists,
			opts: sim.Options{Generate: lists, Faults: rough(sim.Halves)}},
		{id: bug.NoFsync, within: 50, check: atomicLists,
			opts: sim.Options{Generate: lists, Faults: rough(sim.KillAll)}},
		{id: bug.MPReadLocalLeader, within: 50, check: atomicLists,
			opts: sim.Options{Generate: lists, Faults: rough(sim.Isolate, sim.Stop)}},
		{id: bug.MPApplyOverHole, within: 20, check: atomicLists,
			opts: sim.Options{Generate: lists, Faults: rough(sim.Flaky)}},
		{id: bug.MPCASAtPropose, within: 20, check: atomicRegister,
			opts: sim.Options{Nodes: 3, Ops: 60, Generate: cases, Faults: quiet()}},
		{id: bug.MPNoCheckQuorum, within: 50, check: nothing},
	} {
		t.Run(string(b.id), func(t *testing.T) {
			longtest.Sample(t, at, 4)
			t.Parallel()
			run := func(seed uint64, bugs bug.Set) error {
				o := b.opts
				if b.id == bug.MPNoCheckQuorum {
					o = new(simtest.Topology).Watch(seed, 3)
					o.Generate = lists
				}
				o.Seed, o.Bugs, o.Describe = seed, bugs, Describe
				o.New = func(cfg protocol.Config) (protocol.Machine, error) { return New(cfg) }
				o.AtEnd = []func(*sim.Cluster) error{b.check}
				_, err := sim.Run(o)
				return err
			}
			found := uint64(0)
			for run(found, bug.Set{b.id: true}) == nil {
				if found++; found == b.within {
					t.Fatalf("not found within %d seeds", b.within)
				}
			}
			t.Logf("found with seed %d", found)
			for seed := range found + 1 {
				if err := run(seed, nil); err != nil {
					t.Fatalf("without the bug: %v", err)
				}
			}
		})
	}
}

func nothing(*sim.Cluster) error { return nil }
