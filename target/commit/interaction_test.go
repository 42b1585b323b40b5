package commit

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

// TestInteraction runs the scripts in testdata: who says what to whom, with some
// messages held back as the script decides. If it fails, run
//
//	go test ./target/commit -run TestInteraction -rewrite
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

// script is a cluster driven by hand: one clock, and a network that delivers
// everything at once but what the script holds back. What the group's members say
// to each other is delivered and not shown.
type script struct {
	out      strings.Builder
	quiet    bool
	members  []protocol.NodeID
	protocol string
	bugs     bug.Set
	now      protocol.Time
	nodes    map[protocol.NodeID]*scripted
	net      []protocol.Message
	holds    []map[string][]string
	held     []protocol.Message
	cut      []string
	last     protocol.RequestID
	values   map[string]string // of replies, by request
}

type scripted struct {
	machine *Machine // nil while it is down
	epoch   protocol.Epoch
	records [][]byte
	ckpt    []byte
	paused  bool
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	s.quiet = d.HasArg("quiet")
	switch d.Cmd {
	case "cluster":
		// Starts nodes, three of 2pc if nothing else is said, with a planted bug if
		// one is named, and lets them elect the group's leader.
		// Example: cluster protocol=3pc nodes=5 bug=3pc-termination-no-quorum
		s.cluster(t, d)
	case "keys":
		// Shows at which shard keys are.
		for _, a := range d.CmdArgs {
			s.printf("%s at %s", a.Key, shardOf(s.members, a.Key))
		}
	case "submit":
		// Hands a request to a node: node, object, f, key, value. in=r1 puts it
		// into the transaction whose id was the reply to r1.
		// Example: submit n1 list append l 5 in=r1
		s.submit(t, d)
	case "hold":
		// Holds back messages that match, from now on. Example: hold kind=vote from=n2
		s.holds = append(s.holds, arguments(d))
	case "release":
		// Delivers what was held back, or what matches of it; with keep, a copy of
		// it. With nothing to match, nothing more is held back.
		s.release(d)
	case "unhold":
		// Keeps what was held back, and holds back no more.
		s.holds = nil
	case "lose":
		// Loses what was held back, and goes on holding back.
		for _, m := range s.held {
			s.printf("lost %s->%s %s", m.From, m.To, Describe(m.Payload))
		}
		s.held = nil
	case "run":
		// Lets time go by in steps of 10 ms; what goes over links that are cut, in
		// both directions or in one, is lost.
		// Example: run 500ms cut=(n1-n2,n3>n1) quiet
		s.runFor(t, d)
	case "crash", "start", "pause", "resume":
		for _, a := range d.CmdArgs {
			s.power(t, d.Cmd, protocol.NodeID(a.Key))
		}
	case "show":
		// Shows what shards hold, and what homes and the group have not finished.
		for _, id := range s.members {
			s.show(id)
		}
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
}

func (s *script) cluster(t *testing.T, d *datadriven.TestData) {
	name, nodes := "", 3
	*s = script{
		nodes: map[protocol.NodeID]*scripted{}, values: map[string]string{}, quiet: true,
		protocol: "2pc",
	}
	d.MaybeScanArgs(t, "bug", &name)
	d.MaybeScanArgs(t, "nodes", &nodes)
	d.MaybeScanArgs(t, "protocol", &s.protocol)
	var err error
	if s.bugs, err = bug.Parse(name, s.protocol); err != nil {
		d.Fatalf(t, "%v", err)
	}
	for i := range nodes {
		s.members = append(s.members, protocol.NodeID(fmt.Sprintf("n%d", i+1)))
	}
	for _, id := range s.members {
		s.nodes[id] = &scripted{}
		s.start(t, id)
	}
	for range 200 {
		if s.protocol == "2pc" {
			s.step(10 * ms)
		}
	}
	for _, id := range s.members {
		if s.nodes[id].machine.Status().Primary {
			s.printf("%s leads the group", id)
		}
	}
}

func (s *script) start(t *testing.T, id protocol.NodeID) {
	n := s.nodes[id]
	n.epoch++
	m, err := newMachine(protocol.Config{
		Self: id, Members: s.members, Epoch: n.epoch, Bugs: s.bugs,
		Seed:           uint64(slices.Index(s.members, id)),
		RequestTimeout: 1000 * ms, Checkpoint: n.ckpt, Records: n.records,
	}, s.protocol, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Tick(s.now)
	n.machine = m
}

func (s *script) power(t *testing.T, what string, id protocol.NodeID) {
	n := s.nodes[id]
	switch what {
	case "crash":
		n.machine = nil
	case "start":
		s.start(t, id)
	default:
		n.paused = what == "pause"
	}
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
	if r.Object == "txn" && r.F == "run" {
		r.Key, r.Value = "", strings.TrimSpace(d.Input)
	}
	txn := ""
	if d.MaybeScanArgs(t, "in", &txn); txn != "" {
		r.Txn, _ = strconv.ParseUint(s.values[txn], 10, 64)
	}
	s.printf("r%d", r.ID)
	s.nodes[protocol.NodeID(words[0])].machine.Submit(s.now, r)
	s.settle()
}

func arguments(d *datadriven.TestData) map[string][]string {
	args := map[string][]string{}
	for _, a := range d.CmdArgs {
		if len(a.Vals) > 0 {
			args[a.Key] = a.Vals
		}
	}
	return args
}

func matches(args map[string][]string, m protocol.Message) bool {
	kind, _, _ := strings.Cut(Describe(m.Payload), " ")
	for key, val := range map[string]string{
		"from": string(m.From), "to": string(m.To), "kind": kind,
	} {
		if want, there := args[key]; there && !slices.Contains(want, val) {
			return false
		}
	}
	return m.Payload[0] == partShards
}

func (s *script) release(d *datadriven.TestData) {
	args := arguments(d)
	var kept, out []protocol.Message
	for _, m := range s.held {
		fits := matches(args, m)
		if fits {
			out = append(out, m)
		}
		if !fits || d.HasArg("keep") {
			kept = append(kept, m)
		}
	}
	s.held = kept
	if len(args) == 0 {
		s.holds = nil
	}
	for _, m := range out {
		s.printf("late %s->%s %s", m.From, m.To, Describe(m.Payload))
		if n := s.nodes[m.To]; n.machine != nil {
			n.machine.Step(s.now, m)
		}
	}
	s.settle()
}

// ready carries out the Ready of a node.
func (s *script) ready(id protocol.NodeID) bool {
	n := s.nodes[id]
	if n.machine == nil || n.paused {
		return false
	}
	r := n.machine.Ready()
	if r.Checkpoint != nil {
		n.ckpt, n.records = r.Checkpoint, nil
	}
	n.records = append(n.records, r.Records...)
	for _, b := range r.Records {
		var rec shardRecord
		var term termRecord
		switch {
		case b[0] == partGroup || s.quiet:
		case b[0] == partTerms && n.machine.codec.mode.Unmarshal(b[1:], &term) == nil:
			if term.Attempt == term.Elected && term.Pre != neither && term.Outcome == neither {
				s.printf("%s writes %v %v in %v", id, term.Pre, term.T, term.Attempt)
			}
		case n.machine.codec.mode.Unmarshal(b[1:], &rec) != nil:
			s.printf("%s writes garbage", id)
		case rec.Prepared != nil:
			s.printf("%s writes prepared %v %v", id, rec.Prepared.T, rec.Prepared.Writes)
		default:
			s.printf("%s writes %s %v", id, says(rec.Ended.Commit), rec.Ended.T)
		}
	}
	for _, m := range r.Messages {
		if slices.ContainsFunc(s.holds, func(h map[string][]string) bool { return matches(h, m) }) {
			s.held = append(s.held, m)
			if !s.quiet {
				s.printf("held %s->%s %s", m.From, m.To, Describe(m.Payload))
			}
		} else if !s.isCut(m) {
			s.net = append(s.net, m)
		}
	}
	for _, rep := range r.Replies {
		s.values[fmt.Sprintf("r%d", rep.ID)] = rep.Value
		words := fmt.Sprintf("%s replies r%d %s %s %s", id, rep.ID, rep.Outcome, rep.Value, rep.Code)
		s.printf("%s", strings.Join(strings.Fields(words), " "))
	}
	return !r.Empty()
}

// settle lets the nodes talk until nothing is left to do.
func (s *script) settle() {
	for busy := true; busy; {
		busy = false
		for _, id := range s.members {
			busy = s.ready(id) || busy
		}
		net := s.net
		s.net = nil
		for _, m := range net {
			busy = true
			if m.Payload[0] == partShards && !s.quiet {
				s.printf("%s->%s %s", m.From, m.To, Describe(m.Payload))
			}
			switch n := s.nodes[m.To]; {
			case n.machine == nil:
			case n.paused:
				s.held = append(s.held, m)
			default:
				n.machine.Step(s.now, m)
			}
		}
	}
}

func (s *script) step(by protocol.Time) {
	s.now += by
	for _, id := range s.members {
		if n := s.nodes[id]; n.machine != nil && !n.paused {
			n.machine.Tick(s.now)
		}
	}
	s.settle()
}

func (s *script) runFor(t *testing.T, d *datadriven.TestData) {
	by, err := time.ParseDuration(d.CmdArgs[0].Key)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	s.cut = arguments(d)["cut"]
	for end := s.now + protocol.Time(by); s.now < end; {
		s.step(10 * ms)
	}
	s.cut = nil
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
	d, _ := m.Status().Details.(Details)
	s.printf("%s: %d begun here, %d decisions not done", id, d.Home, d.Undone)
	var keys []string
	for key := range m.shard.data {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		s.printf("  %s = %s", key, m.shard.data[key].read())
	}
	for _, p := range m.shard.inOrder() {
		state := "open"
		if p.prepared {
			state = "prepared"
		}
		s.printf("  %v %s, writes %v, locks %v", p.id, state, p.writes, m.shard.keysOf(p))
	}
}
