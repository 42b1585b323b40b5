package nemesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// EventLog is where the nemesis writes what it does; a *history.Log is one.
type EventLog interface {
	Record(e history.Event) history.Time
}

// Clock tells the test's time; a *history.Recorder is one.
type Clock interface {
	Now() history.Time
}

// Env is what a nemesis needs of the world.
type Env struct {
	// Nodes are all nodes of the cluster, in its order.
	Nodes []Node
	// Network and Processes act on the cluster. Either may be nil when no step
	// needs it.
	Network   Network
	Processes Processes
	// Clocks and Disks trouble what a node stands on; nil where that is impossible.
	Clocks Clocks
	Disks  Disks
	// Hosts does things to the nodes' hosts; nil where that is impossible.
	Hosts Hosts
	// Admin gives orders to the system, Orders are those that it takes.
	Admin  Admin
	Orders []AdminF
	// Primaries says who leads, as the system reports it; several goroutines may
	// ask at the same time. Nil: nobody does.
	Primaries func(ctx context.Context) ([]Node, error)
	// Acks counts the operations that the system has acknowledged so far. Nil: nobody
	// does.
	Acks func() int64
	// Ledger gets every intent before its act.
	Ledger *Ledger
	// Log gets the nemesis's events of the history.
	Log EventLog
	// BumpEpoch, if not nil, is called at the end of every fault; of faults that
	// overlap, from several goroutines.
	BumpEpoch func()
	// Logger tells a person what goes on. Nil: nobody.
	Logger *slog.Logger
	Clock  Clock
	// InjectTimeout and HealTimeout bound one injection and one fault's healing
	// with all its attempts; 0 means 15 and 40 seconds.
	InjectTimeout, HealTimeout time.Duration
}

// fill validates the environment and sets the defaults.
func (e *Env) fill() error {
	var errs []error
	if len(e.Nodes) == 0 {
		errs = append(errs, errors.New("nemesis: there are no nodes"))
	}
	if e.Ledger == nil {
		errs = append(errs, errors.New("nemesis: there is no ledger"))
	}
	if e.Log == nil {
		errs = append(errs, errors.New("nemesis: there is no log for the history"))
	}
	if e.Clock == nil {
		errs = append(errs, errors.New("nemesis: there is no clock"))
	}
	if e.Logger == nil {
		e.Logger = slog.New(slog.DiscardHandler)
	}
	e.InjectTimeout = cmp.Or(e.InjectTimeout, 15*time.Second)
	e.HealTimeout = cmp.Or(e.HealTimeout, 40*time.Second)
	return errors.Join(errs...)
}

const (
	// healAttempts is how often the healing of a fault is tried in a row.
	healAttempts = 4
	// healAgain is the wait after the first failed attempt; it doubles.
	healAgain = 250 * time.Millisecond
	// primariesFor is how long a step waits for somebody to lead.
	primariesFor = 2 * time.Second
	// askAgain is the time between two questions who leads.
	askAgain = 100 * time.Millisecond
)

// ActiveFault is a fault that is in force.
type ActiveFault struct {
	ID    int64
	Fault string
	What  string
}

// Runner carries out one schedule.
type Runner struct {
	env   Env
	steps []Step
	world *world
	// leaderless is true when nobody led at the last look, however long; then
	// the next look is short, because there may never be leaders.
	leaderless atomic.Bool
	// watchesPrimaries is true when a condition is about who leads.
	watchesPrimaries bool
	// matrices guards seen, the last matrix.
	matrices sync.Mutex
	seen     *Matrix

	mu       sync.Mutex
	active   []ActiveFault
	unhealed []*running
	progress map[int64]progress
	errs     []error
}

// running is a fault on its way from intent to healed.
type running struct {
	step Step
	hold time.Duration // how long it lasts once it is injected
	// until may end it before; since is what that is measured against.
	until Conditions
	since moment
	prepared
}

// NewRunner checks the environment and the steps; the error lists all mistakes.
func NewRunner(env Env, steps []Step) (*Runner, error) {
	errs := []error{env.fill()}
	ids := map[int64]bool{}
	for _, s := range steps {
		errs = append(errs, s.validateIn(&env))
		if ids[s.ID] {
			errs = append(errs, fmt.Errorf("step %d: there are two with this id", s.ID))
		}
		ids[s.ID] = true
	}
	for _, s := range steps {
		err := errors.Join(s.When.needs(&env, ids), s.Until.needs(&env, ids))
		if err != nil {
			errs = append(errs, fmt.Errorf("step %d: %w", s.ID, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r := &Runner{env: env, steps: steps, progress: map[int64]progress{}}
	if env.Network != nil {
		r.env.Network = watchedNetwork{Network: env.Network, runner: r}
	}
	r.watchesPrimaries = slices.ContainsFunc(steps, Step.watchesPrimaries)
	r.world = newWorld(env.Nodes, env.Processes, r.topology)
	return r, nil
}

// Run carries out the schedule: NewRunner and Runner.Run in one.
func Run(ctx context.Context, env Env, steps []Step) (Summary, error) {
	r, err := NewRunner(env, steps)
	if err != nil {
		return Summary{}, err
	}
	return r.Run(ctx)
}

// Exited tells the runner that a node's process ended without having been told to,
// and the last words of its log. It reports whether a fault in force wished that.
// Otherwise the node does not count as healthy until a fault has started it again.
func (r *Runner) Exited(n Node, lastWords string) bool { return r.world.exited(n, lastWords) }

// Active returns the faults in force, oldest first.
func (r *Runner) Active() []ActiveFault {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.active)
}

// Run does each step at its time after now, lets them overlap, and heals each one
// after its time. When ctx ends, everything is healed at once, on contexts of its
// own. It returns when all is healed, or given up; a fault that could not be
// injected or healed is in the summary and not an error. An error means that the
// ledger could not be written.
func (r *Runner) Run(ctx context.Context) (Summary, error) {
	start := r.env.Clock.Now()
	r.append(Entry{Type: EntryPlan, Steps: r.steps})
	r.world.announce()
	if len(r.steps) > 0 {
		r.verify(ctx, EntryBaseline)
	}
	steps := vtime.NewGroup(ctx)
	for _, s := range r.steps {
		steps.Add(func() { r.step(ctx, start, s) })
	}
	steps.Wait()
	if len(r.steps) > 0 {
		r.healLate(ctx)
		r.verify(vtime.WithoutCancel(ctx), EntryFinal)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return summarize(r.env.Ledger.Entries()), errors.Join(r.errs...)
}

// append writes to the ledger and reports whether that worked.
func (r *Runner) append(e Entry) bool {
	e.At = r.env.Clock.Now()
	err := r.env.Ledger.Append(e)
	if err != nil {
		r.env.Logger.Error("the ledger cannot be written", "err", err)
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.errs) == 0 {
			r.errs = append(r.errs, err)
		}
	}
	return err == nil
}

// step waits for the step's time, finds out who is hit, and does it.
func (r *Runner) step(ctx context.Context, start history.Time, s Step) {
	at := time.Duration(start-r.env.Clock.Now()) + s.At
	if !vtime.Sleep(ctx, at) {
		r.skip(s, errors.New("the test ended before its time"), true)
		return
	}
	if missing := r.awaitWhen(ctx, s); missing != "" {
		r.skip(s, errors.New(missing), ctx.Err() != nil)
		return
	}
	k, err := kindNamed(s.Fault)
	if err != nil {
		r.skip(s, err, false)
		return
	}
	rng := rand.New(rand.NewPCG(s.Seed, uint64(s.ID)))
	hit, err := r.resolve(ctx, k, s, rng)
	if err != nil {
		r.skip(s, err, ctx.Err() != nil)
		return
	}
	set, err := k.settings(s.Params)
	if err != nil {
		r.skip(s, err, false)
		return
	}
	p, err := k.build(job{
		step: s, nodes: r.env.Nodes, hit: hit, set: set, rng: rng, env: &r.env, world: r.world,
	})
	if err != nil {
		r.skip(s, err, false)
		return
	}
	// Waiting for somebody to lead must not move the end of the fault into the
	// next one; it took half of the time at most.
	end := start + history.Time(s.At+s.For)
	hold := min(s.For, max(s.For/2, time.Duration(end-r.env.Clock.Now())))
	if len(s.When) > 0 {
		hold = s.For
	}
	r.execute(ctx, &running{step: s, hold: hold, until: s.Until, prepared: p})
}

// resolve finds out who is hit. Nobody means all links.
func (r *Runner) resolve(ctx context.Context, k Kind, s Step, rng *rand.Rand) ([]Node, error) {
	target := s.target(k)
	switch {
	case len(s.Nodes) > 0:
		return s.Nodes, nil
	case target == "":
		return nil, nil
	case target != TargetPrimaries:
		return target.Pick(r.env.Nodes, nil, rng)
	}
	limit := min(primariesFor, s.For/2)
	if r.leaderless.Load() {
		limit = min(limit, 2*askAgain)
	}
	known, err := r.awaitPrimaries(ctx, limit)
	r.leaderless.Store(err != nil)
	if err == nil {
		return target.Pick(r.env.Nodes, known, rng)
	}
	if len(s.Else) > 0 && ctx.Err() == nil {
		r.env.Logger.Info("nobody leads, the fault hits others instead",
			"id", s.ID, "fault", s.Fault, "nodes", nodeNames(s.Else))
		return s.Else, nil
	}
	return nil, err
}

// awaitPrimaries asks who leads until there is an answer.
func (r *Runner) awaitPrimaries(ctx context.Context, limit time.Duration) ([]Node, error) {
	if r.env.Primaries == nil {
		return nil, ErrNoPrimaries
	}
	ctx, cancel := vtime.WithTimeout(ctx, limit)
	defer cancel()
	for {
		known, err := r.env.Primaries(ctx)
		known = slices.DeleteFunc(slices.Clone(known), func(n Node) bool {
			return !slices.Contains(r.env.Nodes, n)
		})
		if err == nil && len(known) > 0 {
			return known, nil
		}
		if !vtime.Sleep(ctx, askAgain) {
			return nil, errors.Join(ErrNoPrimaries, err)
		}
	}
}

// skip records a step that was not done.
func (r *Runner) skip(s Step, reason error, interrupted bool) {
	r.env.Logger.Warn("fault skipped", "id", s.ID, "fault", s.Fault, "reason", reason)
	r.append(Entry{
		Type: EntrySkipped, Fault: s.ID, Error: reason.Error(), Interrupted: interrupted,
	})
	r.reach(s.ID, 2, moment{})
}

// execute injects the fault, waits, and heals it.
func (r *Runner) execute(ctx context.Context, f *running) {
	intent := &Intent{Step: f.step, Nodes: f.nodes, What: f.what, Undo: f.undo}
	if l, ok := f.fault.(linked); ok {
		intent.Links, intent.Cut = l.links(), l.cuts()
	}
	if !r.append(Entry{Type: EntryIntent, Fault: f.step.ID, Intent: intent}) {
		return // what is not written down is not done
	}
	r.setActive(f, true)
	defer r.setActive(f, false)
	r.env.Logger.Info("fault starts", "id", f.step.ID, "fault", f.step.Fault, "what", f.what)
	r.event("start", history.Invoke, f, nil, nil)
	f.since = r.now(ctx)
	limited, cancel := vtime.WithTimeout(ctx, r.env.InjectTimeout)
	evidence, err := f.fault.Inject(limited)
	cancel()
	if r.env.Acks != nil {
		f.since.acks = r.env.Acks()
	}
	r.reach(f.step.ID, 1, f.since)
	r.append(Entry{
		Type: EntryDone, Fault: f.step.ID, Evidence: &evidence, Error: text(err),
	})
	r.event("start", history.Info, f, &evidence, err)
	interrupted := false
	if err == nil {
		interrupted = !r.lasts(ctx, f)
	}
	var nothing errNothingToDo
	if err != nil && !errors.As(err, &nothing) {
		r.env.Logger.Error("fault failed", "id", f.step.ID, "fault", f.step.Fault, "err", err)
		interrupted = ctx.Err() != nil
	}
	r.heal(ctx, f, err != nil, interrupted)
	if nothing.reason != "" {
		r.skip(f.step, nothing, interrupted)
	} else {
		r.reach(f.step.ID, 2, r.now(vtime.WithoutCancel(ctx)))
	}
	if r.env.BumpEpoch != nil {
		r.env.BumpEpoch()
	}
}

// heal looks once more at what the fault does and takes it back, on a context
// that the end of the test does not cancel.
func (r *Runner) heal(ctx context.Context, f *running, failed, interrupted bool) {
	ctx = vtime.WithoutCancel(ctx)
	entry := Entry{Type: EntryHealing, Fault: f.step.ID, Interrupted: interrupted}
	if !failed {
		// A node that does not answer must not take the time that is for healing.
		looking, stop := vtime.WithTimeout(ctx, r.env.HealTimeout/4)
		evidence, err := f.fault.Observe(looking)
		stop()
		entry.Evidence, entry.Error = &evidence, text(err)
	}
	ctx, cancel := vtime.WithTimeout(ctx, r.env.HealTimeout)
	defer cancel()
	r.append(entry)
	r.event("stop", history.Invoke, f, entry.Evidence, nil)
	wait := healAgain
	for attempt := 1; ; attempt++ {
		err := r.healOnce(ctx, f)
		if err == nil {
			return
		}
		r.env.Logger.Error("heal failed", "id", f.step.ID, "fault", f.step.Fault,
			"attempt", attempt, "err", err)
		if attempt == healAttempts || !vtime.Sleep(ctx, wait) {
			break
		}
		wait *= 2
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unhealed = append(r.unhealed, f)
}

// healOnce tries to heal and records the outcome. The fault's window in the
// history ends only with a verified heal.
func (r *Runner) healOnce(ctx context.Context, f *running) error {
	evidence, err := f.fault.Heal(ctx)
	r.append(Entry{
		Type: EntryHealed, Fault: f.step.ID, Evidence: &evidence, Error: text(err),
	})
	if err != nil {
		return err
	}
	r.event("stop", history.Info, f, &evidence, nil)
	r.world.release(f.step.ID)
	r.env.Logger.Info("fault healed", "id", f.step.ID, "fault", f.step.Fault)
	return nil
}

// healLate tries once more, when all else is over, what could not be healed.
func (r *Runner) healLate(ctx context.Context) {
	r.mu.Lock()
	late := r.unhealed
	r.unhealed = nil
	r.mu.Unlock()
	for _, f := range late {
		ctx, cancel := vtime.WithTimeout(vtime.WithoutCancel(ctx), r.env.HealTimeout)
		if err := r.healOnce(ctx, f); err != nil {
			r.env.Logger.Error("fault is not healed", "id", f.step.ID, "err", err)
		}
		cancel()
	}
}

// verify looks whether every link delivers and every process runs.
func (r *Runner) verify(ctx context.Context, entry EntryType) {
	ctx, cancel := vtime.WithTimeout(ctx, r.env.HealTimeout)
	defer cancel()
	evidence := Evidence{Bit: true}
	var errs []error
	if r.env.Network != nil {
		links := append(peerLinks(r.env.Nodes), clientLinks(r.env.Nodes)...)
		e, err := probeUntilClean(ctx, r.env.Network, func() []Link { return links })
		evidence, errs = e, append(errs, err)
	}
	if r.env.Processes != nil {
		err := together(ctx, r.env.Nodes, func(n Node) error {
			_, err := r.world.await(ctx, n, func(s ProcessState) bool {
				return s.PID != 0 && !s.Stopped
			})
			return err
		})
		errs = append(errs, err)
	}
	if r.env.Clocks != nil && slices.ContainsFunc(r.steps, bendsClocks) {
		errs = append(errs, verifyClocks(ctx, r.world, r.env.Clocks, r.env.Nodes))
	}
	err := errors.Join(errs...)
	if entry == EntryBaseline && ctx.Err() != nil {
		return // the test has ended already; that proves nothing
	}
	evidence.Bit, evidence.Why = err == nil, "every link delivers and every process runs"
	if err != nil {
		evidence.Why = err.Error()
	}
	r.append(Entry{Type: entry, Evidence: &evidence, Error: text(err)})
}

// bendsClocks reports whether the step is a fault of clocks.
func bendsClocks(s Step) bool {
	k, err := kindNamed(s.Fault)
	return err == nil && k.UsesClocks
}

// setActive keeps the list of faults in force.
func (r *Runner) setActive(f *running, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if on {
		r.active = append(r.active, ActiveFault{
			ID: f.step.ID, Fault: f.step.Fault, What: f.what,
		})
		return
	}
	r.active = slices.DeleteFunc(r.active, func(a ActiveFault) bool {
		return a.ID == f.step.ID
	})
}

// event records what the nemesis does in the history.
func (r *Runner) event(f history.F, t history.Type, run *running, e *Evidence, err error) {
	fields := []history.Field{
		{Name: "id", Value: history.Int(run.step.ID)},
		{Name: "fault", Value: history.Str(run.step.Fault)},
		{Name: "what", Value: history.Str(run.what)},
		{Name: "nodes", Value: nodesValue(run.nodes)},
	}
	if e != nil {
		fields = append(fields, history.Field{Name: "evidence", Value: e.value()})
	}
	r.env.Log.Record(history.Event{
		Process: history.Nemesis, Type: t, F: f, Value: history.Map(fields...), Error: text(err),
	})
}

// topology records which nodes are healthy now.
func (r *Runner) topology(healthy []Node) {
	r.env.Log.Record(history.Event{
		Process: history.Nemesis, Type: history.Info, F: "topology",
		Value: history.Map(history.Field{Name: "healthy", Value: nodesValue(healthy)}),
	})
}

// nodesValue returns a list of node names.
func nodesValue(nodes []Node) history.Value {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = string(n)
	}
	return history.Strings(names...)
}

// text returns the error's text, or nothing for nil.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
