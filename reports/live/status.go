// Package live tells how a run goes while it goes, from its directory alone, so that any
// process can follow it: the history and the ledger as they grow, and a small file,
// live.json, in which the checker says every second that it lives and what it is at.
//
// What is shown is provisional: it is computed from what has reached the disk, and only
// the judge at the end decides.
package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// FileName is the file in which a checker says how it is. It is there as long as the
// checker runs, and stays after one that was killed.
const FileName = "live.json"

// Every is how often the file is written. A checker that did not write it for Lost is
// taken for dead.
const (
	Every = time.Second
	Lost  = 10 * time.Second
)

// Phase names of a Status that mean something to others.
const (
	PhaseWorkload = "workload beside nemesis"
	PhaseCheck    = "check"
)

// Status is what a checker says of itself.
type Status struct {
	PID int `json:"pid"`
	// Phase is what it is at, Since when on the test's clock it began, and Now that clock.
	Phase string       `json:"phase"`
	Since history.Time `json:"since"`
	Now   history.Time `json:"now"`
	// Findings are what the checker noticed so far.
	Findings []Finding `json:"findings,omitempty"`
}

// Finding is something that whoever watches a run has to know.
type Finding struct {
	At history.Time `json:"at"` // ns since the start of the test
	// Kind is violation, trouble or silence.
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// The kinds of findings: the history so far breaks the promise; the harness or a node had
// trouble; nothing succeeds although it should.
const (
	Violation = "violation"
	Trouble   = "trouble"
	Silence   = "silence"
)

// findingsMost bounds the findings of a status; the newest are kept.
const findingsMost = 100

// Write stores the status of the run in a directory, in one step.
func Write(dir string, s Status) error {
	if n := len(s.Findings); n > findingsMost {
		s.Findings = s.Findings[n-findingsMost:]
	}
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	path := filepath.Join(dir, FileName)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}

// Remove says that the checker has ended.
func Remove(dir string) error {
	err := os.Remove(filepath.Join(dir, FileName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}

// Alive reports whether the checker of a run's directory gave a sign of life a short
// while ago.
func Alive(dir string, now time.Time) bool {
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil {
		return false
	}
	age := now.Sub(info.ModTime())
	return age < Lost && age > -Lost
}

// read returns the status, and whether its writer is alive.
func read(dir string, now time.Time) (s Status, alive bool) {
	b, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil || json.Unmarshal(b, &s) != nil {
		return Status{}, false
	}
	return s, Alive(dir, now)
}
