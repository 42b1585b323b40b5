package check

import (
	"fmt"
	"math"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// measure returns a count as a Measure.
func measure(name string, n int) Measure { return Measure{Name: name, Value: float64(n)} }

// millis returns a duration in nanoseconds as a Measure in milliseconds.
func millis(name string, ns int64) Measure {
	return Measure{Name: name, Value: float64(ns) / 1e6, Unit: "ms"}
}

// quantile returns the smallest element of a sorted list that at least the share
// q of the elements do not exceed, 0 of an empty list.
func quantile(sorted []int64, q float64) int64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// count renders a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// howOften is as in "once" and "3 times".
func howOften(n int) string {
	if n == 1 {
		return "once"
	}
	return count(n, "time", "times")
}

// seconds renders a time of the test. Histories without times count events, which
// look like nanoseconds.
func seconds(t history.Time) string {
	if t == history.Never {
		return "the end"
	}
	if t != 0 && t < 100_000 {
		return fmt.Sprintf("%d ns", t)
	}
	return fmt.Sprintf("%.3f s", float64(t)/1e9)
}

// distance renders the time between two moments, with three digits.
func distance(d history.Time) string {
	switch {
	case d < 100_000:
		return fmt.Sprintf("%d ns", d)
	case d < history.Time(1e9):
		return fmt.Sprintf("%.3g ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.3g s", float64(d)/1e9)
}

func keyName(k history.Key) string {
	if k == "" {
		return "the object"
	}
	return "key " + string(k)
}

// names lists keys, the first few of many.
func names[T ~string](list []T) string {
	const most = 5
	var b strings.Builder
	for i, k := range list {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(list)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if k == "" {
			b.WriteString("(no key)")
		} else {
			b.WriteString(string(k))
		}
	}
	return b.String()
}

// andList joins words as people do: "n1, n2 and n3".
func andList(words []string) string {
	switch len(words) {
	case 0:
		return "nobody"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
