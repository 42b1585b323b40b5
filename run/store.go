package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/reports"
	"github.com/ordeal-dev/ordeal/reports/store"
)

// The files of a run's directory.
const (
	testFile     = "test.json"
	scheduleFile = "schedule.jsonl"
	ledgerFile   = "ledger.jsonl"
	historyFile  = "history.jsonl"
	resultsFile  = "results.json"
	junitFile    = "junit.xml"
	reportFile   = "report.html"
	summaryFile  = "summary.md"
	nodesDir     = "nodes"
	latestLink   = "latest"
)

const testFormat = 1

// Test is what test.json says of a run.
type Test struct {
	Format   int       `json:"format"`
	Name     string    `json:"name"`
	Started  time.Time `json:"started"`
	Config   Config    `json:"config"`
	Claim    string    `json:"claim"`
	System   string    `json:"system"`
	Nodes    []string  `json:"nodes"`
	Versions Versions  `json:"versions"`
	// Repeat is the command that runs the same test again.
	Repeat string          `json:"repeat"`
	Phases []reports.Phase `json:"phases,omitempty"`
	// LeftOut are the faults that the cluster cannot do, each with the reason.
	LeftOut []string `json:"left_out,omitempty"`
	// Probers says who sends the probes of which nodes, and why it is not bash; empty where
	// the checker itself looks at links.
	Probers []string `json:"probers,omitempty"`
	// Stopped says when and why the workload was ended before its time, on purpose.
	Stopped string `json:"stopped,omitempty"`
	// KeyPrefix begins the keys of this run in the system; "": they are those of the
	// history.
	KeyPrefix string `json:"key_prefix,omitempty"`
	// Broken is the first proof that the client cannot be trusted, "" if there is none.
	Broken string `json:"broken_client,omitempty"`
	// Silences is how often a client program crashed or did not answer, and Silence how it did
	// so first.
	Silences int    `json:"client_silences,omitempty"`
	Silence  string `json:"client_silence,omitempty"`
	// Shrunk tells of the smaller, or of the larger, test that shows the same violation.
	Shrunk *Shrinkage `json:"shrunk,omitempty"`
	// Notes are the harness's own remarks, such as an early end.
	Notes []string `json:"notes,omitempty"`
}

// createDir makes the directory of a new run and points store/latest at it.
func createDir(runs, name string, started time.Time) (string, error) {
	stamp := started.UTC().Format("20060102T150405.000Z")
	dir := filepath.Join(runs, name, stamp)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("store %s: %w", runs, err)
	}
	// Two runs that start in the same millisecond get different directories.
	for i := 2; ; i++ {
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("store %s: %w", runs, err)
		}
		dir = filepath.Join(runs, name, fmt.Sprintf("%s-%d", stamp, i))
	}
	if err := os.Mkdir(filepath.Join(dir, nodesDir), 0o755); err != nil {
		return "", fmt.Errorf("store %s: %w", runs, err)
	}
	return dir, pointLatest(runs, dir)
}

// pointLatest replaces the link in one step, so that it is never missing.
func pointLatest(runs, dir string) error {
	rel, err := filepath.Rel(runs, dir)
	if err != nil {
		return fmt.Errorf("latest: %w", err)
	}
	// The name is the run's own: several may start in one moment.
	unique := strings.ReplaceAll(rel, string(filepath.Separator), "-")
	temporary := filepath.Join(runs, fmt.Sprintf(".%s-%s", latestLink, unique))
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("latest: %w", err)
	}
	if err := os.Symlink(rel, temporary); err != nil {
		return fmt.Errorf("latest: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(runs, latestLink)); err != nil {
		return fmt.Errorf("latest: %w", err)
	}
	return nil
}

// writeJSON writes the file in one step.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return writeFile(path, append(b, '\n'))
}

func writeFile(path string, b []byte) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, b, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// ErrNoRun is returned for a directory in which no run was stored.
var ErrNoRun = errors.New("is no run")

// LoadTest reads the test.json of a run's directory. It fails with ErrNoRun when
// there is none.
func LoadTest(dir string) (Test, error) {
	b, err := os.ReadFile(filepath.Join(dir, testFile))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return Test{}, fmt.Errorf("%s %w: it has no %s", dir, ErrNoRun, testFile)
		}
		return Test{}, fmt.Errorf("read the run of %s: %w", dir, err)
	}
	var t Test
	if err := json.Unmarshal(b, &t); err != nil {
		return Test{}, fmt.Errorf("read %s: %w", filepath.Join(dir, testFile), err)
	}
	if t.Format > testFormat {
		return Test{}, fmt.Errorf("%s has format %d, this checker knows %d: use a newer checker",
			filepath.Join(dir, testFile), t.Format, testFormat)
	}
	return t, nil
}

// LoadResult reads the results.json of a run's directory.
func LoadResult(dir string) (check.Result, error) {
	b, err := os.ReadFile(filepath.Join(dir, resultsFile))
	if err != nil {
		return check.Result{}, fmt.Errorf("%s is not checked yet: %w", dir, err)
	}
	var r check.Result
	if err := json.Unmarshal(b, &r); err != nil {
		return check.Result{}, fmt.Errorf("read %s: %w", filepath.Join(dir, resultsFile), err)
	}
	return r, nil
}

// addToIndex tells the store of a run that was judged.
func addToIndex(runs, dir string, took time.Duration) error {
	r, err := store.Read(dir)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	r.CheckTook = took
	return store.Append(runs, r)
}
