// Package nemesis hurts a system: it decides what goes wrong, when and to whom,
// does it, proves that it bit, and takes it back.
//
// Who is hit (a target rule) is apart from what happens (a fault). Faults act
// through small interfaces that a cluster implements (Network, Processes, Clocks,
// Disks) or its system (Admin), so that the same schedule runs on local processes,
// in containers and over SSH.
package nemesis

import (
	"context"
	"time"
)

// Node names one node of the cluster, "n1".
type Node string

// Clients is the pseudo node at which all clients of the harness sit. Links from
// and to it carry client traffic.
const Clients Node = "clients"

// Link is one direction between two nodes, or between Clients and a node.
type Link struct {
	From Node `json:"from"`
	To   Node `json:"to"`
}

// Rule is what a link does to the messages on it. The zero Rule is a clean link.
// Probabilities are between 0 and 1, per message. On client links (a byte stream)
// only Cut, Delay, Jitter and Rate have a meaning.
type Rule struct {
	// Cut drops everything.
	Cut bool `json:"cut,omitempty"`
	// Loss, Duplicate, Corrupt: the share of messages lost, sent twice, or with
	// a flipped bit.
	Loss      float64 `json:"loss,omitempty"`
	Duplicate float64 `json:"duplicate,omitempty"`
	Corrupt   float64 `json:"corrupt,omitempty"`
	// Reorder is the share of messages that are held back so that later ones
	// overtake them.
	Reorder float64 `json:"reorder,omitempty"`
	// Delay holds back every message, plus or minus up to Jitter.
	Delay  time.Duration `json:"delay,omitempty"`
	Jitter time.Duration `json:"jitter,omitempty"`
	// Replay is the share of messages of which a copy is delivered again,
	// between ReplayMin and ReplayMax later.
	Replay    float64       `json:"replay,omitempty"`
	ReplayMin time.Duration `json:"replay_min,omitempty"`
	ReplayMax time.Duration `json:"replay_max,omitempty"`
	// Hold is the share of messages that are held back by themselves, between
	// HoldMin and HoldMax, while the others pass: the link stays fast.
	Hold    float64       `json:"hold,omitempty"`
	HoldMin time.Duration `json:"hold_min,omitempty"`
	HoldMax time.Duration `json:"hold_max,omitempty"`
	// Rate is the greatest throughput in bytes a second; 0 is unlimited.
	Rate int `json:"rate,omitempty"`
}

// Counters count what a link has done so far. They only grow.
type Counters struct {
	Passed     int64 `json:"passed"`
	Dropped    int64 `json:"dropped"` // by Cut
	Lost       int64 `json:"lost"`    // by Loss
	Duplicated int64 `json:"duplicated"`
	Corrupted  int64 `json:"corrupted"`
	Reordered  int64 `json:"reordered"`
	Delayed    int64 `json:"delayed"`
	Replayed   int64 `json:"replayed"`
	// Held are those that Hold has taken, counted when it takes them.
	Held      int64 `json:"held"`
	Throttled int64 `json:"throttled"`
}

// Handle names one fault's rules, so that overlapping faults heal independently.
type Handle string

// Network is what a network fault needs of a cluster. Rules of several handles on
// one link combine to the worst of each field.
type Network interface {
	// SetRules gives handle these rules, replacing what it had.
	SetRules(ctx context.Context, handle Handle, rules map[Link]Rule) error
	// Clear takes the handle's rules away. Clearing an unknown handle is no error.
	Clear(ctx context.Context, handle Handle) error
	// Counters returns the counters of every link.
	Counters(ctx context.Context) (map[Link]Counters, error)
	// Probe sends a probe over every link and reports which delivered it. It
	// tests the links alone: it does not matter whether the nodes at their ends
	// run. A link that cannot be probed is missing in the result.
	Probe(ctx context.Context) (map[Link]bool, error)
}

// ProcessState is what is known of a node's process.
type ProcessState struct {
	// PID is 0 when no process runs.
	PID int `json:"pid"`
	// Stopped is true while the process is paused (state T).
	Stopped bool `json:"stopped"`
}

// Processes is what a process fault needs of a cluster. All calls are idempotent.
type Processes interface {
	Kill(ctx context.Context, node Node) error
	Start(ctx context.Context, node Node) error
	Pause(ctx context.Context, node Node) error
	Resume(ctx context.Context, node Node) error
	State(ctx context.Context, node Node) (ProcessState, error)
}
