package graph

import "slices"

// witness returns some cycle that breaks a level, for when the search for a shortest one was
// given up: from an event that the sort did not reach, backwards to one that it waits for
// and did not reach either, until one comes again.
func (g *Graph) witness(l Level) []Edge {
	r, _ := l.rules()
	w := &waiting{g: g, r: r, reached: make([]bool, 2*g.n), waits: make([]Edge, 2*g.n)}
	w.sort()
	w.edges()
	start := Event(slices.Index(w.reached, false))
	met := make(map[Event]int)
	var back []Edge // from the later to the earlier
	for e := start; ; {
		if at, ok := met[e]; ok {
			back = back[at:]
			break
		}
		met[e] = len(back)
		edge := w.waits[e]
		back = append(back, edge)
		if edge.From == edge.To {
			e = SnapshotOf(edge.From) // its own
		} else {
			e = w.source(edge)
		}
	}
	slices.Reverse(back)
	cycle := slices.DeleteFunc(back, func(e Edge) bool { return e.From == e.To })
	return untangle(cycle, l)
}

// waiting has of each event that was not reached one edge of those that it waits for.
type waiting struct {
	g       *Graph
	r       rules
	reached []bool // of one event a transaction if the rules do not split, the commit
	waits   []Edge
}

func (w *waiting) sort() {
	g := w.g
	if !w.r.split {
		for t := range Txn(g.n) {
			w.reached[SnapshotOf(t)] = true // there is none
		}
		for _, t := range g.serial(w.r) {
			w.reached[CommitOf(t)] = true
		}
		return
	}
	for _, e := range g.events(w.r) {
		w.reached[e] = true
	}
}

// source is the event at the beginning of an edge, target that at its end.
func (w *waiting) source(e Edge) Event {
	if w.r.split && e.Kind == RW {
		return SnapshotOf(e.From)
	}
	return CommitOf(e.From)
}

func (w *waiting) target(e Edge) Event {
	if w.r.split {
		return target(e.Kind, e.To)
	}
	return CommitOf(e.To)
}

func (w *waiting) edges() {
	g := w.g
	first := Txn(-1) // of those that did not leave, the first to return
	if w.r.realtime && g.timed() {
		g.sortTimes()
		i := slices.IndexFunc(g.byReturn, func(t Txn) bool { return !w.reached[CommitOf(t)] })
		first = g.byReturn[i]
	}
	for t := range Txn(g.n) {
		if first >= 0 && g.before(first, t) {
			e := Edge{From: first, To: t, Kind: Realtime}
			w.waits[w.target(e)] = e
		}
		if w.r.split && !w.reached[SnapshotOf(t)] {
			w.waits[CommitOf(t)] = Edge{From: t, To: t}
		}
	}
	for t := range Txn(g.n) {
		g.EachFrom(t, func(e Edge) {
			if w.r.kinds.has(e.Kind) && !w.reached[w.source(e)] {
				w.waits[w.target(e)] = e
			}
		})
	}
}

// untangle takes a cycle that meets a transaction twice apart, and keeps the part that still
// breaks the level.
func untangle(cycle []Edge, l Level) []Edge {
	for {
		at := make(map[Txn]int, len(cycle))
		from, to := -1, -1
		for i, e := range cycle {
			if j, ok := at[e.From]; ok {
				from, to = j, i
				break
			}
			at[e.From] = i
		}
		if from < 0 {
			return cycle
		}
		inner := slices.Clone(cycle[from:to])
		if (Cycle{Class: ClassOf(inner)}).Breaks(l) {
			cycle = inner
		} else {
			cycle = slices.Concat(cycle[:from], cycle[to:])
		}
	}
}
