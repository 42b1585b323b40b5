package nemesis

import (
	"context"
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

// flight is a network of which an echo's first rules let copies through. When its second
// rules have come, what was under way still arrives; after that, rest is what is counted of
// the messages sent in each second.
type flight struct {
	*fakeCluster
	cut  time.Duration // when the second rules came
	rest Counters
}

func (n *flight) SetRules(ctx context.Context, h Handle, rules map[Link]Rule) error {
	for _, r := range rules {
		if r.Loss == 1 {
			n.cut = time.Duration(n.Now())
		}
	}
	return n.fakeCluster.SetRules(ctx, h, rules)
}

func (n *flight) Counters(context.Context) (map[Link]Counters, error) {
	c := Counters{Passed: 500, Delayed: 500, Replayed: 57}
	if since := time.Duration(n.Now()) - n.cut; n.cut > 0 {
		c = c.plus(Counters{Passed: int64(min(since/(10*time.Millisecond), 20))})
		for range since / time.Second {
			c = c.plus(n.rest)
		}
	}
	all := map[Link]Counters{}
	if time.Duration(n.Now()) > time.Second+100*time.Millisecond {
		for _, l := range peerLinks(n.nodes) {
			all[l] = c
		}
	}
	return all, nil
}

// TestEchoInFlight: messages that were under way when an echo's cut began are not held
// against it, be it that nobody sent anything afterwards, nor when it ends at once.
func TestEchoInFlight(t *testing.T) {
	for _, c := range []struct {
		name  string
		lasts time.Duration
		rest  Counters
		bit   bool
	}{
		{"nobody says anything more", 10 * time.Second, Counters{}, true},
		{"all that is new is lost", 10 * time.Second, Counters{Lost: 30}, true},
		{"all that is new passes", 10 * time.Second, Counters{Passed: 30}, false},
		{"over before the last has arrived", 4 * time.Second, Counters{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(t, 3)
				b.env.Network = &flight{fakeCluster: b.fakeCluster, rest: c.rest}
				s := b.run(t, t.Context(), Step{
					Fault: "echo", Nodes: []Node{"n1"}, At: time.Second, For: c.lasts,
					Params: Params{"after": "2s", "delay": "150ms"},
				})
				if f := s.Faults[0]; f.Bit != c.bit || !f.Injected {
					t.Errorf("%+v", f)
				}
			})
		})
	}
}
