package rw

import "slices"

// acyclic is a graph that grows and shrinks and never has a cycle. It keeps a topological
// order up to date (Pearce and Kelly, "A dynamic topological sort algorithm for directed
// acyclic graphs", 2006).
type acyclic struct {
	out, in [][]link
	// place of a node in the order.
	place []int32
	// added are the arcs since the beginning, for taking them back.
	added []int32
	// steps counts the arcs that were looked at.
	steps int
	// marks of the current search, and from where it came.
	mark  []int32
	run   int32
	via   []link
	front []int32
	back  []int32
}

// link is one end of an arc, and the literal that it stands for, -1 for none.
type link struct {
	node int32
	lit  literal
}

func newAcyclic(order []int32) *acyclic {
	n := len(order)
	g := &acyclic{
		out: make([][]link, n), in: make([][]link, n), place: make([]int32, n),
		mark: make([]int32, n), via: make([]link, n),
	}
	for i, u := range order {
		g.place[u] = int32(i)
	}
	return g
}

// add adds an arc. If it closes a cycle it does not, and returns the literals of the arcs
// that lead from v to u.
func (g *acyclic) add(u, v int32, lit literal) (cycle []literal, ok bool) {
	if g.place[u] > g.place[v] {
		if cycle, ok := g.forward(u, v); !ok {
			return cycle, false
		}
		g.backward(u, v)
		g.reorder()
	}
	g.out[u] = append(g.out[u], link{v, lit})
	g.in[v] = append(g.in[v], link{u, lit})
	g.added = append(g.added, u)
	return nil, true
}

// undo takes back all arcs but the first n.
func (g *acyclic) undo(n int) {
	for len(g.added) > n {
		u := g.added[len(g.added)-1]
		g.added = g.added[:len(g.added)-1]
		last := len(g.out[u]) - 1
		v := g.out[u][last].node
		g.out[u] = g.out[u][:last]
		g.in[v] = g.in[v][:len(g.in[v])-1]
	}
}

// forward collects what v leads to up to the place of u, breadth first. If u is among it
// the literals of a shortest path are returned.
func (g *acyclic) forward(u, v int32) (path []literal, ok bool) {
	g.run++
	g.mark[v] = g.run
	g.front = append(g.front[:0], v)
	for head := 0; head < len(g.front); head++ {
		at := g.front[head]
		for _, l := range g.out[at] {
			g.steps++
			switch {
			case l.node == u:
				path = append(path, l.lit)
				for at != v {
					path = append(path, g.via[at].lit)
					at = g.via[at].node
				}
				return path, false
			case g.place[l.node] > g.place[u] || g.mark[l.node] == g.run:
				continue
			}
			g.mark[l.node] = g.run
			g.via[l.node] = link{at, l.lit}
			g.front = append(g.front, l.node)
		}
	}
	return nil, true
}

// backward collects what leads to u down to the place of v.
func (g *acyclic) backward(u, v int32) {
	g.mark[u] = g.run
	g.back = append(g.back[:0], u)
	for head := 0; head < len(g.back); head++ {
		for _, l := range g.in[g.back[head]] {
			g.steps++
			if g.place[l.node] < g.place[v] || g.mark[l.node] == g.run {
				continue
			}
			g.mark[l.node] = g.run
			g.back = append(g.back, l.node)
		}
	}
}

// reorder gives the places of both sides together to what leads to u, then to what v leads
// to.
func (g *acyclic) reorder() {
	byPlace := func(a, b int32) int { return int(g.place[a] - g.place[b]) }
	slices.SortFunc(g.back, byPlace)
	slices.SortFunc(g.front, byPlace)
	nodes := append(g.back, g.front...)
	places := make([]int32, len(nodes))
	for i, u := range nodes {
		places[i] = g.place[u]
	}
	slices.Sort(places)
	for i, u := range nodes {
		g.place[u] = places[i]
	}
	g.back = nodes
}

// order returns the nodes by their places.
func (g *acyclic) order() []int32 {
	order := make([]int32, len(g.place))
	for u, at := range g.place {
		order[at] = int32(u)
	}
	return order
}
