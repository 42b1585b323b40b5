package linear

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// block is a set of operations that no other operation may come between: the
// cluster of a value, a chain of values that replaced each other, a tenure.
// firstOp returned first of them, at first, and lastOp was called last, at last.
type block struct {
	first, last     history.Time
	firstOp, lastOp int
	// id is the caller's number of the block.
	id int
}

func newBlock(id int) block {
	return block{
		first: history.Never, last: beginning, firstOp: noOp, lastOp: noOp, id: id,
	}
}

// add puts an operation into the block.
func (b *block) add(op int, s Span) {
	if s.Return < b.first {
		b.first, b.firstOp = s.Return, op
	}
	if s.Call > b.last {
		b.last, b.lastOp = s.Call, op
	}
}

// middle is the sum of first and last, halved and rounded down, and what was lost
// by rounding.
func (b *block) middle() (half, rest history.Time) {
	return b.first>>1 + b.last>>1 + b.first&b.last&1, (b.first ^ b.last) & 1
}

// compare compares the sums of first and last.
func (b *block) compare(o *block) int {
	half, rest := b.middle()
	halfO, restO := o.middle()
	return cmp.Or(cmp.Compare(half, halfO), cmp.Compare(rest, restO))
}

// arrange sorts blocks into an order that real time allows. If there is none it
// returns two that are forced both ways.
//
// It sorts by first+last. If u is forced before v, and not v before u, then
// first(u) < last(v) and last(u) <= first(v), so u has the smaller sum. And if in
// this order some earlier u has last(u) > first(v), then first(u) < last(v): the
// two are forced both ways.
func arrange(blocks []block) (u, v *block) {
	slices.SortFunc(blocks, func(a, b block) int { return a.compare(&b) })
	return overlap(blocks)
}

// overlap returns the first block that cannot stand behind all before it, with one
// that it would have to stand before.
func overlap(blocks []block) (u, v *block) {
	top := 0
	for i := range blocks {
		switch {
		case blocks[i].first < blocks[top].last && i > 0:
			return &blocks[top], &blocks[i]
		case blocks[i].last > blocks[top].last:
			top = i
		}
	}
	return nil, nil
}

// dense reports whether an array with an element for every value is in proportion
// to a history of n operations.
func dense(most Value, n int) bool { return int64(most) <= 8*int64(n)+1024 }

const notDense = "values are not numbered from 1: the greatest is out of proportion"
