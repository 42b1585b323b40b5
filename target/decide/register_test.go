package decide

import (
	"fmt"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// writeOnce decides from the clients' view alone whether each instance is a
// linearizable write-once register; values are unique. Everybody who is told a
// value is told the same one, it was proposed, and there is a moment at which it
// became decided: after the call of its proposal and of every question that was
// answered "undecided", before the return of everything that was told it.
func writeOnce(c *sim.Cluster) error {
	keys := map[string][]*sim.Op{}
	for _, op := range c.Ops() {
		keys[op.Request.Key] = append(keys[op.Request.Key], op)
	}
	for key, ops := range keys {
		if err := decidedOnce(ops); err != nil {
			return fmt.Errorf("instance %s: %w", key, err)
		}
	}
	return nil
}

func decidedOnce(ops []*sim.Op) error {
	var told *sim.Op // the first to be told a value
	for _, op := range ops {
		switch {
		case !op.Done || op.Outcome != protocol.OK || op.Value == "null":
		case told == nil:
			told = op
		case op.Value != told.Value:
			return fmt.Errorf("two decisions: %v; %v", told, op)
		case op.Return < told.Return:
			told = op
		}
	}
	if told == nil {
		return nil
	}
	proposed := false
	for _, op := range ops {
		switch {
		case op.Request.F == "propose" && op.Request.Value == told.Value:
			proposed = true
			if op.Invoke > told.Return {
				return fmt.Errorf("decided before it was proposed: %v; %v", told, op)
			}
			if op.Done && op.Outcome == protocol.Fail {
				return fmt.Errorf("its proposal has failed: %v; %v", told, op)
			}
		case op.Done && op.Outcome == protocol.OK && op.Value == "null" && op.Invoke > told.Return:
			return fmt.Errorf("decided, then undecided: %v; %v", told, op)
		}
	}
	if !proposed {
		return fmt.Errorf("nobody proposed it: %v", told)
	}
	return nil
}

// TestWriteOnce shows that the check says no to what must be refused, and yes to
// what only looks bad.
func TestWriteOnce(t *testing.T) {
	propose := func(v, d string, call, ret time.Duration) *sim.Op {
		return &sim.Op{
			Request: protocol.Request{F: "propose", Value: v}, Value: d,
			Invoke: call, Return: ret, Done: true,
		}
	}
	ask := func(d string, call, ret time.Duration) *sim.Op {
		return &sim.Op{
			Request: protocol.Request{F: "ask"}, Value: d, Invoke: call, Return: ret, Done: true,
		}
	}
	ends := func(o protocol.Outcome, op *sim.Op) *sim.Op { op.Outcome, op.Value = o, ""; return op }
	for _, c := range []struct {
		name string
		ok   bool
		ops  []*sim.Op
	}{
		{name: "empty", ok: true},
		{name: "own value", ok: true, ops: []*sim.Op{propose("1", "1", 1, 2), ask("1", 3, 4)}},
		{name: "another's value", ok: true,
			ops: []*sim.Op{propose("1", "1", 1, 4), propose("2", "1", 2, 3)}},
		{name: "two decisions", ops: []*sim.Op{propose("1", "1", 1, 4), propose("2", "2", 2, 3)}},
		{name: "two decisions, one asked for",
			ops: []*sim.Op{propose("1", "1", 1, 4), propose("2", "1", 2, 3), ask("2", 5, 6)}},
		{name: "undecided first", ok: true, ops: []*sim.Op{ask("null", 1, 2), propose("1", "1", 3, 4)}},
		{name: "undecided meanwhile", ok: true,
			ops: []*sim.Op{propose("1", "1", 1, 4), ask("null", 2, 9), ask("1", 6, 8)}},
		{name: "undecided afterwards", ops: []*sim.Op{propose("1", "1", 1, 4), ask("null", 5, 6)}},
		{name: "undecided after another was told",
			ops: []*sim.Op{propose("1", "1", 1, 9), ask("1", 2, 3), ask("null", 4, 5)}},
		{name: "unknown proposal decided late", ok: true,
			ops: []*sim.Op{ends(protocol.Unknown, propose("1", "", 1, 2)), ask("null", 3, 4),
				ask("1", 5, 6)}},
		{name: "unknown proposal never decided", ok: true,
			ops: []*sim.Op{ends(protocol.Unknown, propose("1", "", 1, 2)), propose("2", "2", 3, 4)}},
		{name: "failed proposal decided",
			ops: []*sim.Op{ends(protocol.Fail, propose("1", "", 1, 2)), ask("1", 5, 6)}},
		{name: "failed proposal not decided", ok: true,
			ops: []*sim.Op{ends(protocol.Fail, propose("1", "", 1, 2)), propose("2", "2", 5, 6)}},
		{name: "from nowhere", ops: []*sim.Op{ask("7", 1, 2)}},
		{name: "from the future", ops: []*sim.Op{ask("1", 1, 2), propose("1", "1", 3, 4)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := decidedOnce(c.ops); (err == nil) != c.ok {
				t.Errorf("decidedOnce = %v, want ok = %v", err, c.ok)
			}
		})
	}
}
