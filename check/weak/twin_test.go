package weak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// random draws a history of a few transactions. First come the writes, then what the
// reads see: something before them in the list, or, in a wild history, anything.
func random(r *rand.Rand) *History {
	h := &History{}
	sessions, keys, steps := 1+r.IntN(4), int32(2+r.IntN(2)), 2+r.IntN(4)
	wild, aborts := r.Float64(), r.IntN(3) == 0
	value, alone := int64(0), int32(0)
	for range 2 + r.IntN(5) {
		status := Committed
		if aborts && r.IntN(4) == 0 {
			status = Aborted + Status(r.IntN(2))
		}
		s := int32(r.IntN(sessions))
		if before := lastOf(h, s); status == Crashed && before >= 0 {
			alone++
			h.Begin(int32(sessions)+alone, status)
			h.Follow(before)
		} else {
			h.Begin(s, status)
		}
		for range 1 + r.IntN(steps) {
			if r.IntN(2) == 0 {
				value++
				h.Write(r.Int32N(keys), value)
			} else {
				h.Read(r.Int32N(keys), Unwritten)
			}
		}
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Write || r.IntN(12) == 0 {
			continue
		}
		var list []int64
		for j := range h.Ops {
			o := &h.Ops[j]
			if o.Write && o.Key == op.Key && (j < i || r.Float64() < wild) {
				list = append(list, o.Value)
			}
		}
		if len(list) > 0 {
			op.Value = list[r.IntN(len(list))]
			if r.IntN(3) == 0 {
				op.Value = list[len(list)-1]
			}
		}
	}
	return h
}

// lastOf is the last transaction of a session that was committed, -1 if there is none.
func lastOf(h *History, session int32) Txn {
	for t := Txn(h.Len() - 1); t >= 0; t-- {
		if s, status := h.Session(t); s == session && status == Committed {
			return t
		}
	}
	return -1
}

// dumb is the definitions, tried out.
type dumb struct {
	h    *History
	txns []Txn // those that took effect
	// reads are those of others: the reader's place in txns, that of the source or -1,
	// and the place in the reader.
	reads []dumbRead
}

type dumbRead struct {
	by, from, at int
	key          int32
}

// wrongReads says which reads are wrong by themselves.
func wrongReads(h *History) map[string]bool {
	bad := map[string]bool{}
	for t := range Txn(h.Len()) {
		if _, s := h.Session(t); s != Committed {
			continue
		}
		now := map[int32]int64{}
		own := map[int32]bool{}
		note := func(k Kind) { bad[fmt.Sprint(t, " ", k)] = true }
		for i, op := range h.Of(t) {
			have, known := now[op.Key]
			switch {
			case op.Write:
				own[op.Key] = true
			case wroteLater(h, t, i, op):
				note(FutureRead)
			default:
				if known && have != op.Value && own[op.Key] {
					note(Internal)
				} else if known && have != op.Value {
					note(NonRepeatable)
				}
				if op.Value != Unwritten && !wroteLater(h, t, 0, op) && origin(h, t, op) >= 0 {
					note(Kind(origin(h, t, op)))
				}
			}
			if op.Write || !own[op.Key] { // the own write stays what it should see
				now[op.Key] = op.Value
			}
		}
	}
	return bad
}

func wroteLater(h *History, t Txn, at int, op Op) bool {
	return slices.ContainsFunc(h.Of(t)[at:], func(o Op) bool {
		return o.Write && o.Key == op.Key && o.Value == op.Value
	})
}

func origin(h *History, reader Txn, op Op) int {
	for t := range Txn(h.Len()) {
		found, last := false, false
		for _, o := range h.Of(t) {
			if o.Write && o.Key == op.Key {
				last = o.Value == op.Value
				found = found || last
			}
		}
		_, s := h.Session(t)
		switch {
		case !found:
		case s == Aborted:
			return int(AbortedRead)
		case !last:
			return int(Intermediate)
		default:
			return -1
		}
	}
	return int(ThinAir)
}

// holds tries every set of crashed transactions and every order.
func holds(h *History, l Level, sessions bool) bool {
	var crashed []Txn
	for t := range Txn(h.Len()) {
		if _, s := h.Session(t); s == Crashed {
			crashed = append(crashed, t)
		}
	}
	for set := range 1 << len(crashed) {
		d := dumb{h: h}
		for t := range Txn(h.Len()) {
			_, s := h.Session(t)
			at := slices.Index(crashed, t)
			if s == Committed || at >= 0 && set&(1<<at) != 0 {
				d.txns = append(d.txns, t)
			}
		}
		if d.collect() && d.anyOrder(l, sessions, nil) {
			return true
		}
	}
	return false
}

// collect finds the reads of others; false if a source is not there.
func (d *dumb) collect() bool {
	for by, t := range d.txns {
		own := map[int32]bool{}
		if _, s := d.h.Session(t); s == Crashed {
			continue
		}
		for at, op := range d.h.Of(t) {
			if op.Write {
				own[op.Key] = true
				continue
			}
			if own[op.Key] || wroteLater(d.h, t, at, op) {
				if !d.present(op) { // seen, if by mistake: it took effect
					return false
				}
				continue
			}
			if op.Value == Unwritten {
				d.reads = append(d.reads, dumbRead{by, -1, at, op.Key})
				continue
			}
			if k := origin(d.h, t, op); k == int(AbortedRead) || k == int(ThinAir) {
				continue
			}
			from := slices.IndexFunc(d.txns, func(w Txn) bool {
				return slices.ContainsFunc(d.h.Of(w), func(o Op) bool {
					return o.Write && o.Key == op.Key && o.Value == op.Value
				})
			})
			if from < 0 {
				return false
			}
			d.reads = append(d.reads, dumbRead{by, from, at, op.Key})
		}
	}
	return true
}

// present reports whether the crashed transaction that wrote what was read is there.
func (d *dumb) present(op Op) bool {
	for w := range Txn(d.h.Len()) {
		_, s := d.h.Session(w)
		if s == Crashed && op.Value != Unwritten && wroteLater(d.h, w, 0, op) {
			return slices.Contains(d.txns, w)
		}
	}
	return true
}

func (d *dumb) anyOrder(l Level, sessions bool, order []int) bool {
	if len(order) == len(d.txns) {
		return d.fits(l, sessions, order)
	}
	for i := range d.txns {
		if !slices.Contains(order, i) && d.anyOrder(l, sessions, append(order, i)) {
			return true
		}
	}
	return false
}

func (d *dumb) so(a, b int) bool {
	s, _ := d.h.Session(d.txns[a])
	z, _ := d.h.Session(d.txns[b])
	if follows, known := d.h.after[d.txns[b]]; known && d.txns[a] <= follows {
		z, _ = d.h.Session(follows)
	}
	return s == z && a < b
}

func (d *dumb) fits(l Level, sessions bool, order []int) bool {
	sessions = sessions || l == Causal
	place := make([]int, len(order)+1)
	for at, i := range order {
		place[i] = at
	}
	before := func(a, b int) bool { return a < 0 && b >= 0 || b >= 0 && place[a] < place[b] }
	n := len(d.txns)
	hb := make([][]bool, n)
	for a := range n {
		hb[a] = make([]bool, n)
		for b := range n {
			hb[a][b] = sessions && d.so(a, b)
		}
	}
	for _, r := range d.reads {
		if r.from >= 0 {
			hb[r.from][r.by] = true
		}
	}
	for a := range n {
		for b := range n {
			if hb[a][b] && !before(a, b) {
				return false
			}
		}
	}
	for range n {
		for a := range n {
			for b := range n {
				for c := range n {
					hb[a][c] = hb[a][c] || hb[a][b] && hb[b][c]
				}
			}
		}
	}
	for _, r := range d.reads {
		for t2 := range n {
			if t2 == r.from || t2 == r.by || !d.wrote(t2, r.key) || before(t2, r.from) {
				continue
			}
			if d.saw(l, sessions, hb, t2, r) {
				return false
			}
		}
	}
	return true
}

func (d *dumb) wrote(t int, key int32) bool {
	return slices.ContainsFunc(d.h.Of(d.txns[t]), func(o Op) bool { return o.Write && o.Key == key })
}

// saw says whether the level makes the reader of r know t2.
func (d *dumb) saw(l Level, sessions bool, hb [][]bool, t2 int, r dumbRead) bool {
	other := func(ok func(o dumbRead) bool) bool {
		return slices.ContainsFunc(d.reads, func(o dumbRead) bool {
			return o.by == r.by && o.from == t2 && ok(o)
		})
	}
	switch l {
	case MonotonicAtomicView:
		return other(func(o dumbRead) bool { return o.at < r.at })
	case ReadAtomic:
		return sessions && d.so(t2, r.by) || other(func(dumbRead) bool { return true })
	case Causal:
		return hb[t2][r.by]
	}
	return false
}

func show(h *History) string {
	var b strings.Builder
	for t := range Txn(h.Len()) {
		s, status := h.Session(t)
		fmt.Fprintf(&b, "txn %d session %d status %d:", t, s, status)
		for _, op := range h.Of(t) {
			f := "r"
			if op.Write {
				f = "w"
			}
			v := fmt.Sprint(op.Value)
			if op.Value == Unwritten {
				v = "-"
			}
			fmt.Fprintf(&b, " %s(%d,%s)", f, op.Key, v)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestTwin compares every level with its definition, over random histories.
func TestTwin(t *testing.T) {
	r := sweep.Rand(t, 5, 2026)
	type name struct {
		l        Level
		sessions bool
	}
	bad := map[name]int{}
	n := sweep.Rounds(t, longtest.Of(1000, 4000))
	for range n {
		h := random(r)
		x, err := NewIndex(h)
		if err != nil {
			t.Fatal(err)
		}
		for l := ReadCommitted; l <= Causal; l++ {
			for _, sessions := range []bool{false, true} {
				want := holds(h, l, sessions)
				v, err := x.Check(l, sessions)
				if err != nil || want != (v == nil) {
					t.Fatalf("%v sessions %t: want %t, got %+v, %v\n%s", l, sessions, want, v, err, show(h))
				}
				if v == nil {
					continue
				}
				bad[name{l, sessions}]++
				checkWitness(t, x, l, sessions, v)
			}
		}
		compareReads(t, h, x)
	}
	t.Logf("of %d histories violate: %v", n, bad)
	for name, b := range bad {
		if least := 10; name.l > ReadCommitted && b*least < n || b*10 > 9*n || b*25 < n {
			t.Errorf("%v: %d of %d histories violate it: one kind is too rare", name, b, n)
		}
	}
}

func compareReads(t *testing.T, h *History, x *Index) {
	t.Helper()
	got := map[string]bool{}
	for _, v := range x.Wrong() {
		got[fmt.Sprint(v.Reader, " ", v.Kind)] = true
	}
	if want := wrongReads(h); fmt.Sprint(want) != fmt.Sprint(got) {
		t.Fatalf("wrong reads: want %v, got %v\n%s", want, got, show(h))
	}
}

// checkWitness looks whether the transactions of a witness violate the level without
// all others, and whether its edges form a cycle.
func checkWitness(t *testing.T, x *Index, l Level, sessions bool, v *Violation) {
	t.Helper()
	h := x.h
	for i, e := range v.Edges {
		if next := v.Edges[(i+1)%len(v.Edges)]; e.To != next.From {
			t.Fatalf("no cycle: %+v\n%s", v, show(h))
		}
		if e.Why == Overwritten && len(e.Path) == 0 {
			t.Fatalf("an edge without a path: %+v\n%s", v, show(h))
		}
	}
	keep := x.Witness(v)
	part := &History{}
	for at := range Txn(h.Len()) {
		s, status := h.Session(at)
		if !slices.Contains(keep, at) {
			continue
		}
		part.Begin(s, status)
		if follows, known := h.after[at]; known {
			s, _ := h.Session(follows)
			for i := len(keep) - 1; i >= 0; i-- {
				if z, _ := h.Session(keep[i]); keep[i] <= follows && s == z {
					part.Follow(Txn(i))
					break
				}
			}
		}
		for _, op := range h.Of(at) {
			if op.Write || op.Value == Unwritten || wroteBy(h, keep, op) {
				part.add(op)
			}
		}
	}
	if holds(part, l, sessions) {
		t.Fatalf("%v sessions %t: the witness %+v does not violate it\n%s\nof\n%s", l, sessions, v,
			show(part), show(h))
	}
}

func wroteBy(h *History, txns []Txn, op Op) bool {
	return slices.ContainsFunc(txns, func(w Txn) bool {
		return slices.ContainsFunc(h.Of(w), func(o Op) bool {
			return o.Write && o.Key == op.Key && o.Value == op.Value
		})
	})
}
