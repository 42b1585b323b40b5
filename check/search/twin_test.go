package search

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/internal/sweep"
	"github.com/ordeal-dev/ordeal/models"
)

// bruteForce tries every order, takes each operation that may never have happened or
// leaves it out, and remembers nothing but whole sets.
func bruteForce(spec *models.Spec, ops []Op) bool {
	type config struct {
		done  int
		state string
	}
	pm := &spec.Porcupine
	required := 0
	for i := range ops {
		if ops[i].Return != history.Never {
			required |= 1 << i
		}
	}
	seen := map[config]bool{}
	var search func(done int, state any) bool
	search = func(done int, state any) bool {
		if done&required == required {
			return true
		}
		c := config{done: done, state: pm.DescribeState(state)}
		if seen[c] {
			return false
		}
		seen[c] = true
	next:
		for i := range ops {
			if done&(1<<i) != 0 {
				continue
			}
			for j := range ops {
				if done&(1<<j) == 0 && ops[j].Return < ops[i].Call {
					continue next
				}
			}
			if ok, s := pm.Step(state, ops[i].In, ops[i].Out); ok && search(done|1<<i, s) {
				return true
			}
		}
		return false
	}
	return search(0, pm.Init())
}

// family makes random histories of a model.
type family struct {
	model string
	// call draws an invocation; answers are the results that there may be.
	call    func(r *rand.Rand) (history.F, history.Value)
	answers func(op *history.Operation) []history.Value
	// refusals are operations that may end as a refusal.
	refusals history.F
}

func ints(n int) []history.Value {
	vs := []history.Value{{}}
	for i := range n {
		vs = append(vs, history.Int(int64(i)))
	}
	return vs
}

// lists are all lists of different small numbers, up to three of them.
func lists() []history.Value {
	var all []history.Value
	var extend func(list []history.Value, left []int64)
	extend = func(list []history.Value, left []int64) {
		all = append(all, history.List(list...))
		for i, x := range left {
			if len(list) < 4 {
				extend(append(slices.Clip(list), history.Int(x)),
					slices.Delete(slices.Clone(left), i, i+1))
			}
		}
	}
	extend(nil, []int64{0, 1, 2, 3})
	return all
}

func families() []family {
	draw := func(n int, fs ...history.F) func(*rand.Rand) (history.F, history.Value) {
		return func(r *rand.Rand) (history.F, history.Value) {
			f := fs[r.IntN(len(fs))]
			switch f {
			case "read", "dequeue", "pop", "acquire", "release", "get":
				return f, history.Value{}
			case "cas":
				return f, history.Pair(int64(r.IntN(n)), int64(r.IntN(n)))
			case "put", "append+":
				return strip(f), history.Str(string(rune('a' + r.IntN(n))))
			}
			if f == "write" && r.IntN(8) == 0 {
				return f, history.Value{}
			}
			return f, history.Int(int64(r.IntN(n)))
		}
	}
	whole := lists()
	scalars := func(n int) func(*history.Operation) []history.Value {
		vs := ints(n)
		return func(*history.Operation) []history.Value { return vs }
	}
	elements := func(op *history.Operation) []history.Value {
		if op.F == "contains" {
			return []history.Value{history.Bool(true), history.Bool(false)}
		}
		return whole
	}
	return []family{
		{"register", draw(3, "read", "read", "write"), scalars(3), ""},
		{"register", draw(30, "read", "write"), scalars(30), ""},
		{"cas-register", draw(3, "read", "write", "cas", "cas"), scalars(3), "cas"},
		{"cas-register", draw(4, "read", "write", "cas", "cas"), scalars(4), ""},
		{"set", draw(4, "add", "add", "read", "contains"), elements, ""},
		{"set", draw(4, "add", "remove", "read", "contains"), elements, ""},
		{"queue", draw(3, "enqueue", "enqueue", "dequeue"), scalars(3), "dequeue"},
		{"unordered-queue", draw(3, "enqueue", "enqueue", "dequeue"), scalars(3), "dequeue"},
		{"priority-queue", draw(3, "enqueue", "enqueue", "dequeue"), scalars(3), "dequeue"},
		{"stack", draw(3, "push", "push", "pop"), scalars(3), "pop"},
		{"mutex", draw(1, "acquire", "release"), scalars(0), ""},
		{"counter", draw(3, "add", "read"),
			func(*history.Operation) []history.Value { return ints(8)[1:] }, ""},
		{"list", draw(4, "append", "read"), elements, ""},
		{"text", draw(2, "get", "put", "append+"), texts, ""},
		{"multi-register", drawTxn("x", "y"), answerTxn, ""},
		{"multi-register", drawTxn("x", "x"), answerTxn, ""},
		{"fenced-register", drawFenced, answerFenced, ""},
	}
}

func strip(f history.F) history.F { return history.F(strings.TrimSuffix(string(f), "+")) }

func texts(*history.Operation) []history.Value {
	var all []history.Value
	for _, a := range []string{"", "a", "b"} {
		for _, b := range []string{"", "a", "b", "aa", "ab", "ba", "bb"} {
			all = append(all, history.Str(a+b))
		}
	}
	return all
}

func drawTxn(x, y history.Key) func(r *rand.Rand) (history.F, history.Value) {
	return func(r *rand.Rand) (history.F, history.Value) {
		var steps []history.Step
		for range 1 + r.IntN(2) {
			s := history.Step{F: "r", Key: []history.Key{x, y}[r.IntN(2)]}
			if r.IntN(2) == 0 {
				s.F, s.Value = "w", history.Int(int64(r.IntN(3)))
			}
			steps = append(steps, s)
		}
		return "txn", history.Steps(steps...)
	}
}

func answerTxn(op *history.Operation) []history.Value {
	all := [][]history.Value{nil}
	for i := range op.In.Len() {
		m := op.In.At(i)
		vs := []history.Value{m.At(2)}
		if f, _ := m.At(0).AsString(); f == "r" {
			vs = ints(3)
		}
		var longer [][]history.Value
		for _, before := range all {
			for _, v := range vs {
				longer = append(longer, append(slices.Clip(before), history.List(m.At(0), m.At(1), v)))
			}
		}
		all = longer
	}
	out := make([]history.Value, len(all))
	for i, steps := range all {
		out[i] = history.List(steps...)
	}
	return out
}

func drawFenced(r *rand.Rand) (history.F, history.Value) {
	if r.IntN(2) == 0 {
		return "read", history.Value{}
	}
	return "write", history.Pair(int64(r.IntN(3)), int64(r.IntN(2)))
}

func answerFenced(op *history.Operation) []history.Value {
	if op.F == "write" {
		return []history.Value{op.In}
	}
	all := []history.Value{{}}
	for token := range int64(3) {
		all = append(all, history.Pair(token, 0), history.Pair(token, 1))
	}
	return all
}

// history draws up to most operations of a few processes. They happen at some instant
// of their interval, and end as they should, but for a lie now and then.
func (f family) history(t *testing.T, r *rand.Rand, spec *models.Spec, most int) []Op {
	type event struct {
		history.Operation
		at history.Time
	}
	clients := 2 + r.IntN(3)
	clock := make([]history.Time, clients)
	var events []event
	for range 2 + r.IntN(most-1) {
		p := r.IntN(clients)
		e := event{}
		e.F, e.In = f.call(r)
		e.Type = history.OK
		e.Call = clock[p] + history.Time(r.IntN(4))
		e.Return = e.Call + history.Time(r.IntN(8))
		e.at = e.Call + history.Time(r.IntN(int(e.Return-e.Call)+1))
		clock[p] = e.Return + 1
		if r.IntN(4) == 0 {
			e.Type, e.Return = history.Info, history.Never
			e.at += history.Time(r.IntN(20))
		}
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	lies := r.IntN(6) // of ten
	state := spec.Porcupine.Init()
	var ops []Op
	for i := range events {
		op := &events[i].Operation
		if p := f.end(r, spec, state, op, r.IntN(10) < lies); !p.Facts.Ignored {
			if op.Type != history.Info || r.IntN(2) == 0 {
				_, state = spec.Porcupine.Step(state, p.In, p.Out)
			}
			if op.Type == history.Info && p.Facts.Pure {
				continue
			}
			ops = append(ops, Op{In: p.In, Out: p.Out, Facts: &p.Facts,
				Call: op.Call, Return: op.Return})
		}
	}
	r.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	return ops
}

// end gives an operation its result, in which the model believes unless lie. If there
// is none, its outcome is unknown.
func (f family) end(
	r *rand.Rand, spec *models.Spec, state any, op *history.Operation, lie bool,
) models.Parsed {
	parse := func() models.Parsed {
		p, err := spec.Parse(*op)
		if err != nil {
			panic(err)
		}
		return p
	}
	if op.Type == history.Info {
		return parse()
	}
	answers := f.answers(op)
	for _, i := range r.Perm(len(answers)) {
		op.Type, op.Out = history.OK, answers[i]
		if f.refusals == op.F && r.IntN(4) == 0 {
			op.Type, op.Out = history.Fail, history.Value{}
		}
		p := parse()
		if ok, _ := spec.Porcupine.Step(state, p.In, p.Out); ok || lie {
			return p
		}
	}
	op.Type, op.Return, op.Out = history.Info, history.Never, history.Value{}
	return parse()
}

func show(spec *models.Spec, ops []Op) string {
	var b strings.Builder
	for i, o := range ops {
		fmt.Fprintf(&b, "%d: %s %d..%d\n", i, spec.Porcupine.DescribeOperation(o.In, o.Out),
			o.Call, o.Return)
	}
	return b.String()
}

// eachFamily calls f on random histories of each model and counts how many are bad.
func eachFamily(
	t *testing.T, n, most int, f func(t *testing.T, spec *models.Spec, ops []Op) bool,
) {
	for i, fam := range families() {
		t.Run(fmt.Sprintf("%d %s", i, fam.model), func(t *testing.T) {
			t.Parallel()
			spec, err := models.Lookup(fam.model)
			if err != nil {
				t.Fatal(err)
			}
			r := sweep.Rand(t, uint64(i), 5)
			bad := 0
			for range n {
				ops := fam.history(t, r, &spec, most)
				if !f(t, &spec, ops) {
					bad++
				}
				if t.Failed() {
					t.Fatalf("history:\n%s", show(&spec, ops))
				}
			}
			t.Logf("%d histories, %d of them not linearizable", n, bad)
			if bad*10 < n || bad*10 > 9*n {
				t.Errorf("%d of %d histories are bad: one kind is too rare to test anything", bad, n)
			}
		})
	}
}

const forgetful = "frontier that forgets"

// engines are the two, by name, and one that forgets all it can at each return. Those with
// a space work in one for all histories of a model.
func engines() map[string]func(*testing.T, *models.Spec, []Op) Result {
	b := Budget{Order: true}
	var spaces sync.Map
	space := func(s *models.Spec) *Space {
		v, _ := spaces.LoadOrStore(s, NewSpace(s))
		return v.(*Space)
	}
	return map[string]func(*testing.T, *models.Spec, []Op) Result{
		"frontier": func(t *testing.T, s *models.Spec, ops []Op) Result {
			return Frontier(t.Context(), s, ops, b)
		},
		forgetful: func(t *testing.T, s *models.Spec, ops []Op) Result {
			p := newPlan(s)
			p.prepare(ops)
			r := rooms[[8]uint64]{table: table{spec: s}}
			r.machine.begin(t.Context(), p, &r.table, &r.uses, b)
			r.frontier.begin(&r.machine)
			r.frontier.forgetful = true
			return r.frontier.run()
		},
		"frontier in a space": func(t *testing.T, s *models.Spec, ops []Op) Result {
			return space(s).Frontier(t.Context(), ops, b)
		},
		"depth in a space": func(t *testing.T, s *models.Spec, ops []Op) Result {
			return space(s).Depth(t.Context(), ops, b)
		},
		"depth": func(t *testing.T, s *models.Spec, ops []Op) Result {
			return Depth(t.Context(), s, ops, b)
		},
	}
}

// TestTwins compares both engines with brute force, replays the orders that they find,
// and compares the returns at which they got stuck.
func TestTwins(t *testing.T) {
	all := engines()
	rounds := sweep.Rounds(t, longtest.Of(625, 2500))
	eachFamily(t, rounds, 9, func(t *testing.T, spec *models.Spec, ops []Op) bool {
		truth := bruteForce(spec, ops)
		want := Illegal
		if truth {
			want = Legal
		}
		passed := -1
		for name, engine := range all {
			r := engine(t, spec, ops)
			if r.Answer != want {
				t.Errorf("%s: answer %d, want %d, %s", name, r.Answer, want, r.Fault)
				return truth
			}
			if truth {
				if err := Replay(spec, ops, r.Order); err != nil {
					t.Errorf("%s: %v: %v", name, err, r.Order)
				}
				continue
			}
			stuck(t, name, spec, ops, r)
			if spec.Leads != nil {
				continue // they may look ahead from different places
			}
			if passed >= 0 && r.Passed != passed {
				t.Errorf("stuck after %d and %d returns", passed, r.Passed)
			}
			passed = r.Passed
		}
		return truth
	})
}

// stuck tests what is told about a violation: without the returns from the one that
// had no place on there is an order, with that one there is none; and the last
// configurations hold legal orders.
func stuck(t *testing.T, name string, spec *models.Spec, ops []Op, r Result) {
	t.Helper()
	if r.Blocked < 0 && spec.Leads == nil || len(r.Last) == 0 {
		t.Errorf("%s: not said where it got stuck: %+v", name, r)
		return
	}
	if r.Blocked >= 0 {
		firstStuck(t, name, spec, ops, r)
	}
	for _, s := range r.Last {
		state := spec.Porcupine.Init()
		for _, i := range s.Order {
			ok, next := spec.Porcupine.Step(state, ops[i].In, ops[i].Out)
			if !ok {
				t.Errorf("%s: no legal order: %v", name, s.Order)
			}
			state = next
		}
		if !spec.Porcupine.Equal(state, s.State) {
			t.Errorf("%s: the order %v does not end in %v", name, s.Order, s.State)
		}
	}
}

// firstStuck tests that the return which had no place was the first.
func firstStuck(t *testing.T, name string, spec *models.Spec, ops []Op, r Result) {
	t.Helper()
	end := ops[r.Blocked].Return
	before, with := slices.Clone(ops), slices.Clone(ops)
	for i := range ops {
		if ops[i].Return >= end {
			before[i].Return = history.Never
		}
		if ops[i].Return > end {
			with[i].Return = history.Never
		}
	}
	if bruteForce(spec, with) || !bruteForce(spec, before) {
		t.Errorf("%s: operation %d was not the first to have no place", name, r.Blocked)
	}
}
