package txn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// world simulates a store that keeps a promise, more or less.
type world struct {
	r     *rand.Rand
	lists map[history.Key][]int64
	next  int64
}

// history draws transactions of a few sessions, runs them in a way that is drawn, too,
// and may falsify what one of them read.
func (w *world) history(txns int) *history.History {
	h := &history.History{}
	way, sessions := w.r.IntN(7), 1+w.r.IntN(3)
	free := make([]history.Time, sessions)
	now := history.Time(1)
	for i := range txns {
		p := w.r.IntN(sessions)
		now = max(now+history.Time(w.r.IntN(4)), free[p])
		op := history.Operation{Index: int64(i), F: "txn", Process: history.Process(p), Call: now}
		op.Return = now + 1 + history.Time(w.r.IntN(8))
		free[p] = op.Return + 1
		op.In = history.Steps(w.steps()...)
		switch w.r.IntN(12) {
		case 0:
			op.Type, op.Return = history.Info, history.Never
		case 1:
			op.Type = history.Fail
		default:
			op.Type = history.OK
		}
		h.Ops = append(h.Ops, op)
	}
	w.run(h, way)
	return h
}

func (w *world) steps() []history.Step {
	var steps []history.Step
	for range 1 + w.r.IntN(3) {
		s := history.Step{F: history.StepRead, Key: history.Key([]string{"x", "y"}[w.r.IntN(2)])}
		if w.r.IntN(2) == 0 {
			w.next++
			s.F, s.Value = history.StepAppend, history.Int(w.next)
		}
		steps = append(steps, s)
	}
	return steps
}

// act is a moment in the life of a transaction.
type act struct {
	at    float64
	txn   int
	begin bool
}

// run executes the transactions: way 0 and 1 one after the other within their times, 2 in
// any order, 3 on snapshots, 4 on any snapshots, others with the newest lists now and then.
func (w *world) run(h *history.History, way int) {
	w.lists = map[history.Key][]int64{}
	var acts []act
	for i := range h.Ops {
		op := &h.Ops[i]
		from, length := float64(op.Call), min(float64(op.Return-op.Call), 8)
		if way%2 == 0 && way > 0 {
			from, length = float64(op.Call)-8, length+16
		}
		a, b := from+length*w.r.Float64(), from+length*w.r.Float64()
		if way < 3 {
			a = b
		}
		acts = append(acts, act{min(a, b), i, true}, act{max(a, b), i, false})
	}
	slices.SortStableFunc(acts, func(a, b act) int {
		return int(1e6*a.at) - int(1e6*b.at)
	})
	snap := make([]map[history.Key][]int64, len(h.Ops))
	for _, a := range acts {
		if a.begin {
			snap[a.txn] = map[history.Key][]int64{}
			for k, v := range w.lists {
				snap[a.txn][k] = slices.Clone(v)
			}
		} else if way < 5 || w.r.IntN(2) == 0 {
			w.commit(&h.Ops[a.txn], snap[a.txn])
		} else {
			w.commit(&h.Ops[a.txn], w.lists)
		}
	}
	for range w.r.IntN(3) {
		w.falsify(&h.Ops[w.r.IntN(len(h.Ops))])
	}
}

// commit gives a transaction its results, and aborts it if another one was first.
func (w *world) commit(op *history.Operation, snap map[history.Key][]int64) {
	steps, _ := history.ParseSteps(op.In)
	own := map[history.Key][]int64{}
	for i, s := range steps {
		if s.F == history.StepAppend {
			n, _ := s.Value.AsInt()
			own[s.Key] = append(own[s.Key], n)
			if len(snap[s.Key]) != len(w.lists[s.Key]) && op.Type == history.OK && w.r.IntN(5) > 0 {
				op.Type = history.Fail
			}
			continue
		}
		steps[i].Value = history.Ints(slices.Concat(snap[s.Key], own[s.Key])...)
	}
	if op.Type == history.OK {
		op.Out = history.Steps(steps...)
	}
	if op.Type == history.OK || op.Type == history.Info && w.r.IntN(2) == 0 {
		for k, list := range own {
			w.lists[k] = append(w.lists[k], list...)
		}
	}
}

// falsify changes a list that a transaction read: shorter, or as it is in the end.
func (w *world) falsify(op *history.Operation) {
	if op.Type != history.OK {
		return
	}
	steps, _ := history.ParseSteps(op.Out)
	i := w.r.IntN(len(steps))
	if steps[i].F != history.StepRead {
		return
	}
	list := slices.Clone(w.lists[steps[i].Key])
	steps[i].Value = history.Ints(list[:len(list)-w.r.IntN(min(3, len(list)+1))]...)
	op.Out = history.Steps(steps...)
}

func show(h *history.History) string {
	var b strings.Builder
	for i := range h.Ops {
		op := &h.Ops[i]
		v := op.In
		if op.Type == history.OK {
			v = op.Out
		}
		fmt.Fprintf(&b, "p%d %s %d..%d %s\n", op.Process, v, op.Call, op.Return, op.Type)
	}
	return b.String()
}
