package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports"
	"github.com/ordeal-dev/ordeal/reports/store"
	"github.com/ordeal-dev/ordeal/systems"
	"github.com/ordeal-dev/ordeal/systems/operation"
	"github.com/ordeal-dev/ordeal/workload"
)

// CheckLimits bound the checkers.
type CheckLimits struct {
	Time   time.Duration
	Memory int64 // bytes
	// Engine is one of check.Engines, empty for the default.
	Engine string
}

func (l CheckLimits) options() check.Options {
	return check.Options{
		Timeout: l.Time, Memory: uint64(max(0, l.Memory)), Engine: l.Engine,
	}
}

// Outcome is what came out of a test or of a new check.
type Outcome struct {
	Dir  string
	Test Test
	// Result is nil when nothing could be judged.
	Result *check.Result
	// Report is the path of the HTML page, Summary that of the outcome as Markdown; each is
	// empty when it could not be written.
	Report, Summary string
}

// Check judges what is stored in a run's directory and writes results.json, junit.xml,
// summary.md and report.html. It works as well on a run that was cut off by
// SIGKILL. An error beside a result means that the result could not be stored or
// shown; it does not change the verdict.
func Check(ctx context.Context, dir string, limits CheckLimits) (Outcome, error) {
	return judgeRun(ctx, dir, limits, store.HasIndex)
}

// indexAlways is for the directory of a store, which gets an index if it has none.
func indexAlways(string) bool { return true }

// judgeRun is Check. The run gets a line in the index of the store that it is in, if that
// has one or is to have one.
func judgeRun(
	ctx context.Context, dir string, limits CheckLimits, indexed func(store string) bool,
) (Outcome, error) {
	test, err := LoadTest(dir)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Dir: dir, Test: test}
	began := time.Now()
	result, h, summary, err := judge(ctx, dir, test, limits)
	if err != nil {
		return out, err
	}
	out.Result = &result
	took := time.Since(began)
	// A check that was stopped, or got less time, must not hide what an earlier one
	// proved.
	if old, err := LoadResult(dir); err == nil && old.Verdict == check.Invalid &&
		result.Verdict == check.Unknown {
		return out, fmt.Errorf("undecided this time: the stored verdict of %s, invalid, stays", dir)
	}
	errs := []error{
		writeJSON(filepath.Join(dir, resultsFile), result),
		writePages(dir, result),
	}
	out.Report, out.Summary, err = writeReports(dir, test, result, h, summary)
	errs = append(errs, err)
	if runs := filepath.Dir(filepath.Dir(dir)); indexed(runs) {
		errs = append(errs, addToIndex(runs, dir, took))
	}
	return out, errors.Join(errs...)
}

// judge loads what was recorded and applies the workload's checker and the rule
// that faults must leave evidence.
func judge(ctx context.Context, dir string, test Test, limits CheckLimits) (
	check.Result, *history.History, nemesis.Summary, error,
) {
	w, err := workload.Lookup(test.Config.Workload)
	if err != nil {
		return check.Result{}, nil, nemesis.Summary{}, fmt.Errorf("check %s: %w", dir, err)
	}
	sys, err := systems.New(test.Config.systemOptions(""))
	if err != nil {
		return check.Result{}, nil, nemesis.Summary{}, fmt.Errorf("check %s: %w", dir, err)
	}
	h, err := history.Load(filepath.Join(dir, historyFile))
	if err != nil {
		return check.Result{}, nil, nemesis.Summary{}, fmt.Errorf("check %s: %w", dir, err)
	}
	summary, noLedger := nemesis.LoadSummary(filepath.Join(dir, ledgerFile))
	opts := test.Config.workloadOptions()
	opts.Available = test.Config.watchesAvailability(sys)
	opts.Promise = sys.Promise(w.Name)
	opts.Check = limits.options()
	checkers := []check.Checker{w.Checker(opts)}
	if test.Config.System == "reference" && slices.ContainsFunc(h.Ops, misfits) {
		// Its client is the checker's own: what it hands on the system has said.
		checkers = append(checkers, check.Fitting(fits))
	}
	if noLedger == nil {
		checkers = append(checkers, check.CheckerFunc(
			func(context.Context, *history.History) check.Result { return injected(summary, test) }))
	}
	if test.Config.Cluster == "sim" && (sys.Available() || opts.Promise.Recovers) {
		checkers = append(checkers, comesBack(summary.Faults))
	}
	if notes := doubts(test, h, noLedger); len(notes) > 0 {
		checkers = append(checkers, remarks(notes))
	}
	if test.Silences > 0 {
		checkers = append(checkers, silences(test))
	}
	if len(test.LeftOut) > 0 {
		checkers = append(checkers, told("faults left out", test.LeftOut))
	}
	if slices.ContainsFunc(test.Probers, byAgent) {
		checkers = append(checkers, told("probes", test.Probers))
	}
	result := check.Compose(w.Name, checkers...).Check(ctx, h)
	return trusted(withinClaim(result, sys, summary.Faults), test), h, summary, nil
}

// misfits reports whether an operation was answered with what cannot be the answer.
func misfits(op history.Operation) bool { return op.Type == history.OK && fits(&op) != nil }

// fits says why what a transaction was answered cannot be the answer.
func fits(op *history.Operation) error {
	if op.F != workload.Txn {
		return nil
	}
	return operation.Steps(op.In, op.Out)
}

// injected says what became of the faults. Where the cluster could do none of those that
// were asked for, nobody asked for none.
func injected(summary nemesis.Summary, test Test) check.Result {
	r := summary.Result()
	if summary.Planned == 0 && len(test.LeftOut) > 0 && r.Verdict == check.Valid {
		r.Reason = "no faults: none of those that were asked for can be done here"
	}
	return r
}

// withinClaim does not hold against a system what it did under faults that it never
// claimed to survive: a violation counts only if it was certain before the first of
// these began.
func withinClaim(
	r check.Result, sys systems.System, faults []nemesis.FaultRecord,
) check.Result {
	var steps []nemesis.Step
	first := history.Never
	for _, f := range faults {
		if f.Skipped != "" {
			continue
		}
		steps = append(steps, f.Step)
		if len(nemesis.Outside([]nemesis.Step{f.Step}, sys.Faults())) > 0 {
			first = min(first, f.Start) // 0 when that is not known: nothing was before it
		}
	}
	outside := nemesis.Outside(steps, sys.Faults())
	if r.Verdict != check.Invalid || len(outside) == 0 {
		return r
	}
	what := fmt.Sprintf("%s does not promise to survive faults of the family %s",
		sys.Name(), strings.Join(outside, ", "))
	if certainBefore(&r, first) {
		r.Reason = fmt.Sprintf("%s, but before the first of these began it had already happened: %s",
			what, r.Reason)
		return r
	}
	r.Verdict = check.Unknown
	r.Reason = fmt.Sprintf("outside the claim: %s; under these, %s", what, r.Reason)
	r.Parts = append(r.Parts, check.Result{
		Name: "claim", Verdict: check.Unknown,
		Reason: what + ": what was found under these does not count",
	})
	return r
}

// certainBefore reports whether a violation is known to have been complete before t,
// whatever came later.
func certainBefore(r *check.Result, t history.Time) bool {
	if r.Verdict != check.Invalid {
		return false
	}
	certain := func(c check.Counterexample) bool { return c.Until > 0 && c.Until < t }
	return slices.ContainsFunc(r.Counterexamples, certain) ||
		slices.ContainsFunc(r.Parts, func(p check.Result) bool { return certainBefore(&p, t) })
}

// doubts are what the harness had trouble with, and what is missing of the record.
// Only the history itself can prove a violation: without the ledger it is judged
// all the same, but nobody knows whether the faults bit, so it cannot be valid.
func doubts(test Test, h *history.History, noLedger error) []string {
	notes := slices.Clone(test.Notes)
	if len(test.Phases) == 0 {
		notes = append(notes, "it was cut off: its checker did not live to its end")
	}
	switch {
	case errors.Is(noLedger, fs.ErrNotExist):
		notes = append(notes, "there is no ledger: nobody knows which faults there were")
	case noLedger != nil:
		notes = append(notes,
			fmt.Sprintf("the ledger is damaged: nobody knows which faults there were (%v)", noLedger))
	}
	if h.Torn {
		notes = append(notes, tornNote)
	}
	return notes
}

const tornNote = "the history ends inside a line: what came after it is lost"

// remarks makes a run in which the harness had trouble at most unknown.
func remarks(notes []string) check.Checker {
	return check.CheckerFunc(func(context.Context, *history.History) check.Result {
		return check.Result{
			Name:    "harness",
			Verdict: check.Unknown,
			Reason:  "the run did not go as planned: " + strings.Join(notes, "; "),
		}
	})
}

// told is something that one should know and that is no doubt: such as faults that the
// cluster could not do, which nobody was promised.
func told(name string, what []string) check.Checker {
	return check.CheckerFunc(func(context.Context, *history.History) check.Result {
		return check.Result{Name: name, Verdict: check.Valid, Reason: strings.Join(what, "; ")}
	})
}

// byAgent: what a sentence of Test.Probers tells is not as it mostly is.
func byAgent(sentence string) bool { return !strings.HasPrefix(sentence, byBash) }

// eachPage calls f for each of Porcupine's pages in a result, with the name of its
// file. The order is that of the counter-examples.
func eachPage(r *check.Result, f func(name string, page *string)) {
	n := 0
	var walk func(*check.Result)
	walk = func(r *check.Result) {
		for i := range r.Counterexamples {
			n++
			c := &r.Counterexamples[i]
			f(fmt.Sprintf("counterexample-%d.html", n), &c.Visualization)
			f(fmt.Sprintf("counterexample-%d-whole.html", n), &c.WholeVisualization)
		}
		for i := range r.Parts {
			walk(&r.Parts[i])
		}
	}
	walk(r)
}

// writePages stores Porcupine's own pages beside results.json, which does not hold
// them.
func writePages(dir string, r check.Result) error {
	var errs []error
	eachPage(&r, func(name string, page *string) {
		path := filepath.Join(dir, name)
		if *page == "" { // perhaps there was one after an earlier check
			errs = append(errs, removeFile(path))
			return
		}
		errs = append(errs, writeFile(path, []byte(*page)))
	})
	return errors.Join(errs...)
}

// readPages puts the stored pages back into a result that was read from disk.
func readPages(dir string, r *check.Result) error {
	var errs []error
	eachPage(r, func(name string, page *string) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		*page = string(b)
	})
	return errors.Join(errs...)
}

// Report writes report.html, junit.xml and summary.md of a checked run again.
func Report(dir string) (Outcome, error) {
	test, err := LoadTest(dir)
	if err != nil {
		return Outcome{}, err
	}
	result, err := LoadResult(dir)
	if err != nil {
		return Outcome{}, err
	}
	if err := readPages(dir, &result); err != nil {
		return Outcome{}, fmt.Errorf("report %s: %w", dir, err)
	}
	h, err := history.Load(filepath.Join(dir, historyFile))
	if err != nil {
		return Outcome{}, fmt.Errorf("report %s: %w", dir, err)
	}
	// The result says it when the ledger is not whole.
	ledger, _ := nemesis.LoadSummary(filepath.Join(dir, ledgerFile))
	out := Outcome{Dir: dir, Test: test, Result: &result}
	out.Report, out.Summary, err = writeReports(dir, test, result, h, ledger)
	return out, err
}

func writeReports(
	dir string, test Test, result check.Result, h *history.History, ledger nemesis.Summary,
) (report, summary string, err error) {
	page := reports.Run{
		Name: test.Name, Claim: test.Claim, Started: test.Started, Seed: test.Config.Seed,
		Repeat: test.Repeat, Nodes: test.Nodes, Concurrency: test.Config.Concurrency,
		Roaming: roaming(test), Visited: visited(test, h),
		RequestTimeout: test.Config.RequestTimeout, OpTimeout: test.Config.OpTimeout,
		Facts: facts(test), Result: result, History: h, Faults: ledger.Faults,
		Links:  ledger.Matrices,
		Phases: test.Phases, Notes: test.Notes,
	}
	var errs []error
	logs, err := nodeLogs(dir, test.Nodes)
	errs = append(errs, err)
	page.Logs = logs
	write := func(name string, render func(io.Writer, reports.Run) error) string {
		var b bytes.Buffer
		path := filepath.Join(dir, name)
		if err := rendered(&b, page, render); err != nil {
			errs = append(errs, fmt.Errorf("render %s: %w", name, err))
			return ""
		}
		if err := writeFile(path, b.Bytes()); err != nil {
			errs = append(errs, err)
			return ""
		}
		return path
	}
	write(junitFile, reports.JUnit)
	summary = write(summaryFile, reports.Markdown)
	return write(reportFile, reports.HTML), summary, errors.Join(errs...)
}

// roaming reports whether the clients of a test go from node to node, as those of sessions
// do.
func roaming(test Test) bool {
	w, err := workload.Lookup(test.Config.Workload)
	return err == nil && w.Object == "session"
}

// visited are the nodes that roaming clients asked, by the index of the operation, as far as
// that is known: a process is one client, which counts what it asks.
func visited(test Test, h *history.History) map[int64]string {
	c := test.Config
	if !roaming(test) || c.System != "reference" || test.KeyPrefix != "" ||
		c.Concurrency <= 0 || len(test.Nodes) == 0 {
		return nil
	}
	nodes := make(map[int64]string, len(h.Ops))
	asked := make(map[history.Process]uint64)
	for i := range h.Ops { // by their calls
		op := &h.Ops[i]
		if strings.HasPrefix(op.Error, "no client: ") {
			continue
		}
		asked[op.Process]++
		ev := history.Event{Process: op.Process, F: op.F, Key: op.Key, Value: op.In}
		thread := int(int64(op.Process) % int64(c.Concurrency))
		turn := systems.Turn(ev, asked[op.Process], len(test.Nodes))
		nodes[op.Index] = test.Nodes[(thread+turn)%len(test.Nodes)]
	}
	return nodes
}

// rendered makes a panic of a renderer an error: a defect there must not take away a
// verdict that stands.
func rendered(
	w io.Writer, page reports.Run, render func(io.Writer, reports.Run) error,
) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return render(w, page)
}

// facts are the properties of a test that its report lists.
func facts(t Test) []reports.Fact {
	c := t.Config
	rate := "as fast as possible"
	if c.Rate > 0 {
		rate = fmt.Sprintf("%g operations a second", c.Rate)
	}
	shrunk := ""
	if t.Shrunk != nil {
		shrunk = fmt.Sprintf("%s; from %s to %s", t.Shrunk, t.Shrunk.From, t.Shrunk.To)
	}
	all := []reports.Fact{
		{Name: "system", Value: t.System},
		{Name: "settings", Value: settings(c)},
		{Name: "planted bug", Value: c.Bug},
		{Name: "workload", Value: c.Workload},
		{Name: "nodes", Value: strings.Join(t.Nodes, " ") + " (" + c.Cluster + " processes)"},
		{Name: "clients", Value: fmt.Sprint(c.Concurrency)},
		{Name: "rate", Value: rate},
		{Name: "time limit", Value: c.TimeLimit.String()},
		{Name: "faults", Value: strings.Join(c.Faults, ", ")},
		{Name: "stopped", Value: t.Stopped},
		{Name: "schedule", Value: c.Schedule},
		{Name: "operations", Value: c.Operations},
		{Name: "shrunk", Value: shrunk},
		{Name: "seed", Value: fmt.Sprint(c.Seed)},
		{Name: "checker", Value: t.Versions.Checker},
		{Name: "target", Value: t.Versions.Target},
		{Name: "platform", Value: t.Versions.OS},
	}
	return slices.DeleteFunc(all, func(f reports.Fact) bool { return f.Value == "" })
}

// settings are what was chosen about the system, as it was chosen.
func settings(c Config) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		all = append(all, name+"="+c.Settings[name])
	}
	return strings.Join(all, ", ")
}

// logBytesMax is how much of a node's log is read for the report, which takes the telling
// parts of it; the whole stays on disk.
const logBytesMax = 8 << 20

// nodeLogs reads the end of each node's log.
func nodeLogs(dir string, nodes []string) ([]reports.NodeLog, error) {
	var logs []reports.NodeLog
	var errs []error
	for _, n := range nodes {
		rel := filepath.Join(nodesDir, n, "node.log")
		text, err := tail(filepath.Join(dir, rel), logBytesMax)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("log of %s: %w", n, err))
			}
			continue
		}
		logs = append(logs, reports.NodeLog{Node: n, Path: filepath.ToSlash(rel), Text: text})
	}
	return logs, errors.Join(errs...)
}

// tail returns the last whole lines of a file, at most limit bytes.
func tail(path string, limit int64) (text string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	from := max(0, info.Size()-limit)
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return "", err
	}
	if from > 0 {
		_, b, _ = bytes.Cut(b, []byte{'\n'})
	}
	return string(b), nil
}
