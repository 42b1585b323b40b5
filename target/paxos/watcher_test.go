package paxos

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// watcher sees what the disks hold and what the machines believe, and keeps the
// invariants of the protocol against that after every step.
type watcher struct {
	mode  Mode
	nodes map[protocol.NodeID]*seen
	codec *codec
	// votes holds, for each slot and ballot, the command and the set of
	// members whose disk holds the vote.
	votes map[uint64]map[Ballot]*voted
	// chosen is what a majority of disks voted for in one ballot, and in which.
	chosen   map[uint64]kv.Command
	chosenIn map[uint64]Ballot
	// snapshots are the stores in the checkpoints, by slot.
	snapshots map[uint64][]byte
	// origins tells which command an attempt became, answeredAt what was
	// applied when it was answered.
	origins    map[sim.Attempt]kv.Origin
	answeredAt map[sim.Attempt]uint64
	elections  int
	installs   int
	// configs are the sets of voters after each slot, of those known to be chosen.
	configs []uint64
	err     error
}

type voted struct {
	cmd     kv.Command
	members uint64
}

// seen is what was last seen of a node.
type seen struct {
	machine  *Machine
	promised Ballot // durable
	applied  uint64
	leading  Ballot
}

func newWatcher(t testing.TB) *watcher {
	codec, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	return &watcher{
		codec: codec, nodes: map[protocol.NodeID]*seen{},
		votes: map[uint64]map[Ballot]*voted{}, chosen: map[uint64]kv.Command{},
		chosenIn: map[uint64]Ballot{}, snapshots: map[uint64][]byte{},
		origins: map[sim.Attempt]kv.Origin{}, answeredAt: map[sim.Attempt]uint64{},
	}
}

// tapped is a machine whose requests the watcher follows.
type tapped struct {
	*Machine
	w *watcher
}

func (m tapped) Submit(now protocol.Time, r protocol.Request) {
	at := sim.Attempt{Node: m.self, Epoch: m.epoch, ID: r.ID}
	m.w.origins[at] = kv.Origin{Node: m.self, Epoch: m.epoch, N: m.nextN}
	if unreadable(r) {
		r = protocol.Request{ID: r.ID, Object: "register", F: "read", Key: "r0"}
	}
	m.Machine.Submit(now, r)
}

// unreadable reports a request that the simulation makes at the end, when it
// reads every key, but a queue has no read. Any read will do for its purpose,
// which is to see whether the node serves; its value is not compared.
func unreadable(r protocol.Request) bool { return r.Object == "queue" && r.F == "read" }

// factory makes watched machines that compact early, so that short runs meet
// checkpoints and snapshots.
func (w *watcher) factory(every, kept uint64) sim.Factory {
	return func(cfg protocol.Config) (protocol.Machine, error) {
		m, err := NewMode(cfg, w.mode)
		if err != nil {
			return nil, err
		}
		m.checkpointEvery, m.keep = every, kept
		if every%3 == 0 { // in some runs who lags a little has no room for all votes
			m.ahead = every + kept + 10
		}
		m.trace = func(id protocol.RequestID, applied uint64) {
			w.answeredAt[sim.Attempt{Node: m.self, Epoch: m.epoch, ID: id}] = applied
		}
		s := w.nodes[cfg.Self]
		if s == nil {
			s = &seen{}
			w.nodes[cfg.Self] = s
		}
		if m.promised.Less(s.promised) {
			w.fail("%s starts with promise %v after %v", cfg.Self, m.promised, s.promised)
		}
		s.machine, s.applied, s.leading = m, m.applied, Ballot{}
		return tapped{Machine: m, w: w}, nil
	}
}

func (w *watcher) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// observe takes note of what becomes durable.
func (w *watcher) observe(c *sim.Cluster, e *sim.Event) {
	member := slices.IndexFunc(c.Nodes(), func(n *sim.Node) bool { return n.ID() == e.Node })
	if e.Kind == sim.Send {
		w.reveal(member, e)
	}
	if e.Kind != sim.Persist {
		return
	}
	if e.Checkpoint != nil {
		var ck checkpoint
		if err := w.codec.mode.Unmarshal(e.Checkpoint, &ck); err != nil {
			w.fail("checkpoint of %s: %v", e.Node, err)
			return
		}
		w.promise(e.Node, ck.Promised)
		for _, v := range ck.Log {
			w.vote(c, member, v.Slot, v.Ballot, v.Command)
		}
		if old, there := w.snapshots[ck.Commit]; there && !bytes.Equal(old, ck.Store) {
			w.fail("%s has another state at %d than a node before it", e.Node, ck.Commit)
		}
		w.snapshots[ck.Commit] = ck.Store
	}
	for _, b := range e.Records {
		var r record
		if err := w.codec.mode.Unmarshal(b, &r); err != nil {
			w.fail("record of %s: %v", e.Node, err)
			return
		}
		w.promise(e.Node, r.Ballot)
		for _, p := range r.Votes {
			w.vote(c, member, p.Slot, r.Ballot, p.Command)
		}
	}
}

// reveal: no message tells of a promise or a vote that the disk does not hold.
func (w *watcher) reveal(member int, e *sim.Event) {
	s := w.nodes[e.Node]
	switch k := msgKind(e.Payload[0]); k {
	case kindPromise, kindPrepare, kindAccepted, kindAccept, kindHeartbeatAnswer:
	default:
		return
	}
	body, err := w.codec.decode(e.Payload)
	if err != nil {
		w.fail("%s sends what cannot be decoded: %v", e.Node, err)
		return
	}
	held := func(b Ballot) {
		if s.promised.Less(b) {
			w.fail("%s reveals ballot %v, its disk has %v: %s",
				e.Node, b, s.promised, Describe(e.Payload))
		}
	}
	// A vote may have been overtaken within the Ready that reveals it: by one in
	// a greater ballot, or by learning what was chosen. Paxos allows both.
	voted := func(k uint64, b Ballot) {
		v := w.votes[k][b]
		overtaken := b.Less(s.promised) || k <= s.machine.commit
		if !overtaken && (v == nil || v.members&(1<<member) == 0) {
			w.fail("%s reveals a vote in slot %d, ballot %v that is not on its disk", e.Node, k, b)
		}
	}
	switch b := body.(type) {
	case *prepare:
		held(b.Ballot)
	case *promise:
		held(b.Ballot)
	case *heartbeatAnswer:
		held(b.Ballot)
	case *accepted:
		held(b.Ballot)
		for _, k := range b.Slots {
			voted(k, b.Ballot)
		}
	case *accept:
		for _, p := range b.Proposals {
			voted(p.Slot, b.Ballot)
		}
	}
}

// promise: a durable promise never falls.
func (w *watcher) promise(node protocol.NodeID, b Ballot) {
	s := w.nodes[node]
	if b.Less(s.promised) {
		w.fail("%s: durable promise falls from %v to %v", node, s.promised, b)
	}
	s.promised = b
}

// vote: all votes of one ballot in one slot are for one command, and only one
// command is ever chosen in a slot.
func (w *watcher) vote(c *sim.Cluster, member int, k uint64, b Ballot, cmd kv.Command) {
	if b.Round == 0 {
		return
	}
	if w.votes[k] == nil {
		w.votes[k] = map[Ballot]*voted{}
	}
	v := w.votes[k][b]
	if v == nil {
		v = &voted{cmd: cmd}
		w.votes[k][b] = v
	}
	if v.cmd != cmd {
		w.fail("slot %d, ballot %v: votes for %v and %v", k, b, v.cmd, cmd)
	}
	v.members |= 1 << member
	if old, there := w.chosen[k]; there && old != cmd && w.quorate(w.configs[k-1], v) {
		w.fail("slot %d: %v chosen, and %v in ballot %v", k, old, cmd, b)
	}
	w.advance(len(c.Nodes()))
}

// advance finds what is chosen, slot by slot: a configuration counts from its own
// slot on.
func (w *watcher) advance(nodes int) {
	if w.configs == nil {
		w.configs = []uint64{1<<nodes - 1}
	}
	for k := uint64(len(w.configs)); ; k++ {
		found := false
		for b, v := range w.votes[k] {
			if w.quorate(w.configs[k-1], v) {
				if old, there := w.chosen[k]; there && old != v.cmd {
					w.fail("slot %d: %v chosen, and %v in ballot %v", k, old, v.cmd, b)
				}
				found, w.chosen[k] = true, v.cmd
				if in := w.chosenIn[k]; in.Round == 0 || b.Less(in) {
					w.chosenIn[k] = b
				}
			}
		}
		if !found {
			return
		}
		w.configs = append(w.configs, votersOf(w.configs[k-1], w.chosen[k]))
	}
}

// quorate reports whether a majority has voted, by the configuration before the slot
// or the one that the command itself makes.
func (w *watcher) quorate(before uint64, v *voted) bool {
	voters := votersOf(before, v.cmd)
	return bits.OnesCount64(v.members&voters) > bits.OnesCount64(voters)/2
}

// votersOf is the set of voters after a command. Node i is called n<i+1>.
func votersOf(before uint64, cmd kv.Command) uint64 {
	if cmd.Kind != kv.Config {
		return before
	}
	set := uint64(0)
	for id := range strings.SplitSeq(cmd.Value, ",") {
		i, err := strconv.Atoi(strings.TrimPrefix(id, "n"))
		if err != nil {
			panic(err)
		}
		set |= 1 << (i - 1)
	}
	return set
}

// check is asked after every step.
func (w *watcher) check(c *sim.Cluster) error {
	for _, n := range c.Nodes() {
		if s := w.nodes[n.ID()]; n.Up() {
			w.checkApplied(s)
			w.checkLeader(s)
		}
	}
	return w.err
}

// checkApplied: what a node applies is what was chosen, slot by slot.
func (w *watcher) checkApplied(s *seen) {
	m := s.machine
	if m.applied < s.applied {
		w.fail("%s: applied falls from %d to %d", m.self, s.applied, m.applied)
	}
	for k := s.applied + 1; k <= m.applied; k++ {
		e := m.log.at(k)
		if e == nil {
			if k == s.applied+1 {
				w.installs++
			}
			continue // from a snapshot, which is compared as a whole
		}
		if cmd, there := w.chosen[k]; !there || cmd != e.cmd {
			w.fail("%s applied %v in slot %d, chosen is %v (%t)", m.self, e.cmd, k, cmd, there)
		}
	}
	s.applied = m.applied
}

// checkLeader: a chosen entry is in the log of every later leader.
func (w *watcher) checkLeader(s *seen) {
	m := s.machine
	if m.role != leader || s.leading == m.ballot {
		return
	}
	s.leading = m.ballot
	w.elections++
	for k, cmd := range w.chosen {
		if k <= m.log.base || !w.chosenIn[k].Less(m.ballot) {
			continue
		}
		if e := m.log.at(k); e == nil || e.cmd != cmd {
			w.fail("leader %s of %v lacks slot %d: %v", m.self, m.ballot, k, cmd)
		}
	}
}

// position is where an operation stands in the one order of all: after the
// commands up to the slot, reads last.
type position struct {
	slot uint64
	read bool
}

// linearizable gives every acknowledged operation its place in the log, and
// compares its reply with a twin that replays the log, and its place with real
// time. What failed for certain must not be in the log.
func (w *watcher) linearizable(c *sim.Cluster) error {
	tw, err := w.replay()
	if err != nil {
		return err
	}
	type placed struct {
		op *sim.Op
		at position
	}
	var all []placed
	for _, op := range c.Ops() {
		slot, in := w.slotOf(tw, op)
		if op.Done && op.Outcome == protocol.Fail && !decidedByStore(op.Code) && in {
			return fmt.Errorf("failed, but in slot %d: %v", slot, op)
		}
		if !op.Done || op.Outcome == protocol.Unknown || unreadable(op.Request) ||
			op.Request.Object == adminObject ||
			op.Outcome == protocol.Fail && !decidedByStore(op.Code) {
			continue
		}
		p := placed{op: op, at: position{slot: slot}}
		want := tw.replies[slot]
		if op.Request.F == "read" {
			p.at = position{slot: w.answeredAt[op.Last()], read: true}
			want = tw.read(p.at.slot, op.Request)
		} else if !in {
			return fmt.Errorf("acknowledged, but not in the log: %v", op)
		}
		if want.Value != op.Value || want.Code != op.Code {
			return fmt.Errorf("reply is %q %q at %v, the twin says %q %q: %v",
				op.Value, op.Code, p.at, want.Value, want.Code, op)
		}
		all = append(all, p)
	}
	for _, a := range all {
		for _, b := range all {
			if a.op.Return < b.op.Invoke && (b.at.slot < a.at.slot ||
				b.at.slot == a.at.slot && a.at.read && !b.at.read) {
				return fmt.Errorf("real time against the log: %v at %v, then %v at %v",
					a.op, a.at, b.op, b.at)
			}
		}
	}
	return nil
}

func decidedByStore(code string) bool {
	return code == kv.CodePrecondition || code == kv.CodeEmpty
}

// replay lets the twin replay the chosen log, and a store of the real kind as
// well, to compare the checkpoints with.
func (w *watcher) replay() (*twin, error) {
	tw, store := newTwin(), kv.New(nil, nil)
	for k := uint64(1); ; k++ {
		cmd, there := w.chosen[k]
		if !there {
			return tw, nil
		}
		tw.apply(k, cmd)
		r := store.Apply(k, cmd)
		if cmd.Kind == kv.Op && (r.Value != tw.last.Value || r.Code != tw.last.Code) {
			return nil, fmt.Errorf("slot %d, %v: store says %v, twin %v", k, cmd, r, tw.last)
		}
		if im, there := w.snapshots[k]; there && !bytes.Equal(im, store.Encode()) {
			return nil, fmt.Errorf("the checkpoint at %d is not the log's state", k)
		}
	}
}

// slotOf finds where an operation took effect: its session's number, or one of
// its attempts.
func (w *watcher) slotOf(tw *twin, op *sim.Op) (uint64, bool) {
	if op.Request.Session != 0 {
		slot, in := tw.sessions[[2]uint64{op.Request.Session, op.Request.Seq}]
		return slot, in
	}
	for _, at := range op.Attempts {
		o := w.origins[at]
		if slot, in := tw.origins[identity{node: o.Node, epoch: o.Epoch, n: o.N}]; in {
			return slot, in
		}
	}
	return 0, false
}

var errIdle = errors.New("the runs were idle")
