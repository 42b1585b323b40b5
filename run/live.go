package run

import (
	"context"
	"fmt"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/reports/live"
)

// beat tells whoever follows the run's directory, every second and until stop is called,
// that the checker lives and what it is at. That it cannot be told is no trouble of the
// test.
func (c *conductor) beat() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	crash.Go(func() {
		defer close(done)
		tick := time.NewTicker(live.Every)
		defer tick.Stop()
		for {
			if err := live.Write(c.dir, c.liveStatus()); err != nil {
				c.env.Logger.Debug("status", "err", err)
			}
			select {
			case <-tick.C:
			case <-c.moved:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		<-done
		if err := live.Remove(c.dir); err != nil {
			c.env.Logger.Debug("status", "err", err)
		}
	}
}

// tell is beat for a test in virtual time, which nobody else may look into: it says how the
// test is when that was long ago. Nothing in the test depends on whether it does.
func (c *conductor) tell(told *time.Time) {
	now := c.now()
	if now.Sub(*told) < live.Every {
		return
	}
	*told = now
	if err := live.Write(c.dir, c.liveStatus()); err != nil {
		c.env.Logger.Debug("status", "err", err)
	}
}

func (c *conductor) liveStatus() live.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Now = c.recorder.Now()
	s.Findings = append([]live.Finding(nil), s.Findings...)
	return s
}

// enter says what the test is at now, and returns what takes it back.
func (c *conductor) enter(phase string) (leave func()) {
	set := func(phase string, since history.Time) {
		c.mu.Lock()
		c.status.Phase, c.status.Since = phase, since
		c.mu.Unlock()
		select {
		case c.moved <- struct{}{}:
		default: // it is about to be told anyway
		}
	}
	c.mu.Lock()
	before := c.status
	c.mu.Unlock()
	set(phase, c.recorder.Now())
	return func() { set(before.Phase, before.Since) }
}

// found tells whoever watches. The caller holds the lock.
func (c *conductor) found(kind, format string, args ...any) {
	c.status.Findings = append(c.status.Findings, live.Finding{
		At: c.recorder.Now(), Kind: kind, Text: fmt.Sprintf(format, args...),
	})
}
