package systems

import (
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

func commitProtocols() []Protocol {
	return []Protocol{
		{
			Name: "2pc",
			Doc:  "two-phase commit across shards, with the decisions in a Paxos group",
			Claim: "strictly serializable transactions, atomic across shards; " +
				"blocks while a shard or the coordinator group is down",
			Workloads:   []string{"twin", "liveness", "list-append", "bank", "register"},
			Faults:      everything(),
			Objects:     transactional(),
			Interactive: true,
			Missing: "the shards of two-phase commit have registers, lists, counters and sets, " +
				"alone or in transactions",
			Primaries: true,
			Promise:   workload.Promise{Recovers: true},
		},
		{
			Name: "3pc",
			Doc:  "three-phase commit with quorums (E3PC): a connected majority decides",
			Claim: "strictly serializable transactions, atomic across shards; " +
				"a connected majority resolves what is in doubt",
			Workloads:   []string{"twin", "bank", "list-append", "register"},
			Faults:      everything(),
			Objects:     transactional(),
			Interactive: true,
			Missing: "the shards of three-phase commit have registers, lists, counters and sets, " +
				"alone or in transactions",
			Promise: workload.Promise{Recovers: true},
		},
		{
			Name: "3pc-plain",
			Doc:  "three-phase commit as Skeen described it: who does not answer has crashed",
			Claim: "strictly serializable transactions, atomic across shards, " +
				"as long as nodes only crash and restart",
			Workloads:   []string{"twin"},
			Faults:      []string{"kill", "restart"},
			Objects:     transactional(),
			Interactive: true,
			Missing: "the shards of three-phase commit have registers, lists, counters and sets, " +
				"alone or in transactions",
		},
	}
}

// transactional are the objects that the shards of atomic commit keep.
func transactional() map[string][]history.F {
	return map[string][]history.F{
		"register": {"read", "write"},
		"list":     {"append", "read"},
		"counter":  {"add", "read"},
		"set":      {"add", "read"},
		"txn":      {"txn"},
	}
}
