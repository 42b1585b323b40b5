package native

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// Promises are the workloads that test a system whose transactions keep a level, with what
// is promised to each: the lines of a declaration's claim.workloads. Fresh says that every
// read of a single row sees what was acknowledged before it began; if not, rows appear in
// their own time. Without are workloads that the system's client cannot do.
func Promises(level graph.Level, fresh bool, without ...string) string {
	var b strings.Builder
	add := func(promise string, workloads ...string) {
		for _, w := range workloads {
			if slices.Contains(without, w) {
				continue
			}
			fmt.Fprintf(&b, "    %s: %s\n", w, promise)
		}
	}
	add(level.String(), "list-append", "rw-register")
	switch {
	case level == graph.StrictSerializable:
		add("strict-serializable", "bank", "twin", "multi-register")
		add("serializable", "long-fork", "g2")
	case level.Implies(graph.Serializable):
		add("serializable", "bank", "twin", "long-fork", "g2")
	case level.Implies(graph.SnapshotIsolation):
		add("snapshot-isolation", "bank", "long-fork")
		add("read-atomic", "twin")
	case level.Implies(graph.ReadAtomic):
		add("read-atomic", "twin")
	}
	switch {
	case !level.Implies(graph.ReadCommitted):
		// A set may have what was never committed, for a moment.
	case fresh:
		add("linearizable", "register", "cas-register", "set-full", "counter")
	default:
		add("eventual", "set-full")
	}
	return b.String()
}
