package paxos

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TestInteraction runs the scripts in testdata: who says what to whom, in an
// order that the script decides. If it fails, run
//
//	go test ./target/paxos -run TestInteraction -rewrite
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
				s.run(t, d)
				if s.out.Len() == 0 {
					return "ok\n"
				}
				return s.out.String()
			})
		})
	}
}

// script is a cluster driven by hand: one clock, and messages that wait in the
// network until the script delivers or loses them. Pings are lost, unless the
// cluster is told to keep them.
type script struct {
	out     strings.Builder
	quiet   bool
	mode    Mode
	pings   bool
	members []protocol.NodeID
	bugs    bug.Set
	now     protocol.Time
	nodes   map[protocol.NodeID]*scripted
	net     []protocol.Message
	saved   []protocol.Message
	cut     []string
	losing  int        // percent
	dice    *rand.Rand // for what is lost
	last    protocol.RequestID
}

type scripted struct {
	machine *Machine // nil while it is down
	// now is the node's clock, ppm how much faster than the script's it runs; wall
	// is how far its time of day is ahead.
	now     protocol.Time
	ppm     int
	wall    time.Duration
	epoch   protocol.Epoch
	records [][]byte
	ckpt    []byte
	every   int
	kept    int
	ahead   int
	damaged bool
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	s.quiet = d.HasArg("quiet") // show replies only
	switch d.Cmd {
	case "cluster":
		// Starts a new cluster, with a planted bug if one is named.
		// Example: cluster nodes=5 bug=mp-read-local-leader every=20 kept=5 ahead=40
		s.cluster(t, d)
	case "submit":
		// Hands a request to a node: node, object, f, key, value; or as many of them.
		// Example: submit n1 register write x 7 times=20
		// Example: submit n2 list append l 5 in=3 seq=1
		s.submit(t, d)
	case "ready":
		// Carries out the Readies of nodes: records become durable, messages go
		// to the network, replies are printed.
		// Example: ready n1 n2
		for _, id := range s.args(d) {
			s.ready(id)
		}
	case "deliver":
		// Delivers the messages in the network that match, in their order or the
		// last one first; with keep they stay there to come again.
		// Example: deliver from=n1 to=(n2,n3) kind=accept keep reverse
		s.deliver(d)
	case "save":
		// Puts copies of the messages in the network that match aside.
		s.saved = s.take(d)
		s.net = append(slices.Clone(s.saved), s.net...)
	case "replay":
		// Delivers the messages that were put aside.
		for _, m := range s.saved {
			s.printf("again %s", show(m))
			s.step(m)
		}
	case "lose":
		// Loses the messages that match.
		for _, m := range s.take(d) {
			s.printf("lost %s", show(m))
		}
	case "network":
		for _, m := range s.net {
			s.printf("%s", show(m))
		}
	case "stabilize":
		// Carries out Readies and delivers messages until nothing is left to do,
		// only between the nodes named if any are.
		// Example: stabilize n1 n2 quiet
		s.stabilize(s.args(d))
	case "tick":
		// Lets time go by and tells the nodes.
		// Example: tick 75ms n1
		s.tick(t, d)
	case "run":
		// Lets time go by in steps of 25 ms, or so many, each with a
		// stabilize, between the nodes named; what goes to others is lost, and
		// what goes over links that are cut, in both directions, in one, or for
		// one kind of message, and so many percent of the rest.
		// Example: run 2s n1 n2 n3 cut=(n1-n2,n3>n1,n1>n3:accept) quiet
		// Example: run 2s step=5 lose=20 quiet
		s.runFor(t, d)
	default:
		s.runNode(t, d)
	}
}

// runNode runs the commands that are about nodes alone.
func (s *script) runNode(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "campaign":
		// Lets the election timeout of nodes end now.
		for _, id := range s.args(d) {
			m := s.nodes[id].machine
			m.electionAt = m.now
			s.tell(id)
		}
	case "crash":
		// Cuts the power of nodes, before what they want done is done.
		for _, id := range s.args(d) {
			s.nodes[id].machine = nil
		}
	case "start":
		// Starts nodes again, in a new epoch, from their disks.
		for _, id := range s.args(d) {
			s.start(t, id)
		}
	case "damage":
		// Takes all but the first so many records from the disk of a node that is
		// down, which finds that out at its start.
		// Example: damage n2 keep=1
		keep := 0
		d.MaybeScanArgs(t, "keep", &keep)
		for _, id := range s.args(d) {
			n := s.nodes[id]
			n.records, n.damaged = n.records[:keep], true
		}
	case "members":
		// Shows whom nodes take for voters and for learners.
		for _, id := range s.args(d) {
			if m := s.nodes[id].machine; m != nil {
				voters, learners := m.split()
				s.printf("%s: voters %v, learners %v", id, voters, learners)
			}
		}
	case "leases":
		// Shows what nodes hold and have promised.
		for _, id := range s.args(d) {
			if m := s.nodes[id].machine; m != nil {
				l := m.Status().Details.(Details)
				s.printf("%s: holds=%t %d ms, promised to %q %d ms", id, l.LeaseHeld, l.LeaseLeft,
					l.PromisedTo, l.PromiseLeft)
			}
		}
	case "show":
		// Shows what nodes believe, and their logs; if brief, only how far they go.
		for _, id := range s.args(d) {
			s.show(id, d.HasArg("brief"))
		}
	case "clock":
		// Lets the clocks of nodes run faster by so many parts per million from
		// now on, or sets their time of day ahead.
		// Example: clock n1 ppm=-50000 wall=-3s
		s.clock(t, d)
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
}

// args are the nodes named, all that are up if none is.
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
	nodes, name, every, kept, ahead := 3, "", checkpointSlots, keepSlots, maxAhead
	d.MaybeScanArgs(t, "nodes", &nodes)
	d.MaybeScanArgs(t, "bug", &name)
	d.MaybeScanArgs(t, "every", &every)
	d.MaybeScanArgs(t, "kept", &kept)
	d.MaybeScanArgs(t, "ahead", &ahead)
	*s = script{
		nodes: map[protocol.NodeID]*scripted{}, pings: d.HasArg("pings"),
		dice: rand.New(rand.NewPCG(1, 2)),
	}
	s.mode.Protocol = "paxos"
	if d.HasArg("leases") {
		s.mode = Mode{Protocol: "lease-read", Leases: true}
	}
	var err error
	if s.bugs, err = bug.Parse(name, s.mode.Protocol); err != nil {
		d.Fatalf(t, "%v", err)
	}
	for i := range nodes {
		s.members = append(s.members, protocol.NodeID(fmt.Sprintf("n%d", i+1)))
	}
	for _, id := range s.members {
		s.nodes[id] = &scripted{every: every, kept: kept, ahead: ahead}
		s.start(t, id)
	}
}

func (s *script) start(t *testing.T, id protocol.NodeID) {
	n := s.nodes[id]
	n.epoch++
	m, err := NewMode(protocol.Config{
		Self: id, Members: s.members, Epoch: n.epoch, Bugs: s.bugs,
		Seed:           uint64(slices.Index(s.members, id)),
		RequestTimeout: 1000 * ms, Checkpoint: n.ckpt, Records: n.records,
		Damaged: n.damaged && !s.bugs.Has(bug.TruncateMiddle),
	}, s.mode)
	if err != nil {
		t.Fatal(err)
	}
	m.checkpointEvery, m.keep, m.ahead = uint64(n.every), uint64(n.kept), uint64(n.ahead)
	n.machine = m
	s.tell(id)
}

// pass lets time go by for all, and tells some.
func (s *script) pass(by protocol.Time, ids []protocol.NodeID) {
	s.now += by
	for _, n := range s.nodes {
		n.now += by + by*protocol.Time(n.ppm)/1_000_000
	}
	for _, id := range ids {
		if s.nodes[id].machine != nil {
			s.tell(id)
		}
	}
}

// tell ticks a node.
func (s *script) tell(id protocol.NodeID) { s.at(id).Tick(s.nodes[id].now) }

// at returns the machine of a node, which knows the time of day.
func (s *script) at(id protocol.NodeID) *Machine {
	n := s.nodes[id]
	n.machine.SetWall(protocol.WallTime(1e18 + int64(s.now) + int64(n.wall)))
	return n.machine
}

func (s *script) clock(t *testing.T, d *datadriven.TestData) {
	for _, id := range s.args(d) {
		n := s.nodes[id]
		d.MaybeScanArgs(t, "ppm", &n.ppm)
		var ahead string
		if d.MaybeScanArgs(t, "wall", &ahead); ahead != "" {
			by, err := time.ParseDuration(ahead)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			n.wall = by
		}
	}
}

func (s *script) submit(t *testing.T, d *datadriven.TestData) {
	var r protocol.Request
	var words []string
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			words = append(words, a.Key)
		}
	}
	for i, to := range []*string{nil, &r.Object, &r.F, &r.Key, &r.Value} {
		if i > 0 && i < len(words) {
			*to = words[i]
		}
	}
	session, seq, big := 0, 0, 0
	d.MaybeScanArgs(t, "in", &session)
	d.MaybeScanArgs(t, "seq", &seq)
	r.Session, r.Seq = uint64(session), uint64(seq)
	if d.MaybeScanArgs(t, "big", &big); big > 0 {
		r.Value = `"` + strings.Repeat("x", big) + `"`
	}
	times := 1
	d.MaybeScanArgs(t, "times", &times)
	id := protocol.NodeID(words[0])
	for i := range times {
		s.last++
		r.ID = s.last
		if i == 0 || i == times-1 {
			s.printf("r%d", r.ID)
		}
		s.at(id).Submit(s.nodes[id].now, r)
	}
}

func (s *script) ready(id protocol.NodeID) bool {
	n := s.nodes[id]
	if n.machine == nil {
		return false
	}
	r := n.machine.Ready()
	if r.Empty() {
		return false
	}
	var lines []string
	if r.Checkpoint != nil {
		n.ckpt, n.records = r.Checkpoint, nil
		lines = append(lines, fmt.Sprintf("checkpoint at %d", n.machine.snap.index))
	}
	for _, b := range r.Records {
		var rec record
		if err := n.machine.codec.mode.Unmarshal(b, &rec); err != nil {
			panic(err)
		}
		lines = append(lines, fmt.Sprintf("durable %v%s", rec.Ballot, describeSlots(rec.Votes)))
	}
	n.records = append(n.records, r.Records...)
	if r.Repaired {
		n.damaged = false
		lines = append(lines, "repaired")
	}
	for _, m := range r.Messages {
		if !s.pings && m.Payload[0] == byte(kindPing) {
			continue
		}
		s.net = append(s.net, m)
		lines = append(lines, show(m))
	}
	if s.quiet {
		lines = nil
	}
	for _, rep := range r.Replies {
		words := fmt.Sprintf("reply r%d %s %s %s", rep.ID, rep.Outcome, rep.Value, rep.Code)
		lines = append(lines, strings.Join(strings.Fields(words), " "))
	}
	if len(lines) > 0 {
		s.printf("%s:\n  %s", id, strings.Join(lines, "\n  "))
	}
	return true
}

func show(m protocol.Message) string {
	text := Describe(m.Payload)
	if len(text) > 150 {
		text = text[:150] + "…"
	}
	return fmt.Sprintf("%s->%s %s", m.From, m.To, text)
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
		kind, _, _ := strings.Cut(Describe(m.Payload), " ")
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
		s.at(m.To).Step(n.now, m)
	}
}

func (s *script) stabilize(ids []protocol.NodeID) {
	within := func(m protocol.Message) bool {
		return slices.Contains(ids, m.From) && slices.Contains(ids, m.To)
	}
	for busy := true; busy; {
		busy = false
		for _, id := range ids {
			busy = s.ready(id) || busy
		}
		ms := slices.Clone(s.net)
		s.net = slices.DeleteFunc(s.net, within)
		for _, m := range ms {
			if within(m) && !s.isCut(m) && s.dice.IntN(100) >= s.losing {
				s.step(m)
				busy = true
			}
		}
	}
}

func (s *script) tick(t *testing.T, d *datadriven.TestData) {
	by, err := time.ParseDuration(d.CmdArgs[0].Key)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	s.pass(protocol.Time(by), s.args(d))
}

func (s *script) runFor(t *testing.T, d *datadriven.TestData) {
	by, err := time.ParseDuration(d.CmdArgs[0].Key)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	ids := s.args(d)
	kept := s.net
	s.net = nil
	step := 25
	d.MaybeScanArgs(t, "step", &step)
	d.MaybeScanArgs(t, "lose", &s.losing)
	for _, a := range d.CmdArgs {
		if a.Key == "cut" {
			s.cut = a.Vals
		}
	}
	for end := s.now + protocol.Time(by); s.now < end; {
		s.pass(protocol.Time(step)*ms, ids)
		s.stabilize(ids)
		s.net = nil
	}
	s.net, s.cut, s.losing = kept, nil, 0
}

// isCut reports whether the message goes over a link that is cut.
func (s *script) isCut(m protocol.Message) bool {
	return slices.ContainsFunc(s.cut, func(link string) bool {
		a, b := string(m.From), string(m.To)
		link, kind, some := strings.Cut(link, ":")
		if of, _, _ := strings.Cut(Describe(m.Payload), " "); some && of != kind {
			return false
		}
		return link == a+">"+b || link == a+"-"+b || link == b+"-"+a
	})
}

func (s *script) show(id protocol.NodeID, brief bool) {
	m := s.nodes[id].machine
	if m == nil {
		s.printf("%s: down", id)
		return
	}
	s.printf("%s: %s of %q, promised %v, chosen to %d, applied %d, compacted to %d",
		id, m.role, m.leader, m.promised, m.commit, m.applied, m.log.base)
	if brief {
		s.printf("  log to %d", m.log.last())
		return
	}
	for k := max(m.log.base+1, 2); k <= m.log.last(); k++ {
		e := m.log.at(k)
		switch {
		case !e.known():
			s.printf("  %d: hole", k)
		case e.cmd.Kind == kv.Op && len(e.cmd.Value) > 100:
			s.printf("  %d: %d bytes @%v%s", k, len(e.cmd.Value), e.vote, flag(e.chosen, "chosen"))
		default:
			s.printf("  %d: %v @%v%s", k, e.cmd, e.vote, flag(e.chosen, "chosen"))
		}
	}
}
