package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/internal/vtime"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports"
	"github.com/ordeal-dev/ordeal/reports/live"
	"github.com/ordeal-dev/ordeal/systems"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
	"github.com/ordeal-dev/ordeal/workload"
)

// Env is what a run needs of the program around it.
type Env struct {
	// Out gets progress for a person; Terminal says that it is one.
	Out      io.Writer
	Terminal bool
	Logger   *slog.Logger
	// Version of the checker, for the store.
	Version string
	// Abort ends what still happens after an interrupt: recovery, final reads,
	// checking. Healing and tearing down are never cut short by it.
	Abort context.Context
	// Judged, if not nil, is told the verdict as soon as it is stored: what fails
	// later must not hide it.
	Judged func(check.Verdict)
}

// ErrInterrupted says that a run ended before there was anything to judge.
var ErrInterrupted = errors.New("interrupted before the workload began")

const (
	healPhaseTime = 90 * time.Second
	tearDownTime  = 30 * time.Second
	statusTime    = 500 * time.Millisecond
	healthPoll    = 50 * time.Millisecond
)

// Run conducts one test. When ctx ends, the workload ends, and everything after
// it still happens. An error beside a result is a trouble of the harness, which
// does not change an invalid verdict; an error without a result means that
// nothing could be judged.
func Run(ctx context.Context, cfg Config, env Env) (Outcome, error) {
	c, err := conduct(ctx, cfg, env)
	if c == nil {
		return Outcome{}, err
	}
	defer c.lock.release()
	defer c.uncrash()
	defer c.unbeat()
	if !c.drove {
		return Outcome{}, errors.Join(err, c.tearDown(), c.finishCollecting())
	}
	errs := []error{err, c.finishCollecting()}
	c.progress.status(c.now(), "checking")
	c.enter(live.PhaseCheck)
	out, err := judgeRun(env.Abort, c.dir, CheckLimits{
		Time: cfg.CheckTime, Memory: cfg.CheckMemory, Engine: cfg.Engine,
	}, indexAlways)
	errs = append(errs, err)
	if out.Result != nil && env.Judged != nil {
		env.Judged(out.Result.Verdict)
	}
	c.enter("tear down")
	c.progress.done()
	return out, errors.Join(append(errs, c.tearDown())...)
}

// conduct does everything up to the last operation, in the time of the cluster.
func conduct(ctx context.Context, cfg Config, env Env) (*conductor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	w, err := wayNamed(cfg.Cluster)
	if err != nil {
		return nil, err
	}
	if !w.virtual {
		return collect(ctx, cfg, env, w)
	}
	var c *conductor
	stuck := vtime.Run(ctx, func(ctx context.Context) { c, err = collect(ctx, cfg, env, w) })
	if c != nil {
		c.unbeat = c.beat() // while it is judged, the clock of the machine goes again
	}
	return c, errors.Join(err, stuck)
}

// collect does everything up to the last operation. Without a conductor there is nothing
// to judge and nothing to be torn down.
func collect(ctx context.Context, cfg Config, env Env, w way) (*conductor, error) {
	var target string
	if !w.virtual {
		var err error
		if target, err = cfg.findTarget(ctx); err != nil {
			return nil, err
		}
	}
	c, err := prepare(ctx, cfg, env, target)
	if err != nil {
		return nil, err
	}
	c.uncrash = crash.Before(c.crashed)
	if c.unbeat = func() {}; !w.virtual {
		c.unbeat = c.beat()
	}
	setUp := c.phase(ctx, "set up", cfg.SetupTime, c.setUp)
	if p, ok := c.sys.(systems.Preparer); ok && c.sys.Deployment().Setup && setUp == nil {
		setUp = c.phase(ctx, "prepare", cfg.SetupTime, func(ctx context.Context) error {
			return c.prepareSystem(ctx, p)
		})
	}
	if setUp == nil {
		setUp = c.phase(ctx, "wait until healthy", cfg.SetupTime, c.awaitHealthy)
	}
	if setUp != nil {
		c.progress.done()
		if ctx.Err() != nil {
			setUp = ErrInterrupted
		}
		return c, setUp
	}
	c.drive(ctx)
	c.drove = true
	return c, nil
}

// conductor is one test while it runs.
type conductor struct {
	cfg      Config
	env      Env
	sys      systems.System
	workload workload.Workload
	steps    []nemesis.Step
	dir      string
	program  string // of the nodes, in dir; "" if they bring none
	files    string // their other files, in dir; "" likewise
	lock     *dirLock
	test     Test
	progress *progress
	recorder *history.Recorder
	ledger   *nemesis.Ledger
	cluster  Cluster
	nemesis  *nemesis.Runner
	stats    workload.Stats
	epoch    atomic.Int64
	healed   atomic.Bool // every fault, before the final phase
	uncrash  func()
	unbeat   func()
	drove    bool // there is something to judge

	// moved wakes what tells the status.
	moved chan struct{}

	mu     sync.Mutex // Protects fields below.
	notes  []string
	status live.Status
}

func (c *conductor) now() time.Time { return time.Now() }

// note keeps a remark of the harness for the report.
func (c *conductor) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	c.notes = append(c.notes, text)
	if c.recorder != nil {
		c.found(live.Trouble, "%s", text)
	}
	c.env.Logger.Warn("note", "text", text)
}

// prepare creates the run's directory and everything in it that exists before
// the first node starts.
func prepare(ctx context.Context, cfg Config, env Env, target string) (*conductor, error) {
	sys, err := systems.New(cfg.systemOptions(target))
	if err != nil {
		return nil, err
	}
	w, err := workload.Lookup(cfg.Workload)
	if err != nil {
		return nil, err
	}
	steps, err := cfg.steps()
	if err != nil {
		return nil, err
	}
	c := &conductor{
		cfg: cfg, env: env, workload: w, sys: sys,
		progress: &progress{out: env.Out, terminal: env.Terminal},
		moved:    make(chan struct{}, 1), status: live.Status{PID: os.Getpid()},
	}
	// A program that cannot run the test is refused before there is a directory.
	if vtime.From(ctx) == nil {
		if _, err := c.version(ctx); err != nil {
			return nil, err
		}
	}
	if err := cfg.tryHosts(ctx, steps); err != nil {
		return nil, err
	}
	c.test = Test{
		Format: testFormat, Name: cfg.Name(), Started: c.now().UTC(), Config: cfg,
		Claim: sys.Claim(), System: sys.Name(),
	}
	if !sys.Deployment().Reporting || !cfg.starts() {
		c.test.KeyPrefix = keyPrefix(c.test.Started, cfg.Seed)
	}
	if cfg.Schedule == "" {
		c.test.LeftOut = cfg.planConfig(sys).LeftOut()
	}
	for _, n := range cfg.nodes() {
		c.test.Nodes = append(c.test.Nodes, string(n))
	}
	if c.dir, err = createDir(cfg.Store, c.test.Name, c.test.Started); err != nil {
		return nil, err
	}
	c.test.Repeat = commandLine(cfg.kept(c.dir).Args())
	c.progress.say("seed %d, in %s", cfg.Seed, c.dir)
	if err := c.ownProgram(ctx, target); err != nil {
		return nil, errors.Join(err, removeProgram(c.dir))
	}
	c.steps = steps
	if err := c.openFiles(ctx, steps); err != nil {
		return nil, errors.Join(err, c.closeFiles(), removeProgram(c.dir))
	}
	return c, nil
}

// kept is the configuration with the files that a run keeps copies of in its directory: the
// originals may change, or be gone.
func (c Config) kept(dir string) Config {
	if c.Schedule != "" {
		c.Schedule = filepath.Join(dir, scheduleFile)
	}
	if c.Operations != "" {
		c.Operations = filepath.Join(dir, operationsFile)
	}
	return c
}

// ownProgram gives the run its own program of a node, whose version is the one that
// is written down, and its own copy of what else the nodes need.
func (c *conductor) ownProgram(ctx context.Context, target string) (err error) {
	if vtime.From(ctx) != nil { // the nodes are a part of this program
		c.test.Versions = versions(c.env.Version, "")
		c.sys, err = systems.New(c.cfg.systemOptions(""))
		return err
	}
	if target != "" {
		if c.program, err = takeProgram(target, c.dir); err != nil {
			return err
		}
	}
	if c.sys, err = systems.New(c.cfg.systemOptions(c.program)); err != nil {
		return err
	}
	if c.cfg.starts() {
		if c.files, err = takeFiles(c.sys.Deployment().Files, c.dir); err != nil {
			return err
		}
	}
	version, err := c.version(ctx)
	c.test.Versions = versions(c.env.Version, version)
	return err
}

// version asks the program under test what it is. That of nodes that run already only the
// declaration of a user can know, and that on other hosts may not be on this machine.
func (c *conductor) version(ctx context.Context) (string, error) {
	if !c.cfg.starts() && !systems.IsFile(c.cfg.System) {
		return "unknown: the checker did not start it", nil
	}
	version, err := c.sys.Version(ctx)
	if _, native := systems.Native(c.cfg.System); err != nil && native && c.cfg.elsewhere() {
		return "unknown: it is not on this machine", nil
	}
	return version, err
}

// openFiles opens what the run writes to. On an error closeFiles closes what was
// opened.
func (c *conductor) openFiles(ctx context.Context, steps []nemesis.Step) error {
	var err error
	if c.lock, err = lockDir(c.dir); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(c.dir, testFile), c.test); err != nil {
		return err
	}
	if err := writeSchedule(filepath.Join(c.dir, scheduleFile), steps); err != nil {
		return err
	}
	if err := c.keepOperations(); err != nil {
		return err
	}
	if c.ledger, err = nemesis.OpenLedger(filepath.Join(c.dir, ledgerFile)); err != nil {
		return err
	}
	path, header := filepath.Join(c.dir, historyFile), history.Header{
		Test: c.test.Name, Seed: c.cfg.Seed,
	}
	if w := vtime.From(ctx); w != nil {
		c.ledger.Relax()
		c.recorder, err = history.CreateVirtual(path, header,
			func() history.Time { return history.Time(w.Now()) })
	} else {
		c.recorder, err = history.Create(path, header)
	}
	if err != nil {
		return err
	}
	env := nemesis.Env{
		Nodes:     c.cfg.nodes(),
		Network:   &clusterProxy{c},
		Processes: &clusterProxy{c},
		Clocks:    &clusterProxy{c},
		Disks:     &clusterProxy{c},
		Hosts:     &clusterProxy{c},
		Primaries: c.primaries,
		Acks:      func() int64 { return c.stats.Snapshot(c.recorder.Now()).OK },
		Ledger:    c.ledger,
		Log:       c.recorder.NewLog(),
		BumpEpoch: func() { c.epoch.Add(1) },
		Logger:    c.env.Logger,
		Clock:     c.recorder,
		Orders:    orders(c.sys),
	}
	if len(env.Orders) > 0 {
		env.Admin = &clusterProxy{c}
	}
	c.nemesis, err = nemesis.NewRunner(env, steps)
	return err
}

func (c *conductor) closeFiles() error {
	var errs []error
	if c.recorder != nil {
		errs = append(errs, c.recorder.Close())
		c.recorder = nil
	}
	if c.ledger != nil {
		errs = append(errs, c.ledger.Close())
		c.ledger = nil
	}
	c.lock.release()
	c.lock = nil
	return errors.Join(errs...)
}

// steps are the faults of the test: those of a file, or random ones by the seed.
func (c Config) steps() ([]nemesis.Step, error) {
	if c.Schedule != "" {
		return nemesis.ReadScheduleFile(c.Schedule)
	}
	sys, err := systems.New(c.systemOptions(""))
	if err != nil {
		return nil, err
	}
	return nemesis.Plan(c.planConfig(sys))
}

func (c Config) planConfig(sys systems.System) nemesis.PlanConfig {
	return nemesis.PlanConfig{
		Seed: c.Seed, Nodes: c.nodes(), Faults: c.Faults, Claimed: sys.Faults(),
		Duration: c.TimeLimit, Interval: c.Interval, Noise: c.Noise, NoPrimaries: !sys.HasPrimaries(),
		Orders: orders(sys), Lacks: c.lacks(), Grace: c.grace(),
	}
}

// grace is the time without faults at both ends of the main phase: long enough that the
// workload can reach its floors there, whatever its rate; 0 is the plan's own choice.
func (c Config) grace() time.Duration {
	w, err := workload.Lookup(c.Workload)
	if err != nil || c.Rate <= 0 {
		return 0
	}
	var least int
	for _, f := range w.Floors(c.workloadOptions()) {
		least += max(f.Before, f.After)
	}
	// A generator gives more of one kind than of another, and not all succeed.
	const margin = 6
	need := time.Duration(margin * float64(least) / c.Rate * float64(time.Second))
	if need = min(need, c.TimeLimit/6); need < 2*time.Second {
		return 0
	}
	return need
}

func writeSchedule(path string, steps []nemesis.Step) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write schedule: %w", err)
	}
	return errors.Join(nemesis.WriteSchedule(f, steps), f.Close())
}

// phase runs one part of the test under its time limit and writes down how long
// it took and what went wrong.
func (c *conductor) phase(
	ctx context.Context, name string, limit time.Duration, do func(context.Context) error,
) error {
	c.progress.status(c.now(), name)
	defer c.enter(name)()
	ctx, cancel := vtime.WithTimeoutCause(ctx, limit,
		fmt.Errorf("%s took longer than %v", name, limit))
	defer cancel()
	p := reports.Phase{Name: name, Start: c.recorder.Now()}
	err := do(ctx)
	p.End = c.recorder.Now()
	if err != nil {
		p.Error = err.Error()
		err = fmt.Errorf("%s: %w", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.test.Phases = append(c.test.Phases, p)
	return err
}

// setUp starts the cluster.
func (c *conductor) setUp(ctx context.Context) error {
	w, err := wayNamed(c.cfg.Cluster)
	if err != nil {
		return err
	}
	started, err := w.start(ctx, launch{
		cfg: c.cfg, dir: c.dir, program: c.program, ledger: c.ledger, logger: c.env.Logger,
		libc:    ofLibc(c.sys) && needed(c.steps, nemesis.PowerClocks),
		memory:  needed(c.steps, nemesis.PowerMemory),
		command: c.command, files: c.files, deployment: c.sys.Deployment(), others: c.others(),
		logs: c.logs, say: c.progress.say,
		onExit: func(e cluster.Exit) {
			if c.nemesis.Exited(e.Node, e.LastWords) {
				return // a fault wished it
			}
			c.note("node %s ended by itself at %s (%s): %s", e.Node, seconds(c.recorder.Now()),
				e.Status, e.LastWords)
		},
		onTrouble: func(what string) { c.note("at %s: %s", seconds(c.recorder.Now()), what) },
	})
	if err != nil {
		return err
	}
	c.cluster = started
	if p, ok := started.(interface{ Probers() []remote.Prober }); ok {
		c.test.Probers = probers(p.Probers())
	}
	opts, reached := c.cfg.systemOptions(c.program), true
	switch s := started.(type) {
	case systems.Transport:
		opts.Transport = s
	case maelstrom.Network:
		opts.Messages = s
	default:
		reached = false // by their addresses
	}
	if reached {
		c.sys, err = systems.New(opts)
	}
	return err
}

// finishCollecting closes the history and writes what the run was into test.json:
// from here on everything can be done again from disk.
func (c *conductor) finishCollecting() error {
	err := c.recorder.Close()
	if err != nil {
		c.note("the history is not complete: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.test.Notes = c.notes
	return errors.Join(err, writeJSON(filepath.Join(c.dir, testFile), c.test))
}

// tearDown ends the nodes and removes their program, unless one of them could not be
// ended: then `checker heal` does both. It has a deadline of its own.
func (c *conductor) tearDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), tearDownTime)
	defer cancel()
	var errs []error
	if c.cluster != nil {
		errs = append(errs, c.cluster.Close(ctx))
	}
	if errors.Join(errs...) == nil {
		errs = append(errs, removeProgram(c.dir))
	}
	return errors.Join(append(errs, c.ledger.Close())...)
}
