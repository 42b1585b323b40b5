package maelstrom

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// Protocol is one of Maelstrom's workloads: which requests nodes understand, and what they
// claim by that.
type Protocol struct {
	// Name is Maelstrom's, Claim what it asks of nodes.
	Name, Claim string
	// Requests are the types of the messages that nodes have to answer.
	Requests []string
	// Workloads are those of this project that judge it, the first one being the one to
	// choose. Objects are what they work on.
	Workloads, Objects []string
	// Leveled: the claim is a level of isolation, which can be chosen.
	Leveled bool
	// Topology: nodes are told their neighbors before anything else.
	Topology bool

	promise workload.Promise
	// probe is an operation that changes nothing, or nothing that matters.
	probe history.Event
	calls map[history.F]call
}

// Protocols lists Maelstrom's workloads.
func Protocols() []Protocol {
	return slices.Concat(simpleProtocols(), storeProtocols())
}

func simpleProtocols() []Protocol {
	read, eventual := history.Event{F: "read"}, workload.Promise{Eventual: true}
	return []Protocol{
		{
			Name: "echo", Claim: "every request is answered by what it holds",
			Requests: []string{"echo"}, Workloads: []string{"echo"}, Objects: []string{"echo"},
			probe: history.Event{F: "echo", Value: history.Str("probe")},
			calls: map[history.F]call{"echo": (*Client).echo},
		},
		{
			Name: "unique-ids", Claim: "no id is given out twice",
			Requests: []string{"generate"}, Workloads: []string{"unique-ids"}, Objects: []string{"ids"},
			promise: workload.Promise{Unordered: true}, probe: history.Event{F: "generate"},
			calls: map[history.F]call{"generate": (*Client).generate},
		},
		{
			Name: "broadcast", Claim: "in the end every node has every message",
			Requests: []string{"topology", "broadcast", "read"}, Topology: true,
			Workloads: []string{"set-full"}, Objects: []string{"set"},
			promise: eventual, probe: read,
			calls: map[history.F]call{"add": (*Client).broadcast, "read": (*Client).readMessages},
		},
		{
			Name: "g-set", Claim: "in the end every node has every element",
			Requests: []string{"add", "read"}, Workloads: []string{"set-full"}, Objects: []string{"set"},
			promise: eventual, probe: read,
			calls: map[history.F]call{"add": (*Client).addElement, "read": (*Client).readSet},
		},
		{
			Name: "g-counter", Claim: "in the end every node has the sum of all that was added",
			Requests: []string{"add", "read"}, Workloads: []string{"eventual-counter"},
			Objects: []string{"counter"}, probe: read,
			promise: workload.Promise{Growing: true},
			calls:   map[history.F]call{"add": (*Client).addDelta, "read": (*Client).readCounter},
		},
		{
			Name:     "pn-counter",
			Claim:    "in the end every node has the sum of all that was added and taken away",
			Requests: []string{"add", "read"}, Workloads: []string{"eventual-counter"},
			Objects: []string{"counter"}, probe: read,
			calls: map[history.F]call{"add": (*Client).addDelta, "read": (*Client).readCounter},
		},
	}
}

func storeProtocols() []Protocol {
	txn := map[history.F]call{workload.Txn: (*Client).txn}
	readTxn := history.Event{F: workload.Txn, Value: history.Steps(
		history.Step{F: history.StepRead, Key: probeKey})}
	return []Protocol{
		{
			Name: "lin-kv", Claim: "linearizable registers",
			Requests:  []string{"read", "write", "cas"},
			Workloads: []string{"cas-register", "register"},
			Objects:   []string{"cas-register", "register"},
			probe:     history.Event{F: "read", Key: probeKey},
			calls: map[history.F]call{
				"read": (*Client).readKey, "write": (*Client).writeKey, "cas": (*Client).casKey,
			},
		},
		{
			Name: "txn-list-append", Claim: "transactions over lists", Leveled: true,
			Requests: []string{"txn"}, Workloads: []string{"list-append"}, Objects: []string{"txn-list"},
			probe: readTxn, calls: txn,
		},
		{
			Name: "txn-rw-register", Claim: "transactions over registers", Leveled: true,
			Requests: []string{"txn"}, Workloads: []string{"rw-register"}, Objects: []string{"txn"},
			probe: readTxn, calls: txn,
		},
		{
			Name:     "kafka",
			Claim:    "logs of one order, in which in the end all is found that was sent",
			Requests: []string{"send", "poll", "commit_offsets", "list_committed_offsets"},
			// Reads may be old, but whatever two reads show stands in one order.
			Workloads: []string{"log"}, Objects: []string{"log"},
			promise: workload.Promise{Stale: true}, probe: history.Event{F: "read", Key: probeKey},
			calls: map[history.F]call{"append": (*Client).send, "read": (*Client).poll},
		},
	}
}

// probeKey is a key that no workload uses.
const probeKey = "probe"

// Named returns one of Maelstrom's workloads.
func Named(name string) (Protocol, bool) {
	all := Protocols()
	i := slices.IndexFunc(all, func(p Protocol) bool { return p.Name == name })
	if i < 0 {
		return Protocol{}, false
	}
	return all[i], true
}

// Names lists Maelstrom's workloads.
func Names() []string {
	var names []string
	for _, p := range Protocols() {
		names = append(names, p.Name)
	}
	return names
}

// Promise is what the workload has to know, with the level of isolation that is claimed.
func (p Protocol) Promise(level graph.Level) workload.Promise {
	promise := p.promise
	if p.Leveled {
		promise.Isolation = level
	}
	return promise
}

// Supports says why a workload over this object cannot run.
func (p Protocol) Supports(object string, fs []history.F) error {
	if !slices.Contains(p.Objects, object) {
		return fmt.Errorf("workload %s of Maelstrom has no %s: what judges it is %s", p.Name, object,
			strings.Join(p.Workloads, ", "))
	}
	for _, f := range fs {
		if p.calls[f] == nil {
			return fmt.Errorf("workload %s of Maelstrom has no %s on a %s", p.Name, f, object)
		}
	}
	return nil
}
