package graph

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// random draws a graph of a few transactions in sessions, some of which crash.
func random(r *rand.Rand, txns int) (*Graph, []Edge) {
	t := Times{make([]int64, txns), make([]int64, txns), make([]int32, txns)}
	free := make([]int64, 1+r.IntN(3)) // by session, when it is free again
	now := int64(0)
	for i := range txns {
		s := r.IntN(len(free))
		now = max(now+int64(r.IntN(3)), free[s])
		t.Call[i], t.Session[i] = now, int32(s)
		t.Return[i] = now + int64(r.IntN(6))
		free[s] = t.Return[i] + int64(r.IntN(2))
		if r.IntN(8) == 0 {
			t.Return[i] = Never
		}
	}
	if r.IntN(6) == 0 {
		t.Session = nil
	}
	if r.IntN(8) == 0 {
		t.Call, t.Return = nil, nil
	}
	b := NewBuilder(txns, 0)
	for i := range r.IntN(3 * txns) {
		from, to := Txn(r.IntN(txns)), Txn(r.IntN(txns))
		if from > to && r.IntN(4) > 0 {
			from, to = to, from
		}
		b.Add([]Kind{WW, WR, RW, RW}[r.IntN(4)], from, to, uint32(i))
	}
	g := b.Build(t)
	return g, everyEdge(g, t)
}

// everyEdge lists all edges, those of sessions and time one by one.
func everyEdge(g *Graph, times Times) []Edge {
	var list []Edge
	for a := range Txn(g.n) {
		g.EachFrom(a, func(e Edge) {
			if e.Kind != Process {
				list = append(list, e)
			}
		})
		for b := range Txn(g.n) {
			if times.Return != nil && times.Return[a] == Never {
				continue
			}
			if s := times.Session; s != nil && a < b && s[a] == s[b] {
				list = append(list, Edge{From: a, To: b, Kind: Process})
			}
			if g.before(a, b) {
				list = append(list, Edge{From: a, To: b, Kind: Realtime})
			}
		}
	}
	return list
}

// placeable tries all orders of the events of a level.
func placeable(n int, edges []Edge, r rules) bool {
	preds := make([]uint32, 2*n) // bit sets of events
	for t := range n {
		if r.split {
			preds[CommitOf(Txn(t))] |= 1 << SnapshotOf(Txn(t))
		}
	}
	for _, e := range edges {
		if !r.kinds.has(e.Kind) && (e.Kind != Realtime || !r.realtime) {
			continue
		}
		from, to := CommitOf(e.From), CommitOf(e.To)
		switch {
		case r.split && e.Kind == RW:
			from = SnapshotOf(e.From)
		case r.split:
			to = SnapshotOf(e.To)
		}
		preds[to] |= 1 << from
	}
	events := []Event{}
	for t := range n {
		events = append(events, CommitOf(Txn(t)))
		if r.split {
			events = append(events, SnapshotOf(Txn(t)))
		}
	}
	seen := map[uint32]bool{}
	var place func(done uint32, left int) bool
	place = func(done uint32, left int) bool {
		if left == 0 || seen[done] {
			return left == 0
		}
		seen[done] = true
		return slices.ContainsFunc(events, func(e Event) bool {
			return done>>e&1 == 0 && preds[e]&^done == 0 && place(done|1<<e, left-1)
		})
	}
	return place(0, len(events))
}

// TestLevelsAreOrders: a level holds exactly if its events can be put in an order, which is
// then returned, and stands up to verification.
func TestLevelsAreOrders(t *testing.T) {
	r := sweep.Rand(t, 1, 2)
	holds, n := map[Level]int{}, sweep.Rounds(t, 3000)
	for range n {
		g, edges := random(r, 2+r.IntN(5))
		report := g.Analyze(Options{})
		for _, l := range Levels() {
			rules, ok := l.rules()
			if !ok {
				continue
			}
			want := placeable(g.n, edges, rules)
			order, got := g.Order(l)
			if got != want || (report.Lattice[l] == Holds) != want {
				t.Fatalf("%s: %v and %v, brute force says %v\n%v", l, got, report.Lattice[l], want, edges)
			}
			if !got {
				continue
			}
			holds[l]++
			if err := g.Verify(l, order); err != nil {
				t.Fatalf("%s: the order is wrong: %v\n%v", l, err, edges)
			}
		}
	}
	for l, k := range holds {
		if k < n/10 || n-k < n/10 && l < ReadCommitted {
			t.Errorf("%s held in %d of %d: too few of one kind to tell anything", l, k, n)
		}
	}
}

// TestVerifyRejects: an order with two events of a dependency exchanged is not accepted.
func TestVerifyRejects(t *testing.T) {
	r := sweep.Rand(t, 3, 4)
	rejected := 0
	for range sweep.Rounds(t, 500) {
		g, edges := random(r, 4)
		for _, l := range []Level{StrictSerializable, StrongSnapshotIsolation} {
			order, ok := g.Order(l)
			rules, _ := l.rules()
			if !ok {
				continue
			}
			i, j := r.IntN(len(order)), r.IntN(len(order))
			order[i], order[j] = order[j], order[i]
			at := func(e Event) int { return slices.Index(order, e) }
			wrong := false
			for _, e := range edges {
				from, to := CommitOf(e.From), CommitOf(e.To)
				if rules.split && e.Kind == RW {
					from = SnapshotOf(e.From)
				} else if rules.split {
					to = SnapshotOf(e.To)
				}
				wrong = wrong || at(from) > at(to)
			}
			for t := range Txn(g.n) {
				wrong = wrong || rules.split && at(SnapshotOf(t)) > at(CommitOf(t))
			}
			if err := g.Verify(l, order); (err != nil) != wrong {
				t.Fatalf("%s: %v, want an error: %v\n%v\n%v", l, err, wrong, order, edges)
			} else if wrong {
				rejected++
			}
		}
	}
	if rejected < 50 {
		t.Errorf("only %d orders were wrong", rejected)
	}
}

// simpleCycles returns the length of the shortest cycle of each class, by trying all.
func simpleCycles(n int, edges []Edge) map[Class]int {
	found := map[Class]int{}
	var path []Edge
	var walk func(start, at Txn, met uint32)
	walk = func(start, at Txn, met uint32) {
		for _, e := range edges {
			switch {
			case e.From != at:
			case e.To == start:
				c := ClassOf(append(path, e))
				if k, ok := found[c]; !ok || len(path)+1 < k {
					found[c] = len(path) + 1
				}
			case e.To > start && met>>e.To&1 == 0:
				path = append(path, e)
				walk(start, e.To, met|1<<e.To)
				path = path[:len(path)-1]
			}
		}
	}
	for t := range Txn(n) {
		walk(t, t, 1<<t)
	}
	return found
}

// TestShortestCycles: what is found of a class is a cycle of it. Those by data alone are all
// found, and none is shorter, unless there are graver ones, of which a longer walk may be
// made up. Every level that is refuted is refuted by one of them.
func TestShortestCycles(t *testing.T) {
	r := sweep.Rand(t, 5, 6)
	seen := map[Class]int{}
	for range sweep.Rounds(t, 3000) {
		g, edges := random(r, 2+r.IntN(4))
		want := simpleCycles(g.n, edges)
		report := g.Analyze(Options{Keep: 100})
		shortest := map[Class]int{}
		for _, c := range report.Cycles {
			seen[c.Class]++
			checkCycle(t, c, edges)
			if k, ok := shortest[c.Class]; !ok || len(c.Edges) < k {
				shortest[c.Class] = len(c.Edges)
			}
		}
		for _, c := range Classes() {
			got, have := shortest[c]
			least, exists := want[c]
			exact := c.By == WW && (c.Base <= GSingle || shortest[Class{GSingle, WW}]+
				shortest[Class{G1c, WW}]+shortest[Class{G0, WW}] == 0)
			if have && !exists || exact && (have != exists || got != least) {
				t.Fatalf("%s: found one of %d edges, there is one of %d: %v", c, got, least, edges)
			}
		}
		checkLevels(t, report, want, edges)
	}
	for _, c := range Classes() {
		if seen[c] == 0 {
			t.Errorf("never saw a %s", c)
		}
	}
}

func checkCycle(t *testing.T, c Cycle, edges []Edge) {
	t.Helper()
	for i, e := range c.Edges {
		if !slices.Contains(edges, e) {
			t.Fatalf("%s: there is no edge %v in %v", c.Class, e, edges)
		}
		if c.Edges[(i+1)%len(c.Edges)].From != e.To {
			t.Fatalf("%s: not a cycle: %v", c.Class, c.Edges)
		}
	}
	if got := ClassOf(c.Edges); got != c.Class {
		t.Fatalf("%v is called %s, not %s", c.Edges, c.Class, got)
	}
}

// checkLevels compares the levels with what all cycles say, and wants one cycle for each.
func checkLevels(t *testing.T, report Report, want map[Class]int, edges []Edge) {
	t.Helper()
	for _, l := range Levels() {
		if l == ReadAtomic || l == MonotonicAtomicView {
			continue
		}
		refuted := false
		for c := range want {
			refuted = refuted || Cycle{Class: c}.Breaks(l)
		}
		if (report.Lattice[l] == Refuted) != refuted {
			t.Fatalf("%s is %v, the cycles %v say %v: %v", l, report.Lattice[l], want, refuted, edges)
		}
		if _, ok := report.Shortest(l); ok != refuted {
			t.Fatalf("%s: refuted %v, but has a cycle %v: %v", l, refuted, ok, edges)
		}
	}
}

// TestWithoutBudget: whatever the budget, the levels are the same, and every refuted one has a
// cycle that breaks it.
func TestWithoutBudget(t *testing.T) {
	r := sweep.Rand(t, 7, 8)
	reached, witnessed := 0, 0
	for range sweep.Rounds(t, 3000) {
		g, edges := random(r, 3+r.IntN(8))
		full, poor := g.Analyze(Options{}), g.Analyze(Options{Budget: 1 + r.IntN(20)})
		if full.Lattice != poor.Lattice {
			t.Fatalf("with budget %v, without %v: %v", full.Lattice, poor.Lattice, edges)
		}
		for _, c := range poor.Cycles {
			checkCycle(t, c, edges)
		}
		for _, l := range poor.Lattice.Refuted() {
			if l == ReadAtomic || l == MonotonicAtomicView {
				continue
			}
			if _, ok := poor.Shortest(l); !ok {
				t.Fatalf("%s is refuted without a cycle, has %v: %v", l, poor.Cycles, edges)
			}
		}
		if poor.Exhausted {
			witnessed += len(poor.Cycles)
			reached += poor.Counts[Class{GSingle, WW}]
		}
	}
	if witnessed < 100 || reached < 10 {
		t.Errorf("only %d cycles without a budget, %d with one rw", witnessed, reached)
	}
}

// TestLattice looks at what follows from what.
func TestLattice(t *testing.T) {
	var l Lattice
	if got := l.Strongest(); !slices.Equal(got, []Level{StrictSerializable}) {
		t.Errorf("nothing is refuted, and the strongest are %v", got)
	}
	l.Refute(RepeatableRead)
	if got := l.Strongest(); !slices.Equal(got, []Level{StrongSnapshotIsolation}) {
		t.Errorf("without repeatable read the strongest are %v", got)
	}
	l = Lattice{}
	l.Refute(StrongSessionSnapshotIsolation)
	if got := l.Strongest(); !slices.Equal(got, []Level{Serializable}) {
		t.Errorf("without strong session snapshot isolation the strongest are %v", got)
	}
	if got := l.Weakest(); !slices.Equal(got, []Level{StrongSessionSnapshotIsolation}) {
		t.Errorf("the weakest refuted are %v", got)
	}
	for _, a := range Levels() {
		for _, b := range a.below() {
			if b.Implies(a) || b < a && !a.Implies(b) {
				t.Errorf("%s and %s imply each other", a, b)
			}
		}
		if back, err := ParseLevel(a.String()); err != nil || back != a {
			t.Errorf("%s is read as %s, %v", a, back, err)
		}
	}
}
