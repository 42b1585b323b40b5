package local

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// combine returns the worst of each field of two rules.
func combine(a, b nemesis.Rule) nemesis.Rule {
	r := nemesis.Rule{
		Cut:       a.Cut || b.Cut,
		Loss:      max(a.Loss, b.Loss),
		Duplicate: max(a.Duplicate, b.Duplicate),
		Corrupt:   max(a.Corrupt, b.Corrupt),
		Reorder:   max(a.Reorder, b.Reorder),
		Delay:     max(a.Delay, b.Delay),
		Jitter:    max(a.Jitter, b.Jitter),
		Replay:    max(a.Replay, b.Replay),
		ReplayMin: max(a.ReplayMin, b.ReplayMin),
		ReplayMax: max(a.ReplayMax, b.ReplayMax),
		Hold:      max(a.Hold, b.Hold),
		HoldMin:   max(a.HoldMin, b.HoldMin),
		HoldMax:   max(a.HoldMax, b.HoldMax),
		Rate:      a.Rate,
	}
	if a.Rate == 0 || (b.Rate > 0 && b.Rate < a.Rate) {
		r.Rate = b.Rate
	}
	return r
}

// checkRule says everything that is wrong with a rule.
func checkRule(r nemesis.Rule) error {
	var errs []error
	for _, p := range []struct {
		name  string
		value float64
	}{
		{"loss", r.Loss},
		{"duplicate", r.Duplicate},
		{"corrupt", r.Corrupt},
		{"reorder", r.Reorder},
		{"replay", r.Replay},
		{"hold", r.Hold},
	} {
		// Written so that NaN, too, is refused.
		if !(p.value >= 0 && p.value <= 1) {
			errs = append(errs, fmt.Errorf("%s %v is not between 0 and 1", p.name, p.value))
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"delay", r.Delay},
		{"jitter", r.Jitter},
		{"replay_min", r.ReplayMin},
		{"replay_max", r.ReplayMax},
		{"hold_min", r.HoldMin},
		{"hold_max", r.HoldMax},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s %v is negative", d.name, d.value))
		}
	}
	if r.ReplayMax < r.ReplayMin {
		errs = append(errs, fmt.Errorf("replay_max %v is less than replay_min %v",
			r.ReplayMax, r.ReplayMin))
	}
	if r.HoldMax < r.HoldMin {
		errs = append(errs, fmt.Errorf("hold_max %v is less than hold_min %v",
			r.HoldMax, r.HoldMin))
	}
	if r.Rate < 0 {
		errs = append(errs, fmt.Errorf("rate %d is negative", r.Rate))
	}
	return errors.Join(errs...)
}

// ruleCell holds the rule in force on one link. Readers load it without a lock
// for every message; nil is a clean link.
type ruleCell struct {
	rule atomic.Pointer[nemesis.Rule]

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
}

func newRuleCell() *ruleCell {
	return &ruleCell{changed: make(chan struct{})}
}

// set puts a rule in force and wakes everybody who waits for a change.
func (c *ruleCell) set(r nemesis.Rule) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r == (nemesis.Rule{}) {
		c.rule.Store(nil)
	} else {
		c.rule.Store(&r)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// get returns the rule in force.
func (c *ruleCell) get() nemesis.Rule {
	if r := c.rule.Load(); r != nil {
		return *r
	}
	return nemesis.Rule{}
}

func (c *ruleCell) cut() bool {
	r := c.rule.Load()
	return r != nil && r.Cut
}

// change returns a channel that is closed at the next change.
func (c *ruleCell) change() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// waitUncut blocks while the link is cut; false means that done came first.
func (c *ruleCell) waitUncut(done <-chan struct{}) bool {
	for {
		changed := c.change()
		if !c.cut() {
			return true
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

// counters are one link's nemesis.Counters, counted from several goroutines.
type counters struct {
	passed, dropped, lost, duplicated, corrupted  atomic.Int64
	reordered, delayed, replayed, held, throttled atomic.Int64
}

func (c *counters) snapshot() nemesis.Counters {
	return nemesis.Counters{
		Passed:     c.passed.Load(),
		Dropped:    c.dropped.Load(),
		Lost:       c.lost.Load(),
		Duplicated: c.duplicated.Load(),
		Corrupted:  c.corrupted.Load(),
		Reordered:  c.reordered.Load(),
		Delayed:    c.delayed.Load(),
		Replayed:   c.replayed.Load(),
		Held:       c.held.Load(),
		Throttled:  c.throttled.Load(),
	}
}

// bucket is a token bucket kept as the time at which the line is free again. It
// lets bursts of burstTime's worth of bytes through at once.
type bucket struct {
	free time.Duration
}

const (
	// burstTime is how much unused rate a link may save up.
	burstTime = 50 * time.Millisecond
	// queueTime bounds the queue in front of a slow datagram link: what finds
	// more than this in front of it is dropped, as by a router.
	queueTime = time.Second
)

// backlog is how long a message must wait before it can begin to leave.
func (b *bucket) backlog(now time.Duration) time.Duration {
	return max(0, b.free-now)
}

// take reserves n bytes at rate bytes a second and returns how long the sender
// has to wait for them.
func (b *bucket) take(now time.Duration, n, rate int) time.Duration {
	b.free = max(b.free, now-burstTime)
	b.free += time.Duration(float64(n) / float64(rate) * float64(time.Second))
	return max(0, b.free-now)
}
