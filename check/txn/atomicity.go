package txn

import "github.com/ordeal-dev/ordeal/history"

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
		glimpses := c.glimpses(i)
		for at, g := range glimpses {
			if g.writer == 0 {
				continue
			}
			for j, other := range glimpses {
				if j < at && other.key == g.key {
					continue // that is what Internal is about
				}
				for _, whole := range reached[g.writer-1] {
					if whole.key == other.key && whole.length > other.length {
						t := FracturedRead
						if j > at {
							t = FracturedView
						}
						c.found.add(t, func() Anomaly { return c.phrase.fractured(uint32(i), g, other) })
					}
				}
			}
		}
	}
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
