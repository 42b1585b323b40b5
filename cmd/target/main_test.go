package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/server"
)

// good are arguments with which a node serves.
func good(dir string, more ...string) []string {
	args := []string{
		"serve", "--protocol", "quorum", "--id", "n1", "--peers", "n1=127.0.0.1:7",
		"--data", filepath.Join(dir, "data"), "--ready-file", filepath.Join(dir, "ready"),
		"--volatile",
	}
	return append(args, more...)
}

// execute runs the program to its end.
func execute(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = run(t.Context(), args, strings.NewReader(""), &out, &err)
	return status, out.String(), err.String()
}

// Whatever is wrong with the start is one line that names it, and a status.
func TestBadStarts(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tc := range []struct {
		name   string
		args   []string
		status int
		want   string // parts of the line, separated by "…"
	}{
		{"command", []string{"sevre"}, 254, `unknown command "sevre"`},
		{"flag", []string{"serve", "--speed", "3"}, 254, "unknown flag: --speed"},
		{"flag value", []string{"serve", "--seed", "x"}, 254, `"x"`},
		{"argument", good(dir, "now"), 254, `unknown command "now"`},
		{"nothing", []string{"serve"}, 254,
			"protocol: none given; there are …paxos…; peers: none given…; id…; data:"},
		{"protocol", good(dir, "--protocol", "raft"), 254,
			`protocol "raft": unknown; there are …paxos…quorum`},
		{"bug", good(dir, "--bug", "moth"), 254,
			`bug "moth": unknown; protocol quorum has …stor-no-fsync`},
		{"foreign bug", good(dir, "--bug", string(bug.NoDedup)), 254, "belongs to paxos"},
		{"peers", good(dir, "--peers", "n1"), 254, `peers: "n1": want name=host:port`},
		{"peers twice", good(dir, "--peers", "n2=h:1,n2=h:2"), 254, "peers: n2 is there twice"},
		{"peer address", good(dir, "--peers", "n2=h"), 254, `peer n2: address "h"`},
		{"bind", good(dir, "--bind", "here"), 254, `bind: address "here"`},
		{"template", good(dir, "--bind", "{{ GetMoonIP }}:1"), 254, `bind "{{ GetMoonIP }}:1"`},
		{"port in use", good(dir, "--bind", taken.Addr().String()), 255, "address already in use"},
		{"data", good(dir, "--data", filepath.Join(file, "x")), 255,
			"data directory: …not a directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, _, stderr := execute(t, tc.args...)
			if status != tc.status || strings.Count(stderr, "\n") != 1 {
				t.Errorf("status %d, want %d; stderr:\n%s", status, tc.status, stderr)
			}
			rest := stderr
			for part := range strings.SplitSeq(tc.want, "…") {
				_, after, ok := strings.Cut(rest, part)
				if !ok {
					t.Errorf("no %q in %q", part, stderr)
				}
				rest = after
			}
		})
	}
}

// serving is a run of the program in the background.
type serving struct {
	ready  server.Ready
	stdin  *io.PipeWriter
	status chan int
	stderr *bytes.Buffer // to be read when status has been received
}

func startServing(t *testing.T, args ...string) serving {
	t.Helper()
	dir := t.TempDir()
	stdin, w := io.Pipe()
	s := serving{stdin: w, status: make(chan int, 1), stderr: &bytes.Buffer{}}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() { s.status <- run(ctx, good(dir, args...), stdin, io.Discard, s.stderr) }()
	limit := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		content, err := os.ReadFile(filepath.Join(dir, "ready"))
		if err == nil {
			if err := json.Unmarshal(content, &s.ready); err != nil {
				t.Fatal(err)
			}
			return s
		}
		if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case status := <-s.status:
			t.Fatalf("ended with %d:\n%s", status, s.stderr)
		case <-limit:
			t.Fatal("no ready file")
		}
	}
}

func (s serving) wait(t *testing.T) string {
	t.Helper()
	select {
	case status := <-s.status:
		if status != exitOK {
			t.Errorf("status %d:\n%s", status, s.stderr)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still running")
	}
	return s.stderr.String()
}

func TestExitOnStdinClose(t *testing.T) {
	s := startServing(t, "--exit-on-stdin-close", "--bug", "stor-no-fsync")
	body := strings.NewReader(`{"object":"register","f":"write","key":"k","value":1}`)
	resp, err := http.Post("http://"+s.ready.HTTP+"/v1/op", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(string(answer), `{"type":"ok"`) {
		t.Errorf("answer %q, error %v", answer, err)
	}
	if _, err := s.stdin.Write([]byte("noise does not stop it\n")); err != nil {
		t.Fatal(err)
	}
	s.stdin.Close()
	stderr := s.wait(t)
	for _, want := range []string{"target starts", "protocol=quorum", "target stops",
		"planted bug switched on: stor-no-fsync"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in the log:\n%s", want, stderr)
		}
	}
}

func TestBugs(t *testing.T) {
	status, stdout, stderr := execute(t, "bugs")
	if status != exitOK || stderr != "" {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 1+len(bug.All()) {
		t.Fatalf("%d lines for %d bugs:\n%s", len(lines), len(bug.All()), stdout)
	}
	for i, b := range bug.All() {
		if !strings.HasPrefix(lines[i+1], string(b.ID)+" ") || !strings.Contains(lines[i+1], b.Wrong) {
			t.Errorf("line %q, want bug %s", lines[i+1], b.ID)
		}
	}
}

func TestVersion(t *testing.T) {
	status, stdout, _ := execute(t, "version")
	if status != exitOK || !strings.HasPrefix(stdout, "target ") ||
		!strings.Contains(stdout, " go1.") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("status %d, stdout %q", status, stdout)
	}
}

func TestExpand(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:80":           "127.0.0.1:80",
		`{{ "127.0.0.1" }}:7000`: "127.0.0.1:7000",
		`{{ GetAllInterfaces | include "name" "lo" | include "type" "ipv4" |` +
			` attr "address" }}:1`: "127.0.0.1:1",
	} {
		if got, err := expand("bind", address); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", address, got, err, want)
		}
	}
	if got, err := expand("bind", `{{ "" }}:7000`); err == nil {
		t.Errorf("a template without an address gives %q", got)
	}
}
