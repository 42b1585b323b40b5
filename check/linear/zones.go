package linear

import (
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// zones are clusters by their first return, and thus, because they are disjoint or
// because no one dominates another, by their last call as well.
type zones struct {
	fifo[cluster]
}

// below returns the index of the last zone whose first return is before t, -1 if
// there is none. What is asked for is mostly near the end.
func (z *zones) below(t history.Time) int {
	lo, hi := -1, z.len() // lo is below, hi is not
	for step := 1; hi > 0; step *= 2 {
		i := max(hi-step, 0)
		if z.at(i).first < t {
			lo = i
			break
		}
		hi = i
	}
	for hi-lo > 1 {
		mid := int(uint(lo+hi) / 2)
		if z.at(mid).first < t {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

func (z *zones) insert(i int, c cluster) {
	if i == z.len() {
		z.push(c)
		return
	}
	z.items = slices.Insert(z.items, z.head+i, c)
}

// climb puts c among backward zones, unless it is dominated, and takes out those
// that it dominates.
func (z *zones) climb(c cluster) {
	i := z.below(c.first) + 1
	if i > 0 && z.at(i-1).last >= c.last {
		return
	}
	j := i
	if j < z.len() && z.at(j).first == c.first && z.at(j).last > c.last {
		return
	}
	for j < z.len() && z.at(j).last <= c.last {
		j++
	}
	if i == j {
		z.insert(i, c)
		return
	}
	*z.at(i) = c
	z.items = slices.Delete(z.items, z.head+i+1, z.head+j)
}

// settle keeps of the zones whose first return is before m only the last.
func (z *zones) settle(m history.Time) {
	for z.len() > 1 && z.at(1).first < m {
		z.pop()
	}
}
