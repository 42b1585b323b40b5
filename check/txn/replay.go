package txn

import (
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
)

// Replay runs list-append transactions in an order, a certificate of a level as Graph's
// Order gives it, on lists that are empty at first, and fails at the first read that is not
// what the transaction would have read. It knows nothing of dependencies: beside the rules
// of time, which graph.Verify looks at, this is all that serializability and snapshot
// isolation ask for, but for the first committer that wins. Transactions that failed, or
// crashed and were never seen, take no part.
func Replay(h *history.History, order []graph.Event) error {
	read := make(map[place]bool) // what was seen at all
	for i := range h.Ops {
		eachStep(&h.Ops[i], func(s history.Step) {
			for j := range s.Value.Len() {
				read[placeOf(&h.Ops[i], s.Key, s.Value.At(j))] = true
			}
		})
	}
	lists := make(map[place][]history.Value)
	snapshots := make(map[graph.Txn]map[place][]history.Value)
	for _, e := range order {
		op := &h.Ops[e.Txn()]
		if !tookEffect(op, read) {
			continue
		}
		snapshot, begun := snapshots[e.Txn()]
		if !begun {
			snapshot = make(map[place][]history.Value)
			eachKey(op, func(k place) { snapshot[k] = lists[k] })
			snapshots[e.Txn()] = snapshot
		}
		if e.Commits() {
			if err := commit(op, snapshot, lists); err != nil {
				return fmt.Errorf("operation %d: %w", op.Index, err)
			}
			delete(snapshots, e.Txn())
		}
	}
	return nil
}

// place is a list, or an element of one.
type place struct{ group, key, elem string }

func placeOf(op *history.Operation, key history.Key, v history.Value) place {
	return place{string(op.Key), string(key), v.String()}
}

// eachStep calls f with the reads of a transaction and their results.
func eachStep(op *history.Operation, f func(history.Step)) {
	steps, _ := history.ViewSteps(op.Out)
	for _, s := range steps {
		if s.F == history.StepRead && op.Type == history.OK {
			f(s)
		}
	}
}

func eachKey(op *history.Operation, f func(place)) {
	steps, _ := history.ViewSteps(op.In)
	for _, s := range steps {
		f(place{string(op.Key), string(s.Key), ""})
	}
}

func tookEffect(op *history.Operation, read map[place]bool) bool {
	steps, _ := history.ViewSteps(op.In)
	return op.Type == history.OK || op.Type == history.Info &&
		slices.ContainsFunc(steps, func(s history.Step) bool {
			return s.F == history.StepAppend && read[placeOf(op, s.Key, s.Value)]
		})
}

// commit compares the reads of a transaction with its snapshot, and appends.
func commit(
	op *history.Operation, snapshot, lists map[place][]history.Value,
) error {
	steps, err := history.ViewSteps(op.In)
	if err != nil {
		return err
	}
	out := steps
	if op.Type == history.OK && !op.Out.IsNil() {
		out, _ = history.ViewSteps(op.Out)
	}
	for i, s := range steps {
		k := place{string(op.Key), string(s.Key), ""}
		switch {
		case s.F == history.StepAppend:
			snapshot[k] = append(slices.Clip(snapshot[k]), s.Value)
			lists[k] = append(slices.Clip(lists[k]), s.Value)
		case op.Type == history.OK && !same(out[i].Value, snapshot[k]):
			return fmt.Errorf("read %s = %s, not %v", s.Key, out[i].Value, snapshot[k])
		}
	}
	return nil
}

func same(v history.Value, list []history.Value) bool {
	if v.Len() != len(list) {
		return false
	}
	for i := range list {
		if !v.At(i).Equal(list[i]) {
			return false
		}
	}
	return true
}
