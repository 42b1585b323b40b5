package txn

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/weak"
	"github.com/ordeal-dev/ordeal/history"
)

// onRegisters reads transactions as parse does, but of registers: "ax1" writes 1 to x, and
// "rx=1" reads it, "rx=" what nobody wrote.
func onRegisters(t *testing.T, text string) *history.History {
	t.Helper()
	h := parse(t, text)
	translated := func(v history.Value) history.Value {
		steps, err := history.ParseSteps(v)
		if err != nil {
			t.Fatal(err)
		}
		for i := range steps {
			s := &steps[i]
			switch {
			case s.F == history.StepAppend:
				s.F = history.StepWrite
			case s.Value.Len() > 0:
				s.Value = s.Value.At(0)
			default:
				s.Value = history.Nil()
			}
		}
		return history.Steps(steps...)
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.In = translated(op.In); op.Type == history.OK {
			op.Out = translated(op.Out)
		}
	}
	return h
}

// TestRegisterLiterals tells of histories which level is broken first, and by what.
func TestRegisterLiterals(t *testing.T) {
	for _, c := range []struct {
		name, text, types string
		weakest           graph.Level
	}{
		{"information in a circle, by the second read of a key", `
			p0 0..9 rx= rx=4 ax1
			p1 0..9 rx=1 ax4`, "internal G1c", graph.ReadCommitted},
		{"the same is written twice, and read by nobody", `
			p0 0..1 ax1 ay1
			p1 2..9 ax1 ry=
			p2 10..11 ry=1`, "G-single-item-realtime", graph.StrongSnapshotIsolation},
		{"a process that goes on after an operation of unknown outcome", `
			p0 0..1 rx=1
			p0 2..info ay2
			p0 4..5 ax1`, "G1c-process", graph.StrongSessionSnapshotIsolation},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := RWRegister(t.Context(), onRegisters(t, c.text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Lattice[c.weakest] != graph.Refuted {
				t.Errorf("%s is not refuted: %v", c.weakest, r.Lattice.Refuted())
			}
			for _, l := range graph.Levels() {
				if l != c.weakest && c.weakest.Implies(l) && r.Lattice[l] != graph.Holds {
					t.Errorf("%s does not hold", l)
				}
			}
			for _, name := range strings.Fields(c.types) {
				if r.Counts[Type(name)] == 0 {
					t.Errorf("no %s among %v", name, r.Counts)
				}
			}
		})
	}
}

// TestUnknownOutcomeInASession is about what a process does after an operation of unknown
// outcome, which may take effect later: that does not come after it.
func TestUnknownOutcomeInASession(t *testing.T) {
	h := onRegisters(t, `
		p0 0..info ax1
		p0 2..3 rx=
		p1 4..5 rx=1`)
	r, err := Sessions(t.Context(), h, weak.Causal, "causal", 1)
	if err != nil {
		t.Fatal(err)
	}
	if r.Broken > 0 {
		t.Errorf("broken: %v", r.Anomalies)
	}
	// But it comes after what the process did before, and that stays before the rest.
	for _, text := range []string{`
		p0 0..1 ax1
		p0 2..info ay2
		p1 4..5 ry=2
		p1 6..7 rx=`, `
		p0 0..1 ax1
		p0 2..info ay2
		p0 4..5 rx=`} {
		h := onRegisters(t, text)
		if r, err = Sessions(t.Context(), h, weak.Causal, "causal", 1); err != nil {
			t.Fatal(err)
		}
		if r.Broken != 1 {
			t.Errorf("not broken:%s", text)
		}
	}
}

// TestResultOfAnotherCall: a completion that says that something else was written than the
// invocation is a mistake of the client, not of the system.
func TestResultOfAnotherCall(t *testing.T) {
	h := parse(t, `
		p0 0..1 ax1
		p1 2..3 rx=2`)
	h.Ops[0].Out = parse(t, "p0 0..1 ax2").Ops[0].Out
	if _, err := ListAppend(t.Context(), h, Options{}); err == nil {
		t.Error("lists: no error")
	}
	h = onRegisters(t, "p0 0..1 ax1")
	h.Ops[0].Out = onRegisters(t, "p0 0..1 ax2").Ops[0].Out
	if _, err := RWRegister(t.Context(), h, Options{}); err == nil {
		t.Error("registers: no error")
	}
}
