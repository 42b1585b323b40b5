package txn

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// TestCertificates: where a level holds its order can be replayed, and where it does not
// there is none.
func TestCertificates(t *testing.T) {
	r := sweep.Rand(t, 15, 16)
	w := &world{r: r}
	replayed := map[graph.Level]int{}
	for range sweep.Rounds(t, 800) {
		h := w.history(2 + r.IntN(8))
		report, err := ListAppend(t.Context(), h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		g, err := Graph(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		for l := graph.StrictSerializable; l <= graph.SnapshotIsolation; l++ {
			if report.Lattice[l] != graph.Holds {
				continue
			}
			order, ok := g.Order(l)
			if !ok {
				t.Fatalf("%s holds without an order\n%s", l, show(h))
			}
			if err := g.Verify(l, order); err != nil {
				t.Fatalf("%s: %v\n%s", l, err, show(h))
			}
			if err := Replay(h, order); err != nil {
				t.Fatalf("%s: %v\n%v\n%s", l, err, order, show(h))
			}
			replayed[l]++
		}
	}
	if len(replayed) != 7 {
		t.Errorf("replayed %v", replayed)
	}
}

// TestReplayRejects: an order in which something is not what was read is found.
func TestReplayRejects(t *testing.T) {
	h := parse(t, `
		p0 0..9 ax1
		p1 0..9 rx= ax2
		p2 0..9 rx=2,1`)
	commits := func(list ...graph.Txn) (order []graph.Event) {
		for _, i := range list {
			order = append(order, graph.CommitOf(i))
		}
		return order
	}
	if err := Replay(h, commits(1, 0, 2)); err != nil {
		t.Error(err)
	}
	for _, order := range [][]graph.Event{commits(0, 1, 2), commits(1, 2, 0), commits(2, 1, 0)} {
		if Replay(h, order) == nil {
			t.Errorf("accepted %v", order)
		}
	}
}

// change makes another history of one, of which it is known what it means for the levels.
type change struct {
	name string
	do   func(r *rand.Rand, h *history.History) (changed bool)
	// weaker says that levels may only come to hold, not that all stay as they are.
	weaker bool
}

func changes() []change {
	pick := func(r *rand.Rand, h *history.History) *history.Operation {
		return &h.Ops[r.IntN(len(h.Ops))]
	}
	return []change{
		{"an answer comes later", func(r *rand.Rand, h *history.History) bool {
			op := pick(r, h)
			last := slices.MaxFunc(h.Ops, func(a, b history.Operation) int { return int(a.Call - b.Call) })
			if op.Type != history.OK || op.Process == last.Process {
				return false
			}
			for i := range h.Ops { // nothing more of the same session
				if h.Ops[i].Process == op.Process && h.Ops[i].Call > op.Call {
					return false
				}
			}
			op.Return += history.Time(r.IntN(9))
			return true
		}, true},
		{"the answer of an append is lost", func(r *rand.Rand, h *history.History) bool {
			op := pick(r, h)
			steps, _ := history.ViewSteps(op.In)
			if op.Type != history.OK || slices.ContainsFunc(steps, func(s history.Step) bool {
				return s.F == history.StepRead
			}) {
				return false
			}
			op.Type, op.Return, op.Out = history.Info, history.Never, history.Nil()
			return true
		}, true},
		{"a reader less", func(r *rand.Rand, h *history.History) bool {
			op := pick(r, h)
			changed := op.Type == history.OK && history.ReadOnly(op.In)
			if changed {
				op.Type, op.Return, op.Out = history.Fail, op.Call+1, history.Nil()
			}
			return changed
		}, true},
		{"other names of keys and processes", func(r *rand.Rand, h *history.History) bool {
			for i := range h.Ops {
				op := &h.Ops[i]
				op.Process = 1000 - 7*op.Process
				op.In, op.Out = renamed(op.In), renamed(op.Out)
			}
			return true
		}, false},
		{"a group beside it", func(r *rand.Rand, h *history.History) bool {
			for _, op := range slices.Clone(h.Ops) {
				if op.Call%2 == 0 {
					op.Key, op.Type, op.Return = "other", history.Fail, op.Call
					h.Ops = append(h.Ops, op)
				}
			}
			return true
		}, false},
	}
}

func renamed(v history.Value) history.Value {
	steps, err := history.ParseSteps(v)
	if err != nil {
		return v
	}
	for i := range steps {
		steps[i].Key = "a long name of " + steps[i].Key
	}
	return history.Steps(steps...)
}

// TestChanges: what cannot make a history worse does not, and what changes nothing changes
// nothing.
func TestChanges(t *testing.T) {
	r := sweep.Rand(t, 17, 18)
	w := &world{r: r}
	list := changes()
	made := make([]int, len(list))
	for range sweep.Rounds(t, 3000) {
		h := w.history(2 + r.IntN(6))
		before, err := ListAppend(t.Context(), h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		was, k := show(h), r.IntN(len(list))
		if !list[k].do(r, h) {
			continue
		}
		made[k]++
		after, err := ListAppend(t.Context(), h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range graph.Levels() {
			a, b := before.Lattice[l], after.Lattice[l]
			if a != b && !list[k].weaker || a == graph.Holds && b == graph.Refuted {
				t.Fatalf("%s: %s was %v and is %v\n%s\n%s", list[k].name, l, a, b, was, show(h))
			}
		}
	}
	for k, n := range made {
		if n < 50 {
			t.Errorf("%s: only %d times", list[k].name, n)
		}
	}
}
