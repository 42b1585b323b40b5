package dmvcc

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TestInteraction runs the scripts in testdata: who says what to whom, in an
// order that the script decides. If it fails, run
//
//	go test ./target/dmvcc -run TestInteraction -rewrite
//
// and read the difference. Commit it only if you understand what caused it and
// it is what you want.
func TestInteraction(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts (%v)", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := &script{}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				s.out.Reset()
				s.t, s.at = t, d.Pos
				switch d.Cmd {
				case "cluster":
					// Starts a new cluster, and waits until the group has a leader.
					// Example: cluster mode=quorum nodes=3 bug=dmv-watermark-skips-gap
					s.cluster(d)
				case "play":
					for line := range strings.Lines(d.Input) {
						s.play(strings.Fields(line))
					}
				default:
					t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
				}
				return s.out.String()
			})
		})
	}
}

// script is a cluster driven by hand. The messages of the group, reads, and what the
// nodes tell each other about themselves, arrive at once; those of the nodes wait. A
// line of play is one of
//
//	begin A n2                begins a transaction, called A, at a node
//	A list append x 1         an operation in it, and so A commit, A abort
//	list read x at n2         an operation without transaction
//	run [["r","x",null]] at n2
//	move 1 n2                 gives a shard to a node
//	deliver [n2], lose [n2]   the nodes' messages under way, or those to one node
//	keep [n2]                 delivers them, and leaves them to come again
//	tick 75ms                 lets time go by everywhere
//	stop n2, cont n2          a node is paused, and goes on
//	lag n2, cont n2           what the group says to a node is late
//	crash n2, start n2        power off and on
//	wall n2 -5s               bends a clock for the time of day
//	meta n2                   what a node knows of the numbers
type script struct {
	t       *testing.T
	at      string
	out     strings.Builder
	mode    Mode
	bugs    bug.Set
	members []protocol.NodeID
	nodes   map[protocol.NodeID]*scripted
	now     protocol.Time
	net     []protocol.Message
	names   map[string]*named
	asked   map[string]string
	last    protocol.RequestID
}

type scripted struct {
	machine *Machine // nil while it is down
	stopped bool
	lagging bool
	inbox   []protocol.Message // of the group, while it is stopped or lagging
	epoch   protocol.Epoch
	records [][]byte
	ckpt    []byte
	wall    time.Duration
}

// named is a transaction of the script.
type named struct {
	node protocol.NodeID
	id   uint64
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) cluster(d *datadriven.TestData) {
	mode, nodes, planted := "all", 3, ""
	d.MaybeScanArgs(s.t, "mode", &mode)
	d.MaybeScanArgs(s.t, "nodes", &nodes)
	d.MaybeScanArgs(s.t, "bug", &planted)
	bugs, err := bug.Parse(planted, "dmvcc-"+mode)
	if err != nil {
		d.Fatalf(s.t, "%v", err)
	}
	*s = script{
		t: s.t, at: s.at, bugs: bugs, nodes: map[protocol.NodeID]*scripted{},
		names: map[string]*named{}, asked: map[string]string{},
	}
	if mode == "quorum" {
		s.mode = Quorum
	}
	for i := range nodes {
		s.members = append(s.members, protocol.NodeID(fmt.Sprintf("n%d", i+1)))
	}
	for _, id := range s.members {
		s.nodes[id] = &scripted{}
	}
	for _, id := range s.members {
		s.start(id)
	}
	for range 500 {
		s.tick(20 * ms)
		for _, id := range s.members {
			if s.nodes[id].machine.Status().Primary {
				s.tick(500 * ms)
				s.printf("%s leads the group", id)
				return
			}
		}
	}
	s.t.Fatal("the group has no leader")
}

func (s *script) start(id protocol.NodeID) {
	n := s.nodes[id]
	n.epoch++
	m, err := New(s.mode)(protocol.Config{
		Self: id, Members: s.members, Epoch: n.epoch, Bugs: s.bugs, Seed: 7 + uint64(id[1]),
		RequestTimeout: protocol.Time(time.Second), Checkpoint: n.ckpt, Records: n.records,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	n.machine = m
	m.Tick(s.now)
	s.flow()
}

func (s *script) play(words []string) {
	if len(words) == 0 {
		return
	}
	s.printf("> %s", strings.Join(words, " "))
	arg := ""
	if len(words) > 1 {
		arg = words[1]
	}
	n := s.nodes[protocol.NodeID(arg)]
	switch words[0] {
	case "deliver", "keep", "lose":
		s.messages(words[0], protocol.NodeID(arg))
	case "tick":
		s.tick(s.duration(arg))
	case "stop":
		n.stopped = true
	case "lag":
		n.lagging = true
	case "cont":
		n.stopped, n.lagging = false, false
		n.machine.Tick(s.now) // what its clock says comes first
		for _, m := range n.inbox {
			n.machine.Step(s.now, m)
		}
		n.inbox = nil
	case "crash":
		n.machine, n.inbox, n.stopped, n.lagging = nil, nil, false, false
	case "start":
		s.start(protocol.NodeID(arg))
	case "wall":
		n.wall = time.Duration(s.duration(words[2]))
	case "meta":
		m := n.machine.meta()
		s.printf("  %s: watermark %d, given %d, open %d, aborted %v, held up to %d", arg,
			m.mark, m.last, len(m.opened), m.gone, n.machine.full)
	default:
		s.submit(words)
	}
	s.flow()
}

func (s *script) duration(text string) protocol.Time {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatalf("%s: %v", s.at, err)
	}
	return protocol.Time(d)
}

func (s *script) tick(by protocol.Time) {
	for end := s.now + by; s.now < end; {
		s.now += min(20*ms, end-s.now)
		for _, id := range s.members {
			if n := s.nodes[id]; n.machine != nil && !n.stopped {
				n.machine.Tick(s.now)
			}
		}
		s.flow()
	}
}

// submit hands in a request.
func (s *script) submit(words []string) {
	node := protocol.NodeID("n1")
	var r protocol.Request
	text := strings.Join(words, " ")
	if i := slices.Index(words, "at"); i > 0 {
		node, words = protocol.NodeID(words[i+1]), words[:i]
	}
	switch tx := s.names[words[0]]; {
	case words[0] == "begin":
		node = protocol.NodeID(words[2])
		s.names[words[1]] = &named{node: node}
		r = protocol.Request{Object: "txn", F: "begin"}
		text = words[1]
	case words[0] == "move":
		value := fmt.Sprintf(`{"shard":%s,"to":%q}`, words[1], words[2])
		r = protocol.Request{Object: "admin", F: "move", Value: value}
	case words[0] == "run":
		r = protocol.Request{Object: "txn", F: "run", Value: words[1]}
	case tx != nil && len(words) == 2:
		node = tx.node
		r = protocol.Request{Object: "txn", F: words[1], Txn: tx.id}
	default:
		if tx != nil {
			node, r.Txn = tx.node, tx.id
			words = words[1:]
		}
		for i, to := range []*string{&r.Object, &r.F, &r.Key, &r.Value} {
			if i < len(words) {
				*to = words[i]
			}
		}
	}
	s.last++
	r.ID = s.last
	s.asked[fmt.Sprint(node, r.ID)] = text
	n := s.nodes[node]
	n.machine.SetWall(protocol.WallTime(int64(s.now) + int64(time.Hour+n.wall)))
	n.machine.Submit(s.now, r)
}

func (s *script) messages(what string, to protocol.NodeID) {
	var ms []protocol.Message
	s.net = slices.DeleteFunc(s.net, func(m protocol.Message) bool {
		match := to == "" || m.To == to
		if match {
			ms = append(ms, m)
		}
		return match
	})
	if what == "keep" {
		s.net = slices.Clone(ms)
	}
	for _, m := range ms {
		if n := s.nodes[m.To]; n.machine != nil && !n.stopped && what != "lose" {
			n.machine.Step(s.now, m)
		}
	}
}

// flow does what the nodes want done, until nothing is left of the group's.
func (s *script) flow() {
	for busy := true; busy; {
		busy = false
		for _, id := range s.members {
			n := s.nodes[id]
			if n.machine == nil || n.stopped {
				continue
			}
			r := n.machine.Ready()
			busy = busy || !r.Empty()
			if r.Checkpoint != nil {
				n.ckpt, n.records = r.Checkpoint, nil
			}
			if !s.bugs.Has(bug.NoFsync) {
				n.records = append(n.records, r.Records...)
			}
			for _, m := range r.Messages {
				s.carry(m)
			}
			for _, rep := range r.Replies {
				s.reply(id, rep)
			}
		}
	}
}

// carry puts a message on its way: the group's arrives at once.
func (s *script) carry(m protocol.Message) {
	text := Describe(m.Payload)
	read := strings.HasPrefix(text, "read") || strings.HasPrefix(text, "value")
	to := s.nodes[m.To]
	switch {
	case m.Payload[0] == ofGroup || strings.HasPrefix(text, "full") || read:
		if read {
			s.printf("  %s->%s %s", m.From, m.To, text)
		}
		if to.machine != nil && (to.stopped || to.lagging) {
			to.inbox = append(to.inbox, m)
		} else if to.machine != nil {
			to.machine.Step(s.now, m)
		}
	case slices.ContainsFunc(s.net, func(x protocol.Message) bool {
		return x.From == m.From && x.To == m.To && bytes.Equal(x.Payload, m.Payload)
	}):
		// Sent again, while the first is still under way.
	default:
		s.net = append(s.net, m)
		s.printf("  %s->%s %s", m.From, m.To, text)
	}
}

func (s *script) reply(id protocol.NodeID, rep protocol.Reply) {
	what := s.asked[fmt.Sprint(id, rep.ID)]
	answer := strings.Join(strings.Fields(rep.Outcome.String()+" "+rep.Value+" "+rep.Code), " ")
	if tx := s.names[what]; tx != nil && tx.id == 0 && rep.Outcome == protocol.OK {
		tx.id, _ = strconv.ParseUint(rep.Value, 10, 64)
		answer = fmt.Sprintf("ok, at %d", s.nodes[id].machine.txns[tx.id].snap)
	}
	s.printf("  %s: %s", what, answer)
}
