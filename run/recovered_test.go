package run

import (
	"testing"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// TestComesBack: a node that ends whenever it is started is held against the system, what
// the harness could not heal is not.
func TestComesBack(t *testing.T) {
	dead := nemesis.FaultRecord{
		What: "kill n2 in the middle of a write", Injected: true,
		HealError: "start n2: exited before it was ready: exit status 1: bad record",
	}
	healed := dead
	healed.Healed = true // a later attempt went well
	own := dead
	own.HealError = "links of n2: connection refused"
	for _, test := range []struct {
		name   string
		faults []nemesis.FaultRecord
		want   check.Verdict
	}{
		{"no faults", nil, check.Valid},
		{"does not start", []nemesis.FaultRecord{healed, dead}, check.Invalid},
		{"started later", []nemesis.FaultRecord{healed}, check.Valid},
		{"not healed otherwise", []nemesis.FaultRecord{own}, check.Valid},
	} {
		r := comesBack(test.faults).Check(t.Context(), nil)
		if r.Verdict != test.want {
			t.Errorf("%s: %v (%s), want %v", test.name, r.Verdict, r.Reason, test.want)
		}
	}
}
