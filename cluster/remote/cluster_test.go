package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/netns"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// bench is a cluster of fake nodes in network namespaces, which is a cluster of hosts
// in all but the way to them.
type bench struct {
	*remote.Cluster
	lab    *netns.Lab
	cfg    remote.Config
	ledger *nemesis.Ledger
	path   string // of the ledger
	exits  chan cluster.Exit
}

// newLab makes hosts. It takes root and tools; where these are missing the test cannot
// be, unless ORDEAL_ROOT is "required".
func newLab(t *testing.T, n int) (*netns.Lab, *nemesis.Ledger, string) {
	t.Helper()
	if err := netns.Missing(); err != nil {
		if os.Getenv("ORDEAL_ROOT") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	ledger, err := nemesis.OpenLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ledger.Close() })
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
	})
	return lab, ledger, path
}

func config(t *testing.T, lab *netns.Lab, ledger *nemesis.Ledger) remote.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return remote.Config{
		Shell: lab.Shell(), Hosts: lab.Hosts(), Controls: []netip.Addr{lab.Control()},
		Run: strings.TrimPrefix(lab.Name(), "ordeal-"), Dir: t.TempDir(),
		Root: filepath.Join(t.TempDir(), "ordeal"), Ledger: ledger, Seed: 1,
		Command: func(s cluster.NodeSpec) []string {
			return []string{self, "fake-node", "--ready", s.ReadyFile, "--bind", s.Bind,
				"--peer", s.PeerBind, "--data", s.DataDir}
		},
	}
}

func start(t *testing.T, n int, change func(*remote.Config)) *bench {
	t.Helper()
	lab, ledger, path := newLab(t, n)
	b := &bench{
		lab: lab, ledger: ledger, path: path, cfg: config(t, lab, ledger),
		exits: make(chan cluster.Exit, 10),
	}
	b.cfg.OnExit = func(e cluster.Exit) { b.exits <- e }
	if change != nil {
		change(&b.cfg)
	}
	c, err := remote.Start(t.Context(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.Cluster = c
	t.Cleanup(func() { b.close(t) })
	return b
}

// close closes the cluster and looks whether anything is left of it.
func (b *bench) close(t *testing.T) {
	t.Helper()
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
	left := b.ledger.Outstanding()
	left.Resources = slices.DeleteFunc(left.Resources, func(r nemesis.Resource) bool {
		return r.Kind == netns.Resource
	})
	if !left.Empty() {
		t.Errorf("outstanding: %+v", left)
	}
	b.nothingLeft(t)
}

func (b *bench) nothingLeft(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(b.cfg.Root); err == nil {
		t.Errorf("%s is still there", b.cfg.Root)
	}
	if out, err := exec.Command("grep", "-lz", "-e", "^["+b.cfg.Root[:1]+"]"+b.cfg.Root[1:],
		"-r", "/proc", "--include=cmdline").Output(); err == nil {
		t.Errorf("processes are left: %s", out)
	}
	for _, h := range b.cfg.Hosts {
		if rules := b.saved(t, h.Node); strings.Contains(rules, "ORDEAL") {
			t.Errorf("rules are left on %s:\n%s", h.Node, rules)
		}
	}
}

// saved returns all rules of a node, of both families.
func (b *bench) saved(t *testing.T, n nemesis.Node) string {
	t.Helper()
	return b.run(t, n, "iptables-save | grep -v '^#'; ip6tables-save | grep -v '^#' || :")
}

func (b *bench) run(t *testing.T, n nemesis.Node, script string) string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // also in a clean-up
	out, err := remote.Must(ctx, b.lab.Shell(), n, remote.Command{
		Argv: []string{"sh", "-c", script},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func get(endpoint, path string) error { return getWithin(10*time.Second, endpoint, path) }

func getWithin(limit time.Duration, endpoint, path string) error {
	client := http.Client{
		Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true},
	}
	r, err := client.Get("http://" + endpoint + path)
	if err != nil {
		return err
	}
	return r.Body.Close()
}

// speak sends datagrams from one node to another one's peer port, as nodes do; to its
// IPv4 address (0) or to the one of IPv6 (1).
func (b *bench) speak(t *testing.T, from, to nemesis.Node, which, times int) {
	t.Helper()
	for _, h := range b.cfg.Hosts {
		if h.Node == to {
			b.run(t, from, fmt.Sprintf(
				"bash -c 'for i in $(seq %d); do echo hello >/dev/udp/%s/7001; done'",
				times, h.Addrs[which]))
		}
	}
}

// matrix is Probe's, those links that deliver nothing.
func (b *bench) dead(t *testing.T) []string {
	t.Helper()
	delivered, err := b.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := (len(b.cfg.Hosts) + 1) * len(b.cfg.Hosts); len(delivered) != want {
		t.Errorf("%d links probed, want %d", len(delivered), want)
	}
	var dead []string
	for l, ok := range delivered {
		if !ok {
			dead = append(dead, string(l.From+">"+l.To))
		}
	}
	slices.Sort(dead)
	return dead
}

func cut(links ...string) map[nemesis.Link]nemesis.Rule {
	rules := map[nemesis.Link]nemesis.Rule{}
	for _, l := range links {
		from, to, _ := strings.Cut(l, ">")
		rules[nemesis.Link{From: nemesis.Node(from), To: nemesis.Node(to)}] = nemesis.Rule{Cut: true}
	}
	return rules
}

// What was there before, in every table that we touch or might.
const foreign = `iptables -A INPUT -s 192.0.2.1 -j DROP -m comment --comment "not yours"
iptables -I INPUT 1 -p tcp --dport 7000 -j ACCEPT
iptables -N THEIRS
iptables -A FORWARD -j THEIRS
iptables -t mangle -A OUTPUT -d 192.0.2.7 -j MARK --set-mark 7
ip6tables -A INPUT -s 2001:db8::1 -j DROP
ip6tables -P FORWARD DROP
`

func TestLinks(t *testing.T) {
	t.Parallel()
	lab, ledger, path := newLab(t, 3)
	b := &bench{lab: lab, ledger: ledger, path: path, cfg: config(t, lab, ledger)}
	b.run(t, "n1", foreign)
	before := b.saved(t, "n1")
	c, err := remote.Start(t.Context(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.Cluster = c
	if dead := b.dead(t); dead != nil {
		t.Errorf("dead links before any fault: %v", dead)
	}
	b.oneWay(t)
	b.overlap(t)
	b.clients(t)
	b.close(t)
	if after := b.saved(t, "n1"); after != before {
		t.Errorf("rules of others before:\n%s\nafter:\n%s", before, after)
	}
}

// oneWay: a cut of one direction is that, over IPv4 and IPv6, and is seen in the counters.
func (b *bench) oneWay(t *testing.T) {
	ctx := t.Context()
	if err := b.SetRules(ctx, "a", cut("n2>n1")); err != nil {
		t.Fatal(err)
	}
	link := nemesis.Link{From: "n2", To: "n1"}
	if dead := b.dead(t); !slices.Equal(dead, []string{"n2>n1"}) {
		t.Errorf("dead links: %v", dead)
	}
	counters, err := b.Counters(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if counters[link].Dropped != 0 {
		t.Errorf("the probe has proved itself: %+v", counters[link])
	}
	for which, want := range []int64{3, 5} {
		b.speak(t, "n2", "n1", which, 3-which)
		b.speak(t, "n1", "n2", 0, 1)
		if counters, err = b.Counters(ctx); err != nil {
			t.Fatal(err)
		}
		if counters[link].Dropped != want {
			t.Errorf("%d datagrams dropped, want %d", counters[link].Dropped, want)
		}
	}
	if got := b.run(t, "n1", "iptables -n -v -L"); !strings.Contains(got, "/* n2 cut */") {
		t.Errorf("a person sees nothing of the cut:\n%s", got)
	}
	if err := b.Clear(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if dead := b.dead(t); dead != nil {
		t.Errorf("dead links after the heal: %v", dead)
	}
}

// overlap: what two faults do to one link ends with the second; counters only grow.
func (b *bench) overlap(t *testing.T) {
	ctx := t.Context()
	link := nemesis.Link{From: "n1", To: "n3"}
	before, err := b.Counters(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		b.SetRules(ctx, "a", cut("n1>n3")),
		b.SetRules(ctx, "b", map[nemesis.Link]nemesis.Rule{link: {Cut: true, Loss: 0.5}}),
		b.Clear(ctx, "a"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if dead := b.dead(t); !slices.Equal(dead, []string{"n1>n3"}) {
		t.Errorf("dead links: %v", dead)
	}
	b.speak(t, "n1", "n3", 0, 2)
	if err := b.SetRules(ctx, "b", map[nemesis.Link]nemesis.Rule{link: {Loss: 0.5}}); err != nil {
		t.Fatal(err)
	}
	if dead := b.dead(t); dead != nil {
		t.Errorf("a link that loses half is dead: %v", dead)
	}
	b.speak(t, "n1", "n3", 0, 80)
	if err := b.Clear(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	after, err := b.Counters(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := after[link]
	if d := got.Dropped - before[link].Dropped; d != 2 {
		t.Errorf("dropped %d, want 2", d)
	}
	// Of 80 the chance of fewer than 15 or more than 65 lost is less than one in ten
	// million.
	if got.Lost < 15 || got.Lost > 65 || got.Lost+got.Passed != 80 {
		t.Errorf("of 80 with a loss of one half: %+v", got)
	}
}

// clients: they are cut from a node by its client port alone, and the controller's own
// questions are not.
func (b *bench) clients(t *testing.T) {
	ctx := t.Context()
	for _, tc := range []struct {
		name  string
		links []string
	}{
		{"requests", []string{"clients>n2"}},
		{"replies", []string{"n2>clients"}},
		{"both", []string{"clients>n2", "n2>clients"}},
	} {
		if err := b.SetRules(ctx, "c", cut(tc.links...)); err != nil {
			t.Fatal(err)
		}
		if dead := b.dead(t); !slices.Equal(dead, tc.links) {
			t.Errorf("%s: dead links %v", tc.name, dead)
		}
		var timeout net.Error
		err := getWithin(500*time.Millisecond, b.Endpoint("n2"), "/")
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: a client of n2 gets %v", tc.name, err)
		}
		if err := get(b.DirectEndpoint("n2"), "/"); err != nil {
			t.Errorf("%s: the controller's own way: %v", tc.name, err)
		}
		if err := get(b.Endpoint("n1"), "/"); err != nil {
			t.Errorf("%s: a client of n1: %v", tc.name, err)
		}
	}
	counters, err := b.Counters(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []nemesis.Link{{From: "clients", To: "n2"}, {From: "n2", To: "clients"}} {
		if counters[l].Dropped == 0 {
			t.Errorf("nothing was dropped from %s to %s", l.From, l.To)
		}
	}
	if err := b.Clear(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	if err := get(b.Endpoint("n2"), "/"); err != nil {
		t.Errorf("after the heal: %v", err)
	}
}
