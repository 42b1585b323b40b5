package run

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/local"
)

// TestValidateOne: each of these alone makes a configuration impossible, and is
// told once.
func TestValidateOne(t *testing.T) {
	schedule := filepath.Join(t.TempDir(), "faults.jsonl")
	step := `{"at":"1s","for":"1s","fault":"pause","nodes":["n8"]}` + "\n"
	if err := os.WriteFile(schedule, []byte(step), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"rate is -1":                  func(c *Config) { c.Rate = -1 },
		"rate is NaN":                 func(c *Config) { c.Rate = math.NaN() },
		"rate is +Inf":                func(c *Config) { c.Rate = math.Inf(1) },
		"keys is negative":            func(c *Config) { c.Keys = -1 },
		"operations per key is":       func(c *Config) { c.OpsPerKey = -1 },
		"leave some of 15 threads":    func(c *Config) { c.Keys = 1 },
		"check time is 0s":            func(c *Config) { c.CheckTime = 0 },
		"recovery time is -1ns":       func(c *Config) { c.RecoveryTime = -1 },
		"check memory is -1":          func(c *Config) { c.CheckMemory = -1 },
		`there is no node "n8"`:       func(c *Config) { c.Schedule = schedule },
		"no such file":                func(c *Config) { c.Schedule = schedule + "x" },
		`"plague"`:                    func(c *Config) { c.Faults = []string{"plague"} },
		"protocol quorum has no cas":  func(c *Config) { c.Protocol = "quorum" },
		"time limit is 999ms":         func(c *Config) { c.TimeLimit = 999e6 },
		"nodes is 10":                 func(c *Config) { c.Nodes = 10 },
		"concurrency is 1001":         func(c *Config) { c.Concurrency = 1001 },
		"room for 40 ports":           func(c *Config) { c.BasePort = 65497 },
		"0s < request timeout < op t": func(c *Config) { c.RequestTimeout = 0 },
		"--sshd is of cluster netns":  func(c *Config) { c.SSHD = true },
		"settings: it has none":       func(c *Config) { c.Settings = map[string]string{"a": "b"} },
	} {
		c := Default()
		change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q alone", err, want)
		}
	}
}

// TestBasePortRoom: the last port that fits is accepted here and by the cluster, and
// the next one by neither.
func TestBasePortRoom(t *testing.T) {
	for nodes, last := range map[int]int{1: 65532, 5: 65496, 9: 65428} {
		c := Default()
		c.Nodes = nodes
		for _, port := range []int{last, last + 1} {
			c.BasePort = port
			config := local.Config{
				Nodes: c.nodes(), BasePort: port, Dir: t.TempDir(),
				Command: func(cluster.NodeSpec) []string { return nil },
			}
			fits := port == last
			if a, b := c.Validate(), config.Validate(); (a == nil) != fits || (b == nil) != fits {
				t.Errorf("%d nodes from port %d: %v; the cluster: %v", nodes, port, a, b)
			}
		}
	}
}

// TestFinalLimit: the run ends the final reads before the workload does, because only
// the run leaves a note.
func TestFinalLimit(t *testing.T) {
	c := Default()
	for _, limit := range []time.Duration{c.FinalTime, time.Millisecond, 10 * time.Minute} {
		c.FinalTime = limit
		if got := c.workloadOptions().FinalLimit; got < c.finalTime()*3/2 {
			t.Errorf("the run allows %v, the workload %v", c.finalTime(), got)
		}
	}
}

// TestFinalTime: what a long test has written takes longer to read than what a short one has.
func TestFinalTime(t *testing.T) {
	for _, row := range []struct{ limit, want time.Duration }{
		{10 * time.Second, 30 * time.Second},
		{5 * time.Minute, 30 * time.Second},
		{10 * time.Minute, time.Minute},
	} {
		c := Default()
		c.TimeLimit = row.limit
		if got := c.finalTime(); got != row.want {
			t.Errorf("a test of %v may read for %v at its end, want %v", row.limit, got, row.want)
		}
	}
}

// TestNodesThatRunAlready: a way of starting nodes, chosen beside nodes that run already, is
// refused and not passed over.
func TestNodesThatRunAlready(t *testing.T) {
	for cluster, want := range map[string]string{
		"local": "", "existing": "", "netns": "--cluster netns starts nodes of its own",
	} {
		c := Default()
		c.Cluster, c.Endpoints = cluster, []string{"10.0.0.1:80"}
		if err := c.CountHosts(); (err == nil) != (want == "") ||
			err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", cluster, err, want)
		}
	}
}

// TestRepeatSettings: what was chosen about a system is part of the command that repeats a
// test, in one order, and of the report.
func TestRepeatSettings(t *testing.T) {
	c := Default()
	c.Settings = map[string]string{"reads": "local", "bin": "/opt/a b"}
	want := "--set 'bin=/opt/a b' --set reads=local"
	if got := commandLine(c.Args()); !strings.Contains(got, want) {
		t.Errorf("%s lacks %s", got, want)
	}
	if got := settings(c); got != "bin=/opt/a b, reads=local" {
		t.Errorf("the report says %s", got)
	}
}

// TestCommandLine gives odd arguments to a shell and gets them back.
func TestCommandLine(t *testing.T) {
	args := []string{
		"test", "", "a b", "it's", `"$HOME"`, "*", "--rate", "1e+06", "a;b", "ü\n",
		`\`, "n1,n2", "~", "'",
	}
	line := "checker() { printf '%s|' \"$@\"; }; " + commandLine(args)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
	if want := strings.Join(args, "|") + "|"; err != nil || string(out) != want {
		t.Errorf("the shell reads %q (%v), want %q", out, err, want)
	}
	if got := commandLine([]string{"test", "--seed", "7"}); got != "checker test --seed 7" {
		t.Errorf("plain arguments became %q", got)
	}
}
