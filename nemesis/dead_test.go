package nemesis

import (
	"slices"
	"testing"
)

// TestDead: a node that ended by itself is not healthy, and without a majority of
// healthy nodes nothing is promised.
func TestDead(t *testing.T) {
	var seen [][]Node
	w := newWorld([]Node{"n1", "n2", "n3"}, nil, func(h []Node) { seen = append(seen, h) })
	w.announce()
	w.setDead("n2", true)
	w.setDead("n3", true)
	w.setDead("n2", false)
	want := [][]Node{{"n1", "n2", "n3"}, {"n1", "n3"}, {}, {"n1", "n2"}}
	if !slices.EqualFunc(seen, want, slices.Equal) {
		t.Errorf("healthy were %v, want %v", seen, want)
	}
}
