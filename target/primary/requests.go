package primary

import (
	"strconv"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// retryAfter is how long a request waits for the primary's answer before it is sent
// again. Commands may be repeated: the store tells copies apart.
const retryAfter = 200 * ms

// The codes of the replies made here, documented with the wire format.
const (
	codeUnavailable  = "unavailable"
	codeTimeout      = "timeout"
	codeNotCommitted = "not-committed"
)

// requestKind says what a request comes down to.
type requestKind uint8

const (
	commandRequest requestKind = iota
	readRequest
	handOverRequest
)

// waiter is a client's request that has no reply yet. It waits for its command,
// never for a place in the log: what another primary put there does not answer it.
type waiter struct {
	n        uint64
	req      protocol.Request
	kind     requestKind
	cmd      kv.Command
	target   int    // of a hand-over, place in members
	token    uint64 // what the client has seen
	deadline protocol.Time
	// handed is set once the command may be in somebody's log.
	handed bool
	// given is the view in which the request was given to ourselves, sent when it
	// was sent to the primary, ask what makes that question unique.
	given View
	sent  protocol.Time
	ask   uint64
	// parts are those of the answer to ask that have arrived.
	parts []*answer
	// answer waits until our own copy has applied the command.
	answer *answer
}

// Submit takes over a client's request.
func (m *Machine) Submit(now protocol.Time, r protocol.Request) {
	m.advance(now)
	w := &waiter{n: m.nextN, req: r, deadline: m.now + m.timeout, sent: never}
	if refusal, fine := m.admit(w); !fine {
		m.reply(r.ID, answer{
			Outcome: refusal.Outcome, Code: refusal.Code, Error: refusal.Error,
		})
		return
	}
	m.nextN++
	m.waiters[w.n] = w
	if w.kind == commandRequest {
		w.cmd = kv.Of(r, kv.Origin{Node: m.self, Epoch: m.epoch, N: w.n, Low: m.low})
	}
	m.hand(w)
}

// admit finds out what is asked for, or why it cannot be done.
func (m *Machine) admit(w *waiter) (kv.Result, bool) {
	bad := func(code, text string) (kv.Result, bool) {
		return kv.Result{Outcome: protocol.Fail, Code: code, Error: text}, false
	}
	if w.req.Object == adminObject {
		return m.admitAdmin(w)
	}
	if refusal, fine := m.store.Check(w.req); !fine {
		return refusal, false
	}
	if m.mode.copyReads {
		seen, err := parseToken(w.req.Token)
		if err != nil {
			return bad(kv.CodeBadRequest, "token: "+err.Error())
		}
		w.token = seen
	}
	if kv.IsRead(w.req) {
		w.kind = readRequest
	}
	return kv.Result{}, true
}

// hand gives the request to the primary.
func (m *Machine) hand(w *waiter) {
	switch {
	case w.answer != nil:
		return // it is done, and only has to be applied here
	case w.kind == readRequest && m.mode.copyReads:
		m.askHowFar()
		m.readLocally(w)
	case m.role == leading:
		if w.given != m.view {
			m.give(w)
		}
	case m.primary != "":
		w.sent, w.ask, w.parts = m.now, m.mint(), nil
		m.dispatchTo(m.index[m.primary], w)
	}
}

// give gives the request to ourselves, the primary.
func (m *Machine) give(w *waiter) {
	switch w.kind {
	case readRequest:
		w.given, w.ask = m.view, m.mint()
		m.queueRead(readFrom{member: m.me, read: w.question(m.epoch)})
	case handOverRequest:
		m.orderHandOver(w.target)
	case commandRequest:
		if m.propose(w.cmd) {
			w.given, w.handed = m.view, true
		}
	}
}

// dispatchTo sends the request to the primary.
func (m *Machine) dispatchTo(to int, w *waiter) {
	switch w.kind {
	case readRequest:
		m.send(to, kindRead, w.question(m.epoch))
	case handOverRequest:
		w.handed = true
		m.send(to, kindHandOver, handOver{Target: w.target})
	case commandRequest:
		w.handed = true
		m.send(to, kindCommand, command{Command: w.cmd})
	}
}

func (w *waiter) question(e protocol.Epoch) read {
	return read{Epoch: e, N: w.n, Ask: w.ask, Object: w.req.Object, Key: w.req.Key}
}

// handAll gives everything that waits to a primary just found.
func (m *Machine) handAll() {
	for n := m.low; n < m.nextN; n++ {
		if w := m.waiters[n]; w != nil {
			m.hand(w)
		}
	}
	m.askHowFar()
}

func (m *Machine) onCommand(_ int, c *command) {
	if m.role == leading && c.Command.Kind == kv.Op {
		m.propose(c.Command) // without room it is lost, and comes again
	}
}

// own reports whether the command came from a client of this node, in this life.
func (m *Machine) own(o kv.Origin) bool { return o.Node == m.self && o.Epoch == m.epoch }

// answerCommand tells the node that a command came from what became of it.
func (m *Machine) answerCommand(o kv.Origin, seq uint64, r kv.Result) {
	to, member := m.index[o.Node]
	if !member || to == m.me && !m.own(o) {
		return
	}
	m.sendAnswer(to, answer{
		Epoch: o.Epoch, N: o.N, Seq: seq,
		Outcome: r.Outcome, Value: r.Value, Code: r.Code, Error: r.Error,
	})
}

// sendAnswer sends an answer, in as many parts as its value needs.
func (m *Machine) sendAnswer(to int, a answer) {
	if to == m.me {
		a.Parts = 1
		m.onAnswer(m.me, &a)
		return
	}
	value := a.Value
	a.Parts = max(1, (len(value)+batchBytes-1)/batchBytes)
	for a.Part = range a.Parts {
		a.Value = value[a.Part*batchBytes : min((a.Part+1)*batchBytes, len(value))]
		m.send(to, kindAnswer, a)
	}
}

// onAnswer collects the parts of an answer. Those to one question fit together,
// and a command has one answer, whenever it is asked for.
func (m *Machine) onAnswer(_ int, a *answer) {
	if a.Epoch != m.epoch || a.Parts < 1 || a.Parts > maxParts ||
		a.Part < 0 || a.Part >= a.Parts {
		return
	}
	if a.N == 0 {
		m.toldHowFar(*a)
		return
	}
	w := m.waiters[a.N]
	if w == nil || w.kind == handOverRequest || w.kind == readRequest && a.Ask != w.ask {
		return
	}
	if len(w.parts) != a.Parts {
		w.parts = make([]*answer, a.Parts)
	}
	w.parts[a.Part] = a
	whole := *a
	whole.Value = ""
	for _, p := range w.parts {
		if p == nil {
			return
		}
		whole.Value += p.Value
	}
	if m.mode.copyReads && m.applied < whole.Seq {
		w.answer = &whole // its client must not read less here than it wrote
		return
	}
	m.complete(w.n, whole)
}

// complete answers the client, unless it has been answered. An answer that comes
// after the deadline is not used: who was paused meanwhile may be looking at the
// refusal of a copy, long after the first copy was applied.
func (m *Machine) complete(n uint64, a answer) {
	w := m.waiters[n]
	if w == nil {
		return
	}
	if m.now >= w.deadline {
		a = m.timedOut(w)
	}
	if m.trace != nil {
		m.trace(w.req.ID, a.Seq)
	}
	m.reply(w.req.ID, a)
	delete(m.waiters, n)
	for m.low < m.nextN && m.waiters[m.low] == nil {
		m.low++
	}
}

// timedOut is the answer to a request whose time is over.
func (m *Machine) timedOut(w *waiter) answer {
	unavailable := answer{
		Outcome: protocol.Fail, Code: codeUnavailable, Error: "no primary answered in time",
	}
	switch {
	case w.kind == readRequest:
		return unavailable // a read has no effect, whatever became of it
	case m.bugs.Has(bug.ErrorAsOK) && w.kind == commandRequest && w.req.Object != "session":
		// Planted: the error of replication is dropped on the way.
		return answer{}
	case !w.handed:
		return unavailable // it never left this node and never will
	case m.bugs.Has(bug.TimeoutAsFail):
		// Planted: the command may still be committed, or has been.
		return answer{
			Outcome: protocol.Fail, Code: codeNotCommitted, Error: "not committed in time",
		}
	default:
		return answer{
			Outcome: protocol.Unknown, Code: codeTimeout,
			Error: "handed to replication, no answer in time",
		}
	}
}

func (m *Machine) reply(id protocol.RequestID, a answer) {
	r := protocol.Reply{
		ID: id, Outcome: a.Outcome, Value: a.Value, Code: a.Code, Error: a.Error,
	}
	if m.mode.copyReads && a.Seq > 0 {
		r.Token = strconv.FormatUint(a.Seq, 10)
	}
	m.out.Replies = append(m.out.Replies, r)
}

// tickRequests repeats and times out.
func (m *Machine) tickRequests() {
	m.askHowFar()
	m.tickHandOver()
	for n := m.low; n < m.nextN; n++ {
		w := m.waiters[n]
		switch {
		case w == nil:
		case m.now >= w.deadline:
			m.complete(n, answer{})
		case m.now-w.sent >= retryAfter:
			m.hand(w)
		}
	}
}
