package mvcc

import (
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/versions"
)

// resendAfter is how long an answer may take before the relay asks again.
const resendAfter = protocol.Time(75 * time.Millisecond)

// codeRestarted is the unknown outcome of a request whose database has restarted.
const codeRestarted = "database-restarted"

// relay is a node that passes requests on to the database.
type relay struct {
	cfg   protocol.Config
	name  string
	clock clock
	out   protocol.Ready
	// database is the life of the database that requests are meant for; 0 until
	// it is known.
	database protocol.Epoch
	greeted  protocol.Time
	last     uint64
	pending  []*relayed // the oldest first
	// doomed are transactions that clients were told to be aborted: because an
	// operation of them was not answered, nobody knows whether it counts.
	doomed map[uint64]bool
}

// relayed is a request under way.
type relayed struct {
	id       uint64
	req      protocol.Request
	deadline protocol.Time
	sent     protocol.Time
	out      bool // has left, at least once
	parts    [][]byte
}

func newRelay(cfg protocol.Config, name string) *relay {
	return &relay{cfg: cfg, name: name, doomed: map[uint64]bool{}, greeted: -resendAfter}
}

// changes reports whether the request can have an effect when it arrives alone.
// Operations inside a transaction have none before its commit.
func changes(r protocol.Request) bool {
	switch {
	case r.Object == "txn":
		return r.F == "commit" || r.F == "run"
	default:
		return r.Txn == 0 && r.F != "read"
	}
}

// Submit takes over a request.
func (n *relay) Submit(now protocol.Time, r protocol.Request) {
	n.clock.advance(now)
	switch {
	case r.Object == "session" && r.F == "open":
		n.reply(r, kv.Result{Value: "0"})
		return
	case r.Txn != 0 && n.doomed[r.Txn]:
		n.reply(r, versions.Fail(codeAborted, "an operation of the transaction got no answer"))
		return
	case len(r.Key)+len(r.Value) > maxData:
		n.reply(r, versions.Fail(kv.CodeTooLarge, "key and value have more than %d bytes", maxData))
		return
	}
	n.last++
	p := &relayed{id: n.last, req: r, deadline: n.clock.now + n.cfg.RequestTimeout}
	n.pending = append(n.pending, p)
	n.pass(p)
}

// pass sends a request to the life of the database that is known, if one is.
func (n *relay) pass(p *relayed) {
	if n.database == 0 {
		n.greet()
		return
	}
	p.out, p.sent = true, n.clock.now
	r := p.req
	n.send(wire{
		Kind: kindAsk, Relay: n.cfg.Epoch, Database: n.database, ID: p.id, Low: n.pending[0].id,
		Object: r.Object, F: r.F, Key: r.Key, Value: r.Value, Txn: r.Txn,
	})
}

func (n *relay) greet() {
	if n.clock.now-n.greeted >= resendAfter {
		n.greeted = n.clock.now
		n.send(wire{Kind: kindHello, Relay: n.cfg.Epoch})
	}
}

// Step handles the database's answer.
func (n *relay) Step(now protocol.Time, m protocol.Message) {
	n.clock.advance(now)
	w, err := decodeWire(m.Payload)
	if err != nil || m.From != n.cfg.Members[0] || w.Database < n.database {
		return // corrupt, or from an earlier life of the database
	}
	if w.Database > n.database {
		n.databaseRestarted(w.Database)
	}
	if w.Kind == kindAnswer && w.Relay == n.cfg.Epoch {
		n.answered(w)
	}
}

// databaseRestarted goes over to a new life of the database. What the old one was
// asked is asked again if it does no harm; a request that may have had its effect
// has an outcome that nobody knows.
func (n *relay) databaseRestarted(epoch protocol.Epoch) {
	n.database = epoch
	for _, p := range slices.Clone(n.pending) {
		if p.out && changes(p.req) {
			n.lost(p, codeRestarted, "the database has restarted meanwhile")
			continue
		}
		p.parts = nil
		n.pass(p)
	}
}

func (n *relay) answered(w wire) {
	i := slices.IndexFunc(n.pending, func(p *relayed) bool { return p.id == w.ID })
	if i < 0 {
		return
	}
	p := n.pending[i]
	if len(p.parts) != w.Parts {
		p.parts = make([][]byte, w.Parts)
	}
	p.parts[w.Part] = slices.Clone(w.Chunk)
	if slices.ContainsFunc(p.parts, func(b []byte) bool { return b == nil }) {
		return
	}
	var a answer
	if err := decode(slices.Concat(p.parts...), &a); err != nil {
		p.parts = nil
		return
	}
	n.finish(p, kv.Result{Outcome: a.Outcome, Value: a.Value, Code: a.Code, Error: a.Error})
}

// Tick repeats what has no answer, and gives up what is overdue.
func (n *relay) Tick(now protocol.Time) {
	n.clock.advance(now)
	if n.database == 0 {
		n.greet()
	}
	for _, p := range slices.Clone(n.pending) {
		switch {
		case n.clock.now >= p.deadline:
			n.expire(p)
		case n.clock.now-p.sent >= resendAfter:
			n.pass(p)
		}
	}
}

// expire answers a request whose time is over.
func (n *relay) expire(p *relayed) {
	switch r := p.req; {
	case p.out && changes(r):
		n.lost(p, "timeout", "no answer from the database")
	case r.Txn != 0 && p.out:
		// It may be part of the transaction or not. Its client is told that there
		// is no transaction any more, and so it shall be.
		n.doomed[r.Txn] = true
		n.finish(p, versions.Fail(codeAborted, "no answer from the database"))
	default:
		n.finish(p, versions.Fail("unavailable", "no answer from the database"))
	}
}

// lost ends a request that may have had its effect, or may still have it.
func (n *relay) lost(p *relayed, code, why string) {
	res := kv.Result{Outcome: protocol.Unknown, Code: code, Error: why}
	switch {
	case n.cfg.Bugs.Has(bug.TimeoutAsFail):
		// Planted: promise that it has none.
		res.Outcome, res.Code = protocol.Fail, "not-committed"
	case n.cfg.Bugs.Has(bug.ErrorAsOK):
		// Planted: drop the error and report success.
		res = kv.Result{Value: "null"}
		if p.req.F == "run" {
			res.Value = p.req.Value
		}
	}
	n.finish(p, res)
}

func (n *relay) finish(p *relayed, res kv.Result) {
	n.pending = slices.DeleteFunc(n.pending, func(q *relayed) bool { return q == p })
	n.reply(p.req, res)
}

func (n *relay) reply(r protocol.Request, res kv.Result) {
	n.out.Replies = append(n.out.Replies, protocol.Reply{
		ID: r.ID, Outcome: res.Outcome, Value: res.Value, Code: res.Code, Error: res.Error,
	})
}

func (n *relay) send(w wire) {
	n.out.Messages = append(n.out.Messages, protocol.Message{
		From: n.cfg.Self, To: n.cfg.Members[0], Epoch: n.cfg.Epoch, Payload: encode(w),
	})
}

// Ready returns what is to be done. A relay has nothing to remember.
func (n *relay) Ready() protocol.Ready {
	r := n.out
	n.out = protocol.Ready{}
	return r
}

// Status describes the node.
func (n *relay) Status() protocol.Status {
	return protocol.Status{
		Node: n.cfg.Self, Protocol: n.name, Role: "relay", Leader: n.cfg.Members[0],
		Epoch: n.cfg.Epoch, Members: slices.Clone(n.cfg.Members),
	}
}
