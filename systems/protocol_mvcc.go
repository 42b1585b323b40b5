package systems

import (
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// mvccProtocols are the modes of the multi-version store on one machine: the rule
// of commit, and the form of the versions.
func mvccProtocols() []Protocol {
	si := []string{
		"list-append", "rw-register", "bank", "long-fork", "twin", "set-full", "multi-register",
	}
	serializable := slices.Concat([]string{"g2"}, si)
	const snapshot = "strong snapshot isolation; no service without the first node"
	var all []Protocol
	for _, m := range []struct {
		name, doc, claim string
		isolation        graph.Level
		workloads        []string
	}{
		{
			"mvcc-si", "versions on one machine, the first committer wins", snapshot,
			graph.StrongSnapshotIsolation, si,
		},
		{
			"mvcc-serializable", "versions on one machine, with detection of rw-conflicts",
			"strict serializable; no service without the first node",
			graph.StrictSerializable, serializable,
		},
		{
			"mvcc-merge", "versions on one machine, three-way merge of branches", snapshot,
			graph.StrongSnapshotIsolation, si,
		},
	} {
		for _, form := range []struct{ suffix, doc string }{
			{"", "copies of values"}, {"-log", "a base and a log of updates"},
		} {
			all = append(all, Protocol{
				Name: m.name + form.suffix, Doc: m.doc + "; " + form.doc, Claim: m.claim,
				Workloads: m.workloads, Faults: everything(),
				Objects: map[string][]history.F{
					"txn":      {"txn"},
					"register": {"read", "write", "cas"},
					"set":      {"add", "read"},
					"counter":  {"add", "read"},
					"list":     {"append", "read"},
				},
				Interactive: true,
				Missing:     "the multi-version store has registers, sets, counters, lists and transactions",
				Primaries:   true,
				Promise:     workload.Promise{Isolation: m.isolation},
			})
		}
	}
	return all
}
