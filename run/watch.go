package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports/live"
)

// errViolation ends a workload whose history so far breaks the promise.
var errViolation = errors.New("a violation was found")

const (
	// watchEvery is the time between two looks at the history so far. Between them it has
	// to grow by watchLeast events and by a quarter, so that all looks together cost a few
	// times what the last one does.
	watchEvery = 250 * time.Millisecond
	watchLeast = 100
	// watchTime bounds one look. What takes longer is left to the judge at the end.
	watchTime = 2 * time.Second
)

// watch judges the history while the test runs: its beginning, which a violation that
// nothing can undo is one of as well. It decides when the test ends, never what the
// verdict is; that is done in the end, from what is on the disk.
type watch struct {
	judge check.Checker

	mu     sync.Mutex
	events []history.Event
}

// follow takes an event of the recorder.
func (w *watch) follow(e history.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// run looks until the context ends or there is a violation, which it returns.
func (w *watch) run(ctx context.Context) (why string, found bool) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for next := watchLeast; ; {
		select {
		case <-ctx.Done():
			return "", false
		case <-tick.C:
		}
		w.mu.Lock()
		events := w.events[:len(w.events):len(w.events)]
		w.mu.Unlock()
		if len(events) < next {
			continue
		}
		next = len(events) + max(watchLeast, len(events)/4)
		h, err := history.New(append([]history.Event(nil), events...)...)
		if err != nil {
			return "", false // the judge at the end will say what is wrong with it
		}
		limited, cancel := context.WithTimeout(ctx, watchTime)
		r := w.judge.Check(limited, h)
		cancel()
		if r.Verdict == check.Invalid {
			return r.Reason, true
		}
	}
}

// stopOnViolation ends the workload at the first violation, by end. The function that it
// returns ends the watch.
func (c *conductor) stopOnViolation(
	ctx context.Context, steps []nemesis.Step, end context.CancelCauseFunc,
) func() {
	opts := c.cfg.workloadOptions()
	opts.Promise = c.sys.Promise(c.workload.Name)
	opts.Check = CheckLimits{
		Time: watchTime, Memory: c.cfg.CheckMemory, Engine: c.cfg.Engine,
	}.options()
	judge := c.workload.Early(opts)
	switch outside := nemesis.Outside(steps, c.sys.Faults()); {
	case judge == nil:
		c.progress.say("the workload %s is judged at the end only: it will not stop early",
			c.workload.Name)
		return func() {}
	case len(outside) > 0:
		c.progress.say("there are faults outside the claim: what happens under them is no " +
			"violation, and the test will not stop early")
		return func() {}
	}
	w := &watch{judge: judge}
	c.recorder.Follow(w.follow)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	crash.Go(func() {
		defer close(done)
		why, found := w.run(ctx)
		if !found {
			return
		}
		c.progress.say("violation at %s: %s", seconds(c.recorder.Now()), why)
		c.mu.Lock()
		c.test.Stopped = fmt.Sprintf("at %s, by a violation", seconds(c.recorder.Now()))
		c.found(live.Violation, "%s", why)
		c.mu.Unlock()
		end(errViolation)
	})
	return func() {
		cancel()
		<-done
		c.recorder.Follow(nil)
	}
}
