package graph

import "fmt"

// Order returns an order that shows that a level holds: of the transactions, each by its
// commit, for the serializable levels and those below Causal, of snapshots and commits for
// the others. It reports false if the level does not hold, or has no order of its own:
// ReadAtomic and MonotonicAtomicView, and Causal.
func (g *Graph) Order(l Level) (order []Event, ok bool) {
	r, ok := l.rules()
	switch {
	case !ok:
		return nil, false
	case r.split:
		order = g.events(r)
		return order, len(order) == 2*g.n
	}
	for _, t := range g.serial(r) {
		order = append(order, CommitOf(t))
	}
	return order, len(order) == g.n
}

// Verify looks without any search whether an order keeps what a level demands of it.
func (g *Graph) Verify(l Level, order []Event) error {
	r, ok := l.rules()
	if !ok {
		return fmt.Errorf("%s: has no order of its own", l)
	}
	at := make([]int, 2*g.n) // place of an event, from 1
	for i, e := range order {
		if int(e) >= len(at) || at[e] > 0 {
			return fmt.Errorf("event %d is there twice, or is none", e)
		}
		at[e] = i + 1
	}
	for t := range Txn(g.n) {
		snapshot, commit := at[SnapshotOf(t)], at[CommitOf(t)]
		if !r.split {
			snapshot = commit
			at[SnapshotOf(t)] = commit
		}
		if commit == 0 || snapshot == 0 || snapshot > commit {
			return fmt.Errorf("transaction %d has no snapshot before its commit", t)
		}
	}
	for t := range Txn(g.n) {
		for i := g.off[t]; i < g.off[t+1]; i++ {
			e := g.edge(t, i)
			from, to := at[CommitOf(t)], at[SnapshotOf(e.To)]
			if e.Kind == RW {
				from, to = at[SnapshotOf(t)], at[CommitOf(e.To)]
			}
			if r.kinds.has(e.Kind) && from >= to {
				return fmt.Errorf("%s from %d to %d leads backwards", e.Kind, t, e.To)
			}
		}
	}
	earliest := Never // return of what commits later
	for i := len(order) - 1; i >= 0 && r.realtime && g.timed(); i-- {
		e := order[i]
		if (!r.split || !e.Commits()) && earliest < g.call[e.Txn()] {
			return fmt.Errorf("transaction %d is before one that had returned", e.Txn())
		}
		if e.Commits() {
			earliest = min(earliest, g.ret[e.Txn()])
		}
	}
	return nil
}
