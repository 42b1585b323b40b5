package nemesis

import (
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// TestOrdersFail lets orders fail: they are given again, and told.
func TestOrdersFail(t *testing.T) {
	second := time.Second
	for _, test := range []struct {
		step    Step
		prepare func(*bench)
		why     string // of the evidence; the verdict is valid if it bit
		bit     bool
	}{
		{
			Step{Fault: "transfer", Nodes: []Node{"n2"}, At: second, For: second},
			func(b *bench) { b.failing["tell n1: transfer n2"] = 1 },
			"seen done: 1, the last transfer n2; failed: 1 (transfer n2: tell n1: transfer n2 does", true,
		},
		{
			Step{Fault: "transfer", At: second, For: second},
			func(b *bench) { b.leader = "" }, "nobody leads, or there is nobody else", false,
		},
		{
			Step{Fault: "transfer", Nodes: []Node{"n1"}, At: second, For: second},
			func(*bench) {}, "nobody leads, or there is nobody else", false,
		},
		{
			Step{Fault: "move", At: second, For: second},
			func(b *bench) { b.admin.shards = nil }, "nobody leads, or there is nobody else", false,
		},
		{
			Step{Fault: "remove-member", Nodes: []Node{"n2"}, At: second, For: second},
			func(b *bench) {
				b.failing["tell n1: remove-member n2"], b.failing["tell n1: add-member n2"] = 2, 3
			}, "seen done: 1, the last remove-member n2; failed: 2", true,
		},
		{
			Step{Fault: "remove-member", Nodes: []Node{"n2"}, At: second, For: second},
			func(b *bench) { b.admin.mum = true },
			"seen done: 1, the last remove-member n2; failed: 1", true,
		},
	} {
		bubble(t, func(t *testing.T) {
			b := newBench(t, 3)
			test.prepare(b)
			s := b.run(t, t.Context(), test.step)
			if f := s.Faults[0]; f.Bit != test.bit || !strings.Contains(f.Evidence.Why, test.why) {
				t.Errorf("%s: %t, %q; want %q", f.What, f.Bit, f.Evidence.Why, test.why)
			}
			if valid := s.Result().Verdict == check.Valid; valid != test.bit {
				t.Errorf("%s: %s", test.step.Fault, s.Result().Reason)
			}
			if len(b.admin.members) != 3 {
				t.Errorf("members %v", b.admin.members)
			}
		})
	}
}

// TestOrdersRefused plans and runs faults that the system cannot be told to do.
func TestOrdersRefused(t *testing.T) {
	c := PlanConfig{
		Seed: 1, Nodes: someNodes(3), Faults: []string{"admin"}, Duration: time.Minute,
		Orders: []AdminF{AdminTransfer},
	}
	for _, s := range plan(t, c) {
		if s.Fault != "transfer" {
			t.Errorf("planned %s", s.Fault)
		}
	}
	c.Faults = []string{"kill", "move"}
	want := "plan faults: move: the system cannot be told to do move"
	if _, err := Plan(c); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	b := newBench(t, 3)
	b.env.Orders = []AdminF{AdminTransfer, AdminAdd}
	_, err := NewRunner(b.env, []Step{
		{ID: 1, Fault: "transfer", For: 1}, {ID: 2, Fault: "remove-member", For: 1},
	})
	want = "step 2: remove-member: the system cannot be told to do remove-member"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
	b.env.Admin = nil
	_, err = NewRunner(b.env, []Step{{ID: 1, Fault: "transfer", For: 1}})
	if err == nil || !strings.Contains(err.Error(), "takes no orders of an operator") {
		t.Errorf("without an operator: %v", err)
	}
}

// TestRemovesAMinority leaves a majority whoever was asked for.
func TestRemovesAMinority(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 5)
		s := b.run(t, t.Context(), Step{
			Fault: "remove-member", Target: TargetAll, At: time.Second, For: time.Second,
		})
		if f := s.Faults[0]; len(f.Nodes) != 2 || f.Evidence.Facts["seen done"] != 2 {
			t.Errorf("record %+v", f)
		}
	})
}

// TestAddedForAll: a member is back when nobody counts without it any more.
func TestAddedForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.admin.behind, b.admin.until = "n3", b.start.Add(9*time.Second)
		s := b.run(t, t.Context(), Step{
			Fault: "remove-member", Nodes: []Node{"n2"}, At: time.Second, For: time.Second,
		})
		if f := s.Faults[0]; int64(f.End) < 9e9 || !f.Healed {
			t.Errorf("n3 counted without n2 for 9 s; record %+v", f)
		}
	})
}

// TestNothingRemoved: an order that was not carried out is no doubt if all nodes still count
// the member, and one if it was answered with ok or some node does not.
func TestNothingRemoved(t *testing.T) {
	second := time.Second
	for _, test := range []struct {
		name    string
		prepare func(*bench)
		idle    bool
	}{
		{"refused", func(b *bench) { b.failing["tell n1: remove-member n2"] = 1000 }, true},
		{"answered and not done", func(b *bench) { b.toothless = true }, false},
		{"a node counts without it", func(b *bench) {
			b.failing["tell n1: remove-member n2"] = 1000
			b.admin.behind, b.admin.until = "n3", b.start.Add(15*second)
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(t, 3)
				test.prepare(b)
				s := b.run(t, t.Context(), Step{
					Fault: "remove-member", Nodes: []Node{"n2"}, At: second, For: second,
				})
				if e := s.Faults[0].Evidence; e.Bit || e.Idle != test.idle {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}

// TestNothingHandedOver: the same of orders that are not taken back.
func TestNothingHandedOver(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(*bench)
		idle    bool
	}{
		{"refused", func(b *bench) { b.failing["tell n1: transfer n2"] = 1000 }, true},
		{"answered and not done", func(b *bench) { b.toothless = true }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(t, 3)
				test.prepare(b)
				s := b.run(t, t.Context(), Step{
					Fault: "transfer", Nodes: []Node{"n2"}, At: time.Second, For: 5 * time.Second,
				})
				if e := s.Faults[0].Evidence; e.Bit || e.Idle != test.idle {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}
