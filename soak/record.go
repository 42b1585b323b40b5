package soak

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/reports/store"
	"github.com/ordeal-dev/ordeal/run"
)

// Outcome is what came of a run.
type Outcome string

// The outcomes, in ascending order of gravity.
const (
	Valid   Outcome = "valid"
	Unknown Outcome = "unknown"
	// Crashed: the harness failed, or the run hung or grew too large. There is no verdict.
	Crashed Outcome = "crashed"
	// Violated: the run is invalid.
	Violated Outcome = "violated"
)

// Outcomes lists the outcomes in ascending order of gravity.
func Outcomes() []Outcome { return []Outcome{Valid, Unknown, Crashed, Violated} }

// Record is what a journal says of a run that ended.
type Record struct {
	Outcome Outcome `json:"outcome"`
	// Reason is the judge's own, or what the harness failed of.
	Reason string `json:"reason,omitempty"`
	// Violations are what an invalid run has shown.
	Violations []Violation `json:"violations,omitempty"`
	// Files is where the run's files are, Log where its output, from the soak's directory.
	Files string `json:"files,omitempty"`
	Log   string `json:"log,omitempty"`
	// Command repeats the run.
	Command string `json:"command,omitempty"`
	// Operations is how many there were.
	Operations int64 `json:"operations,omitempty"`
	// Took is the time on the clock, CPU that of processors, of the checker and of the nodes
	// that it started; Memory is the most that the checker had (bytes), Bytes are on the disk.
	Took   time.Duration `json:"took"` // ns
	CPU    time.Duration `json:"cpu"`  // ns
	Memory int64         `json:"memory,omitempty"`
	Bytes  int64         `json:"bytes"`
}

// reasonMost bounds reasons in the journal: the whole is in results.json.
const reasonMost = 600

func brief(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > reasonMost {
		return string(r[:reasonMost-1]) + "…"
	}
	return s
}

// record makes a record of what a child left in its directory.
func record(e exited, work string, cell CellInfo) (r Record, dir string) {
	r = Record{Took: e.took, CPU: e.cpu, Memory: e.memory}
	dirs, err := runDirs(work)
	if err == nil && len(dirs) > 1 {
		err = fmt.Errorf("it left %d runs, want one", len(dirs))
	}
	if len(dirs) > 0 {
		dir = dirs[0]
		if t, terr := run.LoadTest(dir); terr == nil {
			r.Command = t.Repeat
		}
	}
	result, rerr := check.Result{}, errors.New("it left no run")
	if dir != "" {
		result, rerr = run.LoadResult(dir)
		// The run's own line for lists has its operations.
		if line, err := store.Read(dir); err == nil {
			r.Operations = line.Operations
		}
	}
	judged := rerr == nil && err == nil
	want := map[int]check.Verdict{0: check.Valid, 1: check.Invalid, 2: check.Unknown}
	verdict, isVerdict := want[e.status]
	switch {
	case judged && result.Verdict == check.Invalid:
		// Whatever became of the checker afterwards: what was proved stays proved.
		r.Outcome, r.Reason = Violated, brief(result.Reason)
		r.Violations = violations(dir, result, cell)
	case e.failed() != "":
		r.Outcome, r.Reason = Crashed, e.failed()
	case !isVerdict:
		r.Outcome, r.Reason = Crashed, brief(fmt.Sprintf("exit status %d: %s", e.status, e.lastWords))
	case err != nil:
		r.Outcome, r.Reason = Crashed, brief(err.Error())
	case !judged && verdict == check.Unknown && dir == "":
		// A client that cannot be trusted: nothing was tested, and there is nothing to keep.
		r.Outcome, r.Reason = Unknown, brief(e.lastWords)
	case !judged:
		r.Outcome, r.Reason = Crashed, brief(rerr.Error())
	case verdict != result.Verdict:
		r.Outcome = Crashed
		r.Reason = fmt.Sprintf("exit status %d, but its results are %s", e.status, result.Verdict)
	default:
		r.Outcome, r.Reason = Outcome(result.Verdict.String()), brief(result.Reason)
	}
	return r, dir
}

// runDirs are the directories of runs in the store of one attempt.
func runDirs(work string) ([]string, error) {
	tests, err := filepath.Glob(filepath.Join(globbed(work), "*", "*", "test.json"))
	if err != nil {
		return nil, err
	}
	dirs := make([]string, len(tests))
	for i, t := range tests {
		dirs[i] = filepath.Dir(t)
	}
	return dirs, nil
}

// globbed escapes what would mean something in a pattern.
func globbed(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// size is the number of bytes of the files below a directory. What goes while it is looked
// at has none.
func size(dir string) (int64, error) {
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				n += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return n, err
}
