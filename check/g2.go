package check

import (
	"context"
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// G2Details are the Details of G2.
type G2Details struct {
	Groups int `json:"groups"`
	// Inserts that took effect, and those of them that had seen nothing.
	Inserts int `json:"inserts"`
	First   int `json:"first"`
	// Contended groups had two inserts at the same time.
	Contended  int `json:"contended"`
	Skewed     int `json:"skewed"`
	Unexpected int `json:"unexpected"`
}

// G2 checks groups of keys whose transactions read all keys, the predicate "there is
// something", and write one of them. Of two that take effect, the later one in any
// serial order sees what the earlier one wrote. So at most one insert of a group can
// have seen nothing; two are a write skew, the phenomenon G2 of Adya ("Weak
// consistency", 1999), which serializability forbids and snapshot isolation does
// not. It asks for no real-time order.
func G2() Checker { return CheckerFunc(g2) }

func g2(ctx context.Context, h *history.History) Result {
	const name = "g2"
	r := Result{Name: name}
	var d G2Details
	var bad violations
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, name); stop {
			return r
		}
		txns, err := parseTxns(ops)
		if err != nil {
			return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
		}
		d.group(key, txns, &bad)
	}
	r.Details = d
	r.Power = []Measure{measure("groups", d.Groups), measure("inserts", d.Inserts),
		measure("inserts that saw nothing", d.First), measure("contended groups", d.Contended)}
	bad.settle(&r, fmt.Sprintf("of %s, %s", count(d.Groups, "group", "groups"), tallies(
		tally{d.Skewed, "with a write skew"}, tally{d.Unexpected, "with unexpected reads"})),
		func() (Verdict, string) {
			if d.Contended == 0 {
				return Unknown, "nothing was shown: no two inserts into one group met"
			}
			return Valid, fmt.Sprintf("at most one insert saw nothing in each of %s",
				count(d.Groups, "group", "groups"))
		})
	return r
}

func (d *G2Details) group(key history.Key, txns []txn, bad *violations) {
	d.Groups++
	keys := groupKeys(txns)
	from := originsOf(txns)
	var first *history.Operation
	var before []*history.Operation
	contended := false
	for _, t := range txns {
		if !t.ok() {
			continue
		}
		reads := t.firstReads()
		for _, k := range keys {
			if why, ops := from.fromNowhere(t, k, reads[k]); why != "" {
				d.Unexpected++
				bad.nowhere(key, why, ops)
			}
		}
		if t.readOnly() {
			continue
		}
		d.Inserts++
		for _, other := range before {
			contended = contended || other.Call <= t.op.Return && t.op.Call <= other.Return
		}
		before = append(before, t.op)
		if !sawNothing(reads, keys) {
			continue
		}
		d.First++
		if first == nil {
			first = t.op
			continue
		}
		d.Skewed++
		bad.add(key, "",
			fmt.Sprintf("The transactions of process %d and of process %d both took effect, "+
				"and neither saw what the other had inserted (by %s and by %s).", first.Process,
				t.op.Process, seconds(first.Return), seconds(t.op.Return)), first, t.op)
	}
	if contended {
		d.Contended++
	}
}

// sawNothing reports whether all keys of the group were read and found empty.
func sawNothing(reads map[history.Key]history.Value, keys []history.Key) bool {
	for _, k := range keys {
		if v, read := reads[k]; !read || !v.IsNil() {
			return false
		}
	}
	return true
}
