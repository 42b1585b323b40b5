package remote_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ordeal-dev/ordeal/cluster/netns"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// heal heals by what the ledger has on disk, as somebody who was not there would.
func (b *bench) heal(t *testing.T, sh remote.Shell) ([]string, error) {
	t.Helper()
	return b.healBy(t, sh, nil)
}

// healBy does it with the program of an agent.
func (b *bench) healBy(
	t *testing.T, sh remote.Shell, agent func() ([]byte, error),
) ([]string, error) {
	t.Helper()
	entries, _, err := nemesis.ReadLedger(b.path)
	if err != nil {
		t.Fatal(err)
	}
	return remote.Heal(t.Context(), remote.Remains{
		Shell: sh, Hosts: b.cfg.Hosts, Left: nemesis.OutstandingIn(entries), Dir: b.cfg.Dir,
		Ledger: b.ledger, Agent: agent,
	})
}

// A controller that is gone with a cut, a frozen node and a bent clock in force leaves
// nothing that Heal does not find, twice.
func TestHeal(t *testing.T) {
	t.Parallel()
	b := start(t, 3, nil)
	ctx := t.Context()
	must(t, b.SetRules(ctx, "a", cut("n1>n2", "n2>n1", "clients>n3")))
	must(t, b.Pause(ctx, "n2"))
	must(t, b.SetClock(ctx, "n3", nemesis.ClockSetting{Wall: nemesis.Bend{Freeze: true}}))
	lines, err := b.heal(t, netns.Attach(b.lab.Name()))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		"node n1: ended process ", "node n2: ended process ", ", which was frozen",
		"node n3: removed its chains ORDEAL-", "node n3: removed its directory ",
		"all 3 nodes reach each other",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing about %q:\n%s", want, text)
		}
	}
	b.nothingLeft(t)
	if lines, err := b.heal(t, b.lab.Shell()); err != nil || len(lines) != 1 {
		t.Errorf("once more: %v, %v", lines, err)
	}
}

// A node that does not answer keeps its part in the ledger, while the others are healed;
// when it is back the rest is done.
func TestHealWhenANodeIsBack(t *testing.T) {
	t.Parallel()
	b := start(t, 3, nil)
	must(t, b.SetRules(t.Context(), "a", cut("n1>n2", "n2>n3", "n3>n1")))
	away := lossy{
		Shell: b.lab.Shell(), node: "n2",
		before: func() bool { return true }, after: func() bool { return false },
	}
	_, err := b.heal(t, away)
	if err == nil || !strings.Contains(err.Error(), "n2") || !remote.Unreachable(err) {
		t.Fatalf("heal without n2: %v", err)
	}
	for _, r := range b.ledger.Outstanding().Resources {
		if r.Node != "n2" && r.Kind != netns.Resource {
			t.Errorf("outstanding although its node answers: %s", r)
		}
	}
	if rules := b.saved(t, "n1"); strings.Contains(rules, "ORDEAL") {
		t.Errorf("n1 still has rules:\n%s", rules)
	}
	if rules := b.saved(t, "n2"); !strings.Contains(rules, "ORDEAL") {
		t.Error("n2 has no rules any more, so this tests nothing")
	}
	if _, err := b.heal(t, b.lab.Shell()); err != nil {
		t.Fatal(err)
	}
	b.nothingLeft(t)
}

// Connections that break in the middle of anything, before a command or after it, do no
// more than take time.
func TestConnectionsBreak(t *testing.T) {
	t.Parallel()
	var commands atomic.Int64
	b := start(t, 3, func(c *remote.Config) {
		c.Shell = lossy{
			Shell: c.Shell, node: "n2",
			before: func() bool { return commands.Add(1)%6 == 0 },
			after:  func() bool { return commands.Load()%6 == 3 },
		}
	})
	ctx := t.Context()
	for range 3 {
		must(t, b.SetRules(ctx, "a", cut("n1>n2")))
		must(t, b.Pause(ctx, "n2"))
		must(t, b.Kill(ctx, "n2"))
		must(t, b.Start(ctx, "n2"))
		must(t, b.Clear(ctx, "a"))
	}
	if s := b.state(t, "n2"); s.PID == 0 || s.Stopped {
		t.Errorf("in the end n2 is %+v", s)
	}
	if len(b.exits) > 0 {
		t.Errorf("an end that was told to come is reported: %+v", <-b.exits)
	}
}

// A fault that cannot be taken back from one node is an error that names it, and the
// next attempt does it.
func TestClearFails(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	b := start(t, 3, func(c *remote.Config) {
		c.Shell = lossy{
			Shell: c.Shell, node: "n2", before: down.Load, after: func() bool { return false },
		}
	})
	ctx := t.Context()
	must(t, b.SetRules(ctx, "a", cut("n1>n2", "n2>n1")))
	down.Store(true)
	if err := b.Clear(ctx, "a"); err == nil || !strings.Contains(err.Error(), "node n2") {
		t.Errorf("clear: %v", err)
	}
	down.Store(false)
	if dead := b.dead(t); !slices.Equal(dead, []string{"n1>n2"}) {
		t.Errorf("dead links: %v", dead)
	}
	must(t, b.Clear(context.WithoutCancel(ctx), "a"))
	if dead := b.dead(t); dead != nil {
		t.Errorf("dead links: %v", dead)
	}
}
