package run

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems"
)

// narrow is a system that claims to survive kills only.
type narrow struct{ systems.System }

func (narrow) Name() string     { return "narrow" }
func (narrow) Faults() []string { return []string{"kill"} }

// TestWithinClaim: a violation under faults that a system never claimed to survive is
// told, and not held against it; under others it is, and so is one beside faults that
// were planned but never came.
func TestWithinClaim(t *testing.T) {
	record := func(fault, skipped string) nemesis.FaultRecord {
		return nemesis.FaultRecord{Step: nemesis.Step{Fault: fault}, Skipped: skipped}
	}
	for _, c := range []struct {
		name   string
		faults []nemesis.FaultRecord
		before check.Verdict
		want   check.Verdict
	}{
		{"kills", []nemesis.FaultRecord{record("kill-all", "")}, check.Invalid, check.Invalid},
		{"no faults", nil, check.Invalid, check.Invalid},
		{"a partition", []nemesis.FaultRecord{record("kill", ""), record("partition", "")},
			check.Invalid, check.Unknown},
		{"a partition that never came",
			[]nemesis.FaultRecord{record("partition", "the test ended before")},
			check.Invalid, check.Invalid},
		{"survived all the same", []nemesis.FaultRecord{record("partition", "")},
			check.Valid, check.Valid},
	} {
		r := withinClaim(check.Result{Verdict: c.before, Reason: "a stale read"}, narrow{}, c.faults)
		if r.Verdict != c.want {
			t.Errorf("%s: %s, want %s", c.name, r.Verdict, c.want)
		}
		told := strings.Contains(r.Reason, "does not promise to survive faults of the family partition")
		if told != (c.want == check.Unknown) || !strings.Contains(r.Reason, "a stale read") {
			t.Errorf("%s: says %q", c.name, r.Reason)
		}
	}
}
