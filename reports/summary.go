package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// What the charts show is told in tables, too: for those who do not see them, for paper,
// and for whoever wants numbers.

// latencyRow is the latency of one kind of operation with one outcome.
type latencyRow struct {
	F, Outcome, Class  string
	Count              string
	P50, P95, P99, Max string
}

// sliceRow is what happened in a part of the run.
type sliceRow struct {
	From, To         string
	OK, Fail, Info   string // a second
	P50, P99, Faults string
}

// laneRow is what one client did.
type laneRow struct {
	Name           string
	OK, Fail, Info string
	Slowest        string
}

const (
	slices12 = 12
	// lanesTold is how many clients the table has.
	lanesTold = 100
)

// outcomes are the types of completed operations, the frequent ones first.
func outcomes() []history.Type { return []history.Type{history.OK, history.Fail, history.Info} }

// outcomeName says in words what became of operations.
func outcomeName(t history.Type) string {
	switch t {
	case history.OK:
		return "ok"
	case history.Fail:
		return "failed"
	default:
		return "unknown outcome"
	}
}

// took is how long a client waited for its answer, be it only that nobody knows.
func took(op *history.Operation) (time.Duration, bool) {
	if op.Ended == history.Never {
		return 0, false
	}
	return time.Duration(op.Ended - op.Call), true
}

// quantile returns the least element of a sorted list that at least the share q of
// the elements do not exceed, "" of none.
func quantile(sorted []time.Duration, q float64) string {
	if len(sorted) == 0 {
		return ""
	}
	i := int(q*float64(len(sorted))+0.999999) - 1
	return short(sorted[min(max(i, 0), len(sorted)-1)])
}

// short writes a latency with three digits.
func short(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	return number(ms, 3) + " ms"
}

// latencyRows are the latencies by operation and outcome.
func latencyRows(h *history.History) []latencyRow {
	type kind struct {
		f history.F
		t history.Type
	}
	byKind := map[kind][]time.Duration{}
	counts := map[kind]int{}
	for i := range h.Ops {
		op := &h.Ops[i]
		k := kind{op.F, op.Type}
		counts[k]++
		if d, ok := took(op); ok {
			byKind[k] = append(byKind[k], d)
		}
	}
	var kinds []kind
	for k := range counts {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.f, b.f), cmp.Compare(a.t, b.t))
	})
	var rows []latencyRow
	for _, k := range kinds[:min(len(kinds), lanesTold)] {
		all := byKind[k]
		slices.Sort(all)
		rows = append(rows, latencyRow{
			F: string(k.f), Outcome: outcomeName(k.t), Class: k.t.String(), Count: group(int64(counts[k])),
			P50: quantile(all, 0.5), P95: quantile(all, 0.95), P99: quantile(all, 0.99),
			Max: quantile(all, 1),
		})
	}
	return rows
}

// tellLatency says in a sentence how it went.
func tellLatency(h *history.History) string {
	var counts [4]int
	var ok []time.Duration
	for i := range h.Ops {
		op := &h.Ops[i]
		counts[op.Type]++
		if d, ended := took(op); ended && op.Type == history.OK {
			ok = append(ok, d)
		}
	}
	text := ""
	for _, t := range outcomes() {
		if counts[t] > 0 {
			text += fmt.Sprintf("%s %s, ", group(int64(counts[t])), outcomeName(t))
		}
	}
	if len(ok) == 0 {
		return text + "no success."
	}
	slices.Sort(ok)
	return text + fmt.Sprintf("median of the successes %s, 99th percentile %s, slowest %s.",
		quantile(ok, 0.5), quantile(ok, 0.99), quantile(ok, 1))
}

// sliceRows are rates and latencies of the run in twelve parts, with their faults.
func sliceRows(h *history.History, b bands) []sliceRow {
	end := h.End()
	if end <= 0 || len(h.Ops) == 0 {
		return nil
	}
	var counts [slices12][4]int
	var latencies [slices12][]time.Duration
	part := func(t history.Time) int {
		return min(slices12-1, max(0, int(float64(t)/float64(end)*slices12)))
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		when := op.Ended
		if when == history.Never {
			when = op.Call
		}
		counts[part(when)][op.Type]++
		if op.Type == history.OK {
			d, _ := took(op)
			latencies[part(op.Call)] = append(latencies[part(op.Call)], d)
		}
	}
	width := seconds(end) / slices12
	var rows []sliceRow
	for n := range slices12 {
		from, to := float64(n)*width, float64(n+1)*width
		slices.Sort(latencies[n])
		rate := func(t history.Type) string { return number(float64(counts[n][t])/width, 3) }
		rows = append(rows, sliceRow{
			From: moment(from), To: moment(to),
			OK: rate(history.OK), Fail: rate(history.Fail), Info: rate(history.Info),
			P50: quantile(latencies[n], 0.5), P99: quantile(latencies[n], 0.99),
			Faults: b.during(history.Time(from*1e9), history.Time(to*1e9)),
		})
	}
	return rows
}

func moment(s float64) string { return number(s, 4) + " s" }

// during names the faults in a part of the run.
func (b bands) during(from, to history.Time) string {
	var names []string
	for _, w := range b.windows {
		if w.Start < to && w.End > from {
			names = append(names, fmt.Sprintf("%d %s", w.ID, w.Fault))
		}
	}
	if len(names) > 6 {
		names = append(names[:6], fmt.Sprintf("%d more", len(names)-6))
	}
	return strings.Join(names, ", ")
}

// laneRows are what the clients did, and how many of them are not told.
func laneRows(l *lanes) (rows []laneRow, more int) {
	for n, c := range l.all {
		if n == lanesTold {
			return rows, len(l.all) - n
		}
		var counts [4]int
		slowest := time.Duration(0)
		for _, op := range l.ops[l.first[n]:l.first[n+1]] {
			counts[outcome(op)]++
			if d, ok := took(op); ok {
				slowest = max(slowest, d)
			}
		}
		count := func(n int, weight float64) string { return group(int64(float64(n) * weight)) }
		rows = append(rows, laneRow{
			Name: c.label, OK: count(counts[0], l.weights[0]), Fail: count(counts[1], l.weights[1]),
			Info:    count(counts[2]+counts[unanswered], l.weights[2]),
			Slowest: short(slowest),
		})
	}
	return rows, 0
}
