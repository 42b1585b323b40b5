package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// The dumb twin: it tries every order of the writes and, for each read, every set of
// writes that it may see, by the words of the definitions.

func bruteForce(h *History, g Guarantees) bool {
	var writes []int
	for i := range h.Ops {
		if h.Ops[i].Write {
			writes = append(writes, i)
		}
	}
	return permutations(writes, func(order []int) bool {
		if !orderly(h, g, order) {
			return false
		}
		for r := range h.Ops {
			if !h.Ops[r].Write && !visible(h, g, order, r) {
				return false
			}
		}
		return true
	})
}

func permutations(list []int, f func([]int) bool) bool {
	var try func(n int) bool
	try = func(n int) bool {
		if n == len(list) {
			return f(list)
		}
		for i := n; i < len(list); i++ {
			list[n], list[i] = list[i], list[n]
			ok := try(n + 1)
			list[n], list[i] = list[i], list[n]
			if ok {
				return true
			}
		}
		return false
	}
	return try(0)
}

// earlier reports whether a comes before b in their session, and counts for it.
func earlier(h *History, a, b int) bool {
	return a < b && h.Ops[a].Session == h.Ops[b].Session && !h.Ops[a].Crashed
}

// returnedBy are the writes that a read returned, false if one of them is none.
func returnedBy(h *History, r int) ([]int, bool) {
	values := h.Ops[r].List
	if !h.Collections {
		values = nil
		if h.Ops[r].Value != Nil {
			values = []Value{h.Ops[r].Value}
		}
	}
	var list []int
	for _, v := range values {
		w := slices.IndexFunc(h.Ops, func(op Op) bool { return op.Write && op.Value == v })
		if w < 0 || h.Ops[w].Key != h.Ops[r].Key || slices.Contains(list, w) {
			return nil, false
		}
		list = append(list, w)
	}
	return list, true
}

// needed calls f with each pair of writes of which the first has to come first and be
// seen with the second.
func needed(h *History, g Guarantees, f func(first, second int)) {
	for a := range h.Ops {
		for b := range h.Ops {
			if !h.Ops[b].Write || !earlier(h, a, b) {
				continue
			}
			if h.Ops[a].Write && g.has(MonotonicWrites) {
				f(a, b)
			}
			if !h.Ops[a].Write && g.has(WritesFollowReads) {
				seen, _ := returnedBy(h, a)
				for _, w := range seen {
					f(w, b)
				}
			}
		}
	}
}

// orderly reports whether an order of the writes is one that guarantees and lists allow.
// Writes that nobody knows of and nobody saw are in it, too: they may come last.
func orderly(h *History, g Guarantees, order []int) bool {
	at := make(map[int]int)
	for i, w := range order {
		at[w] = i
	}
	took := func(w int) bool {
		if !h.Ops[w].Crashed {
			return true
		}
		for r := range h.Ops {
			if seen, _ := returnedBy(h, r); !h.Ops[r].Write && slices.Contains(seen, w) {
				return true
			}
		}
		return false
	}
	ok := true
	needed(h, g, func(first, second int) { ok = ok && (!took(second) || at[first] < at[second]) })
	for a := range h.Ops {
		for b := range h.Ops {
			if h.Rising && h.Ops[a].Write && h.Ops[b].Write && h.Ops[a].Key == h.Ops[b].Key &&
				earlier(h, a, b) && took(b) && at[a] > at[b] {
				return false
			}
		}
	}
	if !h.Collections || !h.Ordered || g&(MonotonicWrites|WritesFollowReads) == 0 {
		return ok
	}
	for r := range h.Ops {
		seen, _ := returnedBy(h, r)
		ok = ok && slices.IsSortedFunc(seen, func(a, b int) int { return at[a] - at[b] })
	}
	return ok
}

// visible reports whether there is a set of writes that a read may have seen.
func visible(h *History, g Guarantees, order []int, r int) bool {
	returned, ok := returnedBy(h, r)
	if !ok {
		return false
	}
	for set := range 1 << len(order) {
		sees := func(w int) bool { return set&(1<<slices.Index(order, w)) != 0 }
		if mayReturn(h, order, r, sees, returned) && mustSee(h, g, r, sees) {
			return true
		}
	}
	return false
}

// mayReturn reports whether a read that sees this returns that.
func mayReturn(h *History, order []int, r int, sees func(int) bool, want []int) bool {
	var got []int
	for _, w := range order {
		if sees(w) && h.Ops[w].Key == h.Ops[r].Key {
			got = append(got, w)
		}
	}
	if h.Collections {
		slices.Sort(got)
		want = slices.Sorted(slices.Values(want))
	} else {
		got = got[max(0, len(got)-1):]
	}
	return slices.Equal(got, want)
}

func mustSee(h *History, g Guarantees, r int, sees func(int) bool) bool {
	for a := range h.Ops {
		if !earlier(h, a, r) {
			continue
		}
		if h.Ops[a].Write && g.has(ReadYourWrites) && !sees(a) {
			return false
		}
		if !h.Ops[a].Write && g.has(MonotonicReads) {
			seen, _ := returnedBy(h, a)
			for _, w := range seen {
				if !sees(w) {
					return false
				}
			}
		}
	}
	ok := true
	needed(h, g, func(first, second int) { ok = ok && (!sees(second) || sees(first)) })
	return ok
}

// draw makes a history of replicas that exchange their writes now and then: registers
// keep the newest, collections everything.
func draw(r *rand.Rand, collections bool) *History {
	h := &History{Collections: collections, Ordered: r.IntN(2) == 0, Rising: r.IntN(3) == 0}
	sessions, keys, replicas := 1+r.IntN(4), 1+r.IntN(2), 1+r.IntN(3)
	state := make([][]int, replicas) // writes, the newest last
	crash, careless := r.IntN(5) == 0, r.IntN(4) > 0
	writes := 0
	for range 4 + r.IntN(6) {
		s, at := r.IntN(sessions), r.IntN(replicas)
		op := Op{Session: int32(s), Key: int32(r.IntN(keys))}
		if writes < 5 && r.IntN(2) == 0 {
			writes++
			op.Write, op.Value = true, Value(writes)
			op.Crashed = crash && r.IntN(2) == 0
			state[at] = append(state[at], len(h.Ops))
			h.Ops = append(h.Ops, op)
		} else {
			for _, w := range state[at] {
				if h.Ops[w].Key != op.Key {
					continue
				}
				if op.Value = h.Ops[w].Value; collections {
					op.List = append(op.List, op.Value)
				}
			}
			if careless && r.IntN(3) == 0 {
				spoil(r, &op, writes, collections)
			}
			if collections {
				op.Value = Nil
			}
			h.Ops = append(h.Ops, op)
		}
		if from, to := r.IntN(replicas), r.IntN(replicas); r.IntN(3) > 0 {
			for _, w := range state[from] {
				if !slices.Contains(state[to], w) {
					state[to] = append(state[to], w)
				}
			}
			slices.Sort(state[to])
		}
	}
	if r.IntN(3) == 0 { // some things happen earlier than others can know
		moved := slices.Clone(h.Ops)
		slices.SortStableFunc(moved, func(a, b Op) int { return int(b.Session%2) - int(a.Session%2) })
		h.Ops = moved
	}
	return h
}

func spoil(r *rand.Rand, op *Op, writes int, collections bool) {
	if !collections {
		op.Value = Value(r.IntN(writes + 2))
		return
	}
	switch n := len(op.List); {
	case r.IntN(6) == 0:
		op.List = append(op.List, Value(1+r.IntN(writes+1)))
	case n > 1 && r.IntN(2) == 0:
		i, j := r.IntN(n), r.IntN(n)
		op.List[i], op.List[j] = op.List[j], op.List[i]
	case n > 0:
		at := r.IntN(n)
		op.List = slices.Delete(op.List, at, at+1)
	}
}

// TestTwin compares all sets of guarantees with the twin.
func TestTwin(t *testing.T) {
	for _, collections := range []bool{false, true} {
		for g := ReadYourWrites; g <= Causal; g++ {
			t.Run(fmt.Sprintf("%v, collections %v", g, collections), func(t *testing.T) {
				t.Parallel()
				r := sweep.Rand(t, uint64(g), 1)
				var count [3]int
				total := sweep.Rounds(t, 600)
				for range total {
					h := draw(r, collections)
					got := Decide(t.Context(), h, g)
					count[got.Answer]++
					if want := bruteForce(h, g); got.Answer == Undecided ||
						(got.Answer == Kept) != want {
						t.Fatalf("%v (%s), want %v: %+v", got.Answer, got.Why, want, h)
					}
					if got.Answer == Violation {
						convict(t, h, g, got.Conflict)
					}
				}
				for _, a := range []Answer{Kept, Violation} {
					if count[a] < total/10 {
						t.Errorf("only %d of %d are %v", count[a], total, a)
					}
				}
			})
		}
	}
}

// convict demands that a reduced violation is one by itself, and that without any of its
// operations it is none.
func convict(t *testing.T, h *History, g Guarantees, c *Conflict) {
	t.Helper()
	left, reduced, minimal := Reduce(t.Context(), h, g, c)
	if !minimal {
		t.Fatalf("not reduced: %+v of %+v", left, h)
	}
	if reduced.Kind < Missing {
		return
	}
	if len(reduced.Edges) == 0 && len(reduced.Steps) == 0 {
		t.Fatalf("no reason: %+v of %+v", reduced, h)
	}
	if !bruteForce(h, g) && twinOfPart(h, g, left) {
		t.Fatalf("%v are no violation: %+v", left, h)
	}
	for _, e := range reduced.Edges {
		if e.Why == Overwritten && e.Steps == nil {
			t.Fatalf("no reason why %d sees %d: %+v", e.By, e.From, h)
		}
	}
}

// twinOfPart asks the twin about a part, in which values of other writes are left out.
func twinOfPart(h *History, g Guarantees, part []int) bool {
	p := *h
	p.Ops = nil
	written := func(v Value) bool {
		return slices.ContainsFunc(part, func(i int) bool {
			return h.Ops[i].Write && h.Ops[i].Value == v
		})
	}
	for _, i := range part {
		op := h.Ops[i]
		if !op.Write && !h.Collections && op.Value != Nil && !written(op.Value) {
			continue
		}
		op.List = nil
		for _, v := range h.Ops[i].List {
			if written(v) {
				op.List = append(op.List, v)
			}
		}
		p.Ops = append(p.Ops, op)
	}
	return bruteForce(&p, g)
}
