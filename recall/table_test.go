package recall

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

var update = flag.Bool("update", false, "write the golden files anew")

// measured is a small measurement with everything in it that a report tells.
func measured() Report {
	c := Default()
	c.Seeds, c.Skip = 2, "mvcc"
	rows := []row{
		{subject{"paxos", "cli-no-dedup", "counter,register", "all"}, "easy", Smoke},
		{subject{"paxos", "mp-rare", "counter,register", "all"}, "needle", Needle},
		{subject: subject{"paxos", "", "counter,register", "all"}},
		{subject{"quorum", "abd-odd", "register", "kill"}, "hard", Core},
		{subject: subject{"quorum", "", "register", "kill"}},
	}
	done := []outcome{
		{
			job: job{rows[0].subject, 1}, verdict: check.Invalid, runs: 1,
			witness: 3 * time.Second, operations: 700,
		},
		{
			job: job{rows[0].subject, 2}, verdict: check.Invalid, runs: 2,
			witness: 90 * time.Second, operations: 40_000,
		},
		{job: job{rows[1].subject, 1}, verdict: check.Valid, runs: 3, witness: 5 * time.Minute},
		{
			job: job{rows[1].subject, 2}, verdict: check.Unknown, runs: 3, reason: "few\nreads",
			witness: 5 * time.Minute,
		},
		{job: job{rows[2].subject, 1}, verdict: check.Valid, runs: 3, witness: 5 * time.Minute},
		{
			job: job{rows[2].subject, 2}, verdict: check.Unknown, runs: 3, reason: "a disk",
			witness: 5 * time.Minute, dir: "store/u",
		},
		{job: job{rows[3].subject, 1}, verdict: check.Invalid, runs: 1, witness: time.Second},
		{job: job{rows[3].subject, 2}, runs: 1, none: true, err: "no room"},
		{
			job: job{rows[4].subject, 1}, verdict: check.Invalid, runs: 1, reason: "key 3",
			witness: time.Minute, dir: "store/i",
		},
		{job: job{rows[4].subject, 2}, runs: 1, none: true, err: "no room"},
	}
	slices.Reverse(done) // the order in which campaigns end says nothing
	r := newReport(c, rows, done)
	r.Platform, r.CPUs = "linux/amd64", 2
	return r
}

func TestReport(t *testing.T) {
	r := measured()
	var markdown bytes.Buffer
	if err := r.WriteMarkdown(&markdown); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.md", markdown.Bytes())
	golden(t, "report.json", append(asJSON, '\n'))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it anew):\n%s", path, got)
	}
}

// Every bug is planted once, in a protocol that has it, beside all correct protocols; and
// what chooses rows does not change them.
func TestSubjects(t *testing.T) {
	bugs := []plantedBug{
		{ID: "both", Protocols: []string{"quorum", "paxos"}, Class: "easy", Smoke: true},
		{ID: "one", Protocols: []string{"quorum"}, Class: "needle"},
		{ID: "hard", Protocols: []string{"lock"}, Class: "hard"},
	}
	names := func(c Config) (out []string) {
		for _, r := range subjects(c, bugs) {
			if r.bug != "" {
				out = append(out, r.name()+" "+r.class+" "+string(r.set))
			}
		}
		return out
	}
	want := []string{"paxos/both easy smoke", "quorum/one needle needle", "lock/hard hard core"}
	if got := names(Default()); !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	if got := names(Config{Sets: []Set{Needle, Core}}); !slices.Equal(got, want[1:]) {
		t.Errorf("of two sets: %q, want %q", got, want[1:])
	}
	if got := names(Config{Only: "o", Skip: "lock"}); !slices.Equal(got, want[:2]) {
		t.Errorf("chosen by name: %q, want %q", got, want[:2])
	}
	for _, r := range subjects(Config{Matrix: true}, bugs) {
		if r.bug != "" || len(r.workloads()) != 1 {
			t.Errorf("the matrix has %+v", r)
		}
	}
}

// A campaign spends its budget to the last second, in runs that differ, and rows of a
// protocol differ in nothing but the bug and the seeds.
func TestCampaign(t *testing.T) {
	c := Default()
	for _, c.Budget = range []time.Duration{12 * time.Second, time.Minute, 305 * time.Second} {
		var sum time.Duration
		for _, l := range c.lengths() {
			sum += l
			if l < least {
				t.Errorf("of %v one run has %v", c.Budget, l)
			}
		}
		if sum != c.Budget {
			t.Errorf("of %v runs take %v", c.Budget, sum)
		}
	}
	s := subject{protocol: "paxos", workload: "a,b,c,d,e,f", faults: "kill"}
	correct, planted := job{s, 1}, job{s, 1}
	planted.bug = "some"
	had := map[string]bool{}
	for i := range c.lengths() {
		one, other := c.config(correct, i, ""), c.config(planted, i, "")
		if one.Seed == other.Seed {
			t.Errorf("run %d: both have the seed %d", i, one.Seed)
		}
		other.Seed, other.Bug = one.Seed, ""
		if !reflect.DeepEqual(one, other) {
			t.Errorf("run %d: %+v and %+v", i, one, other)
		}
		had[one.Workload] = true
	}
	if len(had) != 6 {
		t.Errorf("ten runs have only %v of six workloads", had)
	}
	if c.Nodes = 3; c.config(correct, 0, "").Nodes != 3 {
		t.Error("the number of nodes was given, and another is taken")
	}
}

// Mistakes are told all at once.
func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	c := Default()
	c.Seeds, c.Cluster, c.Sets, c.Matrix = 0, "ssh", []Set{"huge"}, true
	err := c.Validate()
	for _, part := range []string{"seeds is 0", `cluster "ssh"`, `no set "huge"`, "matrix"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(part)) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
}
