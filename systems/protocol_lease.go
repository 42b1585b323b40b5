package systems

import (
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

func leaseProtocols() []Protocol {
	return []Protocol{
		{
			Name: "lease-read",
			Doc:  "Multi-Paxos whose leader answers reads under a lease of two seconds",
			Claim: "linearizable per key, exactly once, while monotonic clocks are at most 5 % wrong; " +
				"available with a connected majority",
			Workloads: []string{"register", "cas-register", "set-full"},
			Faults:    append(bounded(), "transfer"),
			Admin:     []string{"transfer"},
			Objects: map[string][]history.F{
				"register": {"read", "write", "cas"},
				"set":      {"add", "read"},
				"counter":  {"add", "read"},
				"queue":    {"enqueue", "dequeue"},
				"list":     {"append", "read"},
			},
			Missing:   "the Multi-Paxos key-value store has registers, sets, counters, queues and lists",
			Available: true,
			Primaries: true,
		},
		{
			Name: "cache",
			Doc:  "registers of which every node keeps copies, by leases on the copies",
			Claim: "linearizable read/write registers, per key, while clocks are at most 5 % wrong; " +
				"works again when all nodes are healthy",
			Workloads: []string{"register", "cached-register"},
			Faults:    append(bounded(), "transfer"),
			Admin:     []string{"transfer"},
			Objects:   map[string][]history.F{"register": {"read", "write"}},
			Promise:   workload.Promise{Recovers: true},
			Missing:   "cached registers can only be read and written",
			Primaries: true,
		},
		{
			Name: "lock",
			Doc:  "locks that end by themselves, with fencing tokens, in the Multi-Paxos log",
			Claim: "tokens increase and are never accepted out of order; at most one client relies on " +
				"a lock while monotonic clocks are at most 5 % wrong; available with a connected majority",
			Workloads: []string{"lock", "fenced-register", "unique-ids"},
			Faults:    append(bounded(), "admin"),
			Admin:     []string{"transfer", "add-member", "remove-member"},
			Promise:   workload.Promise{Drift: 0.05, Renews: true},
			Objects: map[string][]history.F{
				"lock":     {"acquire", "renew", "release", "read"},
				"fenced":   {"read", "write"},
				"register": {"read", "write", "cas"},
				"set":      {"add", "read"},
				"counter":  {"add", "read"},
			},
			Missing:   "the protocol has locks, fenced registers, registers, sets and counters",
			Available: true,
			Primaries: true,
		},
	}
}
