package txn

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
)

// rounds is how many random histories a test looks at, $CHECK_ROUNDS for more.
func rounds(t *testing.T, n int) int {
	t.Helper()
	if s := os.Getenv("CHECK_ROUNDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

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

// world simulates a store that keeps a promise, more or less.
type world struct {
	r     *rand.Rand
	lists map[history.Key][]int64
	next  int64
}

// history draws transactions of a few sessions, runs them in a way that is drawn, too,
// and may falsify what one of them read.
func (w *world) history(txns int) *history.History {
	h := &history.History{}
	way, sessions := w.r.IntN(7), 1+w.r.IntN(3)
	free := make([]history.Time, sessions)
	now := history.Time(1)
	for i := range txns {
		p := w.r.IntN(sessions)
		now = max(now+history.Time(w.r.IntN(4)), free[p])
		op := history.Operation{Index: int64(i), F: "txn", Process: history.Process(p), Call: now}
		op.Return = now + 1 + history.Time(w.r.IntN(8))
		free[p] = op.Return + 1
		op.In = history.Steps(w.steps()...)
		switch w.r.IntN(12) {
		case 0:
			op.Type, op.Return = history.Info, history.Never
		case 1:
			op.Type = history.Fail
		default:
			op.Type = history.OK
		}
		h.Ops = append(h.Ops, op)
	}
	w.run(h, way)
	return h
}

func (w *world) steps() []history.Step {
	var steps []history.Step
	for range 1 + w.r.IntN(3) {
		s := history.Step{F: history.StepRead, Key: history.Key([]string{"x", "y"}[w.r.IntN(2)])}
		if w.r.IntN(2) == 0 {
			w.next++
			s.F, s.Value = history.StepAppend, history.Int(w.next)
		}
		steps = append(steps, s)
	}
	return steps
}

// act is a moment in the life of a transaction.
type act struct {
	at    float64
	txn   int
	begin bool
}

// run executes the transactions: way 0 and 1 one after the other within their times, 2 in
// any order, 3 on snapshots, 4 on any snapshots, others with the newest lists now and then.
func (w *world) run(h *history.History, way int) {
	w.lists = map[history.Key][]int64{}
	var acts []act
	for i := range h.Ops {
		op := &h.Ops[i]
		from, length := float64(op.Call), min(float64(op.Return-op.Call), 8)
		if way%2 == 0 && way > 0 {
			from, length = float64(op.Call)-8, length+16
		}
		a, b := from+length*w.r.Float64(), from+length*w.r.Float64()
		if way < 3 {
			a = b
		}
		acts = append(acts, act{min(a, b), i, true}, act{max(a, b), i, false})
	}
	slices.SortStableFunc(acts, func(a, b act) int {
		return int(1e6*a.at) - int(1e6*b.at)
	})
	snap := make([]map[history.Key][]int64, len(h.Ops))
	for _, a := range acts {
		if a.begin {
			snap[a.txn] = map[history.Key][]int64{}
			for k, v := range w.lists {
				snap[a.txn][k] = slices.Clone(v)
			}
		} else if way < 5 || w.r.IntN(2) == 0 {
			w.commit(&h.Ops[a.txn], snap[a.txn])
		} else {
			w.commit(&h.Ops[a.txn], w.lists)
		}
	}
	for range w.r.IntN(3) {
		w.falsify(&h.Ops[w.r.IntN(len(h.Ops))])
	}
}

// commit gives a transaction its results, and aborts it if another one was first.
func (w *world) commit(op *history.Operation, snap map[history.Key][]int64) {
	steps, _ := history.ParseSteps(op.In)
	own := map[history.Key][]int64{}
	for i, s := range steps {
		if s.F == history.StepAppend {
			n, _ := s.Value.AsInt()
			own[s.Key] = append(own[s.Key], n)
			if len(snap[s.Key]) != len(w.lists[s.Key]) && op.Type == history.OK && w.r.IntN(5) > 0 {
				op.Type = history.Fail
			}
			continue
		}
		steps[i].Value = history.Ints(slices.Concat(snap[s.Key], own[s.Key])...)
	}
	if op.Type == history.OK {
		op.Out = history.Steps(steps...)
	}
	if op.Type == history.OK || op.Type == history.Info && w.r.IntN(2) == 0 {
		for k, list := range own {
			w.lists[k] = append(w.lists[k], list...)
		}
	}
}

// falsify changes a list that a transaction read: shorter, or as it is in the end.
func (w *world) falsify(op *history.Operation) {
	if op.Type != history.OK {
		return
	}
	steps, _ := history.ParseSteps(op.Out)
	i := w.r.IntN(len(steps))
	if steps[i].F != history.StepRead {
		return
	}
	list := slices.Clone(w.lists[steps[i].Key])
	steps[i].Value = history.Ints(list[:len(list)-w.r.IntN(min(3, len(list)+1))]...)
	op.Out = history.Steps(steps...)
}

func show(h *history.History) string {
	var b strings.Builder
	for i := range h.Ops {
		op := &h.Ops[i]
		v := op.In
		if op.Type == history.OK {
			v = op.Out
		}
		fmt.Fprintf(&b, "p%d %s %d..%d %s\n", op.Process, v, op.Call, op.Return, op.Type)
	}
	return b.String()
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
	r := rand.New(rand.NewPCG(11, 12))
	w := &world{r: r}
	n := rounds(t, 1500)
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
	r := rand.New(rand.NewPCG(13, 14))
	w := &world{r: r}
	looked := 0
	for range rounds(t, 1500) {
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

// committedReads tries all orders of the elements in which the appends of a transaction
// stay in order and every list read is a beginning, and wants that no list ends within
// another transaction, that writes and reads make no circle, and that nobody reads what
// he appends afterwards.
func committedReads(list []dumb) bool {
	for _, d := range list {
		for i, s := range d.steps {
			for _, later := range d.steps[i+1:] {
				if !bool(d.optional) && s.F == history.StepRead && s.Key == later.Key &&
					later.F == history.StepAppend &&
					strings.Contains(" "+words(s.Value), " "+later.Value.String()+" ") {
					return false
				}
			}
		}
	}
	for set := range uint(1) << len(list) {
		if set&required(list) != required(list) {
			continue
		}
		orders := map[history.Key][][]version{"x": {}, "y": {}}
		possible := true
		for k := range orders {
			orders[k] = orderings(list, set, k)
			possible = possible && len(orders[k]) > 0
		}
		for _, x := range orders["x"] {
			for _, y := range orders["y"] {
				if possible && acyclic(list, set, map[history.Key][]version{"x": x, "y": y}) {
					return true
				}
			}
		}
	}
	return false
}

// version is an element, who appended it, and whether it was the last of his.
type version struct {
	elem  string
	txn   int
	final bool
}

// orderings returns the orders of a key's elements that fit all reads of it.
func orderings(list []dumb, set uint, key history.Key) [][]version {
	queues := make([][]version, len(list))
	total := 0
	for i, d := range list {
		for _, s := range d.steps {
			if set>>i&1 != 0 && s.F == history.StepAppend && s.Key == key {
				queues[i] = append(queues[i], version{s.Value.String(), i, false})
				total++
			}
		}
		if n := len(queues[i]); n > 0 {
			queues[i][n-1].final = true
		}
	}
	var found [][]version
	var extend func(prefix []version)
	extend = func(prefix []version) {
		if !fitting(list, key, prefix, total) {
			return
		}
		if len(prefix) == total {
			found = append(found, slices.Clone(prefix))
			return
		}
		for i, q := range queues {
			if len(q) > 0 {
				queues[i] = q[1:]
				extend(append(prefix, q[0]))
				queues[i] = q
			}
		}
	}
	extend(nil)
	return found
}

// fitting reports whether the reads of a key agree with the first elements of an order.
func fitting(list []dumb, key history.Key, prefix []version, total int) bool {
	for _, d := range list {
		for _, s := range d.steps {
			if s.F != history.StepRead || s.Key != key || bool(d.optional) {
				continue
			}
			if s.Value.Len() > total {
				return false
			}
			for i := range min(s.Value.Len(), len(prefix)) {
				if s.Value.At(i).String() != prefix[i].elem {
					return false
				}
			}
		}
	}
	return true
}

// acyclic judges the writes and reads of one order of all versions.
func acyclic(list []dumb, set uint, orders map[history.Key][]version) bool {
	before := make([]uint, len(list)) // by transaction, those before it
	for _, order := range orders {
		for i := range order {
			for _, v := range order[:i] {
				before[order[i].txn] |= 1 << v.txn
			}
		}
	}
	for i, d := range list {
		for _, s := range d.steps {
			if s.F != history.StepRead || bool(d.optional) || set>>i&1 == 0 || s.Value.Len() == 0 {
				continue
			}
			last := orders[s.Key][s.Value.Len()-1]
			if last.txn != i && !last.final {
				return false
			}
			for _, v := range orders[s.Key][:s.Value.Len()] {
				before[i] |= 1 << v.txn
			}
		}
	}
	for i := range before {
		before[i] &^= 1 << i // oneself does not count, others in between do
	}
	for _, order := range orders {
		for i := range order {
			for j := range i {
				between := slices.ContainsFunc(order[j:i], func(v version) bool {
					return v.txn != order[i].txn
				})
				if order[j].txn == order[i].txn && between {
					return false
				}
			}
		}
	}
	done := uint(0)
	for range list {
		for i := range list {
			if before[i]&^done&set == 0 {
				done |= 1 << i
			}
		}
	}
	return done&set == set
}
