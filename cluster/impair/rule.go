// Package impair is what a rule does to one message, as arithmetic: no socket, no
// clock, no goroutine. The relays of cluster/local and the packet agent of
// cluster/agent both draw a message's fate here, so that a rule means the same on
// each rung and the same seed makes the same choices.
package impair

import (
	"errors"
	"fmt"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// Combine returns the worst of each field of two rules.
func Combine(a, b nemesis.Rule) nemesis.Rule {
	r := nemesis.Rule{
		Cut:       a.Cut || b.Cut,
		Loss:      max(a.Loss, b.Loss),
		Duplicate: max(a.Duplicate, b.Duplicate),
		Corrupt:   max(a.Corrupt, b.Corrupt),
		Reorder:   max(a.Reorder, b.Reorder),
		Delay:     max(a.Delay, b.Delay),
		Jitter:    max(a.Jitter, b.Jitter),
		Replay:    max(a.Replay, b.Replay),
		ReplayMin: max(a.ReplayMin, b.ReplayMin),
		ReplayMax: max(a.ReplayMax, b.ReplayMax),
		Hold:      max(a.Hold, b.Hold),
		HoldMin:   max(a.HoldMin, b.HoldMin),
		HoldMax:   max(a.HoldMax, b.HoldMax),
		Rate:      a.Rate,
	}
	if a.Rate == 0 || (b.Rate > 0 && b.Rate < a.Rate) {
		r.Rate = b.Rate
	}
	return r
}

// Check says everything that is wrong with a rule.
func Check(r nemesis.Rule) error {
	var errs []error
	for _, p := range []struct {
		name  string
		value float64
	}{
		{"loss", r.Loss},
		{"duplicate", r.Duplicate},
		{"corrupt", r.Corrupt},
		{"reorder", r.Reorder},
		{"replay", r.Replay},
		{"hold", r.Hold},
	} {
		// Written so that NaN, too, is refused.
		if !(p.value >= 0 && p.value <= 1) {
			errs = append(errs, fmt.Errorf("%s %v is not between 0 and 1", p.name, p.value))
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"delay", r.Delay},
		{"jitter", r.Jitter},
		{"replay_min", r.ReplayMin},
		{"replay_max", r.ReplayMax},
		{"hold_min", r.HoldMin},
		{"hold_max", r.HoldMax},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s %v is negative", d.name, d.value))
		}
	}
	if r.ReplayMax < r.ReplayMin {
		errs = append(errs, fmt.Errorf("replay_max %v is less than replay_min %v",
			r.ReplayMax, r.ReplayMin))
	}
	if r.HoldMax < r.HoldMin {
		errs = append(errs, fmt.Errorf("hold_max %v is less than hold_min %v",
			r.HoldMax, r.HoldMin))
	}
	if r.Rate < 0 {
		errs = append(errs, fmt.Errorf("rate %d is negative", r.Rate))
	}
	return errors.Join(errs...)
}
