package paxos

import (
	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
)

// The acceptor's durable state is one promise for all slots, those that do not
// exist yet included, and a vote per slot. Each change of it is a record, and
// the driver lets no message leave before the records of its Ready are durable.

// record is one entry of the write-ahead log: a promise, and the votes cast
// under it. Ballot and votes are one record, so that a crash leaves both or
// neither: old votes stamped with a new ballot would beat what was chosen.
type record struct {
	_      struct{} `cbor:",toarray"`
	Ballot Ballot
	Votes  []proposal
	// Restamp are slots whose votes now count for the ballot, which only a planted
	// bug writes.
	Restamp []uint64
}

// persist appends a record to what must be durable before the next message.
func (m *Machine) persist(r record) {
	b, err := cbor.Marshal(r)
	if err != nil {
		panic("paxos: encode record: " + err.Error()) // the types above all encode
	}
	m.out.Records = append(m.out.Records, b)
}

// replay applies a record that was durable.
func (m *Machine) replay(b []byte) error {
	var r record
	if err := m.codec.mode.Unmarshal(b, &r); err != nil {
		return err
	}
	if m.promised.Less(r.Ballot) {
		m.promised = r.Ballot
	}
	for _, p := range r.Votes {
		if p.Slot > m.log.base {
			e := m.log.grow(p.Slot)
			e.vote, e.cmd = r.Ballot, p.Command
		}
	}
	for _, k := range r.Restamp {
		if e := m.log.at(k); e != nil && e.known() {
			e.vote = r.Ballot
		}
	}
	return nil
}

// promise raises the promise: from now on nothing below the ballot is accepted,
// in no slot. Whoever led or wanted to lead under a lower ballot stops.
func (m *Machine) promise(b Ballot) {
	m.promised = b
	m.maxRound = max(m.maxRound, b.Round)
	m.leader, m.lastNonce = "", 0
	m.persist(record{Ballot: b})
	if m.role != follower && m.ballot != b {
		m.follow("")
	}
}

// onPrepare answers phase 1a. The safety of all slots to come sits in the one
// comparison with the one promise.
func (m *Machine) onPrepare(from int, p *prepare) {
	switch c := p.Ballot.Compare(m.promised); {
	case p.Ballot.Node != m.members[from]:
		return
	case c < 0:
		m.send(from, kindNack, nack{Ballot: p.Ballot, Promised: m.promised})
		return
	case c > 0:
		if !p.Transfer && m.settled(from) {
			return // it does not hear the leader that we hear; no reason to depose it
		}
		if m.barred(from) {
			return // another may be reading under our promise
		}
		m.promise(p.Ballot)
		m.electionAt = m.now + m.electionTimeout()
	case m.leader == "":
		m.follow("") // the candidate is still being told: let it finish
	}
	m.send(from, kindPromise, m.votesFrom(p.Ballot, p.From))
}

// votesFrom returns as much of the log from the slot on as fits a message.
func (m *Machine) votesFrom(b Ballot, from uint64) promise {
	p := promise{Ballot: b, From: from, Base: m.log.base, Last: true, To: m.log.last()}
	size := 0
	for k := max(from, m.log.base+1); k <= m.log.last(); k++ {
		e := m.log.at(k)
		if !e.known() {
			continue
		}
		if size += e.cmd.Size() + 40; size > batchBytes && len(p.Votes) > 0 {
			p.Last, p.To = false, k-1
			break
		}
		p.Votes = append(p.Votes, vote{Slot: k, Ballot: e.vote, Chosen: e.chosen, Command: e.cmd})
	}
	return p
}

// maxAhead bounds how far above its base a node keeps votes. One that lags
// more catches up first.
const maxAhead = 20_000

// onAccept answers phase 2a: it votes unless a higher ballot was promised, and
// voting raises the promise. The whole batch is one record.
func (m *Machine) onAccept(from int, a *accept) {
	if m.bugs.Has(bug.MPPromisePerSlotOnly) && a.Ballot.Less(m.promised) {
		m.intrude(from, a) // planted: the promise is not for slots yet to come
		return
	}
	if !m.licensed(from) && !m.obey(a.Ballot, from) {
		return
	}
	stamp := a.Ballot
	if a.Stamp.Round > 0 {
		stamp = a.Stamp
	}
	var voted []proposal
	var slots []uint64
	for _, p := range a.Proposals {
		switch {
		case p.Slot > m.log.base+m.ahead:
			continue
		case p.Slot <= m.log.base:
			// Chosen, applied and in the checkpoint: the proposal is that command.
		default:
			e := m.log.grow(p.Slot)
			if e.vote != stamp {
				e.vote = stamp
				if !e.chosen {
					e.cmd = p.Command
				}
				voted = append(voted, proposal{Slot: p.Slot, Command: e.cmd})
			}
		}
		slots = append(slots, p.Slot)
	}
	if len(voted) > 0 && m.bugs.Has(bug.MPRestampBeforeValues) {
		m.restamp(half{from: from, ballot: stamp, votes: voted, slots: slots})
		slots = nil
	} else if len(voted) > 0 {
		m.persist(record{Ballot: stamp, Votes: voted})
	}
	m.verify(a.Ballot, a.Commit)
	if len(slots) > 0 {
		m.send(from, kindAccepted, accepted{Ballot: a.Ballot, Slots: slots})
	}
}

// obey admits a message of the leader of the ballot: it follows that leader, or
// refuses it when a higher ballot has been promised.
func (m *Machine) obey(b Ballot, from int) bool {
	switch c := b.Compare(m.promised); {
	case b.Node != m.members[from]:
		return false
	case c < 0:
		m.send(from, kindNack, nack{Ballot: b, Promised: m.promised})
		return false
	case c > 0 && m.licensed(m.me):
		return false
	case c > 0:
		m.promise(b)
	}
	if m.leader != b.Node {
		m.leader = b.Node
		m.handOver()
	}
	return true
}

// verify learns from the commit index of the leader of a ballot. A leader
// proposes one command per slot and ballot, so a vote in that ballot at or
// below its commit index is for the chosen command. A vote in another ballot
// says nothing: that slot has to be fetched.
func (m *Machine) verify(b Ballot, commit uint64) {
	for k := m.commit + 1; k <= min(commit, m.log.last()); k++ {
		if e := m.log.at(k); e.vote == b {
			e.chosen = true
		}
	}
	m.applyChosen()
}

// applyChosen applies what can be applied: a slot only when every slot before
// it has been applied.
func (m *Machine) applyChosen() {
	for e := m.log.at(m.commit + 1); e != nil && e.chosen; e = m.log.at(m.commit + 1) {
		m.commit++
	}
	if m.bugs.Has(bug.MPApplyOverHole) {
		// Planted: whatever is chosen is applied at once. The command missing
		// below is applied when it turns up, after its successors.
		for k := m.log.base + 1; k <= m.log.last(); k++ {
			if e := m.log.at(k); e.chosen && !e.applied {
				m.apply(k, e)
			}
		}
	}
	for k := m.applied + 1; k <= m.commit; k++ {
		m.apply(k, m.log.at(k))
	}
	m.answerReads()
}

// apply applies one chosen slot and answers whoever waits for its command.
func (m *Machine) apply(k uint64, e *slotState) {
	e.applied = true
	m.applied = max(m.applied, k)
	r := m.store.Apply(k, e.cmd)
	m.answerBySlot(k, r)
	for _, s := range m.store.Settled() {
		m.answer(s.Origin, s.Result)
	}
	if e.cmd.Kind == kv.Op && r.Outcome != kv.Pending {
		m.answer(e.cmd.Origin, r)
	}
}
