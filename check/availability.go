package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// AvailabilityOptions say what a system promises.
type AvailabilityOptions struct {
	// Grace is the longest time that a majority which is healthy may make no
	// progress: elections, leases and time limits have to fit in. Default: 5 s.
	Grace time.Duration
	// Claimed is true when the system promises progress. Otherwise gaps are
	// only reported.
	Claimed bool
	// Foreign is true when somebody else runs the nodes: that they were healthy is an
	// assumption then, and a lack of progress is a doubt, no proof.
	Foreign bool

	_ struct{} // keyed literals only
}

// foreign is why a lack of progress proves nothing about nodes that somebody else runs.
const foreign = "the checker did not start the nodes, so it cannot tell whether they were " +
	"healthy all the time"

// AvailabilityDetails are the Details of Availability.
type AvailabilityDetails struct {
	// Faults are the numbers during each kind of fault, by its name, and
	// Quiet those while there was no fault.
	Faults []FaultStats `json:"faults,omitempty"`
	Quiet  FaultStats   `json:"quiet"`
	// Gaps are the times longer than Grace without progress, the longest first.
	Gaps []Gap `json:"gaps,omitempty"`
	// Longest is the longest time without progress, in nanoseconds, while
	// clients tried and a majority was healthy.
	Longest int64 `json:"longest"`
}

// FaultStats are the operations called during a kind of fault.
type FaultStats struct {
	Fault   string `json:"fault,omitempty"`
	Windows int    `json:"windows,omitempty"`
	// Seconds is the time with at least one such fault.
	Seconds float64 `json:"seconds"`
	OK      int     `json:"ok"`
	Fail    int     `json:"fail"`
	Info    int     `json:"info"`
	// Rate is successful operations per second.
	Rate float64 `json:"rate"`
}

// Gap is a time without progress although the nodes were healthy.
type Gap struct {
	From  history.Time `json:"from"`
	To    history.Time `json:"to"`
	Nodes []string     `json:"nodes"`
	// Tried counts the operations called in it.
	Tried int `json:"tried"`
}

// Availability measures what worked during which faults, and judges progress: while
// a majority of the nodes is healthy (history.Health), and clients try, some
// operation has to complete in every interval longer than Grace. An operation that
// was refused because of the object's state is progress, too. Clients try from the
// call of an operation, after the majority became healthy, until its completion,
// and across pauses of a quarter of Grace; whoever began to try less than Grace ago
// cannot expect anything yet.
func Availability(o AvailabilityOptions) Checker {
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return availability(ctx, h, o)
	})
}

func availability(
	ctx context.Context, h *history.History, o AvailabilityOptions,
) Result {
	const name = "availability"
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	r := Result{Name: name}
	d := AvailabilityDetails{Quiet: quietStats(h)}
	for _, f := range faultNames(h) {
		d.Faults = append(d.Faults, faultStats(h, f))
	}
	health, known := healthOf(h)
	health = withoutStalls(health, h.Nemesis)
	j := newJudge(h, history.Time(o.Grace))
	for _, s := range health {
		if len(s.Nodes) > 0 {
			j.interval(s)
		}
	}
	slices.SortStableFunc(j.gaps, func(a, b Gap) int {
		return cmp.Compare(b.To-b.From, a.To-a.From)
	})
	d.Gaps, d.Longest = j.gaps, int64(j.longest)
	r.Details = d
	r.Power = []Measure{
		measure("healthy intervals judged", j.judged),
		{Name: "healthy time under load", Value: float64(j.time) / 1e9, Unit: "s"},
		{Name: "longest gap", Value: float64(j.longest) / 1e9, Unit: "s"},
	}
	r.Verdict, r.Reason = j.verdict(o, known)
	return r
}

// verdict puts the judgement into words.
func (j *judge) verdict(o AvailabilityOptions, known bool) (Verdict, string) {
	switch {
	case len(j.gaps) > 0 && o.Claimed && o.Foreign:
		return Unknown, j.gaps[0].stretch() + ", and " + foreign
	case len(j.gaps) > 0 && o.Claimed:
		return Invalid, j.gaps[0].String()
	case len(j.gaps) > 0:
		return Valid, "not claimed, but: " + j.gaps[0].String()
	case !o.Claimed:
		return Valid, "availability is not claimed; the longest gap while a majority was " +
			"healthy was " + inSeconds(j.longest)
	case !known:
		return Unknown, "the nemesis did not say which nodes were healthy"
	case j.judged == 0:
		// A short run, or one in which faults follow each other closely. What the
		// other checkers found stands, and the power says that nothing was watched.
		return Valid, fmt.Sprintf("not exercised: clients never worked while a majority was "+
			"healthy for more than %v", o.Grace)
	}
	return Valid, fmt.Sprintf("while a majority was healthy, some operation completed at least "+
		"every %s", inSeconds(j.longest))
}

// Stall is the F of the event by which a harness says that it stood still itself,
// from the time in the field "from" of its value until the event's own.
const Stall history.F = "stall"

// withoutStalls takes the times out in which the harness could not have seen any
// progress.
func withoutStalls(health []history.Health, nemesis []history.Event) []history.Health {
	for _, e := range nemesis {
		from, ok := e.Value.Get("from").AsInt()
		if e.F != Stall || !ok {
			continue
		}
		var rest []history.Health
		for _, s := range health {
			before, after := s, s
			before.To = min(s.To, history.Time(from))
			after.From = max(s.From, e.Time)
			for _, part := range []history.Health{before, after} {
				if part.From < part.To {
					rest = append(rest, part)
				}
			}
		}
		health = rest
	}
	return health
}

// String says what is wrong.
func (g Gap) String() string {
	who := "the whole cluster was"
	if len(g.Nodes) > 0 && g.Nodes[0] != "" {
		who = andList(g.Nodes) + " were"
		if len(g.Nodes) == 1 {
			who = g.Nodes[0] + " was"
		}
	}
	return fmt.Sprintf("no operation completed between %s and %s although %s healthy and "+
		"connected throughout, and %s tried", seconds(g.From), seconds(g.To), who,
		count(g.Tried, "was", "were"))
}

// stretch says the same without a word about the nodes.
func (g Gap) stretch() string {
	return fmt.Sprintf("no operation completed between %s and %s, although %s tried",
		seconds(g.From), seconds(g.To), count(g.Tried, "was", "were"))
}

func inSeconds(t history.Time) string { return fmt.Sprintf("%.3f s", float64(t)/1e9) }

// healthOf returns the healthy intervals, and whether they are known. Without any
// nemesis the cluster is healthy from the beginning.
func healthOf(h *history.History) ([]history.Health, bool) {
	if hs := h.Health(); len(hs) > 0 {
		return hs, true
	}
	if len(h.Nemesis) > 0 {
		return nil, false
	}
	return []history.Health{{From: 0, To: h.End(), Nodes: []string{""}}}, true
}

// judge looks for gaps.
type judge struct {
	grace    history.Time
	progress []history.Time // sorted times of completions
	tries    []span         // sorted by from, which is a call
	gaps     []Gap
	longest  history.Time
	time     history.Time // healthy and under load
	judged   int
}

func newJudge(h *history.History, grace history.Time) *judge {
	j := &judge{grace: grace}
	for i := range h.Ops {
		op := &h.Ops[i]
		end := op.Return
		if op.Type == history.Info {
			end = op.Ended
		}
		if end < op.Call || end == 0 {
			end = op.Call // a history that was put together without Ended
		}
		j.tries = append(j.tries, span{from: op.Call, to: end})
		if op.Type == history.OK || op.Type == history.Fail && refusal(op.Error) {
			j.progress = append(j.progress, end)
		}
	}
	slices.Sort(j.progress)
	slices.SortFunc(j.tries, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	return j
}

// refusal reports whether the error of a failed operation is an answer about the
// state, which only a working system can give.
func refusal(err string) bool {
	for _, code := range []string{models.CodeMismatch, models.CodeEmpty} {
		if err == code || strings.HasPrefix(err, code+":") {
			return true
		}
	}
	return false
}

// interval judges one healthy interval.
func (j *judge) interval(h history.Health) {
	if h.To-h.From <= j.grace {
		return
	}
	from := h.From
	i, _ := slices.BinarySearch(j.progress, h.From)
	for ; i < len(j.progress) && j.progress[i] <= h.To; i++ {
		j.stretch(h, from, j.progress[i])
		from = j.progress[i]
	}
	j.stretch(h, from, h.To)
	if first := j.firstTry(h.From); first < len(j.tries) && j.tries[first].from < h.To {
		j.judged++
	}
}

// firstTry returns the index of the first operation that was called at t or later.
func (j *judge) firstTry(t history.Time) int {
	i, _ := slices.BinarySearchFunc(j.tries, t, func(s span, t history.Time) int {
		return cmp.Compare(s.from, t)
	})
	return i
}

// stretch judges a part of a healthy interval in which nothing completed. Only
// operations that were called in the interval count as tries.
func (j *judge) stretch(h history.Health, from, to history.Time) {
	if to-from <= min(j.longest, j.grace) {
		j.time += to - from
		return // nothing worse than what is known, and most stretches are like that
	}
	i := j.firstTry(h.From)
	var tried []span
	for _, t := range j.triesBetween(i, from, to) {
		tried = append(tried, span{from: max(t.from, from), to: min(t.to, to)})
	}
	for _, s := range union(tried, j.grace/4) {
		j.time += s.length()
		j.longest = max(j.longest, s.length())
		if s.length() > j.grace {
			n := len(j.triesBetween(i, s.from, s.to))
			j.gaps = append(j.gaps, Gap{From: s.from, To: s.to, Nodes: h.Nodes, Tried: n})
		}
	}
}

// triesBetween returns the operations from index i on that were open at some time
// between from and to.
func (j *judge) triesBetween(i int, from, to history.Time) []span {
	var open []span
	for ; i < len(j.tries) && j.tries[i].from < to; i++ {
		if j.tries[i].to > from {
			open = append(open, j.tries[i])
		}
	}
	return open
}

func faultNames(h *history.History) []string {
	var fs []string
	for _, w := range h.Windows() {
		fs = append(fs, w.Fault)
	}
	slices.Sort(fs)
	return slices.Compact(fs)
}

func faultStats(h *history.History, fault string) FaultStats {
	s := FaultStats{Fault: fault}
	for _, w := range h.Windows() {
		if w.Fault == fault {
			s.Windows++
		}
	}
	spans := faultSpans(h, fault)
	s.count(h, totalLength(spans), func(op *history.Operation) bool {
		return overlaps(spans, op.Call, op.Call)
	})
	return s
}

func quietStats(h *history.History) FaultStats {
	var s FaultStats
	spans := faultSpans(h, "")
	s.count(h, h.End()-totalLength(spans), func(op *history.Operation) bool {
		return !overlaps(spans, op.Call, op.Call)
	})
	return s
}

// count counts the operations of which in is true, over a time of this length.
func (s *FaultStats) count(
	h *history.History, length history.Time, in func(*history.Operation) bool,
) {
	for i := range h.Ops {
		op := &h.Ops[i]
		if !in(op) {
			continue
		}
		switch op.Type {
		case history.OK:
			s.OK++
		case history.Fail:
			s.Fail++
		default:
			s.Info++
		}
	}
	s.Seconds = float64(length) / 1e9
	if length > 0 {
		s.Rate = float64(s.OK) / s.Seconds
	}
}
