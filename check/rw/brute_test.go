package rw

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/weak"
)

// The dumb twin: transactions as a test writes them, and the definitions tried out.

type step struct {
	write bool
	key   int32
	value int64
}

type dumbTxn struct {
	session   int32
	status    weak.Status
	call, ret int64
	steps     []step
}

func historyOf(txns []dumbTxn) *weak.History {
	h := &weak.History{}
	for _, t := range txns {
		h.Begin(t.session, t.status)
		h.Timed(t.call, t.ret)
		for _, s := range t.steps {
			if s.write {
				h.Write(s.key, s.value)
			} else {
				h.Read(s.key, s.value)
			}
		}
	}
	return h
}

func show(txns []dumbTxn) string {
	var b strings.Builder
	for i, t := range txns {
		fmt.Fprintf(&b, "T%d session %d status %d [%d,%d]:", i, t.session, t.status, t.call, t.ret)
		for _, s := range t.steps {
			f := "r"
			if s.write {
				f = "w"
			}
			v := fmt.Sprint(s.value)
			if s.value == weak.Unwritten {
				v = "-"
			}
			fmt.Fprintf(&b, " %s(%d,%s)", f, s.key, v)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// world is a search for an order of snapshots and commits.
type world struct {
	txns  []dumbTxn
	order []int // the txns that take part, numbers
	d     demand
	seen  map[string]bool
}

// legal tries every set of crashed transactions, and every order of events.
func legal(txns []dumbTxn, d demand) bool {
	var crashed, sure []int
	for i, t := range txns {
		switch t.status {
		case weak.Crashed:
			crashed = append(crashed, i)
		case weak.Committed:
			sure = append(sure, i)
		}
	}
	for set := range 1 << len(crashed) {
		list := slices.Clone(sure)
		for at, i := range crashed {
			if set&(1<<at) != 0 {
				list = append(list, i)
			}
		}
		w := &world{txns: txns, order: list, d: d, seen: map[string]bool{}}
		begun, done := make([]bool, len(txns)), make([]bool, len(txns))
		if w.search(begun, done, map[int32]int64{}, map[int][]int32{}) {
			return true
		}
	}
	return false
}

// search goes on from a state: who began, who is done, the values, and which keys changed
// since each began.
func (w *world) search(begun, done []bool, state map[int32]int64, changed map[int][]int32) bool {
	left := slices.DeleteFunc(slices.Clone(w.order), func(i int) bool { return done[i] })
	if len(left) == 0 {
		return true
	}
	key := fmt.Sprint(begun, done, state, changed)
	if w.seen[key] {
		return false
	}
	w.seen[key] = true
	for _, i := range left {
		if !begun[i] {
			if !w.mayBegin(i, done) || !w.reads(i, state) {
				continue
			}
			begun[i] = true
			var ok bool
			if w.d.split {
				ok = w.search(begun, done, state, changed)
			} else {
				ok = w.commit(i, begun, done, state, changed)
			}
			if ok {
				return true
			}
			begun[i] = false
			continue
		}
		if w.commit(i, begun, done, state, changed) {
			return true
		}
	}
	return false
}

func (w *world) mayBegin(i int, done []bool) bool {
	t := w.txns[i]
	for _, j := range w.order {
		o := w.txns[j]
		known := !done[j] && o.status == weak.Committed
		if known && w.d.family >= sessionOrder && o.session == t.session && j < i ||
			known && w.d.family == timeOrder && o.ret < t.call {
			return false
		}
	}
	return true
}

func (w *world) reads(i int, state map[int32]int64) bool {
	t := w.txns[i]
	own := map[int32]int64{}
	for _, s := range t.steps {
		if s.write {
			own[s.key] = s.value
			continue
		}
		want, isOwn := own[s.key]
		if !isOwn {
			var known bool
			if want, known = state[s.key]; !known {
				want = weak.Unwritten
			}
		}
		if t.status == weak.Committed && want != s.value {
			return false
		}
	}
	return true
}

func (w *world) commit(
	i int, begun, done []bool, state map[int32]int64, changed map[int][]int32,
) bool {
	next := map[int32]int64{}
	for k, v := range state {
		next[k] = v
	}
	since := map[int][]int32{}
	for j, list := range changed {
		since[j] = slices.Clone(list)
	}
	for _, s := range w.txns[i].steps {
		if !s.write {
			continue
		}
		if slices.Contains(changed[i], s.key) {
			return false
		}
		next[s.key] = s.value
		for _, j := range w.order {
			if j != i && begun[j] && !done[j] && !slices.Contains(since[j], s.key) {
				since[j] = append(since[j], s.key)
				slices.Sort(since[j])
			}
		}
	}
	delete(since, i)
	done[i] = true
	if w.search(begun, done, next, since) {
		return true
	}
	done[i] = false
	return false
}

// consistent decides consistent view (PL-2+) by trying every order of the versions. It
// wants a history without reads that are wrong by themselves.
func consistent(x *weak.Index) bool {
	p := newProblem(sourceOf(x, KeysFree))
	var orders func(k int, arcs []arc) bool
	orders = func(k int, arcs []arc) bool {
		if k == p.keys {
			return noSingle(p.n, arcs)
		}
		var versions []version
		for v := p.first[k] + 1; v < p.first[k+1]; v++ {
			versions = append(versions, v)
		}
		return permute(versions, 0, func(list []version) bool {
			more, last := slices.Clone(arcs), p.first[k]
			for _, v := range list {
				more = p.succession(more, last, v, OtherwiseCycle)
				last = v
			}
			return orders(k+1, more)
		})
	}
	var reads []arc
	for t := range txn(p.n) {
		for _, r := range p.readsOf(t) {
			if w := p.writer[r.version]; w != nobody {
				reads = append(reads, arc{from: w, to: t, kind: graph.WR})
			}
		}
	}
	return orders(0, reads)
}

func permute(list []version, at int, f func([]version) bool) bool {
	if at == len(list) {
		return f(list)
	}
	for i := at; i < len(list); i++ {
		list[at], list[i] = list[i], list[at]
		if permute(list, at+1, f) {
			return true
		}
		list[at], list[i] = list[i], list[at]
	}
	return false
}

// noSingle reports whether there is no cycle with at most one rw.
func noSingle(n int, arcs []arc) bool {
	leads := make([][]bool, n)
	for i := range leads {
		leads[i] = make([]bool, n)
	}
	for _, a := range arcs {
		if a.kind != graph.RW {
			leads[a.from][a.to] = true
		}
	}
	for k := range n {
		for i := range n {
			for j := range n {
				leads[i][j] = leads[i][j] || leads[i][k] && leads[k][j]
			}
		}
	}
	for i := range n {
		if leads[i][i] {
			return false
		}
	}
	return !slices.ContainsFunc(arcs, func(a arc) bool {
		return a.kind == graph.RW && leads[a.to][a.from]
	})
}

// random draws a history. A sequence of commits is played, from which reads see states that
// are more or less old, and times are put around it more or less truly.
func random(r *rand.Rand, most int) []dumbTxn {
	sessions, keys, steps := 1+r.IntN(3), int32(1+r.IntN(3)), 1+r.IntN(3)
	stale, shuffle, crash := r.Float64(), r.IntN(4) == 0, r.IntN(3) == 0
	least := 2
	switch r.IntN(4) {
	case 0:
		stale = 0
	case 1, 2: // all at once, and reads of anything
		keys, steps, stale, least = 2, 4, 1, 4
	}
	values := make([][]int64, keys)
	for k := range values {
		values[k] = []int64{weak.Unwritten}
	}
	clock := make([]int64, sessions)
	var txns []dumbTxn
	next := int64(0)
	for range least + r.IntN(most-least+1) {
		s := r.Int32N(int32(sessions))
		t := dumbTxn{session: s, call: clock[s] + r.Int64N(4)}
		t.ret = t.call + r.Int64N(7)
		clock[s] = t.ret + 1
		own := map[int32]int64{}
		for range (steps+1)/2 + r.IntN(steps/2+1) {
			k := r.Int32N(keys)
			if r.IntN(2) == 0 {
				next++
				t.steps = append(t.steps, step{true, k, next})
				own[k] = next
				continue
			}
			v, isOwn := own[k]
			if !isOwn {
				v = values[k][len(values[k])-1]
				if r.Float64() < stale {
					v = values[k][r.IntN(len(values[k]))]
				}
				own[k] = v
			}
			t.steps = append(t.steps, step{false, k, v})
		}
		for _, s := range t.steps {
			if s.write && own[s.key] == s.value {
				values[s.key] = append(values[s.key], s.value)
			}
		}
		if crash && r.IntN(4) == 0 {
			t.status = weak.Crashed
			t.ret = graph.Never
			clock[s]++
			t.session = int32(sessions + len(txns))
		}
		txns = append(txns, t)
	}
	if shuffle {
		for range 2 {
			i, j := r.IntN(len(txns)), r.IntN(len(txns))
			txns[i].steps, txns[j].steps = txns[j].steps, txns[i].steps
		}
	}
	return txns
}
