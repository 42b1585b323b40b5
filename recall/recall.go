// Package recall measures how well the harness finds what it claims to find: it runs
// every planted bug of the reference cluster under a generic test that knows nothing of
// the bug, and every correct protocol under the same test with the same budget, and
// computes how many of the former were found, how soon, and how many of the latter were
// slandered.
//
// One seed of one row is a campaign: runs with seeds of their own, which take the
// workloads of the protocol's claim in turn, until one is invalid or the budget of
// workload time is spent. What was needed until the first witness is counted over the
// whole campaign.
package recall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/run"
)

// Config is one measurement.
type Config struct {
	// Seeds is the number of campaigns of each row, Parallel how many go on at a time.
	Seeds, Parallel int
	// Budget is the workload time of a campaign, virtual time in a simulation.
	Budget time.Duration
	// Store is the directory of all runs. Those that came out valid are removed unless
	// Keep says otherwise: their seeds are in the results.
	Store string
	Keep  bool
	// Target is the program of a node; empty means to find or build it. It is asked for
	// its bugs, also when nodes are simulated.
	Target string
	// Cluster, Nodes and Rate are those of each run; without a number of nodes runs differ
	// in it, as run.Config.Vary says.
	Cluster string
	Nodes   int
	Rate    float64
	// Only and Skip choose rows by a part of "protocol/bug", Sets by sets of bugs; none
	// means all, and the correct protocols.
	Only, Skip string
	Sets       []Set
	// Matrix measures only the correct protocols, each with each workload of its claim,
	// the budget being one run.
	Matrix bool
	// Results is a file of campaigns, a line each: those that it has are not run again, so
	// that an interrupted measurement goes on. Empty: none is kept.
	Results string
}

// Default is a campaign of five minutes for each row, in the simulator.
func Default() Config {
	d := run.Default()
	return Config{
		Seeds: 1, Parallel: 1, Budget: 5 * time.Minute, Store: d.Store, Cluster: "sim",
		Rate: d.Rate,
	}
}

// Validate lists every problem at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(c.Seeds < 1, "seeds is %d: want at least 1", c.Seeds)
	bad(c.Parallel < 1, "parallel is %d: want at least 1", c.Parallel)
	bad(c.Budget < least, "the budget of a campaign is %v: want at least %v", c.Budget, least)
	bad(c.Cluster != "sim" && c.Cluster != "local",
		"cluster %q: want sim or local, where bugs can be planted", c.Cluster)
	bad(c.Matrix && len(c.Sets) > 0, "the matrix has no planted bugs: choose no set of them")
	for _, s := range c.Sets {
		bad(!slices.Contains(sets(), s), "there is no set %q of planted bugs; there are %v", s, sets())
	}
	cfg := run.Default()
	cfg.Nodes, cfg.Rate = cmp.Or(c.Nodes, cfg.Nodes), c.Rate
	return errors.Join(append(errs, cfg.Validate())...)
}

// Env is what a measurement needs of the program around it.
type Env struct {
	// Out is told of each campaign that ends.
	Out     io.Writer
	Now     func() time.Time
	Version string
	Logger  *slog.Logger
	// Abort cuts short what still happens after an interrupt; see run.Env.
	Abort context.Context
}

// Measure runs all campaigns that the file of results does not have yet. When ctx ends,
// those that go on are no results, and its cause is returned.
func Measure(ctx context.Context, c Config, env Env) (Report, error) {
	if err := c.Validate(); err != nil {
		return Report{}, err
	}
	target, err := run.FindTarget(ctx, c.Target, run.BuildDir())
	if err != nil {
		return Report{}, err
	}
	bugs, err := plantedBugs(ctx, target)
	if err != nil {
		return Report{}, err
	}
	rows := subjects(c, bugs)
	if len(rows) == 0 {
		return Report{}, errors.New("no row is left: see --only, --skip and --set")
	}
	return measure(ctx, c, env, rows, func(j job) outcome {
		return campaign(ctx, c, env, target, j)
	})
}

// measure has the campaigns of rows conducted that are not known yet.
func measure(
	ctx context.Context, c Config, env Env, rows []row, conduct func(job) outcome,
) (Report, error) {
	memory, err := openMemory(c.Results)
	if err != nil {
		return Report{}, err
	}
	defer memory.close()
	done, pending := memory.sort(rows, c.Seeds)
	p := newProgress(env, len(done), len(done)+len(pending))
	for o := range campaigns(ctx, c.Parallel, pending, conduct) {
		if o.cut {
			continue // so not a result
		}
		done = append(done, o)
		p.tell(o)
		if err := memory.add(o); err != nil {
			return Report{}, err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return Report{}, err
	}
	return newReport(c, rows, done), nil
}

// campaigns conducts jobs, some at a time. The channel is closed after the last, and has
// to be read until then.
func campaigns(
	ctx context.Context, parallel int, pending []job, conduct func(job) outcome,
) <-chan outcome {
	jobs, done := make(chan job), make(chan outcome)
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(crash.Guard(func() {
			for j := range jobs {
				o := conduct(j)
				o.cut = ctx.Err() != nil
				done <- o
			}
		}))
	}
	crash.Go(func() {
		defer close(jobs)
		for _, j := range pending {
			select {
			case jobs <- j:
			case <-ctx.Done():
				return
			}
		}
	})
	crash.Go(func() { workers.Wait(); close(done) })
	return done
}

// subject is one row of the table: a protocol with a planted bug, or without.
type subject struct {
	protocol, bug string
	// workload is one, or several that a campaign takes in turn, with commas.
	workload string
	faults   string
}

// workloads are those of the subject.
func (s subject) workloads() []string { return strings.Split(s.workload, ",") }

// name is what Only and Skip look at.
func (s subject) name() string { return s.protocol + "/" + bugName(s.bug) }

// bugName is what a row says in the place of a bug.
func bugName(bug string) string {
	if bug == "" {
		return "(correct)"
	}
	return bug
}

// job is one campaign.
type job struct {
	subject
	seed uint64
}
