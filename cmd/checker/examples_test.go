package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/systems"
)

// examples is where the examples of declarations and drivers are.
var examples = filepath.Join("..", "..", "examples")

// TestExamplesLoad: the declarations among the examples are right.
func TestExamplesLoad(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(examples, "*", "*.yaml"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("found %q, %v", paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\nclaim:") {
			continue // it describes something else
		}
		if _, err := systems.New(systems.Options{System: path}); err != nil {
			t.Error(err)
		}
	}
}

// TestExampleDrivers: the example drivers keep to the protocol, with a store that works and
// with nodes that do not, and are short.
func TestExampleDrivers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path  string
		needs []string
	}{
		{"driver.py", []string{"python3"}}, {"driver.sh", []string{"python3", "curl", "jq"}},
	} {
		t.Run(c.path, func(t *testing.T) {
			t.Parallel()
			for _, program := range c.needs {
				if _, err := exec.LookPath(program); err != nil {
					t.Skip("there is no " + program)
				}
			}
			path, err := filepath.Abs(filepath.Join(examples, "driver", c.path))
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if n := bytes.Count(text, []byte("\n")); err != nil || n > 60 {
				t.Errorf("%s has %d lines, at most 60: %v", c.path, n, err)
			}
			out, err := exec.CommandContext(t.Context(), "checker", "driver-test", "--object",
				"cas-register", "--timeout", "8s", "--endpoint", startStore(t), path).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "each as it should be") {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

// TestExampleNodes: the nodes that speak Maelstrom's protocol are short, and what they are said
// to be.
func TestExampleNodes(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	for at, c := range []struct {
		bin, workload string
		env           []string
		want          string
	}{
		{"echo.py", "echo", nil, "VALID"}, {"echo.py", "unique-ids", nil, "VALID"},
		{"broadcast.py", "broadcast", nil, "VALID"}, {"linkv.py", "lin-kv", nil, "VALID"},
		{"linkv.py", "lin-kv", []string{"LOCAL_READS=1"}, "INVALID"},
	} {
		t.Run(c.workload+" "+c.want, func(t *testing.T) {
			longtest.Sample(t, at, 4)
			t.Parallel()
			path, err := filepath.Abs(filepath.Join(examples, "maelstrom", c.bin))
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if n := bytes.Count(text, []byte("\n")); err != nil || n > 60 {
				t.Errorf("%s has %d lines, at most 60: %v", c.bin, n, err)
			}
			cmd := exec.CommandContext(t.Context(), "checker", "test", "--system", "maelstrom",
				"--bin", path, "--workload", c.workload, "--nodes", "3", "--concurrency", "6",
				"--time-limit", "1s", "--faults", "none", "--seed", "1", "--store", t.TempDir())
			cmd.Env = append(os.Environ(), c.env...)
			out, err := cmd.CombinedOutput()
			if !strings.Contains(string(out), "verdict: "+c.want) {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

// startStore runs one node of examples/kv and returns its endpoint.
func startStore(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", filepath.Join(examples, "kv", "kv.py"), "--listen", at,
		"--nodes", at, "--log", filepath.Join(t.TempDir(), "log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	err = await(20*time.Second, func() bool {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return at
}
