package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// LogOptions say what a log promises.
type LogOptions struct {
	// Unordered logs are sets in the end: their elements may appear in any order,
	// and at different replicas in another one.
	Unordered bool
	// Stale reads may miss the latest elements. Unordered implies it.
	Stale bool
	// Grace is how long after the last fault and after an element was acknowledged
	// a stale read may miss it. Default: 5 s.
	Grace time.Duration

	_ struct{} // keyed literals only
}

// LogDetails are the Details of Log.
type LogDetails struct {
	Logs         int `json:"logs"`
	Attempts     int `json:"attempts"`
	Acknowledged int `json:"acknowledged"`
	Reads        int `json:"reads"`
	// Binding counts the reads that had to have an acknowledged element.
	Binding int `json:"binding"`
	// Lost are the reads that miss an element which they had to have, Forked those
	// that are no prefix of a longer one, Displaced elements stand in another
	// order than their positions say, or share one.
	Lost       int `json:"lost"`
	Forked     int `json:"forked"`
	Displaced  int `json:"displaced"`
	Duplicated int `json:"duplicated"`
	Unexpected int `json:"unexpected"`
}

// Log checks append-only logs: append x, every x its own, -> its position or nil, and
// read -> the list of all elements.
//
// No read has an element twice or one that nobody appended, and none misses an
// element that was acknowledged before its call; with o.Stale only a read that comes
// when everything must have been spread. Of two reads, one is a prefix of the other,
// and no two elements have the same position, unless the log is unordered.
func Log(o LogOptions) Checker {
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return logCheck(ctx, h, o)
	})
}

const logName = "log"

func logCheck(ctx context.Context, h *history.History, o LogOptions) Result {
	r := Result{Name: logName}
	c := logs{o: o, quiet: later(quietFrom(h), history.Time(o.Grace))}
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, logName); stop {
			return r
		}
		if err := c.key(key, ops); err != nil {
			return Result{Name: logName, Verdict: Unknown, Reason: err.Error()}
		}
	}
	d := &c.d
	r.Details = *d
	r.Power = []Measure{measure("logs", d.Logs), measure("appends", d.Attempts),
		measure("acknowledged", d.Acknowledged), measure("reads", d.Reads),
		measure("reads that had to have something", d.Binding)}
	c.bad.settle(&r, fmt.Sprintf("of %s and %s, %s", count(d.Attempts, "append", "appends"),
		count(d.Reads, "read", "reads"), tallies(tally{d.Lost, "without an acknowledged element"},
			tally{d.Forked, "in another order"}, tally{d.Displaced, "at a wrong position"},
			tally{d.Duplicated, "with an element twice"}, tally{d.Unexpected, "unexpected"})),
		func() (Verdict, string) {
			if d.Binding == 0 {
				return Unknown, "nothing was shown: no read had to have an element"
			}
			return Valid, fmt.Sprintf("%s agree; %d of them had to have something",
				count(d.Reads, "read", "reads"), d.Binding)
		})
	return r
}

// logs adds up the keys.
type logs struct {
	o     LogOptions
	quiet history.Time
	d     LogDetails
	bad   violations
}

// logEntry is an attempt to append an element.
type logEntry struct {
	value       models.Scalar
	op, refused *history.Operation
}

// logRead is the list that was read.
type logRead struct {
	op   *history.Operation
	list []models.Scalar
}

func (c *logs) key(key history.Key, ops []*history.Operation) error {
	c.d.Logs++
	entries := make(map[models.Scalar]*logEntry)
	var acked []*logEntry
	var reads []logRead
	for _, op := range ops {
		switch {
		case op.F == "append":
			v, err := models.NewScalar(op.In)
			if err != nil || v.IsNil() || entries[v] != nil {
				return misfit(op, "a log", fmt.Errorf("value: want an element of its own, got %s", op.In))
			}
			e := &logEntry{value: v, op: op}
			entries[v] = e
			if op.Type == history.Fail {
				e.op, e.refused = nil, op
				continue
			}
			c.d.Attempts++
			if op.Type == history.OK {
				c.d.Acknowledged++
				acked = append(acked, e)
			}
		case op.F != "read":
			return misfit(op, "a log", fmt.Errorf("it has only append and read"))
		case op.Type == history.OK:
			list, err := scalarsOf(op.Out)
			if err != nil {
				return misfit(op, "a log", err)
			}
			reads = append(reads, logRead{op: op, list: list})
		}
	}
	c.d.Reads += len(reads)
	for _, r := range reads {
		c.content(key, r, entries)
		c.losses(key, r, acked)
	}
	if !c.o.Unordered {
		c.positions(key, acked, reads)
		c.prefixes(key, reads)
	}
	return nil
}

func scalarsOf(v history.Value) ([]models.Scalar, error) {
	if k := v.Kind(); k != history.KindList && k != history.KindNil {
		return nil, fmt.Errorf("result: want a list, got %s", v)
	}
	list := make([]models.Scalar, v.Len())
	for i := range list {
		s, err := models.NewScalar(v.At(i))
		if err != nil {
			return nil, fmt.Errorf("result: element %d: %w", i, err)
		}
		list[i] = s
	}
	return list, nil
}

// content looks for elements that cannot be there, or are there twice.
func (c *logs) content(key history.Key, r logRead, entries map[models.Scalar]*logEntry) {
	got := fmt.Sprintf("Process %d read %s at %s, ", r.op.Process, "%s", seconds(r.op.Return))
	seen := make(map[models.Scalar]bool, len(r.list))
	for _, v := range r.list {
		e := entries[v]
		what := fmt.Sprintf(got, v)
		switch {
		case seen[v]:
			c.d.Duplicated++
			c.bad.add(key, "one element twice", what+"twice in one list.", r.op)
		case e == nil:
			c.d.Unexpected++
			c.bad.add(key, "nobody appended it",
				what+"which nobody ever tried to append.", r.op)
		case e.op == nil:
			c.d.Unexpected++
			c.bad.add(key, "its append had failed",
				what+fmt.Sprintf("but the append of process %d had failed.",
					e.refused.Process), e.refused, r.op)
		case e.op.Call > r.op.Return:
			c.d.Unexpected++
			c.bad.add(key, "not appended by then",
				what+fmt.Sprintf("but process %d only began to append it at %s.",
					e.op.Process, seconds(e.op.Call)), e.op, r.op)
		default:
			seen[v] = true
			continue
		}
		return // one for each read
	}
}

// losses looks for acknowledged elements that a read had to have.
func (c *logs) losses(key history.Key, r logRead, acked []*logEntry) {
	lax := c.o.Stale || c.o.Unordered
	if lax && (c.quiet == history.Never || r.op.Call <= c.quiet) {
		return
	}
	have := make(map[models.Scalar]bool, len(r.list))
	for _, v := range r.list {
		have[v] = true
	}
	binding := false
	for _, e := range acked {
		known := e.op.Return
		if lax {
			known = later(known, history.Time(c.o.Grace))
		}
		if r.op.Call <= known {
			continue
		}
		binding = true
		if have[e.value] {
			continue
		}
		c.d.Lost++
		c.bad.add(key, misses(e.value),
			fmt.Sprintf("Process %d read the log (called at %s) without %s, which process %d "+
				"had been told at %s that it had appended.", r.op.Process, seconds(r.op.Call), e.value,
				e.op.Process, seconds(e.op.Return)), e.op, r.op)
		break
	}
	if binding {
		c.d.Binding++
	}
}

// positions compares the positions that were acknowledged with each other and with
// the longest read.
func (c *logs) positions(key history.Key, acked []*logEntry, reads []logRead) {
	var longest logRead
	for _, r := range reads {
		if len(r.list) > len(longest.list) {
			longest = r
		}
	}
	index := make(map[models.Scalar]int, len(longest.list))
	for i, v := range longest.list {
		index[v] = i
	}
	var placed []*logEntry
	for _, e := range acked {
		if _, isInt := e.op.Out.AsInt(); isInt {
			placed = append(placed, e)
		}
	}
	position := func(e *logEntry) int64 { n, _ := e.op.Out.AsInt(); return n }
	slices.SortStableFunc(placed, func(a, b *logEntry) int {
		return cmp.Compare(position(a), position(b))
	})
	for i := 1; i < len(placed); i++ {
		a, b := placed[i-1], placed[i]
		at, inA := index[a.value]
		bt, inB := index[b.value]
		switch {
		case position(a) == position(b):
			c.d.Displaced++
			c.bad.add(key, "another position",
				fmt.Sprintf("Process %d was told that %s is at position %d, and process %d that "+
					"%s is.", a.op.Process, a.value, position(a), b.op.Process, b.value), a.op, b.op)
		case inA && inB && at > bt:
			c.d.Displaced++
			c.bad.add(key, "another order",
				fmt.Sprintf("%s was appended at position %d and %s at %d, but process %d read "+
					"them the other way round, by %s.", a.value, position(a), b.value, position(b),
					longest.op.Process, seconds(longest.op.Return)), a.op, b.op, longest.op)
		}
	}
}

// prefixes looks whether the reads are a chain: sorted by length, each has to begin
// with the one before.
func (c *logs) prefixes(key history.Key, reads []logRead) {
	slices.SortStableFunc(reads, func(a, b logRead) int {
		return cmp.Compare(len(a.list), len(b.list))
	})
	for i := 1; i < len(reads); i++ {
		a, b := reads[i-1], reads[i]
		for at, v := range a.list {
			if b.list[at] == v {
				continue
			}
			c.d.Forked++
			c.bad.add(key, "another element there",
				fmt.Sprintf("At place %d process %d read %s, by %s, and process %d read %s, "+
					"by %s.", at, a.op.Process, v, seconds(a.op.Return), b.op.Process, b.list[at],
					seconds(b.op.Return)), a.op, b.op)
			break
		}
	}
}
