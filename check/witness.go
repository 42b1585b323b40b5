package check

import "time"

// FirstWitness returns when the earliest counter-example of a result, or of its parts, was
// complete: when its last operation had ended. It is false when there is none that has a
// time.
func FirstWitness(r Result) (time.Duration, bool) {
	var first int64
	seen := func(at int64) {
		if at > 0 && (first == 0 || at < first) {
			first = at
		}
	}
	for _, c := range r.Counterexamples {
		var last int64
		for _, op := range c.Ops {
			last = max(last, op.Call, op.Return)
		}
		seen(last)
	}
	if d, ok := r.Details.(AvailabilityDetails); ok && r.Verdict == Invalid {
		for _, g := range d.Gaps {
			seen(int64(g.To))
		}
	}
	for _, p := range r.Parts {
		if at, ok := FirstWitness(p); ok {
			seen(int64(at))
		}
	}
	return time.Duration(first), first > 0
}
