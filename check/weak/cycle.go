package weak

// effort bounds the search for the shortest cycle, in edges looked at.
const effort = 20_000_000

// unborn is the witness of an edge to the initial state: the shortest of them.
func (g graph) unborn() *Violation {
	var best []Edge
	for i, e := range g.extra.unborn {
		if i == 16 || best != nil && len(best[0].Path) == 1 {
			break
		}
		edge := g.overwritten(e)
		if best == nil || len(edge.Path) < len(best[0].Path) {
			best = []Edge{edge, {From: Initial, To: edge.From, Why: First, Key: e.key}}
		}
	}
	return &Violation{Kind: Cycle, Reader: Initial, Writer: Initial, Edges: best}
}

// shortest returns the shortest cycle of the nodes that are not done, or, beyond the
// bound of effort, the shortest that was met.
func (g graph) shortest(done []bool) *Violation {
	s := search{graph: g, done: done, left: effort}
	s.trim()
	n := len(done)
	s.seen, s.toward = make([]int32, n), make([]node, n)
	var best []node
	for i := range node(n) {
		if s.done[i] || s.left <= 0 && best != nil {
			continue
		}
		if c := s.through(i, len(best)); c != nil {
			best = c
		}
		if len(best) == 2 {
			break
		}
	}
	v := &Violation{Kind: Cycle, Reader: Initial, Writer: Initial}
	for at, from := range best {
		v.Edges = append(v.Edges, g.edge(from, best[(at+1)%len(best)]))
	}
	return v
}

// search looks for a short cycle.
type search struct {
	graph
	done []bool
	left int
	// seen is the start, plus one, of the search that came to a node, and toward the
	// next node on the way to that start.
	seen   []int32
	toward []node
}

// trim takes away the nodes that only follow cycles.
func (s *search) trim() {
	out := make([]int32, len(s.done))
	for i := range node(len(s.done)) {
		if !s.done[i] {
			s.into(i, func(from node) bool { out[from]++; return true })
		}
	}
	var last []node
	for i := range node(len(s.done)) {
		if !s.done[i] && out[i] == 0 {
			last = append(last, i)
		}
	}
	for len(last) > 0 {
		i := last[len(last)-1]
		last = last[:len(last)-1]
		s.done[i] = true
		s.into(i, func(from node) bool {
			if out[from]--; out[from] == 0 && !s.done[from] {
				last = append(last, from)
			}
			return true
		})
	}
}

// through returns a shortest cycle through a node, in its direction, if it is shorter
// than below (0: than any).
func (s *search) through(start node, below int) []node {
	s.seen[start] = start + 1
	level := []node{start}
	for depth := 1; len(level) > 0 && (below == 0 || depth < below); depth++ {
		var next []node
		for _, i := range level {
			found := false
			s.into(i, func(from node) bool {
				s.left--
				switch {
				case from == start:
					found = true
					return false
				case s.done[from] || s.seen[from] == start+1:
					return true
				}
				s.seen[from], s.toward[from] = start+1, i
				next = append(next, from)
				return true
			})
			if found {
				return s.way(start, i)
			}
		}
		level = next
	}
	return nil
}

// way returns start and the nodes from i to it.
func (s *search) way(start, i node) []node {
	c := []node{start}
	for ; i != start; i = s.toward[i] {
		c = append(c, i)
	}
	return c
}

// edge says why one node came before another, by the plainest reason.
func (g graph) edge(from, to node) Edge {
	e := Edge{From: g.x.name(from), To: g.x.name(to), Key: -1, Via: Initial}
	if key, reads := g.x.readsFrom(to, from); reads {
		e.Why, e.Key = ReadsFrom, key
		return e
	}
	if g.sessions && g.x.before(to) == from {
		return e
	}
	var best *Edge
	for i := range g.extra.list {
		if x := g.extra.list[i]; x.from == from && x.to == to {
			if o := g.overwritten(x); best == nil || len(o.Path) < len(best.Path) {
				best = &o
			}
			if len(best.Path) == 1 {
				break
			}
		}
	}
	return *best
}

func (x *Index) readsFrom(reader, writer node) (key int32, ok bool) {
	for _, r := range x.reads[x.readAt[reader]:x.readAt[reader+1]] {
		if r.from == writer {
			return r.key, true
		}
	}
	return 0, false
}

func (x *Index) name(i node) Txn {
	if i == initial {
		return Initial
	}
	return x.txn[i]
}

// overwritten puts an edge in words: how its reader had seen the earlier one.
func (g graph) overwritten(e extra) Edge {
	x := g.x
	return Edge{
		From: x.name(e.from), To: x.name(e.to), Why: Overwritten, Key: e.key, Via: x.name(e.via),
		Path: graph{x: x, sessions: g.sessions}.path(e.from, e.via),
	}
}

// path returns a shortest path of "reads from" and, if they count, session order. In a
// session it may skip transactions.
func (g graph) path(from, to node) []Edge {
	x := g.x
	if key, reads := x.readsFrom(to, from); reads {
		return []Edge{{From: x.name(from), To: x.name(to), Why: ReadsFrom, Key: key, Via: Initial}}
	}
	if g.sessions && x.session[from] == x.session[to] && from < to {
		return []Edge{{From: x.name(from), To: x.name(to), Key: -1, Via: Initial}}
	}
	toward := map[node]node{to: to}
	level := []node{to}
	for len(level) > 0 {
		var next []node
		for _, i := range level {
			g.into(i, func(p node) bool {
				if _, seen := toward[p]; !seen {
					toward[p] = i
					next = append(next, p)
				}
				return true
			})
		}
		if _, found := toward[from]; found {
			break
		}
		level = next
	}
	var edges []Edge
	for i := from; i != to; {
		next, met := toward[i]
		if !met {
			return nil
		}
		e := Edge{From: x.name(i), To: x.name(next), Key: -1, Via: Initial}
		if key, reads := x.readsFrom(next, i); reads {
			e.Why, e.Key = ReadsFrom, key
		}
		edges = append(edges, e)
		i = next
	}
	return joined(edges)
}

// joined makes one edge of those of one session that follow each other.
func joined(edges []Edge) []Edge {
	var short []Edge
	for _, e := range edges {
		n := len(short)
		if n > 0 && e.Why == SessionOrder && short[n-1].Why == SessionOrder {
			short[n-1].To = e.To
			continue
		}
		short = append(short, e)
	}
	return short
}
