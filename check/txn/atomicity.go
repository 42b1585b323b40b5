package txn

import (
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// glimpse is what a transaction read of one key: the length of the list without its own
// elements, and the transaction, from 1, that appended the last of these.
type glimpse struct {
	key    uint32
	length int
	writer uint32
}

// reach is how much of a key a transaction leaves behind.
type reach struct {
	key    uint32
	length int
}

// fractures looks for transactions that read something of another one, but not all. That
// decides about atomicity where the dependencies alone do not: they have a circle with
// one rw either way.
func (c *columns) fractures() {
	reached := make([][]reach, len(c.ops)) // by transaction
	for key := range uint32(len(c.names)) {
		for _, a := range c.appendsOf(key) {
			length := int(a.place)
			if a.place == 0 {
				length = len(c.longest[key]) + 1
			}
			if c.outcome[a.txn].effective() && !a.loose && a.final {
				reached[a.txn] = append(reached[a.txn], reach{key, length})
			}
		}
	}
	for i := range c.ops {
		c.fractured(uint32(i), c.glimpses(i), reached)
	}
}

// fractured looks at what one transaction saw, reached is what each one left behind. Of all
// that a transaction saw of another one, the first counts, so that this takes no longer
// than to go through what the other one wrote.
func (c *columns) fractured(txn uint32, glimpses []glimpse, reached [][]reach) {
	of := make(map[uint32][]int)      // places of glimpses by key
	writers := make(map[uint32][]int) // and by writer
	var order []uint32
	for at, g := range glimpses {
		of[g.key] = append(of[g.key], at)
		if g.writer == 0 {
			continue
		}
		if writers[g.writer] == nil {
			order = append(order, g.writer)
		}
		writers[g.writer] = append(writers[g.writer], at)
	}
	for _, w := range order {
		for _, whole := range reached[w-1] {
			for _, j := range of[whole.key] {
				if glimpses[j].length >= whole.length {
					continue
				}
				if at, t, found := fracture(glimpses, writers[w], j); found {
					c.found.add(t, func() Anomaly {
						return c.phrase.fractured(txn, glimpses[at], glimpses[j])
					})
				}
			}
		}
	}
}

// fracture returns the glimpse, at one of the places that are given, that together with
// another at j shows a transaction in part.
func fracture(glimpses []glimpse, places []int, j int) (at int, t Type, found bool) {
	if places[0] < j {
		return places[0], FracturedView, true
	}
	for _, at := range slices.Backward(places) {
		// That a key is read differently later is what Internal is about.
		if at <= j || glimpses[at].key != glimpses[j].key {
			return at, FracturedRead, true
		}
	}
	return 0, "", false
}

// glimpses returns the reads of a transaction in their order.
func (c *columns) glimpses(i int) []glimpse {
	op := &c.ops[i]
	if c.outcome[i] != committed || op.Out.IsNil() {
		return nil
	}
	var list []glimpse
	steps, _ := history.ViewSteps(op.Out) // it was good the first time
	for _, s := range steps {
		if s.F != history.StepRead {
			continue
		}
		key, _ := c.numbers[op.Key].find(s.Key)
		order := c.order[c.orderStart[key]:c.orderStart[key+1]]
		g := glimpse{key: key, length: min(s.Value.Len(), len(order))}
		for ; g.length > 0; g.length-- {
			row := order[g.length-1]
			if row == none {
				break
			}
			if t := c.appends[row].txn; int(t) != i {
				if c.outcome[t].effective() {
					g.writer = t + 1
				}
				break
			}
		}
		list = append(list, g)
	}
	return list
}
