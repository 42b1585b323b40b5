// Package search decides whether a history is linearizable by looking for an order:
// two engines for any model, exact in the presence of operations of unknown outcome.
//
// Both walk through the calls and returns in time. A configuration is what a search
// has to remember between two of them: the state, which of the open operations have
// already happened, and which operations of unknown outcome were used. An operation is
// made to happen no earlier than the return that needs it (Lowe, "Testing for
// linearizability", 2017, calls this just-in-time linearization). What makes the
// number of configurations small:
//
//   - An operation that never changes the state happens as soon as the state allows
//     it; nothing is lost by that.
//   - Operations of unknown outcome that a model cannot tell apart are counted, not
//     named, and open ones that it cannot tell apart happen in the order of their
//     returns.
//   - Of two configurations with the same state and the same open changes, the one
//     that used fewer operations of unknown outcome and has satisfied more reads can do
//     whatever the other can: the other is dominated, and dropped.
//   - An operation of unknown outcome that nobody is left to notice is not used, and a
//     change that nobody is left to notice happens just before another one.
//   - A state from which no way leads to the next results is given up, where the model
//     knows such states.
//
// [Frontier] goes breadth first, keeps the configurations of one moment only and finds
// a violation at the first return that has no place. [Depth] goes depth first and
// remembers what failed; it is quick where a history is legal and says little.
// Their key, the position, a mask over the operations open there, and the state, is
// exact and its size is that of the window, where the search of Wing and Gong
// ("Testing and verifying concurrent objects", 1993) as it is usually programmed
// remembers a set of all operations.
package search

import (
	"context"
	"sync/atomic"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// Op is an operation as a search sees it.
type Op struct {
	// In and Out are what the model's Step is given.
	In, Out any
	// Facts are those of the model's Parse.
	Facts *models.Facts
	// Call and Return bound the moment at which it happened, both included. If
	// Return is history.Never, then it may not have happened at all.
	Call, Return history.Time
}

// optional reports whether it may never have happened.
func (o *Op) optional() bool { return o.Return == history.Never }

// Answer is what a search found out.
type Answer uint8

// The answers.
const (
	Undecided Answer = iota
	Legal            // there is an order
	Illegal          // there is none
)

// Cause says why a search ended undecided.
type Cause uint8

// The causes.
const (
	None   Cause = iota
	Time         // its context ended
	Steps        // its steps were used up
	Memory       // it needed more memory than it may have
	Model        // the model panicked, or broke its word
	Width        // too many operations were open at once
)

// Budget bounds a search beside its context.
type Budget struct {
	// Steps is how many configurations may be made, 0 any number.
	Steps int64
	// Memory is how many bytes the search may hold, 0 any number. What states
	// hold beyond their own size is not counted.
	Memory int64
	// Order asks for the order that was found. It costs memory for every
	// configuration.
	Order bool
	// Held, if not nil, is told now and then how many bytes the search holds.
	Held *atomic.Int64

	_ struct{} // keyed literals only
}

// Result is what a search found out.
type Result struct {
	Answer Answer
	// Cause of an Undecided; Fault says what the model did.
	Cause Cause
	Fault string
	// Steps is the number of configurations that were made.
	Steps int64
	// Order lists positions in the given operations: a legal order of all that
	// returned and some of the others. Only when asked for.
	Order []int
	// Blocked is the position of the operation whose return left no
	// configuration, when Illegal; -1 when not, and when the search gave up earlier
	// because it saw what was to come.
	Blocked int
	// Passed counts the returns up to which there certainly is a legal order.
	Passed int
	// Last are some of the configurations before the return that had no place, or
	// at which the search gave up.
	Last []Stand
}

// Stand is a configuration, as far as it can be told.
type Stand struct {
	// State is the model's.
	State any
	// Order is what has happened. Only when asked for.
	Order []int
}

// stands is how many configurations a Result tells of.
const stands = 16

// Frontier decides breadth first. Its memory does not grow with the history.
func Frontier(ctx context.Context, spec *models.Spec, ops []Op, b Budget) Result {
	return NewSpace(spec).Frontier(ctx, ops, b)
}

// Depth decides depth first. It holds a few dozen bytes for each configuration that
// it has visited.
func Depth(ctx context.Context, spec *models.Spec, ops []Op, b Budget) Result {
	return NewSpace(spec).Depth(ctx, ops, b)
}
