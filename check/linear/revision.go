package linear

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// RevisionOp is an operation of a register whose values have known positions: a
// revision that the system gave to each write, or the token of the lock that it
// was written under.
type RevisionOp struct {
	Span
	Write bool
	// Value is what was written or read.
	Value Value
	// Position is that of Value, or Unknown.
	Position int64
}

// Unknown is a position that nobody told. Others are greater.
const Unknown int64 = -1

// RevisionOptions refine Revisions.
type RevisionOptions struct {
	// Shared allows several values to have one position, as those have that were
	// written under one fencing token.
	Shared bool

	_ struct{} // keyed literals only
}

// Revisions decides registers with unique values where a write takes effect only
// if its position is greater than (or, if shared, not less than) that of the value
// it replaces. What a write returned and what reads say of its position have to
// agree. Nil has no position and is there before all.
//
// The positions say the order of the values. What has one position, and real time,
// is treated as in Register.
func Revisions(ops []RevisionOp, o RevisionOptions) Result {
	_, res := newRevisionRun(ops, o)
	return res
}

// RevisionsOrder returns a legal order of the operations, nil if Revisions finds
// none. Operations of unknown outcome that nobody saw are not in it.
func RevisionsOrder(ops []RevisionOp, o RevisionOptions) []int {
	r, res := newRevisionRun(ops, o)
	if res.Answer != Linearizable {
		return nil
	}
	byValue := make([][]int, len(r.groups))
	add := func(write bool) {
		for i := range ops {
			if ops[i].Write == write && r.kept(&ops[i]) {
				byValue[ops[i].Value] = append(byValue[ops[i].Value], i)
			}
		}
	}
	add(true)
	add(false)
	t := timeline(func(i int) Span { return ops[i].Span })
	var order []int
	for _, b := range r.blocks {
		of := byValue[b.id]
		reads := of
		if b.id != int(Nil) {
			reads = of[1:]
		}
		t.sort(reads)
		order = append(order, of...)
	}
	return order
}

// revisionGroup is what happened to one value.
type revisionGroup struct {
	writer   int32
	position int64
	// by is an operation that told the position.
	by    int32
	reads block
}

type revisionRun struct {
	ops    []RevisionOp
	groups []revisionGroup
	blocks []block
}

func newRevisionRun(ops []RevisionOp, o RevisionOptions) (*revisionRun, Result) {
	r := &revisionRun{ops: ops}
	res := r.gather()
	if res.Answer == Linearizable {
		res = r.block()
	}
	if res.Answer == Linearizable {
		res = r.judge(o)
	}
	return r, res
}

// kept reports whether an operation has to be placed.
func (r *revisionRun) kept(op *RevisionOp) bool {
	return !op.crashed() || op.Write && r.groups[op.Value].reads.firstOp != noOp
}

// gather finds the writer, the reads and the position of every value.
func (r *revisionRun) gather() Result {
	most := Nil
	for i := range r.ops {
		most = max(most, r.ops[i].Value)
	}
	if !dense(most, len(r.ops)) {
		return notApplicable(notDense)
	}
	r.groups = make([]revisionGroup, most+1)
	for v := range r.groups {
		r.groups[v] = revisionGroup{writer: none, position: Unknown, by: none, reads: newBlock(v)}
	}
	for i := range r.ops {
		op := &r.ops[i]
		g := &r.groups[op.Value]
		switch {
		case op.Return < op.Call:
			return notApplicable(backwards(i, op.Span))
		case op.Write && (g.writer != none || op.Value == Nil):
			return notApplicable(fmt.Sprintf("values are not unique: operation %d writes one "+
				"that was written before or that the register has at first", i))
		case op.Write:
			g.writer = int32(i)
		case op.crashed():
			continue
		default:
			g.reads.add(i, op.Span)
		}
	}
	for i := range r.ops {
		op := &r.ops[i]
		if op.Position == Unknown || op.Value == Nil || !r.kept(op) {
			continue
		}
		g := &r.groups[op.Value]
		if g.by != none && g.position != op.Position {
			return conflict(Clash, r.latest(int(g.by), i), int(g.by), i)
		}
		g.position, g.by = op.Position, int32(i)
	}
	return Result{Answer: Linearizable}
}

// latest is when the last of these operations was certain to have taken effect.
func (r *revisionRun) latest(ops ...int) (at history.Time) {
	for _, i := range ops {
		op := &r.ops[i]
		if op.crashed() {
			at = max(at, r.groups[op.Value].reads.first)
		} else {
			at = max(at, op.Return)
		}
	}
	return at
}

// block makes a block of every value.
func (r *revisionRun) block() Result {
	for v := range r.groups {
		g := &r.groups[v]
		b := newBlock(v)
		if v == int(Nil) {
			b.first = beginning
		}
		if g.reads.firstOp != noOp {
			if g.writer == none && v != int(Nil) {
				return conflict(Unwritten, g.reads.first, g.reads.firstOp)
			}
			b.add(g.reads.firstOp, r.ops[g.reads.firstOp].Span)
			b.add(g.reads.lastOp, r.ops[g.reads.lastOp].Span)
		}
		if g.writer != none {
			w := &r.ops[g.writer]
			if !r.kept(w) {
				continue
			}
			if g.position == Unknown {
				return notApplicable(fmt.Sprintf("nobody told the position of what operation %d "+
					"wrote", g.writer))
			}
			if g.reads.first < w.Call {
				return conflict(Inverted, r.latest(g.reads.firstOp), g.reads.firstOp, int(g.writer))
			}
			b.add(int(g.writer), w.Span)
		}
		if b.firstOp != noOp || b.lastOp != noOp {
			r.blocks = append(r.blocks, b)
		}
	}
	return Result{Answer: Linearizable}
}

// judge compares the blocks, in the order of their positions.
func (r *revisionRun) judge(o RevisionOptions) Result {
	position := func(b *block) int64 { return r.groups[b.id].position }
	slices.SortFunc(r.blocks, func(a, b block) int {
		return cmp.Or(cmp.Compare(position(&a), position(&b)), a.compare(&b))
	})
	if !o.Shared {
		for i := 1; i < len(r.blocks); i++ {
			u, v := &r.blocks[i-1], &r.blocks[i]
			if position(u) == position(v) && position(u) != Unknown {
				a, b := int(r.groups[u.id].by), int(r.groups[v.id].by)
				return conflict(Clash, r.latest(a, b), a, b)
			}
		}
	}
	u, v := overlap(r.blocks)
	switch {
	case u == nil:
		return Result{Answer: Linearizable}
	case u.id == int(Nil):
		return conflict(Initial, r.latest(v.firstOp, u.lastOp), v.firstOp, u.lastOp)
	case position(u) == position(v):
		return conflict(Opposed, r.latest(u.firstOp, v.lastOp, v.firstOp, u.lastOp),
			u.firstOp, v.lastOp, v.firstOp, u.lastOp)
	}
	ops := []int{v.firstOp, u.lastOp, int(r.groups[v.id].by), int(r.groups[u.id].by)}
	return conflict(Misordered, r.latest(ops...), ops...)
}
