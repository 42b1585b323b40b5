package primary

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
//	go test ./target/primary -run TestInteraction -rewrite
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
	mode    mode
	pings   bool
	members []protocol.NodeID
	bugs    bug.Set
	now     protocol.Time
	nodes   map[protocol.NodeID]*scripted
	net     []protocol.Message
	saved   []protocol.Message
	cut     []string
	last    protocol.RequestID
}

type scripted struct {
	machine *Machine // nil while it is down
	epoch   protocol.Epoch
	records [][]byte
	ckpt    []byte
	every   int
	kept    int
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	s.quiet = d.HasArg("quiet") // show replies only
	switch d.Cmd {
	case "cluster":
		// Starts a new cluster, with a planted bug if one is named.
		// Example: cluster nodes=5 mode=primary-all bug=pb-ping-failover every=20 kept=5
		s.cluster(t, d)
	case "submit":
		// Hands a request to a node: node, object, f, key, value.
		// Example: submit n1 register write x 7
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
		// last one first; with keep they stay there to come again, with first only
		// the first one is delivered.
		// Example: deliver from=n1 to=(n2,n3) kind=replicate keep reverse
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
		// Lets time go by in steps of 25 ms, each with a stabilize, between the
		// nodes named; what goes to others is lost, and what goes over links
		// that are cut, in both directions or in one.
		// Example: run 2s n1 n2 n3 cut=(n1-n2,n3>n1) quiet
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
			m.Tick(s.now)
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
	case "show":
		// Shows what nodes believe, and their logs.
		for _, id := range s.args(d) {
			s.show(id)
		}
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
	nodes, name, every, kept := 3, "", checkpointEntries, keepEntries
	mode := "primary"
	d.MaybeScanArgs(t, "mode", &mode)
	d.MaybeScanArgs(t, "nodes", &nodes)
	d.MaybeScanArgs(t, "bug", &name)
	d.MaybeScanArgs(t, "every", &every)
	d.MaybeScanArgs(t, "kept", &kept)
	*s = script{nodes: map[protocol.NodeID]*scripted{}, mode: modeNamed(mode)}
	s.pings = d.HasArg("pings")
	var err error
	if s.bugs, err = bug.Parse(name, mode); err != nil {
		d.Fatalf(t, "%v", err)
	}
	for i := range nodes {
		s.members = append(s.members, protocol.NodeID(fmt.Sprintf("n%d", i+1)))
	}
	for _, id := range s.members {
		s.nodes[id] = &scripted{every: every, kept: kept}
		s.start(t, id)
	}
}

func (s *script) start(t *testing.T, id protocol.NodeID) {
	n := s.nodes[id]
	n.epoch++
	m, err := newMachine(protocol.Config{
		Self: id, Members: s.members, Epoch: n.epoch, Bugs: s.bugs,
		Seed:           uint64(slices.Index(s.members, id)),
		RequestTimeout: 1000 * ms, Checkpoint: n.ckpt, Records: n.records,
	}, s.mode)
	if err != nil {
		t.Fatal(err)
	}
	m.checkpointEvery, m.keep = uint64(n.every), uint64(n.kept)
	m.Tick(s.now)
	n.machine = m
}

func (s *script) submit(t *testing.T, d *datadriven.TestData) {
	s.last++
	r := protocol.Request{ID: s.last}
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
	if r.Object == adminObject {
		r.Key, r.Value = "", strconv.Quote(r.Key) // whom to hand over to
	}
	d.MaybeScanArgs(t, "token", &r.Token)
	session, seq, big := 0, 0, 0
	d.MaybeScanArgs(t, "in", &session)
	d.MaybeScanArgs(t, "seq", &seq)
	r.Session, r.Seq = uint64(session), uint64(seq)
	if d.MaybeScanArgs(t, "big", &big); big > 0 {
		r.Value = `"` + strings.Repeat("x", big) + `"`
	}
	s.printf("r%d", r.ID)
	s.nodes[protocol.NodeID(words[0])].machine.Submit(s.now, r)
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
		lines = append(lines, fmt.Sprintf("checkpoint at %d", n.machine.snap.index.Seq))
	}
	for _, b := range r.Records {
		var rec record
		if err := n.machine.codec.mode.Unmarshal(b, &rec); err != nil {
			panic(err)
		}
		lines = append(lines, short(fmt.Sprintf("durable %v%s",
			rec.View, describeEntries(rec.Prev, rec.Entries))))
	}
	n.records = append(n.records, r.Records...)
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
		words := fmt.Sprintf("reply r%d %s %.100s %s", rep.ID, rep.Outcome, rep.Value, rep.Code)
		if rep.Token != "" {
			words += " token=" + rep.Token
		}
		lines = append(lines, strings.Join(strings.Fields(words), " "))
	}
	if len(lines) > 0 {
		s.printf("%s:\n  %s", id, strings.Join(lines, "\n  "))
	}
	return true
}

func show(m protocol.Message) string {
	return fmt.Sprintf("%s->%s %s", m.From, m.To, short(Describe(m.Payload)))
}

func short(text string) string {
	if len(text) > 150 {
		return text[:150] + "…"
	}
	return text
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
	if d.HasArg("first") && len(ms) > 0 {
		s.net = append(s.net, ms[1:]...)
		ms = ms[:1]
	}
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
			if within(m) && !s.isCut(m) {
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
	s.now += protocol.Time(by)
	for _, id := range s.args(d) {
		if n := s.nodes[id]; n.machine != nil {
			n.machine.Tick(s.now)
		}
	}
}

func (s *script) runFor(t *testing.T, d *datadriven.TestData) {
	by, err := time.ParseDuration(d.CmdArgs[0].Key)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	ids := s.args(d)
	kept := s.net
	s.net = nil
	for _, a := range d.CmdArgs {
		if a.Key == "cut" {
			s.cut = a.Vals
		}
	}
	for end := s.now + protocol.Time(by); s.now < end; {
		s.now += 25 * ms
		for _, id := range ids {
			if n := s.nodes[id]; n.machine != nil {
				n.machine.Tick(s.now)
			}
		}
		s.stabilize(ids)
		s.net = nil
	}
	s.net, s.cut = kept, nil
}

// isCut reports whether the message goes over a link that is cut.
func (s *script) isCut(m protocol.Message) bool {
	return slices.ContainsFunc(s.cut, func(link string) bool {
		a, b := string(m.From), string(m.To)
		return link == a+">"+b || link == a+"-"+b || link == b+"-"+a
	})
}

func (s *script) show(id protocol.NodeID) {
	m := s.nodes[id].machine
	if m == nil {
		s.printf("%s: down", id)
		return
	}
	s.printf("%s: %s of %q, joined %v, committed to %d, applied %d, forgotten to %d",
		id, m.role, m.primary, m.view, m.commit, m.applied, m.log.base)
	for k := m.log.base + 1; k <= m.log.last(); k++ {
		e := m.log.at(k)
		text := e.Command.String()
		if len(text) > 100 {
			text = fmt.Sprintf("%d bytes", len(text))
		}
		s.printf("  %d@%v: %s", k, e.View, text)
	}
}

func modeNamed(name string) mode {
	return mode{
		name: name, copyReads: name == "primary-copy-reads",
		acks: map[string]acks{"primary-all": ackAll, "primary-async": ackSelf}[name],
	}
}
