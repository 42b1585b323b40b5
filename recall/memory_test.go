package recall

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// What one measurement has seen the next knows, and a broken line is named.
func TestMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	outcomes := []outcome{
		{
			job:     job{subject{"paxos", "", "register", "kill,clock"}, 1},
			verdict: check.Valid, witness: time.Minute, runs: 1, dir: "store/a",
		},
		{
			job:     job{subject{"paxos", "cli-no-dedup", "register,counter", "all"}, 2},
			verdict: check.Invalid, witness: 3 * time.Second, operations: 12, runs: 2, reason: "why",
			err: "late", dir: "store/b",
		},
		{job: job{subject{"paxos", "", "counter", "all"}, 3}, runs: 1, none: true, err: "no disk"},
	}
	for i, o := range outcomes {
		m, err := openMemory(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.known) != i {
			t.Errorf("knows %d outcomes, want %d", len(m.known), i)
		}
		if err := m.add(o); err != nil {
			t.Fatal(err)
		}
		m.close()
	}
	m, err := openMemory(path)
	if err != nil {
		t.Fatal(err)
	}
	m.close()
	for _, o := range outcomes {
		if got := m.known[o.job]; got != o {
			t.Errorf("knows %+v, want %+v", got, o)
		}
	}
	if err := os.WriteFile(path, []byte("{}\n{\"seed\": 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openMemory(path); err == nil || !strings.Contains(err.Error(), ".jsonl:2:") {
		t.Errorf("a broken second line: %v", err)
	}
}

// A file of an older version has no operations and no word for a lack of a verdict.
func TestOlderResults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	const lines = `{"protocol":"quorum","workload":"register","faults":"kill","seed":1,` +
		`"verdict":"valid","witness_ns":600000000000,"runs":1,"dir":"store/x"}
{"protocol":"quorum","workload":"session","faults":"kill","seed":1,` +
		`"verdict":"valid","witness_ns":0,"runs":1,"dir":"","error":"set up took longer than 30s"}
`
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := openMemory(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	for workload, none := range map[string]bool{"register": false, "session": true} {
		o, ok := m.known[job{subject{"quorum", "", workload, "kill"}, 1}]
		if !ok || o.none != none {
			t.Errorf("%s: known %v, without a verdict %v, want %v", workload, ok, o.none, none)
		}
	}
}

// A measurement that is interrupted goes on where it was, and what was cut short is run
// again.
func TestResume(t *testing.T) {
	rows := []row{
		{subject{"paxos", "cli-no-dedup", "counter", "all"}, "easy", Smoke},
		{subject: subject{"paxos", "", "counter", "all"}},
		{subject: subject{"quorum", "", "register", "all"}},
	}
	c := Default()
	c.Seeds, c.Results = 2, filepath.Join(t.TempDir(), "results.jsonl")
	var said bytes.Buffer
	env := Env{Out: &said, Now: func() time.Time { return time.Unix(0, 0) }}
	ctx, interrupt := context.WithCancelCause(context.Background())
	errStop := errors.New("interrupted")
	var ran []job
	_, err := measure(ctx, c, env, rows, func(j job) outcome {
		ran = append(ran, j)
		if len(ran) == 3 {
			interrupt(errStop)
		}
		return outcome{job: j, verdict: check.Valid, runs: 1}
	})
	if !errors.Is(err, errStop) {
		t.Fatalf("interrupted, it says %v", err)
	}
	cut := ran[2]
	var again []job
	report, err := measure(context.Background(), c, env, rows, func(j job) outcome {
		again = append(again, j)
		return outcome{job: j, verdict: check.Valid, runs: 1}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(again) != 4 || !slices.Contains(again, cut) {
		t.Errorf("after %v were run, these are: %v", ran, again)
	}
	if !strings.Contains(said.String(), "2 of 6 campaigns are known already") {
		t.Errorf("it says:\n%s", said.String())
	}
	if f := report.FalseAlarms; f.Campaigns != 4 || f.Invalid != 0 || report.Bugs[0].Campaigns != 2 {
		t.Errorf("the report has %+v, %+v", f, report.Bugs)
	}
}

// As many campaigns go on at a time as were asked for.
func TestParallel(t *testing.T) {
	rows := make([]row, 6)
	for i := range rows {
		rows[i].protocol = string(rune('a' + i))
	}
	c := Default()
	c.Parallel = 3
	var meet sync.WaitGroup
	meet.Add(c.Parallel)
	var once sync.Map
	_, err := measure(t.Context(), c, Env{Out: io.Discard, Now: time.Now}, rows,
		func(j job) outcome {
			if _, late := once.LoadOrStore(j.protocol, true); late {
				t.Errorf("%s comes twice", j.protocol)
			}
			if j.protocol < "d" {
				meet.Done()
				meet.Wait() // all three are here, or this never ends
			}
			return outcome{job: j}
		})
	if err != nil {
		t.Fatal(err)
	}
}
