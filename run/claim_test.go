package run

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
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
		part := len(r.Parts) > 0 && strings.Contains(r.Parts[len(r.Parts)-1].Reason,
			"narrow does not promise to survive faults of the family partition")
		if part != (c.want == check.Unknown) {
			t.Errorf("%s: its parts say %+v", c.name, r.Parts)
		}
		told := strings.Contains(r.Reason, "does not promise to survive faults of the family partition")
		if told != (c.want == check.Unknown) || !strings.Contains(r.Reason, "a stale read") {
			t.Errorf("%s: says %q", c.name, r.Reason)
		}
	}
}

// TestViolationBeforeTheFault: what had happened before the first fault outside the
// claim began is held against the system, if it was certain by then.
func TestViolationBeforeTheFault(t *testing.T) {
	began := func(fault string, at history.Time) nemesis.FaultRecord {
		return nemesis.FaultRecord{Step: nemesis.Step{Fault: fault}, Start: at}
	}
	certain := func(v check.Verdict, times ...history.Time) check.Result {
		r := check.Result{Verdict: v}
		for _, at := range times {
			r.Counterexamples = append(r.Counterexamples, check.Counterexample{Until: at})
		}
		return r
	}
	within := func(parts ...check.Result) check.Result {
		return check.Result{Verdict: check.Invalid, Reason: "a stale read", Parts: parts}
	}
	for _, c := range []struct {
		name   string
		result check.Result
		faults []nemesis.FaultRecord
		want   check.Verdict
	}{
		{"before", within(certain(check.Invalid, 90)),
			[]nemesis.FaultRecord{began("partition", 100), began("kill", 10)}, check.Invalid},
		{"one of two before", within(certain(check.Valid), certain(check.Invalid, 300, 90)),
			[]nemesis.FaultRecord{began("partition", 100)}, check.Invalid},
		{"at the same time", within(certain(check.Invalid, 100)),
			[]nemesis.FaultRecord{began("partition", 100)}, check.Unknown},
		{"after", within(certain(check.Invalid, 110)),
			[]nemesis.FaultRecord{began("partition", 100)}, check.Unknown},
		{"between two", within(certain(check.Invalid, 110)),
			[]nemesis.FaultRecord{began("partition", 200), began("partition", 100)}, check.Unknown},
		{"not known when", within(certain(check.Invalid, 0)),
			[]nemesis.FaultRecord{began("partition", 100)}, check.Unknown},
		{"a fault that began nobody knows when", within(certain(check.Invalid, 90)),
			[]nemesis.FaultRecord{began("partition", 0)}, check.Unknown},
		{"only of a part that is not invalid", within(certain(check.Unknown, 90)),
			[]nemesis.FaultRecord{began("partition", 100)}, check.Unknown},
	} {
		r := withinClaim(c.result, narrow{}, c.faults)
		if r.Verdict != c.want || !strings.Contains(r.Reason, "a stale read") {
			t.Errorf("%s: %s, want %s: %s", c.name, r.Verdict, c.want, r.Reason)
		}
	}
}
