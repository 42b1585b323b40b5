package check

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// TestRecoveryBesideStalls: what was tried while the harness itself stood still says nothing of
// the system.
func TestRecoveryBesideStalls(t *testing.T) {
	var b strings.Builder
	b.WriteString("p0 write 1 0..10\nfault kill 100..200\n")
	for i := range 12 {
		fmt.Fprintf(&b, "p0 write %d %d..%d info\n", i+2, 1000+2000*i, 1300+2000*i)
	}
	judge := Recovery(RecoveryOptions{Kinds: []Floor{{F: "write"}}, Claimed: true})
	h := mustTimeline(t, b.String())
	if r := judge.Check(t.Context(), h); r.Verdict != Invalid {
		t.Errorf("without a stall %s (%s), want invalid", r.Verdict, r.Reason)
	}
	h.Nemesis = append(h.Nemesis, history.Event{
		Time: 20e9, Process: history.Nemesis, Type: history.Info, F: Stall,
		Value: history.Map(history.Field{Name: "from", Value: history.Int(9e9)}),
	})
	if r := judge.Check(t.Context(), h); r.Verdict != Valid {
		t.Errorf("beside a stall %s (%s), want valid", r.Verdict, r.Reason)
	}
}
