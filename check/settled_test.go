package check

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/internal/sweep"
	"github.com/ordeal-dev/ordeal/models"
)

// TestSettledIsCertain: a state that is said to be certain is the only one to which any order
// of the operations leads, and such a state is found.
func TestSettledIsCertain(t *testing.T) {
	var certain, several atomic.Int64
	t.Cleanup(func() { // after the tests of all models
		if certain.Load() < 100 || several.Load() < 20 {
			t.Errorf("%d were certain, %d were not", certain.Load(), several.Load())
		}
	})
	eachTwin(t, sweep.Rounds(t, longtest.Of(300, 1_500)), func(
		t *testing.T, _ *rand.Rand, l *linearizable, _ twin, h *history.History, _ bool,
	) {
		objects, err := l.objects(h)
		if err != nil || len(objects) == 0 {
			return
		}
		m := &minimizer{planner: idlePlanner(l, engineAuto), spec: l.spec}
		all := slices.Clone(objects[0].all)
		byCall(all)
		for _, at := range quietMoments(all) {
			if at > 6 {
				break
			}
			ends := endsOf(l.spec, all[:at])
			state, ok := m.stateAfter(t.Context(), all[:at])
			if ok != (len(ends) > 0) {
				t.Fatalf("a state %t, but there are %d:\n%s", ok, len(ends), timeline(opsOf(all[:at])))
			}
			if !ok {
				continue
			}
			sure := m.endsIn(t.Context(), all[:at], state)
			if sure != (len(ends) == 1) || !l.spec.Porcupine.Equal(ends[0], state) && sure {
				t.Fatalf("%v is certain: %t, but it may be one of %v:\n%s", state, sure, ends,
					timeline(opsOf(all[:at])))
			}
			if sure {
				certain.Add(1)
			} else {
				several.Add(1)
			}
		}
	})
}

// endsOf are the states to which the orders of items lead that their times and results allow.
func endsOf(spec models.Spec, items []item) (ends []any) {
	pm := spec.Porcupine
	var walk func(state any, left []item)
	walk = func(state any, left []item) {
		if len(left) == 0 {
			if !slices.ContainsFunc(ends, func(e any) bool { return pm.Equal(e, state) }) {
				ends = append(ends, state)
			}
			return
		}
		for i, it := range left {
			if slices.ContainsFunc(left, func(o item) bool { return o.ret < it.call }) {
				continue
			}
			if ok, next := pm.Step(state, it.p.In, it.p.Out); ok {
				walk(next, slices.Delete(slices.Clone(left), i, i+1))
			}
		}
	}
	walk(pm.Init(), items)
	return ends
}

// TestNotSettled: of two writes at the same time nobody knows which was the last: what is
// told is the state before them.
func TestNotSettled(t *testing.T) {
	var b strings.Builder
	for i := range 9 {
		fmt.Fprintf(&b, "p0 write %d %d..%d\n", i+1, 20*i, 20*i+10)
	}
	h := mustTimeline(t, b.String()+`
		p0 write 10 200..210
		p1 write 11 200..210
		p1 read = 3 220..230`)
	l := Linearizable("register", Options{}).(*linearizable)
	objects, err := l.objects(h)
	if err != nil {
		t.Fatal(err)
	}
	m := &minimizer{planner: idlePlanner(l, engineAuto), spec: l.spec}
	all := slices.Clone(objects[0].all)
	byCall(all)
	s, ok := m.settle(t.Context(), all, len(all)-1)
	if !ok || s.from != 9 || s.state != "9" {
		t.Errorf("%t, %+v, want the state 9 after 9 operations", ok, s)
	}
}

// TestSettled: what only made the state is told, not shown.
func TestSettled(t *testing.T) {
	var b strings.Builder
	b.WriteString("p0 add 5 0..10\n")
	for range 12 {
		b.WriteString("p0 add 1 0..10\n")
	}
	h := mustTimeline(t, b.String()+`
		p1 add 2 20..30
		p2 add 7 35..?
		p1 read = 18 40..50`)
	r := Linearizable("counter", Options{}).Check(t.Context(), h)
	if r.Verdict != Invalid || len(r.Counterexamples) != 1 {
		t.Fatalf("%s: %s", r.Verdict, r.Reason)
	}
	cx := r.Counterexamples[0]
	const before = "14 operations, the last of them answered at 0.030 s, had left the state 19, in " +
		"whatever order they took effect."
	if len(cx.Ops) > 2 || cx.Before != before || !cx.Ops[len(cx.Ops)-1].Culprit ||
		!strings.Contains(cx.Why, "but by 0.030 s the state was 19") {
		t.Errorf("%d operations, %q, %q", len(cx.Ops), cx.Before, cx.Why)
	}
}

// TestAddedUp: the same of the bounds of a counter, where the last adds are shown, and those
// of which nobody knows what became.
func TestAddedUp(t *testing.T) {
	var b strings.Builder
	b.WriteString("p9 add 3 0..?\n")
	for range 20 {
		b.WriteString("p0 add 1 0..10\n")
	}
	h := mustTimeline(t, b.String()+`
		p1 add 2 20..30
		p1 add 2 31..36
		p2 add 4 32..34
		p1 read = 27 40..50
		p1 add 9 60..70`)
	r := Counter().Check(t.Context(), h)
	if r.Verdict != Invalid || len(r.Counterexamples) != 1 {
		t.Fatalf("%s: %s", r.Verdict, r.Reason)
	}
	cx := r.Counterexamples[0]
	const before = "20 operations, the last of them acknowledged at 0.010 s, add up to 20."
	if len(cx.Ops) != 5 || cx.Before != before || cx.Mark != "has to be at least 28" {
		t.Errorf("%d operations, %q, %q", len(cx.Ops), cx.Before, cx.Mark)
	}
}

// TestLost: lost is what was missing for longer than it could have been late.
func TestLost(t *testing.T) {
	list := func(last string) string {
		return `p0 txn [["append","x",1]] 0..10
			p3 txn [["r","x",null]] = [["r","x",[]]] ` + last
	}
	set := func(last string) string { return "p0 add 1 0..10\np0 add 2 0..10\np1 read = [2] " + last }
	for _, test := range []struct {
		checker Checker
		history string
		want    bool
	}{
		{ListAppend(TxnOptions{}), list("1009..1020"), false},
		{ListAppend(TxnOptions{}), list("1010..1020"), true},
		{SetFull(SetFullOptions{}), set("1009..1020"), false},
		{SetFull(SetFullOptions{}), set("1010..1020"), true},
		{SetFull(SetFullOptions{}), strings.Replace(set("1010..1020"), "0..10\n", "0..?\n", 1), false},
	} {
		r := test.checker.Check(t.Context(), mustTimeline(t, test.history))
		got := slices.ContainsFunc(r.Counterexamples, func(c Counterexample) bool { return c.Lost })
		if got != test.want {
			t.Errorf("%s: lost %v, want %v in\n%s", r.Name, got, test.want, test.history)
		}
	}
}
