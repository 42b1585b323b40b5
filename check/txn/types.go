package txn

import (
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
)

// Type names a kind of anomaly as Elle does.
type Type string

// The anomalies that are no cycles. Cycles have the names of graph.Class.
const (
	// Unexpected: somebody read an element that nobody appended.
	Unexpected Type = "unexpected"
	// DuplicateElements: an element is in a list twice.
	DuplicateElements Type = "duplicate-elements"
	// CyclicVersions: what was claimed of the order of a register contradicts itself.
	CyclicVersions Type = "cyclic-versions"
	// Torn: a list has a later append of a transaction, but not before it an earlier one.
	Torn Type = "torn"
	// IncompatibleOrder: two reads do not agree on the order of a list.
	IncompatibleOrder Type = "incompatible-order"
	// G1a: somebody read what a failed transaction appended.
	G1a Type = "G1a"
	// DirtyUpdate: an element of a failed transaction is followed by another.
	DirtyUpdate Type = "dirty-update"
	// G1b: somebody read a list between two appends of another transaction.
	G1b Type = "G1b"
	// FutureRead: a transaction read what it only appended afterwards.
	FutureRead Type = "future-read"
	// Internal: a transaction contradicts itself.
	Internal Type = "internal"
	// FracturedView: a transaction read something of another one, and later missed the
	// rest. FracturedRead: or it had missed the rest before. Both are looked for only
	// where the dependencies leave open whether transactions are atomic.
	FracturedView Type = "fractured-view"
	// FracturedRead is the other one.
	FracturedRead Type = "fractured-read"
	// LostUpdate: two transactions read the same state of a list and both appended.
	LostUpdate Type = "lost-update"
	// Lost: an acknowledged element is in no list, not even in one read afterwards.
	Lost Type = "lost"
)

// plainTypes are those that are no cycles, the gravest first.
func plainTypes() []Type {
	return []Type{Unexpected, DuplicateElements, CyclicVersions, Torn, IncompatibleOrder, G1a,
		DirtyUpdate, G1b,
		FutureRead, FracturedView, Internal, FracturedRead, LostUpdate, Lost}
}

// Types returns all types, the gravest first: those that refute weaker levels.
func Types() []Type {
	var list []Type
	for l := graph.ReadUncommitted; ; l-- {
		for _, t := range plainTypes() {
			if t.Refutes()[0] == l {
				list = append(list, t)
			}
		}
		for _, c := range graph.Classes() {
			if c.Refutes()[0] == l {
				list = append(list, Type(c.String()))
			}
		}
		if l == 0 {
			return list
		}
	}
}

// Refutes returns the weakest levels that the anomaly rules out.
func (t Type) Refutes() []graph.Level {
	switch t {
	case Unexpected, DuplicateElements, CyclicVersions, Torn:
		return []graph.Level{graph.ReadUncommitted}
	case IncompatibleOrder, G1a, DirtyUpdate, G1b, FutureRead:
		return []graph.Level{graph.ReadCommitted}
	case FracturedView:
		return []graph.Level{graph.MonotonicAtomicView}
	case Internal, FracturedRead:
		return []graph.Level{graph.ReadAtomic}
	case LostUpdate:
		return []graph.Level{graph.Causal}
	case Lost:
		return []graph.Level{graph.StrongSnapshotIsolation}
	}
	classes := graph.Classes()
	i := slices.IndexFunc(classes, func(c graph.Class) bool { return c.String() == string(t) })
	return classes[i].Refutes()
}
