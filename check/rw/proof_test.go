package rw

import (
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/weak"
)

// TestStaleAmongBlindWrites: where nobody reads what he overwrites, one stale read in a long
// history is shown by the few transactions that its contradiction needs.
func TestStaleAmongBlindWrites(t *testing.T) {
	h := serial(1, 6000, 10, 50, 300, 1)
	last := make(map[int32][]int64) // by key, what was written
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Write {
			last[op.Key] = append(last[op.Key], op.Value)
			continue
		}
		if n := len(last[op.Key]); i > len(h.Ops)/2 && n > 12 && op.Value == last[op.Key][n-1] {
			op.Value = last[op.Key][n-12]
			break
		}
	}
	x, err := weak.NewIndex(h)
	if err != nil {
		t.Fatal(err)
	}
	r := Analyze(t.Context(), x, Options{})
	if r.Lattice[graph.Causal] != graph.Refuted || r.Lattice[graph.ReadAtomic] != graph.Holds {
		t.Fatalf("%v by %v", r.Lattice, r.Methods)
	}
	if len(r.Cores) != 1 || !r.Cores[0].Minimal || len(r.Cores[0].Txns) > 20 {
		t.Fatalf("%+v", r.Cores)
	}
	t.Logf("%d transactions", len(r.Cores[0].Txns))
}
