package paxos

import (
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// This file holds planted bugs that need more than an if beside the line that they
// break. None of it runs unless the bug is switched on.

// planted is what these bugs keep.
type planted struct {
	// contexts are reads that wait to be confirmed, for MPReadIndexDupCtx.
	contexts []context
	// proposed tells who proposed what this node put into a slot, for MPReplyBySlot.
	proposed map[uint64]kv.Origin
	// flushed is the store as of the last time that a timer wrote it, for
	// MPAppliedIndexNotAtomic.
	flushed   []byte
	flushedAt protocol.Time
	// halves are votes whose ballots are on the disk, for MPRestampBeforeValues.
	halves []half
	// sent are forwarded requests in their order, for ReplyFIFOMismatch.
	sent []uint64
}

// context is a read that heartbeats confirm which carry the reader's own number.
type context struct {
	read  readFrom
	index uint64
	acks  uint64
}

// askInContext asks the members whether this node still leads, in a heartbeat that
// carries the number of the read.
func (m *Machine) askInContext(r readFrom) {
	if !m.indexReady() {
		return // it will ask again
	}
	same := func(c context) bool { return c.read == r }
	if !slices.ContainsFunc(m.planted.contexts, same) {
		m.planted.contexts = append(m.planted.contexts,
			context{read: r, index: m.commit, acks: 1 << m.me})
	}
	m.lead.nonce++
	m.lead.beatAt = m.now
	m.broadcast(kindHeartbeat, heartbeat{
		Ballot: m.ballot, Nonce: m.lead.nonce, Commit: m.commit, Sent: m.now, Context: r.token,
	})
}

// confirmContext counts an answer for the read that it names, whichever heartbeat it
// answers, and releases that read and those before it.
func (m *Machine) confirmContext(from int, number uint64) {
	cs := m.planted.contexts
	i := slices.IndexFunc(cs, func(c context) bool { return c.read.token == number })
	if number == 0 || i < 0 {
		return
	}
	cs[i].acks |= 1 << from
	if !m.isMajority(cs[i].acks) {
		return
	}
	m.planted.contexts = slices.Clone(cs[i+1:])
	for _, c := range cs[:i+1] {
		m.grantIndex(c.read, c.index)
	}
}

// longest replaces the votes of the greatest ballots by the longest log, the own one
// by nothing.
func (m *Machine) longest(c *candidacy) map[uint64]vote {
	end, found := m.log.last(), map[uint64]vote{}
	for _, votes := range c.logs {
		last := uint64(0)
		for k := range votes {
			last = max(last, k)
		}
		if last > end {
			end, found = last, votes
		}
	}
	return found
}

// keepLog takes note of what one member has told.
func (c *candidacy) keepLog(from int, v vote, mine Ballot) {
	if c.logs == nil {
		c.logs = map[int]map[uint64]vote{}
	}
	if c.logs[from] == nil {
		c.logs[from] = map[uint64]vote{}
	}
	v.Ballot = mine // above whatever the own log has
	c.logs[from][v.Slot] = v
}

// intrude votes for what a deposed leader proposes in slots that nobody has touched.
func (m *Machine) intrude(from int, a *accept) {
	var voted []proposal
	var slots []uint64
	for _, p := range a.Proposals {
		if p.Slot <= m.log.base || p.Slot > m.log.base+maxAhead {
			continue
		}
		if e := m.log.grow(p.Slot); !e.known() || e.vote == a.Ballot {
			e.vote, e.cmd = a.Ballot, p.Command
			voted, slots = append(voted, p), append(slots, p.Slot)
		}
	}
	if len(voted) > 0 {
		m.persist(record{Ballot: a.Ballot, Votes: voted})
		m.send(from, kindAccepted, accepted{Ballot: a.Ballot, Slots: slots})
	}
}

// answerBySlot tells the client whose command was proposed in a slot how that slot
// has ended, whatever was chosen there.
func (m *Machine) answerBySlot(k uint64, r kv.Result) {
	if o, there := m.planted.proposed[k]; there {
		delete(m.planted.proposed, k)
		m.answer(o, r)
	}
}

func (m *Machine) noteProposed(k uint64, c kv.Command) {
	if c.Kind != kv.Op {
		return
	}
	if m.planted.proposed == nil {
		m.planted.proposed = map[uint64]kv.Origin{}
	}
	m.planted.proposed[k] = c.Origin
}

// flushEvery is how often the timer of MPAppliedIndexNotAtomic writes the data.
const flushEvery = 300 * ms

func (m *Machine) tickPlanted() {
	if m.bugs.Has(bug.MPAppliedIndexNotAtomic) && m.now-m.planted.flushedAt >= flushEvery {
		m.planted.flushed, m.planted.flushedAt = m.store.Encode(), m.now
	}
}

// half is a batch of votes of which only the ballot is durable.
type half struct {
	from   int
	ballot Ballot
	votes  []proposal
	slots  []uint64
}

// restamp makes the ballot of a batch durable; the commands follow with the next Ready,
// and the answer with them.
func (m *Machine) restamp(h half) {
	r := record{Ballot: h.ballot}
	for _, p := range h.votes {
		r.Restamp = append(r.Restamp, p.Slot)
	}
	m.persist(r)
	m.planted.halves = append(m.planted.halves, h)
}

// finishHalves writes what restamp has left. It is called when a Ready has been
// taken, and adds to the next one.
func (m *Machine) finishHalves() {
	for _, h := range m.planted.halves {
		m.persist(record{Ballot: h.ballot, Votes: h.votes})
		m.send(h.from, kindAccepted, accepted{Ballot: h.ballot, Slots: h.slots})
	}
	m.planted.halves = nil
}

// answerInOrder takes an answer for that to the oldest request that was forwarded and
// has not timed out.
func (m *Machine) answerInOrder(r kv.Result) {
	if len(m.planted.sent) == 0 {
		return
	}
	n := m.planted.sent[0]
	m.planted.sent = m.planted.sent[1:]
	m.complete(n, r)
}

// forwarded and gaveUp keep the order of requests.
func (m *Machine) forwarded(n uint64) {
	if m.bugs.Has(bug.ReplyFIFOMismatch) && !slices.Contains(m.planted.sent, n) {
		m.planted.sent = append(m.planted.sent, n)
	}
}

func (m *Machine) gaveUp(n uint64) {
	m.planted.sent = slices.DeleteFunc(m.planted.sent, func(x uint64) bool { return x == n })
}

// fits is fits, except for MPCommitMixedBallots, which sends each command by itself.
func (m *Machine) fits(ps []proposal) int {
	if m.bugs.Has(bug.MPCommitMixedBallots) {
		return 1
	}
	return fits(ps)
}

// stamp is the ballot under which the first command's votes are recorded, if not that
// of the leader.
func (m *Machine) stamp(ps []proposal) Ballot {
	if e := m.log.at(ps[0].Slot); m.bugs.Has(bug.MPCommitMixedBallots) && e != nil {
		return e.vote
	}
	return Ballot{}
}
