package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/workload"
)

// ShrinkOptions say how hard to try.
type ShrinkOptions struct {
	// Tries is how many runs a smaller test gets to show the violation, Need how many of
	// them have to. In the simulator each has another seed of the nodes and the network, and
	// one is enough: what it shows can be repeated.
	Tries, Need int
	// For bounds the whole, in real time.
	For time.Duration
}

// DefaultShrink suits a kind of cluster.
func DefaultShrink(cluster string) ShrinkOptions {
	if w, err := wayNamed(cluster); err == nil && w.virtual {
		return ShrinkOptions{Tries: 4, Need: 1, For: 10 * time.Minute}
	}
	return ShrinkOptions{Tries: 3, Need: 2, For: 2 * time.Hour}
}

// Shrinkage says how much smaller a test has become. It is stored with both runs.
type Shrinkage struct {
	// From and To are the directories of the two runs.
	From string `json:"from"`
	To   string `json:"to"`
	// Operations, Faults, Clients and Keys, before and after.
	Operations [2]int `json:"operations"`
	Faults     [2]int `json:"faults"`
	Clients    [2]int `json:"clients"`
	Keys       [2]int `json:"keys"`
	// Runs is how many tests were run for it, Virtual how long they were in all.
	Runs    int           `json:"runs"`
	Virtual time.Duration `json:"virtual"`
	// Took is real time. Whole says that nothing more can be left out, one by one.
	Took  time.Duration `json:"took"`
	Whole bool          `json:"whole"`
}

// String is a sentence.
func (s Shrinkage) String() string {
	return fmt.Sprintf("%d operations of %d clients on %d keys under %d faults became %d of %d on %d "+
		"under %d, in %d runs", s.Operations[0], s.Clients[0], s.Keys[0], s.Faults[0],
		s.Operations[1], s.Clients[1], s.Keys[1], s.Faults[1], s.Runs)
}

// ErrNotShown says that the repeated operations and faults of a run do not show what it
// showed.
var ErrNotShown = errors.New("its operations and faults, repeated, do not show the violation")

// candidate is a test that may show the violation.
type candidate struct {
	steps  []nemesis.Step
	script script
	seed   uint64
}

// repeatRounds is how often as many seeds as a smaller test gets are tried for the first one.
const repeatRounds = 12

// shrinker looks for the smallest candidate.
type shrinker struct {
	ctx   context.Context
	cfg   Config
	env   Env
	opts  ShrinkOptions
	dir   string // of the runs, for a while
	judge string // the part of the result that has to be invalid
	until time.Time
	now   func() time.Time
	best  candidate
	runs  int
	spent time.Duration
	// last is the result that the best candidate had.
	last check.Result
	// failed is why the latest run could not be judged.
	failed error
}

// Shrink looks for the smallest test that shows what an invalid run showed: it leaves out
// faults, clients, keys and operations as long as the same judge finds the run invalid, and
// runs the smallest one, whole, below the directory shrunk of the run. Both reports tell
// of it.
func Shrink(ctx context.Context, dir string, opts ShrinkOptions, env Env) (
	Outcome, Shrinkage, error,
) {
	s, size, err := newShrinker(ctx, dir, opts, env)
	if err != nil {
		return Outcome{}, size, fmt.Errorf("shrink %s: %w", dir, err)
	}
	defer os.RemoveAll(s.dir)
	began := s.now()
	if err := s.shrink(); err != nil {
		return Outcome{}, size, fmt.Errorf("shrink %s: %w", dir, err)
	}
	size.Took, size.Runs, size.Virtual, size.Whole = s.now().Sub(began), s.runs, s.spent, s.more()
	size.Operations[1], size.Faults[1] = s.best.script.size(), len(s.best.steps)
	size.Clients[1], size.Keys[1] = s.best.script.clients(), s.best.script.keys()
	out, err := s.final(dir, &size)
	return out, size, err
}

// newShrinker loads the run and measures it.
func newShrinker(ctx context.Context, dir string, opts ShrinkOptions, env Env) (
	*shrinker, Shrinkage, error,
) {
	size := Shrinkage{From: dir}
	test, err := LoadTest(dir)
	if err != nil {
		return nil, size, err
	}
	result, err := LoadResult(dir)
	if err != nil {
		return nil, size, err
	}
	judge, until := culprit(result)
	if judge == "" {
		return nil, size, fmt.Errorf("it is %s: there is no violation to be shrunk", result.Verdict)
	}
	h, err := history.Load(filepath.Join(dir, historyFile))
	if err != nil {
		return nil, size, err
	}
	cfg, clean, err := replayConfig(dir, "")
	if err != nil {
		return nil, size, err
	}
	defer clean()
	steps, err := nemesis.ReadScheduleFile(cfg.Schedule)
	if err != nil {
		return nil, size, err
	}
	s := &shrinker{
		ctx: ctx, cfg: cfg, env: env, opts: opts, judge: judge, now: time.Now,
		best: candidate{steps: steps, script: scriptOf(h, test), seed: cfg.Seed},
		last: result,
	}
	s.cfg.StopOnViolation = false
	size.Operations[0], size.Faults[0] = s.best.script.size(), len(steps)
	size.Clients[0], size.Keys[0] = s.best.script.clients(), s.best.script.keys()
	s.until = s.now().Add(opts.For)
	if s.dir, err = os.MkdirTemp("", "ordeal-shrink-"); err != nil {
		return nil, size, err
	}
	// Nothing that comes after the violation matters; a little is left, for those who
	// have to see it.
	if until > 0 && until < history.Never {
		s.cfg.TimeLimit = min(s.cfg.TimeLimit, time.Duration(until)+2*time.Second)
	}
	return s, size, nil
}

// culprit returns the name of the first judge that found a violation, and when that was
// complete; 0 if that is not known.
func culprit(r check.Result) (judge string, until history.Time) {
	if r.Verdict != check.Invalid {
		return "", 0
	}
	for _, p := range r.Parts {
		if judge, until = culprit(p); judge != "" {
			return judge, until
		}
	}
	for _, c := range r.Counterexamples {
		if c.Until > 0 && (until == 0 || c.Until < until) {
			until = c.Until
		}
	}
	return r.Name, until
}

// keysOf are the keys that a result's counter-examples are about.
func keysOf(r check.Result) []history.Key {
	var keys []history.Key
	for _, c := range r.Counterexamples {
		if c.Key != "" {
			keys = append(keys, c.Key)
		}
		for _, op := range c.Ops {
			keys = append(keys, history.Key(op.Key))
		}
	}
	for _, p := range r.Parts {
		keys = append(keys, keysOf(p)...)
	}
	slices.Sort(keys)
	return slices.DeleteFunc(slices.Compact(keys), func(k history.Key) bool { return k == "" })
}

func (s script) all() []workload.Scripted { return slices.Concat(s.main, s.final) }

// clients and keys count what the operations have.
func (s script) clients() int {
	seen := map[int]bool{}
	for _, r := range s.all() {
		seen[r.Thread] = true
	}
	return len(seen)
}

func (s script) keys() int {
	seen := map[history.Key]bool{}
	for _, r := range s.all() {
		seen[r.Op.Key] = true
	}
	return len(seen)
}

// keep returns the operations that ok accepts.
func (s script) keep(ok func(workload.Scripted) bool) script {
	not := func(r workload.Scripted) bool { return !ok(r) }
	return script{
		main:  slices.DeleteFunc(slices.Clone(s.main), not),
		final: slices.DeleteFunc(slices.Clone(s.final), not),
	}
}

// more reports whether there is time for another try.
func (s *shrinker) more() bool { return s.ctx.Err() == nil && s.now().Before(s.until) }

// shrink does the work.
func (s *shrinker) shrink() error {
	whole := s.best
	early := s.best.script.keep(func(r workload.Scripted) bool {
		return time.Duration(r.Op.At) <= s.cfg.TimeLimit
	})
	if !s.repeat(whole.steps, early, whole.script) {
		return errors.Join(ErrNotShown, s.failed)
	}
	for before := -1; before != s.weight() && s.more(); {
		before = s.weight()
		s.leaveOutFaults()
		s.leaveOutKeys()
		s.leaveOutClients()
		s.hurry()
		s.leaveOutOperations()
		s.cutTail()
	}
	return nil
}

// repeat looks for a seed with which the operations and faults of the run show what it showed,
// those up to the violation or all. Everything depends on it, and in the simulator it costs
// little, so that many are tried there.
func (s *shrinker) repeat(steps []nemesis.Step, early, whole script) bool {
	rounds := 1
	if s.virtual() {
		rounds = repeatRounds
	}
	seed := s.best.seed
	for round := range rounds {
		s.best.seed = seed + uint64(round)*7_000_003
		if s.try(steps, early) || s.try(steps, whole) {
			return true
		}
	}
	s.best.seed = seed
	return false
}

// weight is the size of the best candidate.
func (s *shrinker) weight() int { return s.best.script.size() + len(s.best.steps) }

func (s *shrinker) leaveOutFaults() {
	if len(s.best.steps) > 0 && s.try(nil, s.best.script) {
		return
	}
	minimize(s.best.steps, func(steps []nemesis.Step) bool {
		return s.try(steps, s.best.script)
	}, s.more)
}

// leaveOutKeys tries those of the counter-example alone, and then to do without each.
func (s *shrinker) leaveOutKeys() {
	only := func(keys []history.Key) bool {
		return s.try(s.best.steps, s.best.script.keep(func(r workload.Scripted) bool {
			return slices.Contains(keys, r.Op.Key)
		}))
	}
	only(keysOf(s.last))
	keys := groups(s.best.script, func(r workload.Scripted) history.Key { return r.Op.Key })
	minimize(keys, only, s.more)
}

func (s *shrinker) leaveOutClients() {
	threads := groups(s.best.script, func(r workload.Scripted) int { return r.Thread })
	minimize(threads, func(threads []int) bool {
		return s.try(s.best.steps, s.best.script.keep(func(r workload.Scripted) bool {
			return slices.Contains(threads, r.Thread)
		}))
	}, s.more)
}

// hurry does what comes after healing at once, without the rests between.
func (s *shrinker) hurry() {
	final := slices.Clone(s.best.script.final)
	rests := false
	for i := range final {
		rests = rests || final[i].Op.At > 0
		final[i].Op.At = 0
	}
	if rests {
		s.try(s.best.steps, script{main: s.best.script.main, final: final})
	}
}

// leaveOutOperations leaves out one by one, beginning with long pieces.
func (s *shrinker) leaveOutOperations() {
	minimize(s.best.script.final, func(ops []workload.Scripted) bool {
		return s.try(s.best.steps, script{main: s.best.script.main, final: ops})
	}, s.more)
	minimize(s.best.script.main, func(ops []workload.Scripted) bool {
		return s.try(s.best.steps, script{main: ops, final: s.best.script.final})
	}, s.more)
}

// cutTail ends the test soon after its last operation.
func (s *shrinker) cutTail() {
	last := time.Duration(0)
	for _, r := range s.best.script.main {
		last = max(last, time.Duration(r.Op.At))
	}
	shorter := max(time.Second, last+2*time.Second)
	if shorter >= s.cfg.TimeLimit {
		return
	}
	before := s.cfg.TimeLimit
	s.cfg.TimeLimit = shorter
	if !s.try(s.best.steps, s.best.script) {
		s.cfg.TimeLimit = before
	}
}

// groups lists the values that the operations have, in the order of their coming.
func groups[K comparable](s script, of func(workload.Scripted) K) []K {
	var out []K
	seen := map[K]bool{}
	for _, r := range s.all() {
		if k := of(r); !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	return out
}

// try runs a candidate and makes it the best if it shows the violation.
func (s *shrinker) try(steps []nemesis.Step, ops script) bool {
	if ops.size() == 0 || !s.more() {
		return false
	}
	shown := 0
	for n := range s.opts.Tries {
		c := candidate{steps: steps, script: ops, seed: s.best.seed}
		if s.virtual() {
			c.seed += uint64(n) * 1_000_003
		}
		result, err := s.run(c)
		if s.failed = err; err == nil && finds(result, s.judge) {
			if shown++; shown >= s.opts.Need {
				s.best, s.last = c, result
				return true
			}
		}
		if left := s.opts.Tries - n - 1; shown+left < s.opts.Need || !s.more() {
			break
		}
	}
	return false
}

func (s *shrinker) virtual() bool {
	w, err := wayNamed(s.cfg.Cluster)
	return err == nil && w.virtual
}

// finds reports whether a judge found a violation.
func finds(r check.Result, judge string) bool {
	if r.Verdict != check.Invalid {
		return false
	}
	return r.Name == judge && len(r.Parts) == 0 ||
		slices.ContainsFunc(r.Parts, func(p check.Result) bool { return finds(p, judge) })
}

// put writes a candidate's files into a directory and returns its configuration.
func (s *shrinker) put(c candidate, dir string) (Config, error) {
	cfg := s.cfg
	cfg.Seed = c.seed
	cfg.Schedule = filepath.Join(dir, scheduleFile)
	cfg.Operations = filepath.Join(dir, operationsFile)
	return cfg, errors.Join(
		writeSchedule(cfg.Schedule, c.steps),
		c.script.write(cfg.Operations, cfg.Name(), c.seed))
}

// run runs a candidate and judges it; its files are taken away again.
func (s *shrinker) run(c candidate) (check.Result, error) {
	s.runs++
	cfg, err := s.put(c, s.dir)
	if err != nil {
		return check.Result{}, err
	}
	cfg.Store = filepath.Join(s.dir, "store")
	defer os.RemoveAll(cfg.Store)
	env := s.env
	env.Out, env.Logger, env.Judged = io.Discard, slog.New(slog.DiscardHandler), nil
	r, took, err := judgeOnly(s.ctx, cfg, env)
	s.spent += took
	return r, err
}

// judgeOnly runs a test of which nothing is wanted but the result.
func judgeOnly(ctx context.Context, cfg Config, env Env) (check.Result, time.Duration, error) {
	c, err := conduct(ctx, cfg, env)
	if c == nil {
		return check.Result{}, 0, err
	}
	defer c.lock.release()
	defer c.uncrash()
	defer c.unbeat()
	took := time.Duration(c.recorder.Now())
	err = errors.Join(err, c.finishCollecting(), c.tearDown())
	if !c.drove || err != nil {
		return check.Result{}, took, err
	}
	r, _, _, err := judge(ctx, c.dir, c.test, CheckLimits{
		Time: cfg.CheckTime, Memory: cfg.CheckMemory, Engine: cfg.Engine,
	})
	return r, took, err
}

// final runs the best candidate for good, from files that stay, and has both reports tell
// of the other run.
func (s *shrinker) final(dir string, size *Shrinkage) (Outcome, error) {
	store := filepath.Join(dir, "shrunk")
	if err := os.MkdirAll(store, 0o755); err != nil {
		return Outcome{}, err
	}
	cfg, err := s.put(s.best, store)
	if err != nil {
		return Outcome{}, err
	}
	cfg.Store = store
	tries := 1
	if !s.virtual() {
		tries = 2 * s.opts.Tries
	}
	var out Outcome
	for range tries {
		if out, err = Run(context.WithoutCancel(s.ctx), cfg, s.env); err != nil ||
			out.Result != nil && finds(*out.Result, s.judge) {
			break
		}
	}
	if err != nil || out.Result == nil {
		return out, err
	}
	size.To = out.Dir
	errs := []error{}
	for _, d := range []string{dir, out.Dir} {
		errs = append(errs, tellShrinkage(d, *size))
	}
	if out.Test, err = LoadTest(out.Dir); err != nil {
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// tellShrinkage writes it into a run's test.json and makes its report anew.
func tellShrinkage(dir string, size Shrinkage) error {
	test, err := LoadTest(dir)
	if err != nil {
		return err
	}
	test.Shrunk = &size
	if err := writeJSON(filepath.Join(dir, testFile), test); err != nil {
		return err
	}
	_, err = Report(dir)
	return err
}
