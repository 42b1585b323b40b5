package run

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// TestTakeProgram: what replaces the program later does not reach the run's own.
func TestTakeProgram(t *testing.T) {
	dir := t.TempDir()
	program, alias := filepath.Join(dir, "v1"), filepath.Join(dir, "alias")
	newer := filepath.Join(dir, "v2")
	err := errors.Join(
		os.WriteFile(program, []byte("one"), 0o755), os.WriteFile(newer, []byte("two"), 0o755),
		os.Symlink("v1", alias), os.Mkdir(filepath.Join(dir, "run"), 0o755),
		os.Mkdir(filepath.Join(dir, "run2"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	own, err := takeProgram(program, filepath.Join(dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	linked, err := takeProgram(alias, filepath.Join(dir, "run2"))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copied")
	if err := copyProgram(program, copied); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(newer, program); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{own, linked, copied} {
		b, err := os.ReadFile(path)
		info, serr := os.Stat(path)
		if errors.Join(err, serr) != nil || string(b) != "one" || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s is %q, %v: %v", path, b, info, errors.Join(err, serr))
		}
	}
	if err := copyProgram(program, copied); !errors.Is(err, fs.ErrExist) {
		t.Errorf("copied over another program: %v", err)
	}
	if _, err := takeProgram(filepath.Join(dir, "none"), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("took nothing: %v", err)
	}
	if err := errors.Join(removeProgram(filepath.Join(dir, "run")),
		removeProgram(filepath.Join(dir, "run"))); err != nil {
		t.Errorf("removed twice: %v", err)
	}
}

// TestProgramReplaced builds another program over the one of a running test, and kills
// a node: it comes back as what it was.
func TestProgramReplaced(t *testing.T) {
	longtest.Only(t)
	t.Parallel()
	target, err := BuildTarget(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := Default()
	cfg.Store, cfg.Target, cfg.Schedule = filepath.Join(dir, "store"), target,
		filepath.Join(dir, "faults.jsonl")
	cfg.Protocol, cfg.Workload, cfg.Nodes, cfg.Concurrency = "quorum", "register", 3, 6
	cfg.Rate, cfg.TimeLimit = 400, 3*time.Second
	steps := `{"at":"1s","for":"1s","fault":"kill","nodes":["n1"]}` + "\n"
	other := filepath.Join(dir, "other")
	if err := errors.Join(os.WriteFile(cfg.Schedule, []byte(steps), 0o644),
		os.WriteFile(other, []byte("#!/bin/sh\nexit 3\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	replaced := make(chan error, 1)
	go func() {
		awaitText(t, filepath.Join(cfg.Store, latestLink, ledgerFile), `"type":"done"`, 1)
		replaced <- os.Rename(other, target)
	}()
	out, err := Run(t.Context(), cfg, testEnv(t))
	if err := errors.Join(err, <-replaced); err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(out.Test.Notes, "; ")
	if strings.Contains(notes, "node n1") || !strings.HasPrefix(out.Test.Versions.Target, "target ") {
		t.Errorf("notes %q, version %q", notes, out.Test.Versions.Target)
	}
	summary, err := nemesis.LoadSummary(filepath.Join(out.Dir, ledgerFile))
	if err != nil || len(summary.Faults) != 1 || !summary.Faults[0].Healed {
		t.Errorf("faults %+v, %v", summary.Faults, err)
	}
	own, err := filepath.Abs(filepath.Join(out.Dir, programFile))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(out.Dir, nodesDir, "n1", "node.log"))
	starts := bytes.Count(log, []byte("=== ordeal: start "))
	if n := bytes.Count(log, []byte(": "+own+" serve ")); err != nil || n < 2 || n < starts {
		t.Errorf("%d of %d starts of n1 were from %s: %v\n%s", n, starts, own, err, log)
	}
	if _, err := os.Stat(own); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the program is left behind: %v", err)
	}
}
