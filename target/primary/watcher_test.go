package primary

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// watcher sees what the disks hold and what the machines believe, and keeps the
// invariants of the protocol against that after every step.
type watcher struct {
	mode  mode
	nodes map[protocol.NodeID]*seen
	codec *codec
	// commands are those of each place in each view; logged is the set of members
	// whose disk held that entry while they were in that view.
	commands map[end]kv.Command
	logged   map[end]uint64
	// committed is what a majority of disks has logged in one view, with all that
	// stands before it; committedIn is that view.
	committed   map[uint64]entry
	committedIn map[uint64]View
	primaries   map[View]protocol.NodeID
	// snapshots are the stores in the checkpoints, by entry.
	snapshots map[uint64][]byte
	// origins tells which command an attempt became, seenBy how much was applied
	// where it was answered.
	origins map[sim.Attempt]kv.Origin
	seenBy  map[sim.Attempt]uint64
	fetches int
	err     error
}

// seen is what was last seen of a node: on its disk, and of its machine.
type seen struct {
	view    View
	log     entries
	machine *Machine
	applied uint64
	leading View
}

func newWatcher(t testing.TB, mode mode) *watcher {
	codec, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	return &watcher{
		mode: mode, codec: codec, nodes: map[protocol.NodeID]*seen{},
		commands: map[end]kv.Command{}, logged: map[end]uint64{},
		committed: map[uint64]entry{}, committedIn: map[uint64]View{},
		primaries: map[View]protocol.NodeID{},
		snapshots: map[uint64][]byte{},
		origins:   map[sim.Attempt]kv.Origin{}, seenBy: map[sim.Attempt]uint64{},
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

// unreadable reports a request that the simulation makes at the end, when it reads
// every key, of something that has no read. Any read will do for its purpose, which
// is to see whether the node serves; its value is not compared.
func unreadable(r protocol.Request) bool {
	return r.F == "read" && (r.Object == "queue" || r.Object == "txn" || r.Object == adminObject)
}

// factory makes watched machines that compact early, so that short runs meet
// checkpoints and transfers of the state.
func (w *watcher) factory(every, kept uint64) sim.Factory {
	return func(cfg protocol.Config) (protocol.Machine, error) {
		m, err := newMachine(cfg, w.mode)
		if err != nil {
			return nil, err
		}
		m.checkpointEvery, m.keep = every, kept
		m.trace = func(id protocol.RequestID, applied uint64) {
			w.seenBy[sim.Attempt{Node: m.self, Epoch: m.epoch, ID: id}] = applied
		}
		s := w.nodes[cfg.Self]
		if s == nil {
			s = &seen{}
			w.nodes[cfg.Self] = s
		}
		if m.view != s.view || m.log.end() != s.log.end() || m.log.base != s.log.base {
			w.fail("%s starts in %v with a log to %v, its disk has %v and %v",
				cfg.Self, m.view, m.log.end(), s.view, s.log.end())
		}
		s.machine, s.applied, s.leading = m, m.applied, 0
		return tapped{Machine: m, w: w}, nil
	}
}

func (w *watcher) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *watcher) member(c *sim.Cluster, id protocol.NodeID) int {
	return slices.IndexFunc(c.Nodes(), func(n *sim.Node) bool { return n.ID() == id })
}

// observe takes note of what becomes durable, and of what is said about it.
func (w *watcher) observe(c *sim.Cluster, e *sim.Event) {
	switch e.Kind {
	case sim.Send:
		w.reveal(c, e)
	case sim.Persist:
		w.persist(c, e)
	}
}

func (w *watcher) persist(c *sim.Cluster, e *sim.Event) {
	s := w.nodes[e.Node]
	member := w.member(c, e.Node)
	if e.Checkpoint != nil {
		var ck checkpoint
		if err := w.codec.mode.Unmarshal(e.Checkpoint, &ck); err != nil {
			w.fail("checkpoint of %s: %v", e.Node, err)
			return
		}
		w.join(e.Node, s, ck.View)
		s.log = entries{base: ck.Base, baseView: ck.BaseView, list: ck.Log}
		w.log(c, s, member, ck.Base)
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
		w.join(e.Node, s, r.View)
		if len(r.Entries) > 0 {
			if r.Prev > s.log.last() {
				w.fail("%s logs entries behind %d, its log ends at %v", e.Node, r.Prev, s.log.end())
			}
			s.log.put(r.Prev+1, r.Entries)
			w.log(c, s, member, r.Prev)
		}
	}
}

// join: the view that a node has joined never falls.
func (w *watcher) join(id protocol.NodeID, s *seen, v View) {
	if v < s.view {
		w.fail("%s: durable view falls from %v to %v", id, s.view, v)
	}
	s.view = v
}

// log: a view has one command at a place, and no two commands are ever committed
// there.
func (w *watcher) log(c *sim.Cluster, s *seen, member int, prev uint64) {
	for k := prev + 1; k <= s.log.last(); k++ {
		e := s.log.at(k)
		id := end{View: e.View, Seq: k}
		if old, there := w.commands[id]; there && old != e.Command {
			w.fail("%v holds %v and %v", id, old, e.Command)
		}
		w.commands[id] = e.Command
		if e.View == s.view {
			w.count(c, s, member, k)
		}
	}
}

// count counts a member that has logged an entry in the entry's own view.
func (w *watcher) count(c *sim.Cluster, s *seen, member int, seq uint64) {
	id := end{View: s.log.viewAt(seq), Seq: seq}
	w.logged[id] |= 1 << member
	if bits.OnesCount64(w.logged[id]) > len(c.Nodes())/2 {
		w.commit(s, seq)
	}
}

func (w *watcher) commit(s *seen, seq uint64) {
	for k := seq; k > s.log.base; k-- {
		e := *s.log.at(k)
		if old, there := w.committed[k]; there && old != e {
			w.fail("entry %d: %v committed, and %v", k, old, e)
		} else if there {
			return
		}
		w.committed[k], w.committedIn[k] = e, s.log.viewAt(seq)
	}
}

// reveal: no message tells of a view or an entry that the disk does not hold.
func (w *watcher) reveal(c *sim.Cluster, e *sim.Event) {
	s := w.nodes[e.Node]
	member := w.member(c, e.Node)
	body, err := w.codec.decode(e.Payload)
	if err != nil {
		w.fail("%s sends what cannot be decoded: %v", e.Node, err)
		return
	}
	var v View
	fine := true
	switch b := body.(type) {
	case *newView:
		v = b.View
	case *joined:
		v, fine = b.View, b.View != s.view || !s.log.end().less(b.Log)
	case *replicate:
		v = b.View
		for i, x := range b.Entries {
			k := b.Prev + 1 + uint64(i)
			at := s.log.at(k)
			fine = fine && (b.View != s.view || k <= s.log.base || at != nil && *at == x)
		}
	case *logged:
		v, fine = b.View, b.View != s.view || b.Matched <= s.log.last()
		// It may have joined another view since, in the same Ready.
		for k := b.Matched; k > s.log.base && s.log.viewAt(k) == b.View; k-- {
			w.count(c, s, member, k)
		}
	case *statePart:
		w.fetches++
	}
	if !fine || v > s.view {
		w.fail("%s, in %v with a log to %v, reveals: %s",
			e.Node, s.view, s.log.end(), Describe(e.Payload))
	}
}

// check is asked after every step.
func (w *watcher) check(c *sim.Cluster) error {
	for _, n := range c.Nodes() {
		if s := w.nodes[n.ID()]; n.Up() {
			w.checkApplied(s)
			w.checkPrimary(s)
		}
	}
	return w.err
}

// checkApplied: what a node applies is what is committed, entry by entry, unless it
// acknowledges alone.
func (w *watcher) checkApplied(s *seen) {
	m := s.machine
	if m.mode.acks == ackSelf {
		s.applied = min(s.applied, m.commit)
	}
	if m.commit < s.applied {
		w.fail("%s: commit falls from %d to %d", m.self, s.applied, m.commit)
	}
	for k := s.applied + 1; k <= m.commit; k++ {
		e := m.log.at(k)
		if e == nil {
			continue // from a state that was fetched, which is compared as a whole
		}
		if done, there := w.committed[k]; !there || done != *e {
			w.fail("%s applied %v at %d, committed is %v (%t)", m.self, *e, k, done, there)
		}
	}
	if m.applied != m.commit && (m.mode.acks != ackSelf || m.role != leading) {
		w.fail("%s applied %d, committed %d", m.self, m.applied, m.commit)
	}
	s.applied = m.commit
}

// checkPrimary: one primary in a view, and what is committed is in the log of every
// later one.
func (w *watcher) checkPrimary(s *seen) {
	m := s.machine
	if m.role != leading || s.leading == m.view {
		return
	}
	s.leading = m.view
	if other, there := w.primaries[m.view]; there {
		w.fail("%v has two primaries, %s and %s", m.view, other, m.self)
	}
	w.primaries[m.view] = m.self
	for k, e := range w.committed {
		if k > m.log.base && w.committedIn[k] < m.view && m.log.viewAt(k) != e.View {
			w.fail("primary %s of %v lacks entry %d: %v", m.self, m.view, k, e)
		}
	}
}

// position is where an operation stands in the one order of all: after the commands
// up to the entry, reads last.
type position struct {
	seq  uint64
	read bool
}

func (p position) before(o position) bool {
	return p.seq < o.seq || p.seq == o.seq && !p.read && o.read
}

// placed is an operation with its position.
type placed struct {
	op *sim.Op
	at position
}

// orderly gives every acknowledged operation its place in the log, and compares its
// reply with a store that replays the log up to there. What failed for certain must
// not be in the log.
func (w *watcher) orderly(c *sim.Cluster) ([]placed, error) {
	h, err := w.replay()
	if err != nil {
		return nil, err
	}
	var all []placed
	for _, op := range c.Ops() {
		seq, in := w.entryOf(h, op)
		byStore := op.Code == kv.CodePrecondition || op.Code == kv.CodeEmpty
		switch {
		case op.Done && op.Outcome == protocol.Fail && !byStore && in:
			return nil, fmt.Errorf("failed, but entry %d: %v", seq, op)
		case !op.Done, op.Outcome == protocol.Unknown, unreadable(op.Request),
			op.Request.Object == adminObject:
			continue
		case op.Outcome == protocol.Fail && !byStore:
			continue
		case op.Request.F == "read":
			all = append(all, placed{op: op, at: position{seq: w.seenBy[op.Last()], read: true}})
			continue
		case !in:
			return nil, fmt.Errorf("acknowledged, but not in the log: %v", op)
		}
		if r := h.replies[seq]; r.Value != op.Value || r.Code != op.Code {
			return nil, fmt.Errorf("reply is %q %q, entry %d says %v: %v",
				op.Value, op.Code, seq, r, op)
		}
		all = append(all, placed{op: op, at: position{seq: seq}})
	}
	slices.SortStableFunc(all, func(a, b placed) int { return int(a.at.seq) - int(b.at.seq) })
	return all, w.compareReads(all)
}

// compareReads compares what reads returned with the state at their places.
func (w *watcher) compareReads(all []placed) error {
	store, at := kv.New(nil, nil), uint64(0)
	for _, p := range all {
		for ; at < p.at.seq; at++ {
			store.Apply(at+1, w.committed[at+1].Command)
		}
		if !p.at.read {
			continue
		}
		if r := store.Read(p.op.Request); r.Value != p.op.Value {
			return fmt.Errorf("reply is %q, at %v it is %q: %v", p.op.Value, p.at, r.Value, p.op)
		}
	}
	return nil
}

// linearizable: the places agree with real time.
func (w *watcher) linearizable(c *sim.Cluster) error {
	all, err := w.orderly(c)
	for _, a := range all {
		for _, b := range all {
			if a.op.Return < b.op.Invoke && (b.at.before(a.at) || b.at == a.at && !a.at.read) {
				return fmt.Errorf("real time against the log: %v at %v, then %v at %v",
					a.op, a.at, b.op, b.at)
			}
		}
	}
	return err
}

// sequential: the places agree with the order of things at each node, and those of
// commands with real time.
func (w *watcher) sequential(c *sim.Cluster) error {
	all, err := w.orderly(c)
	for _, a := range all {
		for _, b := range all {
			same := a.op.Node == b.op.Node || !a.at.read && !b.at.read
			if same && a.op.Return < b.op.Invoke && b.at.before(a.at) {
				return fmt.Errorf("at one node: %v at %v, then %v at %v", a.op, a.at, b.op, b.at)
			}
		}
	}
	return err
}

// replayed is what the committed log comes down to.
type replayed struct {
	replies  map[uint64]kv.Result
	sessions map[[2]uint64]uint64
	origins  map[kv.Origin]uint64
}

// replay applies the committed log to a store, and compares the checkpoints with it.
func (w *watcher) replay() (*replayed, error) {
	h := &replayed{
		replies: map[uint64]kv.Result{}, sessions: map[[2]uint64]uint64{},
		origins: map[kv.Origin]uint64{},
	}
	store := kv.New(nil, nil)
	for k := uint64(1); ; k++ {
		e, there := w.committed[k]
		if !there {
			return h, nil
		}
		c := e.Command
		h.replies[k] = store.Apply(k, c)
		id := kv.Origin{Node: c.Origin.Node, Epoch: c.Origin.Epoch, N: c.Origin.N}
		if _, again := h.origins[id]; !again && c.Session == 0 {
			h.origins[id] = k
		}
		if _, again := h.sessions[[2]uint64{c.Session, c.Seq}]; !again {
			h.sessions[[2]uint64{c.Session, c.Seq}] = k
		}
		if im, there := w.snapshots[k]; there && !bytes.Equal(im, store.Encode()) {
			return nil, fmt.Errorf("the checkpoint at %d is not the log's state", k)
		}
	}
}

// entryOf finds where an operation took effect: its session's number, or one of its
// attempts.
func (w *watcher) entryOf(h *replayed, op *sim.Op) (uint64, bool) {
	if op.Request.Session != 0 {
		seq, in := h.sessions[[2]uint64{op.Request.Session, op.Request.Seq}]
		return seq, in
	}
	for _, at := range op.Attempts {
		if seq, in := h.origins[w.origins[at]]; in {
			return seq, in
		}
	}
	return 0, false
}

var errIdle = errors.New("the runs were idle")
