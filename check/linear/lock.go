package linear

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// LockOp is an operation of a lock that is free at first: an acquire, which needs
// it free, or a release, which needs it held.
type LockOp struct {
	Span
	Acquire bool
	// Owner is who acquires or releases.
	Owner int
}

// Locks decides locks of which every owner acquires and releases in turn, one call
// after the other's return, and does nothing more after an operation of unknown
// outcome. Then only the holder can be who releases, and whether the lock asks for
// that makes no difference.
//
// Nothing comes between an acquire and its release. So the two are one block, a
// tenure, and tenures relate to each other like the clusters of Register. A tenure
// without release lasts for ever. A violation is certain with the return of the
// second of two who hold the lock at one time, and the first such return is the one
// reported. A release of unknown outcome can be taken to have
// had its effect, and an acquire to have had none.
func Locks(ops []LockOp) Result {
	_, res := newLockRun(ops)
	return res
}

// LocksOrder returns a legal order of the operations, nil if Locks finds none.
func LocksOrder(ops []LockOp) []int {
	l, res := newLockRun(ops)
	if res.Answer != Linearizable {
		return nil
	}
	var order []int
	for _, b := range l.blocks {
		t := l.tenures[b.id]
		order = append(order, t.acquire)
		if t.release != noOp {
			order = append(order, t.release)
		}
	}
	return order
}

// tenure is an acquire with the release by the same owner, if there was one.
type tenure struct{ acquire, release int }

type lockRun struct {
	ops     []LockOp
	tenures []tenure
	blocks  []block
}

func newLockRun(ops []LockOp) (*lockRun, Result) {
	l := &lockRun{ops: ops}
	if why := l.pair(); why != "" {
		return l, notApplicable(why)
	}
	for i, t := range l.tenures {
		b := newBlock(i)
		switch acquire := ops[t.acquire].Span; {
		case acquire.crashed():
			continue
		case t.release == noOp:
			b.add(t.acquire, acquire)
			b.last, b.lastOp = history.Never, t.acquire
		default:
			b.add(t.acquire, acquire)
			b.add(t.release, ops[t.release].Span)
		}
		l.blocks = append(l.blocks, b)
	}
	// All are forward zones: the first two to overlap are neighbors by their first
	// return, or one of them is still there.
	slices.SortFunc(l.blocks, func(a, b block) int { return cmp.Compare(a.first, b.first) })
	if u, v := overlap(l.blocks); u != nil {
		return l, conflict(Overlap, v.first, u.firstOp, v.firstOp)
	}
	return l, Result{Answer: Linearizable}
}

// pair finds the tenures. The text is a precondition that does not hold.
func (l *lockRun) pair() (why string) {
	holding := map[int]int{} // owner to the tenure that was not released
	last := map[int]int{}    // owner to the last operation
	t := timeline(func(i int) Span { return l.ops[i].Span })
	for _, i := range t.sorted(len(l.ops)) {
		op := &l.ops[i]
		if op.Return < op.Call {
			return backwards(i, op.Span)
		}
		if before, again := last[op.Owner]; again && !l.ops[before].before(op.Span) {
			return fmt.Sprintf("the owner of operation %d calls it before operation %d has returned",
				i, before)
		}
		last[op.Owner] = i
		at, holds := holding[op.Owner]
		switch {
		case op.Acquire && holds:
			return fmt.Sprintf("the owner of operation %d acquires twice without a release", i)
		case op.Acquire:
			holding[op.Owner] = len(l.tenures)
			l.tenures = append(l.tenures, tenure{acquire: i, release: noOp})
		case !holds:
			return fmt.Sprintf("the owner of operation %d releases without having acquired", i)
		default:
			delete(holding, op.Owner)
			l.tenures[at].release = i
		}
	}
	return ""
}
