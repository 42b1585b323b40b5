package decide

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// checkpointEvery is how many records the log may hold.
	checkpointEvery = 4096
	// maxData bounds key plus value, so that a vote fits one datagram.
	maxData = protocol.MaxPayload - 1024
)

// Machine is one node: an acceptor, a learner, and a proposer for its clients, in
// every instance. It implements protocol.Machine.
type Machine struct {
	cfg       protocol.Config
	codec     *codec
	rng       *rand.Rand
	acceptors map[string]acceptor                 // by instance; durable
	votes     map[string]map[protocol.NodeID]Vote // by instance, then acceptor
	proposers map[string]*proposer                // by instance
	active    []*proposer                         // somebody waits there
	started   bool                                // the time is known
	told, now protocol.Time                       // the driver's; our own, which never falls
	own       []message                           // to this node itself, not handled yet
	received  int                                 // for the planted bug px-dup-reply-counted
	out       protocol.Ready
	logged    int // records since the last checkpoint

	checkpointEvery int
	watch           func(instance string, v Vote) // set by tests: what is chosen
}

var _ protocol.Machine = (*Machine)(nil)

// New returns a node that continues from what cfg says was durable. It fails when
// the configuration makes no sense or when a record cannot be decoded: an
// acceptor that has lost a promise must not answer as if it had given none.
func New(cfg protocol.Config) (*Machine, error) {
	if err := validate(cfg); err != nil {
		return nil, fmt.Errorf("decide: %w", err)
	}
	c, err := newCodec()
	if err != nil {
		return nil, fmt.Errorf("decide: %w", err)
	}
	m := &Machine{
		cfg: cfg, codec: c, rng: rand.New(rand.NewPCG(cfg.Seed, uint64(cfg.Epoch))),
		acceptors: map[string]acceptor{}, votes: map[string]map[protocol.NodeID]Vote{},
		proposers: map[string]*proposer{}, logged: len(cfg.Records),
		checkpointEvery: checkpointEvery,
	}
	if err := c.decodeCheckpoint(cfg.Checkpoint, m.acceptors); err != nil {
		return nil, fmt.Errorf("decide: recover checkpoint: %w", err)
	}
	for i, b := range cfg.Records {
		r, err := c.decodeRecord(b)
		if err != nil {
			return nil, fmt.Errorf("decide: recover record %d: %w", i, err)
		}
		m.acceptors[r.Instance] = r.Acceptor
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
	if cfg.RequestTimeout <= 0 {
		errs = append(errs, errors.New("request timeout must be greater than zero"))
	}
	return errors.Join(errs...)
}

// Submit takes a proposal or a question, or refuses what the protocol does not
// have.
func (m *Machine) Submit(now protocol.Time, r protocol.Request) {
	m.advance(now)
	refuse := func(code, why string) {
		m.reply(protocol.Reply{ID: r.ID, Outcome: protocol.Fail, Code: code, Error: why})
	}
	switch {
	case r.Object == "session" && r.F == "open":
		m.reply(protocol.Reply{ID: r.ID, Outcome: protocol.OK, Value: "0"}) // no sessions
	case r.Object != "decide", r.F != "propose" && r.F != "ask", r.Txn != 0:
		refuse("not-supported", fmt.Sprintf("decide has no %s %s", r.Object, r.F))
	case r.F == "propose" && (r.Value == "" || r.Value == "null"):
		refuse("bad-request", "propose without a value")
	case len(r.Key)+len(r.Value) > maxData:
		refuse("too-large", fmt.Sprintf("key and value exceed %d bytes", maxData))
	default:
		m.submit(r)
	}
}

// Step handles a peer's message.
func (m *Machine) Step(now protocol.Time, msg protocol.Message) {
	m.advance(now)
	if msg.From == m.cfg.Self || !slices.Contains(m.cfg.Members, msg.From) {
		return
	}
	w, err := m.codec.decodeMessage(msg.Payload)
	if err != nil {
		return // corruption is loss
	}
	m.handle(msg.From, w)
}

func (m *Machine) handle(from protocol.NodeID, w message) {
	switch w.Kind {
	case kindPrepare:
		m.prepare(from, w.Instance, w.Ballot)
	case kindPromise:
		m.promise(from, w.Instance, w.Ballot, w.Vote)
	case kindAccept:
		m.accept(from, w.Instance, w.Vote)
	case kindVoted:
		m.learn(from, w.Instance, w.Vote)
	case kindNack:
		m.nack(w.Instance, w.Ballot, w.Promised)
	}
}

// Tick handles what this node has sent to itself, and gives up requests that are
// overdue, and attempts that take too long.
func (m *Machine) Tick(now protocol.Time) {
	m.advance(now)
	for len(m.own) > 0 {
		w := m.own[0]
		m.own = m.own[1:]
		m.handle(m.cfg.Self, w)
	}
	for _, p := range slices.Clone(m.active) {
		m.expire(p)
		if p.phase != idle && m.now >= p.until {
			m.retry(p)
		}
	}
}

// Ready returns what is to be done. Records come before the messages and replies
// that they justify; when there are many, a checkpoint replaces all.
func (m *Machine) Ready() protocol.Ready {
	r := m.out
	m.out = protocol.Ready{}
	m.logged += len(r.Records)
	if m.logged >= m.checkpointEvery {
		r.Checkpoint, r.Records = m.checkpoint(), nil // has the pending records, too
		m.logged = 0
	}
	return r
}

// Details are what Status tells beside the common fields.
type Details struct {
	// Instances counts those in which the node has promised or voted, Open those
	// in which a client waits.
	Instances int `json:"instances"`
	Open      int `json:"open"`
}

// Status describes the node. All nodes are equal: there is no leader.
func (m *Machine) Status() protocol.Status {
	return protocol.Status{
		Node: m.cfg.Self, Protocol: "decide", Role: "replica", Epoch: m.cfg.Epoch,
		Members: slices.Clone(m.cfg.Members),
		Details: Details{Instances: len(m.acceptors), Open: len(m.active)},
	}
}

// advance moves our own time on. A step back of the node's clock stops it for a
// moment, not until the clock is again where it was.
func (m *Machine) advance(now protocol.Time) {
	if m.started && now > m.told {
		m.now += now - m.told
	}
	if !m.started {
		m.started, m.now = true, now
	}
	m.told = now
}

// majority is how many acceptors are needed: any two majorities of the configured
// members share one of them.
func (m *Machine) majority() int { return len(m.cfg.Members)/2 + 1 }

func (m *Machine) reply(rep protocol.Reply) { m.out.Replies = append(m.out.Replies, rep) }

// send lets a message leave. The node's own acceptor and learner are like those
// of the others: they hear of it a little later, at the next tick. So a proposer's
// majority is often one of other nodes, and its restart loses what was under way.
func (m *Machine) send(to protocol.NodeID, w message) {
	if to == m.cfg.Self {
		m.own = append(m.own, w)
		return
	}
	m.out.Messages = append(m.out.Messages, protocol.Message{
		From: m.cfg.Self, To: to, Epoch: m.cfg.Epoch, Payload: encode(w),
	})
}

// broadcast sends to everybody, this node included.
func (m *Machine) broadcast(w message) {
	for _, id := range m.cfg.Members {
		m.send(id, w)
	}
}
