package paxos

import (
	"math"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// An election timeout is drawn between these two.
	electionMin = 500 * ms
	electionMax = 1000 * ms
	// checkQuorum is how long a leader leads without a majority's answers.
	checkQuorum = electionMax
	// askAgain is how long a candidate waits before it repeats its question,
	// attempt how long it goes on without learning anything before it gives up.
	askAgain = 75 * ms
	attempt  = 450 * ms
	// retryMin and retryMax bound the pause after an attempt that failed.
	retryMin = 50 * ms
	retryMax = 400 * ms
	// noSlot, in a question, is behind every log: it asks for nothing, and says only
	// that the candidate is still at work.
	noSlot = math.MaxUint64
)

type role uint8

const (
	follower role = iota
	preCandidate
	candidate
	leader
)

func (r role) String() string {
	return [...]string{"follower", "candidate", "candidate", "leader"}[r]
}

// candidacy is what a node knows while it wants to lead.
type candidacy struct {
	ends, askedAt protocol.Time
	transfer      bool

	// The pre-vote.
	token  uint64
	grants uint64 // set of members

	// Phase 1: first is the first slot that this node does not know to be
	// chosen, next what to ask each member for, done who told everything.
	first uint64
	next  []uint64
	done  uint64 // set of members
	best  map[uint64]vote
	// behind is set when a member knows of slots that this node cannot take over.
	behind bool
	logs   map[int]map[uint64]vote // for a planted bug
}

func (m *Machine) between(lo, hi protocol.Time) protocol.Time {
	return lo + protocol.Time(m.rng.Int64N(int64(hi-lo)))
}

func (m *Machine) electionTimeout() protocol.Time { return m.between(electionMin, electionMax) }

// follow makes the node a follower, of nobody it knows if leader is "".
func (m *Machine) follow(leader protocol.NodeID) {
	m.role, m.leader = follower, leader
	m.lead, m.cand = nil, nil
	m.electionAt = m.now + m.electionTimeout()
}

// settled reports whether this node sees a leader at work, other than the
// member that asks. A node that does helps nobody to depose it.
func (m *Machine) settled(asker int) bool {
	if m.role == leader {
		return true // one that has lost its majority finds out by itself
	}
	return m.leader != "" && m.leader != m.members[asker] && m.now-m.heardAt < electionMin
}

// campaign asks first whether it would be of use. A node that was cut off comes
// back with no greater ballot, and deposes nobody (pre-vote, Ongaro, section 9.6).
func (m *Machine) campaign() {
	if !m.isVoter(m.me) {
		return // a learner follows
	}
	if m.barred(m.me) {
		m.waitForLease()
		return
	}
	m.role, m.leader = preCandidate, ""
	m.cand = &candidacy{
		token: m.mint(), grants: 1 << m.me, ends: m.now + attempt, askedAt: m.now,
	}
	m.broadcast(kindPreVote, preVote{Token: m.cand.token, Commit: m.commit})
	m.countGrants()
}

func (m *Machine) onPreVote(from int, v *preVote) {
	if v.Commit < m.log.base {
		m.teach(from, have{Commit: v.Commit})
	}
	m.send(from, kindPreVoteAnswer, preVoteAnswer{
		Token: v.Token, Promised: m.promised,
		// One that lacks what was compacted here could not lead: phase 1 would
		// not tell it what was chosen in those slots.
		Granted: !m.settled(from) && !m.barred(from) && v.Commit >= m.log.base,
	})
}

func (m *Machine) onPreVoteAnswer(from int, a *preVoteAnswer) {
	m.maxRound = max(m.maxRound, a.Promised.Round)
	if m.role != preCandidate || a.Token != m.cand.token || !a.Granted {
		return
	}
	m.cand.grants |= 1 << from
	m.countGrants()
}

func (m *Machine) countGrants() {
	if m.isMajority(m.cand.grants) {
		m.prepare(false)
	}
}

// prepare begins phase 1 in a ballot never used before. The promise to oneself
// is durable before the first message of the ballot leaves.
func (m *Machine) prepare(transfer bool) {
	m.role, m.leader, m.lead = candidate, "", nil
	m.ballot = Ballot{Round: m.maxRound + 1, Node: m.self, Epoch: m.epoch}
	m.promise(m.ballot)
	c := &candidacy{
		ends: m.now + attempt, askedAt: m.now, transfer: transfer,
		first: m.commit + 1, done: 1 << m.me,
		next: make([]uint64, len(m.members)), best: map[uint64]vote{},
	}
	m.cand = c
	for i := range c.next {
		c.next[i] = c.first
	}
	m.broadcast(kindPrepare, prepare{Ballot: m.ballot, From: c.first, Transfer: transfer})
	m.countPromises()
}

func (m *Machine) onPromise(from int, p *promise) {
	c := m.cand
	if m.role != candidate || p.Ballot != m.ballot || p.From != c.next[from] {
		return
	}
	if p.Base >= c.first {
		c.behind = true
		return // it has compacted slots that we do not know: it cannot help
	}
	for _, v := range p.Votes {
		if v.Slot > m.log.base+m.ahead {
			c.behind = true
			return // too far ahead for us to lead: to leave the vote out would lose it
		}
		if v.Slot < c.first {
			continue // not asked for
		}
		if m.bugs.Has(bug.MPRecoverLongestLog) {
			c.keepLog(from, v, m.ballot)
		}
		if b, there := c.best[v.Slot]; !there || v.Chosen && !b.Chosen ||
			!b.Chosen && b.Ballot.Less(v.Ballot) {
			c.best[v.Slot] = v
		}
	}
	// What was told holds for this ballot alone. A long log that comes in many parts,
	// of which some get lost, would never be complete if each attempt had to begin
	// again; and nobody votes any more below our ballot, so there is an end to it.
	c.ends = m.now + attempt
	if !p.Last {
		c.next[from] = p.To + 1
		m.send(from, kindPrepare,
			prepare{Ballot: m.ballot, From: c.next[from], Transfer: c.transfer})
		return
	}
	c.next[from] = 0 // matches no part, so that copies are ignored
	c.done |= 1 << from
	m.countPromises()
}

func (m *Machine) countPromises() {
	if m.phaseOne(m.cand) && m.bugs.Has(bug.MPRecoverLongestLog) {
		// Planted: one log is taken whole.
		m.startLeading(m.cand.first, m.longest(m.cand))
		return
	}
	if m.phaseOne(m.cand) {
		m.startLeading(m.cand.first, m.cand.best)
	}
}

// tickElection does what a node that does not lead does as time goes by.
func (m *Machine) tickElection() {
	if m.role == follower {
		if m.now >= m.electionAt {
			m.campaign()
		}
		return
	}
	c := m.cand
	if m.now >= c.ends {
		m.follow("")
		if c.behind {
			// Whoever promised us waits for a whole election timeout. Wait longer,
			// or one that cannot lead keeps those who can from trying.
			m.electionAt += electionMax
			return
		}
		m.electionAt = m.now + m.between(retryMin, retryMax)
		return
	}
	if m.now-c.askedAt < askAgain {
		return
	}
	c.askedAt = m.now
	for i := range m.members {
		bit := uint64(1) << i
		switch {
		case m.role == preCandidate && c.grants&bit == 0:
			m.send(i, kindPreVote, preVote{Token: c.token, Commit: m.commit})
		case m.role == candidate && c.done&bit == 0:
			m.send(i, kindPrepare,
				prepare{Ballot: m.ballot, From: c.next[i], Transfer: c.transfer})
		case m.role == candidate && i != m.me:
			m.send(i, kindPrepare,
				prepare{Ballot: m.ballot, From: noSlot, Transfer: c.transfer})
		}
	}
}
