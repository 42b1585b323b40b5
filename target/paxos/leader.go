package paxos

import (
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// window is how many slots may be proposed above the commit index.
	window = 256
	// maxQueue bounds the commands that wait for the window.
	maxQueue = 10_000
	// burst bounds the messages that go to one peer at once, for the sake of
	// its socket's buffer. The rest follows with the ticks.
	burst = 3
	// repeatAfter is how long an accept waits for its answer.
	repeatAfter = 100 * ms
	// beatEvery is the time between heartbeats, beatForReads that while reads
	// wait for a round to be confirmed.
	beatEvery    = 75 * ms
	beatForReads = 25 * ms
	// tickEvery is the time between proposals that tell the elapsed time.
	tickEvery = 1000 * ms
)

// leadership is what a node knows only while it leads.
type leadership struct {
	// noop is the slot of the no-op that opens this ballot. Until it is chosen
	// the commit index may trail what an earlier leader acknowledged.
	noop uint64
	// next is the first slot not proposed.
	next   uint64
	flight map[uint64]*inFlight
	// queue holds commands for which there was no room in the window yet.
	queue []kv.Command
	// fresh are proposed slots of which no message has been made.
	fresh []uint64

	nonce  uint64
	beatAt protocol.Time
	tickAt protocol.Time
	peers  []peer

	reads  []readFrom
	rounds []readRound

	tenure tenure
	duties []kv.Command // not confirmed yet
}

// inFlight is a proposed slot that is not known to be chosen.
type inFlight struct {
	acks uint64 // the SET of members that voted for it in this ballot
	sent []protocol.Time
}

// peer is what a leader knows of one member.
type peer struct {
	// nonce is the greatest nonce answered, contact when that one was sent.
	nonce   uint64
	contact protocol.Time
	have    have
	// sent is what was sent last to catch up, and sentAt when.
	sent   have
	sentAt protocol.Time
}

// startLeading begins a leadership: phase 1 has a majority of answers, and best holds
// for each slot from first on the vote of the greatest ballot among them.
func (m *Machine) startLeading(first uint64, best map[uint64]vote) {
	end := m.log.last()
	for k := range best {
		end = max(end, k)
	}
	m.role, m.leader, m.cand = leader, m.self, nil
	m.betterAt = m.now // a better member has to stay so for a while
	l := &leadership{
		next: end + 1, flight: map[uint64]*inFlight{}, beatAt: never, tickAt: m.now,
		peers: make([]peer, len(m.members)),
	}
	for i := range l.peers {
		l.peers[i].contact, l.peers[i].sentAt = m.now, never
	}
	l.tenure = newTenure(len(m.members))
	m.lead = l
	var again []proposal
	for k := max(first, m.commit+1); k <= end; k++ {
		if e := m.log.grow(k); !e.chosen {
			_, voted := best[k]
			if !voted && !e.known() && m.bugs.Has(bug.MPHoleNeverFilled) {
				continue // planted: nobody voted here, so there is nothing to propose
			}
			if c, chosen := adopt(e, best, k); chosen {
				if e.cmd != c {
					e.vote = Ballot{}
				}
				e.cmd, e.chosen = c, true
			} else {
				old := e.vote
				if old.Less(best[k].Ballot) {
					old = best[k].Ballot
				}
				again = append(again, m.assign(k, c))
				if old.Round > 0 && m.bugs.Has(bug.MPCommitMixedBallots) {
					// Planted: the vote stays what it was, and so will others' be.
					e.vote = old
				}
			}
		}
	}
	l.noop = l.next
	l.next++
	again = append(again, m.assign(l.noop, kv.Command{Kind: kv.Noop}))
	m.refresh()
	m.vote(again)
	m.applyChosen()
	m.beat()
	m.handOver()
}

// adopt is the heart of phase 2a: what a new leader must propose in a slot. The
// vote of the greatest ballot, the own one included, may have been chosen and
// wins; where nobody voted nothing was chosen, and a no-op closes the hole.
func adopt(own *slotState, best map[uint64]vote, k uint64) (c kv.Command, chosen bool) {
	v, there := best[k]
	switch {
	case there && v.Chosen:
		return v.Command, true
	case there && own.vote.Less(v.Ballot):
		return v.Command, false
	case own.vote.Round > 0:
		return own.cmd, false
	default:
		return kv.Command{Kind: kv.Noop}, false
	}
}

// assign proposes the command for the slot, in the own ballot. The caller
// persists the vote.
func (m *Machine) assign(k uint64, c kv.Command) proposal {
	e := m.log.grow(k)
	e.vote, e.cmd = m.ballot, c
	f := &inFlight{acks: 1 << m.me, sent: make([]protocol.Time, len(m.members))}
	for i := range f.sent {
		f.sent[i] = never
	}
	m.lead.flight[k] = f
	m.lead.fresh = append(m.lead.fresh, k)
	return proposal{Slot: k, Command: c}
}

// vote makes the leader's own votes durable, in records of bounded size.
func (m *Machine) vote(ps []proposal) {
	for len(ps) > 0 {
		n := fits(ps)
		m.persistVotes(ps[:n])
		for _, p := range ps[:n] {
			m.count(p.Slot, m.me)
		}
		ps = ps[n:]
	}
}

// persistVotes makes the own votes durable.
func (m *Machine) persistVotes(ps []proposal) {
	if !m.bugs.Has(bug.MPCommitMixedBallots) {
		m.persist(record{Ballot: m.ballot, Votes: ps})
		return
	}
	for i, p := range ps { // planted: each under the ballot that it had
		m.persist(record{Ballot: m.log.at(p.Slot).vote, Votes: ps[i : i+1]})
	}
}

// fits returns how many of the proposals go into one message; at least one.
func fits(ps []proposal) int {
	size := 0
	for i, p := range ps {
		if size += p.Command.Size() + 10; size > batchBytes && i > 0 {
			return i
		}
	}
	return len(ps)
}

// count counts a vote in the own ballot. A slot is chosen when a majority of the
// voters as of the slot, each counted once, voted for it in one ballot.
func (m *Machine) count(k uint64, member int) {
	f := m.lead.flight[k]
	if f == nil {
		return
	}
	f.acks |= 1 << member
	if m.configAt(k).has(f.acks) {
		m.log.at(k).chosen = true
		delete(m.lead.flight, k)
	}
}

func (m *Machine) onAccepted(from int, a *accepted) {
	if m.role != leader || a.Ballot != m.ballot {
		return
	}
	for _, k := range a.Slots {
		m.count(k, from)
	}
	if m.licensed(m.me) {
		m.lead.peers[from].contact = m.now
	}
	m.applyChosen()
}

// enqueue takes a command to propose.
func (m *Machine) enqueue(c kv.Command) {
	if len(m.lead.queue) < maxQueue {
		m.lead.queue = append(m.lead.queue, c)
	}
}

// proposeQueued proposes what the window has room for. It runs once per Ready,
// so that all that came in between shares a record and a datagram.
func (m *Machine) proposeQueued() {
	l := m.lead
	var batch []proposal
	for len(l.queue) > 0 && l.next <= m.commit+window {
		c := l.queue[0]
		l.queue = l.queue[1:]
		if !m.stillWanted(c) {
			continue
		}
		if m.steward != nil {
			c = m.steward.Stamp(m.ballot, c)
		}
		if m.bugs.Has(bug.MPCASAtPropose) && c.F == "cas" {
			// Planted: the comparison is made now, against a state that lacks
			// everything in flight, and a plain write goes into the log.
			var r kv.Result
			if c, r = m.store.Evaluate(c); r.Outcome != protocol.OK {
				m.answer(c.Origin, r)
				continue
			}
		}
		if m.bugs.Has(bug.MPReplyBySlot) {
			m.noteProposed(l.next, c)
		}
		batch = append(batch, m.assign(l.next, c))
		l.next++
	}
	m.vote(batch)
	m.sendFresh()
	m.applyChosen()
}

// sendFresh sends what was proposed since the last time, the same to all.
func (m *Machine) sendFresh() {
	var ps []proposal
	for _, k := range m.lead.fresh {
		if e := m.log.at(k); e != nil {
			ps = append(ps, proposal{Slot: k, Command: e.cmd})
		}
	}
	m.lead.fresh = nil
	for i := 0; i < burst && len(ps) > 0; i++ {
		n := m.fits(ps)
		for _, p := range ps[:n] {
			if f := m.lead.flight[p.Slot]; f != nil {
				for j := range f.sent {
					f.sent[j] = m.now
				}
			}
		}
		m.broadcast(kindAccept,
			accept{Ballot: m.ballot, Commit: m.commit, Proposals: ps[:n], Stamp: m.stamp(ps)})
		ps = ps[n:]
	}
}

// repeatAccepts sends again, to each peer, the slots that it did not answer.
// Each slot has its own timer: one that got lost does not hold up the others.
func (m *Machine) repeatAccepts() {
	for i := range m.members {
		if i == m.me {
			continue
		}
		var ps []proposal
		for k := m.commit + 1; k < m.lead.next; k++ {
			f := m.lead.flight[k]
			if f != nil && f.acks&(1<<i) == 0 && m.now-f.sent[i] >= repeatAfter {
				ps = append(ps, proposal{Slot: k, Command: m.log.at(k).cmd})
			}
		}
		for j := 0; j < burst && len(ps) > 0; j++ {
			n := m.fits(ps)
			for _, p := range ps[:n] {
				m.lead.flight[p.Slot].sent[i] = m.now
			}
			m.send(i, kindAccept,
				accept{Ballot: m.ballot, Commit: m.commit, Proposals: ps[:n], Stamp: m.stamp(ps)})
			ps = ps[n:]
		}
	}
}

// beat sends a heartbeat under a fresh nonce.
func (m *Machine) beat() {
	l := m.lead
	l.nonce++
	l.beatAt = m.now
	m.broadcast(kindHeartbeat,
		heartbeat{Ballot: m.ballot, Nonce: l.nonce, Commit: m.commit, Sent: m.now,
			Asked: m.leaseNow(), Released: l.tenure.released, Renewals: m.renewals()})
}

func (m *Machine) onHeartbeat(from int, h *heartbeat) {
	if !m.obey(h.Ballot, from) {
		return
	}
	granted, base := m.grantLease(from, h)
	if h.Nonce <= m.lastNonce {
		return // a late copy says nothing about whether the leader lives
	}
	m.lastNonce = h.Nonce
	m.heardAt = m.now
	m.electionAt = m.now + m.electionTimeout()
	if m.role == preCandidate {
		m.follow(h.Ballot.Node)
	}
	m.verify(h.Ballot, h.Commit)
	m.send(from, kindHeartbeatAnswer, heartbeatAnswer{
		Ballot: h.Ballot, Nonce: h.Nonce, LeaderCommit: h.Commit, Sent: h.Sent, Have: m.have(),
		Context: h.Context, Asked: h.Asked, Clock: m.leaseNow(), Granted: granted, Base: base,
	})
}

func (m *Machine) onHeartbeatAnswer(from int, a *heartbeatAnswer) {
	if m.role != leader || a.Ballot != m.ballot {
		return
	}
	p := &m.lead.peers[from]
	m.leaseGranted(from, a, a.Nonce <= p.nonce)
	m.confirmContext(from, a.Context)
	if a.Nonce <= p.nonce {
		return
	}
	p.nonce, p.contact, p.have = a.Nonce, min(a.Sent, m.now), a.Have
	m.confirmReads()
	if a.Have.Commit < a.LeaderCommit {
		m.catchUp(from)
	}
}

// inContact reports whether a majority, the leader included, answered a
// heartbeat not older than an election timeout.
func (m *Machine) inContact() bool {
	set := uint64(1) << m.me
	for i, p := range m.lead.peers {
		if i != m.me && m.now-p.contact < checkQuorum {
			set |= 1 << i
		}
	}
	return m.isMajority(set)
}

// tickLeader does what a leader does as time goes by.
func (m *Machine) tickLeader() {
	if m.removed() {
		m.follow("")
		return
	}
	if !m.inContact() && !m.holdsLease() && !m.bugs.Has(bug.MPNoCheckQuorum) {
		// Step down. Planted otherwise: a leader that hears nobody leads on,
		// and its heartbeats keep the others from electing one that does.
		m.follow("")
		return
	}
	l := m.lead
	since := m.now - l.beatAt
	if since >= beatEvery || len(l.rounds) > 0 && since >= beatForReads {
		m.beat()
	}
	m.repeatAccepts()
	if m.now-l.tickAt >= tickEvery {
		if m.store.Sessions() > 0 {
			m.enqueue(kv.Command{Kind: kv.Tick, Elapsed: min(m.now-l.tickAt, 2*tickEvery)})
		}
		l.tickAt = m.now
	}
	m.considerTransfer()
}

func (m *Machine) onNack(_ int, n *nack) {
	m.maxRound = max(m.maxRound, n.Promised.Round)
	if n.Ballot != m.ballot || !m.ballot.Less(n.Promised) || m.licensed(m.me) {
		return
	}
	switch m.role {
	case leader:
		// Somebody promised more than our ballot. Ask the others whether we
		// may lead with a greater one; if they follow another, they refuse.
		m.follow("")
		m.campaign()
	case candidate:
		m.follow("")
		m.electionAt = m.now + m.between(retryMin, retryMax)
	}
}
