package systems

import (
	"slices"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// Protocol describes one protocol of the reference cluster, as the harness sees
// it: from outside, through docs/target-api.md.
type Protocol struct {
	Name, Doc string
	// Claim is what the protocol promises.
	Claim string
	// Workloads are the names of the workloads that test the claim, the first one
	// being the one to choose if nobody says another.
	Workloads []string
	// Faults are the families of faults that the claim covers.
	Faults []string
	// Objects maps each kind of object to the operations on it. The object "txn"
	// has the operation "txn", a transaction of several steps.
	Objects map[string][]history.F
	// Interactive transactions are several requests, begin to commit, to one
	// node; others are one request.
	Interactive bool
	// Missing says in a sentence why something else is not there.
	Missing string
	// Available: progress whenever a majority is healthy and connected.
	Available bool
	// Primaries: a node leads.
	Primaries bool
	// Promise is what workloads have to know of the claim. Interactive protocols
	// forbid overdrafts whatever it says.
	Promise workload.Promise
	// Admin lists the orders of an operator that it takes; see Operator.
	Admin []string
}

// Protocols are the protocols of the reference cluster.
func Protocols() []Protocol {
	return slices.Concat(logProtocols(), quorumProtocols(), primaryProtocols(), leaseProtocols(),
		decideProtocols(), commitProtocols(), mvccProtocols(), dmvccProtocols(), appendLogProtocols())
}

// everything is the families of faults that the strongest claims cover, beside those of
// an operator and of lost bits.
func everything() []string { return append(timeless(), "clock") }

// timeless are all of these but those of clocks.
func timeless() []string {
	return []string{"partition", "messages", "kill", "pause", "restart", "clients", "disk"}
}

// bounded is what protocols cover whose promises rest on clocks that are at most so
// wrong.
func bounded() []string { return append(timeless(), "drift") }

func logProtocols() []Protocol {
	return []Protocol{
		{
			Name:  "paxos",
			Doc:   "Multi-Paxos: a replicated log of commands, with read-index reads and sessions",
			Claim: "linearizable per key, exactly once; available with a connected majority",
			Workloads: []string{
				"cas-register", "register", "set-full", "counter", "multi-register", "twin", "bank",
				"list-append", "rw-register", "long-fork", "g2", "queue", "unique-ids", "session", "liveness",
			},
			Faults: append(everything(), "bit-flip", "admin"),
			Admin:  []string{"transfer", "add-member", "remove-member"},
			Objects: map[string][]history.F{
				"register": {"read", "write", "cas"},
				"set":      {"add", "read"},
				"counter":  {"add", "read"},
				"queue":    {"enqueue", "dequeue"},
				"list":     {"append", "read"},
				"txn":      {"txn"},
			},
			Missing: "the Multi-Paxos key-value store has registers, sets, counters, queues, " +
				"lists, and transactions over them",
			Available: true,
			Primaries: true,
		},
	}
}

func quorumProtocols() []Protocol {
	return []Protocol{
		{
			Name:      "quorum",
			Doc:       "ABD: registers replicated by reading and writing majorities",
			Claim:     "linearizable read/write registers, per key; available with a connected majority",
			Workloads: []string{"register", "session"},
			Faults:    append(everything(), "bit-flip", "wipe"),
			Objects:   map[string][]history.F{"register": {"read", "write"}},
			Missing: "ABD quorum registers can only be read and written: " +
				"compare-and-set needs consensus, which majorities alone do not give",
			Available: true,
		},
	}
}
