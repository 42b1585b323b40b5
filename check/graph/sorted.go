package graph

import (
	"cmp"
	"slices"
)

// sortTimes fills byCall and byReturn.
func (g *Graph) sortTimes() {
	if g.byCall != nil {
		return
	}
	g.byCall = sortedBy(g.call, allTxns(g.n))
	// By return, those that overlap have to change places, and no others. Those that
	// never return come last.
	g.byReturn = make([]Txn, 0, g.n)
	for _, t := range g.byCall {
		if g.ret[t] != Never {
			g.byReturn = append(g.byReturn, t)
		}
	}
	sortedBy(g.ret, g.byReturn)
	for _, t := range g.byCall {
		if g.ret[t] == Never {
			g.byReturn = append(g.byReturn, t)
		}
	}
}

func allTxns(n int) []Txn {
	list := make([]Txn, n)
	for i := range list {
		list[i] = Txn(i)
	}
	return list
}

// sortedBy sorts list by the keys of its elements, in time that is linear if it is nearly
// sorted already: by insertion, as long as that does not move too much.
func sortedBy(key []int64, list []Txn) []Txn {
	left := 32 * len(list)
	for i := 1; i < len(list); i++ {
		t := list[i]
		k := key[t]
		j := i
		for ; j > 0 && key[list[j-1]] > k; j-- {
			list[j] = list[j-1]
		}
		list[j] = t
		if left -= i - j; left < 0 {
			slices.SortStableFunc(list, func(a, b Txn) int { return cmp.Compare(key[a], key[b]) })
			break
		}
	}
	return list
}
