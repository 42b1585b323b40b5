package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// killSeqFault kills a node and then the one that takes over from it.
type killSeqFault struct {
	*processFault
	gap       time.Duration
	nodes     []Node
	primaries func(context.Context) ([]Node, error)
	successor Node // the second victim, once it is known
}

func buildKillSeq(j job) (prepared, error) {
	f := &killSeqFault{
		processFault: newProcessFault(j), nodes: j.nodes,
		gap: min(j.set.duration("gap"), j.step.For/2), primaries: j.env.Primaries,
	}
	var undo []string
	for _, n := range j.nodes {
		undo = append(undo, "start "+string(n))
	}
	return prepared{
		fault: f, nodes: j.hit, undo: undo,
		what: "kill " + nodeNames(j.hit) + ", then the successor",
	}, nil
}

// Inject kills the first and waits for the successor in the background.
func (f *killSeqFault) Inject(ctx context.Context) (Evidence, error) {
	f.world.claimAll(f.id, f.hit, false)
	err := together(ctx, f.hit, func(n Node) error { return f.kill(ctx, n) })
	if err != nil {
		return Evidence{}, err
	}
	e, err := f.killed()
	if err == nil {
		f.loop.start(ctx, f.follow)
	}
	return e, err
}

// follow kills the first node that leads after the first victims, or any node.
func (f *killSeqFault) follow(ctx context.Context) error {
	rest := others(f.nodes, f.hit)
	if len(rest) == 0 {
		return nil
	}
	next, ok := f.heir(ctx, rest)
	if !ok {
		return nil
	}
	f.successor = next
	f.hit = append(slices.Clone(f.hit), next)
	if err := f.kill(ctx, next); err != nil && ctx.Err() == nil {
		return fmt.Errorf("kill the successor: %w", err)
	}
	return nil
}

// heir waits until one of rest leads; when the gap is over it is any of them.
// False means that the fault ended first.
func (f *killSeqFault) heir(ctx context.Context, rest []Node) (Node, bool) {
	gap, cancel := vtime.WithTimeout(ctx, f.gap)
	defer cancel()
	for f.primaries != nil {
		known, err := f.primaries(gap)
		for _, n := range known {
			if err == nil && slices.Contains(rest, n) {
				return n, ctx.Err() == nil
			}
		}
		if !vtime.Sleep(gap, 50*time.Millisecond) {
			break
		}
	}
	if f.primaries == nil {
		vtime.Sleep(gap, f.gap)
	}
	return rest[f.rng.IntN(len(rest))], ctx.Err() == nil
}

// Observe says who was killed.
func (f *killSeqFault) Observe(context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	e, err := f.killed()
	if f.successor == "" {
		e.Why += "; the fault ended before a successor was killed"
	}
	return e, errors.Join(loopErr, err)
}

// Heal starts all victims.
func (f *killSeqFault) Heal(ctx context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	e, err := f.startAll(ctx, 0)
	if err == nil && loopErr != nil {
		e.Why += "; in the meantime: " + loopErr.Error()
	}
	return e, err
}

// isolateFault cuts nodes from their peers, and kills nodes while these are cut off: the
// same ones, which start again before they are connected again; or all the others, which
// start at once and have forgotten what they did not write down, while those that are cut
// off go on with what they were promised.
type isolateFault struct {
	*processFault // of those that are killed
	cut           *netFault
	after         time.Duration
	// again: they are started at once.
	again bool
}

func buildIsolateKill(j job) (prepared, error) { return buildIsolate(j, false) }

func buildIsolateRestart(j job) (prepared, error) { return buildIsolate(j, true) }

// buildIsolate prepares the kill of the targets, or the restart of the others.
func buildIsolate(j job, restart bool) (prepared, error) {
	grudge, err := NewGrudge(ShapeIsolate, j.nodes, j.hit, j.rng)
	if err != nil {
		return prepared{}, err
	}
	rules := make(map[Link]Rule, len(grudge))
	for _, l := range grudge {
		rules[l] = Rule{Cut: true}
	}
	f := &isolateFault{
		processFault: newProcessFault(j), cut: newNetFault(j, rules),
		after: min(j.set.duration("after"), j.step.For/2), again: restart,
	}
	verb := "kill "
	if restart {
		f.hit, verb = others(j.nodes, j.hit), "restart "
	}
	if len(f.hit) == 0 {
		return prepared{}, errors.New("there are no others")
	}
	return prepared{
		fault: f, nodes: j.hit, undo: append(f.cut.undo(), f.undo("start")...),
		what: fmt.Sprintf("cut %s off (%s), and after %v %s%s", nodeNames(j.hit),
			grudge.describe(ShapeIsolate, j.nodes, j.hit), f.after, verb, nodeNames(f.hit)),
	}, nil
}

func (f *isolateFault) links() []Link { return f.cut.links() }
func (f *isolateFault) cuts() bool    { return f.cut.cuts() }

// Inject cuts the targets off, and kills a little later.
func (f *isolateFault) Inject(ctx context.Context) (Evidence, error) {
	e, err := f.cut.Inject(ctx)
	if err != nil {
		return e, err
	}
	f.loop.start(ctx, func(ctx context.Context) error {
		if !vtime.Sleep(ctx, f.after) {
			return nil
		}
		f.world.claimAll(f.id, f.hit, false)
		err := together(ctx, f.hit, func(n Node) error {
			if err := f.kill(ctx, n); err != nil || !f.again {
				return err
			}
			return f.start(ctx, n)
		})
		if err != nil && ctx.Err() == nil {
			return err
		}
		return nil
	})
	return e, nil
}

// Observe wants to have seen both the cut and the kills.
func (f *isolateFault) Observe(ctx context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	cut, cutErr := f.cut.Observe(ctx)
	kill, killErr := f.killed()
	for name, n := range kill.Facts {
		cut.add(name, n)
	}
	cut.Bit = cut.Bit && kill.Bit
	cut.Why += "; " + kill.Why
	return cut, errors.Join(loopErr, cutErr, killErr)
}

// Heal starts the victims while they are still cut off, then connects them. What
// fails in the first does not prevent the second.
func (f *isolateFault) Heal(ctx context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	started, startErr := f.startAll(ctx, 0)
	e, err := f.cut.Heal(ctx)
	for name, n := range started.Facts {
		e.add(name, n)
	}
	e.Bit = e.Bit && started.Bit
	e.Why = started.Why + "; " + e.Why
	if loopErr != nil {
		e.Why += "; in the meantime: " + loopErr.Error()
	}
	return e, errors.Join(startErr, err)
}
