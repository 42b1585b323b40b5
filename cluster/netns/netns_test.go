package netns_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/netns"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/remote/shelltest"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// up makes a lab, which takes root and tools; where these are missing the test cannot
// be, unless ORDEAL_ROOT is "required".
func up(t *testing.T, n int) (*netns.Lab, *nemesis.Ledger) {
	t.Helper()
	if err := netns.Missing(); err != nil {
		if os.Getenv("ORDEAL_ROOT") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	ledger, err := nemesis.OpenLedger(filepath.Join(t.TempDir(), "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var nodes []nemesis.Node
	for i := range n {
		nodes = append(nodes, nemesis.Node(fmt.Sprintf("n%d", i+1)))
	}
	lab, err := netns.Up(t.Context(), nodes, ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if left := ledger.Outstanding(); !left.Empty() {
			t.Errorf("outstanding: %+v", left)
		}
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
		if left := spaces(t, lab); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return lab, ledger
}

func spaces(t *testing.T, lab *netns.Lab) []string {
	t.Helper()
	left, err := filepath.Glob("/run/netns/" + lab.Name() + "-*")
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestShell(t *testing.T) {
	lab, _ := up(t, 1)
	shelltest.Conform(t, lab.Shell(), "n1", filepath.Join(t.TempDir(), "node"))
}

// Every node reaches every other and the controller, over IPv4 and IPv6, past what the
// machine's own firewall does to bridges; and has nothing but its own addresses.
func TestReach(t *testing.T) {
	lab, _ := up(t, 3)
	hosts := lab.Hosts()
	for _, from := range hosts {
		for _, to := range hosts {
			for _, addr := range append(to.Addrs, to.Direct) {
				// Nobody listens: only a refusal proves that the way is there.
				r, err := lab.Shell().Run(t.Context(), from.Node, remote.Command{Argv: []string{
					"timeout", "3", "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/7999", addr),
				}})
				if err != nil || !strings.Contains(string(r.Stderr), "Connection refused") {
					t.Errorf("%s to %s: status %d, %v: %s", from.Node, addr, r.Status, err, r.Stderr)
				}
			}
		}
		r, err := lab.Shell().Run(t.Context(), from.Node, remote.Command{Argv: []string{
			"ip", "-o", "-4", "address", "show", "scope", "global",
		}})
		if err != nil || strings.Count(string(r.Stdout), "\n") != 2 ||
			!strings.Contains(string(r.Stdout), from.Addrs[0].String()+"/") {
			t.Errorf("addresses of %s: %v: %s", from.Node, err, r.Stdout)
		}
	}
}

// A lab of five is up and down again in about a second, and takes the processes in it
// along, frozen ones, too.
func TestUpAndDown(t *testing.T) {
	began := time.Now()
	lab, _ := up(t, 5)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to come up", took)
	} else {
		t.Logf("up in %v", took)
	}
	r, err := lab.Shell().Run(t.Context(), "n3", remote.Command{Argv: []string{
		"sh", "-c", "setsid sleep 100 </dev/null >/dev/null 2>&1 & echo $!; " +
			"until grep -q sleep /proc/$!/comm; do :; done; kill -STOP $!",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := netns.Remove(t.Context(), lab.Name()); err != nil {
		t.Error(err)
	}
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(r.Stdout)) + "/stat")
	if err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("a frozen process outlived its namespace: %s", stat)
	}
	if left := spaces(t, lab); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	_, err = lab.Shell().Run(t.Context(), "n3", remote.Command{Argv: []string{"true"}})
	if !remote.DidNotRun(err) {
		t.Errorf("a command on a node that is gone: %v", err)
	}
}

// Labs do not get into each other's way.
func TestTwoLabs(t *testing.T) {
	a, _ := up(t, 1)
	b, _ := up(t, 1)
	if a.Control() == b.Control() || a.Hosts()[0].Addrs[0] == b.Hosts()[0].Addrs[0] {
		t.Errorf("both have %v and %v", a.Control(), a.Hosts())
	}
	if err := netns.Remove(t.Context(), "eth0"); err == nil {
		t.Error("a name that is not ours was taken")
	}
}

// TestServeSSH logs in to a node, and from there to another, past a cut; daemons and keys go
// with the lab.
func TestServeSSH(t *testing.T) {
	if err := netns.MissingSSH(); err != nil {
		if os.Getenv("ORDEAL_ROOT") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	lab, _ := up(t, 2)
	config, err := lab.ServeSSH(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := lab.Hosts()[0].Addrs[0].String()
	for _, words := range [][]string{{"n1"}, {"n2", "ssh", "-F", config, "n1"}} {
		args := append([]string{"-F", config}, append(words, "ip", "-o", "-4", "address")...)
		out, err := exec.CommandContext(t.Context(), "ssh", args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), first+"/") {
			t.Errorf("ssh %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", "none", "-o", "BatchMode=yes",
		"-o", "IdentityFile=none", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "root@"+first, "true").CombinedOutput()
	if err == nil {
		t.Errorf("whoever has no key is let in: %s", out)
	}
	if err := netns.Remove(t.Context(), lab.Name()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(config); err == nil {
		t.Errorf("%s outlived its lab", config)
	}
	left, err := exec.CommandContext(t.Context(), "pgrep", "-f", lab.Name()).Output()
	if err == nil {
		t.Errorf("left running: %s", left)
	}
}
