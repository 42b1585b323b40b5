package rw

import (
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/weak"
)

// TestManyDependencies: of one key that nobody ever saw written there are as many rw as pairs
// of a reader and a writer. Most of them are left out, and nothing that weak levels need.
func TestManyDependencies(t *testing.T) {
	const n = 4000
	h := &weak.History{}
	begin := func() {
		h.Begin(int32(h.Len()), weak.Committed)
		h.Timed(0, 1)
	}
	for i := range int64(n) {
		begin()
		h.Write(0, i)
		begin()
		h.Read(0, weak.Unwritten)
	}
	begin()
	h.Write(1, 1)
	h.Read(2, 2)
	begin()
	h.Write(2, 2)
	h.Read(1, 1)
	x, err := weak.NewIndex(h)
	if err != nil {
		t.Fatal(err)
	}
	r := Analyze(t.Context(), x, Options{})
	if most := manyArcs + 2*n; r.Stats.Dependencies > most {
		t.Errorf("%d dependencies, want at most %d", r.Stats.Dependencies, most)
	}
	if r.Lattice[graph.ReadCommitted] != graph.Refuted {
		t.Error("a circle of what was read was not found")
	}
	if r.Lattice[graph.ReadUncommitted] != graph.Holds {
		t.Error("read uncommitted does not hold")
	}
}
