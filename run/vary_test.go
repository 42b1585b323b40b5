package run

import (
	"fmt"
	"testing"

	"github.com/ordeal-dev/ordeal/workload"
)

// Every variation can be run, with every workload, and in time everything meets everything.
func TestVary(t *testing.T) {
	met := map[string]bool{}
	for i := range 60 {
		c := Default().Vary(i)
		c.Workload = workload.All()[i%len(workload.All())].Name
		if err := c.validateWorkload(); err != nil {
			t.Errorf("variation %d: %v", i, err)
		}
		c.Workload = "register"
		if err := c.Validate(); err != nil {
			t.Errorf("variation %d: %v", i, err)
		}
		met[fmt.Sprint(c.Nodes, c.Interval, c.Keys)] = true
		met[fmt.Sprint(c.Interval, c.TxnPause)] = true
		met[fmt.Sprint(c.Noise, c.Nodes, c.Interval)] = true
		met[fmt.Sprint(c.Nodes, c.TxnPause, "nodes")] = true
	}
	if want := 3*3*2 + 3*3 + 2*3*3 + 3*3; len(met) != want {
		t.Errorf("%d things met, want %d: %v", len(met), want, met)
	}
	if a, b := Default().Vary(7), Default().Vary(7); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("one variation differs: %v, %v", a, b)
	}
}
