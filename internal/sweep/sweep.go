// Package sweep says how many random histories the tests of the verdict engines look at,
// and which: few, and always the same, unless the environment asks for others. A rare
// defect is found by many, or by different ones each night.
package sweep

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Rounds is how many histories a test looks at: $CHECK_ROUNDS, or normal.
func Rounds(t testing.TB, normal int) int {
	t.Helper()
	return number(t, "CHECK_ROUNDS", normal)
}

// Rand is the source of a test's histories, which a and b tell from those of others: the
// same each time, unless $CHECK_SEED is set.
func Rand(t testing.TB, a, b uint64) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(a, b+uint64(number(t, "CHECK_SEED", 0))<<32))
}

func number(t testing.TB, variable string, normal int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return normal
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s is %q: want a whole number from 0", variable, text)
	}
	return n
}
