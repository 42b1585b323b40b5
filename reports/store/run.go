// Package store knows the runs of a store directory without opening each of them: it
// keeps the lines of index.jsonl, and looks at the directories for what the lines do not
// say: runs that go on, were cut off, were judged again, came or went by hand.
//
// The directories are the truth, the index only saves reading them. So a damaged line, a
// torn tail or two writers at a time cost nothing but the time to read what they were
// about.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// The files that are looked at.
const (
	indexFile   = "index.jsonl"
	testFile    = "test.json"
	resultsFile = "results.json"
)

// ID names a run of a store: its directory is Name/Stamp.
type ID struct{ Name, Stamp string }

// String is as in "reference-paxos-cas-register/20261126T213707.929Z".
func (id ID) String() string { return id.Name + "/" + id.Stamp }

// ParseID reads what String wrote. A part that cannot be a directory of its own is an
// error.
func ParseID(s string) (ID, error) {
	name, stamp, ok := strings.Cut(s, "/")
	id := ID{Name: name, Stamp: stamp}
	if !ok || !id.sound() {
		return ID{}, fmt.Errorf("run %q: want NAME/TIME, as in the list of runs", s)
	}
	return id, nil
}

// sound reports whether both parts name one directory, below the one it is in.
func (id ID) sound() bool {
	for _, part := range []string{id.Name, id.Stamp} {
		if part == "" || part[0] == '.' || strings.ContainsAny(part, "/\\\x00") {
			return false
		}
	}
	return true
}

// Run is one line of index.jsonl: a run that was judged.
type Run struct {
	// Dir is the run's directory as its writer saw it. The last two elements are its ID.
	Dir     string        `json:"dir"`
	Name    string        `json:"name"`
	Started time.Time     `json:"started"`
	Seed    uint64        `json:"seed"`
	Verdict check.Verdict `json:"verdict"`
	Reason  string        `json:"reason"`
	// System and what else was asked for; Faults are families.
	System      string        `json:"system,omitempty"`
	Bug         string        `json:"bug,omitempty"`
	Workload    string        `json:"workload,omitempty"`
	Faults      []string      `json:"faults,omitempty"`
	Cluster     string        `json:"cluster,omitempty"`
	Nodes       int           `json:"nodes,omitempty"`
	Concurrency int           `json:"concurrency,omitempty"`
	TimeLimit   time.Duration `json:"time_limit,omitempty"` // ns
	// Operations and their outcomes. Rate is successful ones a second.
	Operations int64   `json:"operations,omitempty"`
	OK         int64   `json:"ok,omitempty"`
	Fail       int64   `json:"fail,omitempty"`
	Info       int64   `json:"info,omitempty"`
	Rate       float64 `json:"rate,omitempty"`
	// P50, P95 and P99 are latencies of successful operations.
	P50 time.Duration `json:"p50,omitempty"` // ns
	P95 time.Duration `json:"p95,omitempty"` // ns
	P99 time.Duration `json:"p99,omitempty"` // ns
	// CheckTook is how long the judging took; 0 if nobody measured it.
	CheckTook time.Duration `json:"check_took,omitempty"` // ns
	// Judged is when it was judged. A line without it is one of an older checker.
	Judged time.Time `json:"judged,omitzero"`
}

// reasonMost bounds the reason of a line: the whole stands in results.json.
const reasonMost = 400

// id is the ID in Dir.
func (r Run) id() ID {
	dir := filepath.ToSlash(filepath.Clean(r.Dir))
	parent, stamp := filepath.Split(dir)
	return ID{Name: filepath.Base(parent), Stamp: stamp}
}

// testJSON is what is read of test.json.
type testJSON struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
	System  string    `json:"system"`
	Config  struct {
		Workload    string        `json:"workload"`
		Bug         string        `json:"bug"`
		Cluster     string        `json:"cluster"`
		Nodes       int           `json:"nodes"`
		Concurrency int           `json:"concurrency"`
		Seed        uint64        `json:"seed"`
		TimeLimit   time.Duration `json:"time_limit"`
		Faults      []string      `json:"faults"`
		Schedule    string        `json:"schedule"`
	} `json:"config"`
}

// resultJSON is what is read of results.json.
type resultJSON struct {
	Name    string          `json:"name"`
	Verdict check.Verdict   `json:"verdict"`
	Reason  string          `json:"reason"`
	Details json.RawMessage `json:"details"`
	Parts   []resultJSON    `json:"parts"`
}

// Read reads what a run's directory says of the run. Without results.json it returns
// what test.json says beside an error that is fs.ErrNotExist.
func Read(dir string) (Run, error) {
	b, err := os.ReadFile(filepath.Join(dir, testFile))
	if err != nil {
		return Run{}, fmt.Errorf("run %s: %w", dir, err)
	}
	var t testJSON
	if err := json.Unmarshal(b, &t); err != nil {
		return Run{}, fmt.Errorf("run %s: %s: %w", dir, testFile, err)
	}
	c := t.Config
	r := Run{
		Dir: dir, Name: t.Name, Started: t.Started, Seed: c.Seed, System: t.System, Bug: c.Bug,
		Workload: c.Workload, Faults: c.Faults, Cluster: c.Cluster, Nodes: c.Nodes,
		Concurrency: c.Concurrency, TimeLimit: c.TimeLimit,
	}
	if c.Schedule != "" {
		r.Faults = []string{"schedule"}
	}
	path := filepath.Join(dir, resultsFile)
	info, err := os.Stat(path)
	if err != nil {
		return r, fmt.Errorf("run %s is not judged: %w", dir, err)
	}
	if b, err = os.ReadFile(path); err != nil {
		return r, fmt.Errorf("run %s: %w", dir, err)
	}
	var result resultJSON
	if err := json.Unmarshal(b, &result); err != nil {
		return r, fmt.Errorf("run %s: %s: %w", dir, resultsFile, err)
	}
	r.Verdict, r.Reason, r.Judged = result.Verdict, brief(result.Reason), info.ModTime()
	r.measure(result)
	return r, nil
}

// measure takes over the numbers of the part that counted operations.
func (r *Run) measure(result resultJSON) {
	var d check.StatsDetails
	if result.Name == "stats" && json.Unmarshal(result.Details, &d) == nil {
		s := d.All
		r.Operations, r.OK, r.Fail = int64(s.Count), int64(s.OK), int64(s.Fail)
		r.Info, r.Rate = int64(s.Info), s.Rate
		r.P50, r.P95, r.P99 = time.Duration(s.P50), time.Duration(s.P95), time.Duration(s.P99)
	}
	for _, p := range result.Parts {
		r.measure(p)
	}
}

func brief(s string) string {
	if r := []rune(s); len(r) > reasonMost {
		return string(r[:reasonMost-1]) + "…"
	}
	return s
}

// Append adds a line to the index of a store, creating it if need be. A line is written
// in one call, so that those of writers at the same time do not mix; what a writer that
// was killed left of a line is ended first.
func Append(store string, r Run) (err error) {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(store, indexFile),
		os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	defer func() {
		if bad := f.Close(); err == nil && bad != nil {
			err = fmt.Errorf("index: %w", bad)
		}
	}()
	line = append(line, '\n')
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		last := []byte{'\n'}
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.Write(line); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}

// HasIndex reports whether a directory has an index of runs, as a store has.
func HasIndex(store string) bool {
	info, err := os.Stat(filepath.Join(store, indexFile))
	return err == nil && info.Mode().IsRegular()
}

// isMissing reports whether an error says that something is not there.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
