package primary

import (
	"errors"
	"fmt"
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

// The checks in this file see only what the clients see. With them the planted bugs
// show that they can be found from outside, and the checks that they work.

// lists generates appends of unique values, and reads.
func lists(rng *rand.Rand, n int) protocol.Request {
	r := protocol.Request{Object: "list", F: "read", Key: "l" + strconv.Itoa(rng.IntN(2))}
	if rng.IntN(2) == 0 {
		r.F, r.Value = "append", strconv.Itoa(n)
	}
	return r
}

// appends is lists with few reads.
func appends(rng *rand.Rand, n int) protocol.Request {
	r := lists(rng, n)
	if rng.IntN(4) > 0 {
		r.F, r.Value = "append", strconv.Itoa(n)
	}
	return r
}

// errSeen says that clients have seen what they must not see.
var errSeen = errors.New("not atomic")

// atomicLists checks that the operations on each list could have happened one at a
// time, each between its call and its return. A list shows its own history, so that
// an append has a position, and a read the position that it saw.
func atomicLists(c *sim.Cluster) error {
	byKey := map[string][]*sim.Op{}
	for _, op := range c.Ops() {
		if op.Request.Object == "list" {
			byKey[op.Request.Key] = append(byKey[op.Request.Key], op)
		}
	}
	for key, ops := range byKey {
		if err := atomicList(ops); err != nil {
			return fmt.Errorf("%w: list %s: %w", errSeen, key, err)
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
	for a, pa := range pos {
		for b, pb := range pos {
			if a.Return < b.Invoke && (pb < pa || pb == pa && b.Request.F == "append") {
				return fmt.Errorf("%v at %d, later %v at %d", a, pa, b, pb)
			}
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

// rough are faults by which bugs show.
func rough(kinds ...sim.FaultKind) *sim.Faults {
	return &sim.Faults{
		Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Replay: 0.02, Think: 10 * time.Millisecond,
		Kinds: kinds, Every: 1500 * time.Millisecond, Last: 1500 * time.Millisecond,
	}
}

// delayed are faults in a network in which messages take their time.
func delayed(kinds ...sim.FaultKind) *sim.Faults {
	return &sim.Faults{
		MinDelay: time.Millisecond, MaxDelay: 60 * time.Millisecond, Think: 5 * time.Millisecond,
		Kinds: kinds, Every: 1200 * time.Millisecond, Last: time.Second,
	}
}

// plain are faults in a network in which messages are neither lost nor late.
func plain(kinds ...sim.FaultKind) *sim.Faults {
	return &sim.Faults{
		Think: 5 * time.Millisecond,
		Kinds: kinds, Every: 1500 * time.Millisecond, Last: 1500 * time.Millisecond,
	}
}

// overlapping are faults that come before others have ended.
func overlapping(kinds ...sim.FaultKind) *sim.Faults {
	return &sim.Faults{
		Think: 5 * time.Millisecond,
		Kinds: kinds, Every: 700 * time.Millisecond, Last: 2 * time.Second,
	}
}

// revealing says under which faults a planted bug shows.
type revealing struct {
	id     bug.ID
	within uint64 // seeds
	opts   sim.Options
	// kept and every make logs short, for bugs of the transfer of state.
	every, kept uint64
}

func revealings() []revealing {
	return []revealing{
		{id: bug.NoDedup, within: 20,
			opts: sim.Options{Sessions: true, Generate: lists, Faults: rough(sim.Isolate)}},
		{id: bug.TimeoutAsFail, within: 20,
			opts: sim.Options{Generate: lists, Faults: rough(sim.Isolate, sim.Kill)}},
		{id: bug.ErrorAsOK, within: 20,
			opts: sim.Options{Generate: lists, Faults: rough(sim.Halves)}},
		{id: bug.NoFsync, within: 50,
			opts: sim.Options{Generate: lists, Faults: rough(sim.KillAll)}},
		{id: bug.PBAckBeforeCopy, within: 20,
			opts: sim.Options{Generate: lists, Faults: delayed(sim.Isolate, sim.Kill)}},
		{id: bug.PBOldPrimaryServesReads, within: 20,
			opts: sim.Options{Generate: lists, Ops: 800, Faults: plain(sim.Isolate)}},
		{id: bug.PBOldPrimaryWritesAccepted, within: 60,
			opts: sim.Options{Generate: appends, Ops: 800, Faults: plain(sim.Isolate)}},
		{id: bug.PBPingFailover, within: 20,
			opts: sim.Options{Generate: lists, Ops: 800, Faults: plain(sim.Isolate, sim.Halves)}},
		{id: bug.PBCopyAppliesInArrivalOrder, within: 20,
			opts: sim.Options{Generate: appends, Faults: delayed(sim.Kill)}},
		{id: bug.PBCountSyncingCopy, within: 100, every: 30, kept: 2,
			opts: sim.Options{Nodes: 3, Generate: appends, Ops: 600,
				Faults: plain(sim.Isolate, sim.Kill)}},
		{id: bug.PBFirstUpLeads, within: 50,
			opts: sim.Options{Generate: lists, Ops: 400, Faults: overlapping(sim.KillAll, sim.Isolate)}},
		{id: bug.PBTruncateToCommitMark, within: 20,
			opts: sim.Options{Generate: appends, Faults: delayed(sim.KillAll)}},
	}
}

// TestSimulationFindsPlantedBugs proves the power of the simulation: checks that see
// only what the clients see find every planted bug, and find nothing in as many runs
// of the correct protocol under the same faults.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	for at, b := range revealings() {
		t.Run(string(b.id), func(t *testing.T) {
			longtest.Sample(t, at, 4)
			t.Parallel()
			run := func(seed uint64, bugs bug.Set) error {
				o := b.opts
				o.Seed, o.Bugs, o.Describe = seed, bugs, Describe
				o.New = func(cfg protocol.Config) (protocol.Machine, error) {
					m, err := New(cfg)
					if err == nil && b.every > 0 {
						m.checkpointEvery, m.keep = b.every, b.kept
					}
					return m, err
				}
				o.AtEnd = []func(*sim.Cluster) error{atomicLists}
				_, err := sim.Run(o)
				return err
			}
			found := uint64(0)
			for err := run(0, bug.Set{b.id: true}); ; err = run(found, bug.Set{b.id: true}) {
				if errors.Is(err, errSeen) {
					text, _, _ := strings.Cut(err.Error(), "\nlast events")
					t.Logf("found with seed %d: %.300s", found, text)
					break
				}
				if found++; found == b.within {
					t.Fatalf("not found within %d seeds", b.within)
				}
			}
			for seed := range found + 1 {
				if err := run(seed, nil); err != nil {
					t.Fatalf("without the bug: %v", err)
				}
			}
		})
	}
}

// TestPlantedBugsCrashNothing: a node with a planted bug goes on, whatever happens. A
// crash would be found by everybody.
func TestPlantedBugsCrashNothing(t *testing.T) {
	for _, b := range revealings() {
		t.Run(string(b.id), func(t *testing.T) {
			t.Parallel()
			for seed := range simtest.Seeds(t, 4) {
				_, err := sim.Run(sim.Options{
					Seed: seed, Bugs: bug.Set{b.id: true}, Describe: Describe,
					Ops: 80, Recovery: time.Second, Generate: mixed,
					New: func(cfg protocol.Config) (protocol.Machine, error) {
						m, err := New(cfg)
						if err == nil {
							m.checkpointEvery, m.keep = 20+seed, seed
						}
						return m, err
					},
				})
				if err != nil && strings.Contains(err.Error(), "panic: ") {
					t.Fatal(err)
				}
			}
		})
	}
}
