package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/internal/vtime"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	// linkLeast and linkMost bound how long a message takes on a clean link.
	linkLeast = 100 * time.Microsecond
	linkMost  = 500 * time.Microsecond
	// probeTries is how often a probe is sent before the link counts as dead.
	probeTries = 10
	probeTook  = 2 * time.Millisecond
)

// network is all links, with the rules that the fault handles have put on them.
type network struct {
	w       *vtime.World
	order   []nemesis.Link // of links
	links   map[nemesis.Link]*line
	handles map[nemesis.Handle]map[nemesis.Link]nemesis.Rule
}

// line is one directed link.
type line struct {
	w     *vtime.World
	fate  impair.Line
	rng   *rand.Rand // how long messages take
	rule  nemesis.Rule
	count nemesis.Counters
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

func newNetwork(w *vtime.World, nodes []nemesis.Node, seed uint64) *network {
	n := &network{
		w: w, links: map[nemesis.Link]*line{},
		handles: map[nemesis.Handle]map[nemesis.Link]nemesis.Rule{},
	}
	add := func(from, to nemesis.Node) {
		l := nemesis.Link{From: from, To: to}
		n.order = append(n.order, l)
		n.links[l] = &line{
			w: w, fate: impair.Line{Rand: impair.Rand(seed, l)}, rng: impair.Rand(seed^0x71, l),
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

// setRules gives a handle these rules, replacing what it had.
func (n *network) setRules(h nemesis.Handle, rules map[nemesis.Link]nemesis.Rule) error {
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

func (n *network) counters() map[nemesis.Link]nemesis.Counters {
	out := make(map[nemesis.Link]nemesis.Counters, len(n.links))
	for l, line := range n.links {
		out[l] = line.count
	}
	return out
}

// probe sends probes over every link. They are treated as messages, and not counted.
func (n *network) probe(ctx context.Context) (map[nemesis.Link]bool, error) {
	if !vtime.Sleep(ctx, probeTook) {
		return nil, vtime.Cause(ctx)
	}
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
			out[link] = l.fate.Draw(n.w.Now(), 24, l.rule, true).Outcome == impair.Passes
		}
	}
	return out, nil
}

// carry takes a datagram from node to node.
func (n *network) carry(from, to nemesis.Node, size int, deliver func()) {
	n.links[nemesis.Link{From: from, To: to}].carry(size, deliver)
}

// set replaces the rule. What waits for the end of a cut goes on.
func (l *line) set(r nemesis.Rule) {
	l.rule = r
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
	took := between(l.rng, linkLeast, linkMost)
	p := parcel{deliver: deliver}
	if l.rule == (nemesis.Rule{}) {
		l.w.After(took, func() { l.arrive(&p) })
		return
	}
	f := l.fate.Draw(l.w.Now(), size, l.rule, false)
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
	l.w.After(took+f.Wait+f.Delay, func() { l.arrive(&p) })
	if f.Duplicate {
		twin.duplicate, twin.overtakers, twin.delayed = true, 0, f.DuplicateDelay > 0
		l.w.After(took+f.Wait+f.DuplicateDelay, func() { l.arrive(&twin) })
	}
	if f.Replay {
		again.replay, again.overtakers = true, 0
		l.w.After(took+f.ReplayDelay, func() { l.arrive(&again) })
	}
}

// arrive is the end of the way: the datagram is delivered, or held back so that others
// overtake it.
func (l *line) arrive(p *parcel) {
	if p.overtakers > 0 {
		l.held = append(l.held, p)
		l.w.After(impair.MaxHold, func() {
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

// stream takes a piece of a stream of so many bytes over the link: it waits for the end
// of a cut.
func (l *line) stream(size int, deliver func()) {
	wait := between(l.rng, linkLeast, linkMost)
	if l.rule.Delay > 0 || l.rule.Jitter > 0 {
		wait += impair.Delay(l.fate.Rand, l.rule)
		l.count.Delayed++
	}
	if l.rule.Rate > 0 {
		if slow := l.bucket.Take(l.w.Now(), size, l.rule.Rate); slow > 0 {
			l.count.Throttled++
			wait += slow
		}
	}
	l.w.After(wait, func() { l.pass(deliver) })
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
