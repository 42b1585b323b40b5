package check

import (
	"context"
	"fmt"
	"strings"

	engine "github.com/ordeal-dev/ordeal/check/txn"
	"github.com/ordeal-dev/ordeal/check/weak"
	"github.com/ordeal-dev/ordeal/history"
)

// SessionLevelsDetails are the Details of SessionLevels.
type SessionLevelsDetails struct {
	Claimed string `json:"claimed"`
	Txns    int    `json:"txns"`
	Writes  int    `json:"writes"`
	Reads   int    `json:"reads"`
	// Seen are the reads that found a value.
	Seen   int `json:"seen"`
	Broken int `json:"broken"`
}

// SessionLevel is an isolation level as Plume, AWDIT and dbcop define it (Biswas and Enea,
// 2019): one that has the order of each session, and that lets two transactions which did
// not see each other write the same.
type SessionLevel string

// The levels, the stronger ones first.
const (
	SessionCausal        SessionLevel = "causal"
	SessionReadAtomic    SessionLevel = "read-atomic"
	SessionReadCommitted SessionLevel = "read-committed"
)

// weak returns what the engine calls the level.
func (l SessionLevel) weak() weak.Level {
	switch l {
	case SessionReadCommitted:
		return weak.MonotonicAtomicView // with sessions it is the same
	case SessionReadAtomic:
		return weak.ReadAtomic
	default:
		return weak.Causal
	}
}

// SessionLevels checks transactions that write unique values to registers and read them
// for such a level. (The levels of RWRegister are Adya's, of which causal forbids lost
// updates, and only those called strong have sessions.) It asks for no real-time order.
func SessionLevels(level SessionLevel) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return sessionLevels(ctx, h, level)
	})
}

func sessionLevels(ctx context.Context, h *history.History, level SessionLevel) Result {
	const name, most = "session-levels", 5
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	found, err := engine.Sessions(ctx, h, level.weak(), string(level), most)
	if err != nil {
		return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
	}
	d := SessionLevelsDetails{Claimed: string(level), Txns: found.Txns, Writes: found.Writes,
		Reads: found.Reads, Seen: found.Seen, Broken: found.Broken}
	r := Result{Name: name, Details: d, Power: []Measure{measure("transactions", d.Txns),
		measure("writes", d.Writes), measure("reads", d.Reads),
		measure("reads that found a value", d.Seen)}}
	for _, a := range found.Anomalies {
		r.Counterexamples = append(r.Counterexamples, anomaly(h, a))
	}
	switch {
	case d.Broken > 0:
		r.Verdict = Invalid
		r.Reason = fmt.Sprintf("not %s: %s. %s", level, count(d.Broken, "violation", "violations"),
			found.Anomalies[0].Why)
	case len(found.Ambiguous) > 0:
		r.Verdict, r.Reason = Unknown, strings.Join(found.Ambiguous, "; ")
	case d.Seen == 0:
		r.Verdict, r.Untested = Unknown, true
		r.Reason = "nothing was shown: no read found a value"
	default:
		r.Reason = fmt.Sprintf("%s: %s in %s agree", level, count(d.Reads, "read", "reads"),
			count(d.Txns, "transaction", "transactions"))
	}
	return r
}
