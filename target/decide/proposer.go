package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// patience is how long the first attempt may take, many round trips of a
	// local network; each that fails doubles it, up to eight times as much.
	patience = protocol.Time(60 * time.Millisecond)
	// backoff is the mean pause after the first refusal; each further one doubles
	// it, up to sixteen times as much, so that one of many proposers gets through.
	backoff = protocol.Time(8 * time.Millisecond)
)

// phase is what a proposer is doing.
type phase uint8

const (
	idle phase = iota
	preparing
	accepting
	pausing // it was refused, and tries again later
)

// proposer conducts this node's ballots in one instance, for all of its clients
// that wait for an answer there. It never reports its own value, only a chosen
// one, whoever had it chosen.
type proposer struct {
	instance string
	waiting  []*waiter // the oldest first
	phase    phase
	round    uint64        // the greatest used or heard of
	ballot   Ballot        // of the present attempt
	value    string        // for which it asks votes
	until    protocol.Time // when the attempt, or the pause, is over
	failures int           // attempts without a choice, one after the other
	outvoted bool          // refused in phase 2
	// promises are the acceptors that have promised the ballot: a set, since a
	// doubled promise is one promise. greatest is the greatest vote among them.
	promises map[protocol.NodeID]bool
	greatest Vote
}

// waiter is a client's request.
type waiter struct {
	req      protocol.Request
	deadline protocol.Time
	joined   uint64 // the round under way when it came
	sent     bool   // an acceptor may have been asked to vote for its value
}

func (w *waiter) proposes() bool { return w.req.F == "propose" }

// submit lets the proposer of the instance work for one more client.
func (m *Machine) submit(r protocol.Request) {
	p := m.proposers[r.Key]
	if p == nil {
		p = &proposer{instance: r.Key}
		m.proposers[r.Key] = p
	}
	p.waiting = append(p.waiting, &waiter{
		req: r, deadline: m.now + m.cfg.RequestTimeout, joined: p.round,
	})
	if p.phase == idle {
		m.active = append(m.active, p)
		m.begin(p)
	}
}

// begin starts an attempt: phase 1.
func (m *Machine) begin(p *proposer) {
	p.ballot = m.nextBallot(p)
	p.phase, p.outvoted = preparing, false
	p.until = m.now + patience<<min(p.failures, 3)
	p.promises, p.greatest = map[protocol.NodeID]bool{}, Vote{}
	m.broadcast(message{Kind: kindPrepare, Instance: p.instance, Ballot: p.ballot})
}

// nextBallot returns a ballot that nobody ever had, above all that this node has
// heard of.
func (m *Machine) nextBallot(p *proposer) Ballot {
	if m.cfg.Bugs.Has(bug.PXBallotReuseAfterRestart) {
		// Planted bug: the round alone, counted in memory. After a restart the
		// same ballots come again, with other values.
		p.round++
		return Ballot{Round: p.round, Node: m.cfg.Self}
	}
	p.round = max(p.round, m.acceptors[p.instance].Promised.Round) + 1
	return Ballot{Round: p.round, Node: m.cfg.Self, Epoch: m.cfg.Epoch}
}

// promise counts a promise of the present ballot.
func (m *Machine) promise(from protocol.NodeID, instance string, n Ballot, v Vote) {
	p := m.proposers[instance]
	if p == nil || p.phase != preparing {
		return
	}
	mine := n == p.ballot
	if m.cfg.Bugs.Has(bug.PXLatePromiseCounted) {
		// Planted bug: any promise to this proposer will do. What a late one
		// reports may have been overtaken.
		mine = n.Node == p.ballot.Node
	}
	if !mine {
		return
	}
	p.promises[m.voter(from)] = true
	first := p.greatest == (Vote{})
	if p.greatest.Ballot.Less(v.Ballot) &&
		// Planted bug: the first vote reported, not the greatest.
		(first || !m.cfg.Bugs.Has(bug.PXAdoptAnyNotHighest)) {
		p.greatest = v
	}
	if len(p.promises) >= m.majority() {
		m.promised(p)
	}
}

// promised begins phase 2, once a majority has promised. If some value may have
// been chosen in a lower ballot, then one of this majority has voted for it, and
// the greatest ballot reported has it: whoever proposed that one had to take it
// over as well. So the proposer takes the greatest.
func (m *Machine) promised(p *proposer) {
	own := slices.IndexFunc(p.waiting, (*waiter).proposes)
	switch {
	case own >= 0 && m.cfg.Bugs.Has(bug.PXAdoptOwnValue):
		p.value = p.waiting[own].req.Value // planted bug: whatever was reported
	case p.greatest != (Vote{}):
		p.value = p.greatest.Value
	case own >= 0:
		p.value = p.waiting[own].req.Value
	default:
		m.undecided(p)
		return
	}
	m.request(p)
}

// request asks for votes.
func (m *Machine) request(p *proposer) {
	p.phase = accepting
	p.until = m.now + patience<<min(p.failures, 3)
	for _, w := range p.waiting {
		w.sent = w.sent || w.proposes() && w.req.Value == p.value
	}
	v := Vote{Ballot: p.ballot, Value: p.value}
	m.broadcast(message{Kind: kindAccept, Instance: p.instance, Ballot: p.ballot, Vote: v})
}

// undecided tells those who asked that nothing was chosen when they did. A
// majority had not voted and has promised not to vote below the ballot; and if
// something were chosen above it, one of this majority would have refused.
//
// That majority may have promised, in part, before somebody joined the attempt:
// for that client the question is asked again.
func (m *Machine) undecided(p *proposer) {
	p.waiting = slices.DeleteFunc(p.waiting, func(w *waiter) bool {
		if w.joined >= p.round {
			return false
		}
		m.reply(protocol.Reply{ID: w.req.ID, Outcome: protocol.OK, Value: "null"})
		return true
	})
	m.rest(p)
	if len(p.waiting) > 0 {
		m.begin(p)
	}
}

// nack pauses after a refusal. Somebody else is at work with a greater ballot, and
// shall have time to finish.
func (m *Machine) nack(instance string, n, promised Ballot) {
	p := m.proposers[instance]
	if p == nil || n != p.ballot || p.phase != preparing && p.phase != accepting {
		return
	}
	known := promised.Round
	if m.cfg.Bugs.Has(bug.PXBallotReuseAfterRestart) && promised.Node == m.cfg.Self {
		known-- // planted bug: that ballot would do, and who knows whose it was
	}
	p.round = max(p.round, known)
	p.outvoted = p.phase == accepting
	p.phase = pausing
	d := backoff << min(p.failures, 4)
	p.until = m.now + d/2 + protocol.Time(m.rng.Int64N(int64(d)))
	p.failures++
}

// retry makes another attempt, which begins with phase 1 like the first.
func (m *Machine) retry(p *proposer) {
	if p.phase != pausing {
		p.failures++ // too slow
	}
	if own := slices.IndexFunc(p.waiting, (*waiter).proposes); own >= 0 && p.outvoted &&
		m.cfg.Bugs.Has(bug.PXSkipPhase1OnRetry) {
		// Planted bug: after a refusal in phase 2, phase 2 with a greater ballot.
		p.ballot, p.outvoted = m.nextBallot(p), false
		p.value = p.waiting[own].req.Value
		m.request(p)
		return
	}
	m.begin(p)
}

// chosen answers everybody who waits at this node.
func (m *Machine) chosen(instance string, v Vote) {
	if m.watch != nil {
		m.watch(instance, v)
	}
	p := m.proposers[instance]
	if p == nil {
		return
	}
	for _, w := range p.waiting {
		m.reply(protocol.Reply{ID: w.req.ID, Outcome: protocol.OK, Value: v.Value})
	}
	p.waiting, p.failures = nil, 0
	m.rest(p)
}

// rest lets the proposer be idle when nobody waits any more.
func (m *Machine) rest(p *proposer) {
	if len(p.waiting) == 0 {
		p.phase = idle
		m.active = slices.DeleteFunc(m.active, func(q *proposer) bool { return p == q })
	}
}

// expire answers the requests whose time is over.
func (m *Machine) expire(p *proposer) {
	p.waiting = slices.DeleteFunc(p.waiting, func(w *waiter) bool {
		if m.now < w.deadline {
			return false
		}
		rep := protocol.Reply{
			ID: w.req.ID, Outcome: protocol.Fail, Code: "unavailable",
			Error: fmt.Sprintf("no choice after %d attempts", p.failures+1),
		}
		if w.sent {
			// The value may be chosen, now or in years: whoever hears of a vote
			// for it may have to take it over.
			rep.Outcome, rep.Code = protocol.Unknown, "timeout"
			if m.cfg.Bugs.Has(bug.TimeoutAsFail) {
				rep.Outcome, rep.Code = protocol.Fail, "not-committed" // planted bug
			}
		}
		m.reply(rep)
		return true
	})
	m.rest(p)
}
