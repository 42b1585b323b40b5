package systems

import (
	guarantees "github.com/ordeal-dev/ordeal/check/session"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

func appendLogProtocols() []Protocol {
	return []Protocol{
		{
			Name: "appendlog",
			Doc:  "append-only sets and logs: every node takes appends, anti-entropy spreads them",
			Claim: "strong eventual consistency: what is acknowledged is at every node in the end; " +
				"with session tokens also read-your-writes and monotonic reads",
			Workloads: []string{"set-full", "session", "log"},
			Faults:    everything(),
			Objects: map[string][]history.F{
				"set": {"add", "read"},
				"log": {"append", "read"},
			},
			Missing: "append-only data is never changed: anything that depends on what is there " +
				"already needs consensus",
			Available: true,
			Promise: workload.Promise{Eventual: true, Stale: true, Unordered: true,
				Sessions: guarantees.ReadYourWrites | guarantees.MonotonicReads},
		},
	}
}
