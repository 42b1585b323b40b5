package soak

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	journalFile   = "journal.jsonl"
	journalFormat = 1
)

// The types of entries. A run is begun, and then either ended, which makes it a result, or
// interrupted, which makes it as if it had never been: it is begun again, under the same
// number and with the same seed.
const (
	entryPlan        = "plan"        // the first: what is soaked
	entrySession     = "session"     // a process goes to work
	entryBegin       = "begin"       // a run is about to be started
	entryEnd         = "end"         // it came out as Record says
	entryInterrupted = "interrupted" // it was cut off, and what it left is cleaned up
	entryPruned      = "pruned"      // its files are about to be removed
	entryStop        = "stop"        // the process has stopped working, on purpose
)

// Attempt is a run of the plan, by its number from 1, or, with Try from 1, its repetition
// for what it has shown.
type Attempt struct {
	Run int `json:"run"`
	Try int `json:"try,omitempty"`
}

// String is "12" for a run, and "12.1" for its first repetition.
func (a Attempt) String() string {
	if a.Try == 0 {
		return fmt.Sprint(a.Run)
	}
	return fmt.Sprintf("%d.%d", a.Run, a.Try)
}

// Header is what a soak is of. It never changes.
type Header struct {
	Format int    `json:"format"`
	Name   string `json:"name"`
	// Plan is the digest of the plan.
	Plan string `json:"plan"`
	Seed uint64 `json:"seed"`
	// Shard is the part of the plan, from 1 to Shards.
	Shard  int        `json:"shard"`
	Shards int        `json:"shards"`
	Repeat int        `json:"repeat"`
	Cells  []CellInfo `json:"cells"`
}

// Entry is a line of a journal.
type Entry struct {
	Type string    `json:"type"`
	At   time.Time `json:"at"`
	*Header
	Attempt
	// Cell and Seed of a run that begins.
	Cell    string `json:"cell,omitempty"`
	RunSeed uint64 `json:"run_seed,omitempty"`
	// Checker is the version of a session's program.
	Checker string `json:"checker,omitempty"`
	// Why a session stopped, or a run was interrupted.
	Why    string  `json:"why,omitempty"`
	Record *Record `json:"record,omitempty"`
}

// journal is the file of a soak that says what was begun and what came out. A line is on
// the disk before what it tells of begins, or counts.
type journal struct {
	file *os.File
	path string
	*State
}

// errWorking says that another process has the journal.
var errWorking = errors.New("a soak is at work there already")

// openJournal opens the journal of a directory, creating it if need be, and reads it. It is
// locked until it is closed, or its process ends.
func openJournal(dir string) (j *journal, err error) {
	path := filepath.Join(dir, journalFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errWorking
		}
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	state, whole, err := readState(path, b)
	if err != nil {
		return nil, err
	}
	// What a writer that was killed left of a line never counted.
	if whole < len(b) {
		if err := errors.Join(f.Truncate(int64(whole)), f.Sync()); err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
	}
	return &journal{file: f, path: path, State: state}, nil
}

// LoadState reads the journal of a soak, also while it goes on.
func LoadState(dir string) (*State, error) {
	path := filepath.Join(dir, journalFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s is no soak: %w", dir, err)
	}
	s, _, err := readState(path, b)
	if err != nil {
		return nil, err
	}
	if s.Header == nil {
		return nil, fmt.Errorf("%s is no soak: its journal is empty", dir)
	}
	s.Dir = dir
	return s, nil
}

// readState reads whole lines, and says how many bytes these are.
func readState(path string, b []byte) (*State, int, error) {
	s := newState()
	whole := 0
	for n := 1; ; n++ {
		line, rest, found := bytes.Cut(b[whole:], []byte{'\n'})
		if !found {
			return s, whole, nil
		}
		whole = len(b) - len(rest)
		var e Entry
		err := json.Unmarshal(line, &e)
		if err == nil {
			err = s.apply(e)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
}

// write adds an entry, and returns when it is on the disk.
func (j *journal) write(e Entry) error {
	if err := j.apply(e); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (j *journal) close() error { return j.file.Close() }
