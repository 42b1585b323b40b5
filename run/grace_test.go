package run

import (
	"testing"
	"time"
)

// A slow workload gets more time before the first fault, so that it can reach its floors.
func TestGrace(t *testing.T) {
	for _, test := range []struct {
		workload string
		rate     float64
		limit    time.Duration
		want     time.Duration
	}{
		{"cas-register", 500, time.Minute, 0},
		{"cas-register", 0, time.Minute, 0}, // as fast as it goes
		{"cas-register", 50, time.Minute, 5400 * time.Millisecond},
		{"cas-register", 5, time.Minute, 10 * time.Second},
		{"register", 50, 10 * time.Minute, 4800 * time.Millisecond},
	} {
		c := Default()
		c.Workload, c.Rate, c.TimeLimit = test.workload, test.rate, test.limit
		if got := c.grace(); got != test.want {
			t.Errorf("%s at %g/s for %v: %v, want %v", test.workload, test.rate, test.limit, got,
				test.want)
		}
		c.Faults = []string{"kill"}
		steps, err := c.steps()
		if err != nil {
			t.Fatal(err)
		}
		if first := steps[0].At; first < test.want {
			t.Errorf("%s at %g/s: the first fault comes at %v", test.workload, test.rate, first)
		}
	}
}
