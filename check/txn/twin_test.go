package txn

import (
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// dumb is a transaction as the twins see it.
type dumb struct {
	op    *history.Operation
	steps []history.Step
	optional
}

// optional says that nobody knows whether a transaction took effect.
type optional bool

func dumbs(h *history.History) []dumb {
	var list []dumb
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Type == history.Fail {
			continue
		}
		v := op.In
		if op.Type == history.OK && !op.Out.IsNil() {
			v = op.Out
		}
		steps, err := history.ParseSteps(v)
		if err != nil {
			panic(err)
		}
		list = append(list, dumb{op, steps, op.Type != history.OK})
	}
	return list
}

// state is the lists by key, as text.
type state map[history.Key]string

// run returns what a transaction appends if its reads are what it would read in a state.
func (d dumb) run(s state) (appends state, ok bool) {
	own := state{}
	for _, step := range d.steps {
		k := step.Key
		switch {
		case step.F == history.StepAppend:
			own[k] += step.Value.String() + " "
		case bool(d.optional): // nobody knows what it read
		case s[k]+own[k] != words(step.Value):
			return nil, false
		}
	}
	return own, true
}

func words(v history.Value) string {
	var b strings.Builder
	for i := range v.Len() {
		b.WriteString(v.At(i).String() + " ")
	}
	return b.String()
}

// after reports whether a has to come before b by session or time.
func after(a, b *dumb, session, time bool) bool {
	if a.op.Return == history.Never {
		return false
	}
	return time && a.op.Return < b.op.Call ||
		(session || time) && a.op.Process == b.op.Process && a.op.Index < b.op.Index
}

// blocked reports whether somebody who has not come yet has to come before b.
func blocked(list []dumb, done uint, b int, session, time bool) bool {
	for a := range list {
		if done>>a&1 == 0 && a != b && after(&list[a], &list[b], session, time) {
			return true
		}
	}
	return false
}

// required is the set of transactions that took effect for sure.
func required(list []dumb) (set uint) {
	for i, d := range list {
		if !d.optional {
			set |= 1 << i
		}
	}
	return set
}

// serializable tries all orders.
func serializable(list []dumb, session, time bool) bool {
	must := required(list)
	var place func(done uint, s state) bool
	place = func(done uint, s state) bool {
		if done&must == must {
			return true
		}
		for i := range list {
			if done>>i&1 != 0 || blocked(list, done, i, session, time) {
				continue
			}
			own, ok := list[i].run(s)
			if !ok {
				continue
			}
			next := state{}
			for k, v := range s {
				next[k] = v
			}
			for k, v := range own {
				next[k] += v
			}
			if place(done|1<<i, next) {
				return true
			}
		}
		return false
	}
	return place(0, state{})
}

// snapshots tries all orders of snapshots and commits.
func snapshots(list []dumb, session, time bool) bool {
	must := required(list)
	type open struct{ own, at state }
	var place func(begun, done uint, s state, snap map[int]open) bool
	place = func(begun, done uint, s state, snap map[int]open) bool {
		if done&must == must {
			return true
		}
		for i := range list {
			switch {
			case begun>>i&1 == 0 && !blocked(list, done, i, session, time):
				own, ok := list[i].run(s)
				if !ok {
					continue
				}
				snap[i] = open{own, s}
				if place(begun|1<<i, done, s, snap) {
					return true
				}
			case begun>>i&1 != 0 && done>>i&1 == 0:
				next, first := state{}, true
				for k, v := range s {
					next[k] = v
				}
				for k, v := range snap[i].own {
					first = first && s[k] == snap[i].at[k] // nobody else committed to it
					next[k] += v
				}
				if first && place(begun, done|1<<i, next, snap) {
					return true
				}
			}
		}
		return false
	}
	return place(0, 0, state{}, map[int]open{})
}

// truths are the levels that can be tried out.
func truths() map[graph.Level]func([]dumb) bool {
	return map[graph.Level]func([]dumb) bool{
		graph.StrictSerializable:        func(l []dumb) bool { return serializable(l, true, true) },
		graph.StrongSessionSerializable: func(l []dumb) bool { return serializable(l, true, false) },
		graph.Serializable:              func(l []dumb) bool { return serializable(l, false, false) },
		graph.StrongSnapshotIsolation:   func(l []dumb) bool { return snapshots(l, true, true) },
		graph.StrongSessionSnapshotIsolation: func(l []dumb) bool {
			return snapshots(l, true, false)
		},
		graph.SnapshotIsolation: func(l []dumb) bool { return snapshots(l, false, false) },
		graph.ReadCommitted:     committedReads,
	}
}

// TestLevelsAgainstBruteForce compares the levels with trying everything out.
func TestLevelsAgainstBruteForce(t *testing.T) {
	r := sweep.Rand(t, 11, 12)
	w := &world{r: r}
	n := sweep.Rounds(t, 1500)
	holds, undecided := map[graph.Level]int{}, 0
	for range n {
		h := w.history(2 + r.IntN(5))
		report, err := ListAppend(t.Context(), h, Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, show(h))
		}
		list := dumbs(h)
		for l, truth := range truths() {
			want := truth(list)
			if want {
				holds[l]++
			}
			switch got := report.Lattice[l]; {
			case got == graph.Undecided:
				undecided++
			case (got == graph.Holds) != want:
				t.Fatalf("%s is %v, brute force says %v\n%s%v", l, got, want, show(h), report.Anomalies)
			}
		}
		checkAnomalies(t, h, report)
	}
	for _, l := range graph.Levels() {
		if _, tried := truths()[l]; !tried {
			continue
		}
		t.Logf("%s held in %d of %d", l, holds[l], n)
		least := n / 10
		if l >= graph.SnapshotIsolation || l == graph.StrongSessionSnapshotIsolation {
			least = n / 50
		}
		if holds[l] < least || n-holds[l] < least {
			t.Errorf("%s held in %d of %d: too few of one kind to tell anything", l, holds[l], n)
		}
	}
	t.Logf("%d levels undecided", undecided)
	if undecided > n/100 {
		t.Errorf("%d of %d histories undecided", undecided, n)
	}
}

// checkAnomalies: what refutes a level is shown, and what is shown refutes it.
func checkAnomalies(t *testing.T, h *history.History, r *Report) {
	t.Helper()
	for _, l := range graph.Levels() {
		breaks := slices.ContainsFunc(r.Anomalies, func(a Anomaly) bool { return a.Breaks(l) })
		if breaks != (r.Lattice[l] == graph.Refuted) {
			t.Fatalf("%s: %v, anomalies %v\n%s", l, r.Lattice[l], r.Anomalies, show(h))
		}
	}
}

// TestExamplesStandAlone: the operations of a cycle, with lists that have only their own
// elements, are invalid by themselves, and without any of them they are not.
func TestExamplesStandAlone(t *testing.T) {
	r := sweep.Rand(t, 13, 14)
	w := &world{r: r}
	looked := 0
	for range sweep.Rounds(t, 1500) {
		h := w.history(3 + r.IntN(4))
		report, err := ListAppend(t.Context(), h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range report.Anomalies {
			if a.Cycle == nil || report.Lattice[graph.ReadCommitted] != graph.Holds {
				continue
			}
			looked++
			if types := alone(t, h, a.Ops, true); !types[a.Type] {
				t.Fatalf("%s\nalone shows %v, in\n%s", a.Why, types, show(h))
			}
			for i := range a.Ops {
				rest := slices.Delete(slices.Clone(a.Ops), i, i+1)
				if types := alone(t, h, rest, a.hidden); types[a.Type] {
					t.Fatalf("%s\nwithout %d shows %v, in\n%s", a.Why, i, types, show(h))
				}
			}
		}
	}
	if looked < 200 {
		t.Errorf("only %d examples", looked)
	}
}

// alone returns the cycles in some of the operations, apart from those with elements that
// only here nobody reads.
func alone(t *testing.T, h *history.History, ops []int, hidden bool) map[Type]bool {
	t.Helper()
	r, err := ListAppend(t.Context(), &history.History{Ops: excerpt(h.Ops, ops)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	types := map[Type]bool{}
	for _, a := range r.Anomalies {
		types[a.Type] = types[a.Type] || hidden || !a.hidden
	}
	return types
}

// TestNonsense: whatever was read, every level that is refuted has an anomaly that refutes it,
// and what is refuted for sure stays refuted with another budget.
func TestNonsense(t *testing.T) {
	r := sweep.Rand(t, 19, 20)
	w := &world{r: r}
	seen := map[Type]bool{}
	for range sweep.Rounds(t, 2000) {
		h := w.history(2 + r.IntN(6))
		for i := range h.Ops {
			op := &h.Ops[i]
			if op.Type != history.OK {
				continue
			}
			steps, _ := history.ParseSteps(op.Out)
			for j := range steps {
				if steps[j].F != history.StepRead || r.IntN(2) == 0 {
					continue
				}
				list := make([]int64, r.IntN(6))
				for k := range list {
					list[k] = w.next - int64(r.IntN(8))
				}
				steps[j].Value = history.Ints(list...)
			}
			op.Out = history.Steps(steps...)
		}
		full, err := ListAppend(t.Context(), h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		poor, err := ListAppend(t.Context(), h, Options{Budget: 5, Keep: 1})
		if err != nil {
			t.Fatal(err)
		}
		checkAnomalies(t, h, full)
		checkAnomalies(t, h, poor)
		if !slices.Equal(full.Lattice.Refuted(), poor.Lattice.Refuted()) {
			t.Fatalf("%v with a budget, %v without\n%s", full.Lattice, poor.Lattice, show(h))
		}
		for a := range full.Counts {
			seen[a] = true
		}
	}
	for _, a := range plainTypes() {
		if !seen[a] && a != CyclicVersions { // which only registers have
			t.Errorf("never saw %s", a)
		}
	}
}
