package check_test

import (
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// The first witness is the counter-example that was complete first, wherever it is.
func TestFirstWitness(t *testing.T) {
	example := func(times ...int64) check.Counterexample {
		var c check.Counterexample
		for i := 0; i < len(times); i += 2 {
			c.Ops = append(c.Ops, check.Op{Call: times[i], Return: times[i+1]})
		}
		return c
	}
	gap := check.Result{
		Verdict: check.Invalid,
		Details: check.AvailabilityDetails{Gaps: []check.Gap{{From: 1, To: 30}, {From: 5, To: 20}}},
	}
	for _, test := range []struct {
		name string
		in   check.Result
		want time.Duration
	}{
		{"nothing", check.Result{Verdict: check.Invalid}, 0},
		{"one never ended", check.Result{
			Counterexamples: []check.Counterexample{example(3, 9, 7, -1)},
		}, 9},
		{"of two", check.Result{
			Counterexamples: []check.Counterexample{example(3, 90), example(40, 50, 20, 60)},
		}, 60},
		{"in a part", check.Result{
			Counterexamples: []check.Counterexample{example(3, 90)},
			Parts: []check.Result{
				{}, {Parts: []check.Result{{Counterexamples: []check.Counterexample{example(1, 2)}}}},
			},
		}, 2},
		{"a gap", gap, 20},
		{"a gap that is none", check.Result{Details: gap.Details}, 0},
	} {
		got, ok := check.FirstWitness(test.in)
		if got != test.want || ok != (test.want > 0) {
			t.Errorf("%s: %v, %v, want %v", test.name, got, ok, test.want)
		}
	}
}
