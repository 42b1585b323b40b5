package graph

import (
	"cmp"
	"slices"
	"sort"
)

// search looks for shortest cycles in one component.
type search struct {
	part
	// bySession are the transactions by session and number, at their places.
	bySession, place []int32
	// Of each state, a transaction in a layer: the run in which it was met, how many
	// edges from the start, and from where by which edge.
	met       []uint32
	run       uint32
	depth     []int32
	from      []int32
	via       []uint32 // an index of to, or byProcess or byTime
	queue     []int32
	late      [layers]int // by layer: in byCall, all from here on were met
	later     map[sessionLayer]int
	left      int // of the budget, in edges
	exhausted bool
}

const (
	byProcess = 1<<32 - 1 - iota
	byTime
)

type sessionLayer struct {
	session int32
	layer   layer
}

func newSearch(p part, budget int) *search {
	n := p.n * layers
	s := &search{
		part: p, met: make([]uint32, n), depth: make([]int32, n), from: make([]int32, n),
		via: make([]uint32, n), later: map[sessionLayer]int{}, left: budget,
	}
	if p.timed() {
		p.sortTimes()
	}
	if p.session != nil {
		s.bySession, s.place = make([]int32, p.n), make([]int32, p.n)
		for i := range s.bySession {
			s.bySession[i] = int32(i)
		}
		slices.SortFunc(s.bySession, func(a, b int32) int {
			return cmp.Or(cmp.Compare(p.session[a], p.session[b]), cmp.Compare(a, b))
		})
		for i, t := range s.bySession {
			s.place[t] = int32(i)
		}
	}
	return s
}

// shortest returns a shortest cycle of a class, nil if there is none or the budget ended
// before one was found. A walk that meets somebody twice is put together from shorter
// cycles; at least one of these is of a graver class.
func (s *search) shortest(c Class) []Edge {
	var best []Edge
	consider := func(head ...Edge) {
		limit := 1 << 30
		if best != nil {
			limit = len(best) - 1 - len(head)
		}
		if limit < 0 {
			return
		}
		if tail, ok := s.path(c, head[len(head)-1].To, head[0].From, limit); ok {
			if cycle := append(slices.Clone(head), tail...); simple(cycle) {
				best = cycle
			}
		}
	}
	for t := range Txn(s.n) {
		for i := s.off[t]; i < s.off[t+1]; i++ {
			e := s.edge(t, i)
			if e.Kind != c.anchor() {
				continue
			}
			if s.exhausted || len(best) == c.least() {
				return best
			}
			if c.Base != G2 {
				consider(e)
				continue
			}
			for j := s.off[e.To]; j < s.off[e.To+1]; j++ {
				if second := s.edge(e.To, j); second.Kind == RW {
					consider(e, second)
				}
			}
		}
	}
	return best
}

// simple reports whether a cycle meets nobody twice.
func simple(cycle []Edge) bool {
	met := make(map[Txn]bool, len(cycle))
	for _, e := range cycle {
		if met[e.From] {
			return false
		}
		met[e.From] = true
	}
	return true
}

// path returns a shortest path of at most limit edges that makes a cycle whole.
func (s *search) path(c Class, start, goal Txn, limit int) ([]Edge, bool) {
	s.run++
	s.queue = s.queue[:0]
	clear(s.later)
	for i := range s.late {
		s.late[i] = s.n
	}
	first := int32(start)*layers + int32(c.start())
	s.met[first], s.depth[first] = s.run, 0
	s.queue = append(s.queue, first)
	for head := 0; head < len(s.queue); head++ {
		state := s.queue[head]
		t, l := Txn(state/layers), layer(state%layers)
		if t == goal && c.whole(l) {
			return s.trace(first, state), true
		}
		if int(s.depth[state]) == limit {
			continue
		}
		if s.left <= 0 {
			s.exhausted = true
			return nil, false
		}
		s.spread(c, state, t, l)
	}
	return nil, false
}

// spread meets all successors of a state.
func (s *search) spread(c Class, state int32, t Txn, l layer) {
	for i := s.off[t]; i < s.off[t+1]; i++ {
		e := s.to[i]
		if k := Kind(e >> kindShift); k <= RW {
			if to, ok := c.step(l, k); ok {
				s.meet(state, to, Txn(e&nodeMask), i)
			}
		}
	}
	s.left -= int(s.off[t+1]-s.off[t]) + 1
	if s.ret != nil && s.ret[t] == Never {
		return
	}
	if to, ok := c.step(l, Process); ok && s.session != nil {
		s.spreadSession(state, t, to)
	}
	if to, ok := c.step(l, Realtime); ok && s.timed() {
		at := sort.Search(s.late[to], func(i int) bool { return s.call[s.byCall[i]] > s.ret[t] })
		for i := at; i < s.late[to]; i++ {
			s.meet(state, to, s.byCall[i], byTime)
		}
		s.late[to] = min(s.late[to], at)
	}
}

// spreadSession meets the later transactions of the session, as far as none did before.
func (s *search) spreadSession(state int32, t Txn, to layer) {
	key := sessionLayer{s.session[t], to}
	end, met := s.later[key]
	for i := int(s.place[t]) + 1; i < s.n && (!met || i < end); i++ {
		u := Txn(s.bySession[i])
		if s.session[u] != key.session {
			break
		}
		s.meet(state, to, u, byProcess)
	}
	if at := int(s.place[t]) + 1; !met || at < end {
		s.later[key] = at
	}
}

func (s *search) meet(from int32, l layer, to Txn, via uint32) {
	state := int32(to)*layers + int32(l)
	if s.met[state] == s.run {
		return
	}
	s.left--
	s.met[state], s.depth[state] = s.run, s.depth[from]+1
	s.from[state], s.via[state] = from, via
	s.queue = append(s.queue, state)
}

// trace returns the edges from the first state to the last one.
func (s *search) trace(first, last int32) []Edge {
	edges := make([]Edge, 0, s.depth[last])
	for state := last; state != first; state = s.from[state] {
		from, to := Txn(s.from[state]/layers), Txn(state/layers)
		switch via := s.via[state]; via {
		case byProcess:
			edges = append(edges, Edge{From: from, To: to, Kind: Process})
		case byTime:
			edges = append(edges, Edge{From: from, To: to, Kind: Realtime})
		default:
			edges = append(edges, s.edge(from, via))
		}
	}
	slices.Reverse(edges)
	return edges
}
