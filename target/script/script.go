// Package script drives a cluster of protocol machines by hand: a datadriven
// file says who is asked what, which messages arrive and which are lost, who
// loses power, and shows what the nodes do. So a rule of a protocol, or the one
// schedule on which a planted bug depends, can be read step by step.
//
// All nodes have one clock, which only the command tick moves. Messages wait in
// the network until the script delivers or loses them.
package script

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

// Options say what the scripts drive.
type Options struct {
	// Protocol is the name under which bugs are planted.
	Protocol string
	// New makes a machine. settings are the arguments of the command cluster
	// that the scripts know nothing of, such as every=3.
	New func(cfg protocol.Config, settings map[string]int) (protocol.Machine, error)
	// Object is what submit asks for when the script does not say.
	Object string
	// Describe prints a payload, its kind as the first word; Record a record;
	// Disk all that a node holds durably.
	Describe, Record func([]byte) string
	Disk             func(checkpoint []byte, records [][]byte) string
}

// Run runs every testdata/*.txt as a subtest.
func Run(t *testing.T, o Options) {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts (%v)", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := &script{opts: o}
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
}

type script struct {
	opts     Options
	out      strings.Builder
	members  []protocol.NodeID
	bugs     bug.Set
	timeout  time.Duration
	settings map[string]int
	now      protocol.Time
	nodes    map[protocol.NodeID]*node
	net      []protocol.Message
	last     protocol.RequestID
	tokens   map[protocol.RequestID]string
}

type node struct {
	machine protocol.Machine // nil while it is down
	epoch   protocol.Epoch
	ckpt    []byte
	records [][]byte
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "cluster":
		// Starts a new cluster, with a planted bug if one is named.
		// Example: cluster nodes=3 bug=px-adopt-own-value timeout=1s
		s.cluster(t, d)
	case "submit":
		// Hands a request to a node. The reply shows up in its next Ready.
		// Example: submit n1 write k 7
		// Example: submit n2 read k object=log token=r3
		s.submit(t, d)
	case "ready":
		// Carries out the Readies of nodes: records become durable, messages go
		// to the network, replies are printed.
		// Example: ready n1 n2
		for _, id := range s.args(d) {
			s.ready(id)
		}
	case "deliver":
		// Delivers the messages that match, in their order or, if asked, the last
		// one first; with keep they stay there to come again.
		// Example: deliver from=n1 to=(n2,n3) kind=store keep reverse
		s.deliver(d)
	case "lose":
		// Loses the messages that match.
		// Example: lose to=n3
		for _, m := range s.take(d) {
			s.printf("lost %s", s.show(m))
		}
	case "network": // Shows what is under way.
		for _, m := range s.net {
			s.printf("%s", s.show(m))
		}
	case "stabilize":
		// Carries out Readies and delivers messages until nothing is left to do;
		// only between the nodes named, if any are.
		// Example: stabilize n1 n2
		s.stabilize(s.args(d))
	case "settle":
		// Like stabilize, and lets time go by, a millisecond at a time, until
		// nothing has happened for five of them.
		// Example: settle n1 n2
		s.settle(s.args(d))
	case "tick":
		// Lets time go by and tells the nodes.
		// Example: tick 75ms n1
		s.tick(t, d)
	case "crash": // Cuts the power of nodes, before what they want done is done.
		for _, id := range s.args(d) {
			s.nodes[id].machine = nil
		}
	case "start":
		// Starts nodes again, in a new epoch, from their disks.
		for _, id := range s.args(d) {
			s.start(t, id)
		}
	case "disk":
		// Shows what is durable at each node.
		for _, id := range s.args(d) {
			n := s.nodes[id]
			s.printf("%s: %s", id, s.opts.Disk(n.ckpt, n.records))
		}
	case "inject":
		// Puts a datagram into the network that nobody of the cluster sent.
		// Example: inject from=n2 to=n1 payload=0xff
		s.inject(t, d)
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
}

// args are the nodes named, all if none is.
func (s *script) args(d *datadriven.TestData) []protocol.NodeID {
	var ids []protocol.NodeID
	for _, a := range d.CmdArgs {
		if id := protocol.NodeID(a.Key); slices.Contains(s.members, id) {
			ids = append(ids, id)
		}
	}
	if ids == nil {
		return s.members
	}
	return ids
}

func (s *script) cluster(t *testing.T, d *datadriven.TestData) {
	nodes, name, timeout := 3, "", "1s"
	*s = script{
		opts: s.opts, nodes: map[protocol.NodeID]*node{}, settings: map[string]int{},
		tokens: map[protocol.RequestID]string{},
	}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "nodes":
			a.Scan(t, 0, &nodes)
		case "bug":
			a.Scan(t, 0, &name)
		case "timeout":
			a.Scan(t, 0, &timeout)
		default:
			var n int
			a.Scan(t, 0, &n)
			s.settings[a.Key] = n
		}
	}
	var err error
	if s.timeout, err = time.ParseDuration(timeout); err != nil {
		d.Fatalf(t, "%v", err)
	}
	if s.bugs, err = bug.Parse(name, s.opts.Protocol); err != nil {
		d.Fatalf(t, "%v", err)
	}
	for i := range nodes {
		s.members = append(s.members, protocol.NodeID(fmt.Sprintf("n%d", i+1)))
	}
	for _, id := range s.members {
		s.nodes[id] = &node{}
		s.start(t, id)
	}
}

func (s *script) start(t *testing.T, id protocol.NodeID) {
	n := s.nodes[id]
	n.epoch++
	m, err := s.opts.New(protocol.Config{
		Self: id, Members: s.members, Epoch: n.epoch, Bugs: s.bugs,
		Seed:           uint64(slices.Index(s.members, id)),
		RequestTimeout: protocol.Time(s.timeout), Checkpoint: n.ckpt, Records: n.records,
	}, s.settings)
	if err != nil {
		t.Fatal(err)
	}
	m.Tick(s.now)
	n.machine = m
}

func (s *script) submit(t *testing.T, d *datadriven.TestData) {
	object, token := s.opts.Object, ""
	d.MaybeScanArgs(t, "object", &object)
	d.MaybeScanArgs(t, "token", &token)
	s.last++
	r := protocol.Request{ID: s.last, Object: object}
	if token != "" {
		n, err := strconv.ParseUint(strings.TrimPrefix(token, "r"), 10, 64)
		if err != nil || s.tokens[protocol.RequestID(n)] == "" {
			d.Fatalf(t, "no token of reply %s", token)
		}
		r.Token = s.tokens[protocol.RequestID(n)]
	}
	for i, to := range []*string{nil, &r.F, &r.Key, &r.Value} {
		if i > 0 && i < len(d.CmdArgs) && len(d.CmdArgs[i].Vals) == 0 {
			*to = d.CmdArgs[i].Key
		}
	}
	s.printf("r%d", r.ID)
	s.nodes[protocol.NodeID(d.CmdArgs[0].Key)].machine.Submit(s.now, r)
}

// ready carries out what a node wants done. With bug.NoFsync its records are
// written and lost in the next crash: that bug is the driver's.
func (s *script) ready(id protocol.NodeID) bool {
	n := s.nodes[id]
	if n.machine == nil {
		return false
	}
	r := n.machine.Ready()
	if r.Empty() {
		return false
	}
	s.printf("%s:", id)
	if r.Checkpoint != nil {
		n.ckpt, n.records = r.Checkpoint, nil
		s.printf("  checkpoint: %s", s.opts.Disk(r.Checkpoint, nil))
	}
	for _, rec := range r.Records {
		how := "durable"
		if s.bugs.Has(bug.NoFsync) {
			how = "written, not synced"
		} else {
			n.records = append(n.records, rec)
		}
		s.printf("  %s: %s", how, s.opts.Record(rec))
	}
	for _, m := range r.Messages {
		s.net = append(s.net, m)
		s.printf("  %s", s.show(m))
	}
	for _, rep := range r.Replies {
		s.tokens[rep.ID] = rep.Token
		s.printf("  reply r%d %s", rep.ID,
			strings.Join(strings.Fields(rep.Outcome.String()+" "+rep.Value+" "+rep.Code), " "))
	}
	return true
}

func (s *script) show(m protocol.Message) string {
	return fmt.Sprintf("%s->%s %s", m.From, m.To, s.opts.Describe(m.Payload))
}

// take removes the messages that match from the network.
func (s *script) take(d *datadriven.TestData) []protocol.Message {
	in := func(key, val string) bool {
		for _, a := range d.CmdArgs {
			if a.Key == key && !slices.Contains(a.Vals, val) {
				return false
			}
		}
		return true
	}
	var taken, left []protocol.Message
	for _, m := range s.net {
		kind, _, _ := strings.Cut(s.opts.Describe(m.Payload), " ")
		if in("from", string(m.From)) && in("to", string(m.To)) && in("kind", kind) {
			taken = append(taken, m)
		} else {
			left = append(left, m)
		}
	}
	s.net = left
	return taken
}

func (s *script) deliver(d *datadriven.TestData) {
	ms := s.take(d)
	if d.HasArg("keep") {
		s.net = append(slices.Clone(ms), s.net...)
	}
	if d.HasArg("reverse") {
		slices.Reverse(ms)
	}
	for _, m := range ms {
		s.step(m)
	}
}

func (s *script) step(m protocol.Message) {
	if n := s.nodes[m.To]; n.machine != nil {
		n.machine.Step(s.now, m)
	}
}

// stabilize reports whether anything happened.
func (s *script) stabilize(ids []protocol.NodeID) (any bool) {
	for busy := true; busy; {
		busy = false
		for _, id := range ids {
			busy = s.ready(id) || busy
		}
		within := func(m protocol.Message) bool {
			return slices.Contains(ids, m.From) && slices.Contains(ids, m.To)
		}
		ms := slices.Clone(s.net)
		s.net = slices.DeleteFunc(s.net, within)
		for _, m := range ms {
			if within(m) {
				s.step(m)
				busy = true
			}
		}
		any = any || busy
	}
	return any
}

func (s *script) settle(ids []protocol.NodeID) {
	for idle := 0; idle < 5; idle++ {
		if s.stabilize(ids) {
			idle = 0
		}
		s.pass(time.Millisecond, ids)
	}
}

func (s *script) tick(t *testing.T, d *datadriven.TestData) {
	by, err := time.ParseDuration(d.CmdArgs[0].Key)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	s.pass(by, s.args(d))
}

// pass lets time go by and tells these nodes.
func (s *script) pass(by time.Duration, ids []protocol.NodeID) {
	s.now += protocol.Time(by)
	for _, id := range ids {
		if n := s.nodes[id]; n.machine != nil {
			n.machine.Tick(s.now)
		}
	}
}

func (s *script) inject(t *testing.T, d *datadriven.TestData) {
	var from, to, text string
	d.ScanArgs(t, "from", &from)
	d.ScanArgs(t, "to", &to)
	d.ScanArgs(t, "payload", &text)
	var payload []byte
	if _, err := fmt.Sscanf(text, "0x%x", &payload); err != nil {
		d.Fatalf(t, "%v", err)
	}
	m := protocol.Message{From: protocol.NodeID(from), To: protocol.NodeID(to), Payload: payload}
	s.net = append(s.net, m)
	s.printf("%s", s.show(m))
}
