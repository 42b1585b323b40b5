// Package quorum replicates read/write registers by quorums, without a leader.
//
// The protocol is the one of Attiya, Bar-Noy and Dolev ("Sharing memory robustly
// in message-passing systems", J. ACM 1995), with the extension to many writers
// of Lynch and Shvartsman ("Robust emulation of shared memory using dynamic
// quorum-acknowledged broadcasts", FTCS 1997). Every member is a replica, and
// coordinates the operations of its own clients in two phases:
//
//	ask    every member for its tag and value of the key; wait for a majority
//	store  a tag and value at every member; wait for a majority
//
// A write stores its value under a tag greater than all that its majority
// reported; a read stores the greatest pair that its majority reported, and
// returns it. Two majorities always share a member, so whatever was stored
// completely is seen by everyone who asks later.
//
// The safety sits in a few lines, and each of the planted bugs changes one:
//
//   - quorum: majorities of the configured members, not of who is alive, so
//     that any two of them meet. (Machine.quorum)
//   - answers: a set of member ids, matched by epoch, request and phase, so that
//     neither a double nor a late answer counts for what it does not say.
//     (operation.answers, Machine.answer)
//   - tags: greater than every tag of a majority, and unlike any other because
//     the boot epoch and a counter are part of it. (Machine.nextTag)
//   - write-back: a read returns only what a majority holds, so that no later
//     read can return something older. (Machine.asked)
//   - replicas: a tag only grows, and is durable before it is acknowledged.
//     (Machine.serve, and the order inside protocol.Ready)
//   - newcomers: a replica with nothing on its disk does not know whether it is new
//     or was wiped, and asks all others before it counts. (New, mending)
//   - outcomes: a write whose value may have left is never said to have failed.
//     (Machine.expire)
//
// The claim: linearizable registers, key by key, as long as disks keep what was
// synced, but for one at a time that loses a part of it or all; available, once all
// members have met, to every client that reaches a node which reaches a majority.
// Time is used for retransmission and for giving up, never for safety.
package quorum

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// resendAfter is how long a member may take before it is asked again. It is
	// many round trips of a local network: with losses a write stays half done
	// for a while, as it would in a real one.
	resendAfter = protocol.Time(75 * time.Millisecond)

	// pingEvery and suspectAfter belong to the failure detector, which only the
	// planted bug abd-sloppy-quorum makes use of.
	pingEvery    = protocol.Time(100 * time.Millisecond)
	suspectAfter = protocol.Time(500 * time.Millisecond)

	// checkpointEvery is how many records the log may hold.
	checkpointEvery = 4096

	// maxData bounds key plus value so that a store fits one datagram.
	maxData = protocol.MaxPayload - 1024
)

// phase is what an operation is waiting for.
type phase uint8

const (
	asking phase = iota + 1
	storing
)

// entry is what a replica holds for a key; the zero entry is the initial state.
type entry struct {
	tag   Tag
	value string
}

// operation is a request that this node coordinates.
type operation struct {
	req      protocol.Request
	phase    phase
	deadline protocol.Time
	sent     protocol.Time // when the phase's messages left last
	// answers are the members that have answered this phase. A set: a doubled
	// acknowledgment is one acknowledgment.
	answers map[protocol.NodeID]bool
	doubled int // answers that came again, which only a planted bug counts
	// While asking, best is the greatest entry reported and least the smallest
	// tag; while storing, best is what is stored.
	best  entry
	least Tag
}

// Machine is one node: a replica and a coordinator. It implements
// protocol.Machine.
type Machine struct {
	cfg   protocol.Config
	store map[string]entry // the replica: what is durable or in the next Ready
	ops   []*operation     // under way, the oldest first
	seq   uint64           // of the last tag minted in this epoch
	told  protocol.Time    // the driver's time when it was last told
	now   protocol.Time    // our own, which never runs backwards
	out   protocol.Ready

	logged          int // records since the last checkpoint
	checkpointEvery int

	heard  map[protocol.NodeID]protocol.Time // nil until the time is known
	pinged protocol.Time

	// epochs are the latest seen of each member. What an earlier one still says
	// does not count any more.
	epochs  map[protocol.NodeID]protocol.Epoch
	mending *mending // nil unless this replica's disk is damaged or empty

	wall protocol.WallTime // for the planted bug abd-wall-clock-tag

	ended func(*operation) // set by tests that want to see the tags
}

var _ protocol.Machine = (*Machine)(nil)

// New returns a node that continues from what cfg says was durable; without anything
// it first has to meet all other members. It fails
// when the configuration makes no sense or when a record cannot be decoded: a
// replica that has lost a store must not answer as if it had none.
func New(cfg protocol.Config) (*Machine, error) {
	if err := validate(cfg); err != nil {
		return nil, fmt.Errorf("quorum: %w", err)
	}
	m := &Machine{
		cfg: cfg, store: map[string]entry{}, logged: len(cfg.Records),
		checkpointEvery: checkpointEvery, epochs: map[protocol.NodeID]protocol.Epoch{},
	}
	empty := cfg.Checkpoint == nil && len(cfg.Records) == 0
	switch {
	case cfg.Damaged:
		m.mending = newMending(false)
	case empty && len(cfg.Members) > 1 && !cfg.Bugs.Has(bug.ABDWipedVotes):
		// The planted bug answers at once from the empty disk.
		m.mending = newMending(true)
	}
	if err := decodeCheckpoint(cfg.Checkpoint, m.store); err != nil {
		return nil, fmt.Errorf("quorum: recover checkpoint: %w", err)
	}
	for i, r := range cfg.Records {
		key, e, err := decodeRecord(r)
		if err != nil {
			return nil, fmt.Errorf("quorum: recover record %d: %w", i, err)
		}
		if m.store[key].tag.Less(e.tag) {
			m.store[key] = e
		}
	}
	return m, nil
}

func validate(cfg protocol.Config) error {
	var errs []error
	if !slices.Contains(cfg.Members, cfg.Self) {
		errs = append(errs, fmt.Errorf("self %q is not among the members %v", cfg.Self, cfg.Members))
	}
	sorted := slices.Sorted(slices.Values(cfg.Members))
	if len(slices.Compact(sorted)) != len(cfg.Members) {
		errs = append(errs, fmt.Errorf("members %v are not distinct", cfg.Members))
	}
	if cfg.Damaged && len(cfg.Members) == 1 {
		errs = append(errs, errors.New("the disk is damaged, and no other member has a copy"))
	}
	if cfg.RequestTimeout <= 0 {
		errs = append(errs, errors.New("request timeout must be greater than zero"))
	}
	return errors.Join(errs...)
}

// Submit begins an operation, or answers at once what needs no other node.
func (m *Machine) Submit(now protocol.Time, r protocol.Request) {
	m.advanceTime(now)
	refuse := func(code, why string) {
		m.reply(protocol.Reply{ID: r.ID, Outcome: protocol.Fail, Code: code, Error: why})
	}
	switch {
	case r.Object == "session" && r.F == "open":
		m.reply(protocol.Reply{ID: r.ID, Outcome: protocol.OK, Value: "0"}) // no sessions
	case r.Object != "register", r.F != "read" && r.F != "write":
		refuse("not-supported", fmt.Sprintf("quorum has no %s %s", r.Object, r.F))
	case r.F == "write" && r.Value == "":
		refuse("bad-request", "write without a value")
	case len(r.Key)+len(r.Value) > maxData:
		refuse("too-large", fmt.Sprintf("key and value exceed %d bytes", maxData))
	default:
		o := &operation{req: r, deadline: m.now + m.cfg.RequestTimeout}
		m.ops = append(m.ops, o)
		m.start(o)
	}
}

// start begins an operation with its first phase.
func (m *Machine) start(o *operation) {
	if o.req.F == "write" {
		switch {
		case m.cfg.Bugs.Has(bug.ABDSkipsQuery):
			// Planted bug: ask nobody, and count up from the own last write.
			o.best = entry{tag: m.nextTag(Tag{Num: m.seq}), value: o.req.Value}
			m.begin(o, storing)
			return
		case m.cfg.Bugs.Has(bug.ABDTagReuse) && m.writing(o):
			// The bug sits elsewhere: writes to one key through one node follow each
			// other, so that two of one epoch never share a tag.
			return
		}
	}
	m.begin(o, asking)
}

// Step handles a peer's question, or its answer to one of ours.
func (m *Machine) Step(now protocol.Time, msg protocol.Message) {
	m.advanceTime(now)
	if msg.From == m.cfg.Self || !slices.Contains(m.cfg.Members, msg.From) {
		return
	}
	w, err := decodeWire(msg.Payload)
	if err != nil {
		return // corruption is loss
	}
	if msg.Epoch < m.epochs[msg.From] {
		return // its disk may have lost since what it says here
	}
	m.epochs[msg.From] = msg.Epoch
	m.heard[msg.From] = m.now
	switch w.kind {
	case kindAsk, kindStore:
		if m.mending == nil {
			m.send(msg.From, m.serve(w))
		}
	case kindPull:
		m.servePull(msg.From, w)
	case kindPulled:
		m.pulled(msg.From, w)
	case kindAsked, kindStored:
		m.answer(msg.From, w)
	case kindPing:
		// Hearing it was all.
	}
}

// Tick gives up what is overdue, and asks again whoever has not answered.
func (m *Machine) Tick(now protocol.Time) {
	m.advanceTime(now)
	for _, o := range slices.Clone(m.ops) {
		switch {
		case m.now >= o.deadline:
			m.expire(o)
		case o.phase == 0:
			m.start(o) // it waits for another, see start
		case m.now-o.sent >= resendAfter:
			m.transmit(o)
		}
	}
	m.tickMending()
	if m.cfg.Bugs.Has(bug.ABDSloppyQuorum) {
		m.tickSloppy()
	}
}

// Ready returns what is to be done. The records come before the messages and
// replies that they justify, and when there are many, a checkpoint replaces all.
func (m *Machine) Ready() protocol.Ready {
	r := m.out
	m.out = protocol.Ready{}
	m.logged += len(r.Records)
	if m.logged >= m.checkpointEvery {
		r.Checkpoint = encodeCheckpoint(m.store) // has the pending records, too
		r.Records = nil
		m.logged = 0
	}
	return r
}

// Status describes the node. All nodes are equal: there is no leader.
func (m *Machine) Status() protocol.Status {
	role := "replica"
	if m.mending != nil {
		role = "damaged"
		if m.mending.empty {
			role = "joining"
		}
	}
	return protocol.Status{
		Node: m.cfg.Self, Protocol: "quorum", Role: role, Epoch: m.cfg.Epoch,
		Members: slices.Clone(m.cfg.Members),
	}
}

func (m *Machine) advanceTime(now protocol.Time) {
	// A step back of the node's clock stops our time for a moment, not until the
	// clock is again where it was.
	if m.heard != nil && now > m.told {
		m.now += now - m.told
	}
	m.told = now
	if m.heard == nil {
		m.now = now
		// At the start everybody counts as just heard.
		m.heard = map[protocol.NodeID]protocol.Time{}
		for _, id := range m.cfg.Members {
			m.heard[id] = m.now
		}
		m.pinged = m.now
	}
}

// begin starts a phase: nobody has answered it.
func (m *Machine) begin(o *operation, p phase) {
	o.phase = p
	o.answers, o.doubled = map[protocol.NodeID]bool{}, 0
	m.transmit(o)
}

// transmit sends the phase's message to every member that has not answered.
func (m *Machine) transmit(o *operation) {
	o.sent = m.now
	w := wire{kind: kindAsk, epoch: m.cfg.Epoch, request: o.req.ID, key: o.req.Key}
	if o.phase == storing {
		w.kind, w.entry = kindStore, o.best
	}
	for _, id := range m.cfg.Members {
		if id != m.cfg.Self && !o.answers[id] {
			m.send(id, w)
		}
	}
	if m.cfg.Bugs.Has(bug.ABDTagReuse) && o.phase == storing && len(o.answers) == 0 {
		return // planted bug: the own store follows the first answer
	}
	m.serveSelf(o, w)
}

// serveSelf lets the node's own replica take part, if it has not yet.
func (m *Machine) serveSelf(o *operation, w wire) {
	if !o.answers[m.cfg.Self] && m.mending == nil {
		// The node's own replica is one like the others. Its acknowledgment
		// counts at once although its record is not durable yet, because
		// whatever follows from it leaves in the same Ready as the record, or a
		// later one, and therefore after the sync.
		m.answer(m.cfg.Self, m.serve(w))
	}
}

// serve is the replica: it answers a question from what it holds, and a store
// after having made it durable.
func (m *Machine) serve(w wire) wire {
	ans := wire{kind: kindAsked, epoch: w.epoch, request: w.request, key: w.key}
	if w.kind == kindAsk {
		ans.entry = m.store[w.key]
		return ans
	}
	// A tag only grows: a store that arrives late or twice changes nothing. It
	// is acknowledged all the same, since the replica holds at least that tag.
	m.hold(w.key, w.entry)
	ans.kind = kindStored
	return ans
}

// hold keeps the entry if its tag is greater.
func (m *Machine) hold(key string, e entry) {
	if m.store[key].tag.Less(e.tag) {
		m.store[key] = e
		m.out.Records = append(m.out.Records, encodeRecord(key, e))
	}
}

// answer counts a member's answer, if it answers what is being asked now: this
// epoch, this request, this phase.
func (m *Machine) answer(from protocol.NodeID, w wire) {
	i := slices.IndexFunc(m.ops, func(o *operation) bool { return o.req.ID == w.request })
	if i < 0 || w.epoch != m.cfg.Epoch {
		return
	}
	o := m.ops[i]
	if o.phase == asking != (w.kind == kindAsked) {
		return
	}
	if o.answers[from] {
		if m.cfg.Bugs.Has(bug.ABDDupAck) {
			// Planted bug: count acknowledgments, not members.
			o.doubled++
			m.proceed(o)
		}
		return
	}
	if o.phase == asking {
		if len(o.answers) == 0 || w.entry.tag.Less(o.least) {
			o.least = w.entry.tag
		}
		if o.best.tag.Less(w.entry.tag) {
			o.best = w.entry
		}
	}
	o.answers[from] = true
	if m.cfg.Bugs.Has(bug.ABDTagReuse) && o.phase == storing && !o.answers[m.cfg.Self] {
		m.serveSelf(o, wire{kind: kindStore, epoch: w.epoch, request: w.request, key: w.key,
			entry: o.best})
		return // that has counted both
	}
	m.proceed(o)
}

// proceed ends the phase when a quorum has answered.
func (m *Machine) proceed(o *operation) {
	switch {
	case len(o.answers)+o.doubled < m.quorum():
	case o.phase == asking:
		m.asked(o)
	default:
		m.finish(o, m.success(o))
	}
}

// quorum is how many distinct members must answer: a majority of the configured
// ones, so that any two quorums share a member, whoever is down or cut off.
func (m *Machine) quorum() int {
	if m.cfg.Bugs.Has(bug.ABDSloppyQuorum) {
		// Planted bug: a majority of those believed alive. Both sides of a
		// partition have one.
		return m.alive()/2 + 1
	}
	if m.cfg.Bugs.Has(bug.ABDEvenQuorum) {
		return (len(m.cfg.Members) + 1) / 2 // planted bug: two of four
	}
	return len(m.cfg.Members)/2 + 1
}

// asked decides what the operation stores.
func (m *Machine) asked(o *operation) {
	if o.req.F == "write" {
		o.best = entry{tag: m.nextTag(o.best.tag), value: o.req.Value}
		m.begin(o, storing)
		return
	}
	// If the whole majority holds the same tag, nobody can miss it any more.
	stored := o.least == o.best.tag
	if m.cfg.Bugs.Has(bug.ABDNoWriteBack) {
		// Planted bug: return what perhaps one replica holds. The next read may
		// ask a majority without that replica and see the value before.
		stored = true
	}
	if stored {
		m.finish(o, m.success(o))
		return
	}
	m.begin(o, storing)
}

// nextTag mints a tag greater than the one given. No other operation ever has
// the same: not of another node, not of this node now (the counter), and not of
// this node before a restart (the epoch, durable before the node serves).
func (m *Machine) nextTag(greatest Tag) Tag {
	m.seq++
	switch {
	case m.cfg.Bugs.Has(bug.ABDWallClock):
		// Planted bug: the last clock wins.
		return Tag{Num: uint64(m.wall), Node: m.cfg.Self, Epoch: m.cfg.Epoch, Seq: m.seq}
	case m.cfg.Bugs.Has(bug.ABDCollision), m.cfg.Bugs.Has(bug.ABDTagReuse):
		// Planted bugs: the node is all that tells writers apart.
		return Tag{Num: greatest.Num + 1, Node: m.cfg.Self}
	}
	return Tag{Num: greatest.Num + 1, Node: m.cfg.Self, Epoch: m.cfg.Epoch, Seq: m.seq}
}

// success is the reply of an operation that has reached its quorum.
func (m *Machine) success(o *operation) protocol.Reply {
	rep := protocol.Reply{ID: o.req.ID, Outcome: protocol.OK}
	if o.req.F == "read" {
		rep.Value = o.best.value
		if o.best.tag == (Tag{}) {
			rep.Value = "null"
		}
	}
	return rep
}

// expire answers an operation that has not reached its quorum in time.
func (m *Machine) expire(o *operation) {
	rep := protocol.Reply{
		ID: o.req.ID, Outcome: protocol.Fail, Code: "unavailable",
		Error: fmt.Sprintf("%d of %d members answered", len(o.answers), len(m.cfg.Members)),
	}
	write := o.req.F == "write"
	if write && o.phase == storing {
		// The value has left, and may be read from now on or come back later
		// through somebody's write-back. A write that is still asking has sent
		// its value to nobody, and a read has none: those may say fail.
		rep.Outcome, rep.Code = protocol.Unknown, "timeout"
		if m.cfg.Bugs.Has(bug.TimeoutAsFail) {
			// Planted bug: promise that the write has no effect.
			rep.Outcome = protocol.Fail
		}
	}
	if m.cfg.Bugs.Has(bug.ErrorAsOK) && (write || o.phase == storing) {
		// Planted bug: drop the error of the replication and report success.
		rep = m.success(o)
	}
	m.finish(o, rep)
}

// finish ends the operation with its one reply.
func (m *Machine) finish(o *operation, rep protocol.Reply) {
	m.ops = slices.DeleteFunc(m.ops, func(p *operation) bool { return p == o })
	if m.ended != nil {
		m.ended(o)
	}
	m.reply(rep)
}

func (m *Machine) reply(rep protocol.Reply) { m.out.Replies = append(m.out.Replies, rep) }

func (m *Machine) send(to protocol.NodeID, w wire) {
	m.out.Messages = append(m.out.Messages, protocol.Message{
		From: m.cfg.Self, To: to, Epoch: m.cfg.Epoch, Payload: encodeWire(w),
	})
}

// SetWall implements protocol.WallClocked, for a planted bug only.
func (m *Machine) SetWall(now protocol.WallTime) { m.wall = now }

// writing reports whether another write to the operation's key is under way here.
func (m *Machine) writing(o *operation) bool {
	return slices.ContainsFunc(m.ops, func(p *operation) bool {
		return p != o && p.req.F == "write" && p.req.Key == o.req.Key && p.phase != 0
	})
}

// alive counts the members believed to be alive, this one included.
func (m *Machine) alive() int {
	n := 0
	for _, id := range m.cfg.Members {
		if id == m.cfg.Self || m.now-m.heard[id] < suspectAfter {
			n++
		}
	}
	return n
}

// tickSloppy runs the failure detector of the planted bug abd-sloppy-quorum:
// pings, so that silence means something, and a new look at operations whose
// quorum may have shrunk.
func (m *Machine) tickSloppy() {
	if m.now-m.pinged >= pingEvery {
		m.pinged = m.now
		for _, id := range m.cfg.Members {
			if id != m.cfg.Self {
				m.send(id, wire{kind: kindPing, epoch: m.cfg.Epoch})
			}
		}
	}
	for _, o := range slices.Clone(m.ops) {
		m.proceed(o)
	}
}
