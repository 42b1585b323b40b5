package maelstrom

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/local"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/internal/testnode"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
)

// TestMain is a node where a test has started it as one.
func TestMain(m *testing.M) {
	if status, isNode := testnode.Main(); isNode {
		os.Exit(status)
	}
	longtest.AtOnce(6)
	os.Exit(m.Run())
}

// nodes is a cluster of test nodes, and what it has told.
type nodes struct {
	*Cluster
	clients *maelstrom.Clients

	mu    sync.Mutex // guards the rest
	exits []cluster.Exit
	told  []string
}

// config is a cluster of three nodes of a kind, "lin-kv:local".
func (n *nodes) config(t *testing.T, kind string) Config {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Nodes: []nemesis.Node{"n1", "n2", "n3"}, Dir: t.TempDir(), Seed: 1,
		Command: func(s cluster.NodeSpec) []string {
			argv := maelstrom.Command(self, s.DataDir)
			argv[2] = testnode.Variable + "=" + kind + " " + argv[2]
			return argv
		},
		StartTimeout: 20 * time.Second, Grace: time.Second,
		OnExit: func(e cluster.Exit) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.exits = append(n.exits, e)
		},
		OnTrouble: func(what string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.told = append(n.told, what)
		},
	}
}

func startNodes(t *testing.T, kind string) *nodes {
	t.Helper()
	n := &nodes{}
	cfg := n.config(t, kind)
	name, _, _ := strings.Cut(kind, ":")
	p, ok := maelstrom.Named(name)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	if p.Topology {
		var err error
		if cfg.Topology, err = maelstrom.Topology("line", []string{"n1", "n2", "n3"}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.Cluster, n.clients = c, maelstrom.NewClients(c, p)
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// does performs an operation at a node within a second.
func (n *nodes) does(t *testing.T, node, object string, op history.Event) (history.Value, error) {
	t.Helper()
	c := n.clients.Open(node, object)
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	got, err := c.Invoke(ctx, op)
	return got.Value, err
}

// TestBroadcast: nodes spread what they were told over a cut that ends, along the line that
// they were told.
func TestBroadcast(t *testing.T) {
	n := startNodes(t, "broadcast")
	ctx := t.Context()
	cut := map[nemesis.Link]nemesis.Rule{{From: "n1", To: "n2"}: {Cut: true}}
	if err := n.SetRules(ctx, "h", cut); err != nil {
		t.Fatal(err)
	}
	add := history.Event{F: "add", Key: "s", Value: history.Int(7)}
	if _, err := n.does(t, "n1", "set", add); err != nil {
		t.Fatal(err)
	}
	link := nemesis.Link{From: "n1", To: "n2"}
	await(t, func() bool {
		counters, _ := n.Counters(ctx)
		return counters[link].Dropped > 2
	}, func() string { return "n1 tells n2 nothing" })
	read := history.Event{F: "read", Key: "s"}
	if got, err := n.does(t, "n3", "set", read); err != nil || got.Len() != 0 {
		t.Errorf("n3 has %s, %v: over a cut", got, err)
	}
	if err := n.Clear(ctx, "h"); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool {
		got, err := n.does(t, "n3", "set", read)
		return err == nil && got.Len() == 1
	}, func() string { return "n3 never hears of it" })
	counters, err := n.Counters(ctx)
	if aside := (nemesis.Link{From: "n1", To: "n3"}); err != nil || counters[aside].Passed != 0 {
		t.Errorf("they are no neighbors: %+v, %v", counters[aside], err)
	}
}

// TestKillAndPause: a node that was killed is not there, and begins anew; one that is paused
// answers later.
func TestKillAndPause(t *testing.T) {
	n := startNodes(t, "lin-kv")
	ctx := t.Context()
	write := history.Event{F: "write", Key: "r", Value: history.Int(5)}
	if _, err := n.does(t, "n1", "register", write); err != nil {
		t.Fatal(err)
	}
	before, err := n.State(ctx, "n1")
	if err := errors.Join(err, n.Kill(ctx, "n1")); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool {
		_, err := n.does(t, "n1", "register", write)
		return errors.Is(err, cluster.ErrNotRunning) && history.IsDefinite(err)
	}, func() string { return "it is still there" })
	if err := n.Cluster.Cluster.Start(ctx, "n1"); err != nil {
		t.Fatal(err)
	}
	after, err := n.State(ctx, "n1")
	if err != nil || before.PID == 0 || after.PID == 0 || before.PID == after.PID {
		t.Errorf("%+v, then %+v, %v", before, after, err)
	}
	read := history.Event{F: "read", Key: "r"}
	if got, err := n.does(t, "n1", "register", read); err != nil || !got.Equal(history.Int(5)) {
		t.Errorf("read %s, %v", got, err)
	}
	if err := n.Pause(ctx, "n2"); err != nil {
		t.Fatal(err)
	}
	_, err = n.does(t, "n2", "register", write)
	if !errors.Is(err, context.DeadlineExceeded) || history.IsDefinite(err) {
		t.Errorf("a paused node: %v", err)
	}
	if err := n.Resume(ctx, "n2"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.does(t, "n2", "register", write); err != nil {
		t.Error(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.exits != nil || n.told != nil {
		t.Errorf("ended by themselves: %+v; told %q", n.exits, n.told)
	}
}

// TestStartFails: a node that does not come up is named, with what it said.
func TestStartFails(t *testing.T) {
	for wrong, want := range map[string]string{
		"exit":   "init: exited before it was ready: exit status 3: panic: no database here",
		"mute":   "init: not ready within 300ms",
		"chatty": "init: not ready within 300ms; it wrote to its standard output what is no message",
		"refuse": `init was answered by a message of the type "error", want init_ok: "not today"`,
	} {
		n := &nodes{}
		cfg := n.config(t, "echo:"+wrong)
		if wrong == "mute" || wrong == "chatty" {
			cfg.StartTimeout = 300 * time.Millisecond
		}
		c, err := Start(t.Context(), cfg)
		if err == nil {
			t.Errorf("%s: it started: %v", wrong, c.Close(t.Context()))
		} else if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "start n") {
			t.Errorf("%s: %v, want %q", wrong, err, want)
		}
	}
	n := &nodes{}
	cfg := n.config(t, "echo")
	cfg.Command = func(s cluster.NodeSpec) []string {
		return maelstrom.Command("/nowhere/node", s.DataDir)
	}
	_, err := Start(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "exit status 127") {
		t.Errorf("a program that does not exist: %v", err)
	}
}

// TestCrash: a node that ends by itself is told, with its last words, and its data directory
// is its own.
func TestCrash(t *testing.T) {
	n := startNodes(t, "echo:crash")
	echo := history.Event{F: "echo", Value: history.Str("x")}
	await(t, func() bool {
		_, err := n.does(t, "n2", "echo", echo)
		return err != nil
	}, func() string { return "it lives" })
	await(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.exits) == 1
	}, func() string { return "nobody was told" })
	e := n.exits[0]
	if e.Node != "n2" || e.Status != "exit status 2" || e.LastWords != "panic: out of luck" {
		t.Errorf("%+v", e)
	}
	if _, err := os.Stat(filepath.Join(n.cfg.Dir, "nodes", "n2", "data")); err != nil {
		t.Error(err)
	}
}

// TestLeftBehind: what a checker that was killed has left is found by the ledger's record,
// the shell and the node.
func TestLeftBehind(t *testing.T) {
	n := startNodes(t, "echo")
	state, err := n.State(t.Context(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	healed, err := local.Heal(t.Context(), []nemesis.ProcessRecord{{
		Node: "n1", PID: state.PID, Marker: filepath.Join(n.cfg.Dir, "nodes", "n1", "data"),
	}})
	if err != nil || len(healed) != 1 || fmt.Sprint(healed[0].Killed) != fmt.Sprint([]int{state.PID}) {
		t.Errorf("%+v, %v", healed, err)
	}
	await(t, func() bool {
		_, err := n.does(t, "n1", "echo", history.Event{F: "echo", Value: history.Str("x")})
		return errors.Is(err, cluster.ErrNotRunning)
	}, func() string { return "the node outlives its shell" })
}
