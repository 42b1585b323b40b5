package primary

import (
	"slices"
	"strconv"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Reads are answered by the primary, from its own state, but only
//
//  1. after the no-op of its own view is committed, for by then it knows of
//     everything that an earlier primary acknowledged;
//  2. after a majority answered, in its view, a message with a nonce that it made
//     after the read arrived. None of them had joined a greater view then, so nobody
//     else can have acknowledged anything before the read arrived. The nonce counts
//     up and is never used twice, so that no late answer confirms a later read.

// roundEvery bounds how often a round starts while another is under way.
const roundEvery = 20 * ms

// readFrom is a member's read at the primary.
type readFrom struct {
	member int
	read   read
}

// readRound is the reads that wait for one nonce.
type readRound struct {
	nonce uint64
	reads []readFrom
}

func (m *Machine) onRead(from int, r *read) {
	if m.role == leading {
		m.queueRead(readFrom{member: from, read: *r})
	}
}

func (m *Machine) queueRead(r readFrom) {
	if m.bugs.Has(bug.PBOldPrimaryServesReads) {
		// Planted: whoever believes to be primary answers, and asks nobody whether
		// it still is.
		m.answerRead(r)
		return
	}
	if !slices.Contains(m.lead.reads, r) {
		m.lead.reads = append(m.lead.reads, r)
	}
}

// startRound asks a majority, for the reads that wait.
func (m *Machine) startRound() {
	l := m.lead
	if len(l.reads) == 0 || m.applied < l.opening {
		return
	}
	if len(l.rounds) > 0 && m.now-l.beatAt < roundEvery {
		return
	}
	m.beat()
	l.rounds = append(l.rounds, readRound{nonce: l.nonce, reads: l.reads})
	l.reads = nil
	m.confirmReads()
}

// confirmReads answers the reads of the rounds whose nonce, or a later one, was
// answered by a majority.
func (m *Machine) confirmReads() {
	l := m.lead
	nonces := make([]uint64, len(l.peers))
	for i, p := range l.peers {
		nonces[i] = p.nonce
	}
	nonces[m.me] = l.nonce
	slices.Sort(nonces)
	confirmed := nonces[len(nonces)-m.majority]
	for len(l.rounds) > 0 && l.rounds[0].nonce <= confirmed {
		round := l.rounds[0]
		l.rounds = l.rounds[1:]
		for _, r := range round.reads {
			m.answerRead(r)
		}
	}
}

// answerRead reads the store for a member. A read without object asks how much is
// applied here.
func (m *Machine) answerRead(r readFrom) {
	a := answer{N: r.read.N, Ask: r.read.Ask, Seq: m.applied}
	if r.read.Object != "" {
		res := m.store.Read(protocol.Request{
			Object: r.read.Object, F: "read", Key: r.read.Key,
		})
		a.Outcome, a.Value, a.Code, a.Error = res.Outcome, res.Value, res.Code, res.Error
	}
	a.Epoch = r.read.Epoch
	m.sendAnswer(r.member, a)
}

// catchUp is what a node that answers reads from its own copy must know first: how
// much was committed when this life of it began. Otherwise its clients might see
// less than it had shown them before.
type catchUp struct {
	ask    uint64
	sentAt protocol.Time
	known  bool
	seq    uint64
}

// readLocally answers a read from our own copy, if that is as recent as the client
// must see it, and reports whether it did.
func (m *Machine) readLocally(w *waiter) bool {
	if !m.catchUp.known || m.applied < max(m.catchUp.seq, w.token) {
		return false
	}
	r := m.store.Read(w.req)
	m.complete(w.n, answer{
		Outcome: r.Outcome, Value: r.Value, Code: r.Code, Error: r.Error, Seq: m.applied,
	})
	return true
}

// answerLocal answers what waits for our own copy: reads, and the clients of
// commands that were acknowledged but not applied here.
func (m *Machine) answerLocal() {
	if !m.mode.copyReads {
		return
	}
	for n := m.low; n < m.nextN; n++ {
		switch w := m.waiters[n]; {
		case w == nil:
		case w.kind == readRequest:
			m.readLocally(w)
		case w.answer != nil && m.applied >= w.answer.Seq:
			m.complete(n, *w.answer)
		}
	}
}

// askHowFar asks the primary how much is committed, until it has said so once.
func (m *Machine) askHowFar() {
	c := &m.catchUp
	if !m.mode.copyReads || c.known || m.primary == "" || c.ask != 0 && m.now-c.sentAt < retryAfter {
		return
	}
	c.ask, c.sentAt = m.mint(), m.now
	r := read{Epoch: m.epoch, Ask: c.ask}
	if m.role == leading {
		m.queueRead(readFrom{member: m.me, read: r})
		return
	}
	m.send(m.index[m.primary], kindRead, r)
}

func (m *Machine) toldHowFar(a answer) {
	if c := &m.catchUp; a.Ask == c.ask && !c.known {
		c.known, c.seq = true, a.Seq
		m.answerLocal()
	}
}

// parseToken reads a token: how much its client has seen.
func parseToken(token string) (uint64, error) {
	if token == "" {
		return 0, nil
	}
	return strconv.ParseUint(token, 10, 64)
}
