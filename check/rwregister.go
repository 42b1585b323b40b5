package check

import (
	"context"
	"strings"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/rw"
	engine "github.com/ordeal-dev/ordeal/check/txn"
	"github.com/ordeal-dev/ordeal/history"
)

// RWRegisterDetails are the Details of RWRegister.
type RWRegisterDetails struct {
	// Claimed is the level that is judged. Refuted ones are named by the weakest of
	// them, from which the others follow, and those that hold by the strongest.
	Claimed   graph.Level   `json:"claimed"`
	Refuted   []graph.Level `json:"refuted"`
	Strongest []graph.Level `json:"strongest"`
	// Methods say how each level was decided, in how many groups of keys.
	Methods map[graph.Level]map[rw.Method]int `json:"methods"`
	// Anomalies are counts by Elle's names.
	Anomalies map[engine.Type]int `json:"anomalies"`
	// Beyond are examples, in words, of what breaks only stronger levels.
	Beyond []string `json:"beyond,omitempty"`
	// Ambiguous says which groups could not be judged: their values are not unique.
	Ambiguous []string     `json:"ambiguous,omitempty"`
	Writes    int          `json:"writes"`
	Blind     int          `json:"blind"`
	Seen      int          `json:"seen"`
	Stats     engine.Stats `json:"stats"`
}

// RWRegister checks transactions that read registers and write unique values to them: which
// isolation levels they keep, by package rw. Each group of keys is a database of its own.
// The order of the versions is not known, so that a level is refuted by what holds in
// every order, and holds if there is one that shows it; if the search for one was given up
// it is unknown. The verdict is about the level that o claims.
func RWRegister(o TxnOptions) Checker {
	if o.Counterexamples <= 0 {
		o.Counterexamples = 5
	}
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return rwRegister(ctx, h, o)
	})
}

func rwRegister(ctx context.Context, h *history.History, o TxnOptions) Result {
	const name = "rw-register"
	if r, stop := interrupted(ctx, name); stop {
		return r
	}
	found, err := engine.RWRegister(ctx, h,
		engine.Options{Keep: o.Counterexamples, Budget: o.Budget, Keys: o.Keys})
	if err != nil {
		return Result{Name: name, Verdict: Unknown, Reason: err.Error()}
	}
	s := found.Stats
	r := Result{Name: name, Power: []Measure{measure("transactions", s.Txns),
		measure("writes", found.Writes), measure("writes without a read", found.Blind),
		measure("reads", s.Reads), measure("reads that found a value", found.Seen)}}
	d := RWRegisterDetails{
		Claimed: o.Level, Anomalies: found.Counts, Stats: s, Methods: found.Methods,
		Refuted: found.Lattice.Weakest(), Strongest: found.Lattice.Strongest(),
		Ambiguous: found.Ambiguous, Writes: found.Writes, Blind: found.Blind, Seen: found.Seen,
	}
	r.Counterexamples, d.Beyond = counterexamplesOf(h, found.Anomalies, o)
	r.Details = d
	nothing := ""
	if found.Seen == 0 {
		nothing = "no read found a value"
	}
	levelVerdict(&r, &found.Report, o.Level, nothing)
	if r.Verdict == Unknown && len(found.Ambiguous) > 0 {
		r.Reason = strings.Join(found.Ambiguous, "; ")
	}
	return r
}
