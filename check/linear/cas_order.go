package linear

import (
	"cmp"
	"math"
	"slices"
)

// order returns the legal order of everything but refusals that judge found.
func (c *casRun) order() []int {
	reads := c.readsByValue()
	var order []int
	for _, b := range c.blocks {
		for v := Value(b.id); ; {
			g := &c.groups[v]
			if g.writer != none {
				order = append(order, int(g.writer))
			}
			order = append(order, reads(v)...)
			if g.next == none {
				break
			}
			v = c.ops[g.next].Value
		}
	}
	return order
}

// readsByValue returns the reads of a value by their call.
func (c *casRun) readsByValue() func(v Value) []int {
	ends := make([]int, len(c.groups)+1)
	counted := func(op *CASOp) bool { return op.isRead() && !op.crashed() }
	for i := range c.ops {
		if op := &c.ops[i]; counted(op) {
			ends[op.Value+1]++
		}
	}
	for v := range c.groups {
		ends[v+1] += ends[v]
	}
	all := make([]int, ends[len(c.groups)])
	next := slices.Clone(ends)
	for _, i := range c.timeline().sorted(len(c.ops)) {
		if op := &c.ops[i]; counted(op) {
			all[next[op.Value]] = i
			next[op.Value]++
		}
	}
	return func(v Value) []int { return all[ends[v]:ends[v+1]] }
}

func (c *casRun) timeline() timeline { return func(i int) Span { return c.ops[i].Span } }

// held is where in an order a value is there: after at least from and less than to
// operations.
type held struct{ from, to int }

// holds says of every value where it is held.
func (c *casRun) holds(order []int) []held {
	spans := make([]held, len(c.groups))
	for v := range spans {
		spans[v] = held{from: math.MaxInt, to: math.MaxInt}
	}
	now := Nil
	spans[now].from = 0
	for i, n := range order {
		if op := &c.ops[n]; !op.isRead() {
			spans[now].to = i + 1
			now = op.Value
			spans[now].from = i + 1
		}
	}
	return spans
}

// refusal is a refused swap and how many operations of the order stand before it.
type refusal struct{ op, place int }

// withRefusals puts the refusals into an order, each as early as real time allows
// and its value is not held. Earlier is never worse for those behind it, so this
// order has room for all of them if it is found here.
func (c *casRun) withRefusals(order []int) ([]int, Result) {
	if c.refusals == 0 {
		return order, Result{Answer: Linearizable}
	}
	lowest, highest := c.rooms(order)
	spans := c.holds(order)
	var placed []refusal
	var open returns // the refusals that were placed, op being the index in placed
	floor := 0
	for _, i := range c.timeline().sorted(len(c.ops)) {
		op := &c.ops[i]
		if op.Kind != CASRefused || op.crashed() {
			continue
		}
		for open.next() < op.Call {
			floor = max(floor, placed[open.pop().op].place)
		}
		p := max(floor, int(lowest[i]))
		if s := spans[op.Old]; s.from <= p && p < s.to {
			p = s.to
		}
		if p > int(highest[i]) {
			return nil, notApplicable("a refused compare-and-set told only what it did not " +
				"find, and the order found for the others has no place for it")
		}
		open.push(due{op.Return, len(placed)})
		placed = append(placed, refusal{i, p})
	}
	slices.SortStableFunc(placed, func(a, b refusal) int { return cmp.Compare(a.place, b.place) })
	merged := make([]int, 0, len(order)+len(placed))
	for i := 0; i <= len(order); i++ {
		for len(placed) > 0 && placed[0].place == i {
			merged = append(merged, placed[0].op)
			placed = placed[1:]
		}
		if i < len(order) {
			merged = append(merged, order[i])
		}
	}
	return merged, Result{Answer: Linearizable}
}

// rooms returns, for every refusal, how many operations of the order stand before
// it at least and at most.
func (c *casRun) rooms(order []int) (lowest, highest []int32) {
	var refused []int
	for i := range c.ops {
		if c.ops[i].Kind == CASRefused && !c.ops[i].crashed() {
			refused = append(refused, i)
		}
	}
	lowest, highest = make([]int32, len(c.ops)), make([]int32, len(c.ops))
	position := make([]int32, len(c.ops))
	for i, n := range order {
		position[n] = int32(i)
	}
	byReturn := func(a, b int) int { return cmp.Compare(c.ops[a].Return, c.ops[b].Return) }
	byCall := func(a, b int) int { return cmp.Compare(c.ops[a].Call, c.ops[b].Call) }

	others := slices.Clone(order)
	slices.SortFunc(others, byReturn)
	slices.SortFunc(refused, byCall)
	least := int32(0)
	for _, i := range refused {
		for len(others) > 0 && c.ops[others[0]].before(c.ops[i].Span) {
			least = max(least, position[others[0]]+1)
			others = others[1:]
		}
		lowest[i] = least
	}

	others = slices.Clone(order)
	slices.SortFunc(others, byCall)
	slices.SortFunc(refused, byReturn)
	most := int32(len(order))
	for _, i := range slices.Backward(refused) {
		for n := len(others); n > 0 && c.ops[i].before(c.ops[others[n-1]].Span); n-- {
			most = min(most, position[others[n-1]])
			others = others[:n-1]
		}
		highest[i] = most
	}
	return lowest, highest
}
