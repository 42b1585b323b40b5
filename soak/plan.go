package soak

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/strictyaml"
	"github.com/ordeal-dev/ordeal/run"
)

// Plan is a matrix of tests, and what they may cost.
type Plan struct {
	Name string
	// Seed is the master seed, if the plan has one of its own.
	Seed   uint64
	Seeded bool
	Budget Budget
	// Repeat is how often the run that showed a new violation is run again.
	Repeat int
	Cells  []Cell
	// Text is the file as it was read.
	Text []byte
}

// Budget is what a soak may take. Zero is no limit, but for Parallel.
type Budget struct {
	// Time is that of the clock while the soak is at work; Runs the number of runs, without
	// those that are repeated for a violation.
	Time time.Duration
	Runs int
	// Disk (bytes) is for what is kept of all runs, Memory (bytes) for all runs that go on at
	// a time.
	Disk, Memory int64
	// Parallel is the number of runs at a time; 0 is as many as the machine is good for.
	Parallel int
}

// Cell is one place of the matrix.
type Cell struct {
	CellInfo
	// Config is the test, without its seed and store.
	Config run.Config
	// Limit is how long a run may take on the clock: one that takes longer hangs.
	Limit time.Duration
	// Exclusive says that no other such run may go on beside it, because they share hosts.
	Exclusive bool
}

// CellInfo is what a journal says of a cell.
type CellInfo struct {
	// ID tells the cell from all others, in words.
	ID       string        `json:"id"`
	Cluster  string        `json:"cluster"`
	System   string        `json:"system"` // with the protocol, if it has several
	Workload string        `json:"workload"`
	Faults   string        `json:"faults"`
	Bug      string        `json:"bug,omitempty"`
	Time     time.Duration `json:"time"` // ns
	Weight   int           `json:"weight"`
	// Canary marks a cell that has to be found invalid.
	Canary bool `json:"canary,omitempty"`
}

// Digest tells plans apart.
func (p *Plan) Digest() string {
	sum := sha256.Sum256(p.Text)
	return hex.EncodeToString(sum[:])
}

const (
	weightMost   = 1000
	cellsMost    = 10_000
	repeatUsual  = 3
	repeatMost   = 100
	parallelMost = 1000
)

// file is a plan as it is written.
type file struct {
	Name     text                   `yaml:"name"`
	Doc      text                   `yaml:"doc"`
	Seed     text                   `yaml:"seed"`
	Budget   budget                 `yaml:"budget"`
	Repeat   strictyaml.At[int]     `yaml:"repeat"`
	Defaults entry                  `yaml:"defaults"`
	Matrix   strictyaml.At[[]entry] `yaml:"matrix"`
}

type (
	text     = strictyaml.Text
	number   = strictyaml.At[int]
	duration = strictyaml.At[time.Duration]
)

type budget struct {
	Time     duration `yaml:"time"`
	Runs     number   `yaml:"runs"`
	Disk     text     `yaml:"disk"`
	Memory   text     `yaml:"memory"`
	Parallel number   `yaml:"parallel"`
}

// entry spans a part of the matrix: all combinations of what is a list.
type entry struct {
	Line   int                 `yaml:",line"`
	Name   text                `yaml:"name"`
	Weight number              `yaml:"weight"`
	Canary strictyaml.At[bool] `yaml:"canary"`
	Limit  duration            `yaml:"limit"`

	Cluster  text             `yaml:"cluster"`
	System   []text           `yaml:"system"`
	Settings strictyaml.Pairs `yaml:"settings"`
	Protocol []text           `yaml:"protocol"`
	Workload []text           `yaml:"workload"`
	Faults   []text           `yaml:"faults"`
	Time     []duration       `yaml:"time"`
	Bug      text             `yaml:"bug"`

	Nodes           number                 `yaml:"nodes"`
	Hosts           []text                 `yaml:"hosts"`
	NodesFile       text                   `yaml:"nodes_file"`
	Endpoints       []text                 `yaml:"endpoints"`
	Project         text                   `yaml:"project"`
	Concurrency     number                 `yaml:"concurrency"`
	Rate            strictyaml.At[float64] `yaml:"rate"`
	Rush            strictyaml.At[bool]    `yaml:"rush"`
	Keys            number                 `yaml:"keys"`
	OpsPerKey       number                 `yaml:"ops_per_key"`
	Interval        duration               `yaml:"interval"`
	TxnPause        duration               `yaml:"txn_pause"`
	Noise           strictyaml.At[bool]    `yaml:"noise"`
	Schedule        text                   `yaml:"schedule"`
	OpTimeout       duration               `yaml:"op_timeout"`
	RequestTimeout  duration               `yaml:"request_timeout"`
	CheckTime       duration               `yaml:"check_time"`
	CheckMemory     text                   `yaml:"check_memory"`
	Engine          text                   `yaml:"engine"`
	StopOnViolation strictyaml.At[bool]    `yaml:"stop_on_violation"`
}

// LoadPlan reads a plan and tries each of its cells, without running any. The error has a
// line for each mistake.
func LoadPlan(path string) (*Plan, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return ParsePlan(path, data)
}

// ParsePlan is LoadPlan for a text; path is where it stands.
func ParsePlan(path string, data []byte) (*Plan, error) {
	var f file
	l := planLoader{problems: strictyaml.Decode(data, &f), dir: filepath.Dir(path)}
	p := l.plan(f)
	p.Text = data
	if len(l.problems) == 0 {
		return p, nil
	}
	l.problems.Sort()
	errs := make([]error, len(l.problems))
	for i, problem := range l.problems {
		errs[i] = fmt.Errorf("%s: %w", path, problem)
		if problem.Line > 0 {
			errs[i] = fmt.Errorf("%s:%d: %s", path, problem.Line, problem.Text)
		}
	}
	return nil, errors.Join(errs...)
}

// planLoader collects what is wrong.
type planLoader struct {
	problems strictyaml.Problems
	dir      string // files of the plan are named from here
}

func (l *planLoader) bad(line int, format string, args ...any) {
	l.problems.Add(line, format, args...)
}

var nameShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$`)

func (l *planLoader) plan(f file) *Plan {
	p := &Plan{Name: f.Name.Value, Repeat: repeatUsual}
	if !nameShape.MatchString(p.Name) {
		l.bad(f.Name.Line, "name is %q: want a name of letters, digits, . - _", p.Name)
	}
	if f.Seed.Line > 0 {
		seed, err := strconv.ParseUint(f.Seed.Value, 10, 64)
		if err != nil {
			l.bad(f.Seed.Line, "seed is %q: want a whole number from 0", f.Seed.Value)
		}
		p.Seed, p.Seeded = seed, true
	}
	if f.Repeat.Line > 0 {
		p.Repeat = l.within("repeat", f.Repeat, 0, repeatMost)
	}
	l.budget(&p.Budget, f.Budget)
	for _, unfit := range []struct {
		name string
		line int
	}{
		{"name", f.Defaults.Name.Line}, {"weight", f.Defaults.Weight.Line},
		{"canary", f.Defaults.Canary.Line}, {"bug", f.Defaults.Bug.Line},
	} {
		if unfit.line > 0 {
			l.bad(unfit.line, "%s is an entry's own: it is no default", unfit.name)
		}
	}
	if len(f.Matrix.Value) == 0 {
		l.bad(f.Matrix.Line, "matrix is empty: there is nothing to run")
	}
	for _, e := range f.Matrix.Value {
		l.span(p, e, f.Defaults)
	}
	if n := len(p.Cells); n > cellsMost {
		l.bad(f.Matrix.Line, "the matrix has %d cells: at most %d", n, cellsMost)
	}
	return p
}

func (l *planLoader) within(what string, v number, low, high int) int {
	if v.Value < low || v.Value > high {
		l.bad(v.Line, "%s is %d: want %d to %d", what, v.Value, low, high)
	}
	return v.Value
}

func (l *planLoader) budget(to *Budget, b budget) {
	if to.Time = b.Time.Value; b.Time.Line > 0 && to.Time <= 0 {
		l.bad(b.Time.Line, "time is %v: want more than 0s", to.Time)
	}
	if b.Runs.Line > 0 {
		to.Runs = l.within("runs", b.Runs, 1, 1_000_000_000)
	}
	if b.Parallel.Line > 0 {
		to.Parallel = l.within("parallel", b.Parallel, 1, parallelMost)
	}
	to.Disk, to.Memory = l.size("disk", b.Disk), l.size("memory", b.Memory)
}

// size reads a number of bytes, 0 if it is not there.
func (l *planLoader) size(what string, t text) int64 {
	if t.Line == 0 {
		return 0
	}
	n, err := ParseSize(t.Value)
	if err != nil {
		l.bad(t.Line, "%s is %q: %v", what, t.Value, err)
	}
	return n
}

var sizeShape = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([kMGT]?)(i?)B$`)

// ParseSize reads a number of bytes such as "20GB" or "512 MiB".
func ParseSize(s string) (int64, error) {
	m := sizeShape.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil || m[2] == "" && m[3] != "" {
		return 0, errors.New(`want a size such as "20GB" or "512MiB"`)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, err
	}
	base := 1000.0
	if m[3] != "" {
		base = 1024
	}
	n *= math.Pow(base, float64(strings.Index(" kMGT", cmp.Or(m[2], " "))))
	if n < 1 || n > 1<<60 {
		return 0, errors.New("that is out of all bounds")
	}
	return int64(n), nil
}

// formatSize is a number of bytes for a person.
func formatSize(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for ; f >= 999.5 && i < len(units)-1; i++ {
		f /= 1000
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.3g %s", f, units[i])
}
