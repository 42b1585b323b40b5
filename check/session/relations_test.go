package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check/weak"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// spread makes a longer history of replicas to which writes come late, in whatever order
// if reorder, and sessions that go from one to another.
func spread(r *rand.Rand, n int, collections, reorder bool) *History {
	h := &History{Collections: collections}
	sessions, keys, replicas := 2+r.IntN(6), 1+r.IntN(3), 1+r.IntN(5)
	rank := make(map[int]int) // by which the later of two writes is known everywhere
	state := make([][]int, replicas)
	home := make([]int, sessions)
	for i := range home {
		home[i] = r.IntN(replicas)
	}
	roam := r.IntN(4) == 0
	for range n {
		s := r.IntN(sessions)
		if roam && r.IntN(8) == 0 {
			home[s] = r.IntN(replicas)
		}
		at := home[s]
		op := Op{Session: int32(s), Key: int32(r.IntN(keys))}
		if r.IntN(3) == 0 {
			op.Write, op.Value = true, Value(len(h.Ops)+1)
			rank[len(h.Ops)] = len(h.Ops)
			state[at] = append(state[at], len(h.Ops))
		} else {
			last := -1
			for _, w := range state[at] {
				if h.Ops[w].Key != op.Key {
					continue
				}
				op.List = append(op.List, h.Ops[w].Value)
				if last < 0 || rank[w] > rank[last] {
					last, op.Value = w, h.Ops[w].Value
				}
			}
			if collections {
				op.Value = Nil
			} else {
				op.List = nil
			}
		}
		h.Ops = append(h.Ops, op)
		from, to := r.IntN(replicas), r.IntN(replicas)
		for _, w := range state[from] {
			if !slices.Contains(state[to], w) && (!reorder || r.IntN(2) == 0) {
				state[to] = append(state[to], w)
			}
		}
	}
	return h
}

// TestCausalIsThatOfTransactions compares causal consistency of registers with what
// package weak says of transactions of one operation each.
func TestCausalIsThatOfTransactions(t *testing.T) {
	r := sweep.Rand(t, 1, 2)
	var count [3]int
	total := sweep.Rounds(t, 300)
	for range total {
		h := spread(r, 10+r.IntN(150), false, r.IntN(2) == 0)
		var w weak.History
		for _, op := range h.Ops {
			w.Begin(op.Session, weak.Committed)
			switch {
			case op.Write:
				w.Write(op.Key, int64(op.Value))
			case op.Value == Nil:
				w.Read(op.Key, weak.Unwritten)
			default:
				w.Read(op.Key, int64(op.Value))
			}
		}
		x, err := weak.NewIndex(&w)
		if err != nil {
			t.Fatal(err)
		}
		v, err := x.Check(weak.Causal, true)
		if err != nil {
			t.Fatal(err)
		}
		got := Decide(t.Context(), h, Causal)
		count[got.Answer]++
		if (got.Answer == Kept) != (v == nil) {
			t.Fatalf("%v, but by transactions %+v: %+v", got.Answer, v, h)
		}
	}
	for _, a := range []Answer{Kept, Violation} {
		if count[a] < total/10 {
			t.Errorf("only %d of %d are %v", count[a], total, a)
		}
	}
}

// TestRelations changes histories in ways that must not change the answer, or only in
// one direction.
func TestRelations(t *testing.T) {
	r := sweep.Rand(t, 3, 4)
	for range sweep.Rounds(t, 150) {
		h := spread(r, 10+r.IntN(100), r.IntN(2) == 0, r.IntN(2) == 0)
		h.Ordered = r.IntN(2) == 0
		var answers [Causal + 1]Answer
		for g := range Causal + 1 {
			answers[g] = Decide(t.Context(), h, g).Answer
			for less := range g {
				if g.has(less) && answers[less] == Violation && answers[g] != Violation {
					t.Fatalf("%v is %v, but %v is not: %+v", g, answers[g], less, h)
				}
			}
		}
		for name, change := range map[string]func(*History){
			"other numbers of sessions": func(h *History) {
				for i := range h.Ops {
					h.Ops[i].Session = 9 - h.Ops[i].Session
				}
			},
			"other order between sessions": func(h *History) {
				slices.SortStableFunc(h.Ops, func(a, b Op) int { return int(a.Session - b.Session) })
			},
			"a write of which nobody knows": func(h *History) {
				at := r.IntN(len(h.Ops))
				h.Ops = slices.Insert(h.Ops, at, Op{Session: h.Ops[at].Session, Write: true,
					Crashed: true, Value: 10_000})
			},
			"a session on keys of its own": func(h *History) {
				h.Ops = append(h.Ops, Op{Session: 11, Key: 8, Write: true, Value: 10_000},
					Op{Session: 11, Key: 8, Value: 10_000, List: []Value{10_000}})
			},
		} {
			other := *h
			other.Ops = slices.Clone(h.Ops)
			change(&other)
			for g := range Causal + 1 {
				if got := Decide(t.Context(), &other, g).Answer; got != answers[g] {
					t.Fatalf("%s: %v is %v, was %v: %+v", name, g, got, answers[g], h)
				}
			}
		}
	}
}

// TestMutations spoils histories of one replica, which keep everything, in ways that are
// known to break a guarantee.
func TestMutations(t *testing.T) {
	write := func(s, k int32, v Value) Op { return Op{Session: s, Key: k, Write: true, Value: v} }
	read := func(s, k int32, v Value) Op { return Op{Session: s, Key: k, Value: v} }
	list := func(s, k int32, l ...Value) Op { return Op{Session: s, Key: k, List: l} }
	for _, c := range []struct {
		name   string
		list   bool
		broken []Guarantees // exactly these and what has them, of those with names
		ops    []Op
	}{
		{"own write not seen", false, []Guarantees{ReadYourWrites},
			[]Op{write(0, 0, 1), read(0, 0, Nil)}},
		{"back to the older of two", false, []Guarantees{MonotonicReads},
			[]Op{write(1, 0, 1), write(1, 0, 2), read(0, 0, 2), read(0, 0, 1), read(0, 0, 2)}},
		{"back to nothing", false, []Guarantees{MonotonicReads},
			[]Op{write(1, 0, 1), read(0, 0, 1), read(0, 0, Nil)}},
		{"writes in the other order, of two registers", false, []Guarantees{PRAM},
			[]Op{write(0, 0, 1), write(0, 1, 2), read(1, 1, 2), read(1, 0, Nil)}},
		{"an answer before its question", false, []Guarantees{Causal},
			[]Op{write(0, 0, 1), read(1, 0, 1), write(1, 1, 2), read(2, 1, 2), read(2, 0, Nil)}},
		{"the later of two elements alone", true, []Guarantees{MonotonicWrites},
			[]Op{write(0, 0, 1), write(0, 0, 2), list(1, 0, 2)}},
		{"elements in the other order", true, []Guarantees{MonotonicWrites},
			[]Op{write(0, 0, 1), write(0, 0, 2), list(1, 0, 2, 1)}},
		{"an answer alone", true, []Guarantees{WritesFollowReads},
			[]Op{write(0, 0, 1), list(1, 0, 1), write(1, 0, 2), list(2, 0, 2)}},
		{"an answer alone, of another key", true, []Guarantees{Causal},
			[]Op{write(0, 1, 1), list(1, 1, 1), write(1, 0, 2), list(2, 0, 2), list(2, 1)}},
		{"all well", true, nil,
			[]Op{write(0, 0, 1), list(1, 0, 1), write(1, 0, 2), list(2, 0, 1, 2)}},
	} {
		h := &History{Ops: c.ops, Collections: c.list, Ordered: true}
		for _, g := range All() {
			want := Kept
			if slices.ContainsFunc(c.broken, g.has) {
				want = Violation
			}
			if got := Decide(t.Context(), h, g); got.Answer != want {
				t.Errorf("%s: %v is %v, want %v", c.name, g, got.Answer, want)
			}
		}
	}
}

// TestNames shows that names are read as they are written.
func TestNames(t *testing.T) {
	for g := ReadYourWrites; g <= Causal; g++ {
		if got, err := Parse(g.String()); got != g || err != nil {
			t.Errorf("%v: %v, %v", g, got, err)
		}
	}
	if _, err := Parse("monotonic"); err == nil {
		t.Error("monotonic is no name")
	}
}

// BenchmarkDecide decides a hundred thousand operations of 50 sessions on 1,000 registers of one
// replica.
func BenchmarkDecide(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	h := &History{}
	last := make([]Value, 1000)
	for i := range 100_000 {
		op := Op{Session: r.Int32N(50), Key: r.Int32N(1000), Write: r.IntN(2) == 0}
		if op.Write {
			last[op.Key] = Value(i + 1)
		}
		op.Value = last[op.Key]
		h.Ops = append(h.Ops, op)
	}
	for _, g := range All() {
		b.Run(g.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := Decide(b.Context(), h, g); got.Answer != Kept {
					b.Fatal(got)
				}
			}
		})
	}
}

// TestStops decides nothing when there is no time.
func TestStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	h := spread(rand.New(rand.NewPCG(1, 1)), 2000, false, false)
	if got := Decide(ctx, h, ReadYourWrites); got.Answer != Undecided ||
		!strings.Contains(got.Why, "enough") {
		t.Errorf("%+v", got)
	}
}
