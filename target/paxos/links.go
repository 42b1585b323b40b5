package paxos

import "github.com/ordeal-dev/ordeal/target/protocol"

const (
	// transferAfter is how long another member must have been better linked.
	transferAfter = 800 * ms
	// transferAgain is the least time between two attempts to hand over.
	transferAgain = 2000 * ms
)

// transferLag is how many slots the other member may lag behind. It is less than what
// every node keeps, so that the votes that it asks for are there.
func (m *Machine) transferLag() uint64 { return m.keep / 2 }

// known is what a node remembers of another one, whoever leads.
type known struct {
	epoch protocol.Epoch
	// taught is what it had when this node last taught it, and taughtAt when.
	taught   have
	taughtAt protocol.Time
}

func (m *Machine) tickLinks() {
	if p, due := m.mesh.Tick(m.now, m.mint); due {
		m.broadcast(kindPing, p)
	}
}

// considerTransfer hands leadership over to a member that is better linked.
func (m *Machine) considerTransfer() {
	best, found := m.mesh.Better(m.now, m.isVoter)
	if !found || !m.inContact() {
		m.betterAt = m.now
		return
	}
	lag := m.commit > m.lead.peers[best].have.Commit+m.transferLag()
	if m.now-m.betterAt >= transferAfter && m.now-m.transferAt >= transferAgain && !lag {
		m.passOn(best)
	}
}

func (m *Machine) onTransfer(from int, t *transfer) {
	if m.role == follower && m.isVoter(m.me) && t.Ballot == m.promised && m.leader == m.members[from] {
		m.releaseLease()
		m.prepare(true)
	}
}
