package cluster

import (
	"strings"
	"testing"
	"time"
)

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

// TestStartHeader: a node that has said nothing since its start has said nothing, also when
// its command is a script of many lines.
func TestStartHeader(t *testing.T) {
	header := StartHeader(2, "n1", time.Now(), []string{"sh", "-c", "cd x\nexec y", "/data/n1"})
	for log, want := range map[string]string{
		"old words\n" + header + "\n":              "it said nothing",
		"old words\n" + header + "\nport in use\n": "port in use",
	} {
		if got := LastWords(log); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if !strings.HasSuffix(header, `: sh -c cd x\nexec y /data/n1`) {
		t.Errorf("%q", header)
	}
}
