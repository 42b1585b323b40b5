package decide

import (
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// acceptor is what a node remembers of one instance, for ever: the greatest
// ballot that it has promised to take part in, and the last vote it has cast.
// These are two things. A promise says nothing about a vote, and must not change
// it.
type acceptor struct {
	_        struct{} `cbor:",toarray"`
	Promised Ballot
	Vote     Vote
}

// prepare answers phase 1: it promises to take part in no ballot below n, and
// reports the last vote. The same ballot may be promised again, since it is
// always the same proposer's: a doubled message does no harm.
func (m *Machine) prepare(from protocol.NodeID, instance string, n Ballot) {
	a := m.acceptors[instance]
	if n.Less(a.Promised) {
		m.refuse(from, instance, n, a.Promised)
		return
	}
	vote := a.Vote
	if a.Promised.Less(n) {
		a.Promised = n
		if m.cfg.Bugs.Has(bug.PXSingleBallotVar) && vote != (Vote{}) {
			// Planted bug: one variable for both ballots. The next to ask hears
			// of an old value as if it had been voted for in ballot n.
			a.Vote.Ballot = n
		}
		m.remember(instance, a)
	}
	m.send(from, message{Kind: kindPromise, Instance: instance, Ballot: n, Vote: vote})
}

// accept answers phase 2: it votes, unless a greater ballot was promised, and
// tells all learners. A vote in ballot n is also a promise of n.
func (m *Machine) accept(from protocol.NodeID, instance string, v Vote) {
	a := m.acceptors[instance]
	bound := a.Promised
	if m.cfg.Bugs.Has(bug.PXAcceptBelowPromise) {
		bound = a.Vote.Ballot // planted bug: only votes bind, promises do not
	}
	// Planted bug: the first vote is the last one.
	stubborn := m.cfg.Bugs.Has(bug.PXAcceptsOnlyFirst) && a.Vote != (Vote{}) && a.Vote != v
	if v.Ballot.Less(bound) || stubborn {
		m.refuse(from, instance, v.Ballot, a.Promised)
		return
	}
	if a.Vote != v {
		a.Vote = v
		if a.Promised.Less(v.Ballot) && !m.cfg.Bugs.Has(bug.PXAcceptKeepsOldPromise) {
			a.Promised = v.Ballot
		}
		m.remember(instance, a)
	}
	m.broadcast(message{Kind: kindVoted, Instance: instance, Ballot: v.Ballot, Vote: v})
}

// refuse tells a proposer that its ballot is too low, and for what.
func (m *Machine) refuse(to protocol.NodeID, instance string, n, promised Ballot) {
	m.send(to, message{Kind: kindNack, Instance: instance, Ballot: n, Promised: promised})
}

// remember makes the acceptor durable, before anything else leaves.
func (m *Machine) remember(instance string, a acceptor) {
	m.acceptors[instance] = a
	m.out.Records = append(m.out.Records, encodeRecord(instance, m.durable(a)))
}

// durable is what is written of an acceptor: all of it.
func (m *Machine) durable(a acceptor) acceptor {
	switch {
	case m.cfg.Bugs.Has(bug.PXPromiseInMemory):
		a.Promised = a.Vote.Ballot // planted bug: a promise lasts until a restart
	case m.cfg.Bugs.Has(bug.PXAcceptedInMemory):
		a.Vote = Vote{} // planted bug: a vote lasts until a restart
	}
	return a
}
