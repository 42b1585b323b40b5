package rw

import (
	"context"
	"slices"
)

// windowTxns is how many transactions are looked at closely where a whole history is too
// large.
const windowTxns = 2000

// byPress returns the transactions in the order of their estimated commits.
func byPress(rank []int32) []txn {
	list := make([]txn, len(rank))
	for t, at := range rank {
		list[at] = txn(t)
	}
	return list
}

// window returns some transactions and all that they read from, ascending: what somebody
// reads from outside binds the order inside.
func (p *problem) window(list []txn) []txn {
	keep := slices.Clone(list)
	for _, t := range list {
		for _, r := range p.readsOf(t) {
			if w := p.writer[r.version]; w != nobody {
				keep = append(keep, w)
			}
		}
	}
	slices.Sort(keep)
	return slices.Compact(keep)
}

// turns looks at one part of a large history after the other, each overlapping the next,
// and returns the orders of versions that each forces: what a part forces the whole does.
// It ends at the first part that is a contradiction, and returns it.
func (p *problem) turns(ctx context.Context, d demand, press []int32) ([]turn, *source) {
	list := byPress(press)
	var turns []turn
	for from := 0; from < len(list) && ctx.Err() == nil; from += windowTxns / 2 {
		keep := p.window(list[from:min(len(list), from+windowTxns)])
		part := newProblem(p.source.only(keep))
		arcs, whole := part.certain()
		if !whole {
			continue
		}
		s, ok := part.prune(ctx, d, arcs, d.nodeRanks(part.guesses()[0]))
		if !ok {
			continue
		}
		if s.cycle {
			return nil, part.proven(ctx, s)
		}
		for _, f := range s.forced {
			first, second := keep[part.writer[f.a]], keep[part.writer[f.b]]
			if d.family != timeOrder || p.call == nil || p.ret[first] >= p.call[second] {
				turns = append(turns, turn{first, second})
			}
		}
		if from+windowTxns >= len(list) {
			break
		}
	}
	return turns, nil
}
