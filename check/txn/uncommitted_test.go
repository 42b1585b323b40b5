package txn

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// uncommittedReads wants that every list that was read could have been there by itself,
// and tries, for each key, the lists that are longest: whatever such a list does not have
// was written behind it, and no two transactions write before each other.
func uncommittedReads(h *history.History) bool {
	keys := []history.Key{"x", "y"}
	var queues [2][][]string // by key and transaction, what it appends
	var lists [2][][]string
	var effective []bool
	for k, key := range keys {
		for i := range h.Ops {
			queues[k] = append(queues[k], nil)
			op := &h.Ops[i]
			in, _ := history.ParseSteps(op.In)
			out, _ := history.ParseSteps(op.Out)
			for at, s := range in {
				switch {
				case s.Key != key:
				case s.F == history.StepAppend:
					queues[k][i] = append(queues[k][i], s.Value.String())
				case op.Type == history.OK:
					list := make([]string, out[at].Value.Len())
					for j := range list {
						list[j] = out[at].Value.At(j).String()
					}
					lists[k] = append(lists[k], list)
				}
			}
		}
	}
	for i := range h.Ops {
		seen := false
		for k := range keys {
			for _, list := range lists[k] {
				seen = seen || slices.ContainsFunc(queues[k][i], func(e string) bool {
					return slices.Contains(list, e)
				})
			}
		}
		typ := h.Ops[i].Type
		effective = append(effective, typ == history.OK || typ == history.Info && seen)
	}
	for k := range keys {
		for _, list := range lists[k] {
			if !couldBe(slices.Clone(queues[k]), list) {
				return false
			}
		}
		lists[k] = append(lists[k], nil)
		lists[k] = slices.DeleteFunc(slices.Clone(lists[k]), func(list []string) bool {
			return slices.ContainsFunc(lists[k], func(other []string) bool {
				return len(other) > len(list)
			})
		})
	}
	for _, x := range lists[0] {
		for _, y := range lists[1] {
			if oneWay(queues, [2][]string{x, y}, effective) {
				return true
			}
		}
	}
	return false
}

// couldBe reports whether transactions that each append their own one after the other can
// have made a list.
func couldBe(queues [][]string, list []string) bool {
	for _, e := range list {
		i := slices.IndexFunc(queues, func(q []string) bool { return len(q) > 0 && q[0] == e })
		if i < 0 {
			return false
		}
		queues[i] = queues[i][1:]
	}
	return true
}

// oneWay reports whether, by these lists, transactions can be put in an order in which they
// write.
func oneWay(queues [2][][]string, lists [2][]string, effective []bool) bool {
	before := make([]uint, len(effective))
	for k, list := range lists {
		place := func(e string) int {
			if at := slices.Index(list, e); at >= 0 {
				return at
			}
			return len(list)
		}
		for i := range effective {
			for j := range effective {
				for _, a := range queues[k][i] {
					for _, b := range queues[k][j] {
						if i != j && place(a) < place(b) {
							before[j] |= 1 << i
						}
					}
				}
			}
		}
	}
	must := uint(0)
	for i, e := range effective {
		if e {
			must |= 1 << i
		}
	}
	done := uint(0)
	for range effective {
		for i := range effective {
			if before[i]&must&^done == 0 {
				done |= 1 << i
			}
		}
	}
	return done&must == must
}

// scattered draws transactions that append, most of which took effect, and reads of lists
// in which these were mixed anew each time, or as the first time, and now and then something
// is out of its place.
func scattered(r *rand.Rand) *history.History {
	h := &history.History{}
	add := func(typ history.Type, in, out []history.Step) {
		i := len(h.Ops)
		op := history.Operation{Index: int64(i), F: "txn", Process: history.Process(i), Type: typ,
			Call: history.Time(i), Return: history.Time(i + 1 + r.IntN(4)), In: history.Steps(in...)}
		if typ == history.OK {
			op.Out = history.Steps(out...)
		}
		h.Ops = append(h.Ops, op)
	}
	appends := map[history.Key][][]int64{}
	for i := range 2 + r.IntN(4) {
		var steps []history.Step
		own := map[history.Key][]int64{}
		for j := range 1 + r.IntN(4) {
			key, n := history.Key([]string{"x", "y"}[r.IntN(2)]), int64(10*i+j)
			own[key] = append(own[key], n)
			steps = append(steps, history.Step{F: history.StepAppend, Key: key, Value: history.Int(n)})
		}
		for key, list := range own {
			appends[key] = append(appends[key], list)
		}
		typ := history.OK
		if r.IntN(4) == 0 {
			typ = []history.Type{history.Info, history.Fail}[r.IntN(2)]
		}
		add(typ, steps, steps)
	}
	for _, key := range []history.Key{"x", "y"} {
		order := mixed(r, appends[key])
		for range r.IntN(4) {
			if r.IntN(3) == 0 {
				order = mixed(r, appends[key])
			}
			list := slices.Clone(order[:r.IntN(len(order)+1)])
			if n := len(list); n > 1 && r.IntN(8) == 0 {
				i, j := r.IntN(n), r.IntN(n)
				list[i], list[j] = list[j], list[i]
			}
			read := history.Step{F: history.StepRead, Key: key}
			in := []history.Step{read}
			read.Value = history.Ints(list...)
			add(history.OK, in, []history.Step{read})
		}
	}
	return h
}

// mixed draws an order of elements that keeps those of each list in theirs. Often the lists
// stay whole, one behind the other.
func mixed(r *rand.Rand, lists [][]int64) (order []int64) {
	lists = slices.Clone(lists)
	whole := r.IntN(4) > 0
	r.Shuffle(len(lists), func(i, j int) { lists[i], lists[j] = lists[j], lists[i] })
	for len(lists) > 0 {
		i := r.IntN(len(lists))
		n := 1
		if whole {
			n = len(lists[i])
		}
		order, lists[i] = append(order, lists[i][:n]...), lists[i][n:]
		lists = slices.DeleteFunc(lists, func(l []int64) bool { return len(l) == 0 })
	}
	return order
}

// TestReadUncommittedAgainstBruteForce: lists that contradict each other, or transactions.
func TestReadUncommittedAgainstBruteForce(t *testing.T) {
	r := sweep.Rand(t, 21, 22)
	n, torn := sweep.Rounds(t, 3000), 0
	var count [2][2]int // by whether lists contradict each other and whether the level holds
	for range n {
		h := scattered(r)
		report, err := ListAppend(t.Context(), h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := uncommittedReads(h)
		if got := report.Lattice[graph.ReadUncommitted]; (got == graph.Holds) != want {
			t.Fatalf("read uncommitted is %v, in truth %v\n%s%v", got, want, show(h), report.Anomalies)
		}
		checkAnomalies(t, h, report)
		at := [2]int{min(1, report.Counts[IncompatibleOrder])}
		if want {
			at[1] = 1
		}
		count[at[0]][at[1]]++
		torn += min(1, report.Counts[Torn])
	}
	t.Logf("%v by contradiction and truth, %d torn", count, torn)
	for _, c := range count {
		if min(c[0], c[1]) < n/50 || torn < n/50 {
			t.Errorf("%v by contradiction and truth, %d torn: too few of one kind", count, torn)
		}
	}
}
