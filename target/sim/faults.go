package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/target/wal"
)

// FaultKind names a fault that comes and goes.
type FaultKind string

// The faults that come and go, beside what happens to single messages.
const (
	Halves      FaultKind = "halves"       // two groups, nothing between them
	Isolate     FaultKind = "isolate"      // one node alone
	OneWay      FaultKind = "one-way"      // some directed links cut
	Flaky       FaultKind = "flaky"        // some directed links lose most messages
	Kill        FaultKind = "kill"         // one node loses power between two steps
	KillInside  FaultKind = "kill-inside"  // one node loses power inside a Ready
	KillAll     FaultKind = "kill-all"     // all nodes lose power at once
	Stop        FaultKind = "stop"         // one node is paused
	ClockDrift  FaultKind = "clock-drift"  // one clock is up to 10 % fast or slow
	ClockJump   FaultKind = "clock-jump"   // one clock jumps ahead
	SlowDisk    FaultKind = "slow-disk"    // one disk takes up to 0.3 s for a sync
	RollingKill FaultKind = "rolling-kill" // every node in turn loses power

	// These come only when Options.More asks for them.
	ClockBack FaultKind = "clock-back" // one monotonic clock jumps back
	WallJump  FaultKind = "wall-jump"  // one clock for the time of day jumps, either way
	// ClockBounded is ClockDrift within 5 %, which is what leases rely on.
	ClockBounded FaultKind = "clock-bounded"

	// These need Options.Log as well, and BitFlip Options.Salvages.
	SyncError FaultKind = "sync-error" // one sync fails and loses what it was to keep
	FullDisk  FaultKind = "full-disk"  // one disk refuses writes
	BitFlip   FaultKind = "bit-flip"   // a bit in the log of a node that is down

	// WipeDisk takes all that one node had durable. It waits until every other node has
	// what it needs; Options.More asks for it.
	WipeDisk FaultKind = "wipe-disk"
)

// AllFaults lists the kinds that Swarm draws from.
func AllFaults() []FaultKind {
	return []FaultKind{
		Halves, Isolate, OneWay, Flaky, Kill, KillInside, KillAll, Stop,
		ClockDrift, ClockJump, SlowDisk, RollingKill,
	}
}

// Faults is what goes wrong in a run. Probabilities are per message.
type Faults struct {
	Loss, Duplicate, Reorder, Replay, Corrupt float64
	// MinDelay and MaxDelay bound the time a message takes, when it is not
	// reordered; default 0.1 ms and 2 ms.
	MinDelay, MaxDelay time.Duration
	// Sync is the longest time a sync takes, a tenth of it the shortest;
	// default 1 ms.
	Sync time.Duration
	// Think is the mean time between two operations of a client; default 50 ms.
	Think time.Duration
	// Kinds are the faults that come and go, one every Every on average, for
	// about Last each; defaults 500 ms and 800 ms.
	Kinds       []FaultKind
	Every, Last time.Duration
}

func (f *Faults) setDefaults() {
	orDuration(&f.MinDelay, 100*time.Microsecond)
	orDuration(&f.MaxDelay, max(f.MinDelay, 2*time.Millisecond))
	orDuration(&f.Sync, time.Millisecond)
	orDuration(&f.Think, 50*time.Millisecond)
	orDuration(&f.Every, 500*time.Millisecond)
	orDuration(&f.Last, 800*time.Millisecond)
}

// Swarm draws a mix of faults: each is in with probability one half, in a random
// strength.
func Swarm(rng *rand.Rand) Faults {
	var f Faults
	for _, p := range []struct {
		to  *float64
		max float64
	}{
		{to: &f.Loss, max: 0.3},
		{to: &f.Duplicate, max: 0.4},
		{to: &f.Reorder, max: 0.4},
		{to: &f.Replay, max: 0.1},
		{to: &f.Corrupt, max: 0.05},
	} {
		if rng.IntN(2) == 0 {
			*p.to = rng.Float64() * p.max
		}
	}
	for _, k := range AllFaults() {
		if rng.IntN(2) == 0 {
			f.Kinds = append(f.Kinds, k)
		}
	}
	ms := func(choices ...int) time.Duration {
		return time.Duration(choices[rng.IntN(len(choices))]) * time.Millisecond
	}
	f.MaxDelay = ms(1, 2, 10, 40)
	f.Sync = ms(1, 1, 5, 20)
	f.Think = ms(1, 20, 50, 100)
	f.Every = ms(150, 300, 600, 1200)
	f.Last = ms(200, 500, 800, 2000)
	return f
}

// scheduleFault lets the next fault come, until the run is healed.
func (c *Cluster) scheduleFault() {
	if len(c.faults.Kinds) == 0 {
		return
	}
	c.after(c.between(c.faults.Every/2, c.faults.Every*3/2), func() {
		if c.healed {
			return
		}
		kind := c.faults.Kinds[c.rng.IntN(len(c.faults.Kinds))]
		c.counts[kind]++
		c.inject(kind)
		c.scheduleFault()
	})
}

// inject begins a fault and schedules its end.
func (c *Cluster) inject(kind FaultKind) {
	n := c.nodes[c.rng.IntN(len(c.nodes))]
	last := c.between(c.faults.Last/4, c.faults.Last*7/4)
	switch kind {
	case Halves:
		side := c.rng.Perm(len(c.nodes))
		at := 1 + c.rng.IntN(max(1, len(c.nodes)-1))
		c.cut(kind, last, func(a, b int) bool { return side[a] < at != (side[b] < at) })
	case Isolate:
		c.cut(kind, last, func(a, b int) bool { return a == n.index || b == n.index })
	case OneWay:
		c.cut(kind, last, func(int, int) bool { return c.rng.IntN(3) == 0 })
	case Flaky:
		c.flaky(last)
	case Kill:
		c.fault(n, "kill")
		c.crash(n)
		c.restartAfter(n, last)
	case KillInside:
		c.fault(n, "kill inside a Ready")
		n.armed = n.machine != nil
		c.after(last, func() { c.restart(n) })
	case KillAll:
		for _, n := range c.nodes {
			c.crash(n)
			c.restartAfter(n, last)
		}
	case RollingKill:
		for i, k := range c.rng.Perm(len(c.nodes)) {
			c.after(time.Duration(i)*last/4, func() {
				if !c.healed {
					c.crash(c.nodes[k])
					c.restartAfter(c.nodes[k], last/4)
				}
			})
		}
	case Stop:
		c.pause(n)
		c.after(last, func() { c.resume(n) })
	case ClockDrift:
		n.clock.set(c.now, c.rng.Int64N(200_001)-100_000, 0)
		c.fault(n, fmt.Sprintf("clock %+d ppm", n.clock.faster))
	case ClockBounded:
		n.clock.set(c.now, c.rng.Int64N(98_001)-49_000, 0)
		c.fault(n, fmt.Sprintf("clock %+d ppm", n.clock.faster))
	case ClockJump:
		n.clock.set(c.now, n.clock.faster, c.between(0, 3*time.Second))
		c.fault(n, "clock jumps ahead")
	case ClockBack:
		n.clock.set(c.now, n.clock.faster, -c.between(0, 3*time.Second))
		c.fault(n, "clock jumps back")
	case WallJump:
		n.wallError = c.between(-5*time.Second, 5*time.Second)
		c.fault(n, fmt.Sprintf("wall clock %v ahead", n.wallError))
	case SyncError, FullDisk, BitFlip:
		c.injectDisk(kind, n)
	case WipeDisk:
		if !slices.ContainsFunc(c.nodes, (*Node).lacks) {
			c.wipe(n)
			c.restartAfter(n, last)
		}
	case SlowDisk:
		c.fault(n, "slow disk")
		n.slowDisk = true
		c.after(last, func() { n.slowDisk = false })
	}
}

// lacks reports whether the node has lost something durable and not yet got it back.
func (n *Node) lacks() bool { return n.wiped || n.logged.hurt }

func (c *Cluster) fault(n *Node, what string) {
	c.note(Event{Kind: Fault, Node: n.id, Text: what})
}

// cut cuts the directed links that which names, for a time.
func (c *Cluster) cut(kind FaultKind, last time.Duration, which func(from, to int) bool) {
	var cut []*link
	text := string(kind) + ":"
	for a := range c.links {
		for b := range c.links[a] {
			if a != b && which(a, b) {
				cut = append(cut, &c.links[a][b])
				text += fmt.Sprintf(" %s>%s", c.nodes[a].id, c.nodes[b].id)
			}
		}
	}
	c.note(Event{Kind: Fault, Text: text})
	for _, l := range cut {
		l.cuts++
	}
	c.after(last, func() {
		if c.healed {
			return // everything is healed already
		}
		for _, l := range cut {
			l.cuts--
		}
		c.note(Event{Kind: Fault, Text: "healed " + string(kind)})
	})
}

func (c *Cluster) flaky(last time.Duration) {
	a, b := c.rng.IntN(len(c.nodes)), c.rng.IntN(len(c.nodes))
	all := c.rng.IntN(3) == 0
	p := 0.3 + 0.7*c.rng.Float64()
	set := func(p float64) {
		for i := range c.links {
			if all || i == a {
				c.links[i][b].loss = p
			}
		}
	}
	c.note(Event{Kind: Fault, Node: c.nodes[b].id, Text: fmt.Sprintf("in-links lose %.2f", p)})
	set(p)
	c.after(last, func() { set(0) })
}

// restartAfter starts a crashed node again, now and then at once.
func (c *Cluster) restartAfter(n *Node, d time.Duration) {
	if c.rng.IntN(3) == 0 {
		d = c.between(0, 30*time.Millisecond)
	}
	c.after(d, func() { c.restart(n) })
}

func (c *Cluster) restart(n *Node) {
	n.armed = false
	if n.machine == nil {
		c.start(n)
	}
}

// heal ends all faults and starts every node that is down.
func (c *Cluster) heal() {
	c.healed, c.healAt = true, c.now
	c.note(Event{Kind: Fault, Text: "all faults end"})
	f := c.faults
	f.Loss, f.Duplicate, f.Reorder, f.Replay, f.Corrupt, f.Kinds = 0, 0, 0, 0, 0, nil
	c.faults = f
	for a := range c.links {
		for b := range c.links[a] {
			c.links[a][b] = link{}
		}
	}
	for _, n := range c.nodes {
		n.slowDisk = false
		n.wallError = 0
		if n.logged.disk != nil {
			n.logged.trouble = wal.Trouble{}
			n.logged.disk.Set(wal.Trouble{})
		}
		n.clock.set(c.now, 0, 0)
		c.restart(n)
		c.resume(n)
	}
}
