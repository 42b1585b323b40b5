package check

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// span is a closed interval of time.
type span struct{ from, to history.Time }

func (s span) length() history.Time { return s.to - s.from }

// faultSpans returns when there was a fault of the given kind, or of any kind, as
// disjoint intervals in order. A fault that was never healed lasts until the end.
func faultSpans(h *history.History, fault string) []span {
	var spans []span
	for _, w := range h.Windows() {
		if fault == "" || w.Fault == fault {
			spans = append(spans, span{from: w.Start, to: min(w.End, max(h.End(), w.Start))})
		}
	}
	return union(spans, 0)
}

// union merges intervals that overlap or that are no more than slack apart.
func union(spans []span, slack history.Time) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && s.from-out[n-1].to <= slack {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// overlaps reports whether [from, to] meets one of the disjoint, sorted spans.
func overlaps(spans []span, from, to history.Time) bool {
	i, _ := slices.BinarySearchFunc(spans, from, func(s span, t history.Time) int {
		return cmp.Compare(s.to, t)
	})
	return i < len(spans) && spans[i].from <= to
}

func totalLength(spans []span) history.Time {
	var sum history.Time
	for _, s := range spans {
		sum += s.length()
	}
	return sum
}
