package systems

import "github.com/ordeal-dev/ordeal/history"

func decideProtocols() []Protocol {
	return []Protocol{
		{
			Name:      "decide",
			Doc:       "single-decree Paxos: in each instance one value is decided, once and for ever",
			Claim:     "a linearizable write-once register per key; available with a connected majority",
			Workloads: []string{"decide"},
			Faults:    everything(),
			Objects:   map[string][]history.F{"decide": {"propose", "ask"}},
			Missing:   "an instance of consensus can only be proposed to and asked",
			Available: true,
		},
	}
}
