package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/remote/shelltest"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// stage is a cluster that exists in its commands alone.
type stage struct {
	*remote.Cluster
	sh    *shelltest.Fake
	nodes []nemesis.Node
	// over ends the watches of processes.
	over func()
}

// newStage starts n nodes on hosts that do what they are told. Those of three nodes have
// IPv6, so that the files of all others stay short. agent is the program of the agents,
// "" for none.
func newStage(t *testing.T, n int, agent string, with ...func(*remote.Config)) stage {
	t.Helper()
	over := make(chan struct{})
	s := stage{over: sync.OnceFunc(func() { close(over) })}
	s.sh = shelltest.NewFake(func(c shelltest.Call) (remote.Result, error) {
		script := string(c.Stdin)
		say := func(format string, args ...any) (remote.Result, error) {
			return remote.Result{Stdout: fmt.Appendf(nil, format, args...)}, nil
		}
		i := int(c.Node[1] - '0')
		switch {
		case len(c.Argv) > 2 && c.Argv[2] == "queue":
			return say(`{"version":1,"kind":"queue","state":"running","instance":"1f00d5",` +
				`"queue":{"generation":1,"links":[],"stats":{}}}`)
		case strings.Contains(script, "checker agent injury"):
			return say(`{"kind":"cpu","cpu":{"group":"/g","periods":9,"throttled":3}}`)
		case strings.Contains(script, "checker agent undo --record /"):
			return say(`{"found":true,"kind":"cpu","left":"it was written anew"}`)
		case strings.Contains(script, "checker agent"):
			return say(`{"path":"/f","at":17,"size":9,"left":5,"took":4096,"free":0}`)
		case strings.Contains(script, "flock -s"):
			<-over
			return remote.Result{}, &remote.TransportError{Node: c.Node, Err: errors.New("over")}
		case strings.Contains(script, "missing $t") && n == 3:
			return say("ip6tables\naddress 1: lo inet6 ::1/128\naddress 2: eth0 inet 10.0.0.%d/24\n"+
				"address 2: eth0 inet6 fe80::%d/64\naddress 3: docker0 inet 172.17.0.1/16\n", i, i)
		case strings.Contains(script, "setsid sh"):
			return say("ready %d\n", 100*i)
		case strings.Contains(script, "task/*/stat 2>/dev/null | tr -d '\\n')"):
			return say("100 TTT\n")
		case strings.Contains(script, "ls wal"):
			return say("wal/log-0000000000000001 20000\n")
		case strings.Contains(script, "wc -c"):
			return say("20000\n")
		case strings.Contains(script, "od -An"):
			return say(" 65\n")
		}
		return remote.Result{}, nil
	})
	hosts := s.hosts(n)
	ledger, err := nemesis.OpenLedger(filepath.Join(t.TempDir(), "ledger.jsonl"))
	must(t, err)
	cfg := remote.Config{
		Shell: s.sh, Hosts: hosts, Controls: []netip.Addr{netip.MustParseAddr("10.0.0.254")},
		Run: "1f00d5", Dir: t.TempDir(), Ledger: ledger,
		Program: []byte("a program"), Agent: []byte(agent),
		Command: func(s cluster.NodeSpec) []string {
			return []string{s.Program, "serve", "--id", string(s.Name), "--bind", s.Bind,
				"--peer-bind", s.PeerBind, "--peers", fmt.Sprint(s.Peers), "--data", s.DataDir}
		},
	}
	for _, change := range with {
		change(&cfg)
	}
	s.Cluster, err = remote.Start(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() {
		s.over()
		if err := errors.Join(s.Close(context.Background()), ledger.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// hosts names n nodes and gives them addresses.
func (s *stage) hosts(n int) []remote.Host {
	var hosts []remote.Host
	for i := range n {
		node := nemesis.Node(fmt.Sprintf("n%d", i+1))
		s.nodes = append(s.nodes, node)
		hosts = append(hosts, remote.Host{
			Node: node, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})},
		})
	}
	return hosts
}

// What differs from run to run.
var (
	answerPort = regexp.MustCompile(`(10\.0\.0\.254 -p udp --dport|/dev/udp/10\.0\.0\.254/)[ 0-9]+`)
	startTime  = regexp.MustCompile(`at 20[0-9TZ:.-]+:`)
)

// golden compares the commands since the last call with a file.
func (s stage) golden(t *testing.T, name string) {
	t.Helper()
	got := []byte(startTime.ReplaceAllString(answerPort.ReplaceAllString(s.sh.Script(),
		"$1 ANSWER "), "at TIME:"))
	s.sh.Forget()
	// The watch of a process begins when it likes.
	got = regexp.MustCompile(`n\d\$ sh -eu <<EOF\n\{\nexec flock -s [^}]*\}\nEOF\n`).
		ReplaceAll(got, nil)
	path := filepath.Join("testdata", fmt.Sprintf("%s-%d.txt", name, len(s.nodes)))
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, got, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: the commands are\n%s\nwant (-update rewrites it)\n%s", path, got, want)
	}
}

// The exact commands of everything that is done to hosts, for clusters of 1, 3, 5 and 7.
func TestCommands(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := newStage(t, n, "")
			s.golden(t, "set-up")
			for _, shape := range []nemesis.Shape{
				nemesis.ShapeIsolate, nemesis.ShapeGroup, nemesis.ShapeHalves, nemesis.ShapeRing,
				nemesis.ShapeBridge, nemesis.ShapeDeaf, nemesis.ShapeMute, nemesis.ShapeClients,
				nemesis.ShapeRequests, nemesis.ShapeReplies,
			} {
				s.partition(t, shape)
			}
			if n > 1 {
				s.loss(t)
			}
			s.process(t)
			s.files(t)
			s.over()
			must(t, s.Close(t.Context()))
			s.golden(t, "tear-down")
		})
	}
}

// What takes an agent: its start, a mixture of everything, the end of that, and its own.
func TestAgentCommands(t *testing.T) {
	t.Parallel()
	s := newStage(t, 3, "an agent")
	s.golden(t, "agent-set-up")
	must(t, s.SetRules(t.Context(), "fault-1", map[nemesis.Link]nemesis.Rule{
		{From: "n1", To: "n2"}:            {Loss: 0.1, Delay: 20 * time.Millisecond, Duplicate: 0.2},
		{From: "n2", To: nemesis.Clients}: {Rate: 4096},
	}))
	s.golden(t, "agent-messages")
	must(t, s.Clear(t.Context(), "fault-1"))
	s.golden(t, "agent-heal")
	s.over()
	must(t, s.Close(t.Context()))
	s.golden(t, "agent-tear-down")
}

// Where memory is to be limited there is a group before there is a process, which enters it.
func TestMemoryGroups(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, "an agent", func(c *remote.Config) { c.MemoryGroups = true })
	s.golden(t, "memory-set-up")
	err := remote.Config{MemoryGroups: true}.Validate()
	if err == nil || !strings.Contains(err.Error(), "no agent to make groups") {
		t.Errorf("%v", err)
	}
}

// Each effect on messages by itself, and each injury of a host, for clusters of 1, 3, 5
// and 7.
func TestAgentFaults(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := newStage(t, n, "an agent")
			s.messages(t)
			s.injuries(t)
		})
	}
}

// messages troubles a link in each way, one after the other.
func (s stage) messages(t *testing.T) {
	link := nemesis.Link{From: s.nodes[0], To: s.nodes[len(s.nodes)-1]}
	if len(s.nodes) == 1 {
		link.To = nemesis.Clients
	}
	for _, rule := range []nemesis.Rule{
		{Delay: 50 * time.Millisecond, Jitter: 25 * time.Millisecond}, {Rate: 16384},
		{Duplicate: 0.2}, {Reorder: 0.3}, {Corrupt: 0.05},
		{Replay: 0.2, ReplayMin: time.Second, ReplayMax: 5 * time.Second},
		{Hold: 0.03, HoldMin: 2 * time.Second, HoldMax: 5 * time.Second},
	} {
		s.sh.Forget()
		must(t, s.SetRules(t.Context(), "fault-1", map[nemesis.Link]nemesis.Rule{link: rule}))
		name := "delay"
		switch {
		case rule.Rate > 0:
			name = "rate"
		case rule.Duplicate > 0:
			name = "duplicate"
		case rule.Reorder > 0:
			name = "reorder"
		case rule.Corrupt > 0:
			name = "corrupt"
		case rule.Replay > 0:
			name = "replay"
		case rule.Hold > 0:
			name = "hold"
		}
		s.golden(t, "message-"+name)
	}
	must(t, s.Clear(t.Context(), "fault-1"))
	s.sh.Forget()
}

// injuries hurts the first node's host in each way, and takes it back.
func (s stage) injuries(t *testing.T) {
	ctx, n := t.Context(), s.nodes[0]
	for _, i := range []nemesis.Injury{
		{Kind: nemesis.InjuryCPU, Percent: 5},
		{Kind: nemesis.InjuryMemory, Percent: 80},
		{Kind: nemesis.InjuryMemory, Bytes: 1 << 20},
		{Kind: nemesis.InjuryMemory},
		{Kind: nemesis.InjurySkew, Offset: -90 * time.Second, Gain: 0.05, Period: time.Second},
		{Kind: nemesis.InjuryPower, Path: ".", Filesystem: "ext4"},
		{Kind: nemesis.InjuryPower, Path: ".", Filesystem: "ext4", Off: true},
		{Kind: nemesis.InjurySlow, Offset: 300 * time.Millisecond, Period: 100 * time.Millisecond},
		{Kind: nemesis.InjuryWrites, Path: ".", Bytes: 131072},
		{Kind: nemesis.InjuryFull, Path: "."},
		{Kind: nemesis.InjuryFlip, Path: "wal/log-*", Place: 0.25},
		{Kind: nemesis.InjuryCut, Path: "/srv/db/it's here", Bytes: 100},
		{Kind: nemesis.InjuryKeep, Path: "."},
		{Kind: nemesis.InjuryRestore, Path: "."},
	} {
		_, err := s.Injure(ctx, n, nemesis.Handle("fault-"+string(i.Kind)), i)
		must(t, err)
	}
	got, err := s.Injured(ctx, n, "fault-cpu")
	must(t, err)
	if got.Facts["throttled"] != 3 || got.Facts["periods"] != 9 {
		t.Errorf("got %+v", got)
	}
	left, err := s.Mend(ctx, n, "fault-cpu")
	must(t, err)
	if left != "it was written anew" {
		t.Errorf("left %q", left)
	}
	s.golden(t, "injuries")
}

// partition cuts as the shape says, from a minority, at least one. What heals it is the
// same for all shapes.
func (s stage) partition(t *testing.T, shape nemesis.Shape) {
	hit := s.nodes[:max(1, (len(s.nodes)-1)/2)]
	if shape == nemesis.ShapeIsolate || shape == nemesis.ShapeDeaf || shape == nemesis.ShapeMute {
		hit = hit[:1]
	}
	grudge, err := nemesis.NewGrudge(shape, s.nodes, hit, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		return // there is no such shape with so few nodes
	}
	rules := map[nemesis.Link]nemesis.Rule{}
	for _, l := range grudge {
		rules[l] = nemesis.Rule{Cut: true}
	}
	must(t, s.SetRules(t.Context(), "fault-1", rules))
	s.golden(t, "partition-"+string(shape))
	must(t, s.Clear(t.Context(), "fault-1"))
	if shape == nemesis.ShapeIsolate {
		s.golden(t, "heal-"+string(shape))
	}
	s.sh.Forget()
}

func (s stage) loss(t *testing.T) {
	must(t, s.SetRules(t.Context(), "fault-1", map[nemesis.Link]nemesis.Rule{
		{From: s.nodes[0], To: s.nodes[1]}: {Loss: 0.25},
		{From: s.nodes[1], To: s.nodes[0]}: {Loss: 0.25},
	}))
	s.golden(t, "loss")
	must(t, s.Clear(t.Context(), "fault-1"))
	s.sh.Forget()
}

func (s stage) process(t *testing.T) {
	ctx := t.Context()
	for _, act := range []struct {
		name string
		do   func(context.Context, nemesis.Node) error
	}{
		{"pause", s.Pause}, {"resume", s.Resume}, {"kill", s.Kill}, {"start", s.Start},
		{"state", func(ctx context.Context, n nemesis.Node) error {
			state, err := s.State(ctx, n)
			if err == nil && state != (nemesis.ProcessState{PID: 100, Stopped: true}) {
				t.Errorf("state of %s: %+v", n, state)
			}
			return err
		}},
	} {
		s.sh.Forget()
		must(t, act.do(ctx, s.nodes[0]))
		s.golden(t, act.name)
	}
}

func (s stage) files(t *testing.T) {
	ctx, n := t.Context(), s.nodes[0]
	drift := nemesis.Bend{Rate: 1.05}
	must(t, s.SetClock(ctx, n, nemesis.ClockSetting{Wall: drift, Monotonic: drift}))
	must(t, s.SetClock(ctx, n, nemesis.ClockSetting{}))
	s.golden(t, "clock")
	must(t, s.SetDisk(ctx, n, nemesis.DiskSetting{SyncDelay: 300 * time.Millisecond}))
	must(t, s.SetDisk(ctx, n, nemesis.DiskSetting{}))
	s.golden(t, "disk")
	_, err := s.FlipBit(ctx, n, 0.5)
	must(t, err)
	must(t, s.Unflip(ctx, n))
	s.golden(t, "bit-flip")
	_, err = s.Wipe(ctx, n)
	must(t, err)
	s.golden(t, "disk-wipe")
}
