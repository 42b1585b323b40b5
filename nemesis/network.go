package nemesis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

const (
	// probeAgain is the time between two looks at links that are to be healed.
	probeAgain = 200 * time.Millisecond
	// probeFor is how long links may take to deliver again.
	probeFor = 5 * time.Second
	// surely is how many messages an effect must have been expected to hit
	// before its absence is held against it: at 10, chance explains the absence
	// once in 20,000 times.
	surely = 10
	// underWay is how long a message takes that nothing of the fault holds up, on a machine
	// that has much to do and under another fault's delay.
	underWay = 500 * time.Millisecond
)

// netFault puts rules on links.
type netFault struct {
	id      int64
	handle  Handle
	network Network
	world   *world
	rules   map[Link]Rule
	// lasts is how long the fault is meant to be in force.
	lasts time.Duration
	// first, if not nil, are the rules that are in force before those of rules, for so long as
	// firstFor.
	first    map[Link]Rule
	firstFor time.Duration
	// sinceSecond are the counters when all that was under way as the second rules came has
	// arrived, nil before and without any.
	sinceSecond map[Link]Counters
	// slow says that the rules make nodes slow, as others see them.
	slow bool
	// period, if not 0, makes the rules come and go.
	period time.Duration
	rng    *rand.Rand

	before map[Link]Counters
	probed Evidence // of a cut, right after the injection
	loop   background
}

func buildPartition(j job) (prepared, error) {
	k, err := kindNamed(j.step.Fault)
	if err != nil {
		return prepared{}, err
	}
	shape := j.step.shape(k)
	grudge, err := NewGrudge(shape, j.nodes, j.hit, j.rng)
	if err != nil {
		return prepared{}, err
	}
	rules := make(map[Link]Rule, len(grudge))
	for _, l := range grudge {
		rules[l] = Rule{Cut: true}
	}
	f := newNetFault(j, rules)
	f.period = j.set.duration("period")
	what := grudge.describe(shape, j.nodes, j.hit)
	if f.period > 0 {
		what += fmt.Sprintf(", on and off every %v", f.period)
	}
	hit := j.hit
	if !shape.aimed() {
		hit = nil
	}
	return prepared{fault: f, nodes: hit, what: what, undo: f.undo()}, nil
}

func buildMessages(j job) (prepared, error) {
	rule := Rule{
		Loss:      j.set.share("loss"),
		Duplicate: j.set.share("duplicate"),
		Corrupt:   j.set.share("corrupt"),
		Reorder:   j.set.share("reorder"),
		Delay:     j.set.duration("delay"),
		Jitter:    j.set.duration("jitter"),
		Replay:    j.set.share("replay"),
		ReplayMin: j.set.duration("replay_min"),
		ReplayMax: j.set.duration("replay_max"),
		Hold:      j.set.share("hold"),
		HoldMin:   j.set.duration("hold_min"),
		HoldMax:   j.set.duration("hold_max"),
		Rate:      j.set.rate("rate"),
	}
	if rule.ReplayMax < rule.ReplayMin {
		return prepared{}, fmt.Errorf("replay_max %v is less than replay_min %v",
			rule.ReplayMax, rule.ReplayMin)
	}
	if rule.HoldMax < rule.HoldMin {
		return prepared{}, fmt.Errorf("hold_max %v is less than hold_min %v",
			rule.HoldMax, rule.HoldMin)
	}
	if rule == (Rule{
		ReplayMin: rule.ReplayMin, ReplayMax: rule.ReplayMax,
		HoldMin: rule.HoldMin, HoldMax: rule.HoldMax,
	}) {
		return prepared{}, errors.New("the parameters do nothing")
	}
	links := peerLinks(j.nodes)
	where := "all links"
	if len(j.hit) > 0 {
		links = slices.DeleteFunc(links, func(l Link) bool {
			return !slices.Contains(j.hit, l.From) && !slices.Contains(j.hit, l.To)
		})
		where = "the links of " + nodeNames(j.hit)
	}
	if len(links) == 0 {
		return prepared{}, errors.New("there are no links between nodes")
	}
	rules := make(map[Link]Rule, len(links))
	for _, l := range links {
		rules[l] = rule
	}
	f := newNetFault(j, rules)
	f.slow = rule.slow()
	return prepared{
		fault: f, nodes: j.hit, what: rule.describe() + " on " + where, undo: f.undo(),
	}, nil
}

// buildEcho makes a cut that past messages get over: first copies are made that will come
// seconds later, then everything new is lost. A cut would drop the copies, too.
func buildEcho(j job) (prepared, error) {
	grudge, err := NewGrudge(ShapeIsolate, j.nodes, j.hit, j.rng)
	if err != nil {
		return prepared{}, err
	}
	copies := Rule{
		Replay: j.set.share("replay"), ReplayMin: j.set.duration("replay_min"),
		ReplayMax: j.set.duration("replay_max"),
		Delay:     j.set.duration("delay"), Jitter: j.set.duration("jitter"),
	}
	if copies.Replay == 0 || copies.ReplayMax < copies.ReplayMin {
		return prepared{}, errors.New("there would be no copies")
	}
	lost := copies
	lost.Loss = 1
	rules, first := map[Link]Rule{}, map[Link]Rule{}
	for _, l := range grudge {
		rules[l], first[l] = lost, copies
	}
	f := newNetFault(j, rules)
	f.first, f.firstFor, f.slow = first, min(j.set.duration("after"), j.step.For/2), true
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo(),
		what: fmt.Sprintf("cut %s off after %v (%s), while copies of older messages still arrive",
			nodeNames(j.hit), f.firstFor, grudge.describe(ShapeIsolate, j.nodes, j.hit)),
	}, nil
}

// peerLinks returns all links between nodes.
func peerLinks(nodes []Node) []Link {
	var links []Link
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b {
				links = append(links, Link{From: a, To: b})
			}
		}
	}
	return links
}

// clientLinks returns all links between the clients and nodes.
func clientLinks(nodes []Node) []Link {
	var links []Link
	for _, n := range nodes {
		links = append(links, Link{From: Clients, To: n}, Link{From: n, To: Clients})
	}
	return links
}

// slow reports whether most messages of a link with the rule are late by so much that those
// who wait for them cannot tell whether the other end is gone.
func (r Rule) slow() bool { return r.Hold >= 0.3 || r.Delay >= 500*time.Millisecond }

// describe words a rule: "loss 20%, delay 20ms+-10ms".
func (r Rule) describe() string {
	var parts []string
	share := func(name string, p float64) {
		if p > 0 {
			parts = append(parts, fmt.Sprintf("%s %.3g%%", name, 100*p))
		}
	}
	share("loss", r.Loss)
	share("duplicate", r.Duplicate)
	share("reorder", r.Reorder)
	share("corrupt", r.Corrupt)
	if r.Delay > 0 || r.Jitter > 0 {
		parts = append(parts, fmt.Sprintf("delay %v±%v", r.Delay, r.Jitter))
	}
	share("replay", r.Replay)
	if r.Hold > 0 {
		parts = append(parts, fmt.Sprintf("hold %.3g%% back for %v to %v",
			100*r.Hold, r.HoldMin, r.HoldMax))
	}
	if r.Rate > 0 {
		parts = append(parts, fmt.Sprintf("rate %d B/s", r.Rate))
	}
	return strings.Join(parts, ", ")
}

func newNetFault(j job, rules map[Link]Rule) *netFault {
	return &netFault{
		id: j.step.ID, handle: j.handle(), network: j.env.Network, world: j.world,
		rules: rules, lasts: j.step.For, rng: j.rng,
	}
}

func (f *netFault) undo() []string { return []string{"clear " + string(f.handle)} }

// links returns the fault's links, sorted.
func (f *netFault) links() []Link {
	return slices.SortedFunc(maps.Keys(f.rules), compareLinks)
}

// linked is a fault that is about links.
type linked interface {
	links() []Link
	cuts() bool
}

// cuts reports whether the fault cuts links rather than disturbing messages.
func (f *netFault) cuts() bool {
	for _, r := range f.rules {
		return r.Cut
	}
	return false
}

// Inject sets the rules; of a cut it proves with probes that nothing gets over.
func (f *netFault) Inject(ctx context.Context) (Evidence, error) {
	f.world.disturb(f.id, f.links())
	if f.slow {
		f.world.slowDown(f.id)
	}
	before, err := f.network.Counters(ctx)
	if err != nil {
		return Evidence{}, fmt.Errorf("read counters: %w", err)
	}
	f.before = before
	rules := f.rules
	if f.first != nil {
		rules = f.first
	}
	if err := f.network.SetRules(ctx, f.handle, rules); err != nil {
		return Evidence{}, fmt.Errorf("set rules: %w", err)
	}
	if f.cuts() {
		if f.probed, err = f.probeCut(ctx); err != nil {
			return f.probed, err
		}
	} else {
		f.probed = Evidence{Why: "rules set; their effect shows with the traffic"}
	}
	if f.period > 0 {
		f.loop.start(ctx, f.flap)
	}
	if f.first != nil {
		f.loop.start(ctx, f.second)
	}
	return f.probed, nil
}

// probeCut probes the cut links.
func (f *netFault) probeCut(ctx context.Context) (Evidence, error) {
	var e Evidence
	delivered, err := f.network.Probe(ctx)
	if err != nil {
		return e, fmt.Errorf("probe: %w", err)
	}
	var open []Link
	failed := 0
	for _, l := range f.links() {
		got, probed := delivered[l]
		switch {
		case probed && got:
			open = append(open, l)
		case probed:
			failed++
		}
	}
	e.add("links cut", int64(len(f.rules)))
	e.add("probes failed", int64(failed))
	e.add("probes delivered", int64(len(open)))
	switch {
	case len(open) > 0:
		e.Why = fmt.Sprintf("a probe got over %v although it is cut", Grudge(open))
	case failed == 0:
		e.Why = "no cut link could be probed"
	default:
		e.Bit = true
		e.Why = fmt.Sprintf("probes failed on %d of %d cut links", failed, len(f.rules))
	}
	return e, nil
}

// second sets the second rules when the time of the first is over.
func (f *netFault) second(ctx context.Context) error {
	if !vtime.Sleep(ctx, f.firstFor) {
		return nil
	}
	if err := f.network.SetRules(ctx, f.handle, f.rules); err != nil && ctx.Err() == nil {
		return fmt.Errorf("set the second rules: %w", err)
	}
	f.first = nil
	// What had its fate from the first rules still passes, as late as they made it.
	if !vtime.Sleep(ctx, f.longest()+underWay) {
		return nil
	}
	now, err := f.network.Counters(ctx)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("read counters after the second rules: %w", err)
	}
	f.sinceSecond = now
	return nil
}

// longest is the longest time for which the rules hold a message up.
func (f *netFault) longest() time.Duration {
	var d time.Duration
	for _, r := range f.rules {
		d = max(d, r.Delay+r.Jitter)
	}
	return d
}

// flap takes the rules away and sets them again until ctx ends.
func (f *netFault) flap(ctx context.Context) error {
	for cut := true; ; cut = !cut {
		half := f.period/2 + time.Duration(f.rng.Int64N(int64(f.period)+1))
		if !vtime.Sleep(ctx, half) {
			return nil
		}
		var err error
		if cut {
			err = f.network.Clear(ctx, f.handle)
		} else {
			err = f.network.SetRules(ctx, f.handle, f.rules)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("flap: %w", err)
		}
	}
}

// Observe compares the counters with those before.
func (f *netFault) Observe(ctx context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	after, err := f.network.Counters(ctx)
	if err != nil {
		return f.probed, errors.Join(loopErr, fmt.Errorf("read counters: %w", err))
	}
	var sum, late Counters
	for l := range f.rules {
		sum = sum.plus(after[l].minus(f.before[l]))
		if f.sinceSecond != nil {
			late = late.plus(after[l].minus(f.sinceSecond[l]))
		}
	}
	if f.cuts() {
		return f.observeCut(sum), loopErr
	}
	if f.firstFor == 0 {
		late = sum
	}
	return f.observeMessages(sum, late), loopErr
}

func (f *netFault) observeCut(sum Counters) Evidence {
	e := Evidence{Bit: f.probed.Bit, Why: f.probed.Why, Facts: maps.Clone(f.probed.Facts)}
	e.add("dropped", sum.Dropped)
	if sum.Dropped > 0 && e.Facts["probes delivered"] == 0 {
		e.Bit = true
		e.Why = fmt.Sprintf("dropped messages: %d; probes failed on %d of %d cut links",
			sum.Dropped, e.Facts["probes failed"], len(f.rules))
	}
	return e
}

// timely is the share of an effect's messages that it must have reached before the
// fault ends: a copy that is to come seconds later may come after a short fault.
func (f *netFault) timely(effect string, rule Rule) float64 {
	if effect != "replayed" || f.lasts == 0 {
		return 1
	}
	return max(0, 1-float64(rule.ReplayMax)/float64(f.lasts))
}

// observeMessages wants to see each effect that must have shown at that number of
// messages, and at least one of them. Losses begin with the second rules, where there are
// some: late is the traffic since then, of which another fault's cut may have left nothing,
// and which is nothing if the fault ended before what had been under way arrived.
func (f *netFault) observeMessages(sum, late Counters) Evidence {
	rules := f.rules
	if f.first != nil {
		rules = f.first // it was interrupted before the second
	}
	var rule Rule
	for _, r := range rules {
		rule = r
	}
	messages := sum.Passed + sum.Lost
	always := 0.0
	if rule.Delay > 0 || rule.Jitter > 0 {
		always = 1
	}
	effects := []struct {
		name  string
		share float64
		grew  int64
	}{
		{"lost", rule.Loss, sum.Lost},
		{"duplicated", rule.Duplicate, sum.Duplicated},
		{"reordered", rule.Reorder, sum.Reordered},
		{"corrupted", rule.Corrupt, sum.Corrupted},
		{"delayed", always, sum.Delayed},
		{"replayed", rule.Replay, sum.Replayed},
		{"held back", rule.Hold, sum.Held},
	}
	var e Evidence
	var seen, missing []string
	for _, x := range effects {
		if x.share == 0 {
			continue
		}
		// What was lost, or dropped by a cut, had no other fate.
		met := sum.Passed
		if x.name == "lost" {
			met = late.Passed + late.Lost
		}
		e.add(x.name, x.grew)
		if x.grew > 0 {
			seen = append(seen, fmt.Sprintf("%d %s", x.grew, x.name))
		} else if x.share*float64(met)*f.timely(x.name, rule) >= surely {
			missing = append(missing, x.name)
		}
	}
	if rule.Rate > 0 {
		e.add("throttled", sum.Throttled)
		if sum.Throttled > 0 {
			seen = append(seen, fmt.Sprintf("%d throttled", sum.Throttled))
		}
	}
	e.add("passed", sum.Passed)
	switch {
	case len(missing) > 0:
		e.Why = fmt.Sprintf("of %d messages none was %s", messages, strings.Join(missing, ", "))
	case len(seen) == 0:
		// What another fault lost could meet nothing of this one.
		e.Idle = sum.Passed == 0 && (rule.Loss == 0 || messages == 0)
		e.Why = fmt.Sprintf("no effect on any of %d messages", messages)
	default:
		e.Bit = true
		e.Why = "messages: " + strings.Join(seen, ", ")
	}
	return e
}

// Heal takes the rules away and probes until every link that no other fault
// disturbs delivers again.
func (f *netFault) Heal(ctx context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	if err := f.network.Clear(ctx, f.handle); err != nil {
		return Evidence{}, errors.Join(loopErr, fmt.Errorf("clear %s: %w", f.handle, err))
	}
	testable := func() []Link { return f.world.testable(f.id, f.links()) }
	return probeUntilClean(ctx, f.network, testable)
}

// probeUntilClean probes until every testable link delivers.
func probeUntilClean(ctx context.Context, network Network, testable func() []Link) (
	Evidence, error,
) {
	ctx, cancel := vtime.WithTimeout(ctx, probeFor)
	defer cancel()
	for {
		links := testable()
		if len(links) == 0 {
			return Evidence{
				Bit: true,
				Why: "no link could be probed, other faults are on them; the final check decides",
			}, nil
		}
		delivered, err := network.Probe(ctx)
		now := testable()
		var dead []Link
		good := int64(0)
		for _, l := range links {
			if got, probed := delivered[l]; probed && got {
				good++
			} else if probed && slices.Contains(now, l) {
				dead = append(dead, l)
			}
		}
		e := Evidence{}
		e.add("probes delivered", good)
		e.add("probes failed", int64(len(dead)))
		if err == nil && len(dead) == 0 {
			e.Bit = true
			e.Why = fmt.Sprintf("probes arrived over all links tested (%d)", good)
			return e, nil
		}
		e.Why = fmt.Sprintf("no probe gets over %v", Grudge(dead))
		if !vtime.Sleep(ctx, probeAgain) {
			if err == nil {
				err = errors.New(e.Why)
			}
			return e, fmt.Errorf("verify links: %w", err)
		}
	}
}

// minus returns the growth since o.
func (c Counters) minus(o Counters) Counters {
	return Counters{
		Passed:     c.Passed - o.Passed,
		Dropped:    c.Dropped - o.Dropped,
		Lost:       c.Lost - o.Lost,
		Duplicated: c.Duplicated - o.Duplicated,
		Corrupted:  c.Corrupted - o.Corrupted,
		Reordered:  c.Reordered - o.Reordered,
		Delayed:    c.Delayed - o.Delayed,
		Replayed:   c.Replayed - o.Replayed,
		Held:       c.Held - o.Held,
		Throttled:  c.Throttled - o.Throttled,
	}
}

// plus returns the sum.
func (c Counters) plus(o Counters) Counters { return c.minus(Counters{}.minus(o)) }

// background runs one part of a fault beside the rest, between Inject and Heal.
type background struct {
	cancel context.CancelFunc
	world  context.Context // that of the start, which nothing ends
	task   *vtime.Task
	err    error
}

// start runs fn on a context that outlives ctx, until stop.
func (b *background) start(ctx context.Context, fn func(context.Context) error) {
	b.world = vtime.WithoutCancel(ctx)
	ctx, b.cancel = vtime.WithCancel(b.world)
	b.task = vtime.Start(ctx, func() error { return fn(ctx) })
}

// stop ends it, waits for it, and returns its error. It may be called any number of
// times, also without start.
func (b *background) stop() error {
	if b.task != nil {
		b.cancel()
		b.err = b.task.Wait(b.world)
		b.task = nil
	}
	return b.err
}
