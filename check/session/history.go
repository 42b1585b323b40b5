package session

import (
	"fmt"
	"strings"
)

// Value is a number for what one write wrote, the same for no other write, given out
// from 1 without large gaps.
type Value uint32

// Nil is what a register holds at first.
const Nil Value = 0

// Op is a read or a write of one key.
type Op struct {
	// Session is its session, from 0, and Key its key, from 0, both without large gaps.
	Session, Key int32
	Write        bool
	// Crashed writes have an unknown outcome. Reads never do.
	Crashed bool
	// Value is what was written, or what a register returned.
	Value Value
	// List is what a collection returned.
	List []Value
}

// History is operations, those of one session in its order.
type History struct {
	Ops []Op
	// Collections says that keys are not registers but grow: reads return lists. Ordered
	// says that the order of these is that of the writes.
	Collections, Ordered bool
	// Rising says that the order of writes has those of one session to one key in its
	// order, even without monotonic writes.
	Rising bool
	// Partial says that this is a part of a history. What was returned of writes that are
	// not here then says nothing.
	Partial bool
}

// Guarantees is a set of session guarantees.
type Guarantees uint8

// The guarantees and what the names of their sets are.
const (
	ReadYourWrites Guarantees = 1 << iota
	MonotonicReads
	MonotonicWrites
	WritesFollowReads

	PRAM   = ReadYourWrites | MonotonicReads | MonotonicWrites
	Causal = PRAM | WritesFollowReads
)

// All returns the guarantees and sets with names, the stronger ones first.
func All() []Guarantees {
	return []Guarantees{Causal, PRAM, ReadYourWrites, MonotonicReads, MonotonicWrites,
		WritesFollowReads}
}

func (g Guarantees) name() string {
	switch g {
	case Causal:
		return "causal"
	case PRAM:
		return "pram"
	case ReadYourWrites:
		return "read-your-writes"
	case MonotonicReads:
		return "monotonic-reads"
	case MonotonicWrites:
		return "monotonic-writes"
	case WritesFollowReads:
		return "writes-follow-reads"
	}
	return ""
}

// String returns the name, or the names joined by +.
func (g Guarantees) String() string {
	if name := g.name(); name != "" {
		return name
	}
	var parts []string
	for one := ReadYourWrites; one <= WritesFollowReads; one <<= 1 {
		if g&one != 0 {
			parts = append(parts, one.name())
		}
	}
	return strings.Join(parts, "+")
}

// Parse is the inverse of String.
func Parse(text string) (Guarantees, error) {
	var sum Guarantees
next:
	for _, word := range strings.Split(text, "+") {
		for _, g := range All() {
			if word == g.name() {
				sum |= g
				continue next
			}
		}
		return 0, fmt.Errorf("session guarantee %q: there is %s, and several joined by +", word,
			Names())
	}
	return sum, nil
}

// Names lists the names for people.
func Names() string {
	var words []string
	for _, g := range All() {
		words = append(words, g.name())
	}
	return strings.Join(words, ", ")
}

// has reports whether all of some are asked for.
func (g Guarantees) has(some Guarantees) bool { return g&some == some }

// Answer is what can be said of a history.
type Answer uint8

// The answers.
const (
	// Kept: the guarantees hold.
	Kept Answer = iota
	// Undecided: a precondition does not hold, or it is too large.
	Undecided
	// Violation: they do not hold.
	Violation
)

// String returns the answer in words.
func (a Answer) String() string {
	return [...]string{"kept", "undecided", "violation"}[a]
}

// Kind is a kind of violation.
type Kind uint8

// The kinds of violations.
const (
	// Unwritten: Read returned Value, which nobody wrote to that key.
	Unwritten Kind = iota + 1
	// Repeated: Read returned what Write wrote twice in one list.
	Repeated
	// Missing: Read had to see Write and did not; Steps say why it had to.
	Missing
	// Cycle: no order of the writes has all of Edges.
	Cycle
)

// Reason says why what a step begins with is seen where it ends.
type Reason uint8

// The reasons of steps and edges.
const (
	// Returned: the read To returned what From wrote.
	Returned Reason = iota + 1
	// Own: the session of the read To had written From.
	Own
	// Again: the read To comes after the read From in its session.
	Again
	// Wrote: the session of the write To had written From before.
	Wrote
	// Had: the session of the write To had done the read From before.
	Had
	// Overwritten is an edge only: the read By had to see From, as Steps say, and returned
	// To. Listed: By returned From before To.
	Overwritten
	Listed
)

// Step says that whatever saw To saw From.
type Step struct {
	From, To int
	Why      Reason
}

// Edge says that one write comes before another.
type Edge struct {
	From, To int
	Why      Reason
	// By is the read that says so, if Why is Overwritten, Listed or Returned. An edge of
	// reason Returned says that the session of To had read From.
	By    int
	Steps []Step
}

// Conflict is why the guarantees do not hold.
type Conflict struct {
	Kind  Kind
	Read  int
	Write int
	Value Value
	Steps []Step
	Edges []Edge
}

// Result is what Decide found out.
type Result struct {
	Answer Answer
	// Why says what is not known, if Undecided.
	Why string
	// Conflict is there if Violation.
	Conflict *Conflict
	// Binding counts the reads that had to see something of their key, whatever a register
	// returned, and the lists of several elements whose order counts: only there something
	// could have gone wrong. It is there if Kept.
	Binding int
}

// noOp is no operation.
const noOp = -1

// Culprits are the operations of a conflict, ascending.
func (c *Conflict) Culprits() []int {
	var all []int
	add := func(list ...int) {
		for _, op := range list {
			if op != noOp {
				all = append(all, op)
			}
		}
	}
	steps := func(list []Step) {
		for _, s := range list {
			add(s.From, s.To)
		}
	}
	add(c.Read, c.Write)
	steps(c.Steps)
	for _, e := range c.Edges {
		add(e.From, e.To, e.By)
		steps(e.Steps)
	}
	return distinct(all)
}
