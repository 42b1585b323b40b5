package run

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestMinimize: what is left shows it, and nothing of it can go.
func TestMinimize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 60).Draw(t, "n")
		items := make([]int, n)
		for i := range items {
			items[i] = i
		}
		// It shows where one of two sets is whole.
		a := rapid.SliceOfDistinct(rapid.IntRange(0, 59), rapid.ID[int]).Draw(t, "a")
		b := rapid.SliceOfDistinct(rapid.IntRange(0, 59), rapid.ID[int]).Draw(t, "b")
		has := func(list, set []int) bool {
			return !slices.ContainsFunc(set, func(x int) bool { return !slices.Contains(list, x) })
		}
		shows := func(list []int) bool { return has(list, a) || has(list, b) }
		if !shows(items) {
			return
		}
		left := minimize(items, shows, func() bool { return true })
		if !shows(left) || !slices.IsSorted(left) {
			t.Fatalf("%v does not show it", left)
		}
		for i := range left {
			if rest := slices.Delete(slices.Clone(left), i, i+1); shows(rest) {
				t.Fatalf("%v: %d can go", left, left[i])
			}
		}
	})
}

// TestMinimizeEnds: without more time the smallest list so far is returned.
func TestMinimizeEnds(t *testing.T) {
	asked := 0
	left := minimize(make([]int, 1000), func(l []int) bool { asked++; return len(l) > 3 },
		func() bool { return asked < 5 })
	if asked > 5 || len(left) < 4 {
		t.Errorf("asked %d times, %d left", asked, len(left))
	}
}
