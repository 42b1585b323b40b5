package systems

import (
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// dmvccProtocols are the modes of the distributed multi-version store.
func dmvccProtocols() []Protocol {
	row := Protocol{
		Claim: "strong snapshot isolation; reads available with a connected majority, writes " +
			"with all nodes",
		Workloads: []string{"list-append", "long-fork", "twin", "bank", "set-full"},
		Faults:    everything(),
		Objects: map[string][]history.F{
			"txn":      {"txn"},
			"register": {"read", "write", "cas"},
			"set":      {"add", "read"},
			"counter":  {"add", "read"},
			"list":     {"append", "read"},
		},
		Interactive: true,
		Missing: "the distributed multi-version store has registers, sets, counters, lists " +
			"and transactions",
		Primaries: true,
		Promise:   workload.Promise{Isolation: graph.StrongSnapshotIsolation, Recovers: true},
	}
	all, quorum := row, row
	all.Name = "dmvcc-all"
	all.Doc = "versions on many nodes, metadata in a Paxos group; a write is on all nodes"
	quorum.Name = "dmvcc-quorum"
	quorum.Doc = "versions on many nodes, metadata in a Paxos group; a write is on a majority"
	quorum.Claim = "strong snapshot isolation; available with a connected majority"
	quorum.Available = true
	quorum.Admin = []string{"move"}
	quorum.Faults = append(everything(), "admin")
	return []Protocol{all, quorum}
}
