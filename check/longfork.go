package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// LongForkDetails are the Details of LongFork.
type LongForkDetails struct {
	Groups int `json:"groups"`
	Reads  int `json:"reads"`
	// Between are the reads that saw some of the writes of their group and missed
	// others: only they can show anything.
	Between    int `json:"between"`
	Forks      int `json:"forks"`
	Unexpected int `json:"unexpected"`
}

// LongFork checks groups of keys, each written once by a transaction of its own, and
// transactions that read a whole group. Under snapshot isolation, and anything
// stronger, snapshots are taken from one order of commits: of two reads, one has
// seen all that the other has. Two reads that each saw what the other missed are a
// long fork. It asks for no real-time order.
func LongFork() Checker { return CheckerFunc(longFork) }

func longFork(ctx context.Context, h *history.History) Result {
	const name = "long-fork"
	r := Result{Name: name}
	var d LongForkDetails
	var bad violations
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, name); stop {
			return r
		}
		txns, err := parseTxns(ops)
		if err == nil {
			err = d.group(key, txns, &bad)
		}
		if err != nil {
			return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
		}
	}
	r.Details = d
	r.Power = []Measure{measure("groups", d.Groups), measure("reads", d.Reads),
		measure("reads between the writes", d.Between)}
	bad.settle(&r, fmt.Sprintf("%s of %s", tallies(tally{d.Forks, "forked"},
		tally{d.Unexpected, "unexpected"}), count(d.Reads, "read", "reads")),
		func() (Verdict, string) {
			if d.Between < 2 {
				return Unknown, "nothing was shown: fewer than two reads saw a part of a group's writes"
			}
			return Valid, fmt.Sprintf("%s fit one order of commits", count(d.Reads, "read", "reads"))
		})
	return r
}

// view is what one read saw of its group: a bit for each key that was written.
type view struct {
	op   *history.Operation
	seen []bool
	n    int
}

func (d *LongForkDetails) group(key history.Key, txns []txn, bad *violations) error {
	d.Groups++
	keys := groupKeys(txns)
	from := originsOf(txns)
	writes := make(map[history.Key]*history.Operation)
	for _, t := range txns {
		for _, s := range t.steps {
			switch {
			case s.F == history.StepRead || t.op.Type == history.Fail:
			case s.F != history.StepWrite:
				return misfit(t.op, "long-fork", fmt.Errorf("there are only reads and writes"))
			case writes[s.Key] != nil && writes[s.Key] != t.op:
				return misfit(t.op, "long-fork", fmt.Errorf("%s is written twice", s.Key))
			default:
				writes[s.Key] = t.op
			}
		}
	}
	var views []view
	for _, t := range txns {
		reads := t.firstReads()
		if !t.ok() || !t.readOnly() || len(reads) < len(keys) {
			continue
		}
		d.Reads++
		v := view{op: t.op, seen: make([]bool, len(keys))}
		odd := false
		for i, k := range keys {
			if why, ops := from.fromNowhere(t, k, reads[k]); why != "" {
				d.Unexpected++
				bad.nowhere(key, why, ops)
				odd = true
				break
			}
			if v.seen[i] = !reads[k].IsNil(); v.seen[i] {
				v.n++
			}
		}
		if !odd {
			views = append(views, v)
		}
	}
	d.order(key, keys, views, writes, bad)
	return nil
}

// order looks whether the views of a group are a chain: sorted by size, each has to
// have all that the one before has.
func (d *LongForkDetails) order(
	key history.Key, keys []history.Key, views []view,
	writes map[history.Key]*history.Operation, bad *violations,
) {
	slices.SortStableFunc(views, func(a, b view) int { return cmp.Compare(a.n, b.n) })
	for i, v := range views {
		if v.n > 0 && v.n < len(keys) {
			d.Between++
		}
		if i == 0 {
			continue
		}
		before := views[i-1]
		lost := slices.IndexFunc(keys, func(k history.Key) bool {
			at := slices.Index(keys, k)
			return before.seen[at] && !v.seen[at]
		})
		if lost < 0 {
			continue
		}
		gained := 0
		for before.seen[gained] || !v.seen[gained] {
			gained++ // there is one, because v is not the smaller one
		}
		d.Forks++
		bad.show(func() Counterexample {
			return fork(key, before.op, v.op, keys[lost], keys[gained], writes)
		})
	}
}

// fork shows two reads, of which each saw one of two writes and not the other.
func fork(
	key history.Key, one, other *history.Operation, a, b history.Key,
	writes map[history.Key]*history.Operation,
) Counterexample {
	if other.Return < one.Return {
		one, other, a, b = other, one, b, a
	}
	cx := counterexample(key, "", fmt.Sprintf("Process %s; process %s. No order of the two writes "+
		"explains both.", forked(one, a, b, writes), forked(other, b, a, writes)),
		writes[a], writes[b], one, other)
	at := func(op *history.Operation) int {
		return slices.IndexFunc(cx.Ops, func(o Op) bool { return o.Index == op.Index })
	}
	for i := range cx.Ops {
		cx.Ops[i].Culprit = false // none more than another
	}
	// But one that misses what had been acknowledged is wrong by itself.
	switch oneLate, otherLate := known(writes[b], one), known(writes[a], other); {
	case oneLate && !otherLate:
		cx.Ops[at(one)].Culprit, cx.Mark = true, "misses "+string(b)
	case otherLate && !oneLate:
		cx.Ops[at(other)].Culprit, cx.Mark = true, "misses "+string(a)
	}
	for _, r := range []struct {
		read         *history.Operation
		seen, unseen history.Key
	}{{one, a, b}, {other, b, a}} {
		cx.Edges = append(cx.Edges,
			Edge{at(writes[r.seen]), at(r.read), WR, fmt.Sprintf("process %d saw the write of %s",
				r.read.Process, r.seen)},
			Edge{at(r.read), at(writes[r.unseen]), RW, fmt.Sprintf("process %d did not see the write of "+
				"%s", r.read.Process, r.unseen)})
	}
	return cx
}

// known reports whether a write had been acknowledged before a read was called.
func known(write, read *history.Operation) bool {
	return write.Type == history.OK && write.Return < read.Call
}

// forked says the read of which process saw what of two writes.
func forked(
	read *history.Operation, seen, unseen history.Key, writes map[history.Key]*history.Operation,
) string {
	text := fmt.Sprintf("%d saw the write of %s but not that of %s, by %s", read.Process, seen,
		unseen, seconds(read.Return))
	if known(writes[unseen], read) {
		text += fmt.Sprintf(", although that had been acknowledged at %s",
			seconds(writes[unseen].Return))
	}
	return text
}
