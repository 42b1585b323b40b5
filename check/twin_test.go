package check

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/internal/sweep"
	"github.com/ordeal-dev/ordeal/models"
)

// The dumb twin of the whole check: specifications written a second time, as sets
// of next states over text, and a search that tries every order, taking each
// operation of unknown outcome or leaving it out.

// A world executes an operation on a state, a text. It returns all the states that
// may follow, none if the operation cannot have ended as it did.
type world func(state string, op *history.Operation) []string

// bruteForce decides by trying everything.
func bruteForce(w world, ops []history.Operation) bool {
	required := 0
	for i := range ops {
		if ops[i].Type != history.Info {
			required |= 1 << i
		}
	}
	type config struct {
		done  int
		state string
	}
	seen := map[config]bool{}
	var search func(c config) bool
	search = func(c config) bool {
		if c.done&required == required {
			return true
		}
		if seen[c] {
			return false
		}
		seen[c] = true
		for i := range ops {
			if c.done&(1<<i) != 0 || !mayBeNext(ops, c.done, i) {
				continue
			}
			for _, next := range w(c.state, &ops[i]) {
				if search(config{done: c.done | 1<<i, state: next}) {
					return true
				}
			}
		}
		return false
	}
	return search(config{})
}

// mayBeNext reports whether no operation that is left has returned before ops[i]
// was called.
func mayBeNext(ops []history.Operation, done, i int) bool {
	for j := range ops {
		if done&(1<<j) == 0 && ops[j].Type != history.Info && ops[j].Return < ops[i].Call {
			return false
		}
	}
	return true
}

// only returns the state if the operation may have ended like that. Whatever has
// no answer may have ended in any way.
func only(state string, op *history.Operation, ok bool) []string {
	if ok || op.Type == history.Info {
		return []string{state}
	}
	return nil
}

func registerWorld(state string, op *history.Operation) []string {
	text := func(v history.Value) string { // the state "" is nil
		if v.IsNil() {
			return ""
		}
		return v.String()
	}
	switch op.F {
	case "read":
		return only(state, op, text(op.Out) == state)
	case "write":
		return []string{text(op.In)}
	}
	match := text(op.In.At(0)) == state
	switch {
	case op.Type == history.Fail:
		return only(state, op, !match)
	case match:
		return []string{text(op.In.At(1))}
	}
	return only(state, op, false)
}

// elementsOf splits a state that is a list.
func elementsOf(state string) []string {
	return strings.FieldsFunc(state, func(r rune) bool { return r == ' ' })
}

func listText(v history.Value) []string {
	var list []string
	for i := range v.Len() {
		list = append(list, v.At(i).String())
	}
	return list
}

func setWorld(state string, op *history.Operation) []string {
	list := elementsOf(state)
	x := op.In.String()
	at := slices.Index(list, x)
	switch op.F {
	case "add":
		if at < 0 {
			list = append(list, x)
		}
	case "remove":
		if at >= 0 {
			list = slices.Delete(list, at, at+1)
		}
	case "contains":
		b, _ := op.Out.AsBool()
		return only(state, op, b == (at >= 0))
	case "read":
		got := listText(op.Out)
		slices.Sort(got)
		return only(state, op, slices.Equal(list, slices.Compact(got)))
	}
	slices.Sort(list)
	return []string{strings.Join(list, " ")}
}

func listWorld(state string, op *history.Operation) []string {
	if op.F == "read" {
		return only(state, op, slices.Equal(elementsOf(state), listText(op.Out)))
	}
	return []string{strings.Join(append(elementsOf(state), op.In.String()), " ")}
}

func counterWorld(state string, op *history.Operation) []string {
	n, _ := strconv.ParseInt(state, 10, 64)
	if op.F == "read" {
		got, _ := op.Out.AsInt()
		return only(state, op, got == n)
	}
	d, _ := op.In.AsInt()
	return []string{strconv.FormatInt(n+d, 10)}
}

func mutexWorld(state string, op *history.Operation) []string {
	next := map[history.F]string{"acquire": "held", "release": ""}[op.F]
	if next == state {
		return only(state, op, false)
	}
	return []string{next}
}

// queueWorld takes from the front, or from anywhere.
func queueWorld(anywhere bool) world {
	return func(state string, op *history.Operation) []string {
		list := elementsOf(state)
		if op.F == "enqueue" {
			return []string{strings.Join(append(list, op.In.String()), " ")}
		}
		if op.Type == history.Fail || op.Type == history.OK && op.Out.IsNil() {
			return only(state, op, len(list) == 0)
		}
		var next []string
		for i, x := range list {
			if op.Type == history.Info || x == op.Out.String() {
				rest := slices.Delete(slices.Clone(list), i, i+1)
				next = append(next, strings.Join(rest, " "))
			}
			if !anywhere {
				break
			}
		}
		return next
	}
}

// stackWorld takes from the end.
func stackWorld(state string, op *history.Operation) []string {
	list := elementsOf(state)
	slices.Reverse(list)
	turned := *op
	if op.F == "push" {
		return []string{strings.TrimSpace(state + " " + op.In.String())}
	}
	turned.F = "dequeue"
	next := queueWorld(false)(strings.Join(list, " "), &turned)
	for i := range next {
		list := elementsOf(next[i])
		slices.Reverse(list)
		next[i] = strings.Join(list, " ")
	}
	return next
}

// priorityWorld takes the smallest number.
func priorityWorld(state string, op *history.Operation) []string {
	list := elementsOf(state)
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return queueWorld(false)(strings.Join(list, " "), op)
}

func multiWorld(state string, op *history.Operation) []string {
	m := map[string]string{}
	for _, e := range elementsOf(state) {
		k, v, _ := strings.Cut(e, "=")
		m[k] = v
	}
	for i := range op.In.Len() {
		f, _ := op.In.At(i).At(0).AsString()
		k := op.In.At(i).At(1).String()
		if f == "w" {
			m[k] = op.In.At(i).At(2).String()
			continue
		}
		have := m[k]
		if have == "" {
			have = "null"
		}
		if op.Type == history.OK && op.Out.At(i).At(2).String() != have {
			return nil
		}
	}
	var list []string
	for k, v := range m {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return []string{strings.Join(list, " ")}
}

// A twin makes random histories for a model and knows the truth about them.
type twin struct {
	model string
	world world
	// call draws an invocation, answer a result, which may be wrong.
	call   func(r *rand.Rand, unique int64) (history.F, history.Value)
	answer func(r *rand.Rand, op *history.Operation) history.Value
	// refusals is the share of completed operations that may end as a refusal.
	refusals float64
	// turns lets each process acquire and release in turn.
	turns bool
}

// values are few, so that they repeat, unless unique is used.
func drawValue(r *rand.Rand, unique int64) history.Value {
	if r.IntN(3) == 0 {
		return history.Int(int64(r.IntN(3)))
	}
	return history.Int(unique)
}

func drawAny(r *rand.Rand) history.Value {
	if n := r.IntN(14) - 1; n >= 0 {
		return history.Int(int64(n))
	}
	return history.Value{}
}

func twins() []twin {
	pick := func(r *rand.Rand, fs ...history.F) history.F { return fs[r.IntN(len(fs))] }
	call := func(fs ...history.F) func(*rand.Rand, int64) (history.F, history.Value) {
		return func(r *rand.Rand, unique int64) (history.F, history.Value) {
			f := pick(r, fs...)
			switch f {
			case "read", "dequeue", "pop", "acquire", "release":
				return f, history.Value{}
			case "cas":
				return f, history.List(drawAny(r), drawValue(r, unique))
			case "write":
				if r.IntN(6) == 0 {
					return f, history.Value{} // back to the initial value
				}
			}
			return f, drawValue(r, unique)
		}
	}
	scalar := func(r *rand.Rand, _ *history.Operation) history.Value { return drawAny(r) }
	list := func(r *rand.Rand, op *history.Operation) history.Value {
		if op.F == "contains" {
			return history.Bool(r.IntN(2) == 0)
		}
		var vs []history.Value
		for range r.IntN(4) {
			vs = append(vs, history.Int(int64(r.IntN(7))))
		}
		return history.List(vs...)
	}
	number := func(r *rand.Rand, _ *history.Operation) history.Value {
		return history.Int(int64(r.IntN(30)))
	}
	return []twin{
		{"register", registerWorld, call("read", "write"), scalar, 0, false},
		{"cas-register", registerWorld, call("read", "write", "cas", "cas"), scalar, 0, false},
		{"cas-register", registerWorld, call("read", "write", "cas", "cas"), scalar, 0.5, false},
		{"set", setWorld, call("add", "add", "read"), list, 0, false},
		{"set", setWorld, call("add", "add", "read", "remove", "contains"), list, 0, false},
		{"set", setWorld, call("add", "contains", "remove", "contains"), list, 0, false},
		{"list", listWorld, call("append", "append", "read"), list, 0, false},
		{"queue", queueWorld(false), call("enqueue", "enqueue", "dequeue"), scalar, 0.2, false},
		{"unordered-queue", queueWorld(true), call("enqueue", "enqueue", "dequeue"), scalar, 0.2, false},
		{"priority-queue", priorityWorld, call("enqueue", "enqueue", "dequeue"), scalar, 0.2, false},
		{"stack", stackWorld, call("push", "push", "pop"), scalar, 0.2, false},
		{"counter", counterWorld, call("add", "read"), number, 0, false},
		{"mutex", mutexWorld, call("acquire", "release"), scalar, 0, false},
		{"mutex", mutexWorld, call("acquire", "release"), scalar, 0, true},
		{"multi-register", multiWorld, callMulti, answerMulti, 0, false},
		{"fenced-register", fencedWorld, callFenced, answerFenced, 0, false},
	}
}

func callMulti(r *rand.Rand, unique int64) (history.F, history.Value) {
	var ops []history.Value
	for i := range 1 + r.IntN(2) {
		k := history.Str(string(rune('x' + r.IntN(2))))
		op := history.List(history.Str("r"), k, history.Value{})
		if r.IntN(2) == 0 {
			op = history.List(history.Str("w"), k, drawValue(r, unique*2+int64(i)))
		}
		ops = append(ops, op)
	}
	return "txn", history.List(ops...)
}

func answerMulti(r *rand.Rand, op *history.Operation) history.Value {
	var ops []history.Value
	for i := range op.In.Len() {
		m := op.In.At(i)
		if f, _ := m.At(0).AsString(); f == "r" {
			m = history.List(m.At(0), m.At(1), drawAny(r))
		}
		ops = append(ops, m)
	}
	return history.List(ops...)
}

// history draws a history of up to 7 operations of 3 processes, some of which get
// no answer. Results are drawn at random, but one that is right, for some order, is
// preferred: half of the histories should be linearizable.
func (tw twin) history(r *rand.Rand) *history.History {
	var ops []history.Operation
	clock := make([]history.Time, 3)
	calls := make([]int, 3)
	for i := range 2 + r.IntN(6) {
		p := r.IntN(len(clock))
		op := history.Operation{Process: history.Process(p), Type: history.OK}
		op.F, op.In = tw.call(r, int64(i)+3)
		if tw.turns {
			op.F = []history.F{"acquire", "release"}[calls[p]%2]
			op.Process += history.Process(calls[p] / 100)
			calls[p]++
		}
		op.Call = clock[p] + history.Time(r.IntN(4))
		op.Return = op.Call + history.Time(r.IntN(6))
		clock[p] = op.Return + 1
		switch {
		case r.IntN(4) == 0:
			op.Type, op.Return = history.Info, history.Never
			calls[p] = (calls[p]/100 + 3) * 100 // whoever comes now is somebody else
		case (op.F == "cas" || op.F == "dequeue") && r.Float64() < tw.refusals:
			op.Type = history.Fail
		}
		ops = append(ops, op)
	}
	slices.SortStableFunc(ops, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	careful := 10 // how often of ten times results are made to fit
	if r.IntN(3) > 0 {
		careful = r.IntN(10)
	}
	for i := range ops {
		ops[i].Index = int64(i)
		if ops[i].Type != history.OK {
			continue
		}
		fits := false
		for try := 0; try < 12 && !fits; try++ {
			ops[i].Out = tw.answer(r, &ops[i])
			fits = r.IntN(10) >= careful || bruteForce(tw.world, called(ops[:i+1]))
		}
		if !fits { // no result does, then
			ops[i].Type, ops[i].Return = history.Info, history.Never
		}
	}
	return &history.History{Ops: ops}
}

// called returns the operations as they were when the last one had returned: the
// others may be open still, and have no result yet.
func called(ops []history.Operation) []history.Operation {
	ops = slices.Clone(ops)
	end := ops[len(ops)-1].Return
	for i := range ops {
		if ops[i].Return > end {
			ops[i].Type, ops[i].Return = history.Info, history.Never
		}
	}
	return ops
}

// onTwin is run on a random history. The truth comes from brute force.
type onTwin func(
	t *testing.T, r *rand.Rand, l *linearizable, tw twin, h *history.History, truth bool,
)

// eachTwin runs f on n random histories of each model.
func eachTwin(t *testing.T, n int, f onTwin) {
	for i, tw := range twins() {
		t.Run(fmt.Sprintf("%d %s", i, tw.model), func(t *testing.T) {
			t.Parallel()
			runTwin(t, rand.New(rand.NewPCG(uint64(i), 2026)), tw, n, f)
		})
	}
}

func runTwin(t *testing.T, r *rand.Rand, tw twin, n int, f onTwin) {
	spec, err := models.Lookup(tw.model)
	if err != nil {
		t.Fatal(err)
	}
	l := LinearizableSpec(spec, Options{Refusals: true}).(*linearizable)
	bad := 0
	for range n {
		h := tw.history(r)
		truth := bruteForce(tw.world, h.Ops)
		if !truth {
			bad++
		}
		f(t, r, l, tw, h, truth)
		if t.Failed() {
			t.Fatalf("history:\n%s", timeline(h.Ops))
		}
	}
	t.Logf("%d histories, %d of them not linearizable", n, bad)
	if bad*10 < n || bad*10 > 9*n {
		t.Errorf("%d of %d histories are bad: one kind is too rare to test anything", bad, n)
	}
}

func timeline(ops []history.Operation) string {
	var b strings.Builder
	for i := range ops {
		op := &ops[i]
		fmt.Fprintf(&b, "p%d %s %s = %s %d..%d %s\n",
			op.Process, op.F, op.In, op.Out, op.Call, op.Return, op.Type)
	}
	return b.String()
}

// TestTwins compares the verdicts of all engines with brute force. Orders are replayed.
func TestTwins(t *testing.T) {
	var used sync.Map // the exact engines
	t.Cleanup(func() {
		for _, s := range models.All() {
			for _, e := range exactEngines(s.Name) {
				n, _ := used.Load(e.name)
				if n, ok := n.(*atomic.Int64); !ok || n.Load() < 200 {
					t.Errorf("%s decided next to nothing", e.name)
				} else {
					t.Logf("%s decided %d", e.name, n.Load())
				}
			}
		}
	})
	eachTwin(t, sweep.Rounds(t, longtest.Of(750, 3_000)), func(
		t *testing.T, _ *rand.Rand, l *linearizable, _ twin, h *history.History, truth bool,
	) {
		objects, err := l.objects(h)
		if err != nil {
			t.Fatal(err)
		}
		want := illegal
		if truth {
			want = legal
		}
		for _, o := range objects {
			if c := unwritten(o.all); c != nil && truth {
				t.Errorf("operation %d is said to have seen what was not there", c.Ops[0])
			}
			for _, p := range eachPlanner(l) {
				f := p.decide(t.Context(), o.all, true)
				if p.engine == engineExact && f.answer == undecided && f.cause == causeEngine {
					continue // not applicable
				}
				if p.engine == engineExact {
					n, _ := used.LoadOrStore(f.engine, new(atomic.Int64))
					n.(*atomic.Int64).Add(1)
				}
				if f.answer != want {
					t.Errorf("engine %s (%s): answer %d, want %d", p.engine, f.engine, f.answer, want)
				}
				if truth {
					if _, err := p.certified(t.Context(), f, o.all); err != nil {
						t.Error(err)
					}
				}
			}
		}
	})
}

// eachPlanner returns a planner for each engine, twice for Porcupine.
func eachPlanner(l *linearizable) []*planner {
	var list []*planner
	for _, engine := range Engines() {
		list = append(list, idlePlanner(l, engine))
	}
	raw := idlePlanner(l, enginePorcupine)
	raw.raw = true
	return append(list, raw)
}

// idlePlanner is a planner that nobody stops.
func idlePlanner(l *linearizable, engine string) *planner {
	return &planner{
		spec: l.spec, engine: engine, guard: &guard{running: map[*watched]bool{}}, memory: 1 << 30,
		desks: &l.desks,
	}
}

// TestReductionIsSound takes random operations out of linearizable histories, by the
// rules of the minimizer: they have to stay linearizable.
func TestReductionIsSound(t *testing.T) {
	eachTwin(t, sweep.Rounds(t, longtest.Of(750, 3_000)), func(
		t *testing.T, r *rand.Rand, l *linearizable, tw twin, h *history.History, truth bool,
	) {
		objects, err := l.objects(h)
		if err != nil || len(objects) == 0 || !truth {
			return
		}
		m := &minimizer{planner: idlePlanner(l, engineAuto), spec: l.spec}
		all := objects[0].all
		for i := 1; i < len(all); i++ {
			if quiet(all[:i], all[i].call) && m.endsIn(t.Context(), all[:i], l.spec.Porcupine.Init()) &&
				!bruteForce(tw.world, opsOf(all[i:])) {
				t.Errorf("without its start not linearizable any more:\n%s", timeline(opsOf(all[i:])))
			}
		}
		rest := all
		for range 3 {
			at := r.IntN(len(rest) + 1)
			rest = without(rest, at, min(len(rest), at+1+r.IntN(3)))
			if !bruteForce(tw.world, opsOf(rest)) {
				t.Errorf("after a reduction not linearizable any more:\n%s", timeline(opsOf(rest)))
			}
		}
	})
}

// quiet reports whether all items had returned before t.
func quiet(items []item, t history.Time) bool {
	return !slices.ContainsFunc(items, func(it item) bool { return it.ret >= t })
}

func opsOf(items []item) []history.Operation {
	ops := make([]history.Operation, len(items))
	for i := range items {
		ops[i] = *items[i].op
	}
	return ops
}

// TestCounterexamplesAreMinimal reduces bad histories: the rest has to be bad by
// brute force, and good without any one operation that may be taken out. The
// culprit is the operation that made it bad when it returned.
func TestCounterexamplesAreMinimal(t *testing.T) {
	eachTwin(t, sweep.Rounds(t, 1_000), func(
		t *testing.T, _ *rand.Rand, l *linearizable, tw twin, h *history.History, truth bool,
	) {
		if truth {
			return
		}
		objects, err := l.objects(h)
		if err != nil {
			t.Fatal(err)
		}
		m := &minimizer{planner: idlePlanner(l, engineAuto), spec: l.spec}
		all := objects[0].all
		part, minimal := m.reduce(t.Context(), all, m.planner.decide(t.Context(), all, false))
		if !minimal || bruteForce(tw.world, opsOf(part)) {
			t.Errorf("minimal %t, but the part is not bad:\n%s", minimal, timeline(opsOf(part)))
		}
		for i := range part {
			rest := without(part, i, i+1)
			if len(rest) < len(part) && !bruteForce(tw.world, opsOf(rest)) {
				t.Errorf("operation %d could be taken out of:\n%s", i, timeline(opsOf(part)))
			}
		}
		end, found := m.firstViolation(t.Context(), part, nil)
		if !found || culpritAt(part, end) < 0 {
			t.Errorf("no culprit in:\n%s", timeline(opsOf(part)))
		}
	})
}

// TestUntil: the time at which a violation is said to have been certain is the first
// after which no outcome of what was open then would have made it good, that of
// operations included which failed later.
func TestUntil(t *testing.T) {
	eachTwin(t, sweep.Rounds(t, 1_000), func(
		t *testing.T, r *rand.Rand, l *linearizable, tw twin, h *history.History, _ bool,
	) {
		l = &linearizable{spec: l.spec, o: l.o}
		if l.o.Refusals = r.IntN(2) == 0; !l.o.Refusals {
			failSome(r, h)
		}
		want := firstBad(tw.world, h, l.o.Refusals)
		got := history.Never
		objects, err := l.objects(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			m := &minimizer{planner: idlePlanner(l, engineAuto), spec: l.spec}
			if at, found := m.firstViolation(t.Context(), o.all, o.failed); found {
				got = at
			}
		}
		if got != want {
			t.Errorf("certain at %d, want %d", got, want)
		}
	})
}

// failSome lets some operations fail for certain, whoever saw what they did.
func failSome(r *rand.Rand, h *history.History) {
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Type == history.OK && r.IntN(4) == 0 {
			op.Type, op.Out, op.Error = history.Fail, history.Value{}, "no"
		}
	}
}

// firstBad asks brute force about the history as it was after each return.
func firstBad(w world, h *history.History, refusals bool) history.Time {
	first := history.Never
	for i := range h.Ops {
		now := h.Ops[i].Return
		if h.Ops[i].Type == history.Info || now >= first {
			continue
		}
		var ops []history.Operation
		for _, op := range h.Ops {
			switch {
			case op.Call > now, op.Type == history.Fail && op.Return <= now && !refusals:
				continue
			case op.Return > now:
				op.Type, op.Return = history.Info, history.Never
			}
			ops = append(ops, op)
		}
		if !bruteForce(w, ops) {
			first = now
		}
	}
	return first
}
