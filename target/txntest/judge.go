package txntest

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Level is the isolation that was promised.
type Level uint8

// The levels, with the order of real time: what had returned before a
// transaction was called comes before it.
const (
	// SnapshotIsolation refuses every cycle of dependencies without two
	// rw-dependencies in a row.
	SnapshotIsolation Level = iota
	// Serializable refuses every cycle.
	Serializable
)

// never is the return time of a transaction that may commit at any later time.
const never = time.Duration(math.MaxInt64)

// Judge looks for a proof that the transactions were not isolated as promised.
// nil means that there is none.
func (r *Recorder) Judge(level Level) error {
	h := &history{writer: map[int]*Txn{}, order: map[string][]int{}}
	for _, t := range r.Txns {
		for _, s := range t.Steps {
			if s.Elem != 0 {
				h.writer[s.Elem] = t
			}
		}
	}
	for _, t := range r.Txns {
		if t.Outcome != protocol.OK {
			continue
		}
		if err := h.readsOf(t); err != nil {
			return fmt.Errorf("%w\n  %v", err, t)
		}
	}
	if err := h.orders(); err != nil {
		return err
	}
	for _, t := range r.Txns {
		if t.Outcome == protocol.OK || t.Outcome == protocol.Unknown && h.seen(t) {
			h.txns = append(h.txns, t)
		}
	}
	if err := h.lost(); err != nil {
		return err
	}
	h.connect()
	return h.cycle(level)
}

// history is what is known of the transactions that have, or may have, committed.
type history struct {
	writer map[int]*Txn // of each element
	reads  []read
	order  map[string][]int // of each key: its elements, as far as seen
	txns   []*Txn
	index  map[*Txn]int
	edges  [][]edge
	later  []int       // transactions by the time of their call
	places map[int]int // of an element in its order
}

// read is what a transaction saw of others.
type read struct {
	txn  *Txn
	key  string
	elem []int
}

// readsOf checks that a transaction agrees with itself and takes down its reads.
func (h *history) readsOf(t *Txn) error {
	own, before := map[string][]int{}, map[string][]int{}
	for _, s := range t.Steps {
		if s.register != "" {
			continue
		}
		if s.Elem != 0 {
			own[s.Key] = append(own[s.Key], s.Elem)
			continue
		}
		mine := own[s.Key]
		if len(s.Read) < len(mine) || !slices.Equal(s.Read[len(s.Read)-len(mine):], mine) {
			return fmt.Errorf("internal: %s does not end with what the transaction appended", s.Key)
		}
		others := s.Read[:len(s.Read)-len(mine)]
		if was, again := before[s.Key]; again && !slices.Equal(was, others) {
			return fmt.Errorf("internal: %s changes from %v to %v", s.Key, was, others)
		}
		before[s.Key] = others
		for _, x := range others {
			switch w := h.writer[x]; {
			case w == nil:
				return fmt.Errorf("%s has %d, which nobody appended", s.Key, x)
			case w == t:
				return fmt.Errorf("%s has %d before it was appended", s.Key, x)
			case w.Outcome == protocol.Fail:
				return fmt.Errorf("G1a: %s has %d of an aborted transaction: %v", s.Key, x, w)
			}
		}
		h.reads = append(h.reads, read{t, s.Key, others})
		if len(s.Read) > len(h.order[s.Key]) {
			h.order[s.Key] = s.Read
		}
	}
	return nil
}

// orders checks that all reads of a key are beginnings of one order, and that they
// end between transactions.
func (h *history) orders() error {
	h.places = map[int]int{}
	for key, order := range h.order {
		for i, x := range order {
			if _, twice := h.places[x]; twice {
				return fmt.Errorf("%s has %d twice: %v", key, x, order)
			}
			h.places[x] = i
			if i > 0 && h.writer[order[i-1]] != h.writer[x] && h.begun(key, x) {
				return fmt.Errorf("%s: the elements of a transaction are torn apart: %v", key, order)
			}
		}
	}
	for _, r := range h.reads {
		order := h.order[r.key]
		if !slices.Equal(order[:len(r.elem)], r.elem) {
			return fmt.Errorf("incompatible orders of %s: %v and %v", r.key, r.elem, order)
		}
		if n := len(r.elem); n > 0 && n < len(order) && h.writer[order[n-1]] == h.writer[order[n]] {
			return fmt.Errorf("G1b: %s is read in the middle of a transaction: %v of %v",
				r.key, r.elem, order)
		}
	}
	return nil
}

// begun reports whether x is not the first element that its transaction appends.
func (h *history) begun(key string, x int) bool {
	for _, s := range h.writer[x].Steps {
		if s.Key == key && s.Elem != 0 {
			return s.Elem != x
		}
	}
	return false
}

func (h *history) seen(t *Txn) bool {
	for _, s := range t.Steps {
		if _, ok := h.places[s.Elem]; ok && s.Elem != 0 {
			return true
		}
	}
	return false
}

// lost looks for acknowledged elements that a later read does not have.
func (h *history) lost() error {
	for _, t := range h.txns {
		for _, s := range t.Steps {
			if _, ok := h.places[s.Elem]; ok || s.Elem == 0 {
				continue
			}
			for _, r := range h.reads {
				if r.key == s.Key && t.Outcome == protocol.OK && r.txn.Invoke > t.Return {
					return fmt.Errorf("%s has lost %d:\n  %v\n  %v", s.Key, s.Elem, t, r.txn)
				}
			}
		}
	}
	return nil
}

// edge is a dependency, or the order of real time.
type edge struct {
	to int
	rw bool
}

// connect finds the dependencies.
func (h *history) connect() {
	h.index = map[*Txn]int{}
	for i, t := range h.txns {
		h.index[t] = i
		h.later = append(h.later, i)
		if t.Outcome == protocol.Unknown {
			t.Return = never
		}
	}
	sort.Slice(h.later, func(a, b int) bool {
		return h.txns[h.later[a]].Invoke < h.txns[h.later[b]].Invoke
	})
	h.edges = make([][]edge, len(h.txns))
	add := func(from, to *Txn, rw bool) {
		a, known := h.index[from]
		b, both := h.index[to]
		if known && both && from != to {
			h.edges[a] = append(h.edges[a], edge{b, rw})
		}
	}
	for _, order := range h.order {
		for i := 1; i < len(order); i++ {
			add(h.writer[order[i-1]], h.writer[order[i]], false) // ww
		}
	}
	unseen := map[string][]*Txn{}
	for _, t := range h.txns {
		for _, s := range t.Steps {
			if _, ok := h.places[s.Elem]; !ok && s.Elem != 0 {
				unseen[s.Key] = append(unseen[s.Key], t)
			}
		}
	}
	for _, r := range h.reads {
		order, n := h.order[r.key], len(r.elem)
		if n > 0 {
			add(h.writer[order[n-1]], r.txn, false) // wr
		}
		for n < len(order) && h.writer[order[n]] == r.txn {
			n++
		}
		if n < len(order) {
			add(r.txn, h.writer[order[n]], true)
		}
		for _, t := range unseen[r.key] {
			add(r.txn, t, true) // appended behind everything that was ever read
		}
	}
}

// cycle searches for a cycle that the level refuses. For snapshot isolation the
// nodes of the graph are pairs of a transaction and whether it was entered by an
// rw-dependency, from where no second one may follow.
func (h *history) cycle(level Level) error {
	const (
		fresh = iota
		open
		done
	)
	state := make([]uint8, 2*len(h.txns))
	var path []int
	var visit func(at int) error
	visit = func(at int) error {
		state[at] = open
		path = append(path, at)
		step := func(e edge) error {
			to := 2 * e.to
			if level == SnapshotIsolation && e.rw {
				if at%2 == 1 {
					return nil
				}
				to++
			}
			switch state[to] {
			case fresh:
				return visit(to)
			case open:
				return h.describe(path[slices.Index(path, to):])
			default:
				return nil
			}
		}
		for _, e := range h.edges[at/2] {
			if err := step(e); err != nil {
				return err
			}
		}
		t := h.txns[at/2]
		for i := len(h.later) - 1; i >= 0 && h.txns[h.later[i]].Invoke > t.Return; i-- {
			if err := step(edge{to: h.later[i]}); err != nil {
				return err
			}
		}
		state[at] = done
		path = path[:len(path)-1]
		return nil
	}
	for at := 0; at < len(state); at += 2 {
		if state[at] == fresh {
			if err := visit(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// describe tells a cycle, edge by edge.
func (h *history) describe(path []int) error {
	text := "a cycle"
	for i, at := range path {
		next := path[(i+1)%len(path)] / 2
		how := "before in real time"
		for _, e := range h.edges[at/2] {
			if e.to == next {
				how = map[bool]string{true: "rw", false: "ww or wr"}[e.rw]
				break
			}
		}
		text += fmt.Sprintf("\n  %v\n    %s", h.txns[at/2], how)
	}
	return fmt.Errorf("%s, and back to the first", text)
}
