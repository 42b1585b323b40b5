package primary

import (
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// An election timeout is drawn between these two.
	electionMin = 500 * ms
	electionMax = 1000 * ms
	// askAgain is how long a candidate waits before it repeats its question,
	// attempt how long before it gives up.
	askAgain = 75 * ms
	attempt  = 450 * ms
	// retryMin and retryMax bound the pause after an attempt that failed.
	retryMin = 50 * ms
	retryMax = 400 * ms
	// firstUp belongs to the planted bug pb-first-up-leads.
	firstUp = 400 * ms
)

// candidacy is what a node knows while it wants to be primary.
type candidacy struct {
	ends, askedAt protocol.Time
	sanctioned    bool

	// The survey: who misses the primary as well.
	token uint64
	miss  uint64 // set of members

	// The members that joined the view, and how their logs end.
	joined uint64
	logs   []end
	// source is the member whose log is being taken over, -1 while that is open,
	// and taken what has arrived of it, behind what we know to be committed.
	source int
	taken  []entry
}

func (m *Machine) electionTimeout() protocol.Time { return m.between(electionMin, electionMax) }

// primaryOf tells whose view it is.
func (m *Machine) primaryOf(v View) int { return int(v % View(len(m.members))) }

// ownView is the least view of ours that nobody has heard of.
func (m *Machine) ownView() View {
	v := max(m.seen, m.view) + 1
	for m.primaryOf(v) != m.me {
		v++
	}
	return v
}

// follow makes the node a copy, of nobody it knows if primary is "". What it took as
// primary and has not yet logged nobody knows of, and nobody ever will.
func (m *Machine) follow(primary protocol.NodeID) {
	if m.lead != nil {
		m.log.list = m.log.list[:m.lead.flushed-m.log.base]
	}
	m.role, m.primary = copying, primary
	m.lead, m.cand = nil, nil
	m.electionAt = m.now + m.electionTimeout()
	m.rollBack()
}

// settled reports whether this node sees a primary at work, other than the member
// that asks. A node that does helps nobody to replace it.
func (m *Machine) settled(asker int) bool {
	if m.role == leading {
		return true // one that has lost its majority finds out by itself
	}
	return m.primary != "" && m.primary != m.members[asker] && m.now-m.heardAt < electionMin
}

// ask asks the members whether they miss the primary. A node that was cut off comes
// back in no greater view, and replaces nobody.
func (m *Machine) ask() {
	m.role, m.primary = surveying, ""
	m.cand = &candidacy{
		token: m.mint(), miss: 1 << m.me, ends: m.now + attempt, askedAt: m.now, source: -1,
	}
	m.broadcast(kindSurvey, m.survey())
	m.countSurvey()
}

func (m *Machine) survey() survey {
	s := survey{Token: m.cand.token, Commit: m.commit}
	if m.bugs.Has(bug.PBCountSyncingCopy) {
		s.Commit = m.log.last() // planted: as if it had all that is below
	}
	return s
}

func (m *Machine) onSurvey(from int, s *survey) {
	m.send(from, kindSurveyAnswer, surveyAnswer{
		Token: s.Token, View: m.view,
		// One that lacks what was forgotten here could not take over our log.
		Granted: !m.settled(from) && s.Commit >= m.log.base,
	})
}

func (m *Machine) onSurveyAnswer(from int, a *surveyAnswer) {
	m.seen = max(m.seen, a.View)
	if m.role == surveying && a.Token == m.cand.token && a.Granted {
		m.cand.miss |= 1 << from
		m.countSurvey()
	}
}

func (m *Machine) countSurvey() {
	if m.isMajority(m.cand.miss) {
		m.startView(false)
	}
}

// startView begins a view of our own, never used before. It is durable here before
// anybody hears of it.
func (m *Machine) startView(sanctioned bool) {
	v := m.ownView()
	m.join(v)
	m.role, m.primary = candidate, ""
	c := &candidacy{
		ends: m.now + attempt, askedAt: m.now, sanctioned: sanctioned,
		joined: 1 << m.me, logs: make([]end, len(m.members)), source: -1,
	}
	c.logs[m.me] = m.log.end()
	m.cand = c
	m.broadcast(kindNewView, newView{View: v, Sanctioned: sanctioned})
	m.countJoined()
}

// join takes part in a view and in none below it from now on. Whoever was primary
// or wanted to be, below it, stops.
func (m *Machine) join(v View) {
	m.view, m.seen = v, max(m.seen, v)
	m.persist(record{View: v})
	m.follow("")
	m.lastNonce, m.early = 0, nil
	m.matched = m.commit // what is committed is the same everywhere
}

func (m *Machine) onNewView(from int, n *newView) {
	switch {
	case m.primaryOf(n.View) != from:
		return
	case n.View < m.view:
		m.send(from, kindRefusal, refusal{View: n.View, Joined: m.view})
		return
	case n.View > m.view:
		if !n.Sanctioned && m.settled(from) {
			return // it does not hear the primary that we hear
		}
		m.join(n.View)
	}
	m.send(from, kindJoined, joined{View: n.View, Log: m.log.end()})
}

func (m *Machine) onJoined(from int, j *joined) {
	if m.role != candidate || j.View != m.view {
		return
	}
	m.cand.joined |= 1 << from
	m.cand.logs[from] = j.Log
	m.countJoined()
}

// countJoined takes over the best log once a majority of the configured members has
// joined.
func (m *Machine) countJoined() {
	c := m.cand
	if !m.isMajority(c.joined) || c.source >= 0 {
		return
	}
	if c.source = m.best(); c.source == m.me {
		m.takeOffice()
		return
	}
	m.send(c.source, kindFetch, fetch{View: m.view, Prev: m.commit})
}

// best is the member whose log ends in the greatest view, and is the longest of
// those; this node if it is as good as any. Whatever is committed is in that log: a
// majority logged it in one view, one of them has joined this view since, and whose
// log ends in a greater view has taken over such a log in its turn.
func (m *Machine) best() int {
	best := m.me
	for i, e := range m.cand.logs {
		if m.cand.joined&(1<<i) != 0 && m.cand.logs[best].less(e) {
			best = i
		}
	}
	return best
}

// onFetch shows our log to the primary of the view that we joined. It does not
// change until that primary itself sends something.
func (m *Machine) onFetch(from int, f *fetch) {
	last := m.log.last()
	if f.View != m.view || m.primaryOf(f.View) != from || f.Prev > last {
		return
	}
	answer := fetched{View: f.View, Prev: f.Prev, Forgotten: f.Prev < m.log.base}
	if !answer.Forgotten {
		answer.Entries = m.log.from(f.Prev)
		answer.Done = f.Prev+uint64(len(answer.Entries)) == last
	}
	m.send(from, kindFetched, answer)
}

func (m *Machine) onFetched(from int, f *fetched) {
	c := m.cand
	if m.role != candidate || f.View != m.view || from != c.source ||
		f.Prev != m.commit+uint64(len(c.taken)) {
		return
	}
	if f.Forgotten {
		m.giveUp() // somebody who knows more has to become primary
		return
	}
	c.taken = append(c.taken, f.Entries...)
	if !f.Done {
		m.send(from, kindFetch, fetch{View: m.view, Prev: m.commit + uint64(len(c.taken))})
		return
	}
	m.replace(m.commit, c.taken)
	m.takeOffice()
}

func (m *Machine) giveUp() {
	m.follow("")
	m.electionAt = m.now + m.between(retryMin, retryMax)
}

// obey admits a message of the primary of a view: it follows that primary, or
// refuses it when it has joined a greater view.
func (m *Machine) obey(from int, v View) bool {
	switch {
	case m.primaryOf(v) != from:
		return false
	case v < m.view:
		if m.bugs.Has(bug.PBOldPrimaryWritesAccepted) && m.role == copying {
			return true // planted: whoever calls itself primary is one
		}
		m.send(from, kindRefusal, refusal{View: v, Joined: m.view})
		return false
	case v > m.view:
		m.join(v)
	}
	if m.primary != m.members[from] {
		m.follow(m.members[from])
		m.handAll()
	}
	return true
}

func (m *Machine) onRefusal(_ int, r *refusal) {
	m.seen = max(m.seen, r.Joined)
	if r.View != m.view || r.Joined <= m.view {
		return
	}
	switch m.role {
	case leading:
		// Somebody joined a greater view. Ask the others whether we may begin an
		// even greater one; if they have a primary, they refuse.
		m.follow("")
		m.ask()
	case candidate:
		m.giveUp()
	}
}

// tickElection does what a node that is not primary does as time goes by.
func (m *Machine) tickElection() {
	if m.role == copying {
		switch {
		case m.bugs.Has(bug.PBFirstUpLeads) && m.alone && m.now >= firstUp:
			m.usurp() // planted: nobody else is up, so it must be us
		case m.now < m.electionAt:
		case m.bugs.Has(bug.PBPingFailover):
			m.usurp() // planted: the primary does not answer, so it is us now
		default:
			m.ask()
		}
		return
	}
	c := m.cand
	if m.now >= c.ends {
		m.giveUp()
		return
	}
	if m.now-c.askedAt < askAgain {
		return
	}
	c.askedAt = m.now
	if c.source >= 0 {
		m.send(c.source, kindFetch, fetch{View: m.view, Prev: m.commit + uint64(len(c.taken))})
		return
	}
	for i := range m.members {
		bit := uint64(1) << i
		switch {
		case m.role == surveying && c.miss&bit == 0:
			m.send(i, kindSurvey, m.survey())
		case m.role == candidate && c.joined&bit == 0:
			m.send(i, kindNewView, newView{View: m.view, Sanctioned: c.sanctioned})
		}
	}
}

// usurp begins a view without asking anybody. Only planted bugs do that.
func (m *Machine) usurp() {
	m.join(m.ownView())
	m.cand = &candidacy{joined: 1 << m.me}
	m.takeOffice()
}
