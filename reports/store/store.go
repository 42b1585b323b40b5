package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/reports/live"
)

// State is what there is to say of a run in one word: its verdict, or why it has none.
type State string

// The states.
const (
	Valid   State = "valid"
	Unknown State = "unknown"
	Invalid State = "invalid"
	// Running is a run whose checker is at work.
	Running State = "running"
	// Unjudged is one that was cut off, or not judged yet.
	Unjudged State = "unjudged"
)

// States lists the states.
func States() []State { return []State{Valid, Unknown, Invalid, Running, Unjudged} }

// Entry is a run of the store.
type Entry struct {
	ID    ID
	State State
	Run
	// results is when results.json was written, as it was when the entry was read, at read.
	results, read time.Time
}

// Store is a directory of runs. It is safe for concurrent use, and writes nothing.
type Store struct {
	dir string
	now func() time.Time

	mu      sync.Mutex // Protects fields below.
	names   map[string]*name
	entries map[ID]*Entry
	lines   map[ID]Run
	index   indexTail
	sorted  []Entry // nil when it has to be made again
	looked  time.Time
	turn    int
	told    map[ID]bool // runs that the index told of since the last look
}

// name is a directory of runs of one name.
type name struct {
	changed time.Time // the directory's own time when it was read
	looked  time.Time
}

// indexTail is how far the index was read.
type indexTail struct {
	info   os.FileInfo
	offset int64
}

// lookEvery is the least time between two looks at the directories.
const lookEvery = 500 * time.Millisecond

// settled is how old a directory's time must be before it proves that nothing was added
// since: clocks of file systems tick slowly.
const settled = 2 * time.Second

// Open returns the store in a directory, which must exist.
func Open(dir string, now func() time.Time) (*Store, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("store %s is no directory", dir)
	}
	return &Store{
		dir: dir, now: now, names: map[string]*name{}, entries: map[ID]*Entry{},
		lines: map[ID]Run{}, told: map[ID]bool{},
	}, nil
}

// Dir returns the directory of a run.
func (s *Store) Dir(id ID) string { return filepath.Join(s.dir, id.Name, id.Stamp) }

// Runs returns all runs, the newest first. The caller must not change them.
func (s *Store) Runs() ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.sorted == nil || now.Sub(s.looked) >= lookEvery || now.Before(s.looked) {
		if err := s.look(now); err != nil {
			return nil, err
		}
		s.looked = now
	}
	if s.sorted == nil {
		s.sort()
	}
	return s.sorted, nil
}

// Find returns one run.
func (s *Store) Find(id ID) (Entry, bool, error) {
	if _, err := s.Runs(); err != nil {
		return Entry{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[id]
	if !ok {
		return Entry{}, false, nil
	}
	return *e, true, nil
}

func (s *Store) sort() {
	s.sorted = make([]Entry, 0, len(s.entries))
	for _, e := range s.entries {
		s.sorted = append(s.sorted, *e)
	}
	slices.SortFunc(s.sorted, func(a, b Entry) int {
		if c := b.Started.Compare(a.Started); c != 0 {
			return c
		}
		return strings.Compare(b.ID.String(), a.ID.String())
	})
}

// look brings everything up to date. The caller holds the lock.
func (s *Store) look(now time.Time) error {
	if err := s.readIndex(); err != nil {
		return err
	}
	all, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	seen := map[string]bool{}
	for _, d := range all {
		if !d.IsDir() || d.Name()[0] == '.' {
			continue
		}
		seen[d.Name()] = true
		if err := s.lookAt(d.Name(), now); err != nil {
			return err
		}
	}
	for n := range s.names {
		if !seen[n] {
			delete(s.names, n)
			s.drop(n, nil)
		}
	}
	s.turn++
	for id, e := range s.entries {
		// Old runs are judged again rarely, and then the index tells of it, unless it was
		// done elsewhere: one turn in eight is soon enough.
		old := !e.results.IsZero() && now.Sub(e.results) > time.Hour
		if old && !s.told[id] && (e.results.Nanosecond()/1000+s.turn)%8 != 0 {
			continue
		}
		s.renew(id, e, now)
	}
	clear(s.told)
	return nil
}

// lookAt finds the runs of one name that came or went.
func (s *Store) lookAt(dir string, now time.Time) error {
	path := filepath.Join(s.dir, dir)
	info, err := os.Stat(path)
	if isMissing(err) {
		return nil // it went at this moment: the next look will see it
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	n := s.names[dir]
	if n != nil && n.changed.Equal(info.ModTime()) && n.looked.Sub(n.changed) > settled {
		return nil
	}
	runs, err := os.ReadDir(path)
	if err != nil && !isMissing(err) {
		return fmt.Errorf("store: %w", err)
	}
	s.names[dir] = &name{changed: info.ModTime(), looked: now}
	there := map[string]bool{}
	for _, d := range runs {
		id := ID{Name: dir, Stamp: d.Name()}
		if !d.IsDir() || !id.sound() {
			continue
		}
		there[d.Name()] = true
		if s.entries[id] == nil {
			s.add(id, now)
		}
	}
	s.drop(dir, there)
	return nil
}

// drop forgets the runs of a name that are not there any more.
func (s *Store) drop(dir string, there map[string]bool) {
	for id := range s.entries {
		if id.Name == dir && !there[id.Stamp] {
			delete(s.entries, id)
			s.sorted = nil
		}
	}
}

// add takes in a directory, if it is a run.
func (s *Store) add(id ID, now time.Time) {
	if e := s.read(id, now); e != nil {
		s.entries[id] = e
		s.sorted = nil
	} else {
		// Perhaps its test.json is about to be written: look again.
		s.names[id.Name].changed = time.Time{}
	}
}

// renew reads a run again when its results came, went or changed.
func (s *Store) renew(id ID, e *Entry, now time.Time) {
	if e.read.Equal(now) {
		return
	}
	written := s.resultsTime(id)
	state := e.State
	if written.IsZero() {
		state = s.unjudged(id, now)
	}
	if written.Equal(e.results) && state == e.State {
		return
	}
	s.sorted = nil
	if fresh := s.read(id, now); fresh != nil {
		s.entries[id] = fresh
	} else {
		delete(s.entries, id)
	}
}

// resultsTime returns when results.json was written, zero if it is not there.
func (s *Store) resultsTime(id ID) time.Time {
	info, err := os.Stat(filepath.Join(s.Dir(id), resultsFile))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// read makes the entry of a run; nil if it is none.
func (s *Store) read(id ID, now time.Time) *Entry {
	e := &Entry{ID: id, results: s.resultsTime(id), read: now}
	line, ok := s.lines[id]
	// A line that is older than the results tells of an earlier judgement. It is written
	// a moment after them.
	if ok && !e.results.IsZero() && !line.Judged.Before(e.results.Add(-time.Second)) {
		e.Run, e.State = line, State(line.Verdict.String())
		return e
	}
	r, err := Read(s.Dir(id))
	switch {
	case r.Dir == "":
		return nil
	case err == nil:
		e.State = State(r.Verdict.String())
	case isMissing(err):
		e.State = s.unjudged(id, now)
	default: // results that cannot be read are none
		e.State, r.Reason = Unjudged, err.Error()
	}
	e.Run = r
	return e
}

// unjudged tells a run that goes on from one that was cut off.
func (s *Store) unjudged(id ID, now time.Time) State {
	if live.Alive(s.Dir(id), now) {
		return Running
	}
	return Unjudged
}

// readIndex takes in the lines that were added, or all if it is another file now.
func (s *Store) readIndex() error {
	f, err := os.Open(filepath.Join(s.dir, indexFile))
	if isMissing(err) {
		s.index, s.lines = indexTail{}, map[ID]Run{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if s.index.info == nil || !os.SameFile(s.index.info, info) || info.Size() < s.index.offset {
		s.index, s.lines = indexTail{}, map[ID]Run{}
	}
	s.index.info = info
	b, err := io.ReadAll(io.NewSectionReader(f, s.index.offset, info.Size()-s.index.offset))
	if err != nil {
		return errors.Join(fmt.Errorf("store: read %s", indexFile), err)
	}
	for {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if !whole { // it is still being written, or was left so
			return nil
		}
		s.index.offset += int64(len(line)) + 1
		b = rest
		var r Run
		if json.Unmarshal(line, &r) != nil {
			continue
		}
		if id := r.id(); id.sound() && !r.Judged.IsZero() {
			s.lines[id] = r
			s.told[id] = true
		}
	}
}
