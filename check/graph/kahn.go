package graph

// Event is the snapshot or the commit of a transaction.
type Event uint32

// SnapshotOf and CommitOf are the two events of a transaction.
func SnapshotOf(t Txn) Event { return Event(t) << 1 }

// CommitOf is the other event.
func CommitOf(t Txn) Event { return Event(t)<<1 | 1 }

// Txn is whose event it is.
func (e Event) Txn() Txn { return Txn(e >> 1) }

// Commits reports whether the event is a commit.
func (e Event) Commits() bool { return e&1 != 0 }

// rules say what a level orders, and how.
type rules struct {
	kinds kinds // of the edges that are stored
	// realtime adds the order in time.
	realtime bool
	// split orders snapshots and commits instead of transactions.
	split bool
}

// timeGate lets transactions pass in the order of time: one is let through when all that
// returned before its call have left. Crashed transactions return never, so that nobody
// waits for them.
type timeGate struct {
	g       *Graph
	gone    []bool
	leaving int // in byReturn: all before have left
	waiting int // in byCall: all before have been let through
}

func newTimeGate(g *Graph) *timeGate {
	g.sortTimes()
	return &timeGate{g: g, gone: make([]bool, g.n)}
}

// leave notes that t has left and calls through with all that may pass now.
func (w *timeGate) leave(t Txn, through func(Txn)) {
	w.gone[t] = true
	if w.g.byReturn[w.leaving] == t {
		w.open(through)
	}
}

func (w *timeGate) open(through func(Txn)) {
	g := w.g
	for w.leaving < g.n && w.gone[g.byReturn[w.leaving]] {
		w.leaving++
	}
	bound := Never
	if w.leaving < g.n {
		bound = g.ret[g.byReturn[w.leaving]]
	}
	for w.waiting < g.n && g.call[g.byCall[w.waiting]] <= bound {
		through(g.byCall[w.waiting])
		w.waiting++
	}
}

// serial sorts the transactions so that no edge of the rules leads backwards. What is on a
// cycle or behind one is missing at the end.
func (g *Graph) serial(r rules) []Txn {
	wait := make([]int32, g.n)
	for _, e := range g.to {
		if r.kinds.has(Kind(e >> kindShift)) {
			wait[e&nodeMask]++
		}
	}
	order := make([]Txn, 0, g.n)
	through := func(t Txn) {
		if wait[t]--; wait[t] == 0 {
			order = append(order, t)
		}
	}
	var gate *timeGate
	if r.realtime && g.timed() {
		for t := range wait {
			wait[t]++
		}
		gate = newTimeGate(g)
		gate.open(through)
	} else {
		for t := range wait {
			if wait[t] == 0 {
				order = append(order, Txn(t))
			}
		}
	}
	for head := 0; head < len(order); head++ {
		t := order[head]
		for _, e := range g.to[g.off[t]:g.off[t+1]] {
			if u := e & nodeMask; r.kinds.has(Kind(e >> kindShift)) {
				if wait[u]--; wait[u] == 0 {
					order = append(order, Txn(u))
				}
			}
		}
		if gate != nil {
			gate.leave(t, through)
		}
	}
	return order
}

// events sorts the snapshots and commits: ww, wr, sessions and time lead from a commit to
// a snapshot, rw from a snapshot to a commit.
func (g *Graph) events(r rules) []Event {
	wait := make([]int32, 2*g.n)
	for t := range g.n {
		wait[CommitOf(Txn(t))] = 1
	}
	for _, e := range g.to {
		if k := Kind(e >> kindShift); r.kinds.has(k) {
			wait[target(k, Txn(e&nodeMask))]++
		}
	}
	order := make([]Event, 0, 2*g.n)
	pass := func(e Event) {
		if wait[e]--; wait[e] == 0 {
			order = append(order, e)
		}
	}
	through := func(t Txn) { pass(SnapshotOf(t)) }
	var gate *timeGate
	for t := range g.n {
		switch s := SnapshotOf(Txn(t)); {
		case r.realtime && g.timed():
			wait[s]++
		case wait[s] == 0:
			order = append(order, s)
		}
	}
	if r.realtime && g.timed() {
		gate = newTimeGate(g)
		gate.open(through)
	}
	for head := 0; head < len(order); head++ {
		event := order[head]
		t := event.Txn()
		if !event.Commits() {
			pass(CommitOf(t))
		}
		for _, e := range g.to[g.off[t]:g.off[t+1]] {
			k := Kind(e >> kindShift)
			if r.kinds.has(k) && event.Commits() == (k != RW) {
				pass(target(k, Txn(e&nodeMask)))
			}
		}
		if gate != nil && event.Commits() {
			gate.leave(t, through)
		}
	}
	return order
}

// target is the event to which an edge leads.
func target(k Kind, t Txn) Event {
	if k == RW {
		return CommitOf(t)
	}
	return SnapshotOf(t)
}
