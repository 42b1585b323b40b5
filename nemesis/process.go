package nemesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// processFault is what all faults of processes share: whom they hit, and what was
// seen of the processes.
type processFault struct {
	id    int64
	world *world
	hit   []Node
	rng   *rand.Rand
	loop  background

	mu   sync.Mutex
	seen map[Node]*sighting
}

// sighting is what was seen of one process.
type sighting struct {
	before, after int  // pid
	gone          bool // it was seen not to run
	stopped       bool // it was seen stopped after the injection
	resumed       bool // it was seen running at the end although nobody killed it
	fresh         bool // it ran, and no other fault had it
	restarts      int  // times it ran with another pid than before
}

func newProcessFault(j job) *processFault {
	return &processFault{
		id: j.step.ID, world: j.world, hit: j.hit, rng: j.rng, seen: map[Node]*sighting{},
	}
}

// undo returns an action for each node that is hit.
func (f *processFault) undo(action string) []string {
	var undo []string
	for _, n := range f.hit {
		undo = append(undo, action+" "+string(n))
	}
	return undo
}

// look calls fn with the sighting of a node.
func (f *processFault) look(n Node, fn func(*sighting)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[n] == nil {
		f.seen[n] = &sighting{}
	}
	fn(f.seen[n])
}

// together does something to all nodes at the same time.
func together(ctx context.Context, nodes []Node, do func(Node) error) error {
	return vtime.Together(ctx, len(nodes), func(i int) error { return do(nodes[i]) })
}

// kill takes a node down and notes what was seen.
func (f *processFault) kill(ctx context.Context, n Node) error {
	before, fresh, err := f.world.takeDown(ctx, f.id, n)
	if err != nil {
		return err
	}
	after := before
	if before.PID != 0 {
		after, err = f.world.await(ctx, n, func(s ProcessState) bool {
			return s.PID != before.PID
		})
		if err != nil {
			return fmt.Errorf("kill %s: %w", n, err)
		}
	}
	f.look(n, func(s *sighting) {
		if s.before == 0 {
			s.before = before.PID
		}
		s.fresh = s.fresh || fresh
		s.gone = s.gone || after.PID != before.PID
	})
	return nil
}

// start brings a node up again and notes its new pid.
func (f *processFault) start(ctx context.Context, n Node) error {
	state, err := f.world.bringUp(ctx, f.id, n)
	if err != nil {
		return err
	}
	f.look(n, func(s *sighting) {
		if state.PID != 0 && state.PID != s.before && state.PID != s.after {
			s.restarts++
		}
		s.after = state.PID
	})
	return nil
}

// startAll brings up whatever this fault took down, in random order with waits of
// up to stagger, or all at once when stagger is 0. One failure does not keep the
// others down.
func (f *processFault) startAll(ctx context.Context, stagger time.Duration) (Evidence, error) {
	if stagger == 0 {
		return f.verified(together(ctx, f.hit, func(n Node) error { return f.start(ctx, n) }))
	}
	var errs []error
	for i, n := range shuffled(f.hit, f.rng) {
		if i > 0 {
			vtime.Sleep(ctx, time.Duration(f.rng.Int64N(int64(stagger)+1)))
		}
		errs = append(errs, f.start(ctx, n))
	}
	return f.verified(errors.Join(errs...))
}

// verified is the evidence of a heal of processes.
func (f *processFault) verified(err error) (Evidence, error) {
	if err != nil {
		return Evidence{Why: err.Error()}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e := Evidence{Bit: true}
	var up, left []Node
	for _, n := range f.hit {
		switch s := f.seen[n]; {
		case s == nil: // it was never touched
		case s.after != 0:
			up = append(up, n)
			e.add("pid "+string(n), int64(s.after))
		default:
			left = append(left, n)
		}
	}
	e.Why = "running again: " + cmp.Or(nodeNames(up), "nobody")
	if len(left) > 0 {
		e.Why += "; left to another fault: " + nodeNames(left)
	}
	return e, nil
}

// errNothingToDo says that a fault found no process on which it could act.
type errNothingToDo struct{ reason string }

func (e errNothingToDo) Error() string { return e.reason }

// killed is the evidence of a kill: every process that was taken by this fault
// is gone.
func (f *processFault) killed() (Evidence, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var e Evidence
	var gone, alive []Node
	for _, n := range f.hit {
		s := f.seen[n]
		if s == nil || !s.fresh {
			continue
		}
		e.add("pid "+string(n)+" before", int64(s.before))
		if s.gone {
			gone = append(gone, n)
		} else {
			alive = append(alive, n)
		}
	}
	switch {
	case len(alive) > 0:
		e.Why = "still running after SIGKILL: " + nodeNames(alive)
	case len(gone) == 0:
		e.Why = "no process was there to be killed"
		return e, errNothingToDo{"every process was already down"}
	default:
		e.Bit = true
		e.Why = "gone after SIGKILL: " + nodeNames(gone)
	}
	return e, nil
}

// killFault kills nodes and starts them again when it is healed.
type killFault struct {
	*processFault
	stagger time.Duration
}

func buildKill(j job) (prepared, error) {
	f := killFault{processFault: newProcessFault(j), stagger: j.set.duration("stagger")}
	return prepared{
		fault: f, nodes: j.hit, what: "kill " + nodeNames(j.hit), undo: f.undo("start"),
	}, nil
}

// Inject kills all targets at the same time.
func (f killFault) Inject(ctx context.Context) (Evidence, error) {
	f.world.claimAll(f.id, f.hit, false)
	err := together(ctx, f.hit, func(n Node) error { return f.kill(ctx, n) })
	if err != nil {
		return Evidence{}, err
	}
	return f.killed()
}

// Observe repeats what Inject saw.
func (f killFault) Observe(context.Context) (Evidence, error) { return f.killed() }

// Heal starts the processes again.
func (f killFault) Heal(ctx context.Context) (Evidence, error) {
	return f.startAll(ctx, f.stagger)
}

// pauseFault stops processes.
type pauseFault struct{ *processFault }

func buildPause(j job) (prepared, error) {
	f := pauseFault{processFault: newProcessFault(j)}
	return prepared{
		fault: f, nodes: j.hit, what: "pause " + nodeNames(j.hit), undo: f.undo("resume"),
	}, nil
}

// Inject stops all targets; those that another fault kills are left out.
func (f pauseFault) Inject(ctx context.Context) (Evidence, error) {
	f.world.claimAll(f.id, f.world.free(f.id, f.hit), true)
	err := together(ctx, f.hit, func(n Node) error {
		_, err := f.world.pause(ctx, f.id, n)
		if errors.Is(err, errDown) {
			return nil
		}
		if err == nil {
			f.look(n, func(s *sighting) { s.fresh, s.stopped = true, true })
		}
		return err
	})
	e, missing := f.stopped()
	if err != nil {
		return e, err
	}
	return e, missing
}

// Observe looks whether the processes are still stopped.
func (f pauseFault) Observe(ctx context.Context) (Evidence, error) {
	err := together(ctx, f.hit, func(n Node) error {
		if !f.world.active(f.id, n) {
			return nil
		}
		state, err := f.world.processes.State(ctx, n)
		if err != nil {
			return fmt.Errorf("state of %s: %w", n, err)
		}
		if !state.Stopped && f.world.active(f.id, n) {
			f.look(n, func(s *sighting) { s.resumed = true })
		}
		return nil
	})
	e, missing := f.stopped()
	return e, errors.Join(err, missing)
}

// stopped is the evidence of a pause.
func (f pauseFault) stopped() (Evidence, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var e Evidence
	var stopped, lost []Node
	for _, n := range f.hit {
		switch s := f.seen[n]; {
		case s == nil || !s.fresh:
		case s.resumed:
			lost = append(lost, n)
		case s.stopped:
			stopped = append(stopped, n)
		}
	}
	e.add("stopped", int64(len(stopped)))
	switch {
	case len(lost) > 0:
		e.Why = "running again before the pause ended: " + nodeNames(lost)
	case len(stopped) == 0:
		e.Why = "no process was there to be paused"
		return e, errNothingToDo{"every process is in the hands of another fault"}
	default:
		e.Bit = true
		e.Why = "seen stopped: " + nodeNames(stopped)
	}
	return e, nil
}

// Heal continues the processes.
func (f pauseFault) Heal(ctx context.Context) (Evidence, error) {
	return f.verified(together(ctx, f.hit, func(n Node) error {
		f.mu.Lock()
		touched := f.seen[n] != nil && f.seen[n].fresh
		f.mu.Unlock()
		if !touched && !f.world.active(f.id, n) {
			return nil
		}
		state, err := f.world.resume(ctx, f.id, n)
		f.look(n, func(s *sighting) { s.after = state.PID })
		return err
	}))
}

// cycleFault kills and starts processes over and over, or one after the other.
type cycleFault struct {
	*processFault
	every   time.Duration
	rolling bool
}

func buildStorm(j job) (prepared, error)   { return buildCycle(j, false, "restart storm on ") }
func buildRolling(j job) (prepared, error) { return buildCycle(j, true, "rolling restart of ") }

func buildCycle(j job, rolling bool, what string) (prepared, error) {
	f := &cycleFault{
		processFault: newProcessFault(j), every: j.set.duration("every"), rolling: rolling,
	}
	return prepared{
		fault: f, nodes: j.hit, what: what + nodeNames(j.hit), undo: f.undo("start"),
	}, nil
}

// Inject kills the first process and goes on in the background.
func (f *cycleFault) Inject(ctx context.Context) (Evidence, error) {
	order := shuffled(f.world.free(f.id, f.hit), f.rng)
	if len(order) == 0 {
		return f.killed()
	}
	if err := f.kill(ctx, order[0]); err != nil {
		return Evidence{}, err
	}
	e, err := f.killed()
	if err != nil {
		return e, err
	}
	f.loop.start(ctx, func(ctx context.Context) error {
		if err := f.cycle(ctx, order); err != nil && ctx.Err() == nil {
			return err
		}
		return nil
	})
	return e, nil
}

// cycle starts what it has killed and kills the next until ctx ends, or, when
// rolling, until each has had its turn. How long a process is down varies, so that
// the others sometimes notice it and sometimes do not.
func (f *cycleFault) cycle(ctx context.Context, order []Node) error {
	n := order[0]
	for turn := 1; ; turn++ {
		down := time.Duration(f.rng.Int64N(int64(f.every) + 1))
		if !vtime.Sleep(ctx, down) {
			return nil
		}
		if err := f.start(ctx, n); err != nil {
			return err
		}
		up := f.every
		if !f.rolling {
			up = time.Duration(f.rng.Int64N(int64(f.every) + 1))
		}
		if !vtime.Sleep(ctx, up) || f.rolling && turn == len(order) {
			return nil
		}
		n = order[turn%len(order)]
		if !f.rolling {
			n = order[f.rng.IntN(len(order))]
		}
		if err := f.kill(ctx, n); err != nil {
			return err
		}
	}
}

// Observe ends the cycle. That the processes got new pids shows after Heal; that
// they were gone has been seen.
func (f *cycleFault) Observe(context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	e, err := f.killed()
	f.mu.Lock()
	defer f.mu.Unlock()
	restarts := 0
	for _, s := range f.seen {
		restarts += s.restarts
	}
	e.add("restarts", int64(restarts))
	return e, errors.Join(loopErr, err)
}

// Heal ends the cycle and starts what is down.
func (f *cycleFault) Heal(ctx context.Context) (Evidence, error) {
	loopErr := f.loop.stop()
	touched := slices.DeleteFunc(slices.Clone(f.hit), func(n Node) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.seen[n] == nil && !f.world.active(f.id, n)
	})
	e, err := f.verified(together(ctx, touched, func(n Node) error { return f.start(ctx, n) }))
	if err == nil && loopErr != nil {
		e.Why += "; in the meantime: " + loopErr.Error()
	}
	return e, err
}
