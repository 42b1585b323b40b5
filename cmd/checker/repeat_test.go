package main

import (
	"context"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/run"
)

// TestArgsRepeat: the command line of a test's configuration makes the same
// configuration again.
func TestArgsRepeat(t *testing.T) {
	for name, change := range map[string]func(*run.Config){
		"default": func(*run.Config) {},
		"seed":    func(c *run.Config) { c.Seed = 1<<64 - 1 },
		"all odd": func(c *run.Config) {
			c.Workload, c.Protocol, c.Bug = "register", "quorum", "abd-no-write-back"
			c.Target, c.Schedule = "/tmp/a b/it's", "faults,1 [x].jsonl"
			c.Nodes, c.Concurrency, c.BasePort = 3, 7, 12345
			c.TimeLimit, c.Interval = 90*time.Second+time.Nanosecond, 1500*time.Microsecond
			c.OpTimeout, c.RequestTimeout = 2*time.Hour, 333*time.Millisecond
			c.CheckTime, c.CheckMemory = time.Nanosecond, 1<<20
			c.TxnPause, c.StopOnViolation, c.Watch = 17*time.Millisecond, true, true
			c.Cluster, c.Hosts = "ssh", []string{"n1=root@h1:2222", "n2=h2", "n3=10.0.0.3"}
			c.SSHKeys, c.KnownHosts = []string{"/a key"}, []string{"k1", "k2"}
			c.Keys, c.OpsPerKey, c.Faults = 11, 13, []string{"partition", "kill"}
		},
		"no limit":  func(c *run.Config) { c.Rate = 0 },
		"slow":      func(c *run.Config) { c.Rate = 0.1 },
		"fast":      func(c *run.Config) { c.Rate = 1e9 },
		"no faults": func(c *run.Config) { c.Faults = []string{"none"} },
	} {
		want := run.Default()
		change(&want)
		got := parse(t, want.Args())
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s\nmakes %+v\nwant  %+v", name, strings.Join(want.Args(), " "), got, want)
		}
	}
}

// TestFlagsAreRepeated holds the list of flags and Args together: a new flag that
// changes a test has to be in both.
func TestFlagsAreRepeated(t *testing.T) {
	f := testFlags{cfg: run.Default()}
	cmd := &cobra.Command{}
	f.bind(cmd)
	c := run.Config{Protocol: "p", Bug: "b", Target: "t", Schedule: "s", Keys: 1, OpsPerKey: 1,
		BasePort: 1, CheckMemory: 1 << 20, TxnPause: 1, Noise: true, Rush: true, Hosts: []string{"n1"},
		Engine: "e", NodesFile: "f", SSHKeys: []string{"k"}, KnownHosts: []string{"h"},
		Project: "x", Operations: "o", StopOnViolation: true, Watch: true, Bin: "b", SSHD: true,
		Settings: map[string]string{"a": "b"}}
	args := " " + strings.Join(c.Args(), " ") + " "
	flags := regexp.MustCompile(`--[a-z-]+`).FindAllString(cmd.Flags().FlagUsages(), -1)
	if len(flags) < 20 {
		t.Fatalf("found only %q", flags)
	}
	for _, flag := range flags {
		// The store and verbose say where and how loud, not what.
		if flag != "--store" && flag != "--verbose" && !strings.Contains(args, " "+flag+" ") {
			t.Errorf("%s is not repeated: %s", flag, args)
		}
	}
}

// parse reads a command line of `checker test` without running it.
func parse(t *testing.T, args []string) run.Config {
	t.Helper()
	ctx := context.Background()
	cmd := newTest(interrupts{ctx, ctx}, streams{io.Discard, io.Discard})
	f := testFlags{cfg: run.Default()}
	cmd.ResetFlags()
	f.bind(cmd)
	if args[0] != cmd.Name() {
		t.Fatalf("command %q", args[0])
	}
	if err := cmd.ParseFlags(args[1:]); err != nil {
		t.Fatal(err)
	}
	if err := f.cfg.CountHosts(); err != nil {
		t.Fatal(err)
	}
	f.cfg.Seed, f.cfg.CheckMemory = f.seed, f.memoryMB<<20
	return f.cfg
}
