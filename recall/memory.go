package recall

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// record is an outcome as a line of a file of results.
type record struct {
	Protocol   string        `json:"protocol"`
	Bug        string        `json:"bug,omitempty"`
	Workload   string        `json:"workload"`
	Faults     string        `json:"faults"`
	Seed       uint64        `json:"seed"`
	Verdict    check.Verdict `json:"verdict"`
	None       bool          `json:"none,omitempty"`
	Witness    time.Duration `json:"witness_ns"`
	Operations int64         `json:"operations,omitempty"`
	Runs       int           `json:"runs"`
	Reason     string        `json:"reason,omitempty"`
	Dir        string        `json:"dir"`
	Err        string        `json:"error,omitempty"`
}

// memory is a file of results: what an interrupted measurement has seen is not measured
// again.
type memory struct {
	known map[job]outcome
	file  *os.File // nil when nothing is kept
}

// openMemory reads a file of results, if it exists, and opens it for more. Without a
// path nothing is known and nothing kept.
func openMemory(path string) (*memory, error) {
	m := &memory{known: map[job]outcome{}}
	if path == "" {
		return m, nil
	}
	old, err := os.Open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		defer old.Close()
		if err := m.read(old); err != nil {
			return nil, fmt.Errorf("%s:%w", path, err)
		}
	}
	m.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return m, err
}

// read takes what a file has. Its errors begin with the number of the line.
func (m *memory) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	n := 1
	for ; lines.Scan(); n++ {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("%d: %w", n, err)
		}
		j := job{subject{r.Protocol, r.Bug, r.Workload, r.Faults}, r.Seed}
		m.known[j] = outcome{
			job: j, verdict: r.Verdict, none: r.None || r.Err != "" && r.Dir == "",
			witness: r.Witness, operations: r.Operations, runs: r.Runs,
			reason: r.Reason, dir: r.Dir, err: r.Err,
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%d: %w", n, err)
	}
	return nil
}

// sort tells the campaigns of the rows that are known from those that are to be run. The
// first seed of every row comes before the second of any.
func (m *memory) sort(rows []row, seeds int) (known []outcome, pending []job) {
	for seed := range seeds {
		for _, r := range rows {
			j := job{r.subject, uint64(seed + 1)}
			if o, ok := m.known[j]; ok {
				known = append(known, o)
				continue
			}
			pending = append(pending, j)
		}
	}
	return known, pending
}

// add keeps an outcome.
func (m *memory) add(r outcome) error {
	if m.file == nil {
		return nil
	}
	line, err := json.Marshal(record{
		r.protocol, r.bug, r.workload, r.faults, r.seed, r.verdict, r.none, r.witness, r.operations,
		r.runs, r.reason, r.dir, r.err,
	})
	if err != nil {
		return err
	}
	_, err = m.file.Write(append(line, '\n'))
	return err
}

func (m *memory) close() {
	if m.file != nil {
		_ = m.file.Close() // each line has been written by itself
	}
}
