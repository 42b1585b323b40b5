package recall

import (
	"math"
	"testing"
)

// Known values: Wilson's interval from Newcombe (1998), the bounds from their formulas.
func TestWilson(t *testing.T) {
	for _, test := range []struct {
		k, n     int
		from, to float64
	}{
		{81, 263, 0.2553, 0.3662},
		{15, 148, 0.0624, 0.1605},
		{0, 20, 0, 0.1611},
		{1, 29, 0.0061, 0.1718},
		{20, 20, 0.8389, 1},
		{0, 0, 0, 1},
	} {
		got := wilson(test.k, test.n)
		if math.Abs(got.From-test.from) > 5e-5 || math.Abs(got.To-test.to) > 5e-5 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f",
				test.k, test.n, got.From, got.To, test.from, test.to)
		}
	}
}

func TestUpperBounds(t *testing.T) {
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-6*max(1, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	near("none of 22", mostShare(0, 22), 1-math.Pow(0.05, 1./22))
	near("all but one of two", mostShare(1, 2), math.Sqrt(0.95))
	near("all", mostShare(3, 3), 1)
	near("none of nothing", mostShare(0, 0), 1)
	near("none in 8 hours", mostRate(0, 8), math.Log(20)/8)
	near("one in 2", mostRate(1, 2), 4.743864518/2)
	if got := mostRate(0, 0); !math.IsInf(got, 1) {
		t.Errorf("in no time: %v", got)
	}
	// A great number of campaigns is no trouble for the sums.
	if got := mostShare(0, 100_000); got < 2.9e-5 || got > 3e-5 {
		t.Errorf("none of 100,000: %v", got)
	}
}

func TestMedian(t *testing.T) {
	if got, ok := median([]int{9, 1, 5}); got != 5 || !ok {
		t.Errorf("of three: %d, %v", got, ok)
	}
	if got, ok := median([]int{9, 1, 5, 7}); got != 7 || !ok {
		t.Errorf("of four: %d, %v", got, ok)
	}
	if _, ok := median([]int{}); ok {
		t.Error("of none there is one")
	}
}
