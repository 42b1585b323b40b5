package primary

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
)

// maxEarly bounds the messages that wait for one that they have overtaken.
const maxEarly = 64

// misled is what only copies with planted bugs know.
type misled struct {
	// old is set after a message of an old primary was accepted.
	old bool
	// view is that in which entries are taken as they come; floor and beyond tell
	// which have.
	view   View
	floor  uint64
	beyond map[uint64]bool
}

// onReplicate takes what the primary sends, and says how far the logs agree.
func (m *Machine) onReplicate(from int, r *replicate) {
	if !m.obey(from, r.View) {
		return
	}
	if r.View < m.view || m.misled.old {
		m.matched, m.early = m.commit, nil
		m.misled.old = r.View < m.view
	}
	if r.Nonce > m.lastNonce { // a late copy says nothing about whether it lives
		m.lastNonce = r.Nonce
		m.heardAt = m.now
		m.electionAt = m.now + m.electionTimeout()
		if m.role == surveying {
			m.follow(m.members[from])
		}
	}
	var want uint64
	if !m.take(r) {
		want = m.wanted()
	}
	m.commitTo(min(r.Commit, m.matched))
	m.send(from, kindLogged, logged{
		View: r.View, Nonce: r.Nonce, Sent: r.Sent, Matched: m.matched, Want: want,
		State: m.have(),
	})
}

// take puts entries into the log if what stands before them is what stands before
// them at the primary, and reports whether it was.
func (m *Machine) take(r *replicate) bool {
	if m.bugs.Has(bug.PBCopyAppliesInArrivalOrder) && m.misled.view == r.View {
		return m.takeAsItComes(r)
	}
	switch {
	case r.Prev <= m.commit: // what is committed is the same everywhere
	case r.Prev > m.log.last():
		if m.bugs.Has(bug.PBCountSyncingCopy) && len(r.Entries) > 0 {
			// Planted: it is logged over the hole, and counts.
			m.write(r.Prev, r.Entries)
			m.matched = m.log.last()
			return false
		}
		m.keepEarly(r)
		return false
	case m.log.viewAt(r.Prev) != r.PrevView:
		return false
	}
	m.append(r)
	for len(m.early) > 0 && m.early[0].Prev <= m.matched {
		r, m.early = m.early[0], m.early[1:]
		m.append(r)
	}
	if m.bugs.Has(bug.PBCopyAppliesInArrivalOrder) && m.matched == m.log.last() {
		m.misled = misled{view: r.View, floor: m.matched, beyond: map[uint64]bool{}}
	}
	return !m.holey()
}

// append puts entries into the log, behind which we agree. What the primary has and
// we have stays; what it does not have is dropped before we say anything. A message
// that is late drops nothing: it has nothing that contradicts us.
func (m *Machine) append(r *replicate) {
	prev, es := r.Prev, r.Entries
	if skip := min(uint64(len(es)), m.commit-min(m.commit, prev)); skip > 0 {
		prev, es = prev+skip, es[skip:]
	}
	if m.bugs.Has(bug.PBCountSyncingCopy) && len(es) > 0 {
		m.fill(prev, es)
	} else {
		m.replace(prev, es)
	}
	m.matched = max(m.matched, r.Prev+uint64(len(r.Entries)))
}

// keepEarly keeps a message that has overtaken others.
func (m *Machine) keepEarly(r *replicate) {
	at, there := slices.BinarySearchFunc(m.early, r.Prev, func(e *replicate, prev uint64) int {
		return cmp.Compare(e.Prev, prev)
	})
	if len(r.Entries) == 0 || there || len(m.early) == maxEarly {
		return
	}
	m.early = slices.Insert(m.early, at, r)
}

// wanted is the first entry that is missing here.
func (m *Machine) wanted() uint64 {
	if m.bugs.Has(bug.PBCopyAppliesInArrivalOrder) && m.misled.view == m.view {
		return m.misled.floor + 1
	}
	if m.holey() {
		return m.hole()
	}
	return m.matched + 1
}

// commitTo commits what is in the log up to an entry, and applies it.
func (m *Machine) commitTo(seq uint64) {
	for m.commit < seq {
		if e := m.log.at(m.commit + 1); e == nil || e.View == 0 {
			break
		}
		m.commit++
	}
	m.applyTo(m.commit)
}

// applyTo applies entries in their order. Only a primary answers: the clients of a
// copy wait for its word.
func (m *Machine) applyTo(seq uint64) {
	for m.applied < seq {
		m.applied++
		c := m.log.at(m.applied).Command
		r := m.store.Apply(m.applied, c)
		if c.Kind == kv.Op && m.role == leading {
			m.answerCommand(c.Origin, m.applied, r)
		}
	}
	m.answerLocal()
}

// takeAsItComes is the planted bug pb-copy-applies-in-arrival-order: an entry goes
// to the end of the log whatever came before it, and is counted none the less.
func (m *Machine) takeAsItComes(r *replicate) bool {
	w := &m.misled
	for i, e := range r.Entries {
		seq := r.Prev + 1 + uint64(i)
		if seq > w.floor && !w.beyond[seq] {
			w.beyond[seq] = true
			m.write(m.log.last(), []entry{e})
		}
	}
	for w.beyond[w.floor+1] {
		w.floor++
		delete(w.beyond, w.floor)
	}
	m.matched = w.floor
	return len(w.beyond) == 0 && r.Prev <= w.floor
}

// holey reports whether entries are missing in the midst of the log, as happens with
// the planted bug pb-count-syncing-copy.
func (m *Machine) holey() bool {
	return m.bugs.Has(bug.PBCountSyncingCopy) && m.hole() <= m.log.last()
}

// hole is the first entry that is missing.
func (m *Machine) hole() uint64 {
	k := m.commit + 1
	for e := m.log.at(k); e != nil && e.View != 0; e = m.log.at(k) {
		k++
	}
	return k
}

// fill is replace for a log with holes: what fits a hole does not drop what is
// behind it.
func (m *Machine) fill(prev uint64, es []entry) {
	filled := prev
	for len(es) > 0 && prev < m.log.last() {
		switch e := m.log.at(prev + 1); {
		case e.View == 0:
			*e = es[0]
		case e.View != es[0].View:
			m.replace(prev, es)
			return
		}
		prev, es = prev+1, es[1:]
	}
	m.record(filled, m.log.list[filled-m.log.base:])
	m.replace(prev, es)
}
