//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ordeal-dev/ordeal/cluster/netns"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/run"
)

// TestNetns runs the command line on hosts that are network namespaces. That takes root
// and tools; where these are missing the test cannot be, unless ORDEAL_ROOT is
// "required". Then it also does what [thorough] stands before.
func TestNetns(t *testing.T) {
	thorough := os.Getenv("ORDEAL_ROOT") == "required"
	if err := netns.Missing(); err != nil {
		if thorough {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	target, err := run.BuildTarget(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	programs, err := filepath.Abs(examples)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "netns"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("TARGET", target)
			env.Setenv("EXAMPLES", programs)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "thorough" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			return thorough, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": cmdStatus, "killrun": cmdKillRun, "remains": cmdRemains,
			"volume": cmdVolume,
		},
	})
}

// cmdVolume mounts a small volume until the script ends: volume DIR 8m.
func cmdVolume(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: volume DIR SIZE")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.Mkdir(dir, 0o755))
	ts.Check(syscall.Mount("ordeal", dir, "tmpfs", 0, "size="+args[1]))
	ts.Defer(func() { ts.Check(syscall.Unmount(dir, 0)) })
}

// cmdRemains fails unless there is something left on this machine of what the latest
// run's ledger says that it made; negated, when there is.
func cmdRemains(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) > 0 {
		ts.Fatalf("usage: [!] remains")
	}
	ledger := filepath.Join(ts.Getenv("WORK"), "store", "latest", "ledger.jsonl")
	entries, _, err := nemesis.ReadLedger(ledger)
	ts.Check(err)
	made, left := 0, []string{}
	for _, e := range entries {
		if e.Type != nemesis.EntryMaking {
			continue
		}
		made++
		switch e.Resource.Kind {
		case netns.Resource:
			spaces, err := filepath.Glob("/run/netns/" + e.Resource.Name + "-*")
			ts.Check(err)
			left = append(left, spaces...)
		case "directory":
			if _, err := os.Stat(e.Resource.Name); err == nil {
				left = append(left, e.Resource.Name)
			}
			left = append(left, processes(e.Resource.Name)...)
		}
	}
	if made == 0 {
		ts.Fatalf("the run has made nothing")
	}
	if neg && len(left) > 0 {
		ts.Fatalf("left behind: %v", left)
	}
	if !neg && len(left) == 0 {
		ts.Fatalf("nothing is left behind, which proves nothing about healing")
	}
}
