package native

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// TestPromises: what a level does not forbid is promised to nobody.
func TestPromises(t *testing.T) {
	for _, c := range []struct {
		level   graph.Level
		fresh   bool
		has, no []string
	}{
		{graph.StrictSerializable, true,
			[]string{"bank: strict-serializable", "multi-register: strict-serializable", "g2: serializable",
				"register: linearizable"}, nil},
		{graph.Serializable, true, []string{"list-append: serializable", "twin: serializable",
			"long-fork: serializable"}, []string{"strict", "multi-register"}},
		{graph.StrongSnapshotIsolation, true, []string{"rw-register: strong-snapshot-isolation",
			"bank: snapshot-isolation", "long-fork: snapshot-isolation", "twin: read-atomic"},
			[]string{"g2", " serializable"}},
		{graph.SnapshotIsolation, false, []string{"long-fork", "set-full: eventual"},
			[]string{"linearizable", "g2"}},
		{graph.RepeatableRead, true, []string{"twin: read-atomic", "counter: linearizable"},
			[]string{"bank", "long-fork", "g2"}},
		{graph.ReadCommitted, true, []string{"list-append: read-committed", "cas-register"},
			[]string{"twin", "bank", "long-fork", "g2"}},
		{graph.ReadUncommitted, true, []string{"list-append: read-uncommitted"},
			[]string{"set-full", "register: linearizable"}},
	} {
		got := Promises(c.level, c.fresh)
		for _, want := range c.has {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", c.level, want, got)
			}
		}
		for _, not := range c.no {
			if strings.Contains(got, not) {
				t.Errorf("%s: %q in\n%s", c.level, not, got)
			}
		}
	}
	got := Promises(graph.Serializable, true, "counter", "bank")
	if strings.Contains(got, "counter") || strings.Contains(got, "bank") ||
		!strings.Contains(got, "twin") {
		t.Errorf("without counter and bank:\n%s", got)
	}
}
