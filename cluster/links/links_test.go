package links

import (
	"slices"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// clock is a time that passes when the test says so.
type clock struct {
	now   time.Duration
	queue []due
}

type due struct {
	at time.Duration
	do func()
}

func (c *clock) Now() time.Duration { return c.now }

func (c *clock) After(d time.Duration, f func()) { c.queue = append(c.queue, due{c.now + d, f}) }

// pass lets time pass.
func (c *clock) pass(d time.Duration) {
	for end := c.now + d; ; {
		next := -1
		for i, q := range c.queue {
			if q.at <= end && (next < 0 || q.at < c.queue[next].at) {
				next = i
			}
		}
		if next < 0 {
			c.now = end
			return
		}
		q := c.queue[next]
		c.queue = slices.Delete(c.queue, next, next+1)
		c.now = q.at
		q.do()
	}
}

var (
	ab  = nemesis.Link{From: "a", To: "b"}
	toB = nemesis.Link{From: nemesis.Clients, To: "b"}
)

// sends sends numbered messages and returns those that came, as they came.
func sends(c *clock, n *Network, count int) (came []int) {
	for i := range count {
		n.Carry(ab, 100, func() { came = append(came, i) })
		c.pass(time.Millisecond)
	}
	c.pass(10 * time.Second)
	return came
}

func rule(t *testing.T, n *Network, h nemesis.Handle, l nemesis.Link, r nemesis.Rule) {
	t.Helper()
	if err := n.SetRules(h, map[nemesis.Link]nemesis.Rule{l: r}); err != nil {
		t.Fatal(err)
	}
}

// TestCarry: what a rule does is counted exactly, for the link that has it.
func TestCarry(t *testing.T) {
	for _, tc := range []struct {
		name string
		rule nemesis.Rule
		ok   func(came []int, c nemesis.Counters) bool
	}{
		{"clean", nemesis.Rule{}, func(came []int, c nemesis.Counters) bool {
			return len(came) == 100 && slices.IsSorted(came) && c == nemesis.Counters{Passed: 100}
		}},
		{"cut", nemesis.Rule{Cut: true}, func(came []int, c nemesis.Counters) bool {
			return came == nil && c == nemesis.Counters{Dropped: 100}
		}},
		{"loss", nemesis.Rule{Loss: 0.3}, func(came []int, c nemesis.Counters) bool {
			return c.Lost > 10 && c.Lost+c.Passed == 100 && len(came) == int(c.Passed)
		}},
		{"duplicate", nemesis.Rule{Duplicate: 0.3}, func(came []int, c nemesis.Counters) bool {
			return c.Duplicated > 10 && c.Passed == 100 && len(came) == int(100+c.Duplicated)
		}},
		{"reorder", nemesis.Rule{Reorder: 0.3}, func(came []int, c nemesis.Counters) bool {
			return c.Reordered > 10 && len(came) == 100 && !slices.IsSorted(came)
		}},
		{"delay", nemesis.Rule{Delay: time.Second}, func(came []int, c nemesis.Counters) bool {
			return c.Delayed == 100 && len(came) == 100 && slices.IsSorted(came)
		}},
		{"corrupt", nemesis.Rule{Corrupt: 1}, func(came []int, c nemesis.Counters) bool {
			return came == nil && c.Corrupted == 100
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &clock{}
			n := New(c, []nemesis.Node{"a", "b"}, 1, Latency{})
			rule(t, n, "h", ab, tc.rule)
			came := sends(c, n, 100)
			if got := n.Counters()[ab]; !tc.ok(came, got) {
				t.Errorf("%d came, in order: %t; %+v", len(came), slices.IsSorted(came), got)
			}
			if got := n.Counters()[nemesis.Link{From: "b", To: "a"}]; got != (nemesis.Counters{}) {
				t.Errorf("the way back: %+v", got)
			}
		})
	}
}

// TestHandles: rules of several handles combine, and heal by themselves. A link that does
// not exist changes nothing.
func TestHandles(t *testing.T) {
	c := &clock{}
	n := New(c, []nemesis.Node{"a", "b"}, 1, Latency{})
	rule(t, n, "one", ab, nemesis.Rule{Cut: true})
	rule(t, n, "two", ab, nemesis.Rule{Cut: true})
	if err := n.SetRules("one", nil); err != nil {
		t.Fatal(err)
	}
	if n.Probe()[ab] || !n.Probe()[toB] {
		t.Errorf("%v: want a->b cut alone", n.Probe())
	}
	err := n.SetRules("two", map[nemesis.Link]nemesis.Rule{{From: "a", To: "z"}: {Cut: true}})
	if err == nil || n.Probe()[ab] {
		t.Errorf("%v, %v", err, n.Probe())
	}
	if err := n.SetRules("two", nil); err != nil || !n.Probe()[ab] {
		t.Errorf("%v, %v: want all healed", err, n.Probe())
	}
}

// TestStream: a stream waits for the end of a cut, and loses nothing.
func TestStream(t *testing.T) {
	c := &clock{}
	latency := Latency{Least: time.Millisecond, Most: 2 * time.Millisecond}
	n := New(c, []nemesis.Node{"a", "b"}, 1, latency)
	rule(t, n, "h", toB, nemesis.Rule{Cut: true})
	came := 0
	n.Stream(toB, 100, func() { came++ })
	c.pass(time.Second)
	if came != 0 || n.Counters()[toB].Dropped != 1 {
		t.Errorf("%d came over a cut, %+v", came, n.Counters()[toB])
	}
	rule(t, n, "h", toB, nemesis.Rule{})
	if came != 1 || n.Counters()[toB].Passed != 1 {
		t.Errorf("%d came, %+v", came, n.Counters()[toB])
	}
}

// TestHeldBack: what nobody overtakes comes late.
func TestHeldBack(t *testing.T) {
	c := &clock{}
	n := New(c, []nemesis.Node{"a", "b"}, 1, Latency{})
	rule(t, n, "h", ab, nemesis.Rule{Reorder: 1})
	came := 0
	n.Carry(ab, 100, func() { came++ })
	if c.pass(impair.MaxHold - 1); came != 0 {
		t.Error("it came at once")
	}
	if c.pass(2); came != 1 || n.Counters()[ab].Reordered != 0 {
		t.Errorf("%d came, %+v: nothing has overtaken it", came, n.Counters()[ab])
	}
}

// fifo is a clock for links on which everything takes equally long.
type fifo struct{ queue []func() }

func (c *fifo) Now() time.Duration { return 0 }

func (c *fifo) After(_ time.Duration, f func()) { c.queue = append(c.queue, f) }

// run does everything that is due.
func (c *fifo) run() {
	for _, f := range c.queue {
		f()
	}
	c.queue = nil
}

// TestFull: a link that is full loses what comes on top, and is as good as before when it has
// emptied itself.
func TestFull(t *testing.T) {
	for _, r := range []nemesis.Rule{{}, {Duplicate: 1}} {
		c := &fifo{}
		n := New(c, []nemesis.Node{"a", "b"}, 1, Latency{Least: time.Millisecond, Most: time.Millisecond})
		rule(t, n, "h", ab, r)
		copies := 1
		if r.Duplicate > 0 {
			copies = 2
		}
		came := 0
		for range mostFlying + 10 {
			n.Carry(ab, 100, func() { came++ })
		}
		c.run()
		got := n.Counters()[ab]
		lost := int64(mostFlying + 10 - mostFlying/copies)
		if came != mostFlying || got.Throttled != lost {
			t.Errorf("rule %+v: %d came, counted %+v; want %d to come and %d to be lost",
				r, came, got, mostFlying, lost)
		}
		came = 0
		n.Carry(ab, 100, func() { came++ })
		c.run()
		if came != copies {
			t.Errorf("rule %+v: when the link was empty again, %d came, want %d", r, came, copies)
		}
	}
}
