package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// FencedDetails are the Details of Fenced.
type FencedDetails struct {
	Registers int `json:"registers"`
	Accepted  int `json:"accepted"`
	// Refused writes were definitely not done: a late token, or any other reason.
	Refused int `json:"refused"`
	Reads   int `json:"reads"`
	// Steps count how often the greatest token accepted so far rose.
	Steps int `json:"steps"`
	// OldAccepted writes had a smaller token than one accepted before their call,
	// OldRead reads returned one.
	OldAccepted int `json:"oldAccepted"`
	OldRead     int `json:"oldRead"`
}

// Fenced checks registers that are guarded by fencing tokens: write [token, value],
// and read -> [token, value], nil or a token with nil at first. Once a token has been
// accepted, or read, no smaller one is accepted or read any more by anybody who asks
// later. Operations on the lock that gives out the tokens may be among the others and
// are passed over. That values are what was written is a matter of the model
// "fenced-register".
func Fenced() Checker { return CheckerFunc(fenced) }

func fenced(ctx context.Context, h *history.History) Result {
	const name = "fenced"
	r := Result{Name: name}
	var d FencedDetails
	var bad violations
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, name); stop {
			return r
		}
		if err := d.register(key, ops, &bad); err != nil {
			return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
		}
	}
	r.Details = d
	r.Power = []Measure{measure("registers", d.Registers), measure("writes accepted", d.Accepted),
		measure("writes refused", d.Refused), measure("reads", d.Reads),
		measure("times the token rose", d.Steps)}
	bad.settle(&r, fmt.Sprintf("of %s and %s, %s", count(d.Accepted, "write", "writes"),
		count(d.Reads, "read", "reads"), tallies(tally{d.OldAccepted, "accepted with an old token"},
			tally{d.OldRead, "read with an old token"})),
		func() (Verdict, string) {
			if d.Steps < 2 || d.Refused == 0 {
				return Unknown, "nothing was shown: no token took the place of another, " +
					"or no write was refused"
			}
			return Valid, fmt.Sprintf("tokens never fell in %s that were accepted; %d were refused",
				count(d.Accepted, "write", "writes"), d.Refused)
		})
	return r
}

// sighting is an operation that shows a token accepted.
type sighting struct {
	op    *history.Operation
	token int64
	nil   bool // a read of nothing
}

func (d *FencedDetails) register(
	key history.Key, ops []*history.Operation, bad *violations,
) error {
	d.Registers++
	var seen []sighting
	for _, op := range ops {
		s := sighting{op: op}
		switch op.F {
		case "acquire", "release", "renew":
			continue
		case "write":
			token, isInt := tokenOf(op.In)
			if !isInt {
				return misfit(op, "a fenced register", fmt.Errorf("value: want [token, value], got %s", op.In))
			}
			s.token = token
		case "read":
			token, isInt := tokenOf(op.Out)
			s.nil = op.Out.IsNil() || isInt && op.Out.At(1).IsNil()
			if !s.nil && !isInt && op.Type == history.OK {
				return misfit(op, "a fenced register", fmt.Errorf("result: want [token, value], got %s",
					op.Out))
			}
			s.token = token
		default:
			return misfit(op, "a fenced register", fmt.Errorf("it has only write and read"))
		}
		switch {
		case op.Type == history.Fail && op.F == "write":
			d.Refused++
		case op.Type != history.OK:
		case op.F == "write":
			d.Accepted++
			seen = append(seen, s)
		default:
			d.Reads++
			seen = append(seen, s)
		}
	}
	d.order(key, seen, bad)
	return nil
}

func tokenOf(v history.Value) (int64, bool) {
	if v.Kind() != history.KindList || v.Len() != 2 {
		return 0, false
	}
	return v.At(0).AsInt()
}

// order compares each operation with those that had returned before its call.
func (d *FencedDetails) order(key history.Key, seen []sighting, bad *violations) {
	byReturn := slices.Clone(seen)
	slices.SortStableFunc(byReturn, func(a, b sighting) int {
		return cmp.Compare(a.op.Return, b.op.Return)
	})
	slices.SortStableFunc(seen, func(a, b sighting) int { return cmp.Compare(a.op.Call, b.op.Call) })
	next := 0
	var greatest *sighting
	for _, s := range seen {
		for ; next < len(byReturn) && byReturn[next].op.Return < s.op.Call; next++ {
			if b := &byReturn[next]; !b.nil && (greatest == nil || b.token > greatest.token) {
				greatest = b
				d.Steps++
			}
		}
		if greatest == nil || !s.nil && s.token >= greatest.token {
			continue
		}
		before := fmt.Sprintf("although process %d had already %s token %d by %s", greatest.op.Process,
			map[history.F]string{"write": "written with", "read": "read"}[greatest.op.F],
			greatest.token, seconds(greatest.op.Return))
		switch {
		case s.op.F == "write":
			d.OldAccepted++
			bad.add(key, "accepted with an older token",
				fmt.Sprintf("The write of process %d with token %d (called at %s) was "+
					"accepted, %s.", s.op.Process, s.token, seconds(s.op.Call), before), greatest.op, s.op)
		default:
			d.OldRead++
			bad.add(key, "shows an older token",
				fmt.Sprintf("Process %d read %s (called at %s), %s.", s.op.Process, s.op.Out,
					seconds(s.op.Call), before), greatest.op, s.op)
		}
	}
}
