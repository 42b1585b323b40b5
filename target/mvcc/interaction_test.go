package mvcc

import (
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
//	go test ./target/mvcc -run TestInteraction -rewrite
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
					// Starts a new cluster.
					// Example: cluster mode=mvcc-si nodes=3 bug=mvcc-dirty-read
					s.cluster(d)
				case "play":
					for line := range strings.Lines(d.Input) {
						s.play(strings.Fields(line))
					}
				default:
					t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
				}
				if s.out.Len() == 0 {
					return "ok\n"
				}
				return s.out.String()
			})
		})
	}
}

// script is a cluster driven by hand. A line of play is one of
//
//	begin A [n2]              begins a transaction, called A, at n1 or another node
//	A list append x 1         an operation in it, and so A commit, A abort
//	list read x [at n2]       an operation without transaction
//	run [["r","x",null]] [at n2]
//	deliver [n2], lose [n2]   all messages under way, or those to one node
//	keep                      delivers all, and leaves them to come again
//	tick 50ms                 lets time go by everywhere
//	crash n1, start n1        power off, before what it wants done is done; on
//	hold n1, let n1           do not carry out what n1 wants done; do it now
type script struct {
	t       *testing.T
	at      string
	out     strings.Builder
	rule    Rule
	log     bool
	bugs    bug.Set
	members []protocol.NodeID
	nodes   map[protocol.NodeID]*scripted
	now     protocol.Time
	net     []protocol.Message
	names   map[string]*named
	asked   map[string]string // reply id by node -> what was asked
	last    protocol.RequestID
}

type scripted struct {
	machine protocol.Machine
	epoch   protocol.Epoch
	records [][]byte
	ckpt    []byte
	held    bool
}

// named is a transaction of the script.
type named struct {
	node protocol.NodeID
	id   uint64
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) cluster(d *datadriven.TestData) {
	mode, nodes, planted := "mvcc-si", 1, ""
	d.MaybeScanArgs(s.t, "mode", &mode)
	d.MaybeScanArgs(s.t, "nodes", &nodes)
	d.MaybeScanArgs(s.t, "bug", &planted)
	bugs, err := bug.Parse(planted, mode)
	if err != nil {
		d.Fatalf(s.t, "%v", err)
	}
	*s = script{
		t: s.t, at: s.at, bugs: bugs, nodes: map[protocol.NodeID]*scripted{},
		names: map[string]*named{}, asked: map[string]string{},
	}
	for _, m := range modes() {
		if name(m.rule, m.log) == mode {
			s.rule, s.log = m.rule, m.log
		}
	}
	for i := range nodes {
		s.members = append(s.members, protocol.NodeID(fmt.Sprintf("n%d", i+1)))
	}
	for _, id := range s.members {
		s.nodes[id] = &scripted{}
		s.start(id)
	}
}

func (s *script) start(id protocol.NodeID) {
	n := s.nodes[id]
	n.epoch++
	m, err := New(s.rule, s.log)(protocol.Config{
		Self: id, Members: s.members, Epoch: n.epoch, Bugs: s.bugs,
		RequestTimeout: protocol.Time(time.Second), Checkpoint: n.ckpt, Records: n.records,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	n.machine = m
	m.Tick(s.now)
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
		by, err := time.ParseDuration(arg)
		if err != nil {
			s.t.Fatalf("%s: %v", s.at, err)
		}
		s.now += protocol.Time(by)
		for _, id := range s.members {
			if m := s.nodes[id].machine; m != nil {
				m.Tick(s.now)
			}
		}
	case "crash":
		n.machine, n.held = nil, false
	case "start":
		s.start(protocol.NodeID(arg))
	case "hold":
		n.held = true
	case "let":
		n.held = false
	default:
		s.submit(words)
	}
	s.carryOut()
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
		if len(words) > 2 {
			node = protocol.NodeID(words[2])
		}
		s.names[words[1]] = &named{node: node}
		r = protocol.Request{Object: "txn", F: "begin"}
		text = words[1]
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
	s.nodes[node].machine.Submit(s.now, r)
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
		if n := s.nodes[m.To]; n.machine != nil && what != "lose" {
			n.machine.Step(s.now, m)
		}
	}
}

// carryOut does what the nodes want done.
func (s *script) carryOut() {
	for _, id := range s.members {
		n := s.nodes[id]
		if n.machine == nil || n.held {
			continue
		}
		r := n.machine.Ready()
		if r.Checkpoint != nil {
			n.ckpt, n.records = r.Checkpoint, nil
		}
		for _, b := range r.Records {
			c, err := decodeCommit(b)
			if err != nil {
				s.t.Fatal(err)
			}
			line := fmt.Sprintf("  %s logs %d:", id, c.Num)
			for _, w := range c.Writes {
				for _, u := range w.Updates {
					line += fmt.Sprintf(" %s.%s(%s %s)", u.Kind, u.F, w.Key, u.Arg)
				}
			}
			s.printf("%s", line)
			if !s.bugs.Has(bug.NoFsync) {
				n.records = append(n.records, b)
			}
		}
		for _, m := range r.Messages {
			s.net = append(s.net, m)
			s.printf("  %s->%s %s", m.From, m.To, Describe(m.Payload))
		}
		for _, rep := range r.Replies {
			s.reply(id, rep)
		}
	}
}

func (s *script) reply(id protocol.NodeID, rep protocol.Reply) {
	what := s.asked[fmt.Sprint(id, rep.ID)]
	answer := strings.Join(strings.Fields(rep.Outcome.String()+" "+rep.Value+" "+rep.Code), " ")
	if tx := s.names[what]; tx != nil && tx.id == 0 && rep.Outcome == protocol.OK {
		tx.id, _ = strconv.ParseUint(rep.Value, 10, 64)
		answer = "ok, " + txnName(tx.id)
	}
	s.printf("  %s: %s", what, answer)
}
