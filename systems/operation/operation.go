// Package operation says what clients that somebody else describes or writes have to do:
// the kinds of objects, the operations on them, and which results are possible at all.
//
// A client that mistakes a text for a number, or gives the answer to another question,
// would make a checker see values that nobody ever wrote: a violation that the system
// did not commit. So what comes back is held against what was asked for, and what cannot
// be the answer breaks the client, not the system.
package operation

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// Object is a kind of object that workloads use.
type Object struct {
	Name, Doc string
	Ops       []Op
}

// Op is one operation on a kind of object.
type Op struct {
	F history.F
	// In and Out say what the value of the call is and what is answered, in words. An
	// empty Out: nothing; the answer has no value, or the call's own.
	In, Out string
	// fits says why out cannot be the answer.
	fits func(in, out history.Value) error
}

// Answers reports whether the operation has a result that must be answered.
func (o Op) Answers() bool { return o.Out != "" }

// Objects lists the kinds of objects by the names that workloads use for them.
func Objects() []Object {
	read := Op{F: "read", Out: "the integer, null if never written", fits: integerOrNil}
	write := Op{F: "write", In: "an integer"}
	return []Object{
		{"register", "a value per key", []Op{
			read, write,
			{F: "cas", In: "[old, new]; fail if it does not hold old"},
		}},
		{"session", "a register that one client reads and writes at all nodes in turn", []Op{
			read, write,
		}},
		{"set", "a set of integers per key", []Op{
			{F: "add", In: "an integer"},
			{F: "read", Out: "a list of integers", fits: integers},
		}},
		{"counter", "a number per key, 0 at first", []Op{
			{F: "add", In: "an integer, may be negative"},
			{F: "read", Out: "the integer", fits: integer},
		}},
		{"queue", "a queue of integers per key", []Op{
			{F: "enqueue", In: "an integer"},
			{F: "dequeue", Out: "the integer, null if it is empty", fits: integerOrNil},
		}},
		{"log", "a log of integers per key", []Op{
			{F: "append", In: "an integer", Out: "its position from 0, null if there are none",
				fits: integerOrNil},
			{F: "read", Out: "a list of integers", fits: integers},
		}},
		{"txn", "registers under transactions", []Op{
			{F: "txn", In: `[["r", key, null], ["w", key, integer], ["add", key, integer], …]`,
				Out: "the same with what was read", fits: registerSteps},
		}},
		{"txn-list", "lists of integers under transactions", []Op{
			{F: "txn", In: `[["r", key, null], ["append", key, integer], …]`,
				Out: "the same with the lists that were read", fits: listSteps},
		}},
		{"decide", "a value per key that is decided once", []Op{
			{F: "propose", In: "an integer", Out: "the integer that is decided", fits: integer},
			{F: "ask", Out: "the integer that is decided, null if none is", fits: integerOrNil},
		}},
		{"lock", "a lock per key", []Op{
			{F: "acquire", In: "for how many milliseconds", Out: `{"token": integer}`, fits: token},
			{F: "release", In: "the token"},
		}},
		{"fenced", "a lock and the register that it guards", []Op{
			{F: "acquire", In: "for how many milliseconds", Out: `{"token": integer}`, fits: token},
			{F: "release", In: "the token"},
			{F: "write", In: "[token, integer]; fail if a greater token was there"},
			{F: "read", Out: "[token, integer], [0, null] if never written", fits: fencedRead},
		}},
		{"ids", "a source of ids", []Op{
			{F: "generate", Out: "an integer", fits: integer},
		}},
		{"echo", "what is sent back", []Op{
			{F: "echo", In: "a text", Out: "the same text", fits: text},
		}},
	}
}

// Named returns the kind of object by a workload's name for it: a register with and
// without compare-and-set is one.
func Named(object string) (Object, bool) {
	if object == "cas-register" {
		object = "register"
	}
	all := Objects()
	i := slices.IndexFunc(all, func(o Object) bool { return o.Name == object })
	if i < 0 {
		return Object{}, false
	}
	return all[i], true
}

// Op returns one of the operations.
func (o Object) Op(f history.F) (Op, bool) {
	i := slices.IndexFunc(o.Ops, func(op Op) bool { return op.F == f })
	if i < 0 {
		return Op{}, false
	}
	return o.Ops[i], true
}

// Fs lists the operations, with commas.
func (o Object) Fs() string {
	var names []string
	for _, op := range o.Ops {
		names = append(names, string(op.F))
	}
	return strings.Join(names, ", ")
}

// Changes reports whether the operation can have an effect: whatever became of one that
// cannot, it has failed for certain.
func Changes(op history.Event) bool {
	switch op.F {
	case "read", "ask", "echo":
		return false
	case "txn":
		return !history.ReadOnly(op.Value)
	default:
		return true
	}
}

// Broken is the error of a client that does not do what it says. Nothing that it has
// told can be trusted.
type Broken struct{ Err error }

// Error begins with the word client: it is not the system that is accused.
func (b *Broken) Error() string { return "client: " + b.Err.Error() }

// Unwrap returns the cause.
func (b *Broken) Unwrap() error { return b.Err }

// Brokenf makes a Broken.
func Brokenf(format string, args ...any) error { return &Broken{fmt.Errorf(format, args...)} }

// IsBroken reports whether err is or wraps a Broken.
func IsBroken(err error) bool {
	var b *Broken
	return errors.As(err, &b)
}

// Result returns the operation with its result: out where the operation has one, else
// what it was called with. It fails with a Broken if out cannot be the answer.
func Result(object string, op history.Event, out history.Value) (history.Event, error) {
	o, _ := Named(object)
	kind, ok := o.Op(op.F)
	if !ok {
		return op, Brokenf("%s has no operation %s", object, op.F)
	}
	if !kind.Answers() {
		if !out.IsNil() && !out.Equal(op.Value) {
			return op, Brokenf("%s of %s was answered as if it had been of %s", op.F, op.Value,
				shown(out))
		}
		return op, nil
	}
	if err := kind.fits(op.Value, out); err != nil {
		return op, Brokenf("%s on a %s was answered %s: %w", op.F, o.Name, shown(out), err)
	}
	op.Value = out
	return op, nil
}

// Steps says why out cannot be the answer to a transaction, as far as its shape tells: it has
// to have the same steps, with values where they read.
func Steps(in, out history.Value) error {
	return steps(in, out, func(history.Value, history.Value) error { return nil })
}

// shown keeps a value short.
func shown(v history.Value) string {
	const most = 120
	s := v.String()
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return s
}

func integer(_, out history.Value) error {
	if _, ok := out.AsInt(); !ok {
		return fmt.Errorf("want an integer, got a %s", out.Kind())
	}
	return nil
}

func integerOrNil(in, out history.Value) error {
	if out.IsNil() {
		return nil
	}
	if err := integer(in, out); err != nil {
		return fmt.Errorf("%w; null if there is nothing", err)
	}
	return nil
}

func text(_, out history.Value) error {
	if _, ok := out.AsString(); !ok {
		return fmt.Errorf("want a text, got a %s", out.Kind())
	}
	return nil
}

func integers(in, out history.Value) error {
	if out.Kind() != history.KindList {
		return fmt.Errorf("want a list of integers, got a %s", out.Kind())
	}
	for i := range out.Len() {
		if err := integer(in, out.At(i)); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func token(in, out history.Value) error { return integer(in, out.Get("token")) }

func fencedRead(in, out history.Value) error {
	if out.Kind() != history.KindList || out.Len() != 2 {
		return errors.New("want [token, value]")
	}
	return errors.Join(integer(in, out.At(0)), integerOrNil(in, out.At(1)))
}

func registerSteps(in, out history.Value) error { return steps(in, out, integerOrNil) }

func listSteps(in, out history.Value) error {
	return steps(in, out, func(_, v history.Value) error {
		if v.IsNil() {
			return nil // a list that nobody has made
		}
		return integers(in, v)
	})
}

// steps wants the steps of in again, with values where they read.
func steps(in, out history.Value, read func(in, v history.Value) error) error {
	asked, err := history.ViewSteps(in)
	if err != nil {
		return fmt.Errorf("what was asked for: %w", err)
	}
	got, err := history.ViewSteps(out)
	if err != nil {
		return err
	}
	if len(got) != len(asked) {
		return fmt.Errorf("%d steps for %d", len(got), len(asked))
	}
	for i, a := range asked {
		g := got[i]
		if a.F != g.F || a.Key != g.Key {
			return fmt.Errorf("step %d is %s %s, was %s %s", i, g.F, g.Key, a.F, a.Key)
		}
		if a.F != history.StepRead {
			if !a.Value.Equal(g.Value) {
				return fmt.Errorf("step %d has the value %s, was %s", i, shown(g.Value), a.Value)
			}
			continue
		}
		if err := read(in, g.Value); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}
