package paxos

import (
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/lease"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Under a lease the leader answers reads without asking anybody (package lease;
// Chandra, Griesemer and Redstone, "Paxos made live", 2007, section 5.2). With its
// heartbeats it asks each member for a promise: to help nobody else to lead before
// some moment of the member's own clock. While a majority has promised, nobody else
// is elected, hence nobody else acknowledges anything, hence what the leader has
// applied holds everything acknowledged, once the no-op of its ballot is chosen.
// The check comes first and the read after it: a pause in between makes the reply
// late, not wrong.
//
// A renewal names an absolute end, which the member's own clock has to reach. A
// member tells its clock in every answer, and the leader asks for that time plus
// the lease's length. The leader counts from when it sent what was answered by
// that time (Base), which was before the member read its clock; so a promise is
// never shorter than what the leader makes of it, however late a message is. Copies
// and late messages carry their end with them.
//
// The promise forbids to grant a pre-vote and to promise a ballot. It does not
// forbid to obey a leader who was elected nevertheless: a majority has found its
// promises ended before that, so the lease was over. The lease licenses reads
// only; writes carry the ballot, as ever.
//
// A leader that hands over gives up its lease first and takes none again in that
// ballot, because nobody can tell when the other will use what it was given.
// Until the next election its reads ask a majority.
//
// The safety sits in holdsLease, grantLease and barred, and in newLeasing, which
// makes a member bar everybody for a whole interval after a restart.

// NewLeaseRead returns a member of the protocol lease-read: New, with leases.
func NewLeaseRead(cfg protocol.Config) (*Machine, error) {
	return NewMode(cfg, Mode{Protocol: "lease-read", Leases: true})
}

// leasing is what a member keeps of leases, whoever leads.
type leasing struct {
	terms   lease.Terms
	grantor lease.Grantor
	// kept is the end of a lease that was handed over and is used nevertheless,
	// which only a planted bug does.
	kept protocol.Time
	// once are the members that ever had a promise of this life. Only a planted
	// bug asks.
	once uint64
	wall protocol.WallTime
}

func newLeasing(epoch protocol.Epoch, bugs bug.Set) *leasing {
	l := &leasing{terms: lease.Declared(), grantor: lease.NewGrantor()}
	if epoch > 1 && !bugs.Has(bug.LeaseForgetOnRestart) {
		// An earlier life may have promised just before it ended. Planted
		// otherwise: the promises were in memory, and are gone.
		l.grantor = lease.Restarted(0, l.terms.Length)
	}
	return l
}

// tenure is what a leader knows of the promises made to it in its ballot.
type tenure struct {
	holder   *lease.Holder
	stamps   []stamp
	released bool
}

// stamp is the greatest time that a member's clock has told, and when the message
// that it answers was sent.
type stamp struct {
	epoch       protocol.Epoch
	clock, sent protocol.Time
}

func newTenure(members int) tenure {
	return tenure{holder: lease.NewHolder(members), stamps: make([]stamp, members)}
}

// SetWall tells the time of day, which only a planted bug looks at.
func (m *Machine) SetWall(now protocol.WallTime) {
	l := m.leases
	if l == nil || !m.bugs.Has(bug.LeaseWallClock) {
		return
	}
	if l.wall == 0 && m.epoch > 1 {
		l.grantor = lease.Restarted(protocol.Time(now), l.terms.Length)
	}
	l.wall = now
}

// leaseNow is the clock that leases go by.
func (m *Machine) leaseNow() protocol.Time {
	if m.leases != nil && m.bugs.Has(bug.LeaseWallClock) {
		// Planted: the time of day, which anybody may set.
		return protocol.Time(m.leases.wall)
	}
	return m.now
}

// heldFor is how long the leader relies on a promise.
func (m *Machine) heldFor() protocol.Time {
	if m.bugs.Has(bug.LeaseNoDriftMargin) {
		// Planted: as if all clocks ran at one rate.
		return m.leases.terms.Length
	}
	return m.leases.terms.Held()
}

// holdsLease reports whether this leader may answer reads from what it knows.
func (m *Machine) holdsLease() bool {
	if m.leases == nil || m.role != leader || m.commit < m.lead.noop {
		return false
	}
	t := &m.lead.tenure
	return !t.released && m.leaseNow() < t.holder.End(m.latest().majority()-1) // it is a member itself
}

// renewals is what a heartbeat asks of each member.
func (m *Machine) renewals() []renewal {
	if m.leases == nil || m.lead.tenure.released {
		return nil
	}
	rs := make([]renewal, len(m.members))
	for i, s := range m.lead.tenure.stamps {
		if s.epoch > 0 {
			rs[i] = renewal{Epoch: s.epoch, Until: s.clock + m.leases.terms.Length, Base: s.sent}
		}
		if m.bugs.Has(bug.LeaseAssumeOnSend) {
			// Planted: what was asked for counts as promised.
			m.lead.tenure.holder.Granted(i, m.leaseNow()+m.heldFor())
		}
	}
	return rs
}

// grantLease promises what the heartbeat of an obeyed leader asks for. It looks at
// late copies as well: each carries its own end, and the greatest counts.
func (m *Machine) grantLease(from int, h *heartbeat) (granted bool, base protocol.Time) {
	if m.leases == nil {
		return false, 0
	}
	if h.Released {
		m.releaseLease()
		return false, 0
	}
	if m.me >= len(h.Renewals) || h.Renewals[m.me].Epoch != m.epoch {
		return false, 0 // of no clock, or of the clock of an earlier life
	}
	r, g := h.Renewals[m.me], &m.leases.grantor
	if holder, _ := g.Holder(); holder == m.members[from] && m.bugs.Has(bug.LeaseLastMessageWins) {
		// Planted: the end is that of the message that came last.
		g.Release()
	}
	if !g.Promise(m.members[from], m.leaseNow(), r.Until) {
		return false, 0
	}
	m.leases.once |= 1 << from
	return true, r.Base
}

// leaseGranted takes note of a member's promise and of its clock. late says that
// the answer, or one to a later heartbeat, has been here before.
func (m *Machine) leaseGranted(from int, a *heartbeatAnswer, late bool) {
	if m.leases == nil {
		return
	}
	t := &m.lead.tenure
	if a.Granted {
		t.holder.Granted(from, m.leaseEnd(a, late))
	}
	if s := &t.stamps[from]; m.known[from].epoch > s.epoch || a.Asked > s.sent {
		*s = stamp{epoch: m.known[from].epoch, clock: a.Clock, sent: a.Asked}
	}
}

// leaseEnd is the end that a grant gives.
func (m *Machine) leaseEnd(a *heartbeatAnswer, late bool) protocol.Time {
	switch {
	case late && m.bugs.Has(bug.LeaseResendExtends),
		!late && m.bugs.Has(bug.LeaseFromReplyTime):
		// Planted: counted from now, when a copy of the grant, or the grant,
		// has arrived.
		return m.leaseNow() + m.heldFor()
	default:
		return a.Base + m.heldFor()
	}
}

// barred reports whether a promise forbids to help a member to lead.
func (m *Machine) barred(asker int) bool {
	return m.leases != nil && m.leases.grantor.Bars(m.members[asker], m.leaseNow())
}

// waitForLease lets a node that would like to lead wait for the end of what it has
// promised. It follows nobody meanwhile.
func (m *Machine) waitForLease() {
	m.leader = ""
	m.electionAt = m.now + m.between(10*ms, 80*ms)
}

// releaseLease forgets a promise whose holder has given it up.
func (m *Machine) releaseLease() {
	if m.leases != nil {
		m.leases.grantor.Release()
	}
}

// licensed reports whether the writes of a member are taken in any ballot, because
// it has held the lease. It never is, unless the bug is planted that lets the lease
// license writes; then the holder, too, goes on as long as its writes are taken.
func (m *Machine) licensed(member int) bool {
	if m.leases == nil || !m.bugs.Has(bug.LeaseWriteNoEpoch) {
		return false
	}
	if member == m.me {
		return m.role == leader
	}
	return m.leases.once&(1<<member) != 0
}

// keepsLease reports whether this node answers its clients' reads under a lease that
// it has handed over. It never does, unless the bug is planted: then it does so until
// the lease ends by itself, whoever leads.
func (m *Machine) keepsLease() bool {
	return m.leases != nil && m.bugs.Has(bug.LeaseKeptAfterTransfer) &&
		m.leaseNow() < m.leases.kept
}

// passOn hands leadership to a member, and the lease to nobody.
func (m *Machine) passOn(to int) {
	m.transferAt = m.now
	if m.holdsLease() && m.bugs.Has(bug.LeaseKeptAfterTransfer) {
		m.leases.kept = m.lead.tenure.holder.End(m.latest().majority() - 1)
	}
	if m.leases != nil {
		m.lead.tenure.released = true
		m.beat()
	}
	m.send(to, kindTransfer, transfer{Ballot: m.ballot})
}

// Details is what /status tells beside what every protocol does.
type Details struct {
	// Learners are the nodes that have no vote at present.
	Learners []protocol.NodeID `json:"learners,omitempty"`
	// LeaseHeld says whether the node answers reads under a lease now, and
	// LeaseLeft for how long it still may, in milliseconds.
	LeaseHeld bool  `json:"lease_held,omitempty"`
	LeaseLeft int64 `json:"lease_left_ms,omitempty"`
	// PromisedTo is whom the node has promised to help nobody else to lead ("?"
	// if a restart has forgotten it), for PromiseLeft milliseconds.
	PromisedTo  protocol.NodeID `json:"promised_to,omitempty"`
	PromiseLeft int64           `json:"promise_left_ms,omitempty"`
}

func (m *Machine) details() any {
	var d Details
	_, d.Learners = m.split(m.chosenConfig())
	if m.leases == nil {
		if len(d.Learners) == 0 {
			return nil
		}
		return d
	}
	if d.LeaseHeld = m.holdsLease(); d.LeaseHeld {
		d.LeaseLeft = milliseconds(m.lead.tenure.holder.End(m.latest().majority()-1) - m.leaseNow())
	}
	if holder, end := m.leases.grantor.Holder(); m.leaseNow() < end {
		d.PromisedTo, d.PromiseLeft = holder, milliseconds(end-m.leaseNow())
		if holder == "" {
			d.PromisedTo = "?"
		}
	}
	return d
}

func milliseconds(d protocol.Time) int64 { return time.Duration(d).Milliseconds() }
