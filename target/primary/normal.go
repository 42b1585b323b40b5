package primary

import (
	"math/bits"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// window is how many entries may be logged above what is committed.
	window = 1000
	// burst bounds the messages that go to one copy at once, for the sake of its
	// socket's buffer. The rest follows with the ticks.
	burst = 3
	// repeatAfter is how long entries wait for a copy's word before they go again.
	repeatAfter = 100 * ms
	// goBackEvery bounds how often a copy can ask for something earlier: a message
	// that was only overtaken is on its way.
	goBackEvery = 30 * ms
	// beatEvery is the time between messages to a copy when there is nothing to
	// say, beatForReads that while reads wait for a round to be confirmed.
	beatEvery    = 75 * ms
	beatForReads = 25 * ms
	// checkMajority is how long a primary goes on without a majority's answers.
	checkMajority = electionMax
	// silence is how long a member of the view may be silent where all are waited
	// for, until a new view leaves it out.
	silence = 400 * ms
	// lively is how long a copy that was not heard of is still sent entries.
	lively = 400 * ms
	// stopped is a time between two ticks that the process cannot have been running.
	stopped = 250 * ms
	// timeEvery is the time between entries that tell the elapsed time.
	timeEvery = 1000 * ms
)

// leadership is what a node knows only while it is primary.
type leadership struct {
	// opening is the no-op that opens the view. Until it is committed nothing that
	// was logged before it counts as committed.
	opening uint64
	// flushed is the last entry that is in a record.
	flushed uint64
	peers   []peer
	// members are those of the view, as a set: who joined at its beginning, and who
	// has caught up since. It matters only where all of them are waited for.
	members uint64

	// told is how much the copies have been told to be committed.
	told   uint64
	nonce  uint64
	beatAt protocol.Time
	timeAt protocol.Time

	reads  []readFrom
	rounds []readRound

	// betterSince is since when there is a member better linked.
	betterSince protocol.Time
	// target is whom to hand over to, until targetTill; it was told at targetAt.
	target               int
	targetTill, targetAt protocol.Time
}

// peer is what a primary knows of one member.
type peer struct {
	// matched is how far its log is ours; next is what to send it next.
	matched, next   uint64
	movedAt, backAt protocol.Time
	// nonce is the greatest nonce answered, contact when that one was sent.
	nonce   uint64
	contact protocol.Time
	state   stateTransfer
}

// takeOffice begins to be the primary of the view: the log is as it must be.
func (m *Machine) takeOffice() {
	m.role, m.primary = leading, m.self
	last := m.log.last()
	l := &leadership{
		opening: last + 1, flushed: last, members: m.cand.joined,
		peers: make([]peer, len(m.members)), beatAt: never, timeAt: m.now,
		target: noTarget, betterSince: m.now,
	}
	for i := range l.peers {
		l.peers[i] = peer{
			next: last + 1, movedAt: m.now, backAt: never, contact: m.now,
			state: stateTransfer{sentAt: never},
		}
	}
	m.lead, m.cand = l, nil
	m.plugHoles()
	m.log.put(last+1, []entry{{View: m.view, Command: kv.Command{Kind: kv.Noop}}})
	m.beat()
	m.handAll()
}

// plugHoles belongs to the planted bug pb-count-syncing-copy, without which there
// are none: what never arrived is taken for nothing.
func (m *Machine) plugHoles() {
	for i := range m.log.list {
		if e := &m.log.list[i]; e.View == 0 {
			*e = entry{View: m.view, Command: kv.Command{Kind: kv.Noop}}
		}
	}
}

// propose logs a command, and reports whether there was room for it.
func (m *Machine) propose(c kv.Command) bool {
	last := m.log.last()
	if last >= m.commit+window {
		return false
	}
	m.log.put(last+1, []entry{{View: m.view, Command: c}})
	return true
}

// flush makes what was logged since the last time durable, and sends it to the
// copies. It runs once per Ready, so that all of it shares a record and a datagram.
func (m *Machine) flush() {
	l := m.lead
	fresh := l.flushed
	if last := m.log.last(); last > fresh {
		m.record(fresh, m.log.list[fresh-m.log.base:])
		l.flushed = last
		l.peers[m.me].matched = last
		m.commitAgreed()
	}
	if m.mode.copyReads && m.commit > l.told {
		m.beat() // clients of copies wait for it
	}
	for i := range m.members {
		if i != m.me {
			m.sendEntries(i, fresh)
		}
	}
}

// sendEntries sends a copy what it lacks as far as we know. fresh is what had been
// sent to everybody before.
func (m *Machine) sendEntries(to int, fresh uint64) {
	p := &m.lead.peers[to]
	if m.now-p.contact >= lively {
		return // its answer to a beat will tell what it needs
	}
	if p.next <= m.log.base {
		if m.bugs.Has(bug.PBCountSyncingCopy) && fresh >= m.log.base && m.log.last() > fresh {
			m.sendBehind(to, fresh) // planted: it is one of us already
		}
		return // it needs the state first
	}
	for i := 0; i < burst && p.next <= m.log.last(); i++ {
		p.next += m.sendBehind(to, p.next-1)
	}
}

// sendBehind sends the entries behind prev that fit a message, and returns how many
// they are.
func (m *Machine) sendBehind(to int, prev uint64) uint64 {
	es := m.log.from(prev)
	m.send(to, kindReplicate, replicate{
		View: m.view, Nonce: m.lead.nonce, Sent: m.now, Commit: m.commit,
		Prev: prev, PrevView: m.log.viewAt(prev), Entries: es,
	})
	return uint64(len(es))
}

// beat says to every copy that we are here, under a fresh nonce, and asks by the way
// whether it has all that was sent.
func (m *Machine) beat() {
	l := m.lead
	l.nonce++
	l.beatAt, l.told = m.now, m.commit
	for i := range m.members {
		if i == m.me {
			continue
		}
		prev := max(l.peers[i].next-1, m.log.base)
		m.send(i, kindReplicate, replicate{
			View: m.view, Nonce: l.nonce, Sent: m.now, Commit: m.commit,
			Prev: prev, PrevView: m.log.viewAt(prev),
		})
	}
}

func (m *Machine) onLogged(from int, g *logged) {
	if m.role != leading || g.View != m.view {
		return
	}
	p := &m.lead.peers[from]
	if g.Nonce > p.nonce {
		p.nonce, p.contact = g.Nonce, max(p.contact, min(g.Sent, m.now))
	}
	if g.Matched > p.matched {
		p.matched, p.movedAt = min(g.Matched, m.lead.flushed), m.now
		p.next = max(p.next, p.matched+1)
	}
	p.state.have = g.State
	want := g.Want
	if !m.bugs.Has(bug.PBCountSyncingCopy) {
		want = max(want, p.matched+1) // it is a late answer that asks for more
	}
	if g.Want > 0 && want < p.next && m.now-p.backAt >= goBackEvery {
		p.next, p.backAt = want, m.now
	}
	if p.matched >= m.commit {
		m.lead.members |= 1 << from
	}
	m.sendState(from)
	m.commitAgreed()
	m.confirmReads()
}

// agreed is the last entry that enough members have logged in this view, each
// counted once: a majority of the configured ones, or all of the view's.
func (m *Machine) agreed() uint64 {
	var logs []uint64
	for i, p := range m.lead.peers {
		if m.mode.acks != ackAll || m.lead.members&(1<<i) != 0 {
			logs = append(logs, p.matched)
		}
	}
	slices.Sort(logs)
	if m.mode.acks == ackAll {
		return logs[0]
	}
	return logs[len(logs)-m.majority]
}

// commitAgreed commits what enough members have logged. Entries of earlier views are
// committed with the no-op that opens this one and never before it: a majority that
// has logged such an entry alone does not keep a log without it, but of a view in
// between, from being taken over.
func (m *Machine) commitAgreed() {
	if n := m.agreed(); n >= m.lead.opening {
		m.commitTo(n)
	}
	if m.hasty() {
		m.applyTo(m.lead.flushed)
	}
}

// inContact reports whether a majority, the primary included, answered something
// not older than an election timeout.
func (m *Machine) inContact() bool {
	n := 1
	for i, p := range m.lead.peers {
		if i != m.me && m.now-p.contact < checkMajority {
			n++
		}
	}
	return n >= m.majority
}

// tickPrimary does what a primary does as time goes by.
func (m *Machine) tickPrimary() {
	l := m.lead
	if gap := m.now - m.ticked; gap > stopped {
		// We were stopped; the others have not been silent. If they have another
		// primary by now, it is for them to say.
		for i := range l.peers {
			l.peers[i].contact += gap
		}
	}
	untilTold := m.bugs.Has(bug.PBOldPrimaryServesReads) ||
		m.bugs.Has(bug.PBOldPrimaryWritesAccepted)
	if !untilTold && !m.inContact() {
		// Planted otherwise: we are primary until a message says that we are not.
		m.follow("")
		return
	}
	since := m.now - l.beatAt
	if since >= beatEvery || len(l.rounds) > 0 && since >= beatForReads {
		m.beat()
	}
	for i := range m.members {
		p := &l.peers[i]
		if i == m.me {
			continue
		}
		if p.matched < p.next-1 && m.now-p.movedAt >= repeatAfter &&
			m.now-p.backAt >= repeatAfter && m.now-p.contact < lively {
			p.next, p.backAt = p.matched+1, m.now
		}
		m.sendState(i)
	}
	if m.now-l.timeAt >= timeEvery {
		if m.store.Sessions() > 0 {
			m.propose(kv.Command{Kind: kv.Tick, Elapsed: min(m.now-l.timeAt, 2*timeEvery)})
		}
		l.timeAt = m.now
	}
	m.findBetter()
	m.leaveOut()
}

// leaveOut begins a new view when a member of this one is silent and all of them are
// waited for. Who does not join the new view is not waited for.
func (m *Machine) leaveOut() {
	if m.mode.acks != ackAll {
		return
	}
	silent, speaking := false, uint64(1)<<m.me
	for i, p := range m.lead.peers {
		switch quiet := m.now-p.contact >= silence; {
		case i == m.me:
		case !quiet:
			speaking |= 1 << i
		case m.lead.members&(1<<i) != 0:
			silent = true
		}
	}
	if silent && bits.OnesCount64(speaking) >= m.majority {
		m.startView(true)
	}
}
