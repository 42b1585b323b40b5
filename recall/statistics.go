package recall

import (
	"cmp"
	"math"
	"slices"
)

// Interval is a range of shares.
type Interval struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

// z is the quantile of the normal distribution for 95 % in the middle, alpha the share
// that a one-sided bound leaves out.
const (
	z     = 1.959963984540054
	alpha = 0.05
)

// wilson is the 95 % confidence interval of a share of which k of n were seen (Wilson
// 1927): unlike the textbook's it stays within 0 and 1, and has a width when all or none
// were seen.
func wilson(k, n int) Interval {
	if n == 0 {
		return Interval{0, 1}
	}
	size, share := float64(n), float64(k)/float64(n)
	middle := share + z*z/(2*size)
	half := z * math.Sqrt(share*(1-share)/size+z*z/(4*size*size))
	i := Interval{(middle - half) / (1 + z*z/size), (middle + half) / (1 + z*z/size)}
	if k == 0 {
		i.From = 0
	}
	if k == n {
		i.To = 1
	}
	return i
}

// mostShare is the share that is refuted with 95 % certainty when k of n were seen: the
// exact upper bound (Clopper and Pearson 1934). With none it is close to 3/n.
func mostShare(k, n int) float64 {
	if k >= n {
		return 1
	}
	return bisect(func(p float64) float64 {
		sum, logFactor := 0.0, 0.0
		for i := range k + 1 {
			if i > 0 {
				logFactor += math.Log(float64(n-i+1)) - math.Log(float64(i))
			}
			sum += math.Exp(logFactor + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
		}
		return sum
	}, 0, 1)
}

// mostRate is how many events of a kind a unit of time has at most, with 95 % certainty,
// when k were seen in so many units (the Poisson distribution's exact upper bound).
func mostRate(k int, units float64) float64 {
	if units <= 0 {
		return math.Inf(1)
	}
	return bisect(func(mean float64) float64 {
		sum, term := 0.0, math.Exp(-mean)
		for i := range k + 1 {
			if i > 0 {
				term *= mean / float64(i)
			}
			sum += term
		}
		return sum
	}, 0, 10*float64(k+1)) / units
}

// bisect finds where a falling function comes down to alpha.
func bisect(falling func(float64) float64, low, high float64) float64 {
	for range 100 {
		middle := (low + high) / 2
		if falling(middle) > alpha {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// median is the middle one, the greater of the two in the middle of an even number; false:
// there is none.
func median[T cmp.Ordered](of []T) (T, bool) {
	if len(of) == 0 {
		var none T
		return none, false
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2], true
}
