// Package links is a network in memory: directed links between nodes, and between clients
// and nodes, with the rules that fault handles have put on them and exact counters of what
// they did. What becomes of a message is drawn by cluster/impair, so a rule means the same
// here as on relays and for packets. Time comes from a Clock, virtual or real.
package links

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	// probeTries is how often a probe is sent before the link counts as dead.
	probeTries = 10
	probeSize  = 24
	// mostFlying is how many messages a link carries at a time. A real one has buffers that
	// run over; without a bound, nodes that answer each copy of a message with more than one
	// would fill the memory before they make any progress.
	mostFlying = 1 << 16
)

// Clock is the time of a network. All functions that it calls, and all calls of the network,
// come one after the other.
type Clock interface {
	// Now is the time since some beginning.
	Now() time.Duration
	// After has f called when d has passed; of what is due at the same time the older first.
	After(d time.Duration, f func())
}

// Latency bounds how long a message takes on a clean link.
type Latency struct{ Least, Most time.Duration }

func (l Latency) draw(rng *rand.Rand) time.Duration {
	return l.Least + time.Duration(rng.Int64N(int64(l.Most-l.Least)+1))
}

// Network is all links.
type Network struct {
	clock   Clock
	order   []nemesis.Link // of links
	links   map[nemesis.Link]*line
	handles map[nemesis.Handle]map[nemesis.Link]nemesis.Rule
}

// line is one directed link.
type line struct {
	clock   Clock
	latency Latency
	fate    impair.Line
	rng     *rand.Rand // how long messages take
	rule    nemesis.Rule
	clean   bool // it has no rule
	count   nemesis.Counters
	flying  int // datagrams that have not arrived
	// held are messages that later ones are to overtake, the oldest first.
	held []*parcel
	// waiting is what goes on when a cut of a stream ends.
	waiting []func()
	// bucket is of a stream's slow line, which is slow for all connections.
	bucket impair.Bucket
}

// parcel is a datagram on its way.
type parcel struct {
	deliver               func()
	corrupted, delayed    bool
	duplicate, replay     bool
	overtakers, overtaken int
	gone                  bool
}

// New makes clean links between all nodes, and between each and the clients. The seed
// decides what becomes of messages.
func New(clock Clock, nodes []nemesis.Node, seed uint64, latency Latency) *Network {
	n := &Network{
		clock: clock, links: map[nemesis.Link]*line{},
		handles: map[nemesis.Handle]map[nemesis.Link]nemesis.Rule{},
	}
	add := func(from, to nemesis.Node) {
		l := nemesis.Link{From: from, To: to}
		n.order = append(n.order, l)
		n.links[l] = &line{
			clock: clock, latency: latency, clean: true, fate: impair.Line{Rand: impair.Rand(seed, l)},
			rng: impair.Rand(seed^0x71, l),
		}
	}
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b {
				add(a, b)
			}
		}
		add(nemesis.Clients, a)
		add(a, nemesis.Clients)
	}
	return n
}

// SetRules gives a handle these rules, replacing what it had.
func (n *Network) SetRules(h nemesis.Handle, rules map[nemesis.Link]nemesis.Rule) error {
	var errs []error
	for l, r := range rules {
		if n.links[l] == nil {
			errs = append(errs, fmt.Errorf("no link %s->%s", l.From, l.To))
		}
		errs = append(errs, impair.Check(r))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("set the rules of %q: %w", h, err)
	}
	if delete(n.handles, h); len(rules) > 0 {
		n.handles[h] = maps.Clone(rules)
	}
	sorted := slices.Sorted(maps.Keys(n.handles))
	for _, link := range n.order {
		var rule nemesis.Rule
		for _, name := range sorted {
			rule = impair.Combine(rule, n.handles[name][link])
		}
		n.links[link].set(rule)
	}
	return nil
}

// Counters returns what the links have done so far.
func (n *Network) Counters() map[nemesis.Link]nemesis.Counters {
	out := make(map[nemesis.Link]nemesis.Counters, len(n.links))
	for l, line := range n.links {
		out[l] = line.count
	}
	return out
}

// Probe sends probes over every link and reports which deliver. They are treated as
// messages, and not counted. What a cut stream holds back counts as not delivered.
func (n *Network) Probe() map[nemesis.Link]bool {
	out := make(map[nemesis.Link]bool, len(n.links))
	for _, link := range n.order {
		l := n.links[link]
		stream := link.From == nemesis.Clients || link.To == nemesis.Clients
		out[link] = !l.rule.Cut
		if stream || l.rule.Cut {
			continue
		}
		out[link] = false
		for try := 0; try < probeTries && !out[link]; try++ {
			out[link] = l.fate.Draw(n.clock.Now(), probeSize, l.rule, true).Outcome == impair.Passes
		}
	}
	return out
}

// Carry takes a datagram over a link. deliver is called for each copy that arrives.
func (n *Network) Carry(l nemesis.Link, size int, deliver func()) {
	n.links[l].carry(size, deliver)
}

// Way is Carry for one link, without looking for it each time.
func (n *Network) Way(l nemesis.Link) func(size int, deliver func()) { return n.links[l].carry }

// Stream takes a piece of a stream of so many bytes over a link: it waits for the end of a
// cut.
func (n *Network) Stream(l nemesis.Link, size int, deliver func()) {
	n.links[l].stream(size, deliver)
}

// set replaces the rule. What waits for the end of a cut goes on.
func (l *line) set(r nemesis.Rule) {
	l.rule, l.clean = r, r == nemesis.Rule{}
	if r.Cut || len(l.waiting) == 0 {
		return
	}
	waiting := l.waiting
	l.waiting = nil
	for _, goOn := range waiting {
		goOn()
	}
}

// carry draws the fate of a datagram.
func (l *line) carry(size int, deliver func()) {
	took := l.latency.draw(l.rng)
	if l.flying >= mostFlying {
		l.count.Throttled++
		return
	}
	if l.clean {
		l.flying++
		l.clock.After(took, func() { l.arriveClean(deliver) })
		return
	}
	p := parcel{deliver: deliver}
	f := l.fate.Draw(l.clock.Now(), size, l.rule, false)
	switch f.Outcome {
	case impair.Passes:
	case impair.Cut:
		l.count.Dropped++
		return
	case impair.Lost:
		l.count.Lost++
		return
	case impair.Overflow:
		l.count.Throttled++
		return
	}
	if f.Throttled {
		l.count.Throttled++
	}
	if f.Held {
		l.count.Held++
	}
	p.corrupted, p.overtakers = f.FlipBit >= 0, f.Overtakers
	twin, again := p, p
	p.delayed = f.Wait+f.Delay > 0 && f.Delay > 0
	l.fly(took+f.Wait+f.Delay, &p)
	if f.Duplicate {
		twin.duplicate, twin.overtakers, twin.delayed = true, 0, f.DuplicateDelay > 0
		l.fly(took+f.Wait+f.DuplicateDelay, &twin)
	}
	if f.Replay {
		again.replay, again.overtakers = true, 0
		l.fly(took+f.ReplayDelay, &again)
	}
}

// fly has a datagram arrive when it has been on its way for so long.
func (l *line) fly(took time.Duration, p *parcel) {
	l.flying++
	l.clock.After(took, func() {
		l.flying--
		l.arrive(p)
	})
}

// arrive is the end of the way: the datagram is delivered, or held back so that others
// overtake it.
func (l *line) arrive(p *parcel) {
	if p.overtakers > 0 {
		l.held = append(l.held, p)
		l.clock.After(impair.MaxHold, func() {
			if !p.gone {
				l.unhold(p)
				l.emit(p)
			}
		})
		return
	}
	if l.emit(p) && len(l.held) > 0 {
		l.overtake()
	}
}

// arriveClean is arrive for what met no rule when it left.
func (l *line) arriveClean(deliver func()) {
	l.flying--
	if l.rule.Cut {
		l.count.Dropped++
		return
	}
	l.count.Passed++
	if deliver(); len(l.held) > 0 {
		l.overtake()
	}
}

func (l *line) unhold(p *parcel) {
	p.gone = true
	l.held = slices.DeleteFunc(l.held, func(q *parcel) bool { return q == p })
}

// overtake notes that a message went past the held ones, and sends on those that have
// been overtaken often enough.
func (l *line) overtake() {
	var free []*parcel
	for _, p := range l.held {
		if p.overtaken++; p.overtaken >= p.overtakers {
			free = append(free, p)
		}
	}
	for _, p := range free {
		l.unhold(p)
		l.emit(p)
	}
}

// emit delivers, unless the link has been cut meanwhile, and reports whether it did.
func (l *line) emit(p *parcel) bool {
	if l.rule.Cut {
		l.count.Dropped++
		return false
	}
	switch {
	case p.replay:
		l.count.Replayed++
	case p.duplicate:
		l.count.Duplicated++
	default:
		l.count.Passed++
		if p.corrupted {
			l.count.Corrupted++
		}
		if p.delayed {
			l.count.Delayed++
		}
		if p.overtaken > 0 {
			l.count.Reordered++
		}
	}
	if !p.corrupted { // the envelope's checksum finds it
		p.deliver()
	}
	return true
}

// stream takes a piece of a stream over the link.
func (l *line) stream(size int, deliver func()) {
	wait := l.latency.draw(l.rng)
	if l.rule.Delay > 0 || l.rule.Jitter > 0 {
		wait += impair.Delay(l.fate.Rand, l.rule)
		l.count.Delayed++
	}
	if l.rule.Rate > 0 {
		if slow := l.bucket.Take(l.clock.Now(), size, l.rule.Rate); slow > 0 {
			l.count.Throttled++
			wait += slow
		}
	}
	l.clock.After(wait, func() { l.pass(deliver) })
}

// pass delivers a piece of a stream, as soon as the link is not cut.
func (l *line) pass(deliver func()) {
	if l.rule.Cut {
		l.count.Dropped++
		l.waiting = append(l.waiting, func() { l.pass(deliver) })
		return
	}
	l.count.Passed++
	deliver()
}
