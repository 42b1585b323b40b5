package main

import (
	"os"
	"path/filepath"
	"strings"
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
			verdict: check.Invalid, witness: 3 * time.Second, runs: 2, reason: "why", err: "late",
		},
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
