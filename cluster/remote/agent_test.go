package remote_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// withAgent starts a cluster whose nodes have agents, and returns where its troubles are
// told.
func withAgent(
	t *testing.T, n int, more ...func(*remote.Config),
) (*bench, chan string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	program, err := os.ReadFile(self)
	must(t, err)
	dir, err := os.MkdirTemp("", "ordeal") // the path of a socket has to be short
	must(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	troubles := make(chan string, 10)
	return start(t, n, func(c *remote.Config) {
		c.Agent, c.Root = program, dir+"/o"
		c.OnTrouble = func(what string) { troubles <- what }
		for _, change := range more {
			change(c)
		}
	}), troubles
}

// connectTime is how long it takes to connect from one node to another.
func (b *bench) connectTime(t *testing.T, from, to nemesis.Node) time.Duration {
	t.Helper()
	for _, h := range b.cfg.Hosts {
		if h.Node == to {
			began := time.Now()
			b.run(t, from, fmt.Sprintf("bash -c 'exec 3<>/dev/tcp/%s/7000'", h.Addrs[0]))
			return time.Since(began)
		}
	}
	t.Fatalf("no node %s", to)
	return 0
}

// What a firewall cannot do the agents do, and count; faults on one link combine, and
// what is over is over.
func TestMessages(t *testing.T) {
	t.Parallel()
	b, troubles := withAgent(t, 2)
	ctx := t.Context()
	link := nemesis.Link{From: "n1", To: "n2"}
	must(t, b.SetRules(ctx, "slow", map[nemesis.Link]nemesis.Rule{
		link: {Delay: 300 * time.Millisecond},
	}))
	if took := b.connectTime(t, "n1", "n2"); took < 300*time.Millisecond {
		t.Errorf("with a delay of 300 ms it took %v to connect", took)
	}
	if dead := b.dead(t); dead != nil {
		t.Errorf("dead links: %v", dead)
	}
	must(t, b.SetRules(ctx, "twice", map[nemesis.Link]nemesis.Rule{link: {Duplicate: 1}}))
	must(t, b.Clear(ctx, "slow"))
	before, err := b.Counters(ctx)
	must(t, err)
	b.speak(t, "n1", "n2", 0, 50)
	b.speak(t, "n1", "n2", 1, 50) // IPv6
	b.speak(t, "n2", "n1", 0, 50) // not its link
	// The agent takes its time, and what is left of the connection passes, too.
	var after map[nemesis.Link]nemesis.Counters
	var doubled, passed int64
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		after, err = b.Counters(ctx)
		must(t, err)
		doubled = after[link].Duplicated - before[link].Duplicated
		passed = after[link].Passed - before[link].Passed
		if doubled >= 100 && passed >= 200 {
			break
		}
	}
	if doubled < 100 || doubled > 120 || passed < 200 || passed > 240 {
		t.Errorf("of 100 datagrams %d were doubled and %d arrived", doubled, passed)
	}
	if before[link].Delayed == 0 {
		t.Errorf("nothing counts as delayed: %+v", before[link])
	}
	if back := (nemesis.Link{From: "n2", To: "n1"}); after[back].Duplicated != 0 {
		t.Errorf("the other direction: %+v", after[back])
	}
	must(t, b.Clear(ctx, "twice"))
	if got := b.run(t, "n1", "iptables -t mangle -S; ip6tables -t mangle -S"); strings.Contains(
		got, "NFQUEUE") {
		t.Errorf("packets are still handed over:\n%s", got)
	}
	if len(troubles) > 0 {
		t.Errorf("trouble: %s", <-troubles)
	}
}

// When an agent dies the packets pass, the run is told, cuts go on, and healing works.
func TestAgentDies(t *testing.T) {
	t.Parallel()
	b, troubles := withAgent(t, 2)
	ctx := t.Context()
	must(t, b.SetRules(ctx, "slow", map[nemesis.Link]nemesis.Rule{
		{From: "n1", To: "n2"}: {Delay: 15 * time.Second},
	}))
	b.run(t, "n1", "kill -9 $(grep -lz -e '^[q]ueue$' /proc/[0-9]*/cmdline | cut -d/ -f3 | "+
		"while read p; do tr '\\0' ' ' </proc/$p/cmdline | grep -q '"+b.cfg.Root+".*/n1/agent' "+
		"&& echo $p; done)")
	if took := b.connectTime(t, "n1", "n2"); took > 10*time.Second {
		t.Errorf("without its agent a packet took %v", took)
	}
	if _, err := b.Counters(ctx); err != nil {
		t.Error(err)
	}
	select {
	case what := <-troubles:
		if !strings.Contains(what, "n1") {
			t.Errorf("told %q", what)
		}
	case <-time.After(20 * time.Second):
		t.Error("nobody told of the end of the agent")
	}
	must(t, b.SetRules(ctx, "cut", cut("n2>n1")))
	must(t, b.Clear(ctx, "slow"))
	must(t, b.Clear(ctx, "cut"))
	if dead := b.dead(t); dead != nil {
		t.Errorf("dead links: %v", dead)
	}
	if err := b.SetRules(ctx, "slow", map[nemesis.Link]nemesis.Rule{
		{From: "n1", To: "n2"}: {Delay: time.Second},
	}); err == nil {
		t.Error("a delay was accepted, which nobody can do any more")
	}
	must(t, b.Clear(ctx, "slow"))
}
