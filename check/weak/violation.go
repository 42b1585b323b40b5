package weak

import "fmt"

// Kind is what is wrong with a history.
type Kind uint8

// The kinds of violations. Up to NonRepeatable a single read shows them.
const (
	// ThinAir is a read of a value that nobody wrote.
	ThinAir Kind = iota
	// AbortedRead is a read of what a transaction wrote that had no effect (G1a).
	AbortedRead
	// Intermediate is a read of what its writer itself had overwritten (G1b).
	Intermediate
	// Internal is a read that does not see what its own transaction wrote before.
	Internal
	// FutureRead is a read of what its own transaction wrote only later.
	FutureRead
	// NonRepeatable is a read that contradicts an earlier one of the transaction.
	NonRepeatable
	// Cycle says that no order of the transactions explains the reads.
	Cycle
)

// String returns the kind in words.
func (k Kind) String() string {
	return [...]string{"thin-air read", "aborted read", "intermediate read", "internal",
		"future read", "non-repeatable read", "cycle"}[k]
}

// Reason is why one transaction came before another.
type Reason uint8

// The reasons of edges.
const (
	// SessionOrder: the same session ran both.
	SessionOrder Reason = iota
	// ReadsFrom: To read what From wrote to Key.
	ReadsFrom
	// Overwritten: Via had seen From, which wrote Key, and yet read Key from To.
	Overwritten
	// First: From is the initial state.
	First
)

// Edge says that From came before To.
type Edge struct {
	From, To Txn
	Why      Reason
	Key      int32
	// Via is the reader of an Overwritten edge, and Path how it had seen From: each
	// edge a ReadsFrom or SessionOrder, from From to Via.
	Via  Txn
	Path []Edge
}

// Violation is one mistake with its witness.
type Violation struct {
	Kind Kind
	// Reader and Writer are the transactions of a wrong read of Key and Value. Writer
	// is Initial if there is none.
	Reader, Writer Txn
	Key            int32
	Value          int64
	// Want is the value that an internal or non-repeatable read should have found.
	Want int64
	// Edges of a Cycle: each begins where the one before ends, and the last ends where
	// the first begins.
	Edges []Edge
}

// Txns returns the transactions of the witness, ascending.
func (v *Violation) Txns() []Txn {
	if v.Kind != Cycle {
		return distinct(v.Reader, v.Writer)
	}
	var all []Txn
	for _, e := range v.Edges {
		all = append(all, e.From, e.To)
		if e.Why != Overwritten {
			continue
		}
		all = append(all, e.Via)
		for _, s := range e.Path {
			all = append(all, s.From, s.To)
		}
	}
	return distinct(all...)
}

// Level is an isolation level that can be decided without the order of versions.
type Level uint8

// The levels, each stronger than the one before.
const (
	// ReadCommitted (PL-2): no aborted, intermediate or circular information flow.
	ReadCommitted Level = iota
	// MonotonicAtomicView: once a transaction has seen another, its later reads see
	// all of it. With sessions this is what Biswas and Enea call read committed.
	MonotonicAtomicView
	// ReadAtomic: a transaction sees all or nothing of another.
	ReadAtomic
	// Causal: and all that the other had seen, and what its session did before.
	Causal
)

// String returns the level's name.
func (l Level) String() string {
	return [...]string{"read-committed", "monotonic-atomic-view", "read-atomic", "causal"}[l]
}

// TooManyError says that a history needs more edges than memory is given to it.
type TooManyError struct{ Edges int }

func (e *TooManyError) Error() string {
	return fmt.Sprintf("more than %d edges", e.Edges)
}
