package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/internal/vtime"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems"
	"github.com/ordeal-dev/ordeal/systems/operation"
	"github.com/ordeal-dev/ordeal/workload"
)

// drive is the test itself: the workload beside the nemesis, healing, recovery,
// final reads. What goes wrong becomes a note: it never prevents the analysis.
func (c *conductor) drive(ctx context.Context) {
	lost := c.countStalls(ctx)
	nemesisCtx, stopNemesis := vtime.WithCancel(ctx)
	defer stopNemesis()
	healed := vtime.Start(ctx, func() error {
		_, err := c.nemesis.Run(nemesisCtx)
		return err
	})
	var once vtime.Once
	heal := func() {
		once.Do(ctx, func() {
			stopNemesis()
			// Never on a context that the end of the test cancels.
			err := c.phase(vtime.WithoutCancel(ctx), "heal and verify", healPhaseTime, healed.Wait)
			if err != nil {
				c.note("%v", err)
			}
		})
	}
	workCtx, end := vtime.WithCancelCause(ctx)
	defer end(nil)
	unwatch := func() {}
	if c.cfg.StopOnViolation || c.cfg.Watch {
		unwatch = c.watchHistory(workCtx, c.steps, end)
	}
	err := c.phase(workCtx, "workload beside nemesis", c.cfg.driveTime(),
		func(ctx context.Context) error {
			err := c.runWorkload(ctx, heal)
			if errors.Is(vtime.Cause(ctx), errViolation) {
				return nil // it ended as it was asked to
			}
			return err
		})
	unwatch()
	heal()
	if d := lost(); d > c.cfg.TimeLimit/10 {
		c.note("the checker itself stood still for %.1f s in all", d.Seconds())
	}
	switch {
	case ctx.Err() != nil:
		c.note("interrupted after %s: the workload did not run to its end",
			seconds(c.recorder.Now()))
	case err != nil:
		c.note("%v", err)
	}
}

// countStalls begins to watch for stalls; the function that it returns ends that and tells
// how long they were in all. Virtual time does not pass while nothing happens.
func (c *conductor) countStalls(ctx context.Context) (lost func() time.Duration) {
	if vtime.From(ctx) != nil {
		vtime.Spawn(ctx, func() {
			var told time.Time
			for vtime.Sleep(ctx, time.Second) {
				c.recorder.Flush()
				c.tell(&told)
			}
		})
		return func() time.Duration { return 0 }
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	log := c.recorder.NewLog()
	sum := make(chan time.Duration, 1)
	crash.Go(func() {
		sum <- watchStalls(ctx, c.recorder.Now, func(from history.Time) {
			log.Record(history.Event{
				Process: history.Nemesis, Type: history.Info, F: check.Stall,
				Value: history.Map(history.Field{Name: "from", Value: history.Int(int64(from))}),
			})
		})
	})
	return func() time.Duration { stop(); return <-sum }
}

// watchStalls tells when this process itself stood still: stopped, starved, or
// suspended with its machine. What clients did not see then says nothing about the
// system, and the judges of progress leave those times out. It is a doubt of the
// whole run only when they took more than a tenth of it. The sum is returned.
func watchStalls(
	ctx context.Context, now func() history.Time, tell func(from history.Time),
) time.Duration {
	tick := time.NewTicker(stallPoll)
	defer tick.Stop()
	var lost history.Time
	for last := now(); ; {
		select {
		case <-ctx.Done():
			return time.Duration(lost)
		case <-tick.C:
		}
		t := now()
		if t-last > stallLeast {
			tell(last)
			lost += t - last
		}
		last = t
	}
}

const (
	stallPoll  = 100 * time.Millisecond
	stallLeast = history.Time(time.Second)
)

// driveTime bounds everything from the first operation to the last final read.
func (c Config) driveTime() time.Duration {
	return c.TimeLimit + healPhaseTime + c.RecoveryTime + c.finalTime() + 2*c.OpTimeout
}

// finalTime bounds the final reads.
func (c Config) finalTime() time.Duration { return max(c.FinalTime, c.TimeLimit/10) }

// phaseRecovery is the last phase before the final operations.
const phaseRecovery = "wait for recovery"

// runWorkload runs the clients; between the main and the final phase it heals and
// waits for the recovery.
func (c *conductor) runWorkload(ctx context.Context, heal func()) error {
	opts := c.cfg.workloadOptions()
	opts.Available = c.cfg.watchesAvailability(c.sys)
	opts.Promise = c.sys.Promise(c.workload.Name)
	if c.cfg.Rush {
		opts.Rushes = rushes(c.steps)
	}
	generator, final, err := c.generators(opts)
	if err != nil {
		return err
	}
	var before workload.Snapshot
	var shown time.Time
	finalCtx, cancelFinal := vtime.WithCancelCause(ctx)
	defer cancelFinal(nil)
	return workload.Run(finalCtx, workload.RunConfig{
		Generator:   generator,
		Final:       final,
		Open:        c.open,
		Recorder:    c.recorder,
		Concurrency: c.cfg.Concurrency,
		Seed:        c.cfg.Seed,
		Timeout:     c.cfg.OpTimeout,
		OpenTimeout: c.sys.Deployment().OpenWithin,
		Epoch:       c.epoch.Load,
		Logger:      c.env.Logger,
		Stats:       &c.stats,
		BeforeFinal: func(ctx context.Context) error {
			heal()
			c.healed.Store(true)
			err := c.phase(ctx, phaseRecovery, c.cfg.RecoveryTime, c.awaitHealthy)
			if err != nil && ctx.Err() == nil {
				c.note("%v", err)
			}
			c.progress.status(c.now(), "final reads")
			limit := c.cfg.finalTime()
			vtime.Later(ctx, limit, func() {
				cancelFinal(fmt.Errorf("the final reads took longer than %v", limit))
			})
			return nil
		},
		Progress: func(s workload.Snapshot) {
			if now := c.now(); vtime.From(ctx) != nil && now.Sub(shown) < time.Second {
				return // many seconds of the test pass in one
			} else {
				shown = now
			}
			c.progress.status(c.now(), progressLine(s, before, c.nemesis.Active()))
			before = s
		},
	})
}

// progressLine says how the test goes: time, rate, outcomes, faults in force.
func progressLine(s, before workload.Snapshot, active []nemesis.ActiveFault) string {
	faults := "none"
	if len(active) > 0 {
		var names []string
		for _, a := range active {
			names = append(names, strings.TrimSpace(a.Fault+" "+a.What))
		}
		faults = strings.Join(names, "; ")
	}
	line := fmt.Sprintf("%6.1fs  %5.0f/s  ok %d  fail %d  info %d  faults: %s",
		time.Duration(s.Time).Seconds(), s.Rate(before), s.OK, s.Fail, s.Info, faults)
	if r := []rune(line); len(r) > progressColumns {
		line = string(r[:progressColumns-1]) + "…"
	}
	return line
}

// progressColumns keeps the rewritten line on one line of a usual terminal.
const progressColumns = 118

// open makes a client for a worker thread, which stays with its node unless it is
// the workload's point to move.
func (c *conductor) open(ctx context.Context, thread int) (workload.Client, error) {
	nodes := c.cfg.nodes()
	endpoints := make([]string, len(nodes))
	for i := range nodes {
		endpoints[i] = c.cluster.Endpoint(nodes[(thread+i)%len(nodes)])
	}
	client, err := c.sys.Open(ctx, endpoints, c.workload.Object)
	if err != nil {
		c.mistrust(err)
		return nil, err
	}
	client = watched{Client: client, c: c}
	if c.test.KeyPrefix != "" {
		client = prefixed{Client: client, prefix: c.test.KeyPrefix}
	}
	return client, nil
}

// prepareTime is how long one node may take to prepare the system.
const prepareTime = 5 * time.Second

// prepareSystem goes from node to node until one of them has prepared the system.
func (c *conductor) prepareSystem(ctx context.Context, p systems.Preparer) error {
	nodes := c.cfg.nodes()
	var last error
	for i := 0; ; i++ {
		try, cancel := vtime.WithTimeout(ctx, prepareTime)
		err := p.Prepare(try, c.cluster.Endpoint(nodes[i%len(nodes)]))
		cancel()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // one that was cut short does not know why
		}
		if !vtime.Sleep(ctx, healthPoll) {
			return fmt.Errorf("%w: %w", vtime.Cause(ctx), last)
		}
	}
}

// awaitHealthy waits until every node serves a real read through its links.
func (c *conductor) awaitHealthy(ctx context.Context) error {
	var last error
	for {
		err := c.probeNodes(ctx)
		if err == nil || operation.IsBroken(err) {
			return err // waiting mends no client
		}
		if last == nil || ctx.Err() == nil {
			last = err // one that was cut short does not know why
		}
		if !vtime.Sleep(ctx, healthPoll) {
			return fmt.Errorf("%w: %w", vtime.Cause(ctx), last)
		}
	}
}

// probeNodes asks all nodes at once.
func (c *conductor) probeNodes(ctx context.Context) error {
	ctx, cancel := vtime.WithTimeout(ctx, c.sys.Deployment().OpenWithin+c.cfg.OpTimeout)
	defer cancel()
	nodes := c.cfg.nodes()
	return vtime.Together(ctx, len(nodes), func(i int) error {
		if err := c.sys.Probe(ctx, c.cluster.Endpoint(nodes[i])); err != nil {
			return fmt.Errorf("node %s is not healthy: %w", nodes[i], err)
		}
		return nil
	})
}

// primaries asks the nodes who leads, past all faults of the network.
func (c *conductor) primaries(ctx context.Context) ([]nemesis.Node, error) {
	ctx, cancel := vtime.WithTimeout(ctx, statusTime)
	defer cancel()
	nodes := c.cfg.nodes()
	leads := make([]bool, len(nodes))
	_ = vtime.Together(ctx, len(nodes), func(i int) error {
		endpoint := c.cluster.DirectEndpoint(nodes[i])
		if endpoint == "" {
			return nil
		}
		s, err := c.sys.Status(ctx, endpoint)
		leads[i] = err == nil && s.Primary
		return nil
	})
	var primaries []nemesis.Node
	for i, n := range nodes {
		if leads[i] {
			primaries = append(primaries, n)
		}
	}
	return slices.Clip(primaries), nil
}
