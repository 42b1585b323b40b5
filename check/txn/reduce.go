package txn

import (
	"context"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// reduceMost is the number of operations up to which a cycle is worth reducing.
const reduceMost = 24

// reduce looks for a smaller example of a cycle among its own operations. The graph has a
// dependency on the next or the last version only, while a list shows more than that, so
// that the shortest cycle in it may have a chord.
func (c *columns) reduce(ctx context.Context, a Anomaly) Anomaly {
	a.Minimal = len(a.Ops) <= reduceMost
	if a.Cycle == nil || !a.Minimal {
		return a
	}
	for i := 0; i < len(a.Ops); i++ {
		rest := slices.Delete(slices.Clone(a.Ops), i, i+1)
		r, err := newColumns(excerpt(c.ops, rest), 1).listAppend(ctx, Options{Keep: 1})
		if err != nil {
			return a
		}
		at := slices.IndexFunc(r.Anomalies, func(b Anomaly) bool {
			// Less is read here, and so an element may be hidden that is not.
			return b.Type == a.Type && (a.hidden || !b.hidden)
		})
		if at < 0 {
			continue
		}
		a = r.Anomalies[at]
		for j, op := range a.Ops {
			a.Ops[j] = rest[op]
		}
		for j := range a.Cycle {
			e := &a.Cycle[j]
			e.From, e.To = rest[e.From], rest[e.To]
		}
		a.Minimal, a.Culprit, i = true, rest[a.Culprit], -1
	}
	return a
}

// excerpt returns some operations, in the lists of which the elements of others are left
// out.
func excerpt(ops []history.Operation, keep []int) []history.Operation {
	var list []history.Operation
	type place struct{ key, elem string }
	own := make(map[place]bool)
	for _, i := range keep {
		steps, _ := history.ParseSteps(ops[i].In)
		for _, s := range steps {
			if s.F == history.StepAppend {
				own[place{string(s.Key), s.Value.String()}] = true
			}
		}
	}
	for _, i := range keep {
		op := ops[i]
		if op.Type == history.OK && !op.Out.IsNil() {
			steps, _ := history.ParseSteps(op.Out)
			for j, s := range steps {
				if s.F != history.StepRead {
					continue
				}
				var elems []history.Value
				for at := range s.Value.Len() {
					if e := s.Value.At(at); own[place{string(s.Key), e.String()}] {
						elems = append(elems, e)
					}
				}
				steps[j].Value = history.List(elems...)
			}
			op.Out = history.Steps(steps...)
		}
		list = append(list, op)
	}
	return list
}
