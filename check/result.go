// Package check decides from a history alone whether a system kept its promise.
//
// A verdict is valid, unknown or invalid, in this order; merging verdicts takes
// the greatest. A checker cannot fail: what it cannot decide is unknown, with the
// reason, and a valid verdict says how much was really tested.
package check

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// Verdict is the outcome of a check. The zero value is Valid, the identity of
// Merge.
type Verdict uint8

// The verdicts, in ascending order of gravity.
const (
	Valid Verdict = iota
	Unknown
	Invalid
)

// String returns valid, unknown or invalid.
func (v Verdict) String() string {
	switch v {
	case Valid:
		return "valid"
	case Unknown:
		return "unknown"
	case Invalid:
		return "invalid"
	default:
		return "verdict?"
	}
}

// MarshalJSON writes the verdict's name.
func (v Verdict) MarshalJSON() ([]byte, error) { return json.Marshal(v.String()) }

// UnmarshalJSON reads the verdict's name.
func (v *Verdict) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("verdict: %w", err)
	}
	for _, w := range []Verdict{Valid, Unknown, Invalid} {
		if w.String() == s {
			*v = w
			return nil
		}
	}
	return fmt.Errorf("verdict %q: want valid, unknown or invalid", s)
}

// Merge returns the greater of two verdicts.
func Merge(a, b Verdict) Verdict { return max(a, b) }

// Result is what one checker found.
type Result struct {
	// Name of the checker, such as "linearizable" or "stats".
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	// Reason is one sentence for a person: why it is invalid or unknown, or
	// what a valid verdict rests on.
	Reason string `json:"reason,omitempty"`
	// Untested says that the history keeps the promise, and that the verdict is unknown
	// only because nothing in it could have broken it.
	Untested bool `json:"untested,omitempty"`
	// Power says how much was really tested: counts by what they count, for
	// example "operations", "keys", "reads", "max concurrency".
	Power []Measure `json:"power,omitempty"`
	// Details is the checker's own structure, JSON encodable.
	Details any `json:"details,omitempty"`
	// Counterexamples show violations, the most telling first.
	Counterexamples []Counterexample `json:"counterexamples,omitempty"`
	// Parts are the results of composed checkers.
	Parts []Result `json:"parts,omitempty"`
}

// Measure is one named quantity.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

// Counterexample is a part of the history that by itself breaks the promise.
type Counterexample struct {
	Key history.Key `json:"key"`
	// Why is one or two sentences in words.
	Why string `json:"why"`
	// Called is how the literature calls such a violation, and what that means in a clause.
	Called string `json:"called,omitempty"`
	// Lost says that something acknowledged is seen by nobody any more, as far as anybody
	// looked: few things are worse.
	Lost bool `json:"lost,omitempty"`
	// Mark says in a few words what is wrong with the culprit, for its place in a picture.
	Mark string `json:"mark,omitempty"`
	// Before says in a sentence what operations that are not shown had come to when the first
	// of Ops was called; the violation is that of Ops after them. Empty if there are none.
	Before string `json:"before,omitempty"`
	// Ops are the sub-history by the times of their calls: removing any operation
	// makes the rest acceptable (when Minimal). Not counted are removals that
	// would make up a violation of their own, such as that of a write whose value
	// a remaining read returned. An operation of type fail is shown because its
	// effect was seen.
	Ops     []Op `json:"ops"`
	Minimal bool `json:"minimal"`
	// Edges say which of Ops come before which, and why: for a pair conflict, or a
	// cycle, they contradict each other.
	Edges []Edge `json:"edges,omitempty"`
	// Until is the time at which the history so far broke the promise, whatever
	// came later. 0 when that is not known.
	Until history.Time `json:"until,omitempty"`
	// Visualization is Porcupine's own interactive page (HTML) of Ops, if there
	// is one.
	Visualization string `json:"-"`
	// WholeVisualization is such a page of every operation on the key, if it is
	// not too large.
	WholeVisualization string `json:"-"`
}

// Op is an operation of a counterexample, ready to be shown.
type Op struct {
	Index    int64  `json:"index"`
	Process  int64  `json:"process"`
	Call     int64  `json:"call"`
	Return   int64  `json:"return"` // -1: unknown
	Type     string `json:"type"`
	F        string `json:"f"`
	Key      string `json:"key,omitempty"`
	In       string `json:"in,omitempty"`  // JSON
	Out      string `json:"out,omitempty"` // JSON
	Describe string `json:"describe"`      // "write(3)", "read() = 4"
	// Culprit marks the operation that gives the violation away: in a linearization, the
	// one that cannot be placed. Of operations that contradict each other, none is.
	Culprit bool `json:"culprit,omitempty"`
	// Missed marks an operation whose effect the culprit had to see, and does not.
	Missed bool `json:"missed,omitempty"`
	// Note says in a few words what it has to do with the culprit, which is called ✕.
	Note string `json:"note,omitempty"`
}

// Checker decides about a history.
type Checker interface {
	// Check ends when ctx does, with unknown for what is undecided then.
	Check(ctx context.Context, h *history.History) Result
}

// CheckerFunc makes a function a Checker.
type CheckerFunc func(ctx context.Context, h *history.History) Result

// Check calls f.
func (f CheckerFunc) Check(ctx context.Context, h *history.History) Result { return f(ctx, h) }
