package workload

import (
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// A part that shows that everything works ends soon if it does, and goes on while one kind
// of operation never succeeds.
func TestPersistent(t *testing.T) {
	kinds := []check.Floor{{F: "a"}, {F: "b"}, {F: "c"}} // nobody tries c
	for _, test := range []struct {
		name        string
		broken      history.F
		until       time.Duration // when it works again
		least, most time.Duration
	}{
		{"all works", "", 0, 0, 300 * time.Millisecond},
		{"one kind works late", "b", 4 * time.Second, 4 * time.Second, 4300 * time.Millisecond},
		{"one never does", "b", time.Hour, 9 * time.Second, 10 * time.Second},
	} {
		g := TimeLimit(10*time.Second, persistent(kinds, 20, time.Second,
			Stagger(10*time.Millisecond, Cycle(endless, Concat(Once(f("a")), Once(f("b")))))))
		var now history.Time
		out := simulate(t, Simulation{Generator: g, Concurrency: 3,
			Respond: func(_ int, op history.Event) Answer {
				now = op.Time
				if op.F == test.broken && now < history.Time(test.until) {
					return Answer{Type: history.Fail, Error: "unavailable"}
				}
				return Answer{Type: history.OK}
			}})
		if d := time.Duration(now); d < test.least || d > test.most {
			t.Errorf("%s: it went on until %v, want %v to %v", test.name, d, test.least, test.most)
		}
		if len(out.Steps) < 20 {
			t.Errorf("%s: %d operations", test.name, len(out.Steps))
		}
	}
}
