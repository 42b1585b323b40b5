package check_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// snapTxn is a transaction of a test: it reads and writes registers 0, 1, …, each once.
type snapTxn struct {
	call, ret     int // moments
	reads, writes map[int]int
	unknown       bool
	// When it really had its moments.
	snapshot, commit int
}

// storeOfSnapshots runs transactions with the given moments, under the rule that the first
// committer wins, or by comparing values, and returns those that committed.
func storeOfSnapshots(rng *rand.Rand, n, registers, values int, byValue bool) []snapTxn {
	all := make([]snapTxn, n)
	type moment struct{ txn, half int }
	var moments []moment
	for i := range all {
		all[i] = snapTxn{reads: map[int]int{}, writes: map[int]int{}}
		for r := range registers {
			if rng.IntN(2) == 0 {
				all[i].reads[r] = 0
			}
			if rng.IntN(3) == 0 {
				all[i].writes[r] = 1 + rng.IntN(values)
			}
		}
		for half := range 4 { // call, snapshot, commit, return
			moments = append(moments, moment{i, half})
		}
	}
	rng.Shuffle(len(moments), func(a, b int) { moments[a], moments[b] = moments[b], moments[a] })
	next := make([]int, n)
	state, version := map[int]int{}, map[int]int{}
	seen, was := make([]map[int]int, n), make([]map[int]int, n)
	gone := map[int]bool{}
	for at, m := range moments {
		t := &all[m.txn]
		half := next[m.txn]
		next[m.txn]++
		switch half {
		case 0:
			t.call = at
		case 1:
			t.snapshot = at
			seen[m.txn], was[m.txn] = map[int]int{}, map[int]int{}
			for r := range registers {
				seen[m.txn][r], was[m.txn][r] = version[r], state[r]
			}
			for r := range t.reads {
				t.reads[r] = state[r]
			}
		case 2:
			t.commit = at
			for r := range t.writes {
				changed := version[r] != seen[m.txn][r]
				if byValue {
					changed = state[r] != was[m.txn][r]
				}
				gone[m.txn] = gone[m.txn] || changed
			}
			if !gone[m.txn] {
				for r, v := range t.writes {
					state[r] = v
					version[r] = at + 1
				}
			}
		default:
			t.ret = at
		}
	}
	var done []snapTxn
	for i := range all {
		if !gone[i] && len(all[i].reads)+len(all[i].writes) > 0 {
			all[i].unknown = len(all[i].writes) > 0 && rng.IntN(6) == 0
			done = append(done, all[i])
		}
	}
	return done
}

// historyOfSnapshots are the transactions as operations of one group.
func historyOfSnapshots(txns []snapTxn) *history.History {
	h := &history.History{}
	for i, t := range txns {
		var in, out []history.Step
		for r := range 3 {
			key := history.Key("k." + string(rune('x'+r)))
			if v, reads := t.reads[r]; reads {
				got := history.Int(int64(v))
				if v == 0 {
					got = history.Nil()
				}
				in = append(in, history.Step{F: history.StepRead, Key: key})
				out = append(out, history.Step{F: history.StepRead, Key: key, Value: got})
			}
		}
		for r := range 3 {
			key := history.Key("k." + string(rune('x'+r)))
			if v, writes := t.writes[r]; writes {
				s := history.Step{F: history.StepWrite, Key: key, Value: history.Int(int64(v))}
				in, out = append(in, s), append(out, s)
			}
		}
		op := history.Operation{
			Index: int64(2 * i), Process: history.Process(i), Type: history.OK, F: "txn", Key: "k",
			In: history.Steps(in...), Out: history.Steps(out...),
			Call: history.Time(t.call), Return: history.Time(t.ret),
		}
		if t.unknown {
			op.Type, op.Return, op.Out = history.Info, history.Never, history.Nil()
		}
		h.Ops = append(h.Ops, op)
	}
	slices.SortStableFunc(h.Ops, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	return h
}

// snapForce tries every order of the moments of transactions.
type snapForce struct {
	txns   []snapTxn
	state  map[int]int
	where  []int // waiting for its snapshot, open, over
	doomed []int // by how many commits since its snapshot
}

func snapshotsByForce(txns []snapTxn) bool {
	f := snapForce{txns, map[int]int{}, make([]int, len(txns)), make([]int, len(txns))}
	return f.try()
}

func (f *snapForce) try() bool {
	done := true
	for i := range f.txns {
		done = done && (f.where[i] == 2 || f.txns[i].unknown)
	}
	for i := 0; i < len(f.txns) && !done; i++ {
		switch {
		case f.where[i] == 0 && f.mayBegin(&f.txns[i]):
			f.where[i] = 1
			done = f.try()
			f.where[i] = 0
		case f.where[i] == 1 && f.doomed[i] == 0:
			done = f.commit(i)
		}
	}
	return done
}

// mayBegin reports whether nobody has to be over before, and the state is what it reads.
func (f *snapForce) mayBegin(t *snapTxn) bool {
	for j := range f.txns {
		if o := &f.txns[j]; f.where[j] != 2 && !o.unknown && o.ret < t.call {
			return false
		}
	}
	for r, v := range t.reads {
		if !t.unknown && f.state[r] != v {
			return false
		}
	}
	return true
}

// commit goes on from the commit of one that is open.
func (f *snapForce) commit(i int) bool {
	old, before := maps.Clone(f.state), slices.Clone(f.doomed)
	for r, v := range f.txns[i].writes {
		f.state[r] = v
		for j := range f.txns {
			if _, both := f.txns[j].writes[r]; both && j != i && f.where[j] == 1 {
				f.doomed[j]++
			}
		}
	}
	f.where[i] = 2
	done := f.try()
	f.where[i], f.state, f.doomed = 1, old, before
	return done
}

// TestSnapshotIsolatedIsExact compares with a search by force, on transactions of a store that
// keeps the rule and of one that compares values, under which a register that went from a to
// b and back looks untouched.
func TestSnapshotIsolatedIsExact(t *testing.T) {
	c := check.SnapshotIsolated(check.Options{})
	found := 0
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		byValue := seed%2 == 0
		txns := storeOfSnapshots(rng, 2+rng.IntN(4), 2+rng.IntN(2), 1+rng.IntN(2), byValue)
		if seed%5 == 0 && len(txns) > 0 { // and such as nobody can explain, perhaps
			bad := &txns[rng.IntN(len(txns))]
			for r := range bad.reads {
				bad.reads[r] = rng.IntN(3)
			}
		}
		want := snapshotsByForce(txns)
		h := historyOfSnapshots(txns)
		r := c.Check(context.Background(), h)
		if got := r.Verdict != check.Invalid; got != want || !want && len(r.Counterexamples) == 0 {
			t.Fatalf("seed %d: %v, %s; by force %t\n%+v", seed, r.Verdict, r.Reason, want, txns)
		}
		if !byValue && seed%5 != 0 && !want {
			t.Fatalf("seed %d: a store that keeps the rule is found to break it", seed)
		}
		if !want {
			found++
			smallEnough(t, seed, c, h, r)
		}
	}
	if t.Logf("%d of 3000 histories are wrong", found); found < 100 {
		t.Errorf("only %d histories were wrong", found)
	}
}

// smallEnough: what is left of a history is wrong by itself.
func smallEnough(
	t *testing.T, seed uint64, c check.Checker, h *history.History, r check.Result,
) {
	t.Helper()
	var part history.History
	for _, op := range h.Ops {
		if slices.ContainsFunc(r.Counterexamples[0].Ops, func(o check.Op) bool {
			return o.Index == op.Index
		}) {
			part.Ops = append(part.Ops, op)
		}
	}
	if again := c.Check(context.Background(), &part); again.Verdict != check.Invalid {
		t.Errorf("seed %d: the counter-example is %v by itself: %s", seed, again.Verdict,
			fmt.Sprint(r.Counterexamples[0].Ops))
	}
}

// TestSnapshotIsolatedABA: a register that went from a to b and back has changed; only who
// can have had its snapshot afterwards may write it.
func TestSnapshotIsolatedABA(t *testing.T) {
	txn := func(call, ret int, reads, writes map[int]int) snapTxn {
		return snapTxn{call: call, ret: ret, reads: reads, writes: writes}
	}
	first := txn(0, 1, nil, map[int]int{0: 1, 1: 1})
	there := txn(4, 5, nil, map[int]int{0: 2, 1: 2})
	back := txn(6, 7, nil, map[int]int{0: 1})
	after := txn(10, 11, map[int]int{0: 3, 1: 2}, nil)
	for _, c := range []struct {
		name string
		long snapTxn
		want check.Verdict
	}{
		{"before", txn(2, 9, map[int]int{0: 1, 1: 1}, map[int]int{0: 3}), check.Invalid},
		{"after", txn(2, 9, map[int]int{0: 1, 1: 2}, map[int]int{0: 3}), check.Valid},
		{"in between", txn(2, 9, map[int]int{0: 2, 1: 2}, map[int]int{0: 3}), check.Invalid},
		{"nobody knows", txn(2, 9, map[int]int{0: 1}, map[int]int{0: 3}), check.Valid},
		{"another register", txn(2, 9, map[int]int{0: 1, 1: 1}, map[int]int{2: 3}), check.Valid},
	} {
		txns := []snapTxn{first, c.long, there, back, after}
		if c.name == "another register" { // which nobody else writes: a snapshot may be old
			txns[4].reads = map[int]int{0: 1, 1: 2, 2: 3}
		}
		r := check.SnapshotIsolated(check.Options{}).Check(context.Background(),
			historyOfSnapshots(txns))
		if r.Verdict != c.want {
			t.Errorf("%s: %v, want %v: %s", c.name, r.Verdict, c.want, r.Reason)
		}
	}
}
