// Package reports turns the outcome of a run into something that a person or a
// build server reads: one self-contained HTML page, JUnit XML.
//
// Everything that comes from the system under test (values, errors, log lines,
// node names) is untrusted text and is escaped.
package reports

import (
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Run is everything that a report shows.
type Run struct {
	// Name of the test, "reference paxos cas-register".
	Name string
	// Claim is what the system promises.
	Claim   string
	Started time.Time
	Seed    uint64
	// Repeat is the one command that repeats the run.
	Repeat string
	// Nodes are the nodes' names; client thread t of Concurrency talks to node
	// t mod len(Nodes).
	Nodes       []string
	Concurrency int
	// Roaming says that clients go from node to node instead.
	Roaming bool
	// Visited are the nodes that roaming clients asked, by the index of the operation, as far as
	// that is known.
	Visited map[int64]string
	// RequestTimeout is how long a node has for a request, OpTimeout how long a client waits for
	// the answer; 0 if that is not known.
	RequestTimeout, OpTimeout time.Duration
	// Facts describe the test: system, workload, nodes, faults, versions.
	Facts   []Fact
	Result  check.Result
	History *history.History
	Faults  []nemesis.FaultRecord
	// Links are the reachability matrices that probes have found, by time.
	Links  []nemesis.Matrix
	Phases []Phase
	Logs   []NodeLog
	// Notes are the harness's own troubles and remarks, kept apart from the
	// verdict: an early end, a phase that failed.
	Notes []string
}

// Fact is one named property of a test.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Phase is one part of a run.
type Phase struct {
	Name string `json:"name"`
	// Start and End are nanoseconds since the start of the test.
	Start history.Time `json:"start"`
	End   history.Time `json:"end"`
	Error string       `json:"error,omitempty"`
}

// NodeLog is a log file of a node.
type NodeLog struct {
	Node string
	// Path is relative to the report.
	Path string
	// Text is the log, or its most telling part when it is long.
	Text string
}
