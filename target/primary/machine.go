package primary

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
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

type role uint8

const (
	copying role = iota
	surveying
	candidate
	leading
)

func (r role) String() string {
	return [...]string{"copy", "candidate", "candidate", "primary"}[r]
}

// Machine is one member. It implements protocol.Machine.
type Machine struct {
	mode     mode
	self     protocol.NodeID
	me       int // position of self in members
	members  []protocol.NodeID
	index    map[protocol.NodeID]int
	majority int
	epoch    protocol.Epoch
	epochs   []protocol.Epoch // the greatest heard of, by member
	timeout  protocol.Time
	bugs     bug.Set
	codec    *codec
	rng      *rand.Rand

	// wall is the driver's time when it was last told, now our own, which starts
	// at 0 and never runs backwards; ticked is our time at the last tick.
	wall, now, ticked protocol.Time
	started           bool
	alone             bool // nobody was heard of in this life

	// Durable: the view joined, the log, the store as of the checkpoint.
	view  View
	log   entries
	store *kv.Store

	// commit is how much of the log is known to be committed, applied how much is
	// applied. A primary that acknowledges alone applies more than is committed;
	// otherwise they are equal.
	commit, applied uint64

	role       role
	seen       View // the greatest view ever heard of
	primary    protocol.NodeID
	heardAt    protocol.Time
	electionAt protocol.Time
	cand       *candidacy
	lead       *leadership

	// What a copy knows in this view: how far its log agrees with the primary's,
	// and what came too early to be logged.
	matched   uint64
	lastNonce uint64
	early     []*replicate
	misled    misled

	minted   uint64
	mesh     *mesh.Mesh
	betterAt protocol.Time // when we last handed over to a member better linked

	// Requests are numbered from 1; low is the lowest number not answered.
	waiters    map[uint64]*waiter
	nextN, low uint64
	catchUp    catchUp

	snap          *snapshot // the latest; never nil
	incoming      *incoming
	checkpointDue bool
	// keep and checkpointEvery are keepEntries and checkpointEntries; tests make
	// them small.
	keep, checkpointEvery uint64

	out protocol.Ready

	// trace, if set, learns how much was applied where and when a read was answered,
	// or which entry a command was. It is for tests, which check replies against the
	// log.
	trace func(id protocol.RequestID, applied uint64)
}

func newMachine(cfg protocol.Config, mode mode) (*Machine, error) {
	m, err := build(cfg, mode)
	if err != nil {
		return nil, fmt.Errorf("new %s machine: %w", mode.name, err)
	}
	return m, nil
}

func build(cfg protocol.Config, mode mode) (*Machine, error) {
	if err := validate(cfg); err != nil {
		return nil, err
	}
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	m := &Machine{
		mode: mode, self: cfg.Self, members: slices.Clone(cfg.Members), epoch: cfg.Epoch,
		index: map[protocol.NodeID]int{}, majority: len(cfg.Members)/2 + 1,
		epochs:  make([]protocol.Epoch, len(cfg.Members)),
		timeout: cfg.RequestTimeout, bugs: cfg.Bugs, codec: codec, alone: true,
		rng:   rand.New(rand.NewPCG(cfg.Seed, uint64(cfg.Epoch))),
		store: kv.New(cfg.Bugs, nil), heardAt: never,
		betterAt: never,
		waiters:  map[uint64]*waiter{}, nextN: 1, low: 1,
		keep: keepEntries, checkpointEvery: checkpointEntries,
	}
	if m.timeout <= 0 {
		m.timeout = defaultTimeout
	}
	for i, id := range m.members {
		m.index[id] = i
	}
	m.me = m.index[m.self]
	m.mesh = mesh.New(m.me, len(m.members))
	m.snap = newSnapshot(end{}, m.store.Encode())
	if err := m.restore(cfg.Checkpoint, cfg.Records); err != nil {
		return nil, err
	}
	m.seen, m.matched = m.view, m.commit
	m.electionAt = m.electionTimeout()
	return m, nil
}

func validate(cfg protocol.Config) error {
	var errs []error
	if !slices.Contains(cfg.Members, cfg.Self) {
		errs = append(errs, fmt.Errorf("self %q is not a member", cfg.Self))
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

// advance takes the time. A driver's clock may be made to jump; a jump back stops
// our time for a moment, so that no timer waits for the lost time.
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

func (m *Machine) isMajority(set uint64) bool { return bits.OnesCount64(set) >= m.majority }

func (m *Machine) between(lo, hi protocol.Time) protocol.Time {
	return lo + protocol.Time(m.rng.Int64N(int64(hi-lo)))
}

func (m *Machine) send(to int, k msgKind, body any) { m.post(to, encode(k, body)) }

func (m *Machine) broadcast(k msgKind, body any) {
	if len(m.members) == 1 {
		return
	}
	b := encode(k, body)
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
	if msg.Epoch < m.epochs[from] {
		return // from an earlier life of the sender
	}
	body, err := m.codec.decode(msg.Payload)
	if err != nil {
		return // corruption is loss
	}
	m.epochs[from] = msg.Epoch
	m.alone = false
	m.dispatch(from, body)
}

func (m *Machine) dispatch(from int, body any) {
	switch b := body.(type) {
	case *mesh.Ping:
		m.mesh.Note(m.now, from, b)
	case *survey:
		m.onSurvey(from, b)
	case *surveyAnswer:
		m.onSurveyAnswer(from, b)
	case *newView:
		m.onNewView(from, b)
	case *joined:
		m.onJoined(from, b)
	case *fetch:
		m.onFetch(from, b)
	case *fetched:
		m.onFetched(from, b)
	case *refusal:
		m.onRefusal(from, b)
	case *replicate:
		m.onReplicate(from, b)
	case *logged:
		m.onLogged(from, b)
	case *statePart:
		m.onStatePart(from, b)
	case *command:
		m.onCommand(from, b)
	case *read:
		m.onRead(from, b)
	case *answer:
		m.onAnswer(from, b)
	case *handOver:
		m.onHandOver(from, b)
	case *takeOver:
		m.onTakeOver(from, b)
	}
}

// Tick tells the time.
func (m *Machine) Tick(now protocol.Time) {
	m.advance(now)
	m.tickLinks()
	if m.role == leading {
		m.tickPrimary()
	} else {
		m.tickElection()
	}
	m.tickRequests()
	m.ticked = m.now
}

// Ready returns what is to be done and forgets it. What came in since the last time
// is logged and sent here, together.
func (m *Machine) Ready() protocol.Ready {
	if m.role == leading {
		m.flush()
		m.startRound()
	}
	m.compact()
	out := m.out
	m.out = protocol.Ready{}
	return out
}

// details are this protocol's part of the status.
type details struct {
	// View is the view joined; LogView and LogEnd tell how the log ends.
	View    View   `json:"view"`
	LogView View   `json:"log_view"`
	LogEnd  uint64 `json:"log_end"`
	// Fetching is set while the state is being fetched from the primary.
	Fetching bool `json:"fetching,omitempty"`
	// Members are those of the view, whose logs are waited for; only at the primary
	// and only where all of them are.
	Members []protocol.NodeID `json:"view_members,omitempty"`
}

// Status tells what the node believes.
func (m *Machine) Status() protocol.Status {
	e := m.log.end()
	d := details{View: m.view, LogView: e.View, LogEnd: e.Seq, Fetching: m.incoming != nil}
	if m.role == leading && m.mode.acks == ackAll {
		for i, id := range m.members {
			if m.lead.members&(1<<i) != 0 {
				d.Members = append(d.Members, id)
			}
		}
	}
	return protocol.Status{
		Node: m.self, Protocol: m.mode.name, Role: m.role.String(), Primary: m.role == leading,
		Leader: m.primary, Ballot: m.view.String(),
		Applied: m.applied, Committed: m.commit, Epoch: m.epoch,
		Members: slices.Clone(m.members), Details: d,
	}
}
