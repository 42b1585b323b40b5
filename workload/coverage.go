package workload

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// FinalCoverage are the details of the checker that looks whether the final reads came
// to their end.
type FinalCoverage struct {
	// Used is the number of keys of the main part, Wanted how many of them were to
	// be read at the end.
	Used   int64 `json:"used"`
	Wanted int64 `json:"wanted"`
	// Unread are the keys wanted that no node returned.
	Unread []history.Key `json:"unread,omitempty"`
	// NotAsked is for how many keys each node was not asked, because the reads
	// ended early; GivenUp are the nodes (from 0) at which nothing succeeded any
	// more, so that the rest was left to the others.
	NotAsked []int64 `json:"not_asked,omitempty"`
	GivenUp  []int   `json:"given_up,omitempty"`
}

// finalMark is what stands between the prefix and the number of the keys on which the
// final phase begins: their first operation is the end of the main part.
const finalMark = "after"

// finalCoverage returns a checker that makes the verdict unknown when keys were not
// read at the end, whatever the cause: the reads tell most of what was lost, and a
// verdict must not rest on those that were never done. It needs nothing but the
// history, so that it also judges a run that was cut off.
func finalCoverage(prefix string, o Options) check.Checker {
	return check.CheckerFunc(func(ctx context.Context, h *history.History) check.Result {
		r := check.Result{Name: "final reads"}
		if ctx.Err() != nil {
			r.Verdict = check.Unknown
			r.Reason = fmt.Sprintf("stopped before the end: %v", context.Cause(ctx))
			return r
		}
		d, begun := coverage(prefix, o, h)
		r.Details = d
		r.Verdict, r.Reason = d.judge(begun)
		r.Power = []check.Measure{
			{Name: "keys read at the end", Value: float64(d.Wanted - int64(len(d.Unread)))},
		}
		return r
	})
}

// coverage compares the reads of the final phase with those that FinalReads asks for.
func coverage(prefix string, o Options, h *history.History) (d FinalCoverage, begun bool) {
	start := history.Never
	for i := range h.Ops {
		if op := &h.Ops[i]; strings.HasPrefix(string(op.Key), prefix+finalMark) {
			start, begun = min(start, op.Call), true
		}
	}
	plan := finalReads{prefix: prefix, nodes: max(1, o.Nodes), limit: max(2, o.FinalKeys)}
	var reads []*history.Operation
	for i := range h.Ops {
		op := &h.Ops[i]
		number, ok := plan.parse(op.Key)
		switch {
		case !ok:
		case op.Call < start:
			plan.seen = max(plan.seen, number+1)
		default:
			reads = append(reads, op)
		}
	}
	d.Used, d.Wanted = plan.seen, plan.count()
	threads := max(1, o.Concurrency)
	classes := min(plan.nodes, threads)
	class := func(op *history.Operation) int { return int(op.Process) % threads % classes }
	asked := make([]map[history.Key]bool, classes)
	read := map[history.Key]bool{}
	for c := range asked {
		asked[c] = map[history.Key]bool{}
	}
	for _, op := range reads {
		asked[class(op)][op.Key] = true
		read[op.Key] = read[op.Key] || op.Type == history.OK
	}
	for i := range d.Wanted {
		key := history.Key(prefix + strconv.FormatInt(plan.number(i), 10))
		if !read[key] {
			d.Unread = append(d.Unread, key)
		}
	}
	vain := inVain(reads, classes, class)
	for c := range asked {
		left := d.Wanted - int64(len(asked[c]))
		if left > 0 && vain[c] >= maxInVain {
			d.GivenUp = append(d.GivenUp, c)
			left = 0
		}
		d.NotAsked = append(d.NotAsked, left)
	}
	return d, begun
}

// inVain counts for each class how many of its reads failed in a row at the end.
func inVain(
	reads []*history.Operation, classes int, class func(*history.Operation) int,
) []int {
	vain := make([]int, classes)
	byEnd := slices.Clone(reads)
	slices.SortStableFunc(byEnd, func(a, b *history.Operation) int {
		return cmp.Compare(a.Ended, b.Ended)
	})
	for _, op := range byEnd {
		if vain[class(op)]++; op.Type == history.OK {
			vain[class(op)] = 0
		}
	}
	return vain
}

// judge says in a sentence what the coverage means.
func (d FinalCoverage) judge(begun bool) (check.Verdict, string) {
	if !begun {
		return check.Unknown, "there were no final reads"
	}
	var left int64
	for _, n := range d.NotAsked {
		left += n
	}
	nodes := int64(len(d.NotAsked))
	var faults []string
	if n := len(d.Unread); n > 0 {
		faults = append(faults, fmt.Sprintf("%d of %d keys were not read at any node (%s)",
			n, d.Wanted, someKeys(d.Unread)))
	}
	if left > 0 {
		faults = append(faults, fmt.Sprintf("%d of %d reads of a key at a node were not begun",
			left, d.Wanted*nodes))
	}
	if len(faults) > 0 {
		return check.Unknown, "not everything was read at the end: " + strings.Join(faults, ", and ")
	}
	what := fmt.Sprintf("%d keys", d.Wanted)
	if d.Wanted < d.Used {
		what = fmt.Sprintf("%d of %d keys", d.Wanted, d.Used)
	}
	if given := len(d.GivenUp); given > 0 {
		return check.Valid, fmt.Sprintf("%s were read at the end, but at %d of %d nodes "+
			"nothing succeeded any more", what, given, nodes)
	}
	return check.Valid, fmt.Sprintf("%s were read at the end, at each of %d nodes", what, nodes)
}

// someKeys names the first of many keys.
func someKeys(keys []history.Key) string {
	const most = 5
	var names []string
	for _, k := range keys[:min(most, len(keys))] {
		names = append(names, string(k))
	}
	if len(keys) > most {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}
