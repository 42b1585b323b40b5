package cache

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/lease"
	"github.com/ordeal-dev/ordeal/target/paxos"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	ms = protocol.Time(1e6)
	// beaconEvery is how often the server shows that it is there, silence how long
	// nothing is heard of it before another claims its place.
	beaconEvery = 150 * ms
	silence     = 1200 * ms
	// askAgain is how long a request to the server waits before it is repeated.
	askAgain = 100 * ms
	// defaultTimeout bounds a request when the configuration does not.
	defaultTimeout = 1000 * ms
)

// terms are those of the leases on copies: longer than an election takes by far.
func terms() lease.Terms { return lease.Terms{Length: 4000 * ms, Drift: lease.Declared().Drift} }

// Machine is one node. It implements protocol.Machine.
type Machine struct {
	inner   *paxos.Machine
	self    protocol.NodeID
	members []protocol.NodeID
	epoch   protocol.Epoch
	timeout protocol.Time
	bugs    bug.Set
	terms   lease.Terms

	wall, now protocol.Time
	started   bool

	// record is what this node has applied of the log, as of the last tick.
	record record
	// server is who has shown itself last, in which term, and when.
	server     protocol.NodeID
	serverTerm uint64
	heardAt    protocol.Time
	claiming   bool

	serving *serving // nil while another serves
	holder  holder

	waiters    map[uint64]*waiter
	nextN, low uint64

	// inside are the requests to the log that have no reply yet.
	inside     map[protocol.RequestID]func(protocol.Reply)
	lastInside protocol.RequestID

	out protocol.Ready
}

// insideBit tells requests to the log from those of clients.
const insideBit = protocol.RequestID(1) << 63

// waiter is a client's request that has no reply yet.
type waiter struct {
	req      protocol.Request
	deadline protocol.Time
	handed   bool
	sentAt   protocol.Time
}

// New returns a node that goes on from what it had made durable.
func New(cfg protocol.Config) (*Machine, error) {
	return newWith(cfg, func() *state { return newState(cfg.Bugs) })
}

func newWith(cfg protocol.Config, make func() *state) (*Machine, error) {
	m := &Machine{
		self: cfg.Self, members: slices.Clone(cfg.Members), epoch: cfg.Epoch,
		timeout: cmp.Or(cfg.RequestTimeout, defaultTimeout), bugs: cfg.Bugs, terms: terms(),
		waiters: map[uint64]*waiter{}, nextN: 1, low: 1, holder: newHolder(),
		inside: map[protocol.RequestID]func(protocol.Reply){}, lastInside: insideBit,
	}
	inner, err := paxos.NewMode(cfg, paxos.Mode{
		Protocol:   "cache",
		Extensions: kv.Extensions{kind: func() kv.Extension { return make() }},
		Steward:    func() paxos.Steward { return (*observer)(m) },
	})
	if err != nil {
		return nil, fmt.Errorf("new cache machine: %w", err)
	}
	m.inner = inner
	return m, nil
}

// observer looks at what the node has applied. It implements paxos.Steward and
// proposes nothing.
type observer Machine

// Due takes note of the record.
func (o *observer) Due(_ protocol.Time, _ bool, s *kv.Store) []kv.Command {
	if x, ok := s.Extension(kind).(*state); ok {
		o.record = x.record
	}
	return nil
}

// Stamp changes nothing.
func (o *observer) Stamp(_ paxos.Ballot, c kv.Command) kv.Command { return c }

// advance takes the time, which never runs backwards for us.
func (m *Machine) advance(now protocol.Time) {
	if m.started && now > m.wall {
		m.now += now - m.wall
	}
	m.wall, m.started = now, true
}

// ask hands a command or a read to the log.
func (m *Machine) ask(f, key string, a argument, then func(protocol.Reply)) {
	m.lastInside++
	m.inside[m.lastInside] = then
	m.inner.Submit(m.wall, protocol.Request{
		ID: m.lastInside, Object: kind, F: f, Key: key, Value: a.String(),
	})
}

// message is what nodes say to each other beside the log. The meaning of its fields
// depends on the kind.
type message struct {
	_     struct{} `cbor:",toarray"`
	Kind  msgKind
	Key   string
	Value string
	// Token matches a grant with its request.
	Token     uint64
	Term, Gen uint64
	// Epoch, N and Low name a write of the sender.
	Epoch  protocol.Epoch
	N, Low uint64
	Target protocol.NodeID
}

type msgKind uint8

const (
	kindBeacon msgKind = iota + 1
	kindGet
	kindGrant
	kindInvalidate
	kindAck
	kindWrite
	kindDone
	kindOrder
)

// The first byte of a payload tells the log's messages from ours.
const (
	forLog   = 0
	forCache = 1
)

func (m *Machine) send(to protocol.NodeID, msg message) {
	if to == m.self {
		m.handle(m.self, &msg)
		return
	}
	b, err := cbor.Marshal(msg)
	if err != nil {
		panic("cache: encode message: " + err.Error()) // the types above all encode
	}
	m.out.Messages = append(m.out.Messages, protocol.Message{
		From: m.self, To: to, Epoch: m.epoch, Payload: append([]byte{forCache}, b...),
	})
}

// Step handles a peer's message.
func (m *Machine) Step(now protocol.Time, msg protocol.Message) {
	m.advance(now)
	if len(msg.Payload) == 0 {
		return
	}
	body := msg.Payload[1:]
	if msg.Payload[0] == forLog {
		msg.Payload = body
		m.inner.Step(now, msg)
		return
	}
	var x message
	if msg.Payload[0] != forCache || !slices.Contains(m.members, msg.From) ||
		unmarshal(body, &x) != nil {
		return // corruption is loss
	}
	m.handle(msg.From, &x)
}

func (m *Machine) handle(from protocol.NodeID, x *message) {
	switch x.Kind {
	case kindBeacon:
		if x.Term >= m.serverTerm {
			m.server, m.serverTerm, m.heardAt = from, x.Term, m.now
		}
	case kindGet:
		m.get(from, x)
	case kindGrant:
		m.onGrant(x)
	case kindInvalidate:
		m.onInvalidate(from, x)
	case kindAck:
		m.onAck(from, x)
	case kindWrite:
		m.onWrite(from, x)
	case kindDone:
		if x.Epoch == m.epoch {
			m.complete(x.N, kv.Result{})
		}
	case kindOrder:
		m.handOver(x.Target)
	}
}

// Submit takes over a client's request.
func (m *Machine) Submit(now protocol.Time, r protocol.Request) {
	m.advance(now)
	if refusal, fine := m.check(r); !fine {
		m.reply(r.ID, refusal)
		return
	}
	if r.Object == "session" {
		m.reply(r.ID, kv.Result{Value: "0"}) // there are none, and no need of them
		return
	}
	n := m.nextN
	m.nextN++
	m.waiters[n] = &waiter{req: r, deadline: m.now + m.timeout, sentAt: m.now - askAgain}
	m.pursue(n)
}

func (m *Machine) check(r protocol.Request) (kv.Result, bool) {
	fail := func(code, format string, args ...any) (kv.Result, bool) {
		return kv.Result{Outcome: protocol.Fail, Code: code, Error: fmt.Sprintf(format, args...)}, false
	}
	switch {
	case r.Object == "register" && r.F == "read", r.Object == "session" && r.F == "open":
	case r.Object == "register" && r.F == "write":
		if len(r.Key)+len(r.Value) > kv.MaxCommand/2 {
			return fail(kv.CodeTooLarge, "key and value have more than %d bytes", kv.MaxCommand/2)
		}
		if !json.Valid([]byte(r.Value)) {
			return fail(kv.CodeBadRequest, "register.write: %q is not JSON", r.Value)
		}
	case r.Object == "admin" && r.F == "transfer":
		if !slices.Contains(m.members, target(r)) {
			return fail(kv.CodeBadRequest, "admin.transfer: %s names no member", r.Value)
		}
	default:
		return fail(kv.CodeNotSupported, "no operation %s.%s", r.Object, r.F)
	}
	return kv.Result{}, true
}

func target(r protocol.Request) (id protocol.NodeID) {
	if json.Unmarshal([]byte(r.Value), &id) != nil {
		return ""
	}
	return id
}

// pursue does what can be done for a request now.
func (m *Machine) pursue(n uint64) {
	w := m.waiters[n]
	if w.req.F == "read" {
		if value, fresh := m.holder.read(w.req.Key, m.now); fresh {
			m.complete(n, kv.Result{Value: value})
			return
		}
	}
	if m.server == "" || m.now-w.sentAt < askAgain {
		return
	}
	w.sentAt = m.now
	switch {
	case w.req.F == "read":
		m.request(w.req.Key)
	case w.req.F == "write":
		w.handed = true
		m.send(m.server, message{Kind: kindWrite, Key: w.req.Key, Value: w.req.Value,
			Epoch: m.epoch, N: n, Low: m.low})
	case m.server == target(w.req):
		m.complete(n, kv.Result{})
	default:
		w.handed = true
		m.send(m.server, message{Kind: kindOrder, Target: target(w.req)})
	}
}

func (m *Machine) complete(n uint64, r kv.Result) {
	w := m.waiters[n]
	if w == nil {
		return
	}
	if m.now >= w.deadline {
		r = m.timedOut(w)
	}
	m.reply(w.req.ID, r)
	delete(m.waiters, n)
	for m.low < m.nextN && m.waiters[m.low] == nil {
		m.low++
	}
}

func (m *Machine) timedOut(w *waiter) kv.Result {
	if w.req.F == "read" || !w.handed {
		return kv.Result{Outcome: protocol.Fail, Code: "unavailable", Error: "no server answered"}
	}
	switch {
	case m.bugs.Has(bug.ErrorAsOK):
		return kv.Result{} // planted: the error is dropped on the way
	case m.bugs.Has(bug.TimeoutAsFail):
		// Planted: it may happen still, or has happened.
		return kv.Result{Outcome: protocol.Fail, Code: "not-committed", Error: "not in time"}
	}
	return kv.Result{Outcome: protocol.Unknown, Code: "timeout", Error: "no answer in time"}
}

func (m *Machine) reply(id protocol.RequestID, r kv.Result) {
	m.out.Replies = append(m.out.Replies, protocol.Reply{
		ID: id, Outcome: r.Outcome, Value: r.Value, Code: r.Code, Error: r.Error,
	})
}

// Tick tells the time.
func (m *Machine) Tick(now protocol.Time) {
	m.advance(now)
	m.inner.Tick(now)
	m.collect()
	for n := m.low; n < m.nextN; n++ {
		switch w := m.waiters[n]; {
		case w == nil:
		case m.now >= w.deadline:
			m.complete(n, kv.Result{})
		default:
			m.pursue(n)
		}
	}
	if m.serving != nil {
		m.serve()
	} else {
		m.considerClaim()
	}
}

// collect takes what the log wants done.
func (m *Machine) collect() {
	for r := m.inner.Ready(); !r.Empty(); r = m.inner.Ready() {
		if r.Checkpoint != nil {
			m.out.Checkpoint, m.out.Records = r.Checkpoint, nil
		}
		m.out.Records = append(m.out.Records, r.Records...)
		for _, x := range r.Messages {
			x.Payload = append([]byte{forLog}, x.Payload...)
			m.out.Messages = append(m.out.Messages, x)
		}
		for _, rep := range r.Replies {
			then := m.inside[rep.ID]
			delete(m.inside, rep.ID)
			then(rep)
		}
	}
}

// Ready returns what is to be done and forgets it.
func (m *Machine) Ready() protocol.Ready {
	m.collect()
	out := m.out
	m.out = protocol.Ready{}
	return out
}

// Details is what /status tells beside what every protocol does.
type Details struct {
	Server protocol.NodeID `json:"server,omitempty"`
	Term   uint64          `json:"term,omitempty"`
	// Cached is how many values the node may answer from now, Blocked for how long
	// it, as the server, may not write yet, in milliseconds.
	Cached  int   `json:"cached"`
	Blocked int64 `json:"blocked_ms,omitempty"`
}

// Status tells what the node believes. The primary is the server.
func (m *Machine) Status() protocol.Status {
	s := m.inner.Status()
	d := Details{Server: m.server, Term: m.serverTerm, Cached: m.holder.fresh(m.now)}
	s.Primary, s.Leader, s.Role = m.serving != nil, m.server, "copy"
	if s.Primary {
		s.Role = "primary"
		d.Blocked = max(0, int64((m.serving.freeAt-m.now)/ms))
	}
	s.Details = d
	return s
}
