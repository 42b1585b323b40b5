package commit

import (
	"cmp"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Three-phase commit: the decision is not in one log but, for each transaction, with
// its sites, and whoever is in doubt may work it out with the others.

// election numbers an attempt to decide. The home's own, at first, has round 1; all
// others are greater, and no two are equal.
type election struct {
	_     struct{} `cbor:",toarray"`
	Round uint64
	Node  protocol.NodeID
}

func (e election) less(o election) bool {
	return cmp.Or(cmp.Compare(e.Round, o.Round), cmp.Compare(e.Node, o.Node)) < 0
}

// site is what a member holds of one transaction. All members are sites, also those
// that keep none of its keys: a majority of the members decides.
type site struct {
	// elected is the greatest election joined (lastElected): nothing below it is
	// obeyed any more. attempt is the one in which the site last took a side
	// (lastAttempt), pre the side: the state p if it is a commit.
	elected, attempt election
	pre              side
	// outcome is what the site knows to be decided.
	outcome side
	// restarted: this life of the site has the state from its disk.
	restarted bool
}

// side is none, a commit, or an abort.
type side uint8

const (
	neither side = iota
	toCommit
	toAbort
)

func sideOf(commit bool) side {
	if commit {
		return toCommit
	}
	return toAbort
}

// termRecord is the state of a site, or, forgotten, that there is none any more.
type termRecord struct {
	_                struct{} `cbor:",toarray"`
	T                TxnID
	Elected, Attempt election
	Pre, Outcome     side
	Forgotten        bool
}

// terms is a member's part in deciding: as a site, and as a coordinator of
// elections of its own.
type terms struct {
	self    protocol.NodeID
	members []protocol.NodeID
	bugs    bug.Set
	// plain is Skeen's protocol: who does not answer has crashed.
	plain bool
	out   *outbox
	now   protocol.Time

	sites  map[TxnID]*site
	runs   map[TxnID]*run
	driver *driver
	home   *home
	shard  *shard
	// decidedHere, if set, learns of each decision made. It is for tests.
	decidedHere func(t TxnID, v verdict)
}

// run is an election that this node conducts.
type run struct {
	participants []protocol.NodeID
	e            election
	attempting   bool
	commit       bool
	states       map[protocol.NodeID]*state
	acks         map[protocol.NodeID]bool
	began, sent  protocol.Time
	// again is when to try once more, after a refusal or a silence.
	again protocol.Time
}

const (
	// electAgain is how long a round of an election may take, at least.
	electAgain = 400 * ms
	// crashedAfter is how long plain three-phase commit waits for an answer
	// before it takes the site for crashed.
	crashedAfter = 300 * ms
)

// elect asks a site to join an election.
type elect struct {
	_ struct{} `cbor:",toarray"`
	T TxnID
	E election
}

// state answers elect.
type state struct {
	_            struct{} `cbor:",toarray"`
	T            TxnID
	E            election
	Attempt      election
	Pre, Outcome side
	Restarted    bool
}

// attempt asks a site to take a side: precommit, or pre-abort.
type attempt struct {
	_      struct{} `cbor:",toarray"`
	T      TxnID
	E      election
	Commit bool
}

// attempted answers attempt.
type attempted struct {
	_ struct{} `cbor:",toarray"`
	T TxnID
	E election
}

// refusal tells that the site has joined a greater election, or knows the outcome.
type refusal struct {
	_       struct{} `cbor:",toarray"`
	T       TxnID
	E       election
	Elected election
}

// forget tells that all participants have acknowledged.
type forget struct {
	_ struct{} `cbor:",toarray"`
	T TxnID
}

func (m *terms) majority() int { return len(m.members)/2 + 1 }

// over reports whether the home has said that the transaction is over.
func (m *terms) over(t TxnID) bool {
	f := m.shard.fences[t.Home]
	return f.Epoch == t.Epoch && f.below(t)
}

func (m *terms) site(t TxnID) *site {
	s := m.sites[t]
	if s == nil {
		s = &site{}
		m.sites[t] = s
	}
	return s
}

func (m *terms) persist(t TxnID, s *site) {
	m.out.persist(partTerms, mustMarshal(m.image(t, s)))
}

// image is what the disk holds of a site.
func (m *terms) image(t TxnID, s *site) termRecord {
	r := termRecord{T: t, Elected: s.elected, Attempt: s.attempt, Pre: s.pre, Outcome: s.outcome}
	if r.Pre == toCommit && m.bugs.Has(bug.ThreePCPrecommitInMemory) {
		r.Attempt, r.Pre = election{}, neither // planted: only the memory holds it
	}
	return r
}

// propose begins the home's own attempt: all have voted yes, so the sites are asked
// to precommit. An abort needs no attempt: nobody can precommit what the home never
// asked for.
func (m *terms) propose(t *txn) {
	if !t.commit {
		m.home.decided(t.id, saysAbort)
		return
	}
	m.runs[t.id] = &run{
		participants: t.participants(), e: election{Round: 1, Node: m.self},
		attempting: true, commit: true, acks: map[protocol.NodeID]bool{},
		began: m.now, again: m.now + electAgain,
	}
	m.ask(t.id, m.runs[t.id])
}

// resolve begins an election for a transaction in doubt, unless there is one here.
func (m *terms) resolve(t TxnID, participants []protocol.NodeID) {
	if m.runs[t] != nil {
		return
	}
	m.runs[t] = &run{participants: participants}
	m.start(t, m.runs[t])
}

// start asks all sites to join an election greater than any that this one knows.
func (m *terms) start(t TxnID, r *run) {
	round := max(r.e.Round, 1)
	if s := m.sites[t]; s != nil {
		round = max(round, s.elected.Round)
	}
	*r = run{
		participants: r.participants, e: election{Round: round + 1, Node: m.self},
		states: map[protocol.NodeID]*state{}, acks: map[protocol.NodeID]bool{},
		began: m.now, again: m.now + m.patience(),
	}
	m.ask(t, r)
}

func (m *terms) ask(t TxnID, r *run) {
	r.sent = m.now
	for _, id := range m.members {
		switch {
		case r.attempting && !r.acks[id]:
			m.out.send(id, kindAttempt, &attempt{T: t, E: r.e, Commit: r.commit})
		case !r.attempting && r.states[id] == nil:
			m.out.send(id, kindElect, &elect{T: t, E: r.e})
		}
	}
}

// obeys makes the site join the election, or tells whoever conducts it that it has
// joined a greater one. Joining is durable before it is told.
func (m *terms) obeys(from protocol.NodeID, t TxnID, e election) bool {
	s := m.site(t)
	if e.less(s.elected) {
		m.out.send(from, kindRefusal, &refusal{T: t, E: e, Elected: s.elected})
		return false
	}
	if s.elected != e {
		s.elected = e
		m.persist(t, s)
	}
	return true
}

func (m *terms) dispatch(from protocol.NodeID, body any) {
	switch b := body.(type) {
	case *elect:
		m.onElect(from, b)
	case *state:
		m.onState(from, b)
	case *attempt:
		m.onAttempt(from, b)
	case *attempted:
		m.onAttempted(from, b)
	case *refusal:
		m.onRefusal(from, b)
	case *forget:
		m.onForget(b)
	}
}

func (m *terms) onElect(from protocol.NodeID, e *elect) {
	if m.over(e.T) || !m.obeys(from, e.T, e.E) {
		return
	}
	s := m.site(e.T)
	st := &state{
		T: e.T, E: e.E, Attempt: s.attempt, Pre: s.pre, Outcome: s.outcome,
		Restarted: s.restarted,
	}
	if p := m.shard.open[e.T]; p != nil {
		st.Restarted = st.Restarted || p.restored
	}
	if d := m.shard.dead[e.T]; d != nil {
		st.Outcome = sideOf(d.commit)
	}
	m.out.send(from, kindState, st)
}

// onState collects what a majority of the sites hold.
func (m *terms) onState(from protocol.NodeID, st *state) {
	r := m.runs[st.T]
	if r == nil || r.attempting || r.e != st.E {
		return
	}
	r.states[from] = st
	switch {
	case st.Outcome != neither:
		m.decide(st.T, r, st.Outcome == toCommit)
	case m.lone():
		// Who answers is known when the time is over.
	case len(r.states) >= m.majority():
		m.choose(st.T, r)
	}
}

// lone reports whether elections are decided by whoever answers, without a majority.
func (m *terms) lone() bool { return m.plain || m.bugs.Has(bug.ThreePCNoQuorum) }

// choose is the heart of the termination: among the sites with the greatest attempt,
// if all have precommitted, a commit may have been decided, and is attempted. Else
// it was not, and an abort is attempted.
func (m *terms) choose(t TxnID, r *run) {
	var last election
	for _, st := range r.states {
		if last.less(st.Attempt) {
			last = st.Attempt
		}
	}
	r.commit = true
	for _, st := range r.states {
		r.commit = r.commit && (st.Attempt != last || st.Pre == toCommit)
	}
	m.attempt(t, r)
}

func (m *terms) attempt(t TxnID, r *run) {
	if r.commit && m.bugs.Has(bug.ThreePCSkipsReprepare) {
		m.decide(t, r, true) // planted: one site has precommitted, that must do
		return
	}
	r.attempting, r.began, r.again = true, m.now, m.now+m.patience()
	m.ask(t, r)
}

// patience bounds one round of an election, and spreads those of several nodes.
func (m *terms) patience() protocol.Time {
	return electAgain + protocol.Time(slices.Index(m.members, m.self))*60*ms
}

// leaveOut goes on without those that have not answered: the termination of plain
// three-phase commit (Skeen, 1981). It is right if they have crashed, and only then.
func (m *terms) leaveOut(t TxnID, r *run) {
	if r.attempting {
		m.decide(t, r, r.commit)
		return
	}
	all := len(r.states) == len(m.members)
	own := r.states[m.self]
	if m.plain && !all && (own == nil || own.Restarted) {
		// Who has been down does not know what the others did meanwhile. It can
		// only hear of an outcome, or wait until all are back.
		m.start(t, r)
		return
	}
	r.commit = false
	for _, st := range r.states {
		r.commit = r.commit || st.Pre == toCommit && (all || !m.plain || !st.Restarted)
	}
	if !r.commit {
		m.decide(t, r, false)
		return
	}
	m.attempt(t, r)
}

// onAttempt takes a side, durably, before it is told.
func (m *terms) onAttempt(from protocol.NodeID, a *attempt) {
	if m.over(a.T) {
		return
	}
	s := m.site(a.T)
	late := m.bugs.Has(bug.ThreePCLatePrecommit) && a.E.Round == 1 && s.outcome == neither
	switch {
	case late:
		// Planted: what a backup was told before does not count.
	case !m.obeys(from, a.T, a.E):
		return
	}
	if s.attempt != a.E {
		s.attempt, s.pre = a.E, sideOf(a.Commit)
		m.persist(a.T, s)
	}
	m.out.send(from, kindAttempted, &attempted{T: a.T, E: a.E})
}

func (m *terms) onAttempted(from protocol.NodeID, a *attempted) {
	r := m.runs[a.T]
	if r == nil || !r.attempting || r.e != a.E {
		return
	}
	r.acks[from] = true
	if n := len(r.acks); n == len(m.members) || !m.lone() && n >= m.majority() {
		m.decide(a.T, r, r.commit)
	}
}

func (m *terms) onRefusal(_ protocol.NodeID, f *refusal) {
	r := m.runs[f.T]
	if r == nil || r.e != f.E {
		return
	}
	r.e.Round = max(r.e.Round, f.Elected.Round)
	r.attempting, r.states = false, map[protocol.NodeID]*state{}
	r.e.Node = "" // nobody's: no answer counts any more
	r.again = min(r.again, m.now+m.patience()/2)
}

// decide ends an election: the outcome is known.
func (m *terms) decide(t TxnID, r *run, commit bool) {
	delete(m.runs, t)
	if m.decidedHere != nil {
		m.decidedHere(t, verdict{commit: commit, participants: r.participants})
	}
	m.learn(t, commit)
	tell := slices.Clone(r.participants)
	if !slices.Contains(tell, t.Home) {
		tell = append(tell, t.Home)
	}
	m.drive(t, commit, tell)
}

func (m *terms) drive(t TxnID, commit bool, participants []protocol.NodeID) {
	m.driver.drive(t, commit, participants)
}

// learn takes an outcome, from a decision of this node or of another.
func (m *terms) learn(t TxnID, commit bool) {
	if s := m.site(t); !m.over(t) && s.outcome == neither {
		s.outcome = sideOf(commit)
		m.persist(t, s)
	}
	delete(m.runs, t)
	m.home.decided(t, says(commit))
}

func (m *terms) onAck(from protocol.NodeID, a *ack) {
	if d := m.driver.acked(from, a.T); d != nil && d.complete() {
		m.close(a.T)
		for _, id := range m.members {
			m.out.send(id, kindForget, &forget{T: a.T})
		}
	}
}

func (m *terms) close(t TxnID) {
	delete(m.driver.drives, t)
	m.home.over(t)
}

// onForget drops what a site holds of a transaction that is over.
func (m *terms) onForget(f *forget) {
	if m.sites[f.T] != nil && m.runs[f.T] == nil {
		delete(m.sites, f.T)
		m.out.persist(partTerms, mustMarshal(termRecord{T: f.T, Forgotten: true}))
	}
	m.close(f.T)
}

// tick repeats questions, and tries again what got stuck.
func (m *terms) tick() {
	for _, t := range slices.SortedFunc(maps.Keys(m.runs), TxnID.compare) {
		r := m.runs[t]
		switch {
		case m.lone() && r.e.Node != "" && m.now-r.began >= crashedAfter:
			m.leaveOut(t, r)
		case m.now >= r.again:
			m.start(t, r)
		case r.e.Node != "" && m.now-r.sent >= resendAfter:
			m.ask(t, r)
		}
	}
	for _, t := range slices.SortedFunc(maps.Keys(m.driver.drives), TxnID.compare) {
		switch d := m.driver.drives[t]; {
		case m.over(t):
			m.close(t)
		case d.due(m.now):
			m.driver.tell(t, d)
		}
	}
	if m.bugs.Has(bug.ThreePCLoneTimeout) {
		m.decideAlone()
	}
	maps.DeleteFunc(m.sites, func(t TxnID, _ *site) bool { return m.over(t) && m.runs[t] == nil })
}

// decideAlone is the textbook's rule for a cohort that hears nothing, planted: who
// waits aborts, who has precommitted commits. It holds only if no message is lost or
// late.
func (m *terms) decideAlone() {
	for _, p := range m.shard.inOrder() {
		if p.prepared && m.now-p.heard >= 2*askAfter {
			m.shard.finish(p.id, m.site(p.id).pre == toCommit)
		}
	}
}

// replay applies a record that was durable.
func (m *terms) replay(c codec, b []byte) error {
	var r termRecord
	if err := c.mode.Unmarshal(b, &r); err != nil {
		return err
	}
	m.restoreSite(r)
	return nil
}

func (m *terms) restoreSite(r termRecord) {
	if r.Forgotten {
		delete(m.sites, r.T)
		return
	}
	m.sites[r.T] = &site{
		elected: r.Elected, attempt: r.Attempt, pre: r.Pre, outcome: r.Outcome, restarted: true,
	}
}

func (m *terms) images() []termRecord {
	var rs []termRecord
	for _, t := range slices.SortedFunc(maps.Keys(m.sites), TxnID.compare) {
		rs = append(rs, m.image(t, m.sites[t]))
	}
	return rs
}
