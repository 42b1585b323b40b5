package local

import (
	"sync"
	"sync/atomic"

	"github.com/ordeal-dev/ordeal/nemesis"
)

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
