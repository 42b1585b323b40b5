package rw

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// scheduler replays transactions one after the other, or, for snapshot isolation, their
// snapshots and commits.
type scheduler struct {
	*problem
	demand
	rank  []int32
	order []graph.Event
	ready heap
	// queued says who is in ready.
	queued []bool
	// latest is the version of each key, and pending how many readers of a version
	// have still to come.
	latest  []version
	pending []int32
	phase   []phase
	// holds are what a transaction waits for before anything else: the one before it
	// in its session, and time.
	holds []int32
	// waiting for a version to be installed: a list.
	onVersion, beside []txn
	// waiting for a key to be free: a heap of those whose blockedOn is the key.
	onKey     []heap
	blockedOn []int32
	// lock is who has a snapshot and will write the key.
	lock []txn
	// by call and return, for the order of time.
	byCall, byReturn []txn
	called, left     int
	zones            *zones
	spare            []txn
	// followers are who has to wait for a transaction besides.
	followers map[txn][]txn
}

type phase uint8

const (
	waiting phase = iota
	started
	committed
)

const noKey int32 = -1

// turn says that one transaction has to commit before another one begins.
type turn struct{ first, second txn }

// schedule looks for an order that satisfies a demand. It is no proof of anything if there
// is none. Ranks say whom to prefer, turns who has to wait for whom.
func (p *problem) schedule(d demand, rank []int32, turns ...turn) ([]graph.Event, bool) {
	if len(p.lost)+len(p.cycles) > 0 {
		return nil, false
	}
	keys, versions := p.keys, len(p.writer)
	s := &scheduler{
		problem: p, demand: d, rank: rank, ready: heap{rank: rank},
		latest: slices.Clone(p.first[:keys]), pending: make([]int32, versions),
		phase: make([]phase, p.n), queued: make([]bool, p.n), holds: make([]int32, p.n),
		onVersion: make([]txn, versions), beside: make([]txn, p.n),
		onKey: make([]heap, keys), blockedOn: make([]int32, p.n), lock: make([]txn, keys),
		order: make([]graph.Event, 0, 2*p.n), followers: make(map[txn][]txn, len(turns)),
	}
	for _, r := range p.relations {
		first, second := p.writer[r.older], p.writer[r.newer]
		if first != nobody && first != second {
			turns = append(turns, turn{first, second})
		}
	}
	for _, t := range turns {
		s.followers[t.first] = append(s.followers[t.first], t.second)
		s.holds[t.second]++
	}
	for v := range version(versions) {
		s.pending[v] = int32(len(p.readersOf(v)))
		s.onVersion[v] = nobody
	}
	for k := range keys {
		s.lock[k], s.onKey[k].rank = nobody, rank
	}
	for t := range txn(p.n) {
		s.blockedOn[t] = noKey
		if d.family >= sessionOrder && p.before(t) != nobody {
			s.holds[t]++
		}
	}
	s.time()
	for t := range txn(p.n) {
		if s.holds[t] == 0 {
			s.push(t)
		}
	}
	if s.family == timeOrder && p.call != nil {
		s.open()
	}
	for len(s.ready.list) > 0 {
		t := s.ready.pop()
		s.queued[t] = false
		s.attempt(t)
	}
	whole := len(s.order) == p.n
	if d.split {
		whole = len(s.order) == 2*p.n
	}
	return s.order, whole
}

// time has every transaction wait until those that returned before its call are done.
func (s *scheduler) time() {
	if s.family != timeOrder || s.call == nil {
		return
	}
	s.zones = s.problem.zones()
	for t := range txn(s.n) {
		s.holds[t]++
		s.byCall, s.byReturn = append(s.byCall, t), append(s.byReturn, t)
	}
	slices.SortFunc(s.byCall, func(a, b txn) int { return cmp.Compare(s.call[a], s.call[b]) })
	slices.SortFunc(s.byReturn, func(a, b txn) int { return cmp.Compare(s.ret[a], s.ret[b]) })
}

// open lets through whom time allows.
func (s *scheduler) open() {
	for s.left < s.n && s.phase[s.byReturn[s.left]] == committed {
		s.left++
	}
	bound := graph.Never
	if s.left < s.n {
		bound = s.ret[s.byReturn[s.left]]
	}
	for s.called < s.n && s.call[s.byCall[s.called]] <= bound {
		s.release(s.byCall[s.called])
		s.called++
	}
}

func (s *scheduler) release(t txn) {
	if s.holds[t]--; s.holds[t] == 0 {
		s.push(t)
	}
}

// push has a transaction looked at. One that waited for a key keeps its name until then.
func (s *scheduler) push(t txn) {
	if !s.queued[t] && s.phase[t] == waiting {
		s.queued[t] = true
		s.ready.push(t)
	}
}

// attempt starts a transaction if it can start, else has it wait for one reason.
func (s *scheduler) attempt(t txn) {
	woken := s.blockedOn[t]
	s.blockedOn[t] = noKey
	if s.blocked(t) {
		if woken != noKey && s.blockedOn[t] != woken {
			s.wake(woken) // it cannot use its turn
		}
		return
	}
	if s.split {
		s.order = append(s.order, graph.SnapshotOf(graph.Txn(t)))
		for _, w := range s.writesOf(t) {
			s.lock[w.key] = t
		}
	}
	s.phase[t] = started
	for _, r := range s.readsOf(t) {
		s.pending[r.version]--
	}
	s.commit(t)
	for _, r := range s.readsOf(t) {
		s.drained(r.key)
	}
	if woken != noKey {
		s.wake(woken)
	}
}

// blocked reports whether a transaction has to wait before it starts, and notes for what.
func (s *scheduler) blocked(t txn) bool {
	for _, r := range s.readsOf(t) {
		w := s.writer[r.version]
		if w != nobody && s.phase[w] != committed {
			s.beside[t] = s.onVersion[r.version]
			s.onVersion[r.version] = t
			return true
		}
	}
	for _, w := range s.writesOf(t) {
		if !s.free(w.key, t) {
			s.blockedOn[t] = w.key
			s.onKey[w.key].push(t)
			return true
		}
	}
	return false
}

// inTurn reports whether time allows that no version of the key that has still to come is
// older than that of t.
func (s *scheduler) inTurn(key int32, t txn) bool {
	z := s.zones
	if z == nil {
		return true
	}
	end := s.first[key+1]
	gone := func(at version) bool {
		return at < end && s.phase[s.writer[z.uninstalled[at]]] == committed
	}
	for gone(z.next[key]) {
		z.next[key]++
	}
	own := s.versionOf(key, t)
	at := z.next[key]
	for at < end && (z.uninstalled[at] == own || gone(at)) {
		at++
	}
	return at == end || z.lo[z.uninstalled[at]] >= z.hi[own]
}

// free reports whether t may be the next to overwrite a key.
func (s *scheduler) free(key int32, t txn) bool {
	v := s.latest[key]
	next := s.next[v]
	if next != nobody && next != t || !s.inTurn(key, t) {
		return false
	}
	if s.split {
		return s.lock[key] == nobody
	}
	own := int32(0)
	if next == t {
		own = 1
	}
	return s.pending[v] == own
}

// wake gives the key to the one waiting for it who comes first, if it is free.
func (s *scheduler) wake(key int32) {
	if next := s.next[s.latest[key]]; next != nobody {
		if s.blockedOn[next] == key && s.phase[next] == waiting && s.free(key, next) {
			s.push(next)
		}
		return
	}
	h := &s.onKey[key]
	s.spare = s.spare[:0]
	for len(h.list) > 0 {
		t := h.pop()
		if s.blockedOn[t] != key || s.phase[t] != waiting {
			continue // it went on in another way
		}
		if s.free(key, t) {
			s.push(t)
			break
		}
		s.spare = append(s.spare, t)
		if s.zones == nil {
			break // nobody else is better off
		}
	}
	for _, t := range s.spare {
		h.push(t)
	}
}

// drained is called when a reader of the latest version of a key has been.
func (s *scheduler) drained(key int32) {
	if t := s.lock[key]; s.split && t != nobody {
		s.commit(t)
		return
	}
	s.wake(key)
}

// commit ends a transaction that has started, if nobody has still to read what it
// overwrites.
func (s *scheduler) commit(t txn) {
	if s.phase[t] != started {
		return
	}
	for _, w := range s.writesOf(t) {
		if s.pending[s.latest[w.key]] > 0 {
			return
		}
	}
	s.phase[t] = committed
	s.order = append(s.order, graph.CommitOf(graph.Txn(t)))
	for _, w := range s.writesOf(t) {
		s.latest[w.key], s.lock[w.key] = w.version, nobody
		for r := s.onVersion[w.version]; r != nobody; r = s.beside[r] {
			s.push(r)
		}
		s.onVersion[w.version] = nobody
	}
	for _, w := range s.writesOf(t) {
		s.wake(w.key)
	}
	for _, u := range s.followers[t] {
		s.release(u)
	}
	if s.family >= sessionOrder && (s.ret == nil || s.ret[t] != graph.Never) {
		for u := t + 1; u < txn(s.n) && s.session[u] == s.session[t]; u++ {
			s.release(u)
			if s.ret == nil || s.ret[u] != graph.Never {
				break
			}
		}
	}
	if s.family == timeOrder && s.call != nil {
		s.open()
	}
}
