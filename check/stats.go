package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// FStats are the numbers of one kind of operation.
type FStats struct {
	F     history.F `json:"f"`
	Count int       `json:"count"`
	OK    int       `json:"ok"`
	Fail  int       `json:"fail"`
	Info  int       `json:"info"`
	// Rate is successful operations per second of the whole test.
	Rate float64 `json:"rate"`
	// The latencies, in nanoseconds, are those of successful operations.
	P50  int64 `json:"p50"`
	P95  int64 `json:"p95"`
	P99  int64 `json:"p99"`
	P999 int64 `json:"p999"`
	Max  int64 `json:"max"`
}

// StatsDetails are the Details of Stats.
type StatsDetails struct {
	// All is the sum over ByF, which is sorted by f.
	All FStats   `json:"all"`
	ByF []FStats `json:"byF"`
}

// Stats counts operations by kind and outcome and measures latencies. It is
// unknown when some kind of operation never succeeded: whatever was to be tested
// with it was not. Those of kinds that come only when there is a chance for them need not.
func Stats(chance ...history.F) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return stats(ctx, h, chance)
	})
}

func stats(ctx context.Context, h *history.History, chance []history.F) Result {
	const name = "stats"
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	byF := make(map[history.F][]*history.Operation)
	all := make([]*history.Operation, len(h.Ops))
	for i := range h.Ops {
		op := &h.Ops[i]
		all[i] = op
		byF[op.F] = append(byF[op.F], op)
	}
	length := float64(h.End()) / 1e9
	d := StatsDetails{All: fStats("", all, length)}
	fs := make([]history.F, 0, len(byF))
	for f := range byF {
		fs = append(fs, f)
	}
	slices.Sort(fs)
	var never []history.F
	for _, f := range fs {
		s := fStats(f, byF[f], length)
		d.ByF = append(d.ByF, s)
		if s.OK == 0 && !slices.Contains(chance, f) {
			never = append(never, f)
		}
	}
	r := Result{Name: name, Details: d, Power: []Measure{
		measure("operations", d.All.Count), measure("ok", d.All.OK),
		measure("fail", d.All.Fail), measure("info", d.All.Info),
		{Name: "rate", Value: d.All.Rate, Unit: "1/s"},
		millis("latency p50", d.All.P50), millis("latency p99", d.All.P99),
	}}
	switch {
	case d.All.Count == 0:
		r.Verdict, r.Reason = Unknown, "no client did anything"
	case len(never) > 0:
		r.Verdict = Unknown
		r.Reason = fmt.Sprintf("no operation of these kinds ever succeeded: %s", names(never))
	default:
		r.Reason = fmt.Sprintf("%s: %d ok, %d fail, %d info",
			count(d.All.Count, "operation", "operations"), d.All.OK, d.All.Fail, d.All.Info)
	}
	if d.All.OK < d.All.Count-d.All.OK {
		r.Reason += mostOften(all)
	}
	return r
}

// mostOften names the commonest reason why operations did not succeed: when most of them did
// not, that is what somebody wants to know.
func mostOften(ops []*history.Operation) string {
	times := make(map[string]int)
	for _, op := range ops {
		if op.Type != history.OK && op.Error != "" {
			times[op.Error]++
		}
	}
	why, n := "", 0
	for text, m := range times {
		if m > n || m == n && text < why {
			why, n = text, m
		}
	}
	if n == 0 {
		return ""
	}
	const most = 200
	if r := []rune(why); len(r) > most {
		why = string(r[:most]) + "…"
	}
	return fmt.Sprintf("; most often (%s): %s", count(n, "time", "times"), why)
}

func fStats(f history.F, ops []*history.Operation, length float64) FStats {
	s := FStats{F: f, Count: len(ops)}
	latencies := make([]int64, 0, len(ops))
	for _, op := range ops {
		switch op.Type {
		case history.OK:
			s.OK++
			latencies = append(latencies, int64(op.Return-op.Call))
		case history.Fail:
			s.Fail++
		default:
			s.Info++
		}
	}
	if length > 0 {
		s.Rate = float64(s.OK) / length
	}
	slices.Sort(latencies)
	s.P50 = quantile(latencies, 0.5)
	s.P95 = quantile(latencies, 0.95)
	s.P99 = quantile(latencies, 0.99)
	s.P999 = quantile(latencies, 0.999)
	s.Max = quantile(latencies, 1)
	return s
}

// Floor is the least number of successful operations of one kind that makes a test
// worth something.
type Floor struct {
	// F is the kind; empty means all kinds together.
	F history.F
	// Is narrows the kind, and Name is what it is called then.
	Name string
	Is   func(*history.Operation) bool
	// Total is for the whole test, Before for the time before the first fault,
	// During while some fault was there, and After when all were healed.
	Total, Before, During, After int
}

// FloorDetails are the Details of Floors: what there was of each kind.
type FloorDetails struct {
	F      history.F `json:"f"`
	Name   string    `json:"name,omitempty"`
	Total  int       `json:"total"`
	Before int       `json:"before"`
	During int       `json:"during"`
	After  int       `json:"after"`
}

// Floors is unknown when less succeeded than the floors demand. In a history
// without faults only Total applies.
func Floors(floors ...Floor) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return checkFloors(ctx, h, floors)
	})
}

func checkFloors(ctx context.Context, h *history.History, floors []Floor) Result {
	const name = "floors"
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	r := Result{Name: name}
	spans := faultSpans(h, "")
	var details []FloorDetails
	var short []string
	for _, floor := range floors {
		d := countPhases(h, floor, spans)
		details = append(details, d)
		short = append(short, floor.missing(d, len(spans) > 0)...)
	}
	r.Details = details
	if len(short) > 0 {
		r.Verdict = Unknown
		r.Reason = "too little succeeded to conclude anything: " + andList(short)
		return r
	}
	r.Reason = "enough operations of each kind succeeded"
	if len(spans) > 0 {
		r.Reason += " before, during and after the faults"
	}
	return r
}

// missing says in words which floors d does not reach.
func (f Floor) missing(d FloorDetails, faults bool) []string {
	phases := []struct {
		name      string
		want, got int
		applies   bool
	}{
		{"in all", f.Total, d.Total, true},
		{"before the first fault", f.Before, d.Before, faults},
		{"during faults", f.During, d.During, faults},
		{"after the last fault was healed", f.After, d.After, faults},
	}
	var short []string
	for _, p := range phases {
		if p.applies && p.got < p.want {
			short = append(short, fmt.Sprintf("%d of at least %d %s %s", p.got, p.want,
				strings.TrimLeft(cmp.Or(f.Name, string(f.F))+" operations", " "), p.name))
		}
	}
	return short
}

// countPhases counts successful operations. One that overlaps a fault counts as
// during it.
func countPhases(h *history.History, f Floor, spans []span) FloorDetails {
	d := FloorDetails{F: f.F, Name: f.Name}
	for i := range h.Ops {
		op := &h.Ops[i]
		if f.F != "" && op.F != f.F || op.Type != history.OK || f.Is != nil && !f.Is(op) {
			continue
		}
		d.Total++
		switch {
		case len(spans) == 0:
		case op.Return < spans[0].from:
			d.Before++
		case op.Call > spans[len(spans)-1].to:
			d.After++
		case overlaps(spans, op.Call, op.Return):
			d.During++
		}
	}
	return d
}
