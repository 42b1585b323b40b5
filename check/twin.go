package check

import (
	"context"
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// TwinDetails are the Details of Twin.
type TwinDetails struct {
	Groups int `json:"groups"`
	Writes int `json:"writes"`
	// Reads are the transactions that read more than one key of their group,
	// Seen those that found something.
	Reads int `json:"reads"`
	Seen  int `json:"seen"`
	// Fractured reads found different values, Unexpected ones a value that cannot
	// have been there.
	Fractured  int `json:"fractured"`
	Unexpected int `json:"unexpected"`
}

// Twin checks transactions each of which writes one value, its own, to all keys of a
// group, and transactions that read them: whoever reads several keys of a group
// finds the same value in all of them, because each write is there with all of its
// parts or with none. That is atomic visibility while the test runs, and atomic
// commitment in the reads after its end. It asks for no real-time order.
func Twin() Checker { return CheckerFunc(twinCheck) }

func twinCheck(ctx context.Context, h *history.History) Result {
	const name = "twin"
	r := Result{Name: name}
	var d TwinDetails
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
	r.Power = []Measure{measure("groups", d.Groups), measure("writes", d.Writes),
		measure("reads of several keys", d.Reads), measure("reads that found a value", d.Seen)}
	bad.settle(&r, fmt.Sprintf("%s of %s", tallies(tally{d.Fractured, "fractured"},
		tally{d.Unexpected, "unexpected"}), count(d.Reads, "read", "reads")),
		func() (Verdict, string) {
			if d.Seen == 0 {
				return Unknown, "nothing was shown: no transaction read a twin that had been written"
			}
			return Valid, fmt.Sprintf("%s found both of every twin, or neither",
				count(d.Reads, "read", "reads"))
		})
	return r
}

func (d *TwinDetails) group(key history.Key, txns []txn, bad *violations) {
	d.Groups++
	from := originsOf(txns)
	for _, t := range txns {
		if !t.readOnly() {
			d.Writes++
			continue
		}
		if !t.ok() {
			continue
		}
		d.read(key, t, from, bad)
	}
}

// read judges one transaction that only reads.
func (d *TwinDetails) read(key history.Key, t txn, from origins, bad *violations) {
	if len(t.steps) > 1 {
		d.Reads++
	}
	for i, s := range t.steps {
		if why, ops := from.fromNowhere(t, s.Key, s.Value); why != "" {
			d.Unexpected++
			bad.add(key, "nobody wrote it by then", why, ops...)
			return
		}
		if i == 0 || s.Value.Equal(t.steps[0].Value) {
			continue
		}
		first := t.steps[0]
		d.Fractured++
		bad.add(key, "sees only a part",
			fmt.Sprintf("Process %d read %s = %s but %s = %s in one transaction, at %s: "+
				"only a part of a transaction that wrote both.", t.op.Process, first.Key, first.Value,
				s.Key, s.Value, seconds(t.op.Return)), t.parts(from)...)
		return
	}
	if len(t.steps) > 1 && !t.steps[0].Value.IsNil() {
		d.Seen++
	}
}

// parts are the transactions that wrote what t read, and t.
func (t txn) parts(from origins) []*history.Operation {
	var ops []*history.Operation
	seen := map[*history.Operation]bool{}
	for _, s := range t.steps {
		if w := from.first[written{s.Key, s.Value.String()}]; w != nil && !seen[w] {
			seen[w] = true
			ops = append(ops, w)
		}
	}
	return append(ops, t.op)
}
