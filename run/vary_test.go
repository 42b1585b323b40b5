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
		met[fmt.Sprint(c.Rush, c.Nodes, c.Interval, "rush")] = true
	}
	if want := 3*3*2 + 3*3 + 2*3*3 + 3*3 + 2*3*3; len(met) != want {
		t.Errorf("%d things met, want %d: %v", len(met), want, met)
	}
	if a, b := Default().Vary(7), Default().Vary(7); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("one variation differs: %v, %v", a, b)
	}
}

// Some variations have few families of faults, cuts and kills always among them; each other
// family is in some of a campaign's.
func TestVaryFaults(t *testing.T) {
	c := Default()
	c.Faults = []string{
		"partition", "messages", "kill", "pause", "restart", "clients", "disk", "drift",
	}
	for seed := range uint64(20) {
		c.Seed = seed * 1000
		few, dealt := 0, map[string]int{}
		for i := range 12 {
			v := c.Vary(i)
			if err := v.Validate(); err != nil {
				t.Errorf("variation %d: %v", i, err)
			}
			if len(v.Faults) == len(c.Faults) {
				continue
			}
			few++
			for _, f := range v.Faults {
				dealt[f]++
			}
		}
		if few < 7 || dealt["partition"] != few || dealt["kill"] != few {
			t.Errorf("seed %d: %d variations with few faults: %v", seed, few, dealt)
		}
		for _, f := range c.Faults {
			if dealt[f] < 2 {
				t.Errorf("seed %d: %s is in %d variations: %v", seed, f, dealt[f], dealt)
			}
		}
	}
	c.Faults = []string{"kill", "restart"}
	for i := range 12 {
		if v := c.Vary(i); v.Noise || len(v.Faults) != 2 {
			t.Errorf("variation %d: noise %t, faults %v", i, v.Noise, v.Faults)
		}
	}
	c.Faults = []string{"all"}
	if v := c.Vary(1); fmt.Sprint(v.Faults) != "[all]" {
		t.Errorf("all became %v", v.Faults)
	}
}
