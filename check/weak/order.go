package weak

// extra is an edge that a level's rule gave: from came before to, because via had seen
// from, and read key from to.
type extra struct {
	from, to, via node
	key           int32
}

// edges are the edges of a level, by the node that they lead to.
type edges struct {
	list []extra
	// unborn are edges to the initial state, each a contradiction.
	unborn []extra
	at     []int32
	from   []node
}

// maxExtra bounds the memory of edges, 16 bytes each.
const maxExtra = 1 << 26

func (e *edges) add(x extra) {
	if x.to == initial {
		e.unborn = append(e.unborn, x)
		return
	}
	e.list = append(e.list, x)
}

// seal sorts the edges by the node that they lead to. One node to another stays once if
// the repetitions stand together.
func (e *edges) seal(nodes int) {
	e.at = make([]int32, nodes+1)
	for i := range e.list {
		e.at[e.list[i].to+1]++
	}
	for i := range nodes {
		e.at[i+1] += e.at[i]
	}
	e.from = make([]node, len(e.list))
	for i := len(e.list) - 1; i >= 0; i-- {
		to := e.list[i].to
		e.at[to+1]--
		e.from[e.at[to+1]] = e.list[i].from
	}
	// Each at[to+1] has come down to the beginning of to: move the row back.
	copy(e.at, e.at[1:])
	e.at[nodes] = int32(len(e.list))
}

// into returns the nodes with an edge to i.
func (e *edges) into(i node) []node {
	if e == nil || e.at == nil {
		return nil
	}
	return e.from[e.at[i]:e.at[i+1]]
}

// graph is what has to have no cycle.
type graph struct {
	x *Index
	// sessions says that their order counts.
	sessions bool
	extra    *edges
}

// walker orders a graph. A node waits for one of its predecessors at a time.
type walker struct {
	graph
	// done nodes are in the order; next is how far the predecessors of a node have
	// been looked at.
	done []bool
	next []int32
	// waiting is the first node, plus one, that waits for a node, and after the one
	// that waits beside it.
	waiting, after []int32
}

// sort returns the nodes in an order that keeps all edges. If there is none it returns
// the part that precedes every cycle, and which nodes that part has.
func (g graph) sort() (order []node, done []bool) {
	n := len(g.x.txn)
	w := walker{
		graph: g, done: make([]bool, n), next: make([]int32, n),
		waiting: make([]int32, n), after: make([]int32, n),
	}
	order = make([]node, 0, n)
	var ready []node
	for i := range node(n) {
		if w.blocked(i) {
			continue
		}
		ready = append(ready, i)
		for len(ready) > 0 {
			at := ready[len(ready)-1]
			ready = ready[:len(ready)-1]
			w.done[at] = true
			order = append(order, at)
			for j := w.waiting[at]; j > 0; {
				wake := j - 1
				j = w.after[wake]
				if !w.blocked(wake) {
					ready = append(ready, wake)
				}
			}
		}
	}
	return order, w.done
}

// blocked reports whether a node has to wait, and has it wait.
func (w *walker) blocked(i node) bool {
	x := w.x
	if w.sessions && w.next[i] == 0 {
		if before := x.before(i); before != initial && !w.done[before] {
			w.wait(i, before)
			return true
		}
	}
	reads := x.reads[x.readAt[i]:x.readAt[i+1]]
	for at := int(w.next[i]); at < len(reads); at++ {
		if from := reads[at].from; from != initial && !w.done[from] {
			w.next[i] = int32(at)
			w.wait(i, from)
			return true
		}
	}
	w.next[i] = max(w.next[i], int32(len(reads)))
	into := w.extra.into(i)
	for at := int(w.next[i]) - len(reads); at < len(into); at++ {
		if from := into[at]; !w.done[from] {
			w.next[i] = int32(at + len(reads))
			w.wait(i, from)
			return true
		}
	}
	w.next[i] = int32(len(reads) + len(into))
	return false
}

func (w *walker) wait(i, from node) {
	w.after[i] = w.waiting[from]
	w.waiting[from] = i + 1
}

// into calls f with every predecessor of a node until f returns false.
func (g graph) into(i node, f func(node) bool) {
	x := g.x
	if before := x.before(i); g.sessions && before != initial && !f(before) {
		return
	}
	for _, r := range x.reads[x.readAt[i]:x.readAt[i+1]] {
		if r.from != initial && !f(r.from) {
			return
		}
	}
	for _, from := range g.extra.into(i) {
		if !f(from) {
			return
		}
	}
}
