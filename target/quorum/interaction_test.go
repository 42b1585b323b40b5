package quorum

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
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
//	go test ./target/quorum -run TestInteraction -rewrite
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
// network until the script delivers or loses them.
type script struct {
	out     strings.Builder
	members []protocol.NodeID
	bugs    bug.Set
	timeout time.Duration
	now     protocol.Time
	nodes   map[protocol.NodeID]*scripted
	net     []protocol.Message
	last    protocol.RequestID
}

type scripted struct {
	machine *Machine // nil while it is down
	epoch   protocol.Epoch
	records [][]byte
	ckpt    []byte
	every   int
	damaged bool
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "cluster":
		// Starts a new cluster, with a planted bug if one is named. Unless it is to be
		// fresh, its members have met.
		// Example: cluster nodes=3 bug=abd-no-write-back timeout=1s
		// Example: cluster nodes=3 fresh
		s.cluster(t, d)
	case "submit":
		// Hands a request to a node. The reply shows up in its next Ready.
		// Example: submit n1 write k 7
		// Example: submit n2 read k
		// Example: submit n2 cas k [1,2] object=register id=7
		s.submit(t, d)
	case "ready":
		// Carries out the Readies of nodes: records become durable, messages go
		// to the network, replies are printed.
		// Example: ready n1 n2
		for _, id := range s.args(d) {
			s.ready(id)
		}
	case "deliver":
		// Delivers the messages in the network that match, in their order or, if
		// asked, the last one first; with keep they stay there to come again.
		// Example: deliver from=n1 to=(n2,n3) kind=store keep reverse
		s.deliver(d)
	case "lose":
		// Loses the messages that match.
		// Example: lose to=n3
		for _, m := range s.take(d) {
			s.printf("lost %s", show(m))
		}
	case "network":
		// Shows what is under way.
		for _, m := range s.net {
			s.printf("%s", show(m))
		}
	case "stabilize":
		// Carries out Readies and delivers messages until nothing is left to do;
		// only between the nodes named, if any are.
		// Example: stabilize n1 n2
		s.stabilize(s.args(d))
	case "tick":
		// Lets time go by and tells the nodes.
		// Example: tick 75ms n1
		s.tick(t, d)
	case "disk":
		// Shows what is durable at each node.
		s.disk(t)
	default:
		s.hurt(t, d)
	}
}

// hurt runs the commands that make trouble.
func (s *script) hurt(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "wall":
		// Sets a node's clock for the time of day, in nanoseconds.
		// Example: wall n1 2000
		s.wall(t, d)
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
	case "wipe":
		// Empties the disks of nodes that are down.
		// Example: wipe n2
		for _, id := range s.args(d) {
			s.nodes[id].ckpt, s.nodes[id].records = nil, nil
		}
	case "damage":
		// Takes all but the first so many records from the disk of a node that is
		// down, which finds that out at its start.
		// Example: damage n2 keep=1
		s.damage(t, d)
	case "inject":
		// Puts a datagram into the network that nobody of the cluster sent.
		// Example: inject from=n2 to=n1 payload=0xff
		s.inject(t, d)
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
}

func (s *script) wall(t *testing.T, d *datadriven.TestData) {
	var wall int64
	if _, err := fmt.Sscan(d.CmdArgs[1].Key, &wall); err != nil {
		d.Fatalf(t, "%v", err)
	}
	s.nodes[protocol.NodeID(d.CmdArgs[0].Key)].machine.SetWall(protocol.WallTime(wall))
}

func (s *script) damage(t *testing.T, d *datadriven.TestData) {
	n := s.nodes[protocol.NodeID(d.CmdArgs[0].Key)]
	keep := 0
	d.MaybeScanArgs(t, "keep", &keep)
	n.records, n.damaged = n.records[:keep], true
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
	nodes, name, timeout, every := 3, "", "1s", checkpointEvery
	d.MaybeScanArgs(t, "nodes", &nodes)
	d.MaybeScanArgs(t, "bug", &name)
	d.MaybeScanArgs(t, "timeout", &timeout)
	d.MaybeScanArgs(t, "checkpoint-every", &every)
	*s = script{nodes: map[protocol.NodeID]*scripted{}}
	var err error
	if s.timeout, err = time.ParseDuration(timeout); err != nil {
		d.Fatalf(t, "%v", err)
	}
	if s.bugs, err = bug.Parse(name, "quorum"); err != nil {
		d.Fatalf(t, "%v", err)
	}
	for i := range nodes {
		s.members = append(s.members, protocol.NodeID(fmt.Sprintf("n%d", i+1)))
	}
	for _, id := range s.members {
		s.nodes[id] = &scripted{every: every}
		s.start(t, id)
	}
	if !d.HasArg("fresh") {
		s.stabilize(s.members)
		s.out.Reset()
	}
}

func (s *script) start(t *testing.T, id protocol.NodeID) {
	n := s.nodes[id]
	n.epoch++
	m, err := New(protocol.Config{
		Self: id, Members: s.members, Epoch: n.epoch, Bugs: s.bugs,
		RequestTimeout: protocol.Time(s.timeout), Checkpoint: n.ckpt, Records: n.records,
		Damaged: n.damaged && !s.bugs.Has(bug.TruncateMiddle),
	})
	if err != nil {
		t.Fatal(err)
	}
	m.checkpointEvery = n.every
	m.Tick(s.now)
	n.machine = m
}

func (s *script) submit(t *testing.T, d *datadriven.TestData) {
	object := "register"
	d.MaybeScanArgs(t, "object", &object)
	s.last++
	id := int(s.last)
	d.MaybeScanArgs(t, "id", &id)
	r := protocol.Request{ID: protocol.RequestID(id), Object: object}
	for i, to := range []*string{nil, &r.F, &r.Key, &r.Value} {
		if i > 0 && i < len(d.CmdArgs) && len(d.CmdArgs[i].Vals) == 0 {
			*to = d.CmdArgs[i].Key
		}
	}
	s.printf("r%d", r.ID)
	s.nodes[protocol.NodeID(d.CmdArgs[0].Key)].machine.Submit(s.now, r)
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
	s.printf("%s:", id)
	if r.Repaired {
		n.damaged = false
		s.printf("  repaired")
	}
	if r.Checkpoint != nil {
		n.ckpt, n.records = r.Checkpoint, nil
		s.printf("  checkpoint of %d bytes", len(r.Checkpoint))
	}
	for _, rec := range r.Records {
		key, e, _ := decodeRecord(rec)
		how := "durable"
		if s.bugs.Has(bug.NoFsync) {
			how = "written, not synced"
		} else {
			n.records = append(n.records, rec)
		}
		s.printf("  %s: %s=%s @%v", how, key, e.value, e.tag)
	}
	for _, m := range r.Messages {
		s.net = append(s.net, m)
		s.printf("  %s", show(m))
	}
	for _, rep := range r.Replies {
		s.printf("  reply r%d %s", rep.ID,
			strings.Join(strings.Fields(rep.Outcome.String()+" "+rep.Value+" "+rep.Code), " "))
	}
	return true
}

func show(m protocol.Message) string {
	return fmt.Sprintf("%s->%s %s", m.From, m.To, Describe(m.Payload))
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
		n.machine.Step(s.now, m)
	}
}

func (s *script) stabilize(ids []protocol.NodeID) {
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

func (s *script) disk(t *testing.T) {
	for _, id := range s.members {
		n := s.nodes[id]
		held := map[string]entry{}
		if err := decodeCheckpoint(n.ckpt, held); err != nil {
			t.Fatal(err)
		}
		for _, r := range n.records {
			key, e, err := decodeRecord(r)
			if err != nil {
				t.Fatal(err)
			}
			held[key] = e
		}
		line := fmt.Sprintf("%s:", id)
		for _, key := range slices.Sorted(maps.Keys(held)) {
			line += fmt.Sprintf(" %s=%s @%v", key, held[key].value, held[key].tag)
		}
		s.printf("%s", line)
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
	s.printf("%s", show(m))
}
