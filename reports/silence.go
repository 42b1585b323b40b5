package reports

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// triesDrawn is how many of the operations that did not succeed are drawn.
const triesDrawn = 6

// silences are the times without progress for which a run is invalid, as pictures: the
// last success, some of what was tried in vain, and the next success. The checker of
// availability judges times, not operations, and shows none.
func silences(r Run) []found {
	var all []found
	var walk func(check.Result)
	walk = func(p check.Result) {
		var d check.AvailabilityDetails
		if p.Name == "availability" && p.Verdict == check.Invalid {
			if b, err := json.Marshal(p.Details); err == nil && json.Unmarshal(b, &d) == nil {
				for _, gap := range d.Gaps[:min(len(d.Gaps), 3)] {
					all = append(all, silence(r.History, gap))
				}
			}
		}
		for _, part := range p.Parts {
			walk(part)
		}
	}
	walk(r.Result)
	return all
}

func silence(h *history.History, gap check.Gap) found {
	why := gap.String()
	f := found{checker: "availability", Counterexample: check.Counterexample{
		Why: strings.ToUpper(why[:1]) + why[1:] + ".", Mark: "did not succeed",
	}}
	var before, after *history.Operation
	var tried []*history.Operation
	for i := range h.Ops {
		op := &h.Ops[i]
		switch {
		case op.Type == history.OK && op.Ended <= gap.From:
			if before == nil || op.Ended > before.Ended {
				before = op
			}
		case op.Type == history.OK && op.Ended >= gap.To:
			if after == nil || op.Ended < after.Ended {
				after = op
			}
		case op.Call >= gap.From && op.Call < gap.To:
			tried = append(tried, op)
		}
	}
	if before != nil {
		f.Ops = append(f.Ops, drawn(before, false))
	}
	for i := range min(triesDrawn, len(tried)) { // evenly
		f.Ops = append(f.Ops, drawn(tried[i*len(tried)/min(triesDrawn, len(tried))], true))
	}
	if after != nil {
		f.Ops = append(f.Ops, drawn(after, false))
	}
	return f
}

// drawn is an operation as a picture shows it: with the time at which its client gave up,
// if it did.
func drawn(op *history.Operation, culprit bool) check.Op {
	o := check.Op{
		Index: op.Index, Process: int64(op.Process), Call: int64(op.Call), Return: int64(op.Ended),
		Type: op.Type.String(), F: string(op.F), Key: string(op.Key), In: op.In.String(),
		Out: op.Out.String(), Culprit: culprit,
	}
	if op.Ended == history.Never {
		o.Return = -1
	}
	o.Describe = fmt.Sprintf("%s(%s)", op.F, plain(op.In))
	if out := plain(op.Out); op.Type == history.OK && out != "" {
		o.Describe += " = " + out
	}
	return o
}
