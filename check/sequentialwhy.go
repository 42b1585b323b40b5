package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check/sequential"
	"github.com/ordeal-dev/ordeal/history"
)

// counterexample reduces a violation to operations from which none can be taken out,
// if there are not too many to try, and tells it.
func (k *sequentialKey) counterexample(c *sequential.Conflict) Counterexample {
	const most = 200 // operations to try without, each time deciding about the rest
	part, closed := k.closure(c, most)
	if closed {
		part, c = k.reduce(part, c)
	}
	cx := Counterexample{Key: k.key, Minimal: closed}
	var failed *history.Operation
	if c.Kind == sequential.Unwritten {
		failed = k.failed[k.sees(c.Ops[0])]
	}
	position := make(map[int]int) // in cx.Ops
	for _, i := range part {
		if failed != nil && failed.Index < k.from[i].Index {
			cx.Ops = append(cx.Ops, showOp(failed))
			failed = nil
		}
		o := showOp(k.from[i])
		o.Culprit = i == c.Ops[len(c.Ops)-1]
		position[i] = len(cx.Ops)
		cx.Ops = append(cx.Ops, o)
		// What is unwritten may be written later, and of a conflict alone nobody knows by
		// when all was there that it rests on.
		if op := k.from[i]; op.Type == history.OK && c.Kind != sequential.Unwritten && closed {
			cx.Until = max(cx.Until, op.Return)
		}
	}
	if failed != nil {
		cx.Ops = append(cx.Ops, showOp(failed))
	}
	cx.Why = k.why(c)
	if len(part) <= edgesMost {
		cx.Edges = k.edges(c, part, position)
	}
	return cx
}

// sees is the value that an operation saw: what it returned or replaced.
func (k *sequentialKey) sees(i int) sequential.Value {
	if k.ops[i].Kind == sequential.Read {
		return k.ops[i].Value
	}
	return k.ops[i].Old
}

// makers tells who made each value.
func (k *sequentialKey) makers() map[sequential.Value]int {
	made := make(map[sequential.Value]int)
	for i := range k.ops {
		if f := k.ops[i].Kind; f == sequential.Write || f == sequential.Swap {
			made[k.ops[i].Value] = i
		}
	}
	return made
}

// closure is a conflict with all that made what it rests on, and who saw what came of
// operations of unknown outcome. It reports whether these are no more than most;
// otherwise it is the conflict alone.
func (k *sequentialKey) closure(c *sequential.Conflict, most int) ([]int, bool) {
	made := k.makers()
	proof := make(map[sequential.Value]int) // who saw a value
	for i := range k.ops {
		switch o := &k.ops[i]; {
		case o.Kind == sequential.Read:
			proof[o.Value] = i
		case o.Kind == sequential.Swap && !o.Crashed:
			proof[o.Old] = i
		}
	}
	for i := len(k.ops) - 1; i >= 0; i-- { // crashed swaps, if there is nothing better
		if o := &k.ops[i]; o.Kind == sequential.Swap && o.Crashed {
			if _, known := proof[o.Old]; !known {
				proof[o.Old] = i
			}
		}
	}
	in := make(map[int]bool)
	pending := slices.Clone(c.Ops)
	for len(pending) > 0 && len(in) <= most {
		i := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if in[i] {
			continue
		}
		in[i] = true
		o := &k.ops[i]
		if o.Kind != sequential.Write {
			if m, found := made[k.sees(i)]; found {
				pending = append(pending, m)
			}
		}
		if p, seen := proof[o.Value]; seen && o.Crashed {
			pending = append(pending, p)
		}
	}
	if len(in) > most {
		return slices.Compact(slices.Sorted(slices.Values(c.Ops))), false
	}
	part := make([]int, 0, len(in))
	for i := range in {
		part = append(part, i)
	}
	slices.Sort(part)
	return part, true
}

// reduce takes out operations as long as what stays is a violation. What made a value
// that is seen by one that stays is not taken out: that would be a violation of its own.
func (k *sequentialKey) reduce(
	part []int, c *sequential.Conflict,
) ([]int, *sequential.Conflict) {
	made := k.makers()
	for again := true; again; {
		again = false
		for at := len(part) - 1; at >= 0; at-- {
			rest := slices.Delete(slices.Clone(part), at, at+1)
			needed := slices.ContainsFunc(rest, func(i int) bool {
				m, found := made[k.sees(i)]
				return found && m == part[at] && k.ops[i].Kind != sequential.Write
			})
			if needed {
				continue
			}
			if smaller := k.violation(rest); smaller != nil {
				part, c, again = rest, smaller, true
			}
		}
	}
	if smaller := k.violation(part); smaller != nil {
		c = smaller // shorter ways, where something between was taken out
	}
	return part, c
}

// violation decides about a part of the operations.
func (k *sequentialKey) violation(part []int) *sequential.Conflict {
	ops := make([]sequential.Op, len(part))
	for at, i := range part {
		ops[at] = k.ops[i]
	}
	got := sequential.Decide(ops)
	if got.Answer != sequential.Violation {
		return nil
	}
	c := &sequential.Conflict{Kind: got.Conflict.Kind}
	for _, at := range got.Conflict.Ops {
		c.Ops = append(c.Ops, part[at])
	}
	return c
}

// why tells a conflict.
func (k *sequentialKey) why(c *sequential.Conflict) string {
	say := func(at int) string {
		op := k.from[c.Ops[at]]
		return fmt.Sprintf("%s of process %d", showOp(op).Describe, op.Process)
	}
	switch c.Kind {
	case sequential.Unwritten:
		if k.failed[k.sees(c.Ops[0])] != nil {
			return fmt.Sprintf("The %s saw what only a write that had failed would have written.", say(0))
		}
		return fmt.Sprintf("The %s saw what nobody ever tried to write.", say(0))
	case sequential.Twice:
		return fmt.Sprintf("Both the %s and the %s replaced the same value, which was there only once.",
			say(0), say(1))
	case sequential.Circle:
		var all []string
		for at := range c.Ops {
			all = append(all, say(at))
		}
		return "Each of these replaced what the one before it made, and the first what the last made: " +
			strings.Join(all, ", ") + "."
	case sequential.Backward:
		return fmt.Sprintf("The %s came after the %s in its process, but has to stand before it: it is "+
			"of an earlier value, or wrote what that saw.", say(1), say(0))
	case sequential.Early:
		return fmt.Sprintf("The %s found the register as it was at first, after the %s, when something "+
			"had been written.", say(1), say(0))
	}
	var steps []string
	for at := 0; at+1 < len(c.Ops) && at < 10; at += 2 {
		steps = append(steps, fmt.Sprintf("the %s came before its %s", say(at),
			showOp(k.from[c.Ops[at+1]]).Describe))
	}
	if more := len(c.Ops)/2 - len(steps); more > 0 {
		steps = append(steps, fmt.Sprintf("%d more such steps lead back", more))
	}
	return "No order of the writes suits everybody: " + strings.Join(steps, "; ") + "."
}

// edges are what contradicts itself: who made what the others saw, the order of
// processes, and what follows for the values.
func (k *sequentialKey) edges(
	c *sequential.Conflict, part []int, position map[int]int,
) []Edge {
	var list []Edge
	made := k.makers()
	say := func(i int) string { return showOp(k.from[i]).Describe }
	maker := func(i int) (int, bool) { // of the value that was there when i was done
		m, found := made[k.ops[i].Value]
		at, shown := position[m]
		return at, found && shown
	}
	for _, i := range part {
		if k.ops[i].Kind == sequential.Write {
			continue
		}
		if m, found := made[k.sees(i)]; found {
			if at, shown := position[m]; shown {
				list = append(list, Edge{From: at, To: position[i], Kind: ReadFrom,
					Why: fmt.Sprintf("%s saw what %s made", say(i), say(m))})
			}
		}
	}
	if c.Kind < sequential.Backward {
		return list
	}
	for at := 0; at+1 < len(c.Ops); at += 2 {
		a, b := c.Ops[at], c.Ops[at+1]
		list = append(list, Edge{From: position[a], To: position[b], Kind: ProgramOrder,
			Why: fmt.Sprintf("process %d did %s before %s", k.from[a].Process, say(a), say(b))})
		from, one := maker(a)
		to, two := maker(b)
		switch {
		case k.ops[a].Value == k.ops[b].Value || !one:
		case k.ops[b].Value == sequential.Nil:
			list = append(list, Edge{From: position[b], To: from, Kind: WriteOrder,
				Why: fmt.Sprintf("%s found what was there at first", say(b))})
		case two:
			list = append(list, Edge{From: from, To: to, Kind: WriteOrder,
				Why: fmt.Sprintf("process %d did %s before %s", k.from[a].Process, say(a), say(b))})
		}
	}
	return list
}
