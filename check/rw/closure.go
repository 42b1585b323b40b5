package rw

import (
	"context"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// net is the graph of a demand: its nodes are transactions, or, if it is split, their
// snapshots and commits, numbered as graph.Event.
type net struct {
	*problem
	demand
	nodes int
	// from and to are the ends of its arcs, and cause which of the problem's they are, -1
	// for others.
	from, to, cause []int32
	// out are the arcs by the node where they begin, once somebody asked for a way.
	out [][]int32
}

func (p *problem) net(d demand, arcs []arc) *net {
	g := &net{problem: p, demand: d, nodes: p.n}
	if d.split {
		g.nodes = 2 * p.n
		for t := range int32(p.n) {
			g.link(2*t, 2*t+1, -1)
		}
	}
	for i, a := range arcs {
		if !d.single || a.kind != graph.RW {
			u, v := g.ends(a.kind, a.from, a.to)
			g.link(u, v, int32(i))
		}
	}
	if d.family >= sessionOrder {
		for t := range txn(p.n) {
			if b := p.before(t); b != nobody {
				u, v := g.ends(graph.Process, b, t)
				g.link(u, v, -1)
			}
		}
	}
	if d.family == timeOrder {
		p.inTime(func(from, to txn) {
			u, v := g.ends(graph.Realtime, from, to)
			g.link(u, v, -1)
		})
	}
	return g
}

func (g *net) link(from, to, cause int32) {
	g.from, g.to, g.cause = append(g.from, from), append(g.to, to), append(g.cause, cause)
}

// ends returns the nodes that a dependency connects: of snapshots and commits, rw leads
// from the snapshot to the commit and all others from the commit to the snapshot.
func (g *net) ends(k graph.Kind, from, to txn) (u, v int32) {
	switch {
	case !g.split:
		return from, to
	case k == graph.RW:
		return 2 * from, 2*to + 1
	default:
		return 2*from + 1, 2 * to
	}
}

// lists returns the arcs by the node where they begin.
func (g *net) lists() (at, to []int32) {
	at, to = make([]int32, g.nodes+2), make([]int32, len(g.to))
	for _, u := range g.from {
		at[u+2]++
	}
	for i := 2; i < len(at); i++ {
		at[i] += at[i-1]
	}
	for i, u := range g.from {
		to[at[u+1]] = g.to[i]
		at[u+1]++
	}
	return at[:g.nodes+1], to
}

// sort returns the nodes in an order that keeps the arcs, those first that press says; a
// part of them if there is a cycle.
func (g *net) sort(rank []int32) []int32 {
	at, to := g.lists()
	wait := make([]int32, g.nodes)
	for _, v := range g.to {
		wait[v]++
	}
	ready := heap{rank: rank}
	for u := range int32(g.nodes) {
		if wait[u] == 0 {
			ready.push(u)
		}
	}
	order := make([]int32, 0, g.nodes)
	for len(ready.list) > 0 {
		u := ready.pop()
		order = append(order, u)
		for _, v := range to[at[u]:at[u+1]] {
			if wait[v]--; wait[v] == 0 {
				ready.push(v)
			}
		}
	}
	return order
}

// manySteps bounds the search for ways back.
const manySteps = 1 << 26

// consistent reports whether a net without rw has no cycle, and none with one rw of arcs;
// false, too, if that would take too long to find out. Ranks suggest an order.
func (g *net) consistent(arcs []arc, rank []int32) bool {
	order := g.sort(rank)
	if len(order) < g.nodes {
		return false
	}
	place, met := make([]int32, g.nodes), make([]int32, g.nodes)
	for i, u := range order {
		place[u] = int32(i)
	}
	at, to := g.lists()
	var stack []int32
	left := manySteps
	for i, a := range arcs {
		if a.kind != graph.RW || place[a.to] > place[a.from] {
			continue // whatever comes later does not lead back
		}
		round := int32(i) + 1
		for stack = append(stack[:0], a.to); len(stack) > 0; {
			u := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if u == a.from {
				return false
			}
			if left -= 1 + int(at[u+1]-at[u]); left < 0 {
				return false
			}
			for _, v := range to[at[u]:at[u+1]] {
				if met[v] != round && place[v] <= place[a.from] {
					met[v] = round
					stack = append(stack, v)
				}
			}
		}
	}
	return true
}

// closure says which node leads to which, as rows of bits.
type closure struct {
	words int
	bits  []uint64
}

// closureWords bounds the memory of a closure, 8 bytes each.
const closureWords = 8 << 20

func (g *net) closure(order []int32) *closure {
	at, to := g.lists()
	c := &closure{words: (g.nodes + 63) / 64}
	c.bits = make([]uint64, g.nodes*c.words)
	for i := len(order) - 1; i >= 0; i-- {
		u := order[i]
		row := c.row(u)
		for _, v := range to[at[u]:at[u+1]] {
			if row[v>>6]>>(v&63)&1 != 0 {
				continue
			}
			next := c.row(v)[:len(row)]
			for w, b := range next {
				row[w] |= b
			}
			row[v>>6] |= 1 << (v & 63)
		}
	}
	return c
}

func (c *closure) row(u int32) []uint64 { return c.bits[int(u)*c.words : (int(u)+1)*c.words] }

func (c *closure) leads(u, v int32) bool { return c.row(u)[v>>6]>>(v&63)&1 != 0 }

// pair is two versions of a key whose order is not known.
type pair struct{ a, b version }

// pruned is what remains when all that is certain was derived.
type pruned struct {
	arcs []arc
	// cycle says that there is one: the demand cannot be satisfied.
	cycle bool
	// open are the pairs that may have either order.
	open []pair
	// forced are those that may not, the older one first. What follows from them are the
	// arcs from each of rounds on, by those before.
	forced []pair
	rounds []int
	net    *net
	// order keeps all arcs.
	order []int32
}

// manyPairs bounds the pairs of versions that are looked at.
const manyPairs = 30_000_000

// prune gives each pair of versions the order that it must have, as long as there are
// such. It reports false if the problem is too large for it.
func (p *problem) prune(ctx context.Context, d demand, arcs []arc, rank []int32) (*pruned, bool) {
	nodes := p.n
	if d.split {
		nodes *= 2
	}
	if nodes*((nodes+63)/64) > closureWords {
		return nil, false
	}
	open, ok := p.pairs(d)
	if !ok {
		return nil, false
	}
	s := &pruned{arcs: arcs, open: open}
	for {
		s.net = p.net(d, s.arcs)
		s.order = s.net.sort(rank)
		if len(s.order) < nodes {
			s.cycle = true
			return s, true
		}
		if ctx.Err() != nil {
			return nil, false
		}
		c := s.net.closure(s.order)
		if s.cycle = d.single && single(c, s.arcs); s.cycle {
			return s, true
		}
		known, knew := len(s.arcs), len(s.forced)
		s.rounds = append(s.rounds, known)
		left := s.open[:0]
		for _, o := range s.open {
			ab, ba := s.net.possible(c, o.a, o.b), s.net.possible(c, o.b, o.a)
			switch {
			case ab && ba:
				left = append(left, o)
			case ab || !ba: // if neither is possible, either shows a cycle
				s.forced = append(s.forced, o)
			default:
				s.forced = append(s.forced, pair{o.b, o.a})
			}
		}
		s.open = left
		for _, o := range s.forced[knew:] {
			s.arcs = s.net.force(s.arcs, c, o.a, o.b)
		}
		if len(s.arcs) == known {
			return s, true
		}
	}
}

// single reports whether there is a cycle with one rw, given what leads where without.
func single(c *closure, arcs []arc) bool {
	return slices.ContainsFunc(arcs, func(a arc) bool {
		return a.kind == graph.RW && c.leads(a.to, a.from)
	})
}

// pairs are the pairs of versions of one key whose order matters: in a serial order only
// those of which one was read.
func (p *problem) pairs(d demand) ([]pair, bool) {
	total := 0
	for k := range p.keys {
		n := int(p.first[k+1] - p.first[k] - 1)
		if total += n * (n - 1) / 2; total > manyPairs {
			return nil, false
		}
	}
	list := make([]pair, 0, min(total, 1<<20))
	for k := range p.keys {
		for a := p.first[k] + 1; a < p.first[k+1]; a++ {
			for b := a + 1; b < p.first[k+1]; b++ {
				if d.split || d.single || len(p.readersOf(a))+len(p.readersOf(b)) > 0 {
					list = append(list, pair{a, b})
				}
			}
		}
	}
	return list, true
}

// possible reports whether one version may be older than another: whether none of the
// dependencies that follow closes a cycle.
func (g *net) possible(c *closure, older, newer version) bool {
	to := g.writer[newer]
	u, v := g.ends(graph.WW, g.writer[older], to)
	if c.leads(v, u) {
		return false
	}
	for _, r := range g.readersOf(older) {
		if r == to {
			continue
		}
		if u, v := g.ends(graph.RW, r, to); c.leads(v, u) {
			return false
		}
	}
	return true
}

// force adds what follows from one version being older than another, except for what
// follows already.
func (g *net) force(arcs []arc, c *closure, older, newer version) []arc {
	at := len(arcs)
	arcs = g.succession(arcs, older, newer, OtherwiseCycle)
	kept := arcs[:at]
	for _, a := range arcs[at:] {
		u, v := g.ends(a.kind, a.from, a.to)
		if g.single && a.kind == graph.RW || !c.leads(u, v) {
			kept = append(kept, a)
		}
	}
	return kept
}
