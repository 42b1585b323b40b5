package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// plan is a ledger of a run in which no faults were asked for.
const plan = `{"seq":0,"type":"plan"}
`

// TestDoubts: what is missing on disk is a doubt of its own, and takes nothing
// from a violation.
func TestDoubts(t *testing.T) {
	const noLedger, torn = "there is no ledger", "ends inside a line"
	const damaged = "the ledger is damaged"
	for _, c := range []struct {
		name, history, ledger string
		want                  check.Verdict
		says                  string // of the harness; empty: nothing
	}{
		{"whole", fresh, plan, check.Unknown, ""}, // too few operations, no other doubt
		{"no ledger", fresh, "", check.Unknown, noLedger},
		{"torn ledger", fresh, plan[:5], check.Unknown, ""},
		{"torn history", fresh[:len(fresh)-9], plan, check.Unknown, torn},
		{"stale without ledger", stale, "", check.Invalid, noLedger},
		{"stale, torn behind it", stale + `{"index":4`, plan, check.Invalid, torn},
		{"damaged ledger", fresh, "garbage\n" + plan, check.Unknown, damaged},
		{"stale, damaged ledger", stale, plan + "garbage\n" + plan, check.Invalid, damaged},
		{"an intent for nothing", stale, plan + `{"type":"intent"}` + "\n", check.Invalid, damaged},
	} {
		dir := fakeRun(t, func(*Test) {}, c.history, c.ledger)
		out, err := Check(t.Context(), dir, CheckLimits{Time: time.Minute, Memory: 1 << 30})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		says := ""
		for _, p := range out.Result.Parts {
			if p.Name == "harness" {
				says = p.Reason
			}
		}
		if out.Result.Verdict != c.want || (says == "") != (c.says == "") ||
			!strings.Contains(says, c.says) {
			t.Errorf("%s: %s, harness says %q", c.name, out.Result.Verdict, says)
		}
	}
}

// TestDamagedLedger: the page shows the faults that can still be read.
func TestDamagedLedger(t *testing.T) {
	const known = `{"seq":1,"type":"intent","at":1,"fault":7,"intent":` +
		`{"step":{"id":7,"at":"0s","for":"1s","fault":"kill"},"nodes":["n1"],"what":"kill of n1"}}
`
	dir := fakeRun(t, func(*Test) {}, fresh, "{\"seq\":0,\"ty\x00\n"+known)
	out, err := Check(t.Context(), dir, CheckLimits{Time: time.Minute, Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(out.Report); err != nil {
		t.Fatal(err)
	}
	out, err = Report(dir)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(out.Report)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kill of n1", "the ledger is damaged", "line 1"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestTornFile: a lone file that ends inside a line is told, and cannot be valid.
func TestTornFile(t *testing.T) {
	const whole, torn = "linearizable as register", "ends inside a line"
	limits := CheckLimits{Time: time.Minute, Memory: 1 << 30}
	for _, c := range []struct {
		name, history string
		want          check.Verdict
		says          []string
		silent        string
	}{
		{"whole", fresh, check.Valid, []string{whole}, torn},
		{"torn", fresh + `{"index":4`, check.Unknown, []string{whole, torn}, ""},
		{"stale, torn behind it", stale + `{"index":4`, check.Invalid,
			[]string{"not " + whole, torn}, ""},
	} {
		path := filepath.Join(t.TempDir(), "h.jsonl")
		if err := os.WriteFile(path, []byte(c.history), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := CheckFile(t.Context(), path, File{Model: "register", Limits: limits})
		if err != nil || r.Verdict != c.want {
			t.Errorf("%s: %s, %v", c.name, r.Verdict, err)
		}
		for _, want := range c.says {
			if !strings.Contains(r.Reason, want) {
				t.Errorf("%s: %q does not say %q", c.name, r.Reason, want)
			}
		}
		if c.silent != "" && strings.Contains(r.Reason, c.silent) {
			t.Errorf("%s: %q says %q", c.name, r.Reason, c.silent)
		}
	}
}

// TestHealElsewhere: a directory that is no run is left as it was.
func TestHealElsewhere(t *testing.T) {
	dir := t.TempDir()
	if _, err := Heal(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "is no run") {
		t.Errorf("healed %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("left %v behind, %v", files, err)
	}
}

// TestWriteFile replaces a file whole or not at all.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := errors.Join(writeFile(path, []byte("old")), writeFile(path, []byte("new"))); err != nil {
		t.Fatal(err)
	}
	// The place of the temporary file is taken: nothing may happen to the old one.
	if err := os.Mkdir(path+".new", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(path, []byte("newer")); err == nil {
		t.Error("written without a temporary file")
	}
	if b, err := os.ReadFile(path); string(b) != "new" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

// TestFindTarget: a named program wins, and one that is missing is named.
func TestFindTarget(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "mine")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := FindTarget(t.Context(), program, dir)
	if err != nil || got != program {
		t.Errorf("named: %s, %v", got, err)
	}
	if _, err := FindTarget(t.Context(), program+"x", dir); err == nil ||
		!strings.Contains(err.Error(), program+"x") {
		t.Errorf("missing: %v", err)
	}
	// Away from the sources, with nothing in PATH, the message says what to do;
	// with a program in PATH, that one is taken.
	goProgram := os.Getenv("PATH")
	t.Chdir(dir)
	t.Setenv("PATH", dir)
	if _, err := FindTarget(t.Context(), "", dir); err == nil ||
		!strings.Contains(err.Error(), "--target") {
		t.Errorf("nowhere: %v", err)
	}
	if err := os.Rename(program, filepath.Join(dir, "target")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+goProgram)
	want := filepath.Join(dir, "target")
	if got, err := FindTarget(t.Context(), "", dir); err != nil || got != want {
		t.Errorf("in PATH: %s, %v", got, err)
	}
}
