package decide

import (
	"strconv"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// learn counts a vote. A value is chosen when a majority has voted for it in one
// ballot: acceptors that voted for the same value in different ballots prove
// nothing, as some of these votes may be overruled.
//
// The learner remembers the greatest vote of each acceptor. It may miss a choice
// that way, if votes arrive out of order, but it never sees one that is none.
func (m *Machine) learn(from protocol.NodeID, instance string, v Vote) {
	votes := m.votes[instance]
	if votes == nil {
		votes = map[protocol.NodeID]Vote{}
		m.votes[instance] = votes
	}
	voter := m.voter(from)
	if votes[voter].Ballot.Less(v.Ballot) {
		votes[voter] = v
	}
	n := 0
	for _, other := range votes {
		// Planted bug: the same value in any ballots.
		mixed := m.cfg.Bugs.Has(bug.PXLearnMixedBallots) && other.Value == v.Value
		if other.Ballot == v.Ballot || mixed {
			n++
		}
	}
	if n >= m.majority() {
		m.chosen(instance, v)
	}
}

// voter is under what name an acceptor's answer is counted: its own, so that a
// doubled message counts once.
func (m *Machine) voter(from protocol.NodeID) protocol.NodeID {
	if m.cfg.Bugs.Has(bug.PXDupReplyCounted) && from != m.cfg.Self {
		// Planted bug: answers are counted, not those who answer.
		m.received++
		return from + "#" + protocol.NodeID(strconv.Itoa(m.received))
	}
	return from
}
