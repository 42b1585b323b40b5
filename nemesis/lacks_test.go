package nemesis

import (
	"strings"
	"testing"
	"time"
)

// Without an agent on the nodes there are cuts and losses, and nothing finer.
func TestLacks(t *testing.T) {
	c := PlanConfig{
		Seed: 3, Nodes: someNodes(5), Faults: []string{"all", "clock"}, Duration: 5 * time.Minute,
		Lacks: Lacks{PowerPackets: "no agent", PowerClocks: "its clock cannot be bent"},
	}
	if _, err := Plan(c); err == nil || !strings.Contains(err.Error(), "cannot be bent") {
		t.Errorf("a family that is chosen by name and impossible: %v", err)
	}
	c.Faults = []string{"all"}
	steps, err := Plan(c)
	if err != nil {
		t.Fatal(err)
	}
	lossy := 0
	for _, s := range steps {
		if err := s.PossibleOn(c.Lacks); err != nil {
			t.Errorf("step %d: %v", s.ID, err)
		}
		if s.Fault == "messages" {
			lossy++
		}
	}
	if lossy == 0 {
		t.Error("nothing is lost, although losing is possible")
	}
	left := c.LeftOut()
	if len(left) != 1 || left[0] != "messages, echo, in whole or in part: no agent" {
		t.Errorf("left out: %q", left)
	}
	for fault, want := range map[string]bool{
		"delay": false, "echo": false, "hold": false, "rate": false, "messages": false, "loss": true,
		"partition": true, "kill": true, "clock-drift": false, "disk-slow": true,
	} {
		if got := (Step{Fault: fault}).PossibleOn(c.Lacks) == nil; got != want {
			t.Errorf("%s possible: %v, want %v", fault, got, want)
		}
	}
	all := Lacks{PowerLinks: "x", PowerClients: "x", PowerLoss: "x", PowerPackets: "x",
		PowerProcesses: "x", PowerClocks: "x", PowerDisks: "x", PowerFiles: "x", PowerCPU: "x"}
	for _, k := range Kinds() {
		if len(k.Admin) == 0 && (Step{Fault: k.Name}).PossibleOn(all) == nil {
			t.Errorf("%s needs nothing", k.Name)
		}
	}
	relays := Lacks{PowerLinks: "x", PowerLoss: "x", PowerPackets: "x"}
	if err := (Step{Fault: "clients"}).PossibleOn(relays); err != nil {
		t.Errorf("clients are cut by the links of clients alone: %v", err)
	}
	if (PlanConfig{Nodes: c.Nodes, Faults: c.Faults}).LeftOut() != nil {
		t.Error("a cluster that lacks nothing leaves something out")
	}
}

// Under libfaketime only the time of day can be bent, and not its rate: of the family drift the
// jumps are left, of the wild one nothing, whatever is drawn.
func TestLacksDurations(t *testing.T) {
	l := Lacks{PowerDurations: "only the time of day"}
	for _, c := range []struct {
		fault, clock string
		want         bool
	}{
		{"clock-jump", "wall", true}, {"clock-freeze", "wall", true}, {"clock-strobe", "wall", true},
		{"clock-jump", "both", false}, {"clock-freeze", "monotonic", false},
		{"clock-drift", "wall", false}, {"wall-drift", "", true},
	} {
		p := Params{}
		if c.clock != "" {
			p["clock"] = c.clock
		}
		if err := (Step{Fault: c.fault, Params: p}).PossibleOn(l); (err == nil) != c.want {
			t.Errorf("%s of %s: %v", c.fault, c.clock, err)
		}
	}
	plan := PlanConfig{Nodes: someNodes(5), Faults: []string{"drift"}, Duration: time.Minute, Lacks: l}
	for plan.Seed = range 20 {
		steps, err := Plan(plan)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if err := s.PossibleOn(l); err != nil {
				t.Errorf("seed %d: %v", plan.Seed, err)
			}
		}
	}
	plan.Faults = []string{"clock"}
	if _, err := Plan(plan); err == nil || !strings.Contains(err.Error(), "only the time of day") {
		t.Errorf("%v", err)
	}
}
