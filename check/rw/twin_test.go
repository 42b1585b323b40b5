package rw

import (
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/weak"
	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

func indexOf(t *testing.T, txns []dumbTxn) *weak.Index {
	t.Helper()
	x, err := weak.NewIndex(historyOf(txns))
	if err != nil {
		t.Fatalf("%v\n%s", err, show(txns))
	}
	return x
}

// TestTwin compares the levels with brute force over random histories, and looks at the
// certificates and counterexamples.
func TestTwin(t *testing.T) {
	r := sweep.Rand(t, 7, 2026)
	n := sweep.Rounds(t, longtest.Of(750, 3000))
	refuted, methods := map[graph.Level]int{}, map[Method]int{}
	for range n {
		txns := random(r, 6)
		x := indexOf(t, txns)
		got := Analyze(t.Context(), x, Options{})
		for _, l := range graph.Levels() {
			want := graph.Holds
			if d, ok := demandOf(l); ok && !d.single {
				if !legal(txns, d) {
					want = graph.Refuted
				}
			} else if l == graph.Causal && len(x.Wrong()) == 0 {
				if !consistent(x) {
					want = graph.Refuted
				}
			} else {
				continue
			}
			if got.Lattice[l] != want {
				t.Fatalf("%v: got %v by %q, want %v\n%s", l, got.Lattice[l], got.Methods[l], want,
					show(txns))
			}
			if want == graph.Refuted {
				refuted[l]++
			}
			methods[got.Methods[l]]++
		}
		for _, c := range got.Cores {
			checkCore(t, txns, c)
		}
	}
	t.Logf("of %d: refuted %v, methods %v", n, refuted, methods)
	for l, bad := range refuted {
		if bad*10 < n || bad*10 > 9*n {
			t.Errorf("%v: %d of %d are refuted: one kind is too rare", l, bad, n)
		}
	}
}

// TestSearch has the search decide what the scheduler would mostly have found.
func TestSearch(t *testing.T) {
	r := sweep.Rand(t, 8, 2026)
	n := sweep.Rounds(t, longtest.Of(750, 3000))
	bad, searched := map[demand]int{}, 0
	for range n {
		txns := random(r, 6)
		x := indexOf(t, txns)
		if len(x.Wrong()) > 0 {
			continue
		}
		p := newProblem(sourceOf(x, KeysFree))
		arcs, _ := p.certain()
		for f := anyOrder; f <= timeOrder; f++ {
			for _, split := range []bool{false, true} {
				d := demand{family: f, split: split}
				want := legal(txns, d)
				got, open := search(t, p, d, arcs)
				if got != want {
					t.Fatalf("%v: got %t, want %t\n%s", d, got, want, show(txns))
				}
				if !want {
					bad[d]++
				}
				if open {
					searched++
				}
			}
		}
	}
	t.Logf("%d histories, refuted %v, searched %d", n, bad, searched)
	if searched*2 < n {
		t.Errorf("only %d searches of %d", searched, n)
	}
}

// search decides a demand without the scheduler, and whether choices were open.
func search(t *testing.T, p *problem, d demand, arcs []arc) (ok, open bool) {
	t.Helper()
	s, fits := p.prune(t.Context(), d, arcs, d.nodeRanks(p.guesses()[0]))
	if !fits {
		t.Fatal("too large")
	}
	if s.cycle {
		return false, false
	}
	z := newSolver(s)
	switch z.run(t.Context(), Options{}.budget()) {
	case gaveUp:
		t.Fatal("gave up")
	case impossible:
		return false, true
	}
	if err := p.replay(d, z.events(d)); err != nil {
		t.Fatal(err)
	}
	return true, len(s.open) > 0
}

// checkCore looks whether a core refutes its level, and whether it is minimal.
func checkCore(t *testing.T, txns []dumbTxn, c Core) {
	t.Helper()
	d, _ := demandOf(c.Level)
	legal := func(txns []dumbTxn, d demand) bool {
		if d.single {
			return consistent(indexOf(t, txns))
		}
		return legal(txns, d)
	}
	if legal(part(txns, c.Txns), d) {
		t.Fatalf("%v: the core %v is legal\n%s", c.Level, c.Txns, show(txns))
	}
	if !c.Minimal {
		t.Fatalf("%v: the core %v is not minimal\n%s", c.Level, c.Txns, show(txns))
	}
	for i := range c.Txns {
		less := slices.Delete(slices.Clone(c.Txns), i, i+1)
		if !legal(part(txns, less), d) {
			t.Fatalf("%v: the core %v could be %v\n%s", c.Level, c.Txns, less, show(txns))
		}
	}
	for i, e := range c.Cycle.Edges {
		if e.To != c.Cycle.Edges[(i+1)%len(c.Cycle.Edges)].From {
			t.Fatalf("no cycle: %+v", c.Cycle)
		}
	}
}

// part keeps some transactions, and of their reads those of what they wrote. Crashed ones
// among them took effect.
func part(txns []dumbTxn, keep []weak.Txn) []dumbTxn {
	var list []dumbTxn
	for i, t := range txns {
		if !slices.Contains(keep, weak.Txn(i)) {
			continue
		}
		steps := t.steps
		t.steps = nil
		for _, s := range steps {
			if s.write || s.value == weak.Unwritten || slices.ContainsFunc(keep, func(k weak.Txn) bool {
				return slices.Contains(txns[k].steps, step{true, s.key, s.value})
			}) {
				t.steps = append(t.steps, s)
			}
		}
		list = append(list, t)
	}
	return list
}
