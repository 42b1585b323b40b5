package cache

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// serving is what a node knows while it is the server. All of it is lost with it.
type serving struct {
	term uint64
	// freeAt is when all that earlier servers may have granted has run out.
	freeAt          protocol.Time
	marked, marking bool
	beaconAt        protocol.Time
	keys            map[string]*key
}

// key is what the server knows of one register.
type key struct {
	gen     uint64 // writes begun
	holders map[protocol.NodeID]protocol.Time
	queue   []*job
}

// job is a write. The first in the queue is under way.
type job struct {
	from      protocol.NodeID
	write     message
	begun     bool
	submitted bool
	// waits are the nodes that may hold a copy, and until when.
	waits  map[protocol.NodeID]protocol.Time
	sentAt protocol.Time
}

// busy reports whether a write is under way, so that no copy may be granted.
func (k *key) busy() bool { return len(k.queue) > 0 && k.queue[0].begun }

// considerClaim makes the node that leads the log the server when nothing is heard of
// another one, and one that was named at once.
func (m *Machine) considerClaim() {
	named := m.record.Handed && m.record.Server == m.self
	alone := m.now-m.heardAt >= silence && m.inner.Status().Leader == m.self
	if m.claiming || !named && !alone {
		return
	}
	m.claiming = true
	m.ask("claim", "", argument{Term: m.record.Term, Node: m.self}, func(r protocol.Reply) {
		m.claiming = false
		if r.Outcome != protocol.OK {
			return
		}
		var made [2]json.RawMessage
		var term uint64
		var owes bool
		if json.Unmarshal([]byte(r.Value), &made) != nil ||
			json.Unmarshal(made[0], &term) != nil || json.Unmarshal(made[1], &owes) != nil {
			return
		}
		s := &serving{term: term, freeAt: m.now, beaconAt: m.now - beaconEvery, keys: map[string]*key{}}
		if owes && !m.bugs.Has(bug.CacheServerRestartNoWait) {
			// Planted otherwise: nobody asks what was granted before.
			s.freeAt += m.terms.Length
		}
		m.serving = s
	})
}

// retire stops serving: another does, or what has become of a write is not known, and
// then only the next term makes it certain that it does not happen later.
func (m *Machine) retire() { m.serving = nil }

// serve does what the server does as time goes by.
func (m *Machine) serve() {
	s := m.serving
	if m.record.Term > s.term {
		m.retire()
		return
	}
	if m.now-s.beaconAt >= beaconEvery {
		s.beaconAt = m.now
		for _, id := range m.members {
			m.send(id, message{Kind: kindBeacon, Term: s.term})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.keys)) {
		if m.serving == s {
			m.commit(name)
		}
	}
}

// at returns what the server knows of a key.
func (s *serving) at(name string) *key {
	k := s.keys[name]
	if k == nil {
		k = &key{holders: map[protocol.NodeID]protocol.Time{}}
		s.keys[name] = k
	}
	return k
}

// get grants a copy. The promise comes first, then the read of the log, then the
// grant, provided that no write was begun meanwhile and the log shows our term.
func (m *Machine) get(from protocol.NodeID, x *message) {
	s := m.serving
	if s == nil {
		return
	}
	k := s.at(x.Key)
	if !s.marked {
		m.mark()
		return // it will ask again
	}
	if k.busy() {
		return
	}
	gen := k.gen
	k.holders[from] = max(k.holders[from], m.now+m.terms.Length)
	m.ask("read", x.Key, argument{}, func(r protocol.Reply) {
		if m.serving != s || r.Outcome != protocol.OK {
			return
		}
		var got [2]json.RawMessage
		var term uint64
		if json.Unmarshal([]byte(r.Value), &got) != nil || json.Unmarshal(got[0], &term) != nil {
			return
		}
		if term != s.term {
			m.retire()
			return
		}
		if k.gen == gen && !k.busy() {
			m.send(from, message{Kind: kindGrant, Key: x.Key, Value: string(got[1]),
				Token: x.Token, Term: s.term, Gen: gen})
		}
	})
}

// mark puts on record that copies are granted in this term.
func (m *Machine) mark() {
	s := m.serving
	if s.marking {
		return
	}
	s.marking = true
	m.ask("mark", "", argument{Term: s.term}, func(r protocol.Reply) {
		s.marking = false
		switch {
		case r.Outcome == protocol.OK:
			s.marked = true
		case r.Code == codeDeposed && m.serving == s:
			m.retire()
		}
	})
}

// onWrite takes a write, once.
func (m *Machine) onWrite(from protocol.NodeID, x *message) {
	if m.serving == nil {
		return
	}
	k := m.serving.at(x.Key)
	same := func(j *job) bool {
		return j.from == from && j.write.Epoch == x.Epoch && j.write.N == x.N
	}
	if slices.ContainsFunc(k.queue, same) {
		return
	}
	k.queue = append(k.queue, &job{from: from, write: *x})
	m.commit(x.Key)
}

// commit carries the first write of a key on: it tells those who may hold a copy, waits
// for them, and hands it to the log.
func (m *Machine) commit(name string) {
	s := m.serving
	k := s.keys[name]
	if len(k.queue) == 0 || k.queue[0].submitted {
		return
	}
	j := k.queue[0]
	if m.now < s.freeAt {
		return
	}
	if !j.begun {
		j.begun, j.waits, j.sentAt = true, k.holders, m.now-askAgain
		k.gen++
		k.holders = map[protocol.NodeID]protocol.Time{}
	}
	maps.DeleteFunc(j.waits, func(_ protocol.NodeID, end protocol.Time) bool { return m.now >= end })
	if len(j.waits) > 0 && m.now-j.sentAt >= askAgain {
		j.sentAt = m.now
		for _, id := range slices.Sorted(maps.Keys(j.waits)) {
			m.send(id, message{Kind: kindInvalidate, Key: name, Term: s.term, Gen: k.gen})
		}
		if m.serving != s || j.submitted {
			return // our own copy was the last
		}
	}
	if len(j.waits) > 0 && !m.bugs.Has(bug.CacheWriteNoWait) {
		return // planted otherwise: it is enough to have told them
	}
	j.submitted = true
	w := j.write
	m.ask("write", name, argument{
		Term: s.term, Node: j.from, Epoch: w.Epoch, N: w.N, Low: w.Low,
		Value: json.RawMessage(w.Value),
	}, func(r protocol.Reply) { m.committed(s, name, j, r) })
}

// committed ends a write.
func (m *Machine) committed(s *serving, name string, j *job, r protocol.Reply) {
	if r.Outcome == protocol.OK {
		m.send(j.from, message{Kind: kindDone, Epoch: j.write.Epoch, N: j.write.N})
	}
	if m.serving != s {
		return
	}
	switch {
	case r.Outcome == protocol.OK:
		k := s.keys[name]
		k.queue = k.queue[1:]
		m.commit(name)
	case r.Outcome == protocol.Fail && r.Code != codeDeposed:
		j.submitted = false // it did not happen; try again
	default:
		m.retire()
	}
}

// onAck takes note that a node holds nothing older any more.
func (m *Machine) onAck(from protocol.NodeID, x *message) {
	s := m.serving
	if s == nil || s.term != x.Term || s.keys[x.Key] == nil {
		return
	}
	if k := s.keys[x.Key]; k.gen == x.Gen && len(k.queue) > 0 && k.queue[0].begun {
		delete(k.queue[0].waits, from)
		m.commit(x.Key)
	}
}

// handOver names another server. What was granted and has not run out goes with it, in
// the record.
func (m *Machine) handOver(to protocol.NodeID) {
	s := m.serving
	if s == nil || to == m.self || !slices.Contains(m.members, to) {
		return
	}
	owes := s.marked || s.marking || m.now < s.freeAt
	m.retire()
	m.ask("hand-over", "", argument{Term: s.term, Node: to, Owes: owes}, func(protocol.Reply) {})
}
