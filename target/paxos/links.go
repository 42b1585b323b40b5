package paxos

import (
	"math/bits"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// A partition need not cut the members into islands. A leader may have its
// majority while another member, itself connected to a majority, cannot hear
// it, or hears it without being heard. Elections do not help: the others have a
// leader and refuse. So the members tell each other whom they hear, and a leader
// hands over to a member that is better linked than itself: both ways, to more
// members, or to as many that are better linked themselves. In a network that
// does not change each hand-over is to a better one, so there is an end to it.

const (
	pingEvery = 100 * ms
	// linkFor is how long a ping counts.
	linkFor = 500 * ms
	// transferAfter is how long another member must have been better linked.
	transferAfter = 800 * ms
	// transferAgain is the least time between two attempts to hand over.
	transferAgain = 2000 * ms
)

// transferLag is how many slots the other member may lag behind. It is less than what
// every node keeps, so that the votes that it asks for are there.
func (m *Machine) transferLag() uint64 { return m.keep / 2 }

// link is what a node knows about the way to and from a member.
type link struct {
	epoch        protocol.Epoch
	n            uint64 // of the last ping
	at           protocol.Time
	heard, links uint64
	reach        uint64
	taughtAt     protocol.Time // see teach
}

// standing tells how well a member is linked; the greater the better.
type standing struct{ links, reach uint64 }

func (s standing) less(o standing) bool {
	return s.links < o.links || s.links == o.links && s.reach < o.reach
}

func (l *link) standing() standing {
	return standing{links: uint64(bits.OnesCount64(l.links)), reach: l.reach}
}

// heardMask is the set of members heard of late, the node itself included.
func (m *Machine) heardMask() uint64 {
	set := uint64(1) << m.me
	for i, l := range m.links {
		if i != m.me && m.now-l.at < linkFor {
			set |= 1 << i
		}
	}
	return set
}

// linkMask is the set of members that are heard and say that they hear us.
func (m *Machine) linkMask() uint64 {
	set := m.heardMask()
	for i, l := range m.links {
		if i != m.me && l.heard&(1<<m.me) == 0 {
			set &^= 1 << i
		}
	}
	return set
}

// standing is this node's own.
func (m *Machine) standing() standing {
	mask := m.linkMask()
	s := standing{links: uint64(bits.OnesCount64(mask))}
	for i := range m.links {
		if i != m.me && mask&(1<<i) != 0 {
			s.reach += m.links[i].standing().links
		}
	}
	return s
}

func (m *Machine) tickLinks() {
	if m.now-m.pingAt < pingEvery {
		return
	}
	m.pingAt = m.now
	m.broadcast(kindPing, ping{
		N: m.mint(), Heard: m.heardMask(), Links: m.linkMask(), Reach: m.standing().reach,
	})
}

func (m *Machine) onPing(from int, p *ping) {
	l := &m.links[from]
	if p.N <= l.n {
		return // a late copy
	}
	l.n, l.at = p.N, m.now
	l.heard, l.links, l.reach = p.Heard, p.Links, p.Reach
}

// considerTransfer hands leadership over to a member that is better linked.
func (m *Machine) considerTransfer() {
	mine := m.linkMask()
	best, top := -1, m.standing()
	for i := range m.links {
		if s := m.links[i].standing(); mine&(1<<i) != 0 && i != m.me && m.isVoter(i) && top.less(s) {
			best, top = i, s
		}
	}
	if best < 0 || !m.inContact() {
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
