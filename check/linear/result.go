package linear

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// Answer is what an engine can say of a history.
type Answer uint8

// The answers.
const (
	// NotApplicable: a precondition of the engine does not hold; nothing is known.
	NotApplicable Answer = iota
	// Linearizable: there is a legal order.
	Linearizable
	// Violation: there is none.
	Violation
)

// String returns the answer in words.
func (a Answer) String() string {
	return [...]string{"not applicable", "linearizable", "violation"}[a]
}

// Result is what an engine found out.
type Result struct {
	Answer Answer
	// Why is the sentence which precondition does not hold, if NotApplicable.
	Why string
	// Conflict is why there is no legal order, if Violation.
	Conflict *Conflict
}

// Conflict is the smallest reason why a history is not linearizable.
type Conflict struct {
	Kind Kind
	// Ops are the operations that contradict each other, in the roles that Kind
	// gives them; one operation may have two roles. An operation that is not known
	// any more, which happens to those that watch a test while it runs, is -1.
	Ops []int
	// At is the time of an event with which the violation was certain: for registers
	// with unique values and for locks the earliest, otherwise when everything that
	// the conflict rests on had returned.
	At history.Time
}

// Culprits are the different operations of the conflict, at most four, by index.
func (c *Conflict) Culprits() []int {
	ops := slices.DeleteFunc(slices.Clone(c.Ops), func(op int) bool { return op < 0 })
	slices.Sort(ops)
	return slices.Compact(ops)
}

// Sentence tells the conflict to a person. name says how to call an operation.
func (c *Conflict) Sentence(name func(op int) string) string {
	pairs := make([]string, 0, 2*len(c.Ops)+2)
	all := make([]string, 0, len(c.Ops))
	for i, op := range c.Ops {
		called := "an operation that is not known any more"
		if op >= 0 {
			called = name(op)
		}
		pairs = append(pairs, "{"+strconv.Itoa(i)+"}", called)
		all = append(all, called)
	}
	pairs = append(pairs, "{*}", strings.Join(all, ", "))
	return strings.NewReplacer(pairs...).Replace(c.Kind.template(len(c.Ops)))
}

// Kind is a kind of conflict. The comments number the operations of Conflict.Ops
// from 0.
type Kind uint8

// The kinds of conflicts.
const (
	// Opposed: 0 returned before 1 was called, so the value of 0 came before that
	// of 1; but 2, of the value of 1, returned before 3, of the value of 0, was
	// called.
	Opposed Kind = iota + 1
	// Initial: 0 had changed the object and returned before 1 was called, which saw
	// the object as it was at first.
	Initial
	// Unwritten: 0 saw what no operation had written that was called before 0
	// returned.
	Unwritten
	// Unfounded: 0 took effect, for its value was seen, and replaced a value that no
	// operation wrote.
	Unfounded
	// Inverted: 0 returned before 1 was called, though it saw, took or replaced what
	// 1 made, or what came of that.
	Inverted
	// Twice: 0 and 1 both took or replaced the one same value.
	Twice
	// Circle: each of the operations replaced the value that the one before made,
	// and the first that of the last.
	Circle
	// Clash: 0 and 1 tell different positions of one value, or one position of
	// different values.
	Clash
	// Misordered: 0 returned before 1 was called, although the value of 0 has a
	// greater position than that of 1, as 2 and 3 tell.
	Misordered
	// Overlap: 0 and 1 acquired a lock, and when the later of them returned neither
	// had begun to release it.
	Overlap
	// Missing: 0 returned before 1 was called, which did not see what 0 had made and
	// nothing ever removes.
	Missing
	// Shrunk: 0 returned before 1 was called, and 1 saw less than 0, though nothing
	// is ever removed.
	Shrunk
	// Incomparable: each of 0 and 1 saw something that the other did not, though
	// nothing is ever removed.
	Incomparable
	// Between: 0 returned before 1 was called, but 2 saw what 1 made and not what 0
	// made.
	Between
	// Repeated: 0 saw one value twice.
	Repeated
	// Diverged: 0 and 1 saw the same elements in different orders, or different ones
	// at one position.
	Diverged
	// Reordered: 0 returned before 1 was called, but 2 saw what 1 made before what
	// 0 made.
	Reordered
	// Gap: when 0 returned, fewer operations had been called than its answer tells
	// of.
	Gap
	// Undercount: more operations than 0 tells of had returned when it was called.
	Undercount
	// Skipped: more operations were called after 0 had returned, and returned before
	// 1 was called, than 1 tells of beyond those of 0.
	Skipped
	// Occupied: 0 found nothing, but one or the other of what the rest enqueued was
	// there all the time that it was open.
	Occupied
	// Overtaken: 0 returned before 1 was called, but 2 dequeued what 1 had enqueued,
	// and returned before 3, which dequeued what 0 had enqueued, was called. Without
	// 3 it was never dequeued, and nobody is left whose answer is not known and who
	// could have.
	Overtaken
	// Unstable: the operations cannot all be right about when one element was there.
	Unstable
	// Replaced: 0 saw or replaced a value that had been replaced for certain before any
	// operation was called that was open by then. Only who watches a test says that.
	Replaced

	lastKind
)

// template returns the sentence of a kind for so many operations.
func (k Kind) template(ops int) string {
	switch k {
	case Opposed:
		return "{0} returned before {1} was called, so what {0} wrote or saw had been replaced by what " +
			"{1} wrote or saw; but {2}, of that same later value, returned before {3} was called, which " +
			"was still or again of the earlier one"
	case Initial:
		return "{0} returned before {1} was called, which still saw the object as it was at first"
	case Unwritten:
		return "{0} returned what no operation called by then had written"
	case Unfounded:
		return "{0} took effect, for what it wrote was seen, and replaced what no operation had written"
	case Inverted:
		return "{0} returned before {1} was called, but had to come after it: it saw, took or replaced " +
			"what {1} made, or what came of that"
	case Twice:
		return "both {0} and {1} took or replaced the same value, which was there only once"
	case Circle:
		return "each of these replaced what the one before it made, and the first what the last made: {*}"
	case Clash:
		return "{0} and {1} contradict each other about a position"
	case Misordered:
		return "{0} returned before {1} was called, although its value has the greater position: {2} " +
			"tells one and {3} the other"
	case Overlap:
		return "when {1} returned, {0} had returned, too, and neither had begun to release the lock"
	case Missing:
		return "{0} returned before {1} was called, which did not see it"
	case Shrunk:
		return "{0} returned before {1} was called, which saw less than {0} had seen"
	case Incomparable:
		return "each of {0} and {1} saw something that the other did not"
	case Between:
		return "{0} returned before {1} was called, but {2} saw only {1}"
	case Repeated:
		return "{0} saw one value twice"
	case Diverged:
		return "what {0} saw and what {1} saw differ at a position that both have"
	case Reordered:
		return "{0} returned before {1} was called, but {2} saw {1} come first"
	case Gap:
		return "{0} tells of more operations than had been called when it returned"
	case Undercount:
		return "{0} tells of fewer operations than had returned before it was called"
	case Skipped:
		return "more operations took place between the return of {0} and the call of {1} than the two " +
			"differ by"
	case Occupied:
		return "{0} found nothing there, but all the time until it returned some of this was: {*}"
	case Overtaken:
		if ops == 3 {
			return "{0} returned before {1} was called, but {2} dequeued what {1} had enqueued, and " +
				"nobody ever what {0} had"
		}
		return "{0} returned before {1} was called, but {2}, which dequeued what {1} had enqueued, " +
			"returned before {3} was called, which dequeued what {0} had"
	case Unstable:
		return "these cannot all be right about when the element was there: {*}"
	case Replaced:
		return "{0} saw or replaced a value that had been replaced by another one before {0} was called"
	default:
		return "kind " + strconv.Itoa(int(k)) + " of conflict"
	}
}

// notApplicable says which precondition does not hold.
func notApplicable(why string) Result { return Result{Answer: NotApplicable, Why: why} }

// conflict makes a violation, certain at time at.
func conflict(kind Kind, at history.Time, ops ...int) Result {
	return Result{Answer: Violation, Conflict: &Conflict{Kind: kind, Ops: ops, At: at}}
}
