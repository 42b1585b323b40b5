package sequential

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// The dumb twin: it tries every interleaving of the processes, and for a crashed
// operation every later moment, or none.

// step executes an operation on what the register holds.
func step(state Value, op *Op) (Value, bool) {
	switch op.Kind {
	case Read:
		return state, state == op.Value
	case Write:
		return op.Value, true
	case Swap:
		return op.Value, state == op.Old
	default:
		return state, state != op.Old
	}
}

// mayBeNext reports whether the process of operation i has done all before it.
func mayBeNext(ops []Op, done, i int) bool {
	for j := range i {
		if ops[j].Process == ops[i].Process && !ops[j].Crashed && done&(1<<j) == 0 {
			return false
		}
	}
	return true
}

func bruteForce(ops []Op) bool {
	type config struct {
		done  int
		state Value
	}
	required := 0
	for i := range ops {
		if !ops[i].Crashed {
			required |= 1 << i
		}
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
			if next, ok := step(c.state, &ops[i]); ok && search(config{c.done | 1<<i, next}) {
				return true
			}
		}
		return false
	}
	return search(config{})
}

// replay verifies a certificate.
func replay(ops []Op, order []int) error {
	done, state := 0, Nil
	for _, i := range order {
		if done&(1<<i) != 0 || !mayBeNext(ops, done, i) {
			return fmt.Errorf("operation %d is out of place in %v", i, order)
		}
		next, ok := step(state, &ops[i])
		if !ok {
			return fmt.Errorf("operation %d is not possible in %v", i, order)
		}
		done, state = done|1<<i, next
	}
	for i := range ops {
		if !ops[i].Crashed && done&(1<<i) == 0 {
			return fmt.Errorf("operation %d is missing in %v", i, order)
		}
	}
	return nil
}

// draw makes a history: what a register really did, with each process late by as much
// as it likes, and then often spoiled.
func draw(r *rand.Rand, refusals bool) []Op {
	n := 1 + max(r.IntN(10), r.IntN(10))
	processes := 1 + r.IntN(4)
	var past []Value // what the register held, one after another
	past = append(past, Nil)
	at := make([]int, processes) // up to which each has come
	crash := r.IntN(4)
	swaps := r.IntN(3) > 0
	var ops []Op
	for i := range n {
		p := r.IntN(processes)
		op := Op{Process: history.Process(p)}
		at[p] += r.IntN(len(past) - at[p])
		now := len(past) - 1
		switch k := r.IntN(8); {
		case k < 4:
			op.Value = past[at[p]]
		case k < 6 || !swaps:
			op.Kind, op.Value = Write, Value(i+1)
		case k < 7 || !refusals:
			op.Kind, op.Value, op.Old = Swap, Value(i+1), past[now]
		default:
			op.Kind, op.Old = Refused, Value(r.IntN(i+1))
		}
		if op.makes() {
			op.Crashed = r.IntN(10) < crash
			if !op.Crashed || r.IntN(2) == 0 {
				past = append(past, op.Value)
				if !op.Crashed {
					at[p] = len(past) - 1
				}
			}
		}
		ops = append(ops, op)
	}
	for range r.IntN(3) {
		op := &ops[r.IntN(n)]
		switch v := past[r.IntN(len(past))]; op.Kind {
		case Read:
			op.Value = v
			if r.IntN(20) == 0 {
				op.Value = Value(n + 1)
			}
		case Swap, Refused:
			op.Old = v
		default:
			op.Process = history.Process(r.IntN(processes))
		}
	}
	return ops
}

// closed reports whether pairs of operations are a cycle of chains.
func closed(ops []Op, pairs []int) bool {
	root := func(v Value) Value {
		for i := 0; i < len(ops); i++ {
			if ops[i].Kind == Swap && ops[i].Value == v {
				v, i = ops[i].Old, -1
			}
		}
		return v
	}
	for at := 0; at < len(pairs); at += 2 {
		a, b, next := &ops[pairs[at]], &ops[pairs[at+1]], &ops[pairs[(at+2)%len(pairs)]]
		if pairs[at] >= pairs[at+1] || a.Process != b.Process || a.Crashed ||
			root(b.Value) != root(next.Value) || root(a.Value) == root(b.Value) {
			return false
		}
	}
	return len(pairs) >= 4
}

func rounds(t *testing.T, few int) int {
	text := os.Getenv("CHECK_ROUNDS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("CHECK_ROUNDS: %v", err)
	}
	return n
}

func TestTwin(t *testing.T) {
	for _, refusals := range []bool{false, true} {
		n := rounds(t, 20_000)
		count := map[Answer]int{}
		kinds := map[Kind]int{}
		for round := range n {
			ops := draw(rand.New(rand.NewPCG(uint64(round), 7)), refusals)
			got, want := Decide(ops), bruteForce(ops)
			count[got.Answer]++
			switch {
			case got.Answer == Undecided && refusals:
				// Nothing was said.
			case (got.Answer == Sequential) != want, got.Answer == Undecided:
				t.Fatalf("round %d: %+v, twin says %v: %+v", round, got, want, ops)
			case want:
				if err := replay(ops, got.Order); err != nil {
					t.Fatalf("round %d: %v: %+v", round, err, ops)
				}
			default:
				kinds[got.Conflict.Kind]++
				if c := got.Conflict; c.Kind == Cycle && !closed(ops, c.Ops) {
					t.Fatalf("round %d: %v is no cycle: %+v", round, c.Ops, ops)
				}
			}
		}
		t.Logf("refusals %v: %v, conflicts %v", refusals, count, kinds)
		if count[Sequential] < n/10 || count[Violation] < n/10 || count[Undecided] > n/5 {
			t.Errorf("of %d histories %v", n, count)
		}
		for k := Unwritten; k <= Cycle; k++ {
			if kinds[k] == 0 {
				t.Errorf("no conflict of kind %d", k)
			}
		}
	}
}

// TestLong: cost is linear, and a violation at the end of a long history is told by two
// pairs of operations, however far apart.
func TestLong(t *testing.T) {
	const n = 100_000
	var ops []Op
	for i := range Value(n) {
		ops = append(ops, Op{Process: 1, Kind: Write, Value: i + 1},
			Op{Process: 2, Value: i}) // always one behind
	}
	if r := Decide(ops); r.Answer != Sequential || len(r.Order) != 2*n || r.Pairs != 2*n-2 {
		t.Fatalf("%v, %d in order, %d pairs", r.Answer, len(r.Order), r.Pairs)
	}
	ops = append(ops, Op{Process: 3, Value: n}, Op{Process: 3, Value: n / 2})
	r := Decide(ops)
	if r.Answer != Violation || r.Conflict.Kind != Cycle || len(r.Conflict.Ops) != 4 {
		t.Fatalf("%v %+v", r.Answer, r.Conflict)
	}
}

func TestNotUnique(t *testing.T) {
	for _, ops := range [][]Op{
		{{Kind: Write, Value: 1}, {Kind: Write, Value: 1}},
		{{Kind: Write, Value: Nil}},
		{{Kind: Swap, Value: 1, Old: 1}, {Kind: Write, Value: 1}},
	} {
		if r := Decide(ops); r.Answer != Undecided || r.Why == "" {
			t.Errorf("%+v: %+v", ops, r)
		}
	}
}
