package workload

import "math/bits"

// Rand is a source of randomness without state: every method is a pure function
// of it. A generator draws from the Rand of its Context, once for each purpose
// from a different Split, so the same seed gives the same choices however often
// it is asked.
type Rand uint64

// golden is 2^64 divided by the golden ratio, the increment of SplitMix64.
const golden = 0x9e3779b97f4a7c15

// mix64 is the output function of SplitMix64 (Steele, Lea and Flood, "Fast
// Splittable Pseudorandom Number Generators", OOPSLA 2014).
func mix64(x uint64) uint64 {
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// randAt returns the n-th Rand of a seed.
func randAt(seed, n uint64) Rand { return Rand(mix64(mix64(seed) + n*golden)) }

// Split returns the i-th independent Rand derived from r.
func (r Rand) Split(i uint64) Rand { return Rand(mix64(uint64(r) + (i+1)*golden)) }

// Uint64 returns 64 random bits.
func (r Rand) Uint64() uint64 { return mix64(uint64(r) ^ golden) }

// IntN returns a number in [0, n). It panics if n <= 0.
func (r Rand) IntN(n int) int {
	if n <= 0 {
		panic("workload: Rand.IntN of a number that is not positive")
	}
	// The high word of a product maps 64 bits to a range without division; the
	// bias is below n/2^64.
	hi, _ := bits.Mul64(r.Uint64(), uint64(n))
	return int(hi)
}

// Float returns a number in [0, 1).
func (r Rand) Float() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// Chance reports true with probability p.
func (r Rand) Chance(p float64) bool { return r.Float() < p }
