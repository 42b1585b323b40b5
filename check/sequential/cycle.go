package sequential

import (
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// pair are two operations of one process, a before b.
type pair struct{ a, b int32 }

// cycle finds a short cycle among the chains that still wait for others, by pairs of
// operations of a process, near or far apart.
func (d *decider) cycle(waits []int32) *Conflict {
	w := newWalker(d)
	var best []pair
	for _, start := range d.suspects(waits) {
		if c := w.around(start); c != nil && (best == nil || len(c) < len(best)) {
			best = c
		}
		if len(best) == 2 {
			break // there is no shorter one
		}
	}
	c := &Conflict{Kind: Cycle}
	for _, p := range best {
		c.Ops = append(c.Ops, int(p.a), int(p.b))
	}
	return c
}

// suspects are chains at which it is worth while to look for a short cycle: the two
// between which a process went back farthest, as chains are numbered by their writes, and
// some that are certainly on a cycle.
func (d *decider) suspects(waits []int32) []int32 {
	const most = 16               // each may cost a look at every operation
	back := make(map[int32]int32) // whom each waits for
	far, start := edge{}, noChain
	for _, e := range d.edges {
		if waits[e.from] > 0 && waits[e.to] > 0 {
			back[e.to] = e.from
			start = e.from
			if e.from-e.to > far.from-far.to { // there is such an edge on every cycle
				far = e
			}
		}
	}
	// Whoever waits does so for one that waits, so that going back ends in a cycle.
	seen := make(map[int32]bool)
	for !seen[start] {
		seen[start] = true
		start = back[start]
	}
	list := []int32{far.from, far.to, start}
	for at := back[start]; at != start && len(list) < most; at = back[at] {
		list = append(list, at)
	}
	return list
}

// walker walks from chain to chain along processes.
type walker struct {
	d *decider
	// processes are the operations that took effect, and where each of them is there.
	processes [][]int32
	process   []int32
	place     []int32
	// members are the operations of each chain.
	members [][]int32
}

func newWalker(d *decider) *walker {
	n := len(d.ops)
	w := &walker{d: d, process: make([]int32, n), place: make([]int32, n),
		members: make([][]int32, d.chains)}
	number := make(map[history.Process]int32)
	for i := range d.ops {
		if !d.in[i] {
			continue
		}
		op := &d.ops[i]
		p, known := number[op.Process]
		if !known {
			p = int32(len(w.processes))
			number[op.Process] = p
			w.processes = append(w.processes, nil)
		}
		w.process[i], w.place[i] = p, int32(len(w.processes[p]))
		w.processes[p] = append(w.processes[p], int32(i))
		c := d.chain[op.Value]
		w.members[c] = append(w.members[c], int32(i))
	}
	return w
}

// around is a shortest cycle through a chain, nil if there is none: a search by breadth
// that looks at each operation once, as whatever comes after an operation in its process
// is reached from there as soon as from anything that comes later.
func (w *walker) around(start int32) []pair {
	open := make([]int32, len(w.processes)) // from this place on all was reached
	home := make([]int32, len(w.processes)) // the last place of an operation of start
	by := make(map[int32]pair)              // how each chain was reached
	for p := range open {
		open[p], home[p] = int32(len(w.processes[p])), -1
	}
	for _, i := range w.members[start] {
		home[w.process[i]] = max(home[w.process[i]], w.place[i])
	}
	queue := []int32{start}
	for at := 0; at < len(queue); at++ {
		c := queue[at]
		for _, a := range w.members[c] {
			p, from := w.process[a], w.place[a]+1
			switch {
			case w.d.ops[a].Crashed:
				continue
			case c != start && home[p] >= from:
				return w.path(by, start, pair{a, w.processes[p][home[p]]})
			}
			for _, b := range w.processes[p][min(from, open[p]):open[p]] {
				to := w.d.chain[w.d.ops[b].Value]
				if _, reached := by[to]; !reached && to != start && to != c {
					by[to] = pair{a, b}
					queue = append(queue, to)
				}
			}
			open[p] = min(open[p], from)
		}
	}
	return nil
}

// path is the way from start that ends with last.
func (w *walker) path(by map[int32]pair, start int32, last pair) []pair {
	path := []pair{last}
	for c := w.d.chain[w.d.ops[last.a].Value]; c != start; {
		p := by[c]
		path = append(path, p)
		c = w.d.chain[w.d.ops[p.a].Value]
	}
	slices.Reverse(path)
	return path
}
