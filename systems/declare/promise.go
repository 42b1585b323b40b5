package declare

import (
	"fmt"
	"strings"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/workload"
)

// consistency is a promise by its name.
type consistency struct {
	name    string
	promise workload.Promise
}

// linearizable is what most workloads judge, and all they can.
var linearizable = consistency{name: "linearizable"}

// consistencies are what can be promised to a workload, the strongest first.
func consistencies(name string) []consistency {
	switch name {
	case "list-append", "rw-register":
		var all []consistency
		for _, level := range graph.Levels() {
			all = append(all, consistency{level.String(), workload.Promise{Isolation: level}})
		}
		return all
	case "bank":
		return []consistency{
			{name: "strict-serializable"},
			{"serializable", workload.Promise{Stale: true}},
			{"snapshot-isolation", workload.Promise{Stale: true}},
		}
	case "twin":
		return []consistency{
			{name: "strict-serializable"}, {"serializable", workload.Promise{Stale: true}},
			{"read-atomic", workload.Promise{Stale: true}},
		}
	case "long-fork":
		return []consistency{{name: "serializable"}, {name: "snapshot-isolation"}}
	case "g2":
		return []consistency{{name: "serializable"}}
	case "multi-register":
		strong := graph.StrongSnapshotIsolation
		return []consistency{
			{name: "strict-serializable"}, {strong.String(), workload.Promise{Isolation: strong}},
		}
	case "set-full":
		return []consistency{linearizable, {"eventual", workload.Promise{Eventual: true}}}
	case "log":
		return []consistency{
			linearizable, {"sequential", workload.Promise{Stale: true}},
			{"eventual", workload.Promise{Stale: true, Unordered: true}},
		}
	case "unique-ids":
		return []consistency{linearizable, {"unique", workload.Promise{Unordered: true}}}
	case "eventual-counter":
		return []consistency{{name: "eventual"}, {"growing", workload.Promise{Growing: true}}}
	case "echo":
		return []consistency{{name: "echo"}}
	case "session":
		return []consistency{{name: "session"}}
	case "liveness":
		return []consistency{{"recovers", workload.Promise{Recovers: true}}}
	default:
		return []consistency{linearizable}
	}
}

// Promise returns what a consistency by its name means for a workload.
func Promise(name, word string) (workload.Promise, error) {
	var names []string
	for _, c := range consistencies(name) {
		if c.name == word {
			return c.promise, nil
		}
		names = append(names, c.name)
	}
	return workload.Promise{}, fmt.Errorf("%s cannot be promised %q: there is %s", name, word,
		strings.Join(names, ", "))
}
