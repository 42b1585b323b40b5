package appendlog

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// copies is how many nodes hold an element durably before it is acknowledged.
	copies = 2
	// resendAfter is how long a member may take before it is sent an element that
	// is not acknowledged yet once more.
	resendAfter = protocol.Time(75 * time.Millisecond)
	// tellEvery is how often a member is sent a digest.
	tellEvery = protocol.Time(100 * time.Millisecond)
	// maxData bounds key plus value, so that an element fits one datagram.
	maxData = 40_000
)

// Machine is one node. It implements protocol.Machine.
type Machine struct {
	cfg       protocol.Config
	codec     *codec
	store     *store
	seq       uint64     // of the last element made in this life
	appends   []*pending // not acknowledged yet, the oldest first
	reads     []*pending // that wait until they are covered
	started   bool       // the time is known
	told, now protocol.Time
	lastTold  protocol.Time // of a digest
	turn      int           // whose turn it is to be sent one
	out       protocol.Ready

	logged     int // records since the last checkpoint
	compacting *compaction
	compacted  protocol.Time
}

// pending is a request that has no answer yet.
type pending struct {
	req      protocol.Request
	seen     *token
	deadline protocol.Time
	// Of an append:
	element Element
	holders map[protocol.NodeID]bool // members where it is durable
	sent    protocol.Time
}

var _ protocol.Machine = (*Machine)(nil)

// New returns a node that continues from what cfg says was durable. It fails when
// the configuration makes no sense or when the log cannot be decoded.
func New(cfg protocol.Config) (*Machine, error) {
	if err := validate(cfg); err != nil {
		return nil, fmt.Errorf("appendlog: %w", err)
	}
	c, err := newCodec()
	if err != nil {
		return nil, fmt.Errorf("appendlog: %w", err)
	}
	m := &Machine{cfg: cfg, codec: c, store: newStore(), logged: len(cfg.Records)}
	es, err := c.decodeCheckpoint(cfg.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("appendlog: recover checkpoint: %w", err)
	}
	for _, e := range es {
		m.store.add(e)
	}
	for i, b := range cfg.Records {
		e, err := c.decodeElement(b)
		if err != nil {
			return nil, fmt.Errorf("appendlog: recover record %d: %w", i, err)
		}
		m.merge(e)
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

// Submit takes an append or a read, or refuses what the protocol does not have.
func (m *Machine) Submit(now protocol.Time, r protocol.Request) {
	m.advance(now)
	refuse := func(code, why string) {
		m.reply(protocol.Reply{ID: r.ID, Outcome: protocol.Fail, Code: code, Error: why})
	}
	add := r.Object == "set" && r.F == "add" || r.Object == "log" && r.F == "append"
	read := (r.Object == "set" || r.Object == "log") && r.F == "read"
	seen, err := m.codec.decodeToken(r.Token)
	switch {
	case r.Object == "session" && r.F == "open":
		m.reply(protocol.Reply{ID: r.ID, Outcome: protocol.OK, Value: "0"}) // tokens are enough
	case !add && !read || r.Txn != 0:
		refuse("not-supported", fmt.Sprintf("appendlog has no %s %s", r.Object, r.F))
	case add && (r.Value == "" || r.Value == "null"):
		refuse("bad-request", r.F+" without a value")
	case err != nil:
		refuse("bad-request", err.Error())
	case len(r.Key)+len(r.Value) > maxData:
		refuse("too-large", fmt.Sprintf("key and value exceed %d bytes", maxData))
	default:
		p := &pending{req: r, seen: seen, deadline: m.now + m.cfg.RequestTimeout}
		if add {
			m.append(p)
		} else {
			m.reads = append(m.reads, p)
			m.serveWaiting()
		}
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
	switch w.Kind {
	case kindElements:
		m.receive(msg.From, w.Elements)
	case kindKept:
		m.kept(msg.From, w.Holdings)
	case kindHave:
		m.compare(msg.From, w)
	}
}

// Tick repeats, gives up, tells others what it holds, and compacts.
func (m *Machine) Tick(now protocol.Time) {
	m.advance(now)
	m.expire()
	for _, p := range m.appends {
		if m.now-p.sent >= resendAfter {
			m.push(p)
		}
	}
	if m.now-m.lastTold >= tellEvery {
		m.lastTold = m.now
		m.tellHave()
	}
	m.compact()
}

// Ready returns what is to be done: records and checkpoint before the messages and
// replies that they justify.
func (m *Machine) Ready() protocol.Ready {
	r := m.out
	m.out = protocol.Ready{}
	m.logged += len(r.Records)
	return r
}

// Details are what Status tells beside the common fields.
type Details struct {
	// Elements are held; Appends and Reads wait for other nodes.
	Elements int `json:"elements"`
	Appends  int `json:"appends"`
	Reads    int `json:"reads"`
}

// Status describes the node. All nodes are equal: there is no leader.
func (m *Machine) Status() protocol.Status {
	return protocol.Status{
		Node: m.cfg.Self, Protocol: "appendlog", Role: "replica", Epoch: m.cfg.Epoch,
		Members: slices.Clone(m.cfg.Members),
		Details: Details{
			Elements: len(m.store.elements), Appends: len(m.appends), Reads: len(m.reads),
		},
	}
}

// advance moves our own time on. A step back of the node's clock stops it for a
// moment, not until the clock is again where it was.
func (m *Machine) advance(now protocol.Time) {
	if m.started && now > m.told {
		m.now += now - m.told
	}
	if !m.started {
		m.started, m.now, m.compacted = true, now, now
	}
	m.told = now
}

// append makes an element, keeps it, and sends it to all others.
func (m *Machine) append(p *pending) {
	p.element = Element{
		ID: m.nextID(), Time: max(m.store.clock, p.seen.time) + 1,
		Object: p.req.Object, Key: p.req.Key, Value: p.req.Value,
	}
	p.seen.see(p.element.ID.Series, p.element.ID.Seq)
	p.seen.time = max(p.seen.time, p.element.Time)
	m.keep(p.element)
	p.holders = map[protocol.NodeID]bool{m.cfg.Self: true}
	m.appends = append(m.appends, p)
	m.push(p)
	m.acknowledge()
	m.serveWaiting()
}

// nextID returns an identity that no element ever had: the boot epoch is durable
// before the node serves.
func (m *Machine) nextID() ID {
	m.seq++
	switch {
	case m.cfg.Bugs.Has(bug.LogIDReuseAfterRestart):
		// Planted bug: counted in memory, from 1 again after a restart.
		return ID{Series: Series{Node: m.cfg.Self}, Seq: m.seq}
	case m.cfg.Bugs.Has(bug.LogPositionAsIdentity):
		// Planted bug: the position, which is the same at two nodes that do not
		// know of each other's elements.
		return ID{Seq: m.store.held[Series{}].last() + 1}
	default:
		return ID{Series: Series{Node: m.cfg.Self, Epoch: m.cfg.Epoch}, Seq: m.seq}
	}
}

// keep makes an element durable here, if it is new.
func (m *Machine) keep(e Element) {
	if !m.merge(e) {
		return
	}
	m.out.Records = append(m.out.Records, encode(e))
	if m.compacting != nil {
		m.compacting.since = append(m.compacting.since, e)
	}
}

// merge takes an element into the union, and reports whether that changed it.
func (m *Machine) merge(e Element) bool {
	if m.cfg.Bugs.Has(bug.LogPositionAsIdentity) {
		if old, ok := m.store.elements[e.ID]; ok && old != e {
			m.store.forget(e.ID) // planted bug: the last to come has the position
			m.store.put(e)
			return true
		}
	}
	return m.store.add(e)
}

// push sends an element to those who have not acknowledged it.
func (m *Machine) push(p *pending) {
	p.sent = m.now
	for _, id := range m.others() {
		if !p.holders[id] {
			m.transmit(id, []Element{p.element})
		}
	}
}

// kept counts what a member holds durably.
func (m *Machine) kept(from protocol.NodeID, hs []holding) {
	for _, p := range m.appends {
		for _, h := range hs {
			if h.Series == p.element.ID.Series && h.Ranges.has(p.element.ID.Seq) {
				p.holders[from] = true
			}
		}
	}
	m.acknowledge()
}

// acknowledge answers the appends that enough nodes hold. This node is one of them:
// the reply leaves after the record is durable.
func (m *Machine) acknowledge() {
	m.appends = slices.DeleteFunc(m.appends, func(p *pending) bool {
		if len(p.holders) < min(copies, len(m.cfg.Members)) {
			return false
		}
		m.appended(p)
		return true
	})
}

func (m *Machine) appended(p *pending) {
	m.reply(protocol.Reply{
		ID: p.req.ID, Outcome: protocol.OK, Value: "null", Token: p.seen.encode(),
	})
}

// serveWaiting answers the reads that are covered now.
func (m *Machine) serveWaiting() {
	m.reads = slices.DeleteFunc(m.reads, func(p *pending) bool {
		if !m.covered(p.seen) {
			return false
		}
		m.show(p)
		return true
	})
}

// covered reports whether everything that the session has seen is here.
func (m *Machine) covered(t *token) bool {
	if m.cfg.Bugs.Has(bug.LogSessionTokenIgnored) {
		return true // planted bug
	}
	for s, seq := range t.marks {
		if m.store.held[s].prefix() < seq {
			return false
		}
	}
	return true
}

// show answers a read from what is here. The client has now seen all of that.
func (m *Machine) show(p *pending) {
	for s, r := range m.store.held {
		p.seen.see(s, r.last())
	}
	p.seen.time = max(p.seen.time, m.store.clock)
	m.reply(protocol.Reply{
		ID: p.req.ID, Outcome: protocol.OK, Value: m.store.show(p.req.Object, p.req.Key),
		Token: p.seen.encode(),
	})
}

// expire answers the requests whose time is over.
func (m *Machine) expire() {
	lie := m.cfg.Bugs.Has(bug.ErrorAsOK) // planted bug: errors are dropped
	m.appends = slices.DeleteFunc(m.appends, func(p *pending) bool {
		switch {
		case m.now < p.deadline:
			return false
		case lie:
			m.appended(p)
		default:
			// It is held here, and others will hear of it, now or later.
			m.reply(protocol.Reply{
				ID: p.req.ID, Outcome: protocol.Unknown, Code: "timeout",
				Error: fmt.Sprintf("%d of %d nodes hold it", len(p.holders), copies),
			})
		}
		return true
	})
	m.reads = slices.DeleteFunc(m.reads, func(p *pending) bool {
		switch {
		case m.now < p.deadline:
			return false
		case lie:
			m.show(p)
		default:
			m.reply(protocol.Reply{
				ID: p.req.ID, Outcome: protocol.Fail, Code: "unavailable",
				Error: "this node has not received all that the session has seen",
			})
		}
		return true
	})
}

func (m *Machine) others() []protocol.NodeID {
	return slices.DeleteFunc(slices.Clone(m.cfg.Members), func(id protocol.NodeID) bool {
		return id == m.cfg.Self
	})
}

func (m *Machine) reply(rep protocol.Reply) { m.out.Replies = append(m.out.Replies, rep) }

func (m *Machine) send(to protocol.NodeID, w message) {
	m.out.Messages = append(m.out.Messages, protocol.Message{
		From: m.cfg.Self, To: to, Epoch: m.cfg.Epoch, Payload: encode(w),
	})
}
