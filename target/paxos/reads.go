package paxos

import (
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Reads need no slot (read-index, Ongaro, section 6.4). The node that took them
// from its clients asks the leader for an index and answers from its own state
// once it has applied that much. The leader gives an index only
//
//  1. after the no-op of its own ballot is chosen, for then its commit index
//     covers everything that an earlier leader acknowledged; the index is the
//     commit index then;
//  2. after a majority answered, in its ballot, a heartbeat with a nonce that
//     the leader made after the read arrived. At those moments none of them had
//     promised a greater ballot, so nobody else can have acknowledged anything
//     before the read arrived. The nonce is the leader's, counts up and is
//     never used twice, so that no late answer confirms a later read.

// readBatch is the reads of this node's clients that share one index.
type readBatch struct {
	token uint64
	ids   []uint64 // numbers of waiters
	sent  protocol.Time
	given Ballot // in which the batch was given to ourselves
	index uint64
	ready bool
}

// readFrom is somebody's batch at the leader.
type readFrom struct {
	member int
	token  uint64
}

// readRound is the batches that wait for one heartbeat round.
type readRound struct {
	nonce, index uint64
	reads        []readFrom
	duties       []kv.Command
}

// roundEvery bounds how often a round starts while another is under way.
const roundEvery = 20 * ms

// gatherReads makes a batch of the reads that came in since the last Ready.
func (m *Machine) gatherReads() {
	if len(m.openReads) == 0 || m.leader == "" {
		return
	}
	b := &readBatch{token: m.mint(), ids: m.openReads}
	m.openReads = nil
	m.batches = append(m.batches, b)
	m.askIndex(b)
}

// askIndex asks the leader for the batch's index, perhaps once more: reads may
// always be repeated.
func (m *Machine) askIndex(b *readBatch) {
	switch {
	case m.keepsLease():
		m.gotIndex(b.token, m.commit)
	case m.role == leader:
		if b.given != m.ballot {
			b.given = m.ballot
			m.queueRead(readFrom{member: m.me, token: b.token})
		}
	case m.leader != "":
		b.sent = m.now
		m.send(m.index[m.leader], kindRead, read{Token: b.token})
	}
}

func (m *Machine) onRead(from int, r *read) {
	if m.role == leader {
		m.queueRead(readFrom{member: from, token: r.Token})
	}
}

func (m *Machine) queueRead(r readFrom) {
	if m.bugs.Has(bug.MPReadLocalLeader) {
		// Planted: whoever believes to lead answers from what it knows, and
		// asks nobody whether it still leads.
		m.grantIndex(r, m.commit)
		return
	}
	if m.holdsLease() {
		m.grantIndex(r, m.commit)
		return
	}
	if m.bugs.Has(bug.MPReadIndexDupCtx) {
		m.askInContext(r)
		return
	}
	if !slices.Contains(m.lead.reads, r) {
		m.lead.reads = append(m.lead.reads, r)
	}
}

// indexReady reports whether the commit index covers what earlier leaders have
// acknowledged.
func (m *Machine) indexReady() bool {
	// Planted otherwise: it is taken as it is.
	return m.commit >= m.lead.noop || m.bugs.Has(bug.MPReadIndexBeforeNoop)
}

// startRound takes the index for the reads that wait and asks a majority.
func (m *Machine) startRound() {
	l := m.lead
	if len(l.reads) == 0 && len(l.duties) == 0 || !m.indexReady() {
		return
	}
	if len(l.rounds) > 0 && m.now-l.beatAt < roundEvery {
		return
	}
	m.beat()
	l.rounds = append(l.rounds, readRound{
		nonce: l.nonce, index: m.commit, reads: l.reads, duties: l.duties,
	})
	l.reads, l.duties = nil, nil
	m.confirmReads()
}

// confirmReads releases the rounds whose nonce, or a later one, was answered by
// a majority.
func (m *Machine) confirmReads() {
	l := m.lead
	confirmed := m.confirmed()
	for len(l.rounds) > 0 && l.rounds[0].nonce <= confirmed {
		round := l.rounds[0]
		l.rounds = l.rounds[1:]
		for _, r := range round.reads {
			m.grantIndex(r, round.index)
		}
		for _, c := range round.duties {
			m.enqueue(c)
		}
	}
}

func (m *Machine) grantIndex(r readFrom, index uint64) {
	if r.member == m.me {
		m.gotIndex(r.token, index)
		return
	}
	m.send(r.member, kindReadAnswer,
		readAnswer{Token: r.token, Index: index, Ballot: m.ballot, Commit: m.commit})
}

func (m *Machine) onReadAnswer(_ int, a *readAnswer) {
	m.verify(a.Ballot, a.Commit)
	m.gotIndex(a.Token, a.Index)
}

func (m *Machine) gotIndex(token, index uint64) {
	for _, b := range m.batches {
		if b.token == token && !b.ready {
			b.ready, b.index = true, index
		}
	}
	m.answerReads()
}

// answerReads answers the reads whose index has been applied here.
func (m *Machine) answerReads() {
	m.batches = slices.DeleteFunc(m.batches, func(b *readBatch) bool {
		if !b.ready || m.applied < b.index {
			return false
		}
		for _, n := range b.ids {
			if w := m.waiters[n]; w != nil {
				m.complete(n, m.store.Read(w.req))
			}
		}
		return true
	})
}

// tickReads repeats questions and forgets batches for which nobody waits.
func (m *Machine) tickReads() {
	gone := func(n uint64) bool { return m.waiters[n] == nil }
	m.openReads = slices.DeleteFunc(m.openReads, gone)
	m.batches = slices.DeleteFunc(m.batches, func(b *readBatch) bool {
		b.ids = slices.DeleteFunc(b.ids, gone)
		return len(b.ids) == 0
	})
	// A clone, because an index that comes at once takes its batch off the list.
	for _, b := range slices.Clone(m.batches) {
		if !b.ready && m.now-b.sent >= retryAfter {
			m.askIndex(b)
		}
	}
}
