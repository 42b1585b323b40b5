package lock

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/lease"
	"github.com/ordeal-dev/ordeal/target/paxos"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
	"github.com/ordeal-dev/ordeal/target/simtest"
)

// visit is a client that acquires a lock and does something under it.
type visit struct {
	n    int
	key  string
	ttl  int
	plan []string
	// token is what it was granted, 0 until then.
	token uint64
}

// visits begins dialogs with locks whose TTL is one of those given, in ms.
func visits(ttls ...int) func(*rand.Rand, int) sim.Dialog {
	return func(rng *rand.Rand, n int) sim.Dialog {
		v := &visit{n: n, key: "k" + strconv.Itoa(rng.IntN(2)), ttl: ttls[rng.IntN(len(ttls))]}
		for range rng.IntN(5) {
			v.plan = append(v.plan, []string{"renew", "write", "write", "read"}[rng.IntN(4)])
		}
		if rng.IntN(4) > 0 {
			v.plan = append(v.plan, "release")
		}
		if rng.IntN(4) == 0 {
			v.plan = append(v.plan, "write") // too late
		}
		return v
	}
}

func (v *visit) Next(_ *rand.Rand, last *sim.Op) (protocol.Request, bool) {
	if last == nil {
		return protocol.Request{Object: kind, F: "acquire", Key: v.key,
			Value: strconv.Itoa(v.ttl)}, true
	}
	if v.token == 0 {
		var g grant
		if last.Outcome != protocol.OK || json.Unmarshal([]byte(last.Value), &g) != nil {
			return protocol.Request{}, false
		}
		v.token = g.Token
	}
	if len(v.plan) == 0 {
		return protocol.Request{}, false
	}
	f := v.plan[0]
	v.plan = v.plan[1:]
	token := formatUint(v.token)
	switch f {
	case "write":
		return protocol.Request{Object: fencedKind, F: "write", Key: v.key,
			Value: fmt.Sprintf("[%s,%d]", token, 100*v.n+len(v.plan))}, true
	case "read":
		return protocol.Request{Object: fencedKind, F: "read", Key: v.key}, true
	default:
		return protocol.Request{Object: kind, F: f, Key: v.key, Value: token}, true
	}
}

type grant struct {
	Token uint64        `json:"token"`
	TTL   time.Duration `json:"ttl_ms"`
}

// span is a time in which a client relies on a token.
type span struct {
	token    uint64
	from, to time.Duration
	op       *sim.Op
}

// spans are the times in which clients rely on the lock: from each grant's arrival
// until the time is over that began when it was asked for, or the release is sent.
func spans(ops []*sim.Op, key string) []span {
	released := map[string]time.Duration{}
	for _, op := range ops {
		if op.Request.F == "release" {
			released[op.Request.Value] = op.Invoke
		}
	}
	var all []span
	for _, op := range ops {
		var g grant
		grants := op.Request.F == "acquire" || op.Request.F == "renew"
		if !grants || op.Request.Key != key || !op.Done || op.Outcome != protocol.OK ||
			json.Unmarshal([]byte(op.Value), &g) != nil {
			continue
		}
		terms := lease.Declared()
		terms.Length = protocol.Time(g.TTL * time.Millisecond)
		s := span{token: g.Token, from: op.Return, op: op,
			to: op.Invoke + time.Duration(terms.Held())}
		if at, there := released[formatUint(g.Token)]; there {
			s.to = min(s.to, at)
		}
		if s.from < s.to {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	return all
}

// exclusive checks that no two clients rely on one lock at a time.
func exclusive(c *sim.Cluster) error {
	for i := range 2 {
		var last span
		for _, s := range spans(c.Ops(), "k"+strconv.Itoa(i)) {
			if s.token != last.token && s.from < last.to {
				return fmt.Errorf("two rely on the lock: %v, till %v; and %v", last.op, last.to, s.op)
			}
			if s.to > last.to {
				last = s
			}
		}
	}
	return nil
}

// ordered checks that tokens are unique and increase, and that what they guard never
// takes one that is lower than one that it took before.
func ordered(c *sim.Cluster) error {
	type event struct {
		op    *sim.Op
		token uint64
	}
	grants := map[uint64]*sim.Op{}
	var acquires []event
	written := map[string][]event{}
	for _, op := range c.Ops() {
		if !op.Done || op.Outcome != protocol.OK {
			continue
		}
		switch op.Request.Object + "." + op.Request.F {
		case "lock.acquire":
			var g grant
			if err := json.Unmarshal([]byte(op.Value), &g); err != nil {
				return fmt.Errorf("%v: %w", op, err)
			}
			if other := grants[g.Token]; other != nil {
				return fmt.Errorf("token %d twice: %v and %v", g.Token, other, op)
			}
			grants[g.Token] = op
			acquires = append(acquires, event{op, g.Token})
		case "fenced.write", "fenced.read":
			value := op.Request.Value
			if op.Request.F == "read" {
				value = op.Value
			}
			token, _, err := parseWrite(value)
			if err != nil {
				return fmt.Errorf("%v: %w", op, err)
			}
			written[op.Request.Key] = append(written[op.Request.Key], event{op, token})
		}
	}
	for _, events := range append([][]event{acquires}, written["k0"], written["k1"]) {
		for _, a := range events {
			for _, b := range events {
				if a.op.Return < b.op.Invoke && b.token < a.token {
					return fmt.Errorf("token %d, later %d: %v; %v", a.token, b.token, a.op, b.op)
				}
			}
		}
	}
	return nil
}

// replicas keeps the invariants of the replicated state after every step.
type replicas struct {
	locks  map[protocol.NodeID]*Locks
	fenced map[protocol.NodeID]*Fenced
	tokens map[*Fenced]map[string]uint64
}

func newReplicas() *replicas {
	return &replicas{locks: map[protocol.NodeID]*Locks{}, fenced: map[protocol.NodeID]*Fenced{},
		tokens: map[*Fenced]map[string]uint64{}}
}

func (w *replicas) factory(cfg protocol.Config) (protocol.Machine, error) {
	mode := Mode(cfg.Bugs)
	mode.Extensions[kind] = func() kv.Extension {
		w.locks[cfg.Self] = NewLocks(cfg.Bugs)
		return w.locks[cfg.Self]
	}
	mode.Extensions[fencedKind] = func() kv.Extension {
		f := NewFenced(cfg.Bugs)
		w.fenced[cfg.Self], w.tokens[f] = f, map[string]uint64{}
		return f
	}
	return paxos.NewMode(cfg, mode)
}

// check: claims stand in the order of their tokens, and the token of what is guarded
// never falls.
func (w *replicas) check(*sim.Cluster) error {
	for id, l := range w.locks {
		for key, s := range l.locks {
			if !slices.IsSortedFunc(s.Claims, func(a, b claim) int {
				return cmp.Or(cmp.Compare(a.Token, b.Token), 1)
			}) {
				return fmt.Errorf("%s: the queue for %s is %+v", id, key, s.Claims)
			}
		}
	}
	for id, f := range w.fenced {
		for key, g := range f.all {
			if g.Token < w.tokens[f][key] {
				return fmt.Errorf("%s: the token of %s falls to %d", id, key, g.Token)
			}
			w.tokens[f][key] = g.Token
		}
	}
	return nil
}

// faultsOf draws a mix of faults; bounded keeps clocks within what is declared.
func faultsOf(seed uint64, bounded bool) *sim.Faults {
	f := sim.Swarm(rand.New(rand.NewPCG(seed, 77)))
	f.Every = max(f.Every, 600*time.Millisecond)
	if slices.Contains(f.Kinds, sim.KillAll) || slices.Contains(f.Kinds, sim.RollingKill) {
		f.Every = max(f.Every, 1500*time.Millisecond)
	}
	f.Kinds = append(f.Kinds, sim.WallJump)
	if bounded {
		f.Kinds = append(slices.DeleteFunc(f.Kinds, func(k sim.FaultKind) bool {
			return k == sim.ClockDrift || k == sim.ClockJump
		}), sim.ClockBounded)
	}
	return &f
}

// TestSimulation: exclusion while clocks keep to what is declared, the order of
// tokens with any clocks.
func TestSimulation(t *testing.T) {
	n := simtest.Seeds(t, 120)
	var mu sync.Mutex
	var grants, shared, runs int
	err := sim.Sweep(0, n, func(seed uint64) error {
		w, bounded := newReplicas(), seed%3 > 0
		o := sim.Options{
			Seed: seed, Ops: 50, Recovery: 40 * time.Second, Sessions: seed%2 == 0,
			Dialogs: visits(200, 600, 1500), Faults: faultsOf(seed, bounded),
			New: w.factory, Describe: paxos.Describe, Check: w.check,
			AtEnd: []func(*sim.Cluster) error{ordered, func(c *sim.Cluster) error {
				mu.Lock()
				defer mu.Unlock()
				for i := range 2 {
					grants += len(spans(c.Ops(), "k"+strconv.Itoa(i)))
				}
				return nil
			}},
		}
		if bounded {
			o.AtEnd = append(o.AtEnd, exclusive)
		}
		tr, err := sim.Run(o)
		mu.Lock()
		defer mu.Unlock()
		runs++
		for _, op := range tr.Ops {
			if op.Request.F == "acquire" && op.Outcome == protocol.OK &&
				op.Return-op.Invoke > 300*time.Millisecond {
				shared++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d runs, %d spans under locks, %d waited", runs, grants, shared)
	if grants < 20*runs || shared < runs {
		t.Error("the locks were hardly used")
	}
}

func rough(kinds ...sim.FaultKind) *sim.Faults {
	return &sim.Faults{
		Duplicate: 0.2, Replay: 0.05, Think: 20 * time.Millisecond,
		Kinds: kinds, Every: 1500 * time.Millisecond, Last: 2500 * time.Millisecond,
	}
}

// TestSimulationFindsPlantedBugs: from what clients see alone.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	for at, b := range []struct {
		id     bug.ID
		within uint64
		faults *sim.Faults
		ttls   []int
	}{
		{id: bug.LockTokenReset, within: 10, faults: rough(sim.Kill), ttls: []int{600}},
		{id: bug.LockResourceIgnoresToken, within: 10, faults: rough(), ttls: []int{600}},
		{id: bug.LockLateRelease, within: 20, faults: rough(), ttls: []int{1500}},
		{id: bug.LockGrantToExpired, within: 60, faults: rough(), ttls: []int{150, 300, 1500}},
		{id: bug.LockDeposedLeaderRevokes, within: 60, faults: rough(sim.Stop), ttls: []int{1000}},
	} {
		t.Run(string(b.id), func(t *testing.T) {
			longtest.Sample(t, at, 3)
			t.Parallel()
			run := func(seed uint64, bugs bug.Set) error {
				_, err := sim.Run(sim.Options{
					Seed: seed, Bugs: bugs, Nodes: 3, Ops: 100, Clients: 6,
					Dialogs: visits(b.ttls...), Faults: b.faults, Describe: paxos.Describe,
					New:   func(cfg protocol.Config) (protocol.Machine, error) { return New(cfg) },
					AtEnd: []func(*sim.Cluster) error{ordered, exclusive},
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
			for seed := range min(found+1, 10) {
				if err := run(seed, nil); err != nil {
					t.Fatalf("without the bug: %v", err)
				}
			}
		})
	}
}
