package cluster

import "testing"

// A panic says more than what comes after it; what was said before the last start says
// nothing.
func TestLastWords(t *testing.T) {
	const again = StartLine + " 2 of n1\n"
	for log, want := range map[string]string{
		"":                                     "it said nothing",
		StartLine + " 1 of n1: target serve\n": "it said nothing",
		"serving\n  disk full \n\n":            "disk full",
		"serving\npanic: index out of range\n\ngoroutine 1:\n": "panic: index out of range",
		"fatal error: all goroutines are asleep\nmore\n":       "fatal error: all goroutines are asleep",
		"panic: old\n" + again + "lock: in use\n":              "lock: in use",
		"panic: old\n" + again + again:                         "it said nothing",
	} {
		if got := LastWords(log); got != want {
			t.Errorf("%q: got %q, want %q", log, got, want)
		}
	}
}
