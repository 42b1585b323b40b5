package primary

import (
	"math/bits"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// A partition need not cut the members into islands. A primary may have its majority
// while another member, itself connected to a majority, cannot hear it, or hears it
// without being heard; the others have a primary and begin no view. So the members
// tell each other whom they hear, and a primary hands over to a member that is better
// linked than itself: both ways, to more members, or to as many that are better
// linked themselves. In a network that does not change each hand-over is to a better
// one, so there is an end to it.

const (
	pingEvery = 100 * ms
	// linkFor is how long a ping counts.
	linkFor = 500 * ms
	// betterFor is how long another member must have been better linked, betterAgain
	// the least time between two attempts to hand over to one.
	betterFor   = 800 * ms
	betterAgain = 2000 * ms
)

// link is what a node knows about the way to and from a member.
type link struct {
	n            uint64 // of the last ping
	at           protocol.Time
	heard, links uint64 // sets of members
	reach        uint64
}

// standing tells how well a member is linked; the greater the better.
type standing struct{ links, reach uint64 }

func (s standing) less(o standing) bool {
	return s.links < o.links || s.links == o.links && s.reach < o.reach
}

func (l *link) standing() standing {
	return standing{links: uint64(bits.OnesCount64(l.links)), reach: l.reach}
}

// heardOf is the set of members heard of late, the node itself included.
func (m *Machine) heardOf() uint64 {
	set := uint64(1) << m.me
	for i, l := range m.links {
		if i != m.me && m.now-l.at < linkFor {
			set |= 1 << i
		}
	}
	return set
}

// linkedTo is the set of members that are heard and say that they hear us.
func (m *Machine) linkedTo() uint64 {
	set := m.heardOf()
	for i, l := range m.links {
		if i != m.me && l.heard&(1<<m.me) == 0 {
			set &^= 1 << i
		}
	}
	return set
}

// standing is this node's own.
func (m *Machine) standing() standing {
	mask := m.linkedTo()
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
		N: m.mint(), Heard: m.heardOf(), Links: m.linkedTo(), Reach: m.standing().reach,
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

// findBetter hands over to a member that has been better linked for a while.
func (m *Machine) findBetter() {
	mine := m.linkedTo()
	best, top := noTarget, m.standing()
	for i := range m.links {
		if s := m.links[i].standing(); mine&(1<<i) != 0 && i != m.me && top.less(s) {
			best, top = i, s
		}
	}
	if best == noTarget || !m.inContact() {
		m.lead.betterSince = m.now
		return
	}
	if m.now-m.lead.betterSince >= betterFor && m.now-m.betterAt >= betterAgain {
		m.betterAt = m.now
		m.orderHandOver(best)
	}
}
