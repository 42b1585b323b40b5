package txn

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
)

// index finds the appends of one key by their elements: a hash table that is used again
// for the next key.
type index struct {
	slots []slot
	shift uint
	round uint32
}

type slot struct {
	elem  elem
	row   uint32
	round uint32
}

// reset empties the table and makes room for n elements.
func (x *index) reset(n int) {
	size := 1 << bits.Len(uint(2*n+4))
	if len(x.slots) < size {
		x.slots, x.round = make([]slot, size), 0
	}
	x.shift = uint(64 - bits.TrailingZeros(uint(len(x.slots))))
	x.round++
}

// find returns the slot of an element: its own, or the free one where it would be.
func (x *index) find(e elem) *slot {
	i := int(uint64(e) * 0x9e3779b97f4a7c15 >> x.shift)
	for {
		s := &x.slots[i]
		if s.round != x.round || s.elem == e {
			return s
		}
		if i++; i == len(x.slots) {
			i = 0
		}
	}
}

// row returns the append of an element, none if there is none.
func (x *index) row(e elem) uint32 {
	if s := x.find(e); s.round == x.round {
		return s.row
	}
	return none
}

// versions finds the order of the versions of all keys, judges what was read against it,
// and learns which crashed transactions took effect.
func (c *columns) versions(ctx context.Context) error {
	c.order = make([]uint32, 0, len(c.appends))
	c.orderStart = make([]uint32, 1, len(c.names)+1)
	c.longest = make([][]elem, len(c.names))
	var x index
	for key := range uint32(len(c.names)) {
		if key&0xff == 0 && ctx.Err() != nil {
			return fmt.Errorf("ordering versions: %w", ctx.Err())
		}
		if err := c.index(&x, key); err != nil {
			return err
		}
		c.place(&x, key)
		c.compare(&x, key)
		c.orderStart = append(c.orderStart, uint32(len(c.order)))
	}
	c.stats.Versions = len(c.order)
	return nil
}

// index fills the table with the appends of a key.
func (c *columns) index(x *index, key uint32) error {
	rows := c.appendsOf(key)
	x.reset(len(rows))
	for i := range rows {
		s := x.find(rows[i].elem)
		if s.round == x.round {
			op := &c.ops[rows[i].txn]
			return fmt.Errorf("operation %d (process %d) does not fit list-append: %s is appended to %s "+
				"twice", op.Index, op.Process, c.text(rows[i].elem), c.names[key].key)
		}
		*s = slot{rows[i].elem, c.appendStart[key] + uint32(i), x.round}
	}
	return nil
}

// place makes the longest list the order of the key's versions.
func (c *columns) place(x *index, key uint32) {
	var longest []elem
	for _, r := range c.readsOf(key) {
		if len(r.list) > len(longest) {
			longest = r.list
		}
	}
	if !c.fill(x, key, longest) {
		// One bad list must not make all others look wrong.
		other := longest
		for _, r := range c.readsOf(key) {
			if c.sound(x, r.list) && (len(r.list) > len(other) || !c.sound(x, other)) {
				other = r.list
			}
		}
		c.fill(x, key, other)
	}
	for _, row := range c.order[c.orderStart[key]:] {
		if row != none {
			c.observe(c.appends[row].txn)
		}
	}
}

// fill makes a list the order of the key's versions, and reports whether all of its elements
// were appended and none is there twice.
func (c *columns) fill(x *index, key uint32, list []elem) (sound bool) {
	for _, row := range c.order[c.orderStart[key]:] {
		if row != none {
			c.appends[row].place = 0
		}
	}
	c.order, c.longest[key] = c.order[:c.orderStart[key]], list
	sound = true
	for i, e := range list {
		row := x.row(e)
		if row != none {
			if a := &c.appends[row]; a.place == 0 {
				a.place = uint32(i) + 1
			} else {
				row = none // it is there twice
			}
		}
		sound = sound && row != none
		c.order = append(c.order, row)
	}
	return sound
}

// sound reports whether all elements of a list were appended, and none is there twice.
func (c *columns) sound(x *index, list []elem) bool {
	met := make(map[uint32]bool, len(list))
	for _, e := range list {
		row := x.row(e)
		if row == none || met[row] {
			return false
		}
		met[row] = true
	}
	return true
}

// observe notes that something of a transaction was seen.
func (c *columns) observe(txn uint32) {
	if c.outcome[txn] == crashed {
		c.outcome[txn] = resolved
		c.stats.Resolved++
	}
}

// flaws are the first places of a key's order at which something is wrong with the element.
type flaws struct{ unexpected, twice, torn, aborted int }

// compare judges the lists that were read against the order.
func (c *columns) compare(x *index, key uint32) {
	longest := c.longest[key]
	order := c.order[c.orderStart[key]:]
	f := flaws{len(longest), len(longest), len(longest), len(longest)}
	for i := len(order) - 1; i >= 0; i-- {
		switch row := order[i]; {
		case row != none && c.outcome[c.appends[row].txn] == failed:
			f.aborted = i
		case row == none && x.row(longest[i]) == none:
			f.unexpected = i
		case row == none:
			f.twice = i
		}
		if row := order[i]; row != none {
			if a := c.earlier(row); a != nil && (a.place == 0 || int(a.place) > i) {
				f.torn = i
			}
		}
	}
	reads := c.readsOf(key)
	for i := range reads {
		r := &reads[i]
		if !slices.Equal(r.list, longest[:min(len(r.list), len(longest))]) {
			r.odd = true
			c.loose(x, key, r)
			continue
		}
		n := len(r.list)
		if n > f.unexpected {
			c.found.add(Unexpected, func() Anomaly {
				return c.phrase.unexpected(r, longest[f.unexpected])
			})
		}
		if n > f.twice {
			c.found.add(DuplicateElements, func() Anomaly { return c.phrase.twice(r, longest[f.twice]) })
		}
		if n > f.torn {
			c.found.add(Torn, func() Anomaly { return c.phrase.torn(r, order[f.torn]) })
		}
		if n > f.aborted {
			c.found.add(G1a, func() Anomaly { return c.phrase.aborted(r, &c.appends[order[f.aborted]]) })
		}
		if n > 0 && order[n-1] != none {
			c.between(r, &c.appends[order[n-1]])
		}
	}
}

// between looks whether a list ends in the middle of a transaction.
func (c *columns) between(r *seen, last *appended) {
	if !last.final && last.txn != r.txn && c.outcome[last.txn].effective() {
		c.found.add(G1b, func() Anomaly { return c.phrase.between(r, last) })
	}
}

// earlier returns what the transaction of a row appended to the same list just before, nil
// if nothing. A list that has the row's element has that before it, or is torn; if only
// something earlier is missing, it is torn there.
func (c *columns) earlier(row uint32) *appended {
	a := &c.appends[row]
	if row == c.appendStart[a.key] || c.appends[row-1].txn != a.txn {
		return nil
	}
	return &c.appends[row-1]
}

// loose judges a list that is not the beginning of the longest one.
func (c *columns) loose(x *index, key uint32, r *seen) {
	met := make(map[elem]bool, len(r.list))
	sound := true
	for _, e := range r.list {
		row := x.row(e)
		if row != none && !met[e] {
			if a := c.earlier(row); a != nil && !met[a.elem] {
				c.found.add(Torn, func() Anomaly { return c.phrase.torn(r, row) })
			}
		}
		switch {
		case met[e]:
			c.found.add(DuplicateElements, func() Anomaly { return c.phrase.twice(r, e) })
			sound = false
		case row == none:
			c.found.add(Unexpected, func() Anomaly { return c.phrase.unexpected(r, e) })
			sound = false
		case c.outcome[c.appends[row].txn] == failed:
			c.found.add(G1a, func() Anomaly { return c.phrase.aborted(r, &c.appends[row]) })
		default:
			c.appends[row].loose = true
			c.observe(c.appends[row].txn)
		}
		met[e] = true
	}
	if row := x.row(r.list[len(r.list)-1]); row != none {
		c.between(r, &c.appends[row])
	}
	if sound {
		c.found.add(IncompatibleOrder, func() Anomaly { return c.phrase.incompatible(key, r) })
	}
}
