package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/vtime"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports/live"
)

// errViolation ends a workload whose history so far breaks the promise.
var errViolation = errors.New("a violation was found")

const (
	// watchEvery is the time between two looks at the history so far; a look that took
	// longer than a part of it is followed by a rest of so many times as long, so that all
	// looks together take no more than that part of one processor.
	watchEvery = 100 * time.Millisecond
	watchRest  = 50
	// watchVirtual is the time between two looks in virtual time.
	watchVirtual = time.Second
	// watchTime bounds one look. What takes longer is left to the judge at the end.
	watchTime = 2 * time.Second
)

// watch asks a monitor until the context ends or there is a violation, which it returns.
// It decides when the test ends, never what the verdict is; that is done in the end, from
// what is on the disk.
func watch(ctx context.Context, m check.Monitor, now func() history.Time) (check.Early, bool) {
	for rest := watchEvery; vtime.Sleep(ctx, rest); {
		begin := now()
		limited, cancel := context.WithTimeout(ctx, watchTime)
		found, bad := m.Look(limited, begin)
		cancel()
		if bad {
			return found, true
		}
		rest = max(watchEvery, watchRest*time.Duration(now()-begin))
	}
	return check.Early{}, false
}

// watchVirtually is watch in virtual time, in which looking takes none. A look takes as long
// as it takes, because when a test ends must not depend on how fast the machine is.
func watchVirtually(
	ctx context.Context, m check.Monitor, recorder *history.Recorder,
) (check.Early, bool) {
	for vtime.Sleep(ctx, watchVirtual) {
		recorder.Flush()
		if found, bad := m.Look(context.Background(), recorder.Now()); bad {
			return found, true
		}
	}
	return check.Early{}, false
}

// watchHistory tells of the first violation, and ends the workload at it, by end, if it is
// to stop there. The function that it returns ends the watch.
func (c *conductor) watchHistory(
	ctx context.Context, steps []nemesis.Step, end context.CancelCauseFunc,
) func() {
	opts := c.cfg.workloadOptions()
	opts.Promise = c.sys.Promise(c.workload.Name)
	limit := watchTime
	if vtime.From(ctx) != nil {
		limit = c.cfg.CheckTime
	}
	opts.Check = CheckLimits{
		Time: limit, Memory: c.cfg.CheckMemory, Engine: c.cfg.Engine,
	}.options()
	monitor := c.workload.Early(opts)
	switch outside := nemesis.Outside(steps, c.sys.Faults()); {
	case monitor == nil:
		c.progress.say("the workload %s is judged at the end only: nothing will be told before",
			c.workload.Name)
		return func() {}
	case len(outside) > 0:
		c.progress.say("there are faults outside the claim: what happens under them is no " +
			"violation, and none will be told before the end")
		return func() {}
	}
	c.recorder.Follow(monitor.Observe)
	ctx, cancel := vtime.WithCancel(ctx)
	watching := vtime.Start(ctx, func() error {
		look := func() (check.Early, bool) { return watch(ctx, monitor, c.recorder.Now) }
		if vtime.From(ctx) != nil {
			look = func() (check.Early, bool) { return watchVirtually(ctx, monitor, c.recorder) }
		}
		found, bad := look()
		if !bad {
			return nil
		}
		c.progress.say("violation at %s, certain since the event %d at %s: %s",
			seconds(c.recorder.Now()), found.Event, seconds(found.At), found.Why)
		c.mu.Lock()
		c.found(live.Violation, "%s", found.Why)
		if c.cfg.StopOnViolation {
			c.test.Stopped = fmt.Sprintf("at %s, by a violation at %s",
				seconds(c.recorder.Now()), seconds(found.At))
		}
		c.mu.Unlock()
		if c.cfg.StopOnViolation {
			end(errViolation)
		}
		return nil
	})
	return func() {
		cancel()
		_ = watching.Wait(vtime.WithoutCancel(ctx))
		c.recorder.Follow(nil)
	}
}
