package systems

import (
	guarantees "github.com/ordeal-dev/ordeal/check/session"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// primaryProtocols are the central database with copies, in its modes.
func primaryProtocols() []Protocol {
	objects := map[string][]history.F{
		"register": {"read", "write", "cas"},
		"set":      {"add", "read"},
		"counter":  {"add", "read"},
		"queue":    {"enqueue", "dequeue"},
		"list":     {"append", "read"},
		"txn":      {"txn"},
	}
	const missing = "the central database has registers, sets, counters, queues, lists and " +
		"transactions of one request"
	strong := []string{
		"cas-register", "register", "set-full", "counter", "queue",
		"multi-register", "list-append", "bank",
	}
	faults, orders := append(everything(), "transfer"), []string{"transfer"}
	return []Protocol{
		{
			Name:      "primary",
			Doc:       "central database with copies (viewstamped replication)",
			Claim:     "strictly serializable, exactly once; available with a connected majority",
			Workloads: strong, Faults: faults, Admin: orders, Objects: objects, Missing: missing,
			Available: true, Primaries: true,
		},
		{
			Name:      "primary-all",
			Doc:       "the same, acknowledged when every member of the view has logged it",
			Claim:     "strictly serializable, exactly once; available with a connected majority",
			Workloads: strong, Faults: faults, Admin: orders, Objects: objects, Missing: missing,
			Available: true, Primaries: true,
		},
		{
			Name: "primary-copy-reads",
			Doc:  "the same as primary, but every node answers reads from its own copy",
			Claim: "sequentially consistent at each node; with tokens, sessions read their " +
				"writes and read monotonically; available with a connected majority",
			Workloads: []string{"session"}, Promise: workload.Promise{Stale: true,
				Sessions: guarantees.ReadYourWrites | guarantees.MonotonicReads},
			Faults: faults, Admin: orders, Objects: objects, Missing: missing,
			Available: true, Primaries: true,
		},
		{
			Name: "primary-async",
			Doc:  "the same as primary, acknowledged when the primary itself has logged it",
			Claim: "strictly serializable while the primary does not change; a change may lose " +
				"what was acknowledged",
			Workloads: strong,
			Faults:    []string{"clients"}, Admin: orders, Objects: objects, Missing: missing,
			Primaries: true,
		},
	}
}
