package systems

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

func TestNew(t *testing.T) {
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{System: "reference", Protocol: "paxos"}, ""},
		{Options{System: "reference", Protocol: "raft"},
			`protocol "raft": unknown; the reference cluster speaks ` + spoken()},
		{Options{System: "reference"},
			`protocol "": unknown; the reference cluster speaks ` + spoken()},
		{Options{System: "raftdb"}, `system "raftdb": unknown system; there is ` +
			strings.Join(Names(), ", ") + `, ` +
			`or a file that describes one, mykv.yaml (checker init makes one)`},
	} {
		_, err := New(c.opts)
		if got := text(err); got != c.want {
			t.Errorf("New(%+v): %s, want %s", c.opts, got, c.want)
		}
		if c.opts.System == "raftdb" && !errors.Is(err, ErrUnknown) {
			t.Errorf("%v is not ErrUnknown", err)
		}
	}
}

// spoken lists all protocols.
func spoken() string {
	var names []string
	for _, p := range Protocols() {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestSupports asks for what each protocol has and has not; a refusal says why.
func TestSupports(t *testing.T) {
	for _, c := range []struct {
		protocol, object string
		fs               []history.F
		want             string // part of the refusal
	}{
		{"paxos", "register", []history.F{"read", "write"}, ""},
		{"paxos", "cas-register", []history.F{"read", "write", "cas"}, ""},
		{"paxos", "set", []history.F{"add", "read"}, ""},
		{"paxos", "counter", []history.F{"add", "read"}, ""},
		{"paxos", "queue", []history.F{"enqueue", "dequeue"}, ""},
		{"paxos", "list", []history.F{"append", "read"}, ""},
		{"paxos", "set", []history.F{"add", "remove"}, "has no remove on a set"},
		{"paxos", "lock", []history.F{"acquire"}, "has no acquire on a lock"},
		{"paxos", "fenced", []history.F{"acquire", "write"}, "has no acquire on a lock"},
		{"paxos", "txn", []history.F{"txn"}, ""},
		{"paxos", "txn-list", []history.F{"txn"}, ""},
		{"paxos", "ids", []history.F{"generate"}, ""},
		{"paxos", "session", []history.F{"read", "write"}, ""},
		{"quorum", "session", []history.F{"read", "write"}, ""},
		{"quorum", "ids", []history.F{"generate"}, "has no object that gives out ids"},
		{"quorum", "txn", []history.F{"txn"}, "has no transactions: ABD"},
		{"quorum", "register", []history.F{"read", "write"}, ""},
		{"quorum", "cas-register", []history.F{"read", "write"}, ""},
		{"quorum", "cas-register", []history.F{"read", "write", "cas"},
			"protocol quorum has no cas on a register: ABD quorum registers can only be read and " +
				"written: compare-and-set needs consensus"},
		{"quorum", "set", []history.F{"add", "read"}, "has no add on a set"},
	} {
		err := system(t, c.protocol).Supports(c.object, c.fs)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s %v: %v, want %q", c.protocol, c.object, c.fs, err, c.want)
		}
	}
}

// TestWorkloads: what a protocol names as a test of its claim exists and can run.
func TestWorkloads(t *testing.T) {
	for _, p := range Protocols() {
		s := system(t, p.Name)
		if len(s.Workloads()) == 0 {
			t.Errorf("%s suggests no workload", p.Name)
		}
		for _, name := range s.Workloads() {
			w, err := workload.Lookup(name)
			if err != nil {
				t.Errorf("%s: %v", p.Name, err)
				continue
			}
			if err := s.Supports(w.Object, w.Fs); err != nil {
				t.Errorf("%s: workload %s: %v", p.Name, name, err)
			}
		}
	}
}

// TestCommand shows the whole command line of a node.
func TestCommand(t *testing.T) {
	spec := NodeSpec{
		Name: "n2", Cluster: "test/1", DataDir: "/run/n2/data", Bind: "127.0.0.1:0",
		PeerBind: "127.0.0.1:0", ReadyFile: "/run/n2/ready.json", Seed: 1<<64 - 1,
		Peers: map[string]string{"n3": "127.0.0.1:3", "n1": "127.0.0.1:1"},
	}
	const always = "T serve --protocol quorum --id n2 --peers n1=127.0.0.1:1,n3=127.0.0.1:3 " +
		"--data /run/n2/data --bind 127.0.0.1:0 --peer-bind 127.0.0.1:0 " +
		"--ready-file /run/n2/ready.json --seed 18446744073709551615 --cluster-id test/1 " +
		"--volatile"
	opts := Options{System: "reference", Protocol: "quorum", Binary: "T"}
	check := func(want string) {
		t.Helper()
		s, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		argv, err := s.Command(spec)
		if got := strings.Join(argv, " "); err != nil || got != want {
			t.Errorf("command\n%s\nwant\n%s", got, want)
		}
	}
	check(always)
	spec.ClockFile, opts.RequestTimeout, opts.Bug = "/run/n2/clock", "500ms", "abd-no-write-back"
	spec.DiskFile = "/run/n2/disk"
	spec.Tethered = true
	check(always + " --exit-on-stdin-close --clock /run/n2/clock --disk /run/n2/disk" +
		" --request-timeout 500ms" +
		" --bug abd-no-write-back")
	spec = NodeSpec{Program: "/var/lib/n2/target"}
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if argv, err := s.Command(spec); err != nil || argv[0] != spec.Program {
		t.Errorf("the program is %s, want the one on the node, %s", argv, spec.Program)
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply reply
		want  Status
		fails string
	}{
		{"leader", answers(200, `{"node":"n1","role":"leader","primary":true,"leader":"n1","x":1}`),
			Status{Node: "n1", Role: "leader", Primary: true, Leader: "n1"}, ""},
		{"troubled", answers(200, `{"node":"n1","epoch":3,"members":["n1","n2"],`+
			`"clock":{"wall":"x","wall_error_ns":-5,"monotonic_ns":6,"running_ns":7},`+
			`"counters":{"syncs":8}}`),
			Status{
				Node: "n1", Epoch: 3, Members: []string{"n1", "n2"},
				Clock:    &ClockStatus{WallError: -5, Monotonic: 6, Running: 7},
				Counters: map[string]int64{"syncs": 8},
			}, ""},
		{"stalled", answers(503, `{"node":"n1"}`), Status{}, "HTTP 503"},
		{"garbage", answers(200, `<h1>`), Status{}, "invalid character"},
		{"closed", bytesOnly(""), Status{}, "EOF"},
	} {
		node := serve(t, c.reply)
		got, err := system(t, "paxos").Status(t.Context(), node.addr)
		if !reflect.DeepEqual(got, c.want) || (err == nil) != (c.fails == "") ||
			!strings.Contains(text(err), c.fails) {
			t.Errorf("%s: %+v, %v; want %+v, %q", c.name, got, err, c.want, c.fails)
		}
		if n := strings.Count(node.got(t), "\n"); n != 0 {
			t.Errorf("%s: asked %d times", c.name, n+1)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := system(t, "paxos").Status(ctx, serve(t, silent).addr)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("status of a silent node: %v, want the deadline", err)
	}
}

// TestProbe is one real read, which changes nothing.
func TestProbe(t *testing.T) {
	for name, r := range map[string]reply{
		"": answers(200, okNull), "unavailable": answers(200, `{"type":"fail","code":"unavailable"}`),
		"timeout": answers(200, info), "EOF": bytesOnly(""),
	} {
		node := serve(t, r)
		err := system(t, "paxos").Probe(t.Context(), node.addr)
		if (err == nil) != (name == "") || !strings.Contains(text(err), name) {
			t.Errorf("probe: %v, want %q", err, name)
		}
		if got := node.got(t); got != `{"object":"register","f":"read","key":"probe"}` {
			t.Errorf("probe sent\n%s", got)
		}
		<-node.closed // and leaves no connection behind
	}
}

// TestProgram builds the reference cluster's program once and compares what the
// harness believes of it with what it says.
func TestProgram(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "target")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary,
		"github.com/ordeal-dev/ordeal/cmd/target")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), binary, "bugs", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var bugs []struct {
		ID        string   `json:"id"`
		Protocols []string `json:"protocols"`
	}
	if err := json.Unmarshal(out, &bugs); err != nil || len(bugs) == 0 {
		t.Fatalf("bugs: %v, %d of them", err, len(bugs))
	}
	planted := map[string]int{}
	for _, b := range bugs {
		for _, p := range b.Protocols {
			s, err := New(Options{System: "reference", Protocol: p, Bug: b.ID, Binary: binary})
			if err != nil {
				t.Errorf("bug %s is of a protocol that the harness does not know: %v", b.ID, err)
				continue
			}
			if planted[p]++; planted[p] > 1 {
				continue
			}
			if v, err := s.Version(t.Context()); !strings.HasPrefix(v, "target ") {
				t.Errorf("%s in %s: version %q, %v", b.ID, p, v, err)
			}
		}
	}
	for _, p := range Protocols() {
		// A mode of a protocol, as primary-all of primary, needs none of its own.
		family, _, _ := strings.Cut(p.Name, "-")
		if planted[p.Name] == 0 && planted[family] == 0 {
			t.Errorf("protocol %s has no bug to be found", p.Name)
		}
	}
	_, err = mustNew(t, Options{Bug: "mp-cas-at-propose", Protocol: "quorum", Binary: binary}).
		Version(t.Context())
	if !errors.Is(err, ErrOptions) || !strings.Contains(text(err), "abd-no-write-back") {
		t.Errorf("a bug of another protocol: %v, want ErrOptions and those that fit", err)
	}
}

// TestOtherPrograms names a program that is not the reference cluster's.
func TestOtherPrograms(t *testing.T) {
	dir := t.TempDir()
	program := func(name, script string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ binary, bug, want string }{
		{program("mute", "exit 0"), "b", "bugs of "},
		{program("fails", "exit 3"), "b", "exit status 3"},
		{program("fails2", "exit 3"), "", "version of "},
		{program("other", "echo hello"), "b", "invalid character"},
		{filepath.Join(dir, "missing"), "", "no such file"},
	} {
		_, err := mustNew(t, Options{Protocol: "paxos", Bug: c.bug, Binary: c.binary}).
			Version(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v, want %q", filepath.Base(c.binary), err, c.want)
		}
	}
}

func mustNew(t *testing.T, opts Options) System {
	t.Helper()
	opts.System = "reference"
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
