package cache

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TestScripts runs the scripts in testdata: three nodes, and messages that wait until
// the script delivers or loses them. If it fails, run
//
//	go test ./target/cache -run TestScripts -rewrite
//
// and read the difference.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			s.run(t, d)
			if s.out.Len() == 0 {
				return "ok\n"
			}
			return s.out.String()
		})
	})
}

type script struct {
	out   strings.Builder
	bugs  bug.Set
	ids   []protocol.NodeID
	nodes map[protocol.NodeID]*scripted
	now   protocol.Time
	net   []protocol.Message
	held  []protocol.Message
	hold  string
	last  protocol.RequestID
}

type scripted struct {
	machine *Machine // nil while it is down
	epoch   protocol.Epoch
	ckpt    []byte
	records [][]byte
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "cluster":
		// Starts three nodes, with a planted bug if one is named.
		name := ""
		d.MaybeScanArgs(t, "bug", &name)
		bugs, err := bug.Parse(name, "cache")
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		*s = script{bugs: bugs, nodes: map[protocol.NodeID]*scripted{},
			ids: []protocol.NodeID{"n1", "n2", "n3"}}
		for _, id := range s.ids {
			s.nodes[id] = &scripted{}
			s.start(t, id)
		}
	case "run":
		// Lets time go by, among the nodes named or all; what goes to others is lost.
		// Messages of the kind hold are kept back.
		// Example: run 2s n1 n2 hold=grant
		by, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s.hold = ""
		d.MaybeScanArgs(t, "hold", &s.hold)
		s.pass(protocol.Time(by), s.args(d))
	case "release":
		// Delivers what was kept back.
		for _, m := range s.held {
			s.deliver(m)
		}
		s.held = nil
	case "submit":
		// Hands a request to a node.
		// Example: submit n1 write k 7
		s.submit(d)
	case "crash":
		for _, id := range s.args(d) {
			s.nodes[id].machine = nil
		}
	case "start":
		for _, id := range s.args(d) {
			s.start(t, id)
		}
	case "show":
		for _, id := range s.args(d) {
			if m := s.nodes[id].machine; m != nil {
				x := m.Status().Details.(Details)
				s.printf("%s: serves=%t, may not write for %d ms; %d copies", id,
					m.serving != nil, x.Blocked, x.Cached)
			}
		}
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
}

func (s *script) args(d *datadriven.TestData) []protocol.NodeID {
	var ids []protocol.NodeID
	for _, a := range d.CmdArgs {
		if id := protocol.NodeID(a.Key); slices.Contains(s.ids, id) {
			ids = append(ids, id)
		}
	}
	if ids == nil {
		return s.ids
	}
	return ids
}

func (s *script) start(t *testing.T, id protocol.NodeID) {
	n := s.nodes[id]
	n.epoch++
	m, err := New(protocol.Config{
		Self: id, Members: s.ids, Epoch: n.epoch, Bugs: s.bugs,
		Seed: uint64(slices.Index(s.ids, id)), Checkpoint: n.ckpt, Records: n.records,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.machine = m
	m.Tick(s.now)
}

func (s *script) submit(d *datadriven.TestData) {
	s.last++
	r := protocol.Request{ID: s.last, Object: "register", F: d.CmdArgs[1].Key, Key: d.CmdArgs[2].Key}
	if len(d.CmdArgs) > 3 {
		r.Value = d.CmdArgs[3].Key
	}
	if r.F == "transfer" {
		r.Object, r.Key, r.Value = "admin", "", `"`+r.Key+`"`
	}
	id := protocol.NodeID(d.CmdArgs[0].Key)
	s.nodes[id].machine.Submit(s.now, r)
	s.ready(id)
}

// pass lets time go by in steps of 10 ms, each with everything that follows from it.
func (s *script) pass(by protocol.Time, ids []protocol.NodeID) {
	for end := s.now + by; s.now < end; {
		s.now += 10 * ms
		for _, id := range ids {
			if m := s.nodes[id].machine; m != nil {
				m.Tick(s.now)
			}
		}
		for busy := true; busy; {
			busy = false
			for _, id := range ids {
				busy = s.ready(id) || busy
			}
			net := s.net
			s.net = nil
			for _, m := range net {
				if slices.Contains(ids, m.From) && slices.Contains(ids, m.To) {
					s.deliver(m)
				}
			}
		}
	}
}

func (s *script) ready(id protocol.NodeID) bool {
	n := s.nodes[id]
	if n.machine == nil {
		return false
	}
	r := n.machine.Ready()
	if r.Checkpoint != nil {
		n.ckpt, n.records = r.Checkpoint, nil
	}
	n.records = append(n.records, r.Records...)
	for _, m := range r.Messages {
		if s.hold != "" && kindOf(m) == s.hold {
			s.held = append(s.held, m)
		} else {
			s.net = append(s.net, m)
		}
	}
	for _, rep := range r.Replies {
		words := fmt.Sprintf("%s: r%d %v %s %s", id, rep.ID, rep.Outcome, rep.Value, rep.Code)
		s.printf("%s", strings.Join(strings.Fields(words), " "))
	}
	return !r.Empty()
}

// kindOf names the messages that a script may keep back.
func kindOf(m protocol.Message) string {
	var x message
	if m.Payload[0] != forCache || unmarshal(m.Payload[1:], &x) != nil {
		return "log"
	}
	return map[msgKind]string{kindGrant: "grant", kindInvalidate: "invalidate"}[x.Kind]
}

func (s *script) deliver(m protocol.Message) {
	if n := s.nodes[m.To]; n.machine != nil {
		n.machine.Step(s.now, m)
	}
}
