package check

import (
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// TestStall: a silence in which the harness itself stood still is not held against
// the system; the same silence without such an event is.
func TestStall(t *testing.T) {
	s := func(n int) history.Time { return history.Time(n) * history.Time(time.Second) }
	healthy := history.Map(history.Field{Name: "healthy", Value: history.Strings("n1", "n2")})
	read := func(p history.Process, at history.Time, ty history.Type) history.Event {
		return history.Event{Process: p, Time: at, Type: ty, F: "read"}
	}
	stall := history.Event{
		Process: history.Nemesis, Time: s(11), Type: history.Info, F: Stall,
		Value: history.Map(history.Field{Name: "from", Value: history.Int(int64(s(2)))}),
	}
	events := []history.Event{
		{Process: history.Nemesis, Time: 1, Type: history.Info, F: "topology", Value: healthy},
		read(0, 2, history.Invoke), read(0, s(1), history.OK),
		read(0, s(1)+1, history.Invoke), stall, read(0, s(11)+1, history.OK),
		read(0, s(11)+2, history.Invoke), read(0, s(12), history.OK),
	}
	for _, c := range []struct {
		name   string
		events []history.Event
		want   Verdict
	}{
		{"a stall of the harness", events, Valid},
		{"a silent system", append(events[:4:4], events[5:]...), Invalid},
	} {
		h, err := history.New(c.events...)
		if err != nil {
			t.Fatal(err)
		}
		r := Availability(AvailabilityOptions{Claimed: true}).Check(t.Context(), h)
		if r.Verdict != c.want {
			t.Errorf("%s: %s: %s", c.name, r.Verdict, r.Reason)
		}
	}
}
