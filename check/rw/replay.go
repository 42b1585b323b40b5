package rw

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// replay verifies without any search that an order of events satisfies a demand.
func (p *problem) replay(d demand, order []graph.Event) error {
	begun, done := make([]int, p.n), make([]int, p.n) // places, from 1
	latest, changed := make([]version, p.keys), make([]int, p.keys)
	installed := make([]int, len(p.writer)) // places of commits, 0 of initial versions
	copy(latest, p.first)
	for i, e := range order {
		t, at := txn(e.Txn()), i+1
		if !e.Commits() || !d.split {
			if begun[t] > 0 {
				return fmt.Errorf("transaction %d begins twice", t)
			}
			begun[t] = at
			for _, r := range p.readsOf(t) {
				if latest[r.key] != r.version {
					return fmt.Errorf("transaction %d does not see what it read of key %d", t, r.key)
				}
			}
		}
		if !e.Commits() {
			continue
		}
		if begun[t] == 0 || done[t] > 0 {
			return fmt.Errorf("transaction %d ends twice, or before it begins", t)
		}
		done[t] = at
		for _, w := range p.writesOf(t) {
			if d.split && changed[w.key] > begun[t] {
				return fmt.Errorf("transaction %d overwrites what it did not see, key %d", t, w.key)
			}
			latest[w.key], changed[w.key] = w.version, at
		}
	}
	for t := range txn(p.n) {
		if done[t] == 0 {
			return fmt.Errorf("transaction %d is missing", t)
		}
		for _, w := range p.writesOf(t) {
			installed[w.version] = done[t]
		}
		if b := p.before(t); d.family >= sessionOrder && b != nobody && done[b] > begun[t] {
			return fmt.Errorf("transaction %d is before %d of its session", t, b)
		}
	}
	for _, r := range p.relations {
		if installed[r.older] >= installed[r.newer] {
			return fmt.Errorf("the versions %d and %d are not in the order of their key", r.older, r.newer)
		}
	}
	earliest := graph.Never // return of those that end later
	for i := len(order) - 1; i >= 0 && d.family == timeOrder && p.call != nil; i-- {
		t := txn(order[i].Txn())
		if begun[t] == i+1 && earliest < p.call[t] {
			return fmt.Errorf("transaction %d is before one that had returned", t)
		}
		if done[t] == i+1 {
			earliest = min(earliest, p.ret[t])
		}
	}
	return nil
}
