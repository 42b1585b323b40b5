package check

import (
	"cmp"
	"context"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

const snapshotsName = "snapshot-isolation"

// SnapshotIsolated checks groups of registers that transactions read and write, as
// models.MultiRegister has them, for strong snapshot isolation: each transaction reads from a
// snapshot that was taken while it went on, and of two that overlap between snapshot and
// commit and write the same register one does not commit. The key of an operation is its
// group.
//
// Values may come again and again: nothing is concluded from who may have written them. Each
// transaction has two moments, and the history of these is linearizable or it is not; see
// models.Snapshots.
func SnapshotIsolated(o Options) Checker {
	l := LinearizableSpec(models.Snapshots().Spec(), o)
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		moments := &history.History{}
		for i := range h.Ops {
			halves, err := models.Halves(h.Ops[i])
			if err != nil {
				return Result{Name: snapshotsName, Verdict: Unknown,
					Reason: misfit(&h.Ops[i], "transactions of registers", err).Error()}
			}
			moments.Ops = append(moments.Ops, halves...)
		}
		r := l.Check(ctx, moments)
		r.Name = snapshotsName
		for i := range r.Counterexamples {
			whole(&r.Counterexamples[i])
		}
		return r
	})
}

// whole puts transactions in the place of their halves in a counter-example. What is about
// moments goes: a transaction has two.
func whole(cx *Counterexample) {
	at := make(map[int64]int) // by index
	var ops []Op
	for _, half := range cx.Ops {
		i, there := at[half.Index]
		if !there {
			i = len(ops)
			at[half.Index] = i
			half.F, half.Describe = "txn", withoutHalf(half.Describe)
			ops = append(ops, half)
		}
		ops[i].Culprit = ops[i].Culprit || half.Culprit
		ops[i].Missed = ops[i].Missed || half.Missed
		ops[i].Note = cmp.Or(ops[i].Note, half.Note)
	}
	cx.Ops, cx.Edges = ops, nil
	cx.Visualization, cx.WholeVisualization = "", ""
}

// withoutHalf is the transaction of which a half is described.
func withoutHalf(describe string) string {
	return strings.TrimPrefix(strings.TrimPrefix(describe, "snapshot of "), "commit of ")
}
