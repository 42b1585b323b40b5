package appendlog

import (
	"testing"

	"pgregory.net/rapid"
)

// TestRanges compares ranges with a dumb twin, a map of numbers.
func TestRanges(t *testing.T) {
	draw := func(t *rapid.T, label string) (ranges, map[uint64]bool) {
		var r ranges
		twin := map[uint64]bool{}
		for _, n := range rapid.SliceOfN(rapid.Uint64Range(1, 24), 0, 24).Draw(t, label) {
			r = r.with(n)
			twin[n] = true
		}
		return r, twin
	}
	same := func(t *rapid.T, what string, r ranges, twin map[uint64]bool) {
		if !r.valid() {
			t.Fatalf("%s: %v is not as it should be", what, r)
		}
		last, prefix := uint64(0), uint64(0)
		for n := uint64(1); n < 30; n++ {
			if r.has(n) != twin[n] {
				t.Fatalf("%s: %v has %d: %v, want %v", what, r, n, r.has(n), twin[n])
			}
			if twin[n] {
				last = n
				if prefix == n-1 {
					prefix = n
				}
			}
		}
		if r.last() != last || r.prefix() != prefix || r.count() != uint64(len(twin)) {
			t.Fatalf("%s: %v: last %d, prefix %d, count %d; want %d, %d, %d",
				what, r, r.last(), r.prefix(), r.count(), last, prefix, len(twin))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, ta := draw(t, "a")
		b, tb := draw(t, "b")
		same(t, "a", a, ta)
		diff := map[uint64]bool{}
		for n := range ta {
			if !tb[n] {
				diff[n] = true
			}
		}
		same(t, "a without b", a.without(b), diff)
		same(t, "a afterwards", a, ta)
		same(t, "b afterwards", b, tb)
	})
}

func TestRangesFromStrangers(t *testing.T) {
	for _, c := range []struct {
		name string
		r    ranges
		ok   bool
	}{
		{"empty", nil, true},
		{"two", ranges{{From: 1, To: 3}, {From: 5, To: 5}}, true},
		{"zero", ranges{{From: 0, To: 3}}, false},
		{"backwards", ranges{{From: 3, To: 1}}, false},
		{"touching", ranges{{From: 1, To: 3}, {From: 4, To: 5}}, false},
		{"overlapping", ranges{{From: 1, To: 3}, {From: 2, To: 5}}, false},
		{"unsorted", ranges{{From: 5, To: 6}, {From: 1, To: 2}}, false},
		{"no end", ranges{{From: 1, To: ^uint64(0)}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.r.valid() != c.ok {
				t.Errorf("%v: valid = %v", c.r, !c.ok)
			}
		})
	}
}
