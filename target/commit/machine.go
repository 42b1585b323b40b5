package commit

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/paxos"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// defaultTimeout bounds a request when the configuration does not.
const defaultTimeout = 1000 * ms

// Machine is one node: a shard, a home of transactions, and a member of what
// decides. It implements protocol.Machine.
type Machine struct {
	name    string
	members []protocol.NodeID
	epochs  map[protocol.NodeID]protocol.Epoch // the latest heard of
	codec   codec
	out     *outbox

	home   *home
	shard  *shard
	driver *driver
	// Two-phase commit has a group, three-phase commit has terms.
	group *coordinator
	terms *terms

	// logged counts the records since the last checkpoint, where the group does
	// not say when to make one; every is after how many.
	logged, every int

	// wall is the driver's time when it was last told, now our own.
	wall, now protocol.Time
	started   bool
}

// checkpointRecords is how many records are written between two checkpoints.
const checkpointRecords = 2000

// New returns a node of two-phase commit that goes on from what it had made durable.
func New(cfg protocol.Config) (*Machine, error) { return newMachine(cfg, "2pc", nil) }

// NewThreePhase returns a node of three-phase commit with quorums (E3PC).
func NewThreePhase(cfg protocol.Config) (*Machine, error) { return newMachine(cfg, "3pc", nil) }

// NewPlainThreePhase returns a node of three-phase commit as Skeen described it: it
// is safe only if who does not answer in time has crashed.
func NewPlainThreePhase(cfg protocol.Config) (*Machine, error) {
	return newMachine(cfg, "3pc-plain", nil)
}

func newMachine(
	cfg protocol.Config, name string, heard func(t TxnID, v verdict),
) (*Machine, error) {
	c, err := newCodec()
	if err != nil {
		return nil, fmt.Errorf("new commit machine: %w", err)
	}
	if !slices.Contains(cfg.Members, cfg.Self) {
		return nil, fmt.Errorf("new commit machine: self %q is not a member", cfg.Self)
	}
	if cfg.RequestTimeout <= 0 {
		cfg.RequestTimeout = defaultTimeout
	}
	out := &outbox{self: cfg.Self, epoch: cfg.Epoch}
	members := slices.Clone(cfg.Members)
	m := &Machine{
		name: name, members: members, epochs: map[protocol.NodeID]protocol.Epoch{},
		codec: c, out: out, shard: newShard(cfg, out), every: checkpointRecords,
		driver: &driver{out: out, drives: map[TxnID]*drive{}},
		home: &home{
			self: cfg.Self, epoch: cfg.Epoch, members: members, bugs: cfg.Bugs, out: out,
			timeout: cfg.RequestTimeout, txns: map[uint64]*txn{}, patient: name == "2pc",
		},
	}
	m.home.drive = m.driver.drive
	if name == "2pc" {
		err = m.addGroup(cfg, heard)
	} else {
		err = m.addTerms(cfg, heard)
	}
	if err != nil {
		return nil, fmt.Errorf("new commit machine: %w", err)
	}
	return m, nil
}

func (m *Machine) addGroup(cfg protocol.Config, heard func(TxnID, verdict)) error {
	m.group = &coordinator{
		self: cfg.Self, epoch: cfg.Epoch, bugs: cfg.Bugs, out: m.out, driver: m.driver,
		asks: map[protocol.RequestID]ask{}, doubtful: map[TxnID]bool{},
		home: m.home, shard: m.shard,
	}
	m.home.propose, m.shard.resolve = m.group.propose, m.group.resolve
	group, err := m.restore(cfg)
	if err != nil {
		return err
	}
	group.Bugs = nil // bugs are planted here, not in what this is built on
	// An entry that is lost on its way to the group's leader is proposed again
	// while the client still waits.
	group.RequestTimeout = cfg.RequestTimeout / 2
	m.group.group, err = paxos.NewWith(group, kv.Extensions{
		decisionObject: func() kv.Extension { return newDecisions(m.codec, heard) },
	})
	return err
}

func (m *Machine) addTerms(cfg protocol.Config, heard func(TxnID, verdict)) error {
	m.terms = &terms{
		self: cfg.Self, members: m.members, bugs: cfg.Bugs, plain: m.name == "3pc-plain",
		out: m.out, sites: map[TxnID]*site{}, runs: map[TxnID]*run{}, driver: m.driver,
		home: m.home, shard: m.shard, decidedHere: heard,
	}
	m.home.propose, m.shard.resolve = m.terms.propose, m.terms.resolve
	_, err := m.restore(cfg)
	m.logged = len(cfg.Records)
	return err
}

// checkpoint is the whole durable state.
type checkpoint struct {
	_            struct{} `cbor:",toarray"`
	Version      int
	Group, Shard []byte
	Sites        []termRecord
}

const checkpointVersion = 1

// restore gives the shard what was durable of it, and returns the configuration
// of the group's member with what was durable of that.
func (m *Machine) restore(cfg protocol.Config) (protocol.Config, error) {
	group := cfg
	group.Checkpoint, group.Records = nil, nil
	if cfg.Checkpoint != nil {
		var ck checkpoint
		if err := m.codec.mode.Unmarshal(cfg.Checkpoint, &ck); err != nil {
			return group, fmt.Errorf("restore checkpoint: %w", err)
		}
		if ck.Version != checkpointVersion {
			return group, fmt.Errorf("restore checkpoint: version %d, want %d",
				ck.Version, checkpointVersion)
		}
		group.Checkpoint = ck.Group
		if err := m.shard.decode(m.codec, ck.Shard); err != nil {
			return group, fmt.Errorf("restore checkpoint: %w", err)
		}
		for _, r := range ck.Sites {
			if m.terms != nil {
				m.terms.restoreSite(r)
			}
		}
	}
	for i, r := range cfg.Records {
		err := errors.New("belongs to no part")
		switch {
		case len(r) > 0 && r[0] == partGroup:
			group.Records, err = append(group.Records, r[1:]), nil
		case len(r) > 0 && r[0] == partShards:
			err = m.shard.replay(m.codec, r[1:])
		case len(r) > 0 && r[0] == partTerms && m.terms != nil:
			err = m.terms.replay(m.codec, r[1:])
		}
		if err != nil {
			return group, fmt.Errorf("restore record %d: %w", i, err)
		}
	}
	m.shard.settle()
	m.out.records, m.out.msgs = nil, nil // nothing new came of it
	return group, nil
}

// shardOf tells which member keeps the key.
func shardOf(members []protocol.NodeID, key string) protocol.NodeID {
	h := fnv.New32a()
	h.Write([]byte(key)) // never fails
	return members[h.Sum32()%uint32(len(members))]
}

func formatUint(n uint64) string { return strconv.FormatUint(n, 10) }

// advance takes the time. A clock that jumps back stops ours for a moment.
func (m *Machine) advance(now protocol.Time) {
	if m.started && now > m.wall {
		m.now += now - m.wall
	}
	m.wall, m.started = now, true
	m.home.now, m.shard.now, m.driver.now = m.now, m.now, m.now
	if m.group != nil {
		m.group.now = m.now
	} else {
		m.terms.now = m.now
	}
}

// Step handles a peer's message.
func (m *Machine) Step(now protocol.Time, msg protocol.Message) {
	m.advance(now)
	if len(msg.Payload) == 0 || !slices.Contains(m.members, msg.From) ||
		msg.From == m.out.self || msg.To != m.out.self {
		return
	}
	if msg.Payload[0] == partGroup && m.group != nil {
		msg.Payload = msg.Payload[1:]
		m.group.group.Step(m.now, msg)
		return
	}
	if msg.Epoch < m.epochs[msg.From] {
		return // from an earlier life of the sender
	}
	body, err := m.codec.decode(msg.Payload)
	if err != nil {
		return // corruption is loss
	}
	m.epochs[msg.From] = msg.Epoch
	m.dispatch(msg.From, msg.Epoch, body)
}

func (m *Machine) dispatch(from protocol.NodeID, epoch protocol.Epoch, body any) {
	switch b := body.(type) {
	case *operate:
		m.home.clock = max(m.home.clock, b.T.N)
		m.shard.onOperate(from, b)
	case *prepare:
		m.home.clock = max(m.home.clock, b.T.N)
		m.shard.onPrepare(from, b)
	case *decision:
		m.shard.onDecision(from, b)
		if m.terms != nil {
			m.terms.learn(b.T, b.Commit)
		}
	case *standing:
		m.shard.onStanding(b)
	case *answer:
		m.home.onAnswer(from, epoch, b)
	case *vote:
		m.home.onVote(from, b)
	case *inquiry:
		m.home.onInquiry(from, b)
	case *ack:
		if m.group != nil {
			m.group.onAck(from, b)
		} else {
			m.terms.onAck(from, b)
		}
	default:
		if m.terms != nil {
			m.terms.dispatch(from, body)
		}
	}
	m.shard.settle()
}

// Submit takes over a client's request.
func (m *Machine) Submit(now protocol.Time, r protocol.Request) {
	m.advance(now)
	m.home.submit(r)
}

// Tick tells the time.
func (m *Machine) Tick(now protocol.Time) {
	m.advance(now)
	if m.group != nil {
		m.group.group.Tick(m.now)
		m.group.tick()
	} else {
		m.terms.tick()
	}
	m.shard.tick()
	m.shard.settle()
	m.home.tick()
}

// Ready returns what is to be done and forgets it. What this node says to itself
// and what the group answers is handled here, until nothing new comes of it. All
// records of the Ready are durable before anything else of it leaves, so that
// nobody can see the order within.
func (m *Machine) Ready() protocol.Ready {
	var group []byte // the group's checkpoint, if it made one
	for {
		for len(m.out.loop) > 0 {
			body := m.out.loop[0]
			m.out.loop = m.out.loop[1:]
			m.dispatch(m.out.self, m.out.epoch, body)
		}
		if m.group == nil {
			break
		}
		g := m.group.group.Ready()
		if g.Empty() && len(m.out.loop) == 0 {
			break
		}
		if g.Checkpoint != nil {
			group, m.out.records = g.Checkpoint, nil
		}
		for _, r := range g.Records {
			m.out.persist(partGroup, r)
		}
		for _, msg := range g.Messages {
			m.out.post(msg.To, append([]byte{partGroup}, msg.Payload...))
		}
		for _, r := range g.Replies {
			m.group.onReply(r)
		}
		m.shard.settle()
	}
	m.logged += len(m.out.records)
	out := protocol.Ready{
		Records: m.out.records, Messages: m.out.msgs, Replies: m.out.replies,
	}
	if group != nil || m.terms != nil && m.logged >= m.every {
		// The state here is as of now and covers the records; the group's
		// checkpoint covers only what came before it.
		ck := checkpoint{Version: checkpointVersion, Group: group, Shard: m.shard.encode()}
		if m.terms != nil {
			ck.Sites = m.terms.images()
		}
		out.Checkpoint, m.logged = mustMarshal(ck), 0
		out.Records = slices.DeleteFunc(out.Records,
			func(r []byte) bool { return r[0] != partGroup })
	}
	m.out.records, m.out.msgs, m.out.replies = nil, nil, nil
	return out
}

// Details is what Status tells beside the common fields.
type Details struct {
	// Hash and Shards tell where a key is: at Shards[Hash(key) mod len(Shards)].
	Hash   string            `json:"hash"`
	Shards []protocol.NodeID `json:"shards"`
	// Home counts the transactions that began here and are not over, Open those
	// under way at this shard, Prepared those of them that wait for an outcome.
	Home     int `json:"home"`
	Open     int `json:"open"`
	Prepared int `json:"prepared"`
	// Undone counts the decisions that some participant has not acknowledged, as
	// far as this node knows.
	Undone int `json:"undone"`
}

// Status tells what the node believes. In two-phase commit leader and ballot are the
// group's; in three-phase commit nobody leads.
func (m *Machine) Status() protocol.Status {
	st := protocol.Status{
		Node: m.out.self, Role: "replica", Epoch: m.out.epoch, Members: slices.Clone(m.members),
	}
	d := Details{
		Hash: "fnv1a-32", Shards: slices.Clone(m.members), Home: len(m.home.txns),
		Open: len(m.shard.open), Undone: len(m.driver.drives),
	}
	if m.group != nil {
		st = m.group.group.Status()
		d.Undone = len(m.group.state().decided)
	}
	for _, p := range m.shard.open {
		if p.prepared {
			d.Prepared++
		}
	}
	st.Protocol, st.Details = m.name, d
	return st
}
