package paxos

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/mesh"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	ms    = protocol.Time(1e6)
	never = protocol.Time(math.MinInt64 / 2)
	// defaultTimeout bounds a request when the configuration does not.
	defaultTimeout = 1000 * ms
)

// Machine is one member. It implements protocol.Machine.
type Machine struct {
	self    protocol.NodeID
	me      int // position of self in members
	members []protocol.NodeID
	index   map[protocol.NodeID]int
	epoch   protocol.Epoch
	timeout protocol.Time
	bugs    bug.Set
	ext     kv.Extensions
	codec   *codec
	rng     *rand.Rand

	// wall is the driver's time when it was last told, now our own, which
	// starts at 0 and never runs backwards.
	wall, now protocol.Time
	started   bool

	// Durable: the acceptor, and the store as of the checkpoint.
	promised Ballot
	log      slots
	store    *kv.Store

	// commit is the slot up to which all are known to be chosen, applied the
	// greatest one applied. They are equal unless a bug is planted.
	commit, applied uint64

	// toldText words told, the ballot that a status has told last.
	told     Ballot
	toldText string

	role       role
	ballot     Ballot // the own one, of the last candidacy
	maxRound   uint64 // the greatest round ever seen
	leader     protocol.NodeID
	lastNonce  uint64 // of the leader's heartbeats
	heardAt    protocol.Time
	electionAt protocol.Time
	cand       *candidacy
	lead       *leadership

	minted     uint64
	known      []known // of the other members
	mesh       *mesh.Mesh
	betterAt   protocol.Time
	transferAt protocol.Time

	// Requests are numbered from 1; low is the lowest number not answered.
	waiters    map[uint64]*waiter
	nextN, low uint64
	openReads  []uint64
	batches    []*readBatch

	snap          *snapshot // the latest; never nil
	pinned        *snapshot
	pinnedTill    protocol.Time
	incoming      *incoming
	checkpointDue bool
	// keep, checkpointEvery and ahead are keepSlots, checkpointSlots and maxAhead; tests
	// make them small.
	keep, checkpointEvery, ahead uint64

	mending *mending // nil unless the disk was damaged

	leases  *leasing // nil where reads need no lease
	steward Steward  // nil where there is none
	// duties are those of somebody who does not lead, which only a planted bug has.
	duties []kv.Command
	name   string

	planted planted

	// configs are the configurations that count, see members.go; initial is the
	// first, before any change.
	configs []config
	initial uint64

	out protocol.Ready

	// trace, if set, learns how much was applied when a request was answered.
	// It is for tests, which check replies against the log.
	trace func(id protocol.RequestID, applied uint64)
}

// New returns a member that goes on from what it had made durable.
func New(cfg protocol.Config) (*Machine, error) { return NewWith(cfg, nil) }

// NewWith is New with kinds of objects of the caller's in the store.
func NewWith(cfg protocol.Config, ext kv.Extensions) (*Machine, error) {
	return NewMode(cfg, Mode{Extensions: ext})
}

// Mode is what a member does beside the plain log; the same at all members.
type Mode struct {
	// Protocol is the name to show in Status; "paxos" if it is empty.
	Protocol string
	// Extensions are kinds of objects of the caller's in the store.
	Extensions kv.Extensions
	// Leases lets the leader answer reads under a lease; see leases.go.
	Leases bool
	// Steward, if not nil, makes what looks after the extensions.
	Steward func() Steward
}

// NewMode is New for a mode.
func NewMode(cfg protocol.Config, mode Mode) (*Machine, error) {
	ext := mode.Extensions
	if err := validate(cfg); err != nil {
		return nil, fmt.Errorf("new paxos machine: %w", err)
	}
	codec, err := newCodec()
	if err != nil {
		return nil, fmt.Errorf("new paxos machine: %w", err)
	}
	m := &Machine{
		self: cfg.Self, members: slices.Clone(cfg.Members), epoch: cfg.Epoch,
		index:   map[protocol.NodeID]int{},
		timeout: cfg.RequestTimeout, bugs: cfg.Bugs, ext: ext, codec: codec,
		rng:   rand.New(rand.NewPCG(cfg.Seed, uint64(cfg.Epoch))),
		store: kv.New(cfg.Bugs, ext), heardAt: never, transferAt: never,
		known:   make([]known, len(cfg.Members)),
		waiters: map[uint64]*waiter{}, nextN: 1, low: 1,
		keep: keepSlots, checkpointEvery: checkpointSlots, ahead: maxAhead,
	}
	if m.timeout <= 0 {
		m.timeout = defaultTimeout
	}
	for i, id := range m.members {
		m.index[id] = i
		m.known[i].taughtAt = never
	}
	m.me = m.index[m.self]
	m.mesh = mesh.New(m.me, len(m.members))
	m.initial = uint64(1)<<len(m.members) - 1
	m.name = cmp.Or(mode.Protocol, "paxos")
	if mode.Leases {
		m.leases = newLeasing(cfg.Epoch, cfg.Bugs)
	}
	if mode.Steward != nil {
		m.steward = mode.Steward()
	}
	data := m.store.Encode()
	m.snap = &snapshot{data: data, sum: crc32.Checksum(data, castagnoli)}
	if err := m.restore(cfg.Checkpoint, cfg.Records); err != nil {
		return nil, fmt.Errorf("new paxos machine: %w", err)
	}
	m.refresh()
	m.electionAt = m.electionTimeout()
	if cfg.Damaged {
		m.mending = &mending{askedAt: never}
	}
	return m, nil
}

func validate(cfg protocol.Config) error {
	var errs []error
	if !slices.Contains(cfg.Members, cfg.Self) {
		errs = append(errs, fmt.Errorf("self %q is not a member", cfg.Self))
	}
	if cfg.Damaged && len(cfg.Members) == 1 {
		errs = append(errs, errors.New("the log is damaged, and no other member has a copy"))
	}
	if n := len(cfg.Members); n > 64 {
		errs = append(errs, fmt.Errorf("%d members, at most 64", n))
	}
	sorted := slices.Sorted(slices.Values(cfg.Members))
	if len(slices.Compact(sorted)) != len(cfg.Members) {
		errs = append(errs, errors.New("members are named twice"))
	}
	return errors.Join(errs...)
}

// advance takes the time. A driver's clock may be made to jump; a jump back
// stops our time for a moment, so that no timer waits for the lost time.
func (m *Machine) advance(now protocol.Time) {
	if m.started && now > m.wall {
		m.now += now - m.wall
	}
	m.wall, m.started = now, true
}

// mint returns a number that no life of this node returned before.
func (m *Machine) mint() uint64 {
	m.minted++
	return uint64(m.epoch)<<32 + m.minted
}

func (m *Machine) send(to int, k msgKind, body any) {
	m.post(to, m.codec.encode(k, body))
}

func (m *Machine) broadcast(k msgKind, body any) {
	if len(m.members) == 1 {
		return
	}
	b := m.codec.encode(k, body)
	for i := range m.members {
		if i != m.me {
			m.post(i, b)
		}
	}
}

func (m *Machine) post(to int, payload []byte) {
	m.out.Messages = append(m.out.Messages, protocol.Message{
		From: m.self, To: m.members[to], Epoch: m.epoch, Payload: payload,
	})
}

// Step handles a peer's message.
func (m *Machine) Step(now protocol.Time, msg protocol.Message) {
	m.advance(now)
	from, member := m.index[msg.From]
	if !member || from == m.me || msg.To != m.self {
		return
	}
	if msg.Epoch < m.known[from].epoch {
		return // from an earlier life of the sender
	}
	body, err := m.codec.decode(msg.Payload)
	if err != nil {
		return // corruption is loss
	}
	m.known[from].epoch = msg.Epoch
	if m.mending != nil {
		m.stepDamaged(from, body)
		return
	}
	m.refresh()
	m.dispatch(from, body)
	m.refresh()
}

func (m *Machine) dispatch(from int, body any) {
	switch b := body.(type) {
	case *mesh.Ping:
		m.mesh.Note(m.now, from, b)
	case *preVote:
		m.onPreVote(from, b)
	case *preVoteAnswer:
		m.onPreVoteAnswer(from, b)
	case *prepare:
		m.onPrepare(from, b)
	case *promise:
		m.onPromise(from, b)
	case *accept:
		m.onAccept(from, b)
	case *accepted:
		m.onAccepted(from, b)
	case *nack:
		m.onNack(from, b)
	case *heartbeat:
		m.onHeartbeat(from, b)
	case *heartbeatAnswer:
		m.onHeartbeatAnswer(from, b)
	case *forward:
		m.onForward(from, b)
	case *forwardAnswer:
		m.onForwardAnswer(from, b)
	case *read:
		m.onRead(from, b)
	case *readAnswer:
		m.onReadAnswer(from, b)
	case *learn:
		m.onLearn(from, b)
	case *snapshotPart:
		m.onSnapshotPart(from, b)
	case *progress:
		m.onProgress(from, b)
	case *transfer:
		m.onTransfer(from, b)
	case *rejoin:
		m.onRejoin(from, b)
	case *order:
		m.onOrder(b)
	}
}

// Tick tells the time. Ten times in a heartbeat interval is plenty.
func (m *Machine) Tick(now protocol.Time) {
	m.advance(now)
	m.refresh()
	switch {
	case m.mending != nil:
		m.tickMending()
	case m.role == leader:
		m.tickLinks()
		m.tickLeader()
	default:
		m.tickLinks()
		m.tickElection()
	}
	m.tickRequests()
	m.tickReads()
	m.tickSteward()
	m.tickPlanted()
}

// Ready returns what is to be done and forgets it. What came in since the last
// time is proposed here, together.
func (m *Machine) Ready() protocol.Ready {
	m.gatherReads()
	if m.role == leader {
		m.proposeQueued()
		m.startRound()
	}
	m.compact()
	out := m.out
	m.out = protocol.Ready{}
	m.finishHalves()
	return out
}

// Status tells what the node believes.
func (m *Machine) Status() protocol.Status {
	s := m.Brief()
	s.Node, s.Protocol, s.Epoch = m.self, m.name, m.epoch
	s.Applied, s.Committed = m.applied, m.commit
	s.Members, _ = m.split(m.chosenConfig())
	s.Details = m.details()
	return s
}

// Brief is the part of Status that says who leads, for those who look all the time.
func (m *Machine) Brief() protocol.Status {
	role := m.role.String()
	if m.mending != nil {
		role = "damaged"
	}
	if m.toldText == "" || m.told != m.promised {
		m.told, m.toldText = m.promised, m.promised.String()
	}
	return protocol.Status{
		Role: role, Primary: m.role == leader, Leader: m.leader, Ballot: m.toldText,
	}
}

// Extension returns the caller's kind of objects as of the slots applied so far,
// nil if there is none. Whoever looks must not change it.
func (m *Machine) Extension(kind string) kv.Extension { return m.store.Extension(kind) }
