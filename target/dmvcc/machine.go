package dmvcc

import (
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/paxos"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const ms = protocol.Time(time.Millisecond)

const (
	// resendAfter is how long an answer of a node may take before it is asked again,
	// repeatAfter how long an entry of the group may.
	resendAfter = 75 * ms
	repeatAfter = 300 * ms
	// recoverAfter is how long a number may be open before the others close it. Each
	// node waits a little longer than the one before it.
	recoverAfter = 1500 * ms
	recoverStep  = 200 * ms
	// tellEvery is how often the nodes tell each other what they hold.
	tellEvery = 200 * ms
	// idleAfter is how long a transaction may do nothing before it is aborted.
	idleAfter = 10_000 * ms
	// lookEvery belongs to the planted bugs dmv-stale-metadata-read and
	// dmv-quorum-publish-any-node-read.
	lookEvery = 1000 * ms
	// checkpointEvery is how many records of the node the log may hold.
	checkpointEvery = 4096
)

// Mode says when a number is complete.
type Mode uint8

// The modes.
const (
	// All: all nodes have it, and each answers alone.
	All Mode = iota
	// Quorum: a majority has it, and a node fetches what it lacks.
	Quorum
)

// Machine is one node. It implements protocol.Machine.
type Machine struct {
	cfg   protocol.Config
	mode  Mode
	group *paxos.Machine
	shard *shard
	wall  protocol.WallTime

	now, told protocol.Time
	started   bool
	out       protocol.Ready

	// asks are entries and questions under way in the group.
	lastAsk protocol.RequestID
	asks    map[protocol.RequestID]func(protocol.Reply)

	nextTxn uint64
	txns    map[uint64]*txn
	tasks   []*task // client requests that are not answered
	// coordinating are the numbers of this node's own transactions.
	coordinating map[Num]*coordination
	recoveries   map[Num]*recovery
	seen         map[Num]protocol.Time // when an open number was noticed

	// full: everything up to it that is not aborted is held here. goneAt is how
	// many of the metadata's aborts have been carried out.
	full    Num
	goneAt  int
	fetched protocol.Time
	chased  protocol.Time
	// wanted is when somebody last waited for a shard here.
	wanted [shardCount]protocol.Time
	// fulls are what the members say they hold.
	fulls  map[protocol.NodeID]Num
	toldAt protocol.Time

	// looked belongs to dmv-stale-metadata-read: the mark as of a moment ago.
	looked   Num
	lookedAt protocol.Time

	// What a checkpoint needs of the group: its last, and its records since.
	groupCheckpoint []byte
	groupRecords    [][]byte
	logged          int
	checkpointEvery int

	// saw, gave and done, set by tests, are told of reads, of numbers given, and of
	// requests whose number is complete.
	saw  func(t *txn, key, value string)
	gave func(n Num, ops []op)
	done func(id protocol.RequestID, n Num)
}

var (
	_ protocol.Machine     = (*Machine)(nil)
	_ protocol.WallClocked = (*Machine)(nil)
)

// New returns the constructor of a node for one mode.
func New(mode Mode) func(protocol.Config) (*Machine, error) {
	return func(cfg protocol.Config) (*Machine, error) {
		m := &Machine{
			cfg: cfg, mode: mode, shard: newShard(),
			asks: map[protocol.RequestID]func(protocol.Reply){}, txns: map[uint64]*txn{},
			coordinating: map[Num]*coordination{}, recoveries: map[Num]*recovery{},
			seen: map[Num]protocol.Time{}, fulls: map[protocol.NodeID]Num{},
			checkpointEvery: checkpointEvery,
		}
		if cfg.RequestTimeout <= 0 {
			return nil, fmt.Errorf("dmvcc: request timeout must be greater than zero")
		}
		if err := m.restore(); err != nil {
			return nil, fmt.Errorf("dmvcc: %w", err)
		}
		return m, nil
	}
}

// restore takes apart what was durable: the group's part and the node's own.
func (m *Machine) restore() error {
	inner := m.cfg
	inner.Checkpoint, inner.Records = nil, nil
	inner.Bugs = nil // those of the group's own are not planted here
	if m.cfg.Checkpoint != nil {
		var c checkpoint
		if err := decode(m.cfg.Checkpoint, &c); err != nil {
			return fmt.Errorf("recover checkpoint: %w", err)
		}
		inner.Checkpoint, inner.Records = c.Group, c.Records
		m.shard.load(c.Node)
	}
	for i, b := range m.cfg.Records {
		switch {
		case len(b) > 0 && b[0] == ofGroup:
			inner.Records = append(inner.Records, b[1:])
		case len(b) > 0 && b[0] == ofNode:
			r, err := decodeRecord(b[1:])
			if err != nil {
				return fmt.Errorf("recover record %d: %w", i, err)
			}
			if r.Op != nil {
				m.shard.hold(r.Op, false)
			} else {
				m.shard.fence(r.Fence)
			}
		default:
			return fmt.Errorf("recover record %d: of nobody", i)
		}
	}
	m.shard.records, m.full = nil, m.shard.floor
	m.groupCheckpoint, m.groupRecords = inner.Checkpoint, slices.Clone(inner.Records)
	m.logged = len(m.cfg.Records)
	group, err := paxos.NewWith(inner, kv.Extensions{
		metaObject: func() kv.Extension {
			return newMeta(m.cfg.Members, m.need(), m.cfg.Bugs)
		},
	})
	m.group = group
	return err
}

// need is how many nodes must have a number.
func (m *Machine) need() int {
	if m.mode == All {
		return len(m.cfg.Members)
	}
	return len(m.cfg.Members)/2 + 1
}

// meta is this node's replica of the metadata.
func (m *Machine) meta() *meta { return m.group.Extension(metaObject).(*meta) }

// SetWall tells the time of day; only the planted bug dmv-number-from-clock wants it.
func (m *Machine) SetWall(now protocol.WallTime) { m.wall = now }

// advance takes the time; ours never runs backwards.
func (m *Machine) advance(now protocol.Time) {
	if !m.started {
		m.started, m.now = true, now
	} else if now > m.told {
		m.now += now - m.told
	}
	m.told = now
}

// ask puts a question or an entry to the group. then gets the one answer.
func (m *Machine) ask(f, value string, then func(protocol.Reply)) {
	m.lastAsk++
	m.asks[m.lastAsk] = then
	m.group.Submit(m.told, protocol.Request{
		ID: m.lastAsk, Object: metaObject, F: f, Value: value,
	})
}

// Step handles a peer's message.
func (m *Machine) Step(now protocol.Time, msg protocol.Message) {
	m.advance(now)
	if len(msg.Payload) == 0 || msg.From == m.cfg.Self ||
		!slices.Contains(m.cfg.Members, msg.From) {
		return
	}
	tag := msg.Payload[0]
	msg.Payload = msg.Payload[1:]
	if tag == ofGroup {
		m.group.Step(now, msg)
		return
	}
	if w, err := decodeWire(msg.Payload); err == nil && tag == ofNode {
		m.dispatch(msg.From, w)
	}
}

func (m *Machine) dispatch(from protocol.NodeID, w wire) {
	switch w.Kind {
	case kindOp:
		m.onOp(from, w)
	case kindHave, kindRefused:
		if c := m.coordinating[w.Num]; c != nil && w.Epoch == m.cfg.Epoch {
			m.onAnswer(c, from, w)
		}
	case kindFence:
		m.shard.fence(w.Num)
		m.send(from, wire{Kind: kindFenced, Num: w.Num, Whole: m.shard.whole(w.Num)})
	case kindFenced:
		if r := m.recoveries[w.Num]; r != nil {
			r.answers[from] = w.Whole
		}
	case kindFetch:
		if m.shard.whole(w.Num) {
			for _, o := range m.shard.ops[w.Num] {
				m.send(from, wire{Kind: kindFetched, Num: w.Num, Op: o})
			}
		}
	case kindFetched:
		m.onFetched(w)
	case kindFull:
		m.fulls[from] = max(m.fulls[from], w.Num)
	case kindRead:
		m.onRead(from, w)
	case kindValue:
		m.onValue(from, w)
	}
}

// onOp keeps an operation, unless its number is fenced or aborted.
func (m *Machine) onOp(from protocol.NodeID, w wire) {
	ans := wire{Kind: kindHave, Epoch: w.Epoch, Num: w.Op.Num, I: w.Op.I}
	late := m.late(w.Op.Num)
	switch {
	case m.shard.has(w.Op.Num, w.Op.I) && !late:
		// Again.
	case m.cfg.Bugs.Has(bug.DMVAbortThenLateOp):
		m.shard.hold(w.Op, true) // planted: nobody said that it must not
	case late:
		ans.Kind = kindRefused
	default:
		m.shard.hold(w.Op, false)
	}
	m.send(from, ans)
}

// late reports whether nothing more of the number may be kept.
func (m *Machine) late(n Num) bool { return m.shard.fences[n] || m.meta().fate(n) == aborted }

// onFetched keeps an operation of a number that is known to be complete.
func (m *Machine) onFetched(w wire) {
	if m.meta().fate(w.Op.Num) == complete {
		m.shard.hold(w.Op, false)
	}
}

// Tick goes on with everything that takes time.
func (m *Machine) Tick(now protocol.Time) {
	m.advance(now)
	m.group.Tick(now)
	if m.now-m.lookedAt >= lookEvery {
		m.looked, m.lookedAt = m.meta().mark, m.now
	}
	m.sync()
	m.tickCoordinations()
	m.tickRecoveries()
	m.tickTasks()
	for _, t := range m.txns {
		if m.now-t.used >= idleAfter {
			delete(m.txns, t.id)
		}
	}
	if m.now-m.toldAt >= tellEvery {
		m.toldAt = m.now
		m.broadcast(wire{Kind: kindFull, Num: m.oldest()})
		m.fold()
	}
}

// Ready returns what is to be done. What the group answers is used at once: all
// that follows from it leaves after its records are durable, in this Ready or a
// later one.
func (m *Machine) Ready() protocol.Ready {
	for {
		asked := m.lastAsk
		r := m.group.Ready()
		m.takeGroup(r)
		m.sync() // before anybody reads at a watermark that covers an abort
		for _, rep := range r.Replies {
			if then := m.asks[rep.ID]; then != nil {
				delete(m.asks, rep.ID)
				then(rep)
			}
		}
		m.settle()
		if r.Empty() && m.lastAsk == asked {
			break
		}
	}
	for _, b := range m.shard.records {
		m.out.Records = append(m.out.Records, tagged(ofNode, b))
	}
	m.shard.records = nil
	m.logged += len(m.out.Records)
	if m.out.Checkpoint != nil || m.logged >= m.checkpointEvery {
		m.out.Checkpoint = encode(checkpoint{
			Group: m.groupCheckpoint, Records: m.groupRecords, Node: m.shard.image(),
		})
		m.out.Records, m.logged = nil, 0
	}
	r := m.out
	m.out = protocol.Ready{}
	return r
}

// takeGroup wraps what the group wants done.
func (m *Machine) takeGroup(r protocol.Ready) {
	if r.Checkpoint != nil {
		m.groupCheckpoint, m.groupRecords = r.Checkpoint, nil
		m.out.Checkpoint = []byte{} // a whole one is made at the end of Ready
	}
	for _, b := range r.Records {
		m.groupRecords = append(m.groupRecords, b)
		m.out.Records = append(m.out.Records, tagged(ofGroup, b))
	}
	for _, msg := range r.Messages {
		msg.Payload = tagged(ofGroup, msg.Payload)
		m.out.Messages = append(m.out.Messages, msg)
	}
}

// sync carries out what the metadata say: aborted numbers are dropped, and what is
// complete and missing here is fetched.
func (m *Machine) sync() {
	meta := m.meta()
	for ; m.goneAt < len(meta.gone); m.goneAt++ {
		m.shard.drop(meta.gone[m.goneAt])
	}
	for m.full < meta.solid && m.settled(m.full+1) {
		m.full++
	}
	if m.mode == Quorum && m.full < meta.last {
		m.fetch()
	}
}

// settled reports whether nothing of a closed number is missing here.
func (m *Machine) settled(n Num) bool {
	return m.meta().fate(n) != complete || m.shard.whole(n)
}

// fetch asks the others for the numbers that are missing, the next ones together: at
// once those of the shards that are read here, and now and then all, so that they can
// be folded, and a shard can come here without much ado.
func (m *Machine) fetch() {
	every := resendAfter
	if m.cfg.Bugs.Has(bug.DMVQuorumPublishAnyNodeRead) {
		every = lookEvery // planted: nobody waits for them
	}
	if m.now-m.fetched < every {
		return
	}
	in := m.pressing()
	if m.now-m.chased >= lookEvery {
		in, m.chased = allShards, m.now
	}
	const most = 32
	asked := 0
	for n := m.full + 1; n <= m.meta().last && asked < most; n++ {
		if m.meta().touches(n)&in != 0 && !m.settled(n) {
			m.fetched = m.now
			m.broadcast(wire{Kind: kindFetch, Num: n})
			asked++
		}
	}
}

// oldest is the greatest number that neither this node lacks nor one of its
// transactions, open or to come, reads below.
func (m *Machine) oldest() Num {
	oldest := min(m.full, m.looked)
	for _, t := range m.txns {
		oldest = min(oldest, t.snap)
	}
	return oldest
}

// fold forgets the versions that nobody can read any more and the operations that
// nobody can lack.
func (m *Machine) fold() {
	if m.cfg.Bugs.Has(bug.DMVNumberFromClock) {
		return // planted: numbers come from everywhere
	}
	floor := min(m.oldest(), m.meta().mark)
	for _, id := range m.cfg.Members {
		if id != m.cfg.Self {
			floor = min(floor, m.fulls[id])
		}
	}
	m.shard.fold(floor)
}

func (m *Machine) send(to protocol.NodeID, w wire) {
	m.out.Messages = append(m.out.Messages, protocol.Message{
		From: m.cfg.Self, To: to, Epoch: m.cfg.Epoch, Payload: tagged(ofNode, encode(w)),
	})
}

func (m *Machine) broadcast(w wire) {
	for _, id := range m.cfg.Members {
		if id != m.cfg.Self {
			m.send(id, w)
		}
	}
}

// Details are the protocol's own part of the status.
type Details struct {
	// Watermark is the replica's; Last is the greatest number given, Open how many
	// are open, Aborted how many were ever aborted.
	Watermark Num `json:"watermark"`
	Last      Num `json:"last"`
	Open      int `json:"open"`
	Aborted   int `json:"aborted"`
	// Full: everything up to it is held here. Folded is up to where versions are one.
	Full   Num `json:"full"`
	Folded Num `json:"folded"`
	Active int `json:"active"`
	// Shards are the owners of the shards, in mode Quorum.
	Shards []protocol.NodeID `json:"shards,omitempty"`
}

// Status describes the node. The group's leader counts as the primary.
func (m *Machine) Status() protocol.Status {
	s := m.group.Status()
	s.Protocol = [...]string{All: "dmvcc-all", Quorum: "dmvcc-quorum"}[m.mode]
	meta := m.meta()
	d := Details{
		Watermark: meta.mark, Last: meta.last, Open: len(meta.opened), Aborted: len(meta.gone),
		Full: m.full, Folded: m.shard.floor, Active: len(m.txns),
	}
	if m.mode == Quorum {
		d.Shards = slices.Clone(meta.owners[:])
	}
	s.Details = d
	return s
}
