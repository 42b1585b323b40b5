package linear

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// RegisterOp is an operation of a register: a write of Value, or a read that
// returned it. A read of unknown outcome is passed over.
type RegisterOp struct {
	Span
	Value Value
	Write bool
}

// settleEvery is after how many returns a register forgets what it can: often
// enough for what it remembers to stay small, and seldom enough to cost little.
const settleEvery = 256

// Register decides registers whose written values are all different, and none Nil,
// which they hold at first. It needs a few hundred bytes per operation that is
// open at a time, as much per operation that returned while the oldest open read
// was waiting and per unseen write of unknown outcome, and one bit per value.
func Register(ops []RegisterOp) Result {
	return decideRegister(ops, settleEvery)
}

// decideRegister lets the register forget after so many returns each time.
func decideRegister(ops []RegisterOp, every int) Result {
	run := registerRun{r: newRegister(), ops: ops, every: every}
	for i := 1; i < len(ops); i++ {
		if ops[i-1].Call > ops[i].Call {
			run.order = timeline(func(i int) Span { return ops[i].Span }).sorted(len(ops))
			break
		}
	}
	res := run.all()
	if res.Answer == Violation {
		run.complete(res.Conflict)
	}
	return res
}

// registerRun hands a register the events of a whole history.
type registerRun struct {
	r     *register
	ops   []RegisterOp
	order []int
	open  returns
	// oldest is the position in order before which no read is open.
	oldest int
	// unsettled counts returns since the register was last told to forget, which is
	// after every so many.
	unsettled, every int
}

// at returns the operation at a position in the order of calls.
func (u *registerRun) at(i int) int {
	if u.order != nil {
		return u.order[i]
	}
	return i
}

func (u *registerRun) all() Result {
	for i := range u.ops {
		n := u.at(i)
		op := &u.ops[n]
		for u.open.next() < op.Call {
			if c := u.answer(i, op.Call); c != nil {
				return Result{Answer: Violation, Conflict: c}
			}
		}
		if op.Return < op.Call {
			return notApplicable(backwards(n, op.Span))
		}
		if op.Write && !u.r.callWrite(n, op.Value, op.Call) {
			return notApplicable(fmt.Sprintf("values are not unique: operation %d writes one "+
				"that was written before or that the register has at first", n))
		}
		if !op.crashed() {
			u.open.push(due{at: op.Return, op: n})
		}
	}
	for u.open.len() > 0 {
		if c := u.answer(len(u.ops), history.Never); c != nil {
			return Result{Answer: Violation, Conflict: c}
		}
	}
	return Result{Answer: Linearizable}
}

// answer takes the next return; called many operations are called by then, the
// next one at next.
func (u *registerRun) answer(called int, next history.Time) *Conflict {
	d := u.open.pop()
	op := &u.ops[d.op]
	if op.Write {
		u.r.returnWrite(d.op, op.Value, d.at)
	} else if c := u.r.returnRead(d.op, op.Value, op.Call, d.at); c != nil {
		return c
	}
	if u.unsettled++; u.unsettled >= u.every {
		u.unsettled = 0
		u.settle(called, d.at, next)
	}
	return nil
}

// settle tells the register how far back open reads reach at a time.
func (u *registerRun) settle(called int, now, next history.Time) {
	for ; u.oldest < called; u.oldest++ {
		if o := &u.ops[u.at(u.oldest)]; !o.Write && !o.crashed() && o.Return >= now {
			next = o.Call // it may have returned just now: that is only too careful
			break
		}
	}
	u.r.settle(next)
}

// complete finds the operation of a conflict that the register had forgotten: the
// first of its value that returned.
func (u *registerRun) complete(c *Conflict) {
	if c.Kind != Opposed || c.Ops[0] != noOp {
		return
	}
	v := u.ops[c.Ops[3]].Value
	for i := range u.ops {
		op := &u.ops[i]
		if op.Value == v && (c.Ops[0] == noOp || op.Return < u.ops[c.Ops[0]].Return) {
			c.Ops[0] = i
		}
	}
}
