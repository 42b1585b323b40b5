package remote_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/cluster/netns"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/remote/shelltest"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// mixed are three hosts: the first has a bash that can send, the second none, the third one
// that cannot.
func mixed(t *testing.T, sh remote.Shell) shelltest.Poor {
	t.Helper()
	none, deaf := t.TempDir(), t.TempDir()
	must(t, shelltest.Programs(none, ""))
	must(t, shelltest.Programs(deaf, shelltest.DeafBash))
	return shelltest.Poor{Shell: sh, Path: map[nemesis.Node]string{"n2": none, "n3": deaf}}
}

// Where bash cannot send, the agent does, and the matrix is the same.
func TestProbesWithoutBash(t *testing.T) {
	t.Parallel()
	b, troubles := withAgent(t, 3, func(c *remote.Config) { c.Shell = mixed(t, c.Shell) })
	want := []remote.Prober{
		{Node: "n1"}, {Node: "n2", Bashless: "there is no bash"},
		{Node: "n3", Bashless: "its bash cannot send: bash: line 1: /dev/udp/127.0.0.1/9: " +
			"No such file or directory"},
	}
	if got := b.Probers(); !slices.Equal(got, want) {
		t.Errorf("probes are sent by %+v", got)
	}
	ctx := t.Context()
	for _, links := range [][]string{
		nil, {"n1>n2"}, {"n2>n1"}, {"n2>n3", "n3>n2"}, {"n3>n1"}, {"clients>n2"}, {"n3>clients"},
	} {
		must(t, b.SetRules(ctx, "a", cut(links...)))
		if dead := b.dead(t); !slices.Equal(dead, links) {
			t.Errorf("with a cut of %v the dead links are %v", links, dead)
		}
		must(t, b.Clear(ctx, "a"))
	}
	counters, err := b.Counters(ctx)
	must(t, err)
	for link, c := range counters {
		if link.From != nemesis.Clients && link.To != nemesis.Clients && c.Dropped != 0 {
			t.Errorf("the probes have proved themselves on %v: %+v", link, c)
		}
	}
	if len(troubles) > 0 {
		t.Errorf("trouble: %s", <-troubles)
	}
}

// After a controller that is gone, who heals looks by an agent that he brings and takes
// away again, as often as he heals.
func TestHealWithoutBash(t *testing.T) {
	t.Parallel()
	var program []byte
	var shell shelltest.Poor
	b, _ := withAgent(t, 3, func(c *remote.Config) {
		shell, program = mixed(t, c.Shell), c.Agent
		c.Shell = shell
	})
	must(t, b.SetRules(t.Context(), "a", cut("n1>n2", "n2>n3", "n3>n2")))
	attached := shelltest.Poor{Shell: netns.Attach(b.lab.Name()), Path: shell.Path}
	if _, err := b.heal(t, attached); err == nil ||
		!strings.Contains(err.Error(), "node n2: nobody can look whom it reaches: there is no bash") {
		t.Errorf("without an agent: %v", err)
	}
	agent := func() ([]byte, error) { return program, nil }
	for range 2 {
		lines, err := b.healBy(t, attached, agent)
		if err != nil || lines[len(lines)-1] != "all 3 nodes reach each other" {
			t.Errorf("%v, %v", lines, err)
		}
		b.nothingLeft(t)
		if left, _ := filepath.Glob("/var/lib/ordeal/heal-*/n?"); left != nil {
			t.Errorf("left behind: %v", left)
		}
	}
	// Somebody else's rule between the two whose bash cannot look.
	b.run(t, "n3", "iptables -A INPUT -s "+b.cfg.Hosts[1].Addrs[0].String()+" -j DROP")
	_, err := b.healBy(t, attached, agent)
	if err == nil || !strings.Contains(err.Error(), "node n2: it does not reach n3") ||
		!strings.Contains(err.Error(), "node n3: it does not reach n2") ||
		strings.Contains(err.Error(), "node n1") {
		t.Errorf("with n2 and n3 apart: %v", err)
	}
	b.nothingLeft(t)
}

// Without bash and without an agent nobody could see a cut: there is no test then.
func TestNobodyProbes(t *testing.T) {
	t.Parallel()
	lab, ledger, path := newLab(t, 3)
	b := &bench{lab: lab, ledger: ledger, path: path, cfg: config(t, lab, ledger)}
	b.cfg.Shell = mixed(t, b.cfg.Shell)
	_, err := remote.Start(t.Context(), b.cfg)
	for _, want := range []string{
		"node n2: nobody can look whether its links deliver: there is no bash, and there is no agent",
		"node n3: nobody can look whether its links deliver: its bash cannot send",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	b.nothingLeft(t)
}
