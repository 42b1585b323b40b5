package session

import "slices"

// graph is what has to have no cycle: writes, by their operations, and nodes between them
// that stand for many.
type graph struct {
	nodes   int32
	edges   []arc
	checked int // edges of which it is known that they have no cycle
}

// arc says that a node comes before another, because of a read if it is one.
type arc struct {
	from, to, by int32
	why          Reason
}

func (g *graph) node() int32 {
	g.nodes++
	return g.nodes - 1
}

func (g *graph) add(from, to int32, why Reason, by int32) {
	g.edges = append(g.edges, arc{from: from, to: to, by: by, why: why})
}

// rows are the edges by the node from which they go.
type rows struct {
	edges []arc
	at    []int32
}

func (r *rows) of(n int32) []arc { return r.edges[r.at[n]:r.at[n+1]] }

func (g *graph) rows() rows {
	r := rows{edges: make([]arc, len(g.edges)), at: make([]int32, g.nodes+2)}
	for i := range g.edges {
		r.at[g.edges[i].from+2]++
	}
	for i := range g.nodes {
		r.at[i+2] += r.at[i+1]
	}
	for _, e := range g.edges {
		r.edges[r.at[e.from+1]] = e
		r.at[e.from+1]++
	}
	return r
}

// cycle returns why the writes have no order, nil if they have one.
func (d *decider) cycle() *Conflict {
	g := &d.graph
	if len(g.edges) == g.checked {
		return nil
	}
	r := g.rows()
	into := make([]int32, g.nodes)
	for i := range g.edges {
		into[g.edges[i].to]++
	}
	var ready []int32
	for n := range g.nodes {
		if into[n] == 0 {
			ready = append(ready, n)
		}
	}
	done := 0
	for len(ready) > 0 {
		n := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		done++
		for _, e := range r.of(n) {
			if into[e.to]--; into[e.to] == 0 {
				ready = append(ready, e.to)
			}
		}
	}
	if done == int(g.nodes) {
		g.checked = len(g.edges)
		return nil
	}
	return d.tell(r.shortest(into))
}

// shortest returns a short cycle among the nodes that still wait for others, those of
// which into counts something: as short as any through some of them.
func (r *rows) shortest(into []int32) []arc {
	const most = 24 // each may cost a look at every edge
	var best []arc
	for _, start := range r.suspects(into, most) {
		if c := r.around(start, into); c != nil && (best == nil || len(c) < len(best)) {
			best = c
		}
	}
	return best
}

// suspects are nodes that are on cycles, found by walks backwards, which cannot end.
func (r *rows) suspects(into []int32, most int) []int32 {
	back := make(map[int32]int32)
	var waiting []int32
	for n := range int32(len(into)) {
		if into[n] == 0 {
			continue
		}
		waiting = append(waiting, n)
		for _, e := range r.of(n) {
			if into[e.to] > 0 {
				back[e.to] = n
			}
		}
	}
	var list []int32
	known := make(map[int32]bool)
	for i := 0; i < len(waiting) && len(list) < most; i += 1 + len(waiting)/most {
		n := waiting[i]
		for seen := make(map[int32]bool); !seen[n] && !known[n]; n = back[n] {
			seen[n] = true
		}
		if !known[n] {
			list = append(list, n)
		}
		for at := n; !known[at]; at = back[at] {
			known[at] = true
		}
	}
	return list
}

// around is a shortest cycle through a node, nil if there is none.
func (r *rows) around(start int32, into []int32) []arc {
	came := make(map[int32]arc)
	queue := []int32{start}
	for at := 0; at < len(queue); at++ {
		for _, e := range r.of(queue[at]) {
			if _, seen := came[e.to]; seen || into[e.to] == 0 {
				continue
			}
			came[e.to] = e
			if e.to == start {
				path := []arc{e}
				for n := e.from; n != start; n = came[n].from {
					path = append(path, came[n])
				}
				slices.Reverse(path)
				return path
			}
			queue = append(queue, e.to)
		}
	}
	return nil
}

// tell makes a conflict of a cycle: the edges from one write to the next.
func (d *decider) tell(path []arc) *Conflict {
	first := slices.IndexFunc(path, func(e arc) bool { return int(e.from) < len(d.h.Ops) })
	path = append(slices.Clone(path[first:]), path[:first]...)
	c := &Conflict{Kind: Cycle, Read: noOp, Write: noOp}
	e := Edge{By: noOp}
	for i, a := range path {
		if i == 0 || int(a.from) < len(d.h.Ops) {
			e = Edge{From: int(a.from), By: noOp}
		}
		if a.why != 0 {
			e.Why, e.By = a.why, int(a.by)
		}
		if int(a.to) < len(d.h.Ops) {
			e.To = int(a.to)
			if e.Why == Overwritten {
				e.Steps = d.derive(int32(e.By), int32(e.From))
			}
			c.Edges = append(c.Edges, e)
		}
	}
	return c
}

// distinct sorts and leaves out repetitions.
func distinct(list []int) []int {
	slices.Sort(list)
	return slices.Compact(list)
}
