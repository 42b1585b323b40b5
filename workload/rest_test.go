package workload

import (
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// A group that all clients want is in vain for a while if transactions rest in their midst:
// that is no fault of the system. If none does, it is.
func TestRestsAreNoFault(t *testing.T) {
	w, err := Lookup("liveness")
	if err != nil {
		t.Fatal(err)
	}
	second := history.Time(time.Second)
	var events []history.Event
	add := func(p history.Process, at history.Time, typ history.Type) {
		events = append(events, history.Event{
			Index: int64(len(events)), Time: at, Process: p, Type: typ, F: Txn, Key: "v0",
			Value: history.List(history.List(
				history.Str("w"), history.Str("v0.a"), history.Int(int64(p)))),
		})
	}
	for p := range history.Process(4) {
		at := 2*second + second*history.Time(p)/2
		add(p, at, history.Invoke)
		add(p, at+second*2/5, history.Fail)
	}
	h, err := history.New(events...)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		rest time.Duration
		want check.Verdict
	}{{0, check.Invalid}, {500 * time.Millisecond, check.Unknown}} {
		o := Options{Available: true, Settle: time.Second, Rest: row.rest}
		for _, part := range w.Checker(o).Check(t.Context(), h).Parts {
			if part.Name == "liveness" && part.Verdict != row.want {
				t.Errorf("rests of %v: %v, %s; want %v", row.rest, part.Verdict, part.Reason, row.want)
			}
		}
	}
}

// Nor is it one that nothing goes on while all clients rest.
func TestRestsAreNoOutage(t *testing.T) {
	for _, row := range []struct{ rest, grace, want time.Duration }{
		{0, 0, 0},
		{0, time.Second, time.Second},
		{8 * time.Second, 0, 29 * time.Second},
		{time.Second, 2 * time.Second, 5 * time.Second},
	} {
		o := Options{Rest: row.rest, AvailabilityGrace: row.grace}
		if got := o.availabilityGrace(); got != row.want {
			t.Errorf("rests of %v, grace %v: %v, want %v", row.rest, row.grace, got, row.want)
		}
	}
}
