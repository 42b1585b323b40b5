package search

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/models"
)

// table gives states numbers and remembers what every class of operations makes of
// them, so that a search calls the model once for each pair.
type table struct {
	spec *models.Spec
	// byValue finds a state that == compares when the model has no hash.
	byValue map[any]uint32
	states  []any
	hashes  []uint64
	// index and memo are hash tables with open addressing; 0 is a free entry.
	index []uint32 // state+1
	memo  []stepped
	steps int // entries of memo
}

// stepped is a remembered step.
type stepped struct {
	key  uint64 // class<<32 | state, +1
	next uint32 // 0 if there is none, else state+1
}

// reset forgets all states. What many of them needed is not kept.
func (t *table) reset() {
	if len(t.states) > kept || len(t.memo) > kept || t.memo == nil {
		*t = table{
			spec: t.spec, index: make([]uint32, smallMemo/2), memo: make([]stepped, smallMemo),
		}
	} else {
		clear(t.states)
		clear(t.index)
		clear(t.memo)
		clear(t.byValue)
		t.states, t.hashes, t.steps = t.states[:0], t.hashes[:0], 0
	}
	if t.byValue == nil && t.spec.Porcupine.Hash == nil && t.spec.Comparable {
		t.byValue = make(map[any]uint32)
	}
}

// smallMemo is how many entries there are at first, kept how many are kept for the next
// history.
const (
	smallMemo = 128
	kept      = 1 << 10
)

// intern returns the number of a state.
func (t *table) intern(s any) uint32 {
	if t.byValue != nil {
		n, found := t.byValue[s]
		if !found {
			n = uint32(len(t.states))
			t.byValue[s] = n
			t.states = append(t.states, s)
		}
		return n
	}
	pm := &t.spec.Porcupine
	var h uint64
	if pm.Hash != nil {
		h = mix(pm.Hash(s))
	}
	mask := uint64(len(t.index) - 1)
	at := h & mask
	for ; t.index[at] != 0; at = (at + 1) & mask {
		n := t.index[at] - 1
		if t.hashes[n] == h && pm.Equal(t.states[n], s) {
			return n
		}
	}
	n := uint32(len(t.states))
	t.states = append(t.states, s)
	t.hashes = append(t.hashes, h)
	t.index[at] = n + 1
	if 2*len(t.states) > len(t.index) {
		t.growIndex()
	}
	return n
}

func (t *table) growIndex() {
	index := make([]uint32, 2*len(t.index))
	mask := uint64(len(index) - 1)
	for n, h := range t.hashes {
		at := h & mask
		for index[at] != 0 {
			at = (at + 1) & mask
		}
		index[at] = uint32(n) + 1
	}
	t.index = index
}

// step returns the state after an operation of a class, if it is possible.
func (t *table) step(state, class uint32, o *Op) (uint32, bool) {
	key := (uint64(class)<<32 | uint64(state)) + 1
	mask := uint64(len(t.memo) - 1)
	at := mix(key) & mask
	for ; t.memo[at].key != 0; at = (at + 1) & mask {
		if t.memo[at].key == key {
			return t.memo[at].next - 1, t.memo[at].next != 0
		}
	}
	ok, s := t.spec.Porcupine.Step(t.states[state], o.In, o.Out)
	e := stepped{key: key}
	if ok {
		e.next = t.intern(s) + 1
		if o.Facts.Pure && e.next-1 != state {
			panic(fmt.Sprintf("model %s: an operation said to be pure changed the state: %v, %v",
				t.spec.Name, o.In, o.Out))
		}
	}
	t.memo[at] = e
	if t.steps++; 2*t.steps > len(t.memo) {
		t.growMemo()
	}
	return e.next - 1, ok
}

func (t *table) growMemo() {
	memo := make([]stepped, 2*len(t.memo))
	mask := uint64(len(memo) - 1)
	for _, e := range t.memo {
		if e.key == 0 {
			continue
		}
		at := mix(e.key) & mask
		for memo[at].key != 0 {
			at = (at + 1) & mask
		}
		memo[at] = e
	}
	t.memo = memo
}

// bytes is what the table holds, about.
func (t *table) bytes() int64 {
	return int64(64*len(t.states) + 4*len(t.index) + 16*len(t.memo))
}
