package live

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// The files of a run that are followed.
const (
	historyFile = "history.jsonl"
	ledgerFile  = "ledger.jsonl"
	testFile    = "test.json"
	resultsFile = "results.json"
)

// Fault is a fault that is in force, or was.
type Fault struct {
	ID    int64    `json:"id"`
	Fault string   `json:"fault"`
	What  string   `json:"what"`
	Nodes []string `json:"nodes,omitempty"`
	// From and To are seconds since the start of the test; To is 0 while it is in force.
	From float64 `json:"from"`
	To   float64 `json:"to,omitempty"`

	links []nemesis.Link
	cut   bool
}

// LinkState is what faults do to a link.
type LinkState string

// The states of links.
const (
	Clean     LinkState = "clean"
	Disturbed LinkState = "disturbed"
	Cut       LinkState = "cut"
)

// Matrix says what is done to the links from every row to every column: the nodes, and
// the clients.
type Matrix struct {
	Names []string      `json:"names"`
	Links [][]LinkState `json:"links"`
	// Hit are the faults of the processes, clocks and disks of each name.
	Hit []string `json:"hit"`
}

// Check is the judging at the end.
type Check struct {
	// Running is true while it goes on. Took is for how long it did, or does so far.
	Running bool    `json:"running"`
	Took    float64 `json:"took,omitempty"` // s
	// Limit is its time limit, Expected how long it will take, by the runs before; 0 when
	// nobody knows. Seconds.
	Limit    float64 `json:"limit"`
	Expected float64 `json:"expected,omitempty"`
}

// Snapshot is how a run goes at a moment.
type Snapshot struct {
	// State is running, or what became of it: ended, or lost when its checker gives no sign
	// of life and there are no results.
	State string `json:"state"`
	Phase string `json:"phase"`
	// Elapsed and Planned are seconds since the workload's clock began, and how long the
	// workload is to last.
	Elapsed float64 `json:"elapsed"`
	Planned float64 `json:"planned"`
	Counts  Counts  `json:"counts"`
	// Rate is successful operations a second, P50 and P99 their latencies in milliseconds,
	// in the last whole piece of time.
	Rate    float64   `json:"rate"`
	P50     float64   `json:"p50"`
	P99     float64   `json:"p99"`
	Buckets []Bucket  `json:"buckets"`
	Active  []Fault   `json:"active"`
	Faults  []Fault   `json:"faults"`
	Healthy []string  `json:"healthy"`
	Matrix  Matrix    `json:"matrix"`
	Errors  []Class   `json:"errors"`
	Finds   []Finding `json:"findings"`
	Check   Check     `json:"check"`
}

// Class is how often clients were told an error.
type Class struct {
	Error string `json:"error"`
	Count int64  `json:"count"`
}

// Follower follows one run. It is not safe for concurrent use.
type Follower struct {
	dir     string
	nodes   []string
	planned time.Duration
	limit   time.Duration

	history tail
	ledger  tail
	series  *Series
	faults  []*Fault
	healthy []string
	known   bool // whether healthy was ever said
	errors  map[string]int64
	lastOK  history.Time
	since   history.Time // the healthy majority's begin
	checks  time.Time    // when the check was first seen
}

// Follow returns a follower of the run in a directory. It fails when test.json is not
// there or not readable.
func Follow(dir string) (*Follower, error) {
	b, err := os.ReadFile(filepath.Join(dir, testFile))
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", dir, err)
	}
	var t struct {
		Nodes  []string `json:"nodes"`
		Config struct {
			TimeLimit time.Duration `json:"time_limit"`
			CheckTime time.Duration `json:"check_time"`
		} `json:"config"`
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fmt.Errorf("follow %s: %s: %w", dir, testFile, err)
	}
	return &Follower{
		dir: dir, nodes: t.Nodes, planned: t.Config.TimeLimit, limit: t.Config.CheckTime,
		history: tail{path: filepath.Join(dir, historyFile)},
		ledger:  tail{path: filepath.Join(dir, ledgerFile)},
		series:  NewSeries(), errors: map[string]int64{},
	}, nil
}

// errorsMost bounds the different errors that are counted.
const errorsMost = 200

// Look reads what was added since the last look and says how the run goes.
func (f *Follower) Look(now time.Time) (Snapshot, error) {
	first := f.history.offset == 0
	err := errors.Join(
		f.history.read(func(line []byte) {
			if header := first; header {
				first = false
				return
			}
			if e, err := history.DecodeEvent(line); err == nil {
				f.event(&e)
			}
		}),
		f.ledger.read(f.entry),
	)
	if err != nil {
		return Snapshot{}, fmt.Errorf("follow %s: %w", f.dir, err)
	}
	return f.snapshot(now), nil
}

// event takes in a line of the history.
func (f *Follower) event(e *history.Event) {
	f.series.Add(e)
	switch {
	case e.Process == history.Nemesis && e.F == "topology":
		nodes := e.Value.Get("healthy")
		f.healthy, f.known = nil, true
		for i := range nodes.Len() {
			if n, ok := nodes.At(i).AsString(); ok && nodes.Kind() == history.KindList {
				f.healthy = append(f.healthy, n)
			}
		}
		f.since = e.Time
	case e.Process == history.Nemesis:
	case e.Type == history.OK:
		f.lastOK = e.Time
	case e.Error != "" && (len(f.errors) < errorsMost || f.errors[e.Error] > 0):
		f.errors[e.Error]++
	}
}

// entry takes in a line of the ledger.
func (f *Follower) entry(line []byte) {
	var e nemesis.Entry
	if json.Unmarshal(line, &e) != nil || e.Fault == 0 {
		return
	}
	switch {
	case e.Type == nemesis.EntryIntent && e.Intent != nil:
		fault := &Fault{
			ID: e.Fault, Fault: e.Intent.Step.Fault, What: e.Intent.What, From: e.At.Seconds(),
			links: e.Intent.Links, cut: e.Intent.Cut,
		}
		for _, n := range e.Intent.Nodes {
			fault.Nodes = append(fault.Nodes, string(n))
		}
		f.faults = append(f.faults, fault)
	case e.Type == nemesis.EntryHealed && e.Error == "":
		for _, fault := range f.faults {
			if fault.ID == e.Fault && fault.To == 0 {
				fault.To = max(e.At.Seconds(), fault.From)
			}
		}
	}
}

func (f *Follower) snapshot(now time.Time) Snapshot {
	status, alive := read(f.dir, now)
	s := Snapshot{
		State: "lost", Phase: status.Phase, Planned: f.planned.Seconds(), Counts: f.series.Counts,
		Elapsed: max(f.series.End(), status.Now.Seconds()), Buckets: f.series.Buckets(),
		Active: []Fault{}, Faults: []Fault{}, Healthy: slices.Concat([]string{}, f.healthy),
		Finds: slices.Concat([]Finding{}, status.Findings), Errors: f.classes(),
		Check: Check{Limit: f.limit.Seconds()},
	}
	_, err := os.Stat(filepath.Join(f.dir, resultsFile))
	switch judged := err == nil; {
	case alive && !(judged && status.Phase == PhaseCheck):
		s.State = "running"
	case judged:
		s.State = "ended"
	}
	// The last whole piece says how it goes; the piece that is being filled does not.
	if n := len(s.Buckets); n > 1 {
		b := s.Buckets[n-2]
		s.Rate, s.P50, s.P99 = b.OK, b.P50, b.P99
	}
	for _, fault := range f.faults {
		s.Faults = append(s.Faults, *fault)
		if fault.To == 0 {
			s.Active = append(s.Active, *fault)
		}
	}
	s.Matrix = f.matrix(s.Active)
	if s.State == "running" {
		f.check(&s, status, now)
		s.Finds = append(s.Finds, f.silence(status)...)
	}
	return s
}

// check tells for how long it is being judged.
func (f *Follower) check(s *Snapshot, status Status, now time.Time) {
	if status.Phase != PhaseCheck {
		return
	}
	if f.checks.IsZero() {
		f.checks = now
	}
	s.Check.Running, s.Check.Took = true, now.Sub(f.checks).Seconds()
}

// silenceLeast is from when on it is told that nothing succeeds.
const silenceLeast = history.Time(5 * time.Second)

// silence tells when nothing succeeds although a majority of the nodes is healthy.
func (f *Follower) silence(s Status) []Finding {
	from := max(f.lastOK, f.since)
	if s.Phase != PhaseWorkload || !f.known || len(f.healthy) == 0 || s.Now-from < silenceLeast ||
		f.series.Counts.Open == 0 {
		return nil
	}
	return []Finding{{At: s.Now, Kind: Silence, Text: fmt.Sprintf(
		"no operation succeeded for %.1f s, while a majority of the nodes was healthy",
		(s.Now - from).Seconds())}}
}

// classes returns the most frequent errors.
func (f *Follower) classes() []Class {
	all := []Class{}
	for _, e := range slices.Sorted(maps.Keys(f.errors)) {
		all = append(all, Class{Error: e, Count: f.errors[e]})
	}
	slices.SortStableFunc(all, func(a, b Class) int { return cmp.Compare(b.Count, a.Count) })
	return all[:min(len(all), 10)]
}

// matrix says what faults do to links and nodes.
func (f *Follower) matrix(active []Fault) Matrix {
	m := Matrix{Names: append(slices.Clone(f.nodes), string(nemesis.Clients))}
	at := map[string]int{}
	for i, n := range m.Names {
		at[n] = i
		row := make([]LinkState, len(m.Names))
		for k := range row {
			row[k] = Clean
		}
		m.Links = append(m.Links, row)
	}
	m.Hit = make([]string, len(m.Names))
	for _, fault := range active {
		for _, l := range fault.links {
			from, ok := at[string(l.From)]
			to, also := at[string(l.To)]
			switch {
			case !ok || !also:
			case fault.cut:
				m.Links[from][to] = Cut
			case m.Links[from][to] == Clean:
				m.Links[from][to] = Disturbed
			}
		}
		if len(fault.links) > 0 {
			continue
		}
		for _, n := range fault.Nodes {
			if i, ok := at[n]; ok && m.Hit[i] == "" {
				m.Hit[i] = fault.Fault
			} else if ok {
				m.Hit[i] += ", " + fault.Fault
			}
		}
	}
	return m
}

// tail reads the whole lines that are added to a file.
type tail struct {
	path   string
	offset int64
	buf    []byte
}

// tailBlock is how much is read at a time. Longer lines are passed over.
const tailBlock = 1 << 20

func (t *tail) read(each func(line []byte)) error {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // not yet
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if t.buf == nil {
		t.buf = make([]byte, tailBlock)
	}
	for {
		n, err := f.ReadAt(t.buf, t.offset)
		b := t.buf[:n]
		last := bytes.LastIndexByte(b, '\n')
		switch {
		case err != nil && err != io.EOF:
			return err
		case last < 0 && n < len(t.buf):
			return nil // the rest of a line is still to come
		case last < 0:
			t.offset += int64(n) // too long: its end will be no event either
			continue
		}
		t.offset += int64(last) + 1
		for line := range bytes.Lines(b[:last+1]) {
			each(bytes.TrimSuffix(line, []byte{'\n'}))
		}
	}
}
