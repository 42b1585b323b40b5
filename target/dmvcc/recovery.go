package dmvcc

import (
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// recovery closes a number whose coordinator is silent. First the nodes fence it:
// from then on what comes late of it is refused, so that what was found stays what
// there is. Then it is completed, if enough nodes have all of it, or aborted. If
// the coordinator was only slow, the first entry in the log wins, and all is well
// either way.
type recovery struct {
	answers map[protocol.NodeID]bool // fenced; true: it had all before
	since   protocol.Time
	sent    protocol.Time
	closed  protocol.Time
	entered bool
}

// tickRecoveries notices numbers that stay open.
func (m *Machine) tickRecoveries() {
	opened := m.meta().opened
	maps.DeleteFunc(m.seen, func(n Num, _ protocol.Time) bool { _, is := opened[n]; return !is })
	maps.DeleteFunc(m.recoveries, func(n Num, _ *recovery) bool { _, is := opened[n]; return !is })
	if m.cfg.Bugs.Has(bug.DMVNumberNeverClosed) {
		return // planted: its coordinator will come back
	}
	for _, n := range slices.Sorted(maps.Keys(opened)) {
		if _, before := m.seen[n]; !before {
			m.seen[n] = m.now
		}
		r := m.recoveries[n]
		if r == nil && m.now-m.seen[n] >= m.patience(n, opened[n]) {
			r = &recovery{answers: map[protocol.NodeID]bool{}, since: m.now}
			m.recoveries[n] = r
		}
		if r != nil {
			m.recover(n, r)
		}
	}
}

// patience is how long a number may stay open. Of its own numbers a node knows when
// nobody works on them any more.
func (m *Machine) patience(n Num, o opening) protocol.Time {
	if o.By != m.cfg.Self {
		return recoverAfter + recoverStep*protocol.Time(slices.Index(m.cfg.Members, m.cfg.Self))
	}
	c := m.coordinating[n]
	if c != nil && m.now < c.deadline {
		return recoverAfter
	}
	return recoverStep
}

func (m *Machine) recover(n Num, r *recovery) {
	if m.cfg.Bugs.Has(bug.DMVAbortThenLateOp) {
		// Planted: the metadata say that it is aborted, that must be enough.
		m.enterRecovery(n, r, "abort", nil)
		return
	}
	if _, own := r.answers[m.cfg.Self]; !own {
		m.shard.fence(n)
		r.answers[m.cfg.Self] = m.shard.whole(n)
	}
	if len(r.answers) < len(m.cfg.Members) && (r.sent == 0 || m.now-r.sent >= resendAfter) {
		r.sent = m.now
		for _, id := range m.cfg.Members {
			if _, answered := r.answers[id]; !answered {
				m.send(id, wire{Kind: kindFence, Num: n})
			}
		}
	}
	var whole []protocol.NodeID
	lacking := 0
	for _, id := range m.cfg.Members {
		switch has, answered := r.answers[id]; {
		case has:
			whole = append(whole, id)
		case answered:
			lacking++
		}
	}
	majority := len(m.cfg.Members)/2 + 1
	switch {
	case len(r.answers) < majority:
		// Not fenced at enough nodes.
	case len(whole) >= m.need():
		m.enterRecovery(n, r, "complete", whole)
	case lacking > len(m.cfg.Members)-m.need(), m.now-r.since >= recoverAfter:
		// It cannot become complete, or nobody knows whether it could.
		m.enterRecovery(n, r, "abort", nil)
	}
}

func (m *Machine) enterRecovery(n Num, r *recovery, f string, by []protocol.NodeID) {
	if r.entered && m.now-r.closed < repeatAfter {
		return
	}
	r.entered, r.closed = true, m.now
	m.close(f, closing{Num: n, By: by, Mark: m.meta().with(n)})
}
