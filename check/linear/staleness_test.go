package linear

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// The dumb twin tries all orders in which reads stand behind the writes of their values,
// however far.

// leastStale is the least number of writes between an operation and the write that it
// saw, or -1 if there is no order at all.
func leastStale(spans []Span, ops []RegisterOp, read int) int {
	const never = 1 << 20
	written := func(done int, v Value) bool {
		return v == Nil || slices.ContainsFunc(ops, func(o RegisterOp) bool {
			return o.Write && o.Value == v && done&(1<<slices.Index(ops, o)) != 0
		})
	}
	known := map[int]int{}
	var search func(done int) int // the least number from here on
	search = func(done int) int {
		if n, found := known[done]; found {
			return n
		}
		best := never
		complete := true
		for i := range ops {
			if done&(1<<i) != 0 {
				continue
			}
			complete = complete && spans[i].crashed()
			if !mayBeNext(spans, done, i) || !ops[i].Write && !ops[i].crashed() &&
				!written(done, ops[i].Value) {
				continue
			}
			n := search(done | 1<<i)
			if ops[i].Write && done&(1<<read) == 0 && written(done, ops[read].Value) {
				n++
			}
			best = min(best, n)
		}
		if complete {
			best = 0
		}
		known[done] = best
		return best
	}
	if n := search(0); n < never {
		return n
	}
	return -1
}

// staleOrder reports whether there is an order in which no read is stale by more than k.
// Of those in loose any staleness will do.
func staleOrder(spans []Span, ops []RegisterOp, k int, loose func(op int) bool) bool {
	required := 0
	for i, s := range spans {
		if !s.crashed() {
			required |= 1 << i
		}
	}
	failed := map[string]bool{}
	var search func(done int, past []Value) bool
	search = func(done int, past []Value) bool {
		if done&required == required {
			return true
		}
		var name strings.Builder
		name.WriteString(strconv.Itoa(done))
		for _, v := range past {
			name.WriteString(" " + strconv.Itoa(int(v)))
		}
		if failed[name.String()] {
			return false
		}
		for i := range ops {
			if done&(1<<i) != 0 || !mayBeNext(spans, done, i) {
				continue
			}
			next := past
			switch at := slices.Index(past, ops[i].Value); {
			case ops[i].Write:
				next = append(slices.Clone(past), ops[i].Value)
			case ops[i].crashed():
			case at < 0, len(past)-1-at > k && !loose(i):
				continue
			}
			if search(done|1<<i, next) {
				return true
			}
		}
		failed[name.String()] = true
		return false
	}
	return search(0, []Value{Nil})
}

// neverLoose makes no exception.
func neverLoose(int) bool { return false }

// drawStale draws a register whose replicas lag behind.
func drawStale(r *rand.Rand) []RegisterOp {
	w := newWorld(r, 8)
	ops := make([]RegisterOp, len(w.spans))
	past := []Value{Nil}
	lag := 1 + r.IntN(4)
	for i := range ops {
		ops[i].Span = w.spans[i]
		ops[i].Write = r.IntN(2) == 0
		if ops[i].Write {
			ops[i].Value = Value(i + 1)
		}
	}
	for _, i := range w.moments {
		if ops[i].Write {
			past = append(past, ops[i].Value)
		} else {
			ops[i].Value = past[max(0, len(past)-1-r.IntN(lag))]
		}
	}
	if r.IntN(20) == 0 {
		i := r.IntN(len(ops))
		if !ops[i].Write {
			ops[i].Value = Value(1 + r.IntN(len(ops)+1))
		}
	}
	return ops
}

// earlier are the spans if reads had been called t earlier, all or one.
func earlier(ops []RegisterOp, t history.Time, only int) []Span {
	spans := make([]Span, len(ops))
	for i := range ops {
		spans[i] = ops[i].Span
		if !ops[i].Write && (only < 0 || i == only) {
			spans[i].Call -= t
		}
	}
	return spans
}

func TestStalenessTwin(t *testing.T) {
	var fresh, stale, broken, loose, reads int
	n := sweep.Rounds(t, 3000)
	for round := range n {
		ops := drawStale(seeded(round))
		spans := earlier(ops, 0, -1)
		s, res := NewStaleness(ops)
		if any := staleOrder(spans, ops, len(ops), neverLoose); any != (res.Answer == Linearizable) {
			t.Fatalf("round %d: %v, twin says %v: %+v", round, res, any, ops)
		}
		if res.Answer != Linearizable {
			broken++
			continue
		}
		for _, r := range s.Reads() {
			reads++
			if want := leastStale(spans, ops, r.Op); r.Versions != want {
				t.Fatalf("round %d: %+v, twin says %d versions: %+v", round, r, want, ops)
			}
			may := func(t history.Time) bool {
				return staleOrder(earlier(ops, t, r.Op), ops, 0, func(i int) bool { return i != r.Op })
			}
			if !may(r.Time) || r.Time > 0 && may(r.Time-1) {
				t.Fatalf("round %d: %+v is not the least time: %+v", round, r, ops)
			}
			if writes, _ := s.Between(r.Op); len(writes) != r.Versions {
				t.Fatalf("round %d: %+v, between %v", round, r, writes)
			}
		}
		together := s.Together()
		may := func(t history.Time) bool {
			return staleOrder(earlier(ops, t, -1), ops, 0, neverLoose)
		}
		if !may(together) || together > 0 && may(together-1) {
			t.Fatalf("round %d: %d is not the least time together: %+v", round, together, ops)
		}
		low, high := s.Bounds()
		exact := 0
		for !staleOrder(spans, ops, exact, neverLoose) {
			exact++
		}
		if exact < low || exact > high || !s.Within(high) {
			t.Fatalf("round %d: %d to %d versions, twin says %d: %+v", round, low, high, exact, ops)
		}
		if exact > 0 {
			stale++
		} else {
			fresh++
		}
		if low < high {
			loose++
		}
	}
	t.Logf("%d fresh, %d stale, %d broken, bounds apart %d, %d reads",
		fresh, stale, broken, loose, reads)
	if fresh < n/10 || stale < n/10 || broken < n/200 || loose > n/50 {
		t.Errorf("%d fresh, %d stale, %d broken, bounds apart %d of %d", fresh, stale, broken, loose, n)
	}
}

// TestStalenessMatchesRegister: nothing is stale if and only if the history is
// linearizable, also long ones.
func TestStalenessMatchesRegister(t *testing.T) {
	good, bad := 0, 0
	for round := range sweep.Rounds(t, 200) {
		w := longWorld(seeded(round), 200)
		ops := make([]RegisterOp, len(w.spans))
		state := Nil
		for i := range ops {
			ops[i] = RegisterOp{Span: w.spans[i], Write: w.IntN(3) == 0, Value: Value(i + 1)}
		}
		for _, i := range w.moments {
			if ops[i].Write {
				state = ops[i].Value
				continue
			}
			ops[i].Value = state
		}
		ops = slices.DeleteFunc(ops, func(o RegisterOp) bool { return !o.Write && o.crashed() })
		if i := w.IntN(len(ops)); !ops[i].Write && w.IntN(2) == 0 {
			ops[i].Value = Nil
		}
		want := Register(ops)
		s, res := NewStaleness(ops)
		if res.Answer != Linearizable {
			t.Fatalf("round %d: %+v", round, res)
		}
		_, high := s.Bounds()
		if fine := want.Answer == Linearizable; fine != (s.Together() == 0) || fine != (high == 0) {
			t.Fatalf("round %d: %v, but stale by %d and %d versions", round, want, s.Together(), high)
		}
		if want.Answer == Linearizable {
			good++
		} else {
			bad++
		}
	}
	if good < 20 || bad < 5 {
		t.Errorf("%d linearizable, %d not", good, bad)
	}
}
