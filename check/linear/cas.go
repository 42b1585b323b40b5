package linear

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// CASKind is what an operation of a register with compare-and-set does.
type CASKind uint8

// The operations. A compare-and-set that was refused and told what it found
// instead is a CASRead of that.
const (
	// CASRead returned Value.
	CASRead CASKind = iota
	// CASWrite wrote Value.
	CASWrite
	// CASSwap replaced Old by Value.
	CASSwap
	// CASRefused did not find Old, and that is all it told.
	CASRefused
)

// CASOp is an operation of a register with compare-and-set. Reads and refusals of
// unknown outcome are passed over.
type CASOp struct {
	Span
	Kind       CASKind
	Old, Value Value
}

// CAS decides registers with compare-and-set whose values written, by writes and
// swaps, are all different. It needs some 60 bytes per value.
//
// A swap stands right behind the operations of the value that it replaced, so the
// values that were swapped one for the other are one block with an order inside,
// and blocks relate to each other like the clusters of Register. A swap of unknown
// outcome took effect if its value was seen, by a read or by a swap that took
// effect, and can be left out otherwise.
//
// Refusals are outside of this theory. CAS finds places for them in the order that
// it found, and is not applicable if they do not fit in there.
func CAS(ops []CASOp) Result {
	c, res := newCASRun(ops)
	if res.Answer == Linearizable && c.refusals > 0 {
		_, res = c.withRefusals(c.order())
	}
	return res
}

// CASOrder returns a legal order of the operations, nil if CAS finds none.
func CASOrder(ops []CASOp) []int {
	c, res := newCASRun(ops)
	if res.Answer != Linearizable {
		return nil
	}
	order, _ := c.withRefusals(c.order())
	return order
}

// casGroup is what happened to one value.
type casGroup struct {
	// writer made the value and next replaced it.
	writer, next int32
	// by is an operation that shows that the value was there.
	by int32
	// reads are those of the value.
	reads block
}

type casRun struct {
	ops      []CASOp
	groups   []casGroup
	blocks   []block
	refusals int
}

// newCASRun decides everything but refusals.
func newCASRun(ops []CASOp) (*casRun, Result) {
	c := &casRun{ops: ops}
	if why := c.gather(); why != "" {
		return c, notApplicable(why)
	}
	c.spread()
	if res := c.link(); res.Answer == Violation {
		return c, res
	}
	return c, c.judge()
}

// isRead reports whether an operation is a read; a swap of equal values is one.
func (o *CASOp) isRead() bool {
	return o.Kind == CASRead || o.Kind == CASSwap && o.Old == o.Value
}

// gather finds writers and reads. The text is a precondition that does not hold.
func (c *casRun) gather() (why string) {
	most := Nil
	for i := range c.ops {
		most = max(most, c.ops[i].Value, c.ops[i].Old)
	}
	if !dense(most, len(c.ops)) {
		return notDense
	}
	c.groups = make([]casGroup, most+1)
	for v := range c.groups {
		c.groups[v] = casGroup{writer: none, next: none, by: none, reads: newBlock(v)}
	}
	for i := range c.ops {
		op := &c.ops[i]
		switch {
		case op.Return < op.Call:
			return backwards(i, op.Span)
		case op.Kind == CASRefused:
			if !op.crashed() {
				c.refusals++
			}
		case op.isRead():
			if !op.crashed() {
				g := &c.groups[op.Value]
				g.reads.add(i, op.Span)
				g.by = int32(g.reads.firstOp)
			}
		case op.Value == Nil || c.groups[op.Value].writer != none:
			return NotUnique(i)
		default:
			c.groups[op.Value].writer = int32(i)
		}
	}
	return ""
}

// NotUnique says in a Result of CAS why it does not apply: a value was written that had been
// before, or nil.
func NotUnique(op int) string {
	return fmt.Sprintf("values are not unique: operation %d writes one that was written before "+
		"or that the register has at first", op)
}

// spread finds the values that were certainly there.
func (c *casRun) spread() {
	for i := range c.ops {
		op := &c.ops[i]
		if op.Kind == CASSwap && !op.isRead() && !op.crashed() && c.groups[op.Old].by == none {
			c.groups[op.Old].by = int32(i)
		}
	}
	for v := range c.groups {
		// Up the chain of swaps of unknown outcome, as far as it is not known yet.
		for g := &c.groups[v]; g.by != none && g.writer != none; {
			w := &c.ops[g.writer]
			up := &c.groups[w.Old]
			if w.Kind != CASSwap || !w.crashed() || up.by != none {
				break
			}
			up.by = g.writer
			g = up
		}
	}
}

// kept reports whether a write or swap took effect or has to be placed.
func (c *casRun) kept(op *CASOp) bool {
	return !op.crashed() || c.groups[op.Value].by != none
}

// link finds who replaced each value.
func (c *casRun) link() Result {
	for v := range c.groups {
		g := &c.groups[v]
		if v != int(Nil) && g.by != none && g.writer == none {
			at := c.ops[g.by].Return
			if at == history.Never {
				at = c.shown(c.ops[g.by].Value)
				return conflict(Unfounded, at, int(g.by))
			}
			return conflict(Unwritten, at, int(g.by))
		}
	}
	for i := range c.ops {
		op := &c.ops[i]
		if op.Kind != CASSwap || op.isRead() || !c.kept(op) {
			continue
		}
		g := &c.groups[op.Old]
		if g.next != none {
			at := max(c.shown(op.Value), c.shown(c.ops[g.next].Value))
			return conflict(Twice, at, int(g.next), i)
		}
		g.next = int32(i)
	}
	return Result{Answer: Linearizable}
}

// shown is when it was certain that the writer of v took effect.
func (c *casRun) shown(v Value) history.Time {
	for {
		g := &c.groups[v]
		if g.writer != none && !c.ops[g.writer].crashed() {
			return c.ops[g.writer].Return
		}
		by := &c.ops[g.by]
		if !by.crashed() {
			return by.Return
		}
		v = by.Value // a swap of unknown outcome, whose value was seen
	}
}

// judge walks along every chain and compares the chains.
func (c *casRun) judge() Result {
	passed := 0
	for v := range c.groups {
		g := &c.groups[v]
		root := v == int(Nil)
		if !root {
			root = g.writer != none && c.ops[g.writer].Kind == CASWrite && c.kept(&c.ops[g.writer])
		}
		if !root {
			continue
		}
		n, res := c.walk(Value(v))
		if res.Answer == Violation {
			return res
		}
		passed += n
	}
	for v := range c.groups {
		g := &c.groups[v]
		if v == int(Nil) || g.writer != none && c.kept(&c.ops[g.writer]) {
			passed--
		}
	}
	if passed < 0 {
		return c.circle()
	}
	if u, v := arrange(c.blocks); u != nil {
		return c.opposed(u, v)
	}
	return Result{Answer: Linearizable}
}

// walk makes the block of the chain that begins with v and returns how many values
// it has.
func (c *casRun) walk(v Value) (n int, res Result) {
	b, l := newBlock(int(v)), newLine()
	if v == Nil {
		b.first = beginning
	}
	for {
		n++
		g := &c.groups[v]
		if g.writer != none {
			w := &c.ops[g.writer]
			if !l.admits(w.Span) {
				return n, c.inverted(int(g.writer), l.op)
			}
			l.pass(int(g.writer), w.Span)
			b.add(int(g.writer), w.Span)
		}
		if r := &g.reads; r.firstOp != noOp {
			if r.first < l.call {
				return n, c.inverted(r.firstOp, l.op)
			}
			l.pass(r.lastOp, c.ops[r.lastOp].Span)
			b.add(r.firstOp, c.ops[r.firstOp].Span)
			b.add(r.lastOp, c.ops[r.lastOp].Span)
		}
		if g.next == none {
			break
		}
		v = c.ops[g.next].Value
	}
	c.blocks = append(c.blocks, b)
	return n, Result{Answer: Linearizable}
}

func (c *casRun) inverted(later, earlier int) Result {
	return conflict(Inverted, c.latest(later, earlier), later, earlier)
}

// latest is when the last of these operations was certain to have taken effect.
func (c *casRun) latest(ops ...int) history.Time {
	at := beginning
	for _, i := range ops {
		op := &c.ops[i]
		if op.crashed() {
			at = max(at, c.shown(op.Value))
		} else {
			at = max(at, op.Return)
		}
	}
	return at
}

// circle finds a chain of swaps that ends where it began.
func (c *casRun) circle() Result {
	reached := make([]bool, len(c.groups))
	mark := func(v Value) {
		for !reached[v] {
			reached[v] = true
			if next := c.groups[v].next; next != none {
				v = c.ops[next].Value
			}
		}
	}
	for _, b := range c.blocks {
		mark(Value(b.id))
	}
	for v := range c.groups {
		g := &c.groups[v]
		if reached[v] || g.writer == none || !c.kept(&c.ops[g.writer]) {
			continue
		}
		var ops []int
		for at := Value(v); len(ops) == 0 || at != Value(v); {
			ops = append(ops, int(c.groups[at].next))
			at = c.ops[c.groups[at].next].Value
		}
		return conflict(Circle, c.latest(ops...), ops...)
	}
	panic("linear: no circle although some values are in no chain")
}

// opposed is the conflict of two blocks. It is certain when the operations are,
// and when it is that they belong to these blocks.
func (c *casRun) opposed(u, v *block) Result {
	if u.first > v.first {
		u, v = v, u
	}
	if u.first == beginning {
		return conflict(Initial, c.latest(v.firstOp, u.lastOp), v.firstOp, u.lastOp)
	}
	return conflict(Opposed, c.latest(u.firstOp, v.lastOp, v.firstOp, u.lastOp),
		u.firstOp, v.lastOp, v.firstOp, u.lastOp)
}
