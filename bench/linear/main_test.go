package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// TestGenerated: every shape, made small, gives the history that it promises, by the
// reference and by ours.
func TestGenerated(t *testing.T) {
	l := limits{Time: 10 * time.Second, Memory: 1 << 30}
	for _, s := range shapes() {
		s.Ops, s.Clients, s.Crashed = 200*s.Keys, min(s.Clients, 5), min(s.Crashed, 4)
		if s.Keys > 10 {
			continue // the same
		}
		want := check.Valid
		if s.Stale {
			want = check.Invalid
		}
		figures := map[string]figure{}
		for _, engine := range []string{"porcupine", "auto"} {
			f, err := measure(t.Context(), s, engine, l)
			if err != nil {
				t.Fatalf("%s by %s: %v", s, engine, err)
			}
			if f.Verdict != want {
				t.Errorf("%s by %s: %s, want %s: %s", s, engine, f.Verdict, want, f.Reason)
			}
			figures[engine] = f
		}
		var b strings.Builder
		if err := row(&b, s, figures["porcupine"], figures["auto"], l); err != nil {
			t.Error(err)
		}
		if cells := strings.Count(b.String(), "|"); cells != 11 || !strings.Contains(b.String(), " s, ") {
			t.Errorf("row: %s", b.String())
		}
	}
}

// TestRowRefuses to compare times of different verdicts.
func TestRowRefuses(t *testing.T) {
	var b strings.Builder
	a, c := figure{Verdict: check.Valid, CPU: 1}, figure{Verdict: check.Invalid, CPU: 1}
	if err := row(&b, shapes()[0], a, c, limits{}); err == nil {
		t.Errorf("printed %s", b.String())
	}
	a.Verdict, a.Reason = check.Unknown, "out of memory (limit 3 MiB)"
	if err := row(&b, shapes()[0], a, c, limits{}); err != nil ||
		!strings.Contains(b.String(), "out of memory") || !strings.Contains(b.String(), "> 1 |") {
		t.Errorf("%v: %s", err, b.String())
	}
}
