// Package soak runs many tests: a plan spans a matrix of systems, workloads, faults and
// times, and every run gets a seed of its own, all from one master seed, until the time, the
// runs or the disk are used up.
//
// Each run is a process of its own, so that one that hangs or crashes is one bad run. A
// journal, on the disk before and after each run, makes a soak survive its own death: a run
// that was cut off is cleaned up, and done again under the same number with the same seed.
// Everything that is said in the end, the heat map, the findings, the exit status, is
// computed from journals alone; so it can be said at any time, and of several soaks together.
package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
)

// The directories and files of a soak, beside its journal.
const (
	planFile = "plan.yaml" // a copy
	storeDir = "store"     // the runs; checker serve shows it
	workDir  = "work"      // those that go on, a store each
	logsDir  = "logs"      // output of checkers that left no run
)

// Options say how a plan is soaked.
type Options struct {
	Plan *Plan
	// Dir is the directory of the soak. If there is one already, it goes on.
	Dir string
	// Seed is the master seed of a new soak.
	Seed uint64
	// Shard of Shards is the part of the plan that is soaked here; 1 of 1 is all of it.
	Shard, Shards int
	// Budget takes the place of the plan's, where it is not zero.
	Budget Budget
	// Program is the checker, with what comes before its arguments.
	Program []string
	// Target is the program of the reference cluster's nodes; "" lets each run find its own.
	Target string
	// Version of the checker, for the journal.
	Version string
	// Out gets progress for a person; Terminal says that it is one.
	Out      io.Writer
	Terminal bool
	// Grace is how long a run may take to heal and end when the soak is interrupted.
	Grace time.Duration
	Now   func() time.Time
	// Abort ends runs at once, without their healing, which is done afterwards.
	Abort context.Context

	_ struct{} // keyed literals only
}

// Validate lists what is wrong with the options, beside the plan.
func (o Options) Validate() error {
	var errs []error
	b := o.budget()
	if o.Shards < 1 || o.Shard < 1 || o.Shard > o.Shards {
		errs = append(errs, fmt.Errorf("shard %d/%d: want 1/1 to n/n", o.Shard, o.Shards))
	}
	if b.Time < 0 || b.Runs < 0 || b.Parallel < 0 || b.Disk < 0 || b.Memory < 0 {
		errs = append(errs, errors.New("a budget is less than 0"))
	}
	if b.Time == 0 && b.Runs == 0 {
		errs = append(errs, errors.New("nothing says when it is over: --for, --runs, or "+
			"budget.time or budget.runs in the plan"))
	}
	return errors.Join(errs...)
}

func (o Options) budget() Budget {
	b := o.Plan.Budget
	for _, v := range []struct{ to, from *int }{
		{&b.Runs, &o.Budget.Runs}, {&b.Parallel, &o.Budget.Parallel},
	} {
		if *v.from != 0 {
			*v.to = *v.from
		}
	}
	for _, v := range []struct{ to, from *int64 }{
		{&b.Disk, &o.Budget.Disk}, {&b.Memory, &o.Budget.Memory},
		{(*int64)(&b.Time), (*int64)(&o.Budget.Time)},
	} {
		if *v.from != 0 {
			*v.to = *v.from
		}
	}
	return b
}

// parallel is how many runs go on at a time: of simulations, which only compute, as many as
// there are processors; of clusters of processes, whose time is the clock's, far fewer,
// because what is starved proves nothing.
func (o Options) parallel() int {
	if n := o.budget().Parallel; n > 0 {
		return n
	}
	virtual := func(c Cell) bool { return c.Cluster == "sim" }
	if cells := o.Plan.Cells; !slices.ContainsFunc(cells, func(c Cell) bool { return !virtual(c) }) {
		return runtime.NumCPU()
	}
	return max(1, runtime.NumCPU()/4)
}

// ErrOver says that a soak has used up its budget before.
var ErrOver = errors.New("it is over")

// ErrOther says that a directory has the soak of something else.
var ErrOther = errors.New("it is the soak of another plan")

// soak is a soak at work. One goroutine does everything but wait for runs.
type soak struct {
	Options
	allowed  Budget
	abreast  int // runs at a time
	journal  *journal
	deck     *deck
	cells    map[string]*Cell
	going    map[Attempt]*Cell
	results  chan finished
	progress *progress
	// before counts results of earlier sessions, streak runs that crashed one after another.
	before, streak int
	written        time.Time // the outputs
}

// finished is a run that came to its end.
type finished struct {
	attempt Attempt
	exited  exited
	record  Record
	dir     string // of the run; "" if it left none
	healing error
}

// stoppedAsPlanned is why a soak stops that has no trouble.
const stoppedAsPlanned = "the budget is used up"

// crashesMost is how many runs in a row may crash: then what crashes is the harness or the
// machine, and more of the same is no use.
const crashesMost = 5

// Run soaks until the budget is used up, or until ctx ends: then what goes on is cut off and
// cleaned up, and the next Run repeats it. The summary is there whenever there is a journal,
// also beside an error.
func Run(ctx context.Context, o Options) (Summary, error) {
	s, err := open(o)
	if err != nil {
		return Summary{}, err
	}
	err = s.recover(ctx)
	if err == nil {
		err = s.work(ctx)
	}
	s.progress.done()
	why := stoppedAsPlanned
	if ctx.Err() != nil {
		why = "interrupted"
	}
	if err != nil {
		why = brief(err.Error())
	}
	err = errors.Join(err, s.journal.write(Entry{Type: entryStop, At: s.Now(), Why: why}))
	summary, werr := s.publish()
	return summary, errors.Join(err, werr, s.journal.close())
}

// open opens the directory of a soak, or makes it.
func open(o Options) (s *soak, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	for _, d := range []string{storeDir, workDir, logsDir, issuesDir} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("soak: %w", err)
		}
	}
	j, err := openJournal(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("soak %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.close())
		}
	}()
	s = &soak{
		Options: o, allowed: o.budget(), abreast: o.parallel(), journal: j,
		cells: map[string]*Cell{}, going: map[Attempt]*Cell{}, results: make(chan finished),
		progress: &progress{out: o.Out, terminal: o.Terminal},
	}
	j.Dir = o.Dir
	if err := s.begin(); err != nil {
		return nil, err
	}
	s.deck = newDeck(j.Seed, o.Plan.Cells)
	for i := range o.Plan.Cells {
		s.cells[o.Plan.Cells[i].ID] = &o.Plan.Cells[i]
	}
	return s, nil
}

// begin writes down what is soaked, or makes sure that it is what was soaked before.
func (s *soak) begin() error {
	h := Header{
		Format: journalFormat, Name: s.Plan.Name, Plan: s.Plan.Digest(), Seed: s.Seed,
		Shard: s.Shard, Shards: s.Shards, Repeat: s.Plan.Repeat,
	}
	if s.Plan.Seeded {
		h.Seed = s.Plan.Seed
	}
	for _, c := range s.Plan.Cells {
		h.Cells = append(h.Cells, c.CellInfo)
	}
	old := s.journal.Header
	switch {
	case old == nil:
		if err := writeFile(filepath.Join(s.Dir, planFile), s.Plan.Text); err != nil {
			return err
		}
		if err := s.journal.write(Entry{Type: entryPlan, At: s.Now(), Header: &h}); err != nil {
			return err
		}
	case old.Plan != h.Plan || !slices.Equal(old.Cells, h.Cells):
		return fmt.Errorf("soak %s: %w: --out names another directory", s.Dir, ErrOther)
	case old.Shard != h.Shard || old.Shards != h.Shards:
		return fmt.Errorf("soak %s: %w: it is shard %d/%d", s.Dir, ErrOther, old.Shard, old.Shards)
	}
	s.before = len(s.journal.Ended)
	if len(s.journal.Open) == 0 && s.over() {
		return fmt.Errorf("soak %s: %w, with %d runs in %s: a greater budget goes on, --out names "+
			"another directory", s.Dir, ErrOver, s.before, round(s.journal.Active))
	}
	return s.journal.write(Entry{Type: entrySession, At: s.Now(), Checker: s.Version})
}

// over reports whether nothing can be begun any more.
func (s *soak) over() bool {
	if t := s.allowed.Time; t > 0 && s.journal.Active >= t {
		return true
	}
	return s.allowed.Runs > 0 && s.journal.next() > s.allowed.Runs &&
		len(s.journal.repetitions()) == 0
}

// work begins runs and takes in what came of them, until there is nothing to begin.
func (s *soak) work(ctx context.Context) error {
	s.progress.say("%s: seed %d, %d cells, %d at a time, in %s", s.Plan.Name, s.journal.Seed,
		len(s.Plan.Cells), s.abreast, s.Dir)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	var failed error
	for {
		for failed == nil && ctx.Err() == nil && len(s.going) < s.abreast {
			a, cell, ok := s.choose()
			if !ok {
				break
			}
			if failed = s.start(ctx, a, cell); failed != nil {
				break
			}
		}
		if len(s.going) == 0 {
			return failed
		}
		select {
		case f := <-s.results:
			if err := s.settle(f); failed == nil {
				failed = err
			}
		case <-tick.C:
		}
		s.progress.status(s.Now(), s.progressLine())
	}
}

// choose says which run is next: a repetition for what was found, else the next number. It
// says no while what is next cannot go on beside what does, and when the budget is used up.
func (s *soak) choose() (Attempt, *Cell, bool) {
	var a Attempt
	var cell *Cell
	if due := s.journal.repetitions(); len(due) > 0 {
		a = due[0]
		cell = s.cells[s.journal.Ended[Attempt{Run: a.Run}].Cell]
	} else {
		a.Run = s.journal.next()
		if s.allowed.Runs > 0 && a.Run > s.allowed.Runs {
			return a, nil, false
		}
		cell = s.deck.cell(a.Run)
	}
	if cell.Exclusive {
		for _, c := range s.going {
			if c.Exclusive {
				return a, nil, false
			}
		}
	}
	if t := s.allowed.Time; t > 0 && s.active()+s.expected(cell) > t {
		return a, nil, false
	}
	return a, cell, true
}

// active is the time that was used up so far.
func (s *soak) active() time.Duration {
	return s.journal.Active + max(0, s.Now().Sub(s.journal.Last))
}

// expected is how long a run of a cell will take: what others took, or what it is asked to.
func (s *soak) expected(cell *Cell) time.Duration {
	var sum time.Duration
	n := 0
	for _, e := range s.journal.Ended {
		if e.Cell == cell.ID && e.Outcome != Crashed {
			sum += e.Took
			n++
		}
	}
	switch {
	case n > 0:
		return sum / time.Duration(n)
	case cell.Cluster == "sim":
		return 0
	}
	return cell.Config.TimeLimit
}

// start begins a run.
func (s *soak) start(ctx context.Context, a Attempt, cell *Cell) error {
	if err := s.makeRoom(); err != nil {
		return err
	}
	work := s.workOf(a)
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("run %s: %w", a, err)
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return fmt.Errorf("run %s: %w", a, err)
	}
	seed := runSeed(s.journal.Seed, a.Run)
	err := s.journal.write(Entry{
		Type: entryBegin, At: s.Now(), Attempt: a, Cell: cell.ID, RunSeed: seed,
	})
	if err != nil {
		return err
	}
	c := s.child(a, cell, seed, work)
	s.going[a] = cell
	crash.Go(func() { s.results <- s.conduct(ctx, a, cell, c, work) })
	return nil
}
