package graph

import "slices"

// part is the graph of some transactions of another one.
type part struct {
	*Graph
	// whole are the numbers of the transactions in the other graph.
	whole []Txn
}

// induce returns the part with the given transactions, in ascending order, and the edges
// between them. The scratch has a number for each transaction of g, all of them 0, and is
// given back like that.
func (g *Graph) induce(keep []Txn, number []int32) part {
	edges := 0
	for i, t := range keep {
		number[t] = int32(i) + 1
		edges += int(g.off[t+1] - g.off[t])
	}
	defer func() {
		for _, t := range keep {
			number[t] = 0
		}
	}()
	p := part{&Graph{
		n: len(keep), off: make([]uint32, 1, len(keep)+1),
		to: make([]uint32, 0, edges), cause: make([]uint32, 0, edges),
	}, keep}
	for _, t := range keep {
		for i := g.off[t]; i < g.off[t+1]; i++ {
			e := g.to[i]
			if u := number[e&nodeMask]; u > 0 {
				p.to = append(p.to, uint32(u-1)|e&^nodeMask)
				p.cause = append(p.cause, g.cause[i])
			}
		}
		p.off = append(p.off, uint32(len(p.to)))
	}
	if g.timed() {
		p.call, p.ret = make([]int64, p.n), make([]int64, p.n)
		for i, t := range keep {
			p.call[i], p.ret[i] = g.call[t], g.ret[t]
		}
	}
	if g.session != nil {
		p.session = make([]int32, p.n)
		for i, t := range keep {
			p.session[i] = g.session[t]
		}
	}
	return p
}

// walk enumerates the successors of the nodes of a graph under some rules. Behind the
// transactions come the moments of time, one for each return in their order: a
// transaction leads to the moment of its return, a moment to the next one and to the
// transactions that were called before that. So time, too, has few edges.
type walk struct {
	g *Graph
	r rules
	// moment is the place of each transaction in byReturn, and first of each moment
	// and one more where the transactions that it leads to begin in byCall.
	moment, first []int32
}

func newWalk(g *Graph, r rules) *walk {
	w := &walk{g: g, r: r}
	if !r.realtime || !g.timed() {
		return w
	}
	g.sortTimes()
	w.moment = make([]int32, g.n)
	w.first = make([]int32, g.n+1)
	called := 0
	for i, t := range g.byReturn {
		w.moment[t] = int32(i)
		for called < g.n && g.call[g.byCall[called]] <= g.ret[t] {
			called++
		}
		w.first[i] = int32(called)
	}
	w.first[g.n] = int32(g.n)
	return w
}

func (w *walk) nodes() int {
	if w.moment == nil {
		return w.g.n
	}
	return 2 * w.g.n
}

// next returns the successor of a node at a place in its list, and the place behind it,
// -1 when there is none left.
func (w *walk) next(node, at int32) (to, behind int32) {
	g := w.g
	if int(node) < g.n {
		for n := int32(g.off[node+1] - g.off[node]); at < n; at++ {
			e := g.to[g.off[node]+uint32(at)]
			if w.r.kinds.has(Kind(e >> kindShift)) {
				return int32(e & nodeMask), at + 1
			}
		}
		if w.moment != nil && at == int32(g.off[node+1]-g.off[node]) && g.ret[node] != Never {
			return w.moment[node] + int32(g.n), at + 1
		}
		return 0, -1
	}
	m := node - int32(g.n)
	if at == 0 {
		if at++; int(m)+1 < g.n {
			return node + 1, at
		}
	}
	if i := w.first[m] + at - 1; i < w.first[m+1] {
		return int32(g.byCall[i]), at + 1
	}
	return 0, -1
}

// components returns the strongly connected components that have more than one
// transaction, each in ascending order. (Tarjan, "Depth-first search and linear graph
// algorithms", 1972, without recursion.)
func (g *Graph) components(r rules) [][]Txn {
	w := newWalk(g, r)
	n := w.nodes()
	t := tarjan{walk: w, index: make([]int32, n), low: make([]int32, n), at: make([]int32, n)}
	for v := range n {
		if t.index[v] == 0 {
			t.visit(int32(v))
		}
	}
	return t.found
}

type tarjan struct {
	*walk
	clock int32
	// index is when a node was met, from 1, low the earliest that it leads back to;
	// done nodes have a low that is greater than any index.
	index, low, at []int32
	path, open     []int32
	found          [][]Txn
}

const closed = 1<<31 - 1

func (t *tarjan) enter(v int32) {
	t.clock++
	t.index[v], t.low[v] = t.clock, t.clock
	t.path, t.open = append(t.path, v), append(t.open, v)
}

func (t *tarjan) visit(root int32) {
	t.enter(root)
	for len(t.path) > 0 {
		v := t.path[len(t.path)-1]
		to, behind := t.next(v, t.at[v])
		if behind >= 0 {
			t.at[v] = behind
			if t.index[to] == 0 {
				t.enter(to)
			} else if t.low[to] != closed {
				t.low[v] = min(t.low[v], t.index[to])
			}
			continue
		}
		t.path = t.path[:len(t.path)-1]
		if len(t.path) > 0 {
			p := t.path[len(t.path)-1]
			t.low[p] = min(t.low[p], t.low[v])
		}
		if t.low[v] == t.index[v] {
			t.close(v)
		}
	}
}

// close takes the component of v off the stack.
func (t *tarjan) close(v int32) {
	from := len(t.open)
	txns := 0
	for {
		from--
		u := t.open[from]
		t.low[u] = closed
		if int(u) < t.g.n {
			txns++
		}
		if u == v {
			break
		}
	}
	if txns > 1 {
		list := make([]Txn, 0, txns)
		for _, u := range t.open[from:] {
			if int(u) < t.g.n {
				list = append(list, Txn(u))
			}
		}
		slices.Sort(list)
		t.found = append(t.found, list)
	}
	t.open = t.open[:from]
}
