// Package mesh tells who of a group is best linked.
//
// A partition need not cut the members into islands. A leader may have its majority while
// another member, itself connected to a majority, cannot hear it, or hears it without being
// heard. Elections do not help: the others have a leader and refuse. So the members tell
// each other whom they hear, and a leader hands over to a member that is better linked than
// itself: both ways, to more members, or to as many that are better linked themselves. In a
// network that does not change each hand-over is to a better one, so there is an end to it.
package mesh

import (
	"math"
	"math/bits"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	ms    = protocol.Time(1e6)
	never = protocol.Time(math.MinInt64 / 2)

	pingEvery = 100 * ms
	// linkFor is how long a ping counts.
	linkFor = 500 * ms
)

// Ping tells who hears whom.
type Ping struct {
	_ struct{} `cbor:",toarray"`
	N uint64
	// Heard are the members that the sender hears, Links those that hear it as well: bit i
	// for the i-th member.
	Heard, Links uint64
	// Reach is the number of links that the linked members have, summed up.
	Reach uint64
}

// Mesh is what a member knows about the ways to and from the others, which it calls by
// their places in the list of members.
type Mesh struct {
	me     int
	links  []link
	pinged protocol.Time
}

// link is what is known about the way to and from a member.
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

// New returns what the member me knows at first: nothing.
func New(me, members int) *Mesh {
	m := &Mesh{me: me, links: make([]link, members), pinged: never}
	for i := range m.links {
		m.links[i].at = never
	}
	return m
}

// heard is the set of members heard of late, the member itself included.
func (m *Mesh) heard(now protocol.Time) uint64 {
	set := uint64(1) << m.me
	for i, l := range m.links {
		if i != m.me && now-l.at < linkFor {
			set |= 1 << i
		}
	}
	return set
}

// linked is the set of members that are heard and say that they hear this one.
func (m *Mesh) linked(now protocol.Time) uint64 {
	set := m.heard(now)
	for i, l := range m.links {
		if i != m.me && l.heard&(1<<m.me) == 0 {
			set &^= 1 << i
		}
	}
	return set
}

// standing is this member's own, linked to a set of members.
func (m *Mesh) standing(linked uint64) standing {
	s := standing{links: uint64(bits.OnesCount64(linked))}
	for i := range m.links {
		if i != m.me && linked&(1<<i) != 0 {
			s.reach += m.links[i].standing().links
		}
	}
	return s
}

// Tick returns the ping that all others are to be sent now, if one is due. Its number, from
// mint, has to rise from ping to ping.
func (m *Mesh) Tick(now protocol.Time, mint func() uint64) (Ping, bool) {
	if now-m.pinged < pingEvery {
		return Ping{}, false
	}
	m.pinged = now
	linked := m.linked(now)
	return Ping{
		N: mint(), Heard: m.heard(now), Links: linked, Reach: m.standing(linked).reach,
	}, true
}

// Note takes a ping of a member.
func (m *Mesh) Note(now protocol.Time, from int, p *Ping) {
	l := &m.links[from]
	if p.N <= l.n {
		return // a late copy
	}
	l.n, l.at = p.N, now
	l.heard, l.links, l.reach = p.Heard, p.Links, p.Reach
}

// Better returns the best linked member that may lead and is better linked than this one.
func (m *Mesh) Better(now protocol.Time, may func(member int) bool) (member int, ok bool) {
	linked := m.linked(now)
	top := m.standing(linked)
	for i := range m.links {
		if s := m.links[i].standing(); linked&(1<<i) != 0 && i != m.me && may(i) && top.less(s) {
			member, ok, top = i, true, s
		}
	}
	return member, ok
}
