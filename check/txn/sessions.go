package txn

import (
	"context"
	"fmt"

	"github.com/ordeal-dev/ordeal/check/weak"
	"github.com/ordeal-dev/ordeal/history"
)

// SessionsReport is what was found in the sessions of transactions on registers.
type SessionsReport struct {
	Txns, Writes, Reads, Seen int
	// Broken counts violations, of which Anomalies are the first.
	Broken    int
	Anomalies []Anomaly
	// Ambiguous says why groups could not be judged.
	Ambiguous []string
}

// Sessions checks transactions that write unique values to registers and read them for a
// level that package weak decides, in the sense of Biswas and Enea, Plume and AWDIT: the
// order of the transactions has that of each session, and nothing forbids two of them
// that did not see each other to write the same. Anomalies speak of the level by name.
// Operations with a key of their own belong to a group of that name, an independent
// database.
func Sessions(
	ctx context.Context, h *history.History, level weak.Level, name string, keep int,
) (*SessionsReport, error) {
	r := &SessionsReport{}
	var names []history.Key
	groups := make(map[history.Key][]int)
	for i := range h.Ops {
		k := h.Ops[i].Key
		if _, known := groups[k]; !known {
			names = append(names, k)
		}
		groups[k] = append(groups[k], i)
	}
	var sum RegisterReport
	for _, group := range names {
		g := &registers{ops: h.Ops, name: group, places: groups[group], whole: true}
		if err := g.load(&sum); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			r.Ambiguous = append(r.Ambiguous, fmt.Sprintf("stopped before the end: %v",
				context.Cause(ctx)))
			break
		}
		g.sessions(level, name, keep, r)
	}
	r.Txns, r.Writes, r.Reads, r.Seen = sum.Stats.Txns, sum.Writes, sum.Stats.Reads, sum.Seen
	return r, nil
}

// sessions judges one group.
func (g *registers) sessions(level weak.Level, name string, keep int, r *SessionsReport) {
	x, err := weak.NewIndex(&g.h)
	if err != nil {
		r.Ambiguous = append(r.Ambiguous, g.ambiguous(err))
		return
	}
	g.x = x
	add := func(explain func() Anomaly) {
		if r.Broken++; len(r.Anomalies) < keep {
			r.Anomalies = append(r.Anomalies, explain())
		}
	}
	wrong := x.Wrong()
	for i := range wrong {
		if v := &wrong[i]; v.Kind != weak.NonRepeatable || level >= weak.ReadAtomic {
			add(func() Anomaly { return g.wrong(v) })
		}
	}
	v, err := x.Check(level, true)
	switch {
	case err != nil:
		r.Ambiguous = append(r.Ambiguous, err.Error())
	case v != nil:
		add(func() Anomaly {
			return g.unordered("There is no order of the transactions that is "+name+".", v)
		})
	}
}
