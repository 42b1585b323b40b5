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
		if e := f.observeMessages(c.sum, c.sum); e.Bit != c.bit {
			t.Errorf("%s: %t, want %t: %s", c.name, e.Bit, c.bit, e.Why)
		}
	}
}

// TestEchoMet: the cut of an echo is held against the messages since it began. If another
// fault's cut left none, the copies are the evidence.
func TestEchoMet(t *testing.T) {
	before := Counters{Passed: 500, Replayed: 57}
	for _, c := range []struct {
		name string
		late Counters
		bit  bool
	}{
		{"all are lost", Counters{Lost: 300}, true},
		{"another cut left none", Counters{Dropped: 300}, true},
		{"all pass", Counters{Passed: 300}, false},
	} {
		f := &netFault{rules: map[Link]Rule{{From: "n1", To: "n2"}: {Loss: 1, Replay: 0.2}}}
		if e := f.observeMessages(before.plus(c.late), c.late); e.Bit != c.bit {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}
