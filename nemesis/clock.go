package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// Clocks is what a fault of clocks needs of a cluster.
type Clocks interface {
	// SetClock bends a node's clocks from now on, also over its restarts; the zero
	// setting makes them true again. The node need not run.
	SetClock(ctx context.Context, node Node, s ClockSetting) error
	// ReadClock measures the clocks of a node that runs, past all faults of the
	// network.
	ReadClock(ctx context.Context, node Node) (ClockReading, error)
}

// ClockSetting is what is wrong with a node's two clocks: that which tells the time
// of day, and that by which it measures how long something takes.
type ClockSetting struct {
	Wall, Monotonic Bend
}

// Bend is what is wrong with one clock. The zero Bend is a true clock.
type Bend struct {
	// Offset is added to the time shown.
	Offset time.Duration
	// Rate is seconds shown for each real second; 0 means 1.
	Rate float64
	// Freeze stops the clock, whatever the rate.
	Freeze bool
}

// deviation is the rate less that of a true clock.
func (b Bend) deviation() float64 {
	switch {
	case b.Freeze:
		return -1
	case b.Rate == 0:
		return 0
	default:
		return b.Rate - 1
	}
}

// ClockReading is what a node's clocks showed at one moment.
type ClockReading struct {
	// Start tells the starts of a node apart: its monotonic clock begins anew.
	Start int64
	// WallError is how far its time of day is ahead of the machine's.
	WallError time.Duration
	// Monotonic is its own measure of how long it runs, Running the true one.
	Monotonic, Running time.Duration
}

// skew is how far the monotonic clock is ahead.
func (r ClockReading) skew() time.Duration { return r.Monotonic - r.Running }

// hand picks one of the two clocks: how far it is ahead.
type hand struct {
	name  string
	bend  func(ClockSetting) Bend
	ahead func(ClockReading) time.Duration
}

func hands() []hand {
	return []hand{
		{
			"wall", func(s ClockSetting) Bend { return s.Wall },
			func(r ClockReading) time.Duration { return r.WallError },
		},
		{
			"monotonic", func(s ClockSetting) Bend { return s.Monotonic },
			ClockReading.skew,
		},
	}
}

const (
	// clockPoll is the time between two looks at a clock.
	clockPoll = 50 * time.Millisecond
	// clockShows is how long a bent clock may take to be seen bent, clockHeals how
	// long until it is seen true again.
	clockShows = 4 * time.Second
	clockHeals = 6 * time.Second
	// rateBase is the least time over which a rate is measured; over it a rate that
	// is hardly wrong must have made at least rateGain.
	rateBase = 400 * time.Millisecond
	rateGain = 10 * time.Millisecond
	// wallSlack and skewSlack are how wrong a clock may be that is called true.
	wallSlack = 50 * time.Millisecond
	skewSlack = 30 * time.Millisecond
	// readingsMax bounds how many readings of a clock are kept.
	readingsMax = 400
)

// baseOf is how long a rate that is wrong by dev has to be watched.
func baseOf(dev float64) time.Duration {
	return max(rateBase, time.Duration(float64(rateGain)/math.Abs(dev)))
}

// clockTrace is what was seen of one node's clocks.
type clockTrace struct {
	before   ClockReading
	known    bool // before was read
	readings []ClockReading
	// shown says of each hand what was seen of its bend.
	shown map[string]string
	// away is true while a strobe was last seen off its place; jumps counts.
	away  map[string]bool
	jumps map[string]int
}

// add takes a reading. One of a new start begins the trace anew, at no skew.
func (t *clockTrace) add(r ClockReading) {
	if n := len(t.readings); n > 0 && t.readings[n-1].Start != r.Start {
		t.readings = nil
	}
	if t.known && t.before.Start != r.Start {
		t.before = ClockReading{Start: r.Start, WallError: t.before.WallError}
	}
	if len(t.readings) == readingsMax {
		t.readings = slices.Delete(t.readings, 1, readingsMax/2) // the first has the longest base
	}
	t.readings = append(t.readings, r)
}

// span is how long the clocks were watched since the node's last start.
func (t *clockTrace) span() time.Duration {
	if len(t.readings) == 0 {
		return 0
	}
	return t.readings[len(t.readings)-1].Running - t.readings[0].Running
}

// rate measures a hand over the longest time for which ok holds, at least base;
// false: nothing fits. The first readings may be of a node that has not yet looked at
// its clock file.
func (t *clockTrace) rate(h hand, base time.Duration, ok func(dev float64) bool) (float64, bool) {
	if len(t.readings) == 0 {
		return 0, false
	}
	last := t.readings[len(t.readings)-1]
	for _, r := range t.readings {
		took := last.Running - r.Running
		if took < base {
			break
		}
		if r.Running-t.readings[0].Running < 2*clockPoll {
			continue
		}
		dev := float64(h.ahead(last)-h.ahead(r)) / float64(took)
		if ok(dev) {
			return dev, true
		}
	}
	return 0, false
}

// look notes whether the last reading shows a hand's bend.
func (t *clockTrace) look(h hand, b Bend, strobe bool) {
	ahead := h.ahead(t.readings[len(t.readings)-1]) - h.ahead(t.before)
	dev := b.deviation()
	switch {
	case dev != 0:
		got, ok := t.rate(h, baseOf(dev), func(d float64) bool { return d/dev > 0.6 && d/dev < 1.4 })
		if ok {
			t.shown[h.name] = fmt.Sprintf("at rate %.4g (set %.4g)", 1+got, 1+dev)
		}
	case strobe:
		if away := float64(ahead)/float64(b.Offset) > 0.5; away != t.away[h.name] {
			t.away[h.name] = away
			t.jumps[h.name]++
		}
		if n := t.jumps[h.name]; n >= 2 {
			t.shown[h.name] = fmt.Sprintf("seen to jump %d times", n)
		}
	case (ahead - b.Offset).Abs() <= max(b.Offset.Abs()/4, 20*time.Millisecond):
		t.shown[h.name] = aheadBy(ahead)
	}
}

// aheadBy words an offset.
func aheadBy(d time.Duration) string {
	word := "ahead"
	if d < 0 {
		word = "behind"
	}
	return d.Abs().Round(time.Millisecond).String() + " " + word
}

// isTrue says whether the trace shows clocks that are true again after the setting.
func (t *clockTrace) isTrue(s ClockSetting) bool {
	if len(t.readings) == 0 {
		return false
	}
	last := t.readings[len(t.readings)-1]
	if s.Wall != (Bend{}) && (last.WallError-t.before.WallError).Abs() > wallSlack {
		return false
	}
	// What drift and freezing have made of a monotonic clock stays.
	if dev := s.Monotonic.deviation(); dev != 0 {
		_, ok := t.rate(hands()[1], baseOf(dev), func(d float64) bool {
			return math.Abs(d) <= min(0.3*math.Abs(dev), 0.01)
		})
		return ok
	}
	return s.Monotonic == (Bend{}) || (last.skew()-t.before.skew()).Abs() <= skewSlack
}

// clockFault bends clocks.
type clockFault struct {
	id       int64
	world    *world
	clocks   Clocks
	hit      []Node
	settings map[Node]ClockSetting
	// every, if not 0, is the mean time between the jumps of a strobe.
	every time.Duration
	rng   *rand.Rand
	loop  background

	mu     sync.Mutex
	taken  []Node // whose clocks nobody else bends
	traces map[Node]*clockTrace
}

// Inject bends the clocks and waits until that shows.
func (f *clockFault) Inject(ctx context.Context) (Evidence, error) {
	taken := f.world.seize(f.id, seamClock, f.hit)
	f.mu.Lock()
	f.taken = taken
	f.mu.Unlock()
	if len(taken) == 0 {
		e := Evidence{Why: "no clock was free to be bent"}
		return e, errNothingToDo{"every clock is in the hands of another fault, or its node is"}
	}
	f.forget()
	err := together(ctx, taken, func(n Node) error {
		if r, err := f.clocks.ReadClock(ctx, n); err == nil {
			f.trace(n, func(t *clockTrace) { t.before, t.known = r, true })
		}
		return f.clocks.SetClock(ctx, n, f.settings[n])
	})
	if err != nil {
		return Evidence{}, err
	}
	if f.every > 0 {
		f.loop.start(ctx, f.strobe)
	}
	limited, cancel := vtime.WithTimeout(ctx, clockShows)
	defer cancel()
	for {
		f.measure(ctx)
		if e := f.evidence(); e.Bit || !vtime.Sleep(limited, clockPoll) {
			return e, nil
		}
	}
}

// forget begins new traces, that know the readings before the fault.
func (f *clockFault) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.traces
	f.traces = map[Node]*clockTrace{}
	for _, n := range f.taken {
		t := &clockTrace{
			shown: map[string]string{}, away: map[string]bool{}, jumps: map[string]int{},
		}
		if o := old[n]; o != nil {
			t.before, t.known = o.before, o.known
		}
		f.traces[n] = t
	}
}

// trace calls fn with what was seen of a node.
func (f *clockFault) trace(n Node, fn func(*clockTrace)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(f.traces[n])
}

// measure reads all clocks once. Those of nodes that do not answer, perhaps because
// another fault has them, are left out.
func (f *clockFault) measure(ctx context.Context) {
	_ = together(ctx, f.taken, func(n Node) error {
		r, err := f.clocks.ReadClock(ctx, n)
		if err != nil {
			return err
		}
		f.trace(n, func(t *clockTrace) {
			t.add(r)
			for _, h := range hands() {
				if b := h.bend(f.settings[n]); b != (Bend{}) {
					t.look(h, b, f.every > 0)
				}
			}
		})
		return nil
	})
}

// strobe makes the clocks jump back and forth until ctx ends.
func (f *clockFault) strobe(ctx context.Context) error {
	for away := true; ; away = !away {
		half := f.every/2 + time.Duration(f.rng.Int64N(int64(f.every)+1))
		if !vtime.Sleep(ctx, half) {
			return nil
		}
		f.measure(ctx)
		err := together(ctx, f.taken, func(n Node) error {
			var s ClockSetting
			if !away {
				s = f.settings[n]
			}
			return f.clocks.SetClock(ctx, n, s)
		})
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("strobe: %w", err)
		}
	}
}

// enough is how long a clock has to be watched until it must have shown its bend.
func (f *clockFault) enough(b Bend) time.Duration {
	switch {
	case f.every > 0:
		return 5 * f.every
	case b.deviation() != 0:
		return baseOf(b.deviation()) + 3*clockPoll
	default:
		return 6 * clockPoll
	}
}

// evidence wants each clock that could be watched to have shown all of its bends. One
// may be lost to another fault that kills or stops its node.
func (f *clockFault) evidence() Evidence {
	f.mu.Lock()
	defer f.mu.Unlock()
	var e Evidence
	var seen, missing, unread []string
	for _, n := range f.taken {
		t := f.traces[n]
		var words []string
		same := true
		for _, h := range hands() {
			switch text, ok := t.shown[h.name]; {
			case h.bend(f.settings[n]) == (Bend{}):
			case ok:
				words = append(words, h.name+" clock "+text)
				same = same && text == t.shown["wall"]
			case t.span() < f.enough(h.bend(f.settings[n])):
				unread = append(unread, string(n))
			default:
				missing = append(missing, string(n)+" ("+h.name+")")
			}
		}
		if len(words) == 2 && same {
			words = []string{"both clocks " + t.shown["wall"]}
		}
		if len(words) > 0 {
			seen = append(seen, string(n)+": "+strings.Join(words, ", "))
		}
		t.facts(&e, n)
	}
	switch {
	case len(missing) > 0:
		e.Why = "the clock was not seen to be bent: " + strings.Join(missing, ", ")
	case len(seen) == 0:
		// Another fault that has taken the processes away leaves no clock to be bent.
		e.Idle = !slices.ContainsFunc(f.taken, func(n Node) bool { return f.world.idle(f.id, n) })
		e.Why = "could not be watched for long enough: " + strings.Join(slices.Compact(unread), ", ")
	default:
		e.Bit = true
		e.Why = strings.Join(seen, "; ")
		if len(unread) > 0 {
			e.Why += "; not watched for long enough: " + strings.Join(slices.Compact(unread), ", ")
		}
		if left := others(f.hit, f.taken); len(left) > 0 {
			e.Why += "; left to another fault: " + nodeNames(left)
		}
	}
	return e
}

// facts adds the numbers.
func (t *clockTrace) facts(e *Evidence, n Node) {
	if len(t.readings) == 0 {
		return
	}
	first, last := t.readings[0], t.readings[len(t.readings)-1]
	for _, h := range hands() {
		name := " ms " + string(n)
		e.add(h.name+" ahead before"+name, h.ahead(t.before).Milliseconds())
		e.add(h.name+" ahead"+name, h.ahead(last).Milliseconds())
		if took := last.Running - first.Running; took >= rateBase {
			gained := float64(h.ahead(last) - h.ahead(first))
			e.add(h.name+" gains ppm "+string(n), int64(1e6*gained/float64(took)))
		}
	}
}

// Observe looks once more.
func (f *clockFault) Observe(ctx context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	if f.every == 0 {
		f.measure(ctx)
	}
	return f.evidence(), loopErr
}

// Heal makes the clocks true again and watches them until they are.
func (f *clockFault) Heal(ctx context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	err := together(ctx, f.taken, func(n Node) error {
		return f.clocks.SetClock(ctx, n, ClockSetting{})
	})
	if err != nil {
		return Evidence{Why: err.Error()}, errors.Join(loopErr, err)
	}
	f.forget()
	var mu sync.Mutex
	var left []Node
	err = together(ctx, f.taken, func(n Node) error {
		ok, err := f.awaitTrue(ctx, n)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && !ok {
			left = append(left, n)
		}
		return err
	})
	if err != nil {
		return Evidence{Why: err.Error()}, err
	}
	good := others(f.taken, left)
	e := Evidence{Bit: true, Why: "clocks seen to be true: " + nodeNames(good)}
	if len(good) == 0 {
		e.Why = "set true"
	}
	if len(left) > 0 {
		slices.Sort(left)
		e.Why += "; in the hands of another fault, the final check decides: " + nodeNames(left)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range good {
		f.traces[n].facts(&e, n)
	}
	if loopErr != nil {
		e.Why += "; in the meantime: " + loopErr.Error()
	}
	return e, nil
}

// awaitTrue watches a clock; false says that another fault has its node.
func (f *clockFault) awaitTrue(ctx context.Context, n Node) (bool, error) {
	ctx, cancel := vtime.WithTimeout(ctx, clockHeals)
	defer cancel()
	for {
		r, err := f.clocks.ReadClock(ctx, n)
		isTrue := false
		if err == nil {
			f.trace(n, func(t *clockTrace) {
				t.add(r)
				isTrue = t.isTrue(f.settings[n])
			})
		}
		switch {
		case isTrue:
			return true, nil
		case err != nil && !f.world.idle(f.id, n):
			return false, nil
		case vtime.Sleep(ctx, clockPoll):
		case err != nil:
			return false, fmt.Errorf("read the clock of %s: %w", n, err)
		default:
			return false, fmt.Errorf("the clock of %s is not true again: wall %s, monotonic %s",
				n, aheadBy(r.WallError), aheadBy(r.skew()))
		}
	}
}

// verifyClocks says which clocks of the cluster are not true.
func verifyClocks(ctx context.Context, w *world, clocks Clocks, nodes []Node) error {
	bent := Bend{Rate: 1.1}
	f := &clockFault{
		world: w, clocks: clocks, hit: nodes, taken: nodes, settings: map[Node]ClockSetting{},
	}
	for _, n := range nodes {
		f.settings[n] = ClockSetting{Wall: bent, Monotonic: bent}
	}
	f.forget()
	return together(ctx, nodes, func(n Node) error {
		if ok, err := f.awaitTrue(ctx, n); err != nil || ok {
			return err
		}
		return fmt.Errorf("the clock of %s cannot be read", n)
	})
}
