package txn

import (
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// committedReads tries all orders of the elements in which the appends of a transaction
// stay in order and every list read is a beginning, and wants that no list ends within
// another transaction, that writes and reads make no circle, and that nobody reads what
// he appends afterwards.
func committedReads(list []dumb) bool {
	for _, d := range list {
		for i, s := range d.steps {
			for _, later := range d.steps[i+1:] {
				if !bool(d.optional) && s.F == history.StepRead && s.Key == later.Key &&
					later.F == history.StepAppend &&
					strings.Contains(" "+words(s.Value), " "+later.Value.String()+" ") {
					return false
				}
			}
		}
	}
	for set := range uint(1) << len(list) {
		if set&required(list) != required(list) {
			continue
		}
		orders := map[history.Key][][]version{"x": {}, "y": {}}
		possible := true
		for k := range orders {
			orders[k] = orderings(list, set, k)
			possible = possible && len(orders[k]) > 0
		}
		for _, x := range orders["x"] {
			for _, y := range orders["y"] {
				if possible && acyclic(list, set, map[history.Key][]version{"x": x, "y": y}) {
					return true
				}
			}
		}
	}
	return false
}

// version is an element, who appended it, and whether it was the last of his.
type version struct {
	elem  string
	txn   int
	final bool
}

// orderings returns the orders of a key's elements that fit all reads of it.
func orderings(list []dumb, set uint, key history.Key) [][]version {
	queues := make([][]version, len(list))
	total := 0
	for i, d := range list {
		for _, s := range d.steps {
			if set>>i&1 != 0 && s.F == history.StepAppend && s.Key == key {
				queues[i] = append(queues[i], version{s.Value.String(), i, false})
				total++
			}
		}
		if n := len(queues[i]); n > 0 {
			queues[i][n-1].final = true
		}
	}
	var found [][]version
	var extend func(prefix []version)
	extend = func(prefix []version) {
		if !fitting(list, key, prefix, total) {
			return
		}
		if len(prefix) == total {
			found = append(found, slices.Clone(prefix))
			return
		}
		for i, q := range queues {
			if len(q) > 0 {
				queues[i] = q[1:]
				extend(append(prefix, q[0]))
				queues[i] = q
			}
		}
	}
	extend(nil)
	return found
}

// fitting reports whether the reads of a key agree with the first elements of an order.
func fitting(list []dumb, key history.Key, prefix []version, total int) bool {
	for _, d := range list {
		for _, s := range d.steps {
			if s.F != history.StepRead || s.Key != key || bool(d.optional) {
				continue
			}
			if s.Value.Len() > total {
				return false
			}
			for i := range min(s.Value.Len(), len(prefix)) {
				if s.Value.At(i).String() != prefix[i].elem {
					return false
				}
			}
		}
	}
	return true
}

// acyclic judges the writes and reads of one order of all versions.
func acyclic(list []dumb, set uint, orders map[history.Key][]version) bool {
	before := make([]uint, len(list)) // by transaction, those before it
	for _, order := range orders {
		for i := range order {
			for _, v := range order[:i] {
				before[order[i].txn] |= 1 << v.txn
			}
		}
	}
	for i, d := range list {
		for _, s := range d.steps {
			if s.F != history.StepRead || bool(d.optional) || set>>i&1 == 0 || s.Value.Len() == 0 {
				continue
			}
			last := orders[s.Key][s.Value.Len()-1]
			if last.txn != i && !last.final {
				return false
			}
			for _, v := range orders[s.Key][:s.Value.Len()] {
				before[i] |= 1 << v.txn
			}
		}
	}
	for i := range before {
		before[i] &^= 1 << i // oneself does not count, others in between do
	}
	for _, order := range orders {
		for i := range order {
			for j := range i {
				between := slices.ContainsFunc(order[j:i], func(v version) bool {
					return v.txn != order[i].txn
				})
				if order[j].txn == order[i].txn && between {
					return false
				}
			}
		}
	}
	done := uint(0)
	for range list {
		for i := range list {
			if before[i]&^done&set == 0 {
				done |= 1 << i
			}
		}
	}
	return done&set == set
}
