package timers

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestQueue compares the heap with a stable sort.
func TestQueue(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		type item struct {
			at time.Duration
			id int
		}
		var q Queue
		var want, got []item
		for id := range rng.IntN(100) {
			it := item{at: time.Duration(rng.IntN(20)), id: id}
			want = append(want, it)
			q.Push(it.at, func() { got = append(got, it) })
		}
		slices.SortStableFunc(want, func(a, b item) int { return cmp.Compare(a.at, b.at) })
		for next, ok := q.Pop(); ok; next, ok = q.Pop() {
			next.Do()
		}
		if !slices.Equal(got, want) {
			t.Fatalf("queue gives %v, want %v", got, want)
		}
	}
}
