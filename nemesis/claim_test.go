package nemesis

import (
	"slices"
	"testing"
	"time"
)

// TestClaims: "all" is what the claim covers, and what lies outside is known by the
// kind of fault, however it came into the schedule.
func TestClaims(t *testing.T) {
	claimed := []string{"kill", "pause", "messages"}
	nodes := []Node{"n1", "n2", "n3"}
	for _, c := range []struct {
		names, claimed, outside []string
	}{
		{[]string{"all"}, claimed, nil},
		{[]string{"all"}, nil, []string{"clients", "kill", "messages", "partition", "pause", "restart"}},
		{[]string{"all", "clients"}, claimed, []string{"clients"}},
		{[]string{"one-way"}, claimed, []string{"partition"}},
	} {
		steps, err := Plan(PlanConfig{Seed: 1, Nodes: nodes, Duration: 5 * time.Minute,
			Faults: c.names, Claimed: c.claimed})
		if err != nil || len(steps) == 0 {
			t.Fatalf("%v: %d steps, %v", c.names, len(steps), err)
		}
		within := c.claimed
		if within == nil {
			within = []string{}
		}
		if got := Outside(steps, within); !slices.Equal(got, c.outside) {
			t.Errorf("%v of %v: outside %v, want %v", c.names, c.claimed, got, c.outside)
		}
	}
	for _, c := range []struct {
		fault string
		want  []string
	}{
		{"kill-all", nil}, {"loss", nil}, {"one-way", []string{"partition"}},
		{"echo", []string{"partition"}}, {"isolate-kill", []string{"partition"}},
		{"isolate-restart", []string{"partition"}},
		{"rolling-restart", []string{"restart"}},
		{"hold", nil}, {"restart-order", nil}, {"disk-slow", []string{"disk"}},
		{"clock-freeze", []string{"clock"}}, {"remove-member", []string{"membership"}},
	} {
		if got := Outside([]Step{{Fault: c.fault}}, claimed); !slices.Equal(got, c.want) {
			t.Errorf("%s: outside %v, want %v", c.fault, got, c.want)
		}
	}
	// What leases withstand is told by the parameters.
	for _, c := range []struct {
		step Step
		want []string
	}{
		{Step{Fault: "clock-drift", Params: Params{"rate": "1.049", "others": "0.951"}}, nil},
		{Step{Fault: "clock-drift", Params: Params{"rate": "1.2"}}, []string{"clock"}},
		{Step{Fault: "clock-drift", Params: Params{"rate": "1.01", "others": "0.5"}},
			[]string{"clock"}},
		{Step{Fault: "clock-jump", Params: Params{"clock": "wall", "offset": "1h"}}, nil},
		{Step{Fault: "clock-jump", Params: Params{"offset": "1h"}}, []string{"clock"}},
	} {
		if got := Outside([]Step{c.step}, []string{"drift"}); !slices.Equal(got, c.want) {
			t.Errorf("%+v: outside %v, want %v", c.step, got, c.want)
		}
		if got := Outside([]Step{c.step}, []string{"clock"}); len(got) > 0 {
			t.Errorf("%+v: outside %v of any clocks", c.step, got)
		}
	}
	// Every kind belongs to something that can be claimed, and every family of "all"
	// can be.
	for _, k := range Kinds() {
		for _, f := range broadFamilyOf(Step{Fault: k.Name}) {
			if !slices.ContainsFunc(Families(), func(g Family) bool { return g.Name == f }) {
				t.Errorf("kind %s is of family %q, which does not exist", k.Name, f)
			}
		}
	}
}

// TestClaimedByParameters: what of a family depends on its parameters is in plans for those
// who claim it. Jumps of the time of day are within what leases withstand, jumps of
// monotonic clocks are not.
func TestClaimedByParameters(t *testing.T) {
	for _, faults := range [][]string{{"all"}, {"drift"}} {
		kinds := map[string]int{}
		for seed := range uint64(20) {
			steps, err := Plan(PlanConfig{
				Seed: seed, Nodes: someNodes(5), Duration: time.Minute, Faults: faults,
				Claimed: []string{"partition", "drift"},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range steps {
				kinds[s.Fault]++
			}
			if out := Outside(steps, []string{"partition", "drift"}); out != nil {
				t.Errorf("seed %d: outside of the claim: %v", seed, out)
			}
		}
		for _, kind := range []string{"clock-jump", "clock-drift", "clock-strobe"} {
			if named := faults[0] != "all"; named && kinds[kind] == 0 {
				t.Errorf("%v: no %s: %v", faults, kind, kinds)
			}
		}
	}
}
