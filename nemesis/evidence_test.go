package nemesis

import (
	"testing"
	"time"
)

// TestLateReplays: copies that were to come after the end of a short fault are not
// missed; those that had the time to come are.
func TestLateReplays(t *testing.T) {
	rule := Rule{
		Loss: 0.11, Replay: 0.05, ReplayMin: 300 * time.Millisecond, ReplayMax: 2 * time.Second,
	}
	for _, c := range []struct {
		name  string
		lasts time.Duration
		sum   Counters
		bit   bool
	}{
		{"shorter than the lateness", 500 * time.Millisecond, Counters{Passed: 400, Lost: 40}, true},
		{"long enough", 5 * time.Second, Counters{Passed: 400, Lost: 40}, false},
		{"long enough, and some came", 5 * time.Second,
			Counters{Passed: 400, Lost: 40, Replayed: 1}, true},
		{"short, and nothing at all", 500 * time.Millisecond, Counters{Passed: 400}, false},
	} {
		f := &netFault{lasts: c.lasts, rules: map[Link]Rule{{From: "n1", To: "n2"}: rule}}
		if e := f.observeMessages(c.sum); e.Bit != c.bit {
			t.Errorf("%s: %t, want %t: %s", c.name, e.Bit, c.bit, e.Why)
		}
	}
}
