package rw

import (
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/weak"
)

// Options bound an analysis. Zero fields have defaults.
type Options struct {
	// Steps and Conflicts bound the search for each level: in dependencies looked at, and
	// in dead ends. Default: 100 million and 20,000.
	Steps, Conflicts int
	// Tests bounds the attempts to make a counterexample smaller; one with so many
	// transactions counts for a sixteenth of them more. Default: 2,000.
	Tests int
	// Keys is what the system claims of single keys. What refutes it refutes all levels.
	Keys KeyOrder
	// Cycles bounds what is spent on classes of cycles.
	Cycles graph.Options
}

func (o Options) budget() budget {
	b := budget{steps: o.Steps, conflicts: o.Conflicts}
	if b.steps <= 0 {
		b.steps = 100_000_000
	}
	if b.conflicts <= 0 {
		b.conflicts = 20_000
	}
	return b
}

func (o Options) tests() int {
	if o.Tests > 0 {
		return o.Tests
	}
	return 2000
}

// Method is how a level was decided.
type Method string

// The methods.
const (
	// Scheduled: an order was found by replaying, and verified.
	Scheduled Method = "schedule"
	// Solved: an order was found by search, and verified.
	Solved Method = "search"
	// Implied by a stronger level that holds, or a weaker one that does not.
	Implied Method = "implied"
	// Shown by a single read, a lost update, or a cycle of certain dependencies.
	Shown Method = "shown"
	// Exhausted: no order of versions is free of cycles.
	Exhausted Method = "all orders"
	// Saturated: by the rule of the level, applied to all reads.
	Saturated Method = "saturation"
	// Unsolved: the budget ended.
	Unsolved Method = "budget"
)

// Report is what an analysis found.
type Report struct {
	Lattice graph.Lattice
	// Methods say how each level was decided.
	Methods map[graph.Level]Method
	// Wrong are reads that are wrong by themselves, Lost lost updates.
	Wrong []weak.Violation
	Lost  []Lost
	// Cyclic are keys whose order contradicts itself.
	Cyclic []Cyclic
	// Fractured are transactions that saw only a part of another: of monotonic atomic
	// view, and of read atomic, one each.
	Fractured map[graph.Level]*weak.Violation
	// Cycles are those of certain dependencies, one of each class at least, and Counts
	// the components that have one.
	Cycles []Cycle
	Counts map[graph.Class]int
	// Cores are what refutes levels where no certain cycle does.
	Cores []Core
	// Order shows that Shows holds, a level from snapshot isolation up: transactions by
	// their commits, or, of snapshot isolation, also their snapshots. Empty if none does.
	Order []graph.Event
	Shows graph.Level
	// Names are the transactions of the order's events.
	Names []weak.Txn
	Stats Stats
}

// Stats say how much was looked at.
type Stats struct {
	// Txns took effect, and read and wrote so many versions.
	Txns, Reads, Writes int
	// Dependencies are the certain ones.
	Dependencies int
	// Blind writes are those whose transactions had not read the key: where their
	// versions belong is not plain.
	Blind int
}

// Cycle is a cycle of dependencies.
type Cycle struct {
	Class graph.Class
	Edges []Edge
}

// Edge says that From came before To, and why. Key, Older and Newer, the writers of two
// versions, mean something except for session and time.
type Edge struct {
	From, To     weak.Txn
	Kind         graph.Kind
	Rule         Rule
	Key          int32
	Older, Newer weak.Txn
}

// Core is a part of the history that refutes Level by itself, whatever the order of
// versions.
type Core struct {
	Level graph.Level
	Txns  []weak.Txn
	// Keys are those of which the order of versions matters.
	Keys []int32
	// Minimal says that without any one transaction the rest satisfies the level.
	Minimal bool
	// Cycle shows the contradiction if each order of two versions that it uses is the
	// only one possible. No edges if that does not show it.
	Cycle Cycle
}
