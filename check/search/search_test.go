package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
	"github.com/ordeal-dev/ordeal/models"
)

// parsed makes operations of a model.
func parsed(t *testing.T, spec *models.Spec, ops ...history.Operation) []Op {
	t.Helper()
	out := make([]Op, len(ops))
	for i, op := range ops {
		p, err := spec.Parse(op)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = Op{In: p.In, Out: p.Out, Facts: &p.Facts, Call: op.Call, Return: op.Return}
	}
	return out
}

func lookup(t *testing.T, name string) *models.Spec {
	t.Helper()
	s, err := models.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

func write(v int, call, ret history.Time) history.Operation {
	op := history.Operation{F: "write", In: history.Int(int64(v)), Type: history.OK,
		Call: call, Return: ret}
	if ret == history.Never {
		op.Type = history.Info
	}
	return op
}

func read(v int, call, ret history.Time) history.Operation {
	return history.Operation{F: "read", Out: history.Int(int64(v)), Type: history.OK,
		Call: call, Return: ret}
}

// TestWide has more operations open at a time than fit into one word, or eight: all
// writes at once, and then what was written is read once more in a few reads that
// overlap with all of it. Then a value that was overwritten is read.
func TestWide(t *testing.T) {
	spec := lookup(t, "register")
	for _, n := range []int{40, 70, 140, 600} {
		var ops []history.Operation
		for i := range n {
			ops = append(ops, write(i, 10, 1000))
		}
		for i := range 5 {
			at := history.Time(100 * (i + 1))
			ops = append(ops, read((n-1)*i/4, at, at+50))
		}
		for name, engine := range engines() {
			if n > 8*64 && name == forgetful {
				continue // made for eight words
			}
			good := parsed(t, spec, ops...)
			r := engine(t, spec, good)
			if r.Answer != Legal {
				t.Fatalf("%s: %d at once: answer %d, cause %d", name, n, r.Answer, r.Cause)
			}
			if err := Replay(spec, good, r.Order); err != nil {
				t.Errorf("%s: %d at once: %v", name, n, err)
			}
			bad := parsed(t, spec, append(slices.Clip(ops), read((n-1)/4, 700, 750))...)
			if r := engine(t, spec, bad); r.Answer != Illegal || r.Blocked != len(bad)-1 {
				t.Errorf("%s: %d at once, twice the same: answer %d, cause %d, blocked %d", name, n,
					r.Answer, r.Cause, r.Blocked)
			}
		}
	}
	ops := make([]history.Operation, 5000)
	for i := range ops {
		ops[i] = write(i, 1, 2)
	}
	if r := Depth(t.Context(), spec, parsed(t, spec, ops...), Budget{}); r.Cause != Width {
		t.Errorf("5000 at once: answer %d, cause %d", r.Answer, r.Cause)
	}
}

// hard has no order, but a search needs very long to find that out: the sum of the
// first writes has to be found among all sums.
func hard(t *testing.T) (*models.Spec, []Op) {
	spec := lookup(t, "counter")
	r := sweep.Rand(t, 1, 1)
	var ops []history.Operation
	for i := range 40 {
		ops = append(ops, history.Operation{F: "add", In: history.Int(2 + 2*r.Int64N(1e9)),
			Type: history.OK, Call: history.Time(i), Return: 1000})
	}
	ops = append(ops, history.Operation{F: "read", Out: history.Int(12345), Type: history.OK,
		Call: 100, Return: 200})
	return spec, parsed(t, spec, ops...)
}

func TestBudget(t *testing.T) {
	spec, ops := hard(t)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, engine := range map[string]func(
		context.Context, *models.Spec, []Op, Budget) Result{"frontier": Frontier, "depth": Depth} {
		for _, c := range []struct {
			ctx  context.Context
			b    Budget
			want Cause
		}{
			{t.Context(), Budget{Steps: 20_000}, Steps},
			{t.Context(), Budget{Memory: 4 << 20}, Memory},
			{canceled, Budget{}, Time},
		} {
			r := engine(c.ctx, spec, ops, c.b)
			if r.Answer != Undecided || r.Cause != c.want || r.Blocked != -1 {
				t.Errorf("%s: %+v, want cause %d", name, r, c.want)
			}
			if c.want == Steps && (r.Steps < 20_000 || r.Steps > 25_000 || len(r.Last) == 0) {
				t.Errorf("%s: %d steps, last %v", name, r.Steps, r.Last)
			}
		}
	}
}

// TestModelsThatMisbehave: what a model does wrong is no verdict, and no end of the
// program.
func TestModelsThatMisbehave(t *testing.T) {
	ops := func(s *models.Spec) []Op { return parsed(t, s, write(1, 0, 1), read(1, 2, 3)) }
	m := models.Register()
	m.Apply = func(s models.Scalar, _ models.RegisterIn, _ models.RegisterOut,
	) (models.Scalar, bool) {
		panic("no such register")
	}
	panics := m.Spec()
	m.Apply = func(s models.Scalar, _ models.RegisterIn, _ models.RegisterOut,
	) (models.Scalar, bool) {
		return models.Int(int64(s.Hash() % 1000)), true
	}
	lies := m.Spec()
	for _, c := range []struct {
		spec *models.Spec
		want string
	}{{&panics, "no such register"}, {&lies, "said to be pure"}} {
		for name, engine := range map[string]func(
			context.Context, *models.Spec, []Op, Budget) Result{"frontier": Frontier, "depth": Depth} {
			r := engine(t.Context(), c.spec, ops(c.spec), Budget{})
			if r.Answer != Undecided || r.Cause != Model || !strings.Contains(r.Fault, c.want) {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}

// TestFrontierForgets: the memory of a search that goes breadth first depends on what
// is open, not on the length of the history.
func TestFrontierForgets(t *testing.T) {
	spec := lookup(t, "register")
	var ops []history.Operation
	for i := range 30_000 {
		at := history.Time(10 * i)
		ops = append(ops, write(i, at, at+12), read(i, at+1, at+13))
		if i%20 == 0 {
			ops = append(ops, write(1_000_000+i, at, history.Never), read(1_000_000+i, at+13, at+14))
		}
	}
	in := parsed(t, spec, ops...)
	s := NewSpace(spec)
	if r := s.Frontier(t.Context(), in, Budget{}); r.Answer != Legal {
		t.Fatalf("answer %d after %d returns", r.Answer, r.Passed)
	}
	if n := s.narrow.machine.bytes(); n > 4<<20 {
		t.Errorf("%d bytes, for %d operations of which a few are open at a time", n, len(in))
	}
}

// TestSpace: a space knows nothing of the histories before, whether they were large, wide,
// undecided or ended in a panic.
func TestSpace(t *testing.T) {
	spec := lookup(t, "cas-register")
	step := spec.Porcupine.Step
	breaks := false
	spec.Porcupine.Step = func(state, in, out any) (bool, any) {
		if breaks {
			panic("on purpose")
		}
		return step(state, in, out)
	}
	var long, wide []history.Operation
	for i := range 3_000 {
		at := history.Time(10 * i)
		long = append(long, write(i, at, at+15), write(i%7, at, history.Never),
			read(i, at+1, at+16))
	}
	for i := range 70 {
		wide = append(wide, write(i, 0, 100))
	}
	small := parsed(t, spec, write(1, 0, 10), write(1, 2, history.Never), write(2, 2, 12),
		read(1, 13, 14), read(2, 15, 16), read(1, 17, 18))
	dirty := []func(s *Space){
		func(s *Space) { s.Frontier(t.Context(), parsed(t, spec, long...), Budget{}) },
		func(s *Space) { s.Depth(t.Context(), parsed(t, spec, long...), Budget{Steps: 2_000}) },
		func(s *Space) { s.Frontier(t.Context(), parsed(t, spec, wide...), Budget{}) },
		func(s *Space) {
			b := Budget{Steps: 10, Order: true}
			if r := s.Frontier(t.Context(), parsed(t, spec, long...), b); r.Cause != Steps {
				t.Errorf("cause %d of too many steps", r.Cause)
			}
		},
		func(s *Space) {
			breaks = true
			if r := s.Frontier(t.Context(), small, Budget{}); r.Cause != Model {
				t.Errorf("cause %d of a panic", r.Cause)
			}
			breaks = false
		},
	}
	for _, order := range []bool{false, true} {
		b := Budget{Order: order}
		wantFrontier := Frontier(t.Context(), spec, small, b)
		wantDepth := Depth(t.Context(), spec, small, b)
		s := NewSpace(spec)
		for i, use := range dirty {
			use(s)
			if r := s.Frontier(t.Context(), small, b); !reflect.DeepEqual(r, wantFrontier) {
				t.Errorf("frontier after %d: %+v, want %+v", i, r, wantFrontier)
			}
			use(s)
			if r := s.Depth(t.Context(), small, b); !reflect.DeepEqual(r, wantDepth) {
				t.Errorf("depth after %d: %+v, want %+v", i, r, wantDepth)
			}
		}
	}
}

// TestSparesAreCounted: forty operations without answer that are alike are no more
// work than two, and those that nobody can notice any more are none.
func TestSparesAreCounted(t *testing.T) {
	spec := lookup(t, "cas-register")
	var ops []history.Operation
	for i := range 40 {
		at := history.Time(i)
		ops = append(ops, write(7, at, history.Never), write(1000+i, at, history.Never))
	}
	for i := range 45 {
		at := history.Time(100 + 10*i)
		ops = append(ops, write(1, at, at+1), read(7, at+2, at+3))
	}
	for name, engine := range engines() {
		good := parsed(t, spec, ops[:len(ops)-10]...)
		if r := engine(t, spec, good); r.Answer != Legal || r.Steps > 5_000 {
			t.Errorf("%s: answer %d after %d steps", name, r.Answer, r.Steps)
		}
		bad := parsed(t, spec, ops...)
		r := engine(t, spec, bad)
		if r.Answer != Illegal || r.Blocked != len(bad)-9 || r.Steps > 5_000 {
			t.Errorf("%s: answer %d at %d of %d after %d steps", name, r.Answer, r.Blocked, len(bad),
				r.Steps)
		}
	}
}

// TestReplayRejects what is no certificate.
func TestReplayRejects(t *testing.T) {
	spec := lookup(t, "register")
	ops := parsed(t, spec, write(1, 0, 10), read(1, 20, 30), write(2, 25, 40),
		write(3, 0, history.Never))
	for _, c := range []struct {
		order []int
		want  string
	}{
		{[]int{0, 1, 2}, ""},
		{[]int{3, 0, 1, 2}, ""},
		{[]int{0, 1}, "operation 2 has returned but is not placed"},
		{[]int{0, 1, 1, 2}, "placed twice"},
		{[]int{0, 1, 2, 4}, "none or placed twice"},
		{[]int{1, 0, 2}, "cannot end so"},
		{[]int{0, 2, 1}, "cannot end so"},
		{[]int{2, 0, 1}, "had returned before"},
		{[]int{0, 3, 1, 2}, "cannot end so"},
	} {
		err := Replay(spec, ops, c.order)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.order, err, c.want)
		}
	}
}

// Benchmark measures one step of each engine where nothing is known beforehand: few
// values, all repeated.
func Benchmark(b *testing.B) {
	s, err := models.Lookup("register")
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var ops []Op
	busy := make([]history.Time, 10)
	state := history.Value{}
	for i := range 2000 {
		p := r.IntN(len(busy))
		at := max(busy[p]+1, history.Time(i*10))
		op := history.Operation{F: "read", Out: state, Type: history.OK, Call: at - 1, Return: at + 90}
		if r.IntN(2) == 0 {
			state = history.Int(r.Int64N(4))
			op.F, op.In, op.Out = "write", state, history.Value{}
		}
		busy[p] = op.Return
		parsed, err := s.Parse(op)
		if err != nil {
			b.Fatal(err)
		}
		ops = append(ops, Op{In: parsed.In, Out: parsed.Out, Facts: &parsed.Facts,
			Call: op.Call, Return: op.Return})
	}
	for name, engine := range map[string]func(
		context.Context, *models.Spec, []Op, Budget) Result{"frontier": Frontier, "depth": Depth} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			steps := int64(0)
			for b.Loop() {
				steps += engine(b.Context(), &s, ops, Budget{}).Steps
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(steps), "ns/step")
			b.ReportMetric(float64(steps)/float64(b.N), fmt.Sprintf("steps/%d-ops", len(ops)))
		})
	}
}

// TestHiddenByTheSame: a write that nobody sees happens just before another one, which may
// be of unknown outcome, and leave the state as it was.
func TestHiddenByTheSame(t *testing.T) {
	cas := func(from, to int64, call, ret history.Time) history.Operation {
		return history.Operation{F: "cas", In: history.Pair(from, to), Type: history.OK,
			Call: call, Return: ret}
	}
	unseen := history.Operation{F: "write", In: history.Int(9), Type: history.OK, Call: 10, Return: 11}
	spec := lookup(t, "cas-register")
	ops := []history.Operation{write(0, 1, 8), write(0, 3, history.Never), cas(0, 3, 9, 10), unseen,
		read(3, 14, 18)}
	for name, engine := range engines() {
		good := parsed(t, spec, ops...)
		r := engine(t, spec, good)
		if r.Answer != Legal {
			t.Errorf("%s: answer %d", name, r.Answer)
		} else if err := Replay(spec, good, r.Order); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		bad := parsed(t, spec, slices.Delete(slices.Clone(ops), 1, 2)...)
		if r := engine(t, spec, bad); r.Answer != Illegal {
			t.Errorf("%s: without it: answer %d", name, r.Answer)
		}
	}
}
