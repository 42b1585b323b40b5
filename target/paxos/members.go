package paxos

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Who votes can be changed, one node at a time (Ongaro, "Consensus: bridging theory
// and practice", 2014, chapter 4). The nodes that can exist are fixed, and each gets
// every message; the configuration says whose votes count, and the others are
// learners. It is changed by a command in the log that takes effect when it is
// appended: it counts for its own slot and those after it, chosen or not. Majorities of
// configurations that differ by one node meet, so that it does not matter which of the
// two a node goes by, provided that no third one is about. Therefore a leader begins a
// change only
//
//  1. after the change before is chosen, and
//  2. after the no-op of its own ballot is chosen: else two leaders could each have
//     appended a change of their own to the same configuration, and the two results
//     differ by two nodes (Ongaro, raft-dev, 2015).
//
// A candidate that finds changes in the log, its own or what it is told, needs a
// majority of each configuration from the last applied one on: what was chosen under
// any of them has then been told to it. A node is added when it has caught up. A leader
// that removes itself leads until that is chosen, without its own vote.
//
// The safety sits in count, phaseOne and mayReconfigure.

// minVoters is how many voters stay at least: with one alone nothing would outlive it.
const minVoters = 2

// config is the set of voters from a slot on.
type config struct{ slot, voters uint64 }

func (c config) majority() int { return bits.OnesCount64(c.voters)/2 + 1 }

// has reports whether a set of members holds a majority of the voters.
func (c config) has(set uint64) bool {
	return bits.OnesCount64(set&c.voters) >= c.majority()
}

// refresh finds the configurations that count: as of what is applied, and those in
// the log above it.
func (m *Machine) refresh() {
	m.configs = append(m.configs[:0], config{voters: m.voters(m.store.Config())})
	for k := m.applied + 1; k <= m.log.last(); k++ {
		if e := m.log.at(k); e != nil && e.known() && e.cmd.Kind == kv.Config {
			m.configs = append(m.configs, config{slot: k, voters: m.voters(e.cmd.Value)})
		}
	}
}

// voters is the set that a configuration's value names: all nodes if it is empty.
func (m *Machine) voters(value string) uint64 {
	if value == "" {
		return m.initial
	}
	set := uint64(0)
	for id := range strings.SplitSeq(value, ",") {
		if i, there := m.index[protocol.NodeID(id)]; there {
			set |= 1 << i
		}
	}
	return set
}

// names is the value of a configuration.
func (m *Machine) names(set uint64) string {
	var ids []string
	for i, id := range m.members {
		if set&(1<<i) != 0 {
			ids = append(ids, string(id))
		}
	}
	return strings.Join(ids, ",")
}

// latest is the configuration that the node goes by.
func (m *Machine) latest() config { return m.configs[len(m.configs)-1] }

// configAt is the configuration that counts for a slot.
func (m *Machine) configAt(k uint64) config {
	if m.bugs.Has(bug.MPReconfigNoNoopGuard) {
		return m.latest() // planted: for all slots, those before it as well
	}
	for i := len(m.configs) - 1; i > 0; i-- {
		if m.configs[i].slot <= k {
			return m.configs[i]
		}
	}
	return m.configs[0]
}

// isVoter reports whether a member's vote counts now.
func (m *Machine) isVoter(member int) bool { return m.latest().voters&(1<<member) != 0 }

// isMajority reports whether a set of members is a majority of the voters.
func (m *Machine) isMajority(set uint64) bool { return m.latest().has(set) }

// phaseOne reports whether those who have answered phase 1 are enough: a majority of
// each configuration in the own log and in what was told.
func (m *Machine) phaseOne(c *candidacy) bool {
	if m.bugs.Has(bug.MPReconfigNoNoopGuard) {
		return m.isMajority(c.done) // planted: the latest in the own log is enough
	}
	for _, cfg := range m.configs {
		if !cfg.has(c.done) {
			return false
		}
	}
	for _, v := range c.best {
		if v.Command.Kind == kv.Config && !(config{voters: m.voters(v.Command.Value)}).has(c.done) {
			return false
		}
	}
	return true
}

// mayReconfigure reports whether the leader may append a change now.
func (m *Machine) mayReconfigure() bool {
	if m.commit < m.lead.noop && !m.bugs.Has(bug.MPReconfigNoNoopGuard) {
		// Planted otherwise: it begins before it knows what others have begun.
		return false
	}
	// Planted otherwise: the change before need not be chosen.
	return len(m.configs) == 1 || m.bugs.Has(bug.MPReconfigTwoAtOnce)
}

// reconfigure begins to add or to remove a voter, if that can be done now.
func (m *Machine) reconfigure(f string, member int) {
	set := m.latest().voters
	bit := uint64(1) << member
	lag := m.commit > m.lead.peers[member].have.Commit+m.transferLag()
	switch {
	case !m.mayReconfigure():
		return
	case f == orderAdd && set&bit == 0 && !lag:
		set |= bit
	case f == orderRemove && set&bit != 0 && bits.OnesCount64(set) > minVoters:
		set &^= bit
	default:
		return
	}
	p := []proposal{m.assign(m.lead.next, kv.Command{Kind: kv.Config, Value: m.names(set)})}
	m.lead.next++
	m.refresh()
	m.vote(p)
	m.applyChosen()
}

// removed reports whether the removal of this node is chosen. A leader then stops. One
// that is a voter by a change which it is still bringing to an end goes on: nobody else
// may be able to.
func (m *Machine) removed() bool { return len(m.configs) == 1 && !m.isVoter(m.me) }

// confirmed is the greatest nonce that a majority of the voters has answered.
func (m *Machine) confirmed() uint64 {
	var nonces []uint64
	for i, p := range m.lead.peers {
		switch {
		case !m.isVoter(i):
		case i == m.me:
			nonces = append(nonces, m.lead.nonce)
		default:
			nonces = append(nonces, p.nonce)
		}
	}
	slices.Sort(nonces)
	return nonces[len(nonces)-m.latest().majority()]
}

// chosenConfig is the last configuration that the node knows to be chosen: what it says of
// itself. One that is under way takes a majority of this one, too, to elect a leader.
func (m *Machine) chosenConfig() config { return m.configs[0] }

// split lists the voters of a configuration and the learners.
func (m *Machine) split(c config) (voters, learners []protocol.NodeID) {
	voters = make([]protocol.NodeID, 0, len(m.members))
	for i, id := range m.members {
		if c.voters&(1<<i) != 0 {
			voters = append(voters, id)
		} else {
			learners = append(learners, id)
		}
	}
	return voters, learners
}
