package paxos

import (
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// retryAfter is how long a forwarded request waits before it is sent again.
const retryAfter = 200 * ms

// The codes of the replies made here, documented with the wire format.
const (
	codeUnavailable  = "unavailable"
	codeTimeout      = "timeout"
	codeNotCommitted = "not-committed"
)

// waiter is a client's request that has no reply yet. It waits for its command,
// never for a slot: what another leader put into the slot does not answer it.
type waiter struct {
	req      protocol.Request
	read     bool
	cmd      kv.Command
	deadline protocol.Time
	// handed is set once the command may be in somebody's log.
	handed bool
	// given is the ballot in which the command was given to ourselves.
	given Ballot
	sent  protocol.Time
}

// Submit takes over a client's request.
func (m *Machine) Submit(now protocol.Time, r protocol.Request) {
	m.advance(now)
	if refusal, fine := m.check(r); !fine {
		m.reply(r.ID, refusal)
		return
	}
	n := m.nextN
	m.nextN++
	w := &waiter{req: r, read: kv.IsRead(r), deadline: m.now + m.timeout, sent: never}
	m.waiters[n] = w
	if w.read {
		m.openReads = append(m.openReads, n)
		return
	}
	w.cmd = kv.Of(r, kv.Origin{Node: m.self, Epoch: m.epoch, N: n, Low: m.low})
	m.hand(w)
}

// hand gives the command to the leader. A command without session goes out
// once; under a session it may be repeated, for the copies are told apart.
func (m *Machine) hand(w *waiter) {
	if w.req.Object == adminObject {
		m.handOrder(w)
		return
	}
	if w.handed && w.cmd.Session == 0 {
		return
	}
	switch {
	case m.role == leader:
		if w.given != m.ballot {
			w.given = m.ballot
			m.enqueue(w.cmd)
		}
	case m.leader != "":
		w.handed, w.sent = true, m.now
		m.forwarded(w.cmd.Origin.N)
		m.send(m.index[m.leader], kindForward, forward{Command: w.cmd})
	}
}

// handOver gives everything that waits to a leader just found.
func (m *Machine) handOver() {
	for n := m.low; n < m.nextN; n++ {
		if w := m.waiters[n]; w != nil && !w.read {
			m.hand(w)
		}
	}
	// A clone, because an index that comes at once takes its batch off the list.
	for _, b := range slices.Clone(m.batches) {
		if !b.ready {
			m.askIndex(b)
		}
	}
}

// own reports whether the command came from a client of this node, in this life.
func (m *Machine) own(o kv.Origin) bool { return o.Node == m.self && o.Epoch == m.epoch }

// stillWanted reports whether to propose a queued command, which from then on
// counts as handed over. One whose client was told "unavailable" must not be.
func (m *Machine) stillWanted(c kv.Command) bool {
	if c.Kind != kv.Op || !m.own(c.Origin) {
		return true
	}
	w := m.waiters[c.Origin.N]
	if w == nil {
		return false
	}
	w.handed = true
	return true
}

func (m *Machine) onForward(_ int, f *forward) {
	revoked := f.Command.Kind == kv.Duty && m.bugs.Has(bug.LockDeposedLeaderRevokes)
	if m.role == leader && (f.Command.Kind == kv.Op || revoked) {
		m.enqueue(f.Command)
	}
}

// answer gives the reply to where the command came from. Its own node finds out
// by applying it as well; the leader's message is only sooner.
func (m *Machine) answer(o kv.Origin, r kv.Result) {
	switch i, member := m.index[o.Node]; {
	case m.own(o):
		m.complete(o.N, r)
	case m.role == leader && member && i != m.me && len(r.Value) <= batchBytes:
		// A greater result, of a transaction that read much, fits no datagram.
		m.send(i, kindForwardAnswer, forwardAnswer{Origin: o, Result: r})
	}
}

func (m *Machine) onForwardAnswer(_ int, a *forwardAnswer) {
	if m.own(a.Origin) && m.bugs.Has(bug.ReplyFIFOMismatch) {
		m.answerInOrder(a.Result)
		return
	}
	if m.own(a.Origin) {
		m.complete(a.Origin.N, a.Result)
	}
}

// complete answers the client, unless it has been answered. A reply that comes
// after the deadline is not used: who was paused meanwhile may be looking at
// the refusal of a copy, long after the first copy was applied.
func (m *Machine) complete(n uint64, r kv.Result) {
	w := m.waiters[n]
	if w == nil {
		return
	}
	if m.now >= w.deadline {
		r = m.timedOut(w)
	}
	if m.trace != nil {
		m.trace(w.req.ID, m.applied)
	}
	m.reply(w.req.ID, r)
	delete(m.waiters, n)
	for m.low < m.nextN && m.waiters[m.low] == nil {
		m.low++
	}
}

// timedOut is the reply to a request whose time is over.
func (m *Machine) timedOut(w *waiter) kv.Result {
	unavailable := kv.Result{
		Outcome: protocol.Fail, Code: codeUnavailable, Error: "no leader answered in time",
	}
	switch {
	case w.read:
		return unavailable // a read has no effect, whatever became of it
	case m.bugs.Has(bug.ErrorAsOK) && w.req.Object != "session":
		// Planted: the error of replication is dropped on the way.
		return kv.Result{}
	case !w.handed:
		return unavailable // it never left this node and never will
	case m.bugs.Has(bug.TimeoutAsFail):
		// Planted: the command may still be chosen, or has been.
		return kv.Result{
			Outcome: protocol.Fail, Code: codeNotCommitted, Error: "not committed in time",
		}
	default:
		return kv.Result{
			Outcome: protocol.Unknown, Code: codeTimeout,
			Error: "handed to replication, no answer in time",
		}
	}
}

func (m *Machine) reply(id protocol.RequestID, r kv.Result) {
	m.out.Replies = append(m.out.Replies, protocol.Reply{
		ID: id, Outcome: r.Outcome, Value: r.Value, Code: r.Code, Error: r.Error,
	})
}

// tickRequests repeats and times out.
func (m *Machine) tickRequests() {
	for n := m.low; n < m.nextN; n++ {
		w := m.waiters[n]
		switch {
		case w == nil:
		case m.now >= w.deadline:
			m.gaveUp(n)
			m.complete(n, kv.Result{})
		case !w.read && m.now-w.sent >= retryAfter:
			m.hand(w)
		}
	}
}
