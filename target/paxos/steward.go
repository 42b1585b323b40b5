package paxos

import (
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Steward looks after extensions at the node that leads: it proposes what nobody
// has asked for, such as that a lease has run out. It may look at clocks, for what it
// says goes through the log like everything else, and the extension checks again when
// it applies it.
type Steward interface {
	// Due is called at every tick, and returns what should be proposed now. leading
	// tells whether the node leads and the no-op of its ballot is chosen; when it does
	// not, nothing is due. The leader proposes what is due after a majority has
	// confirmed that it still leads.
	Due(now protocol.Time, leading bool, s *kv.Store) []kv.Command
	// Stamp returns the command as it goes into the log, in the ballot.
	Stamp(b Ballot, c kv.Command) kv.Command
}

func (m *Machine) tickSteward() {
	if m.steward == nil {
		return
	}
	leading := m.role == leader && m.commit >= m.lead.noop
	due := m.steward.Due(m.now, leading, m.store)
	if leading {
		m.lead.duties = append(m.lead.duties, due...)
		return
	}
	if !m.bugs.Has(bug.LockDeposedLeaderRevokes) {
		return
	}
	// Planted: one who led once has found something to be due by its own clock, and
	// hands it to whoever leads now.
	m.duties = append(m.duties, due...)
	if m.leader == "" || m.leader == m.self {
		return
	}
	for _, c := range m.duties {
		m.send(m.index[m.leader], kindForward, forward{Command: c})
	}
	m.duties = nil
}
