// Package history is the vocabulary of a test: what a client asked a system to
// do, when, and what it was told.
//
// A history is a list of events. An operation begins with an invoke event and
// ends with at most one completion: ok (it took effect), fail (it did not, and
// never will) or info (nobody knows: it may take effect at any later time, once,
// or never). The words and the field names are Jepsen's, so that whoever knows
// one tool can read the other's files.
//
// A Recorder writes the history to a file while the test runs, Load reads it. The
// file has a header and then one JSON object a line, in the order of time:
//
//	{"ordeal":"history","format":1,"test":"register","seed":7,"started":"…"}
//	{"index":0,"time":12,"process":0,"type":"invoke","f":"write","key":"k1","value":3}
//	{"index":1,"time":90,"process":0,"type":"info","f":"write","key":"k1","error":"timeout"}
//
// An event whose process is "nemesis" is a fault or its end; History.Windows and
// History.Health interpret these. Whoever tests this tool or writes histories in
// another language needs no more than the fields process, type, f and time.
//
// Everybody may import this package; of the harness it imports nobody.
package history

import (
	"errors"
	"math"
)

// Type is the kind of an event.
type Type uint8

// The types of events, with Jepsen's names. Nemesis events are Invoke and Info.
const (
	Invoke Type = iota
	OK
	Fail
	Info
)

// String returns the type's name in a history file: invoke, ok, fail or info.
func (t Type) String() string {
	switch t {
	case Invoke:
		return "invoke"
	case OK:
		return "ok"
	case Fail:
		return "fail"
	case Info:
		return "info"
	default:
		return "type?"
	}
}

// Process identifies one logical single-threaded client. A worker whose
// operation ended with info goes on as a new process, because the old one is,
// logically, still waiting for its answer.
type Process int64

// Nemesis is the process of all fault events; files write it as "nemesis".
const Nemesis Process = -1

// F names what an operation does: "read", "write", "cas", "add", …
type F string

// Key names the independent object that an operation works on. Empty when the
// workload has only one.
type Key string

// Time is nanoseconds since the start of the test, on a monotonic clock.
type Time int64

// Seconds returns the time in seconds.
func (t Time) Seconds() float64 { return float64(t) / 1e9 }

// Never is the return time of an operation that has no known end.
const Never Time = math.MaxInt64

// Event is one line of a history.
type Event struct {
	// Index is the event's position in its history, from 0. The recorder
	// assigns it.
	Index   int64
	Time    Time
	Process Process
	Type    Type
	F       F
	Key     Key
	// Value is the argument of an invocation and the result of a completion.
	Value Value
	// Error says, on fail and info, what the client was told.
	Error string
}

// Operation is an invocation joined with its completion.
type Operation struct {
	// Index is the index of the invocation in its history.
	Index int64
	// Call and Return bound the operation in time. Return is Never when the
	// outcome is unknown or the completion is missing.
	Call, Return Time
	Process      Process
	F            F
	Key          Key
	// Ended is when the completion came, also one of type info: the worker had
	// its answer, if no certainty. Never without completion.
	Ended Time
	// In is the invocation's value and Out the completion's.
	In, Out Value
	Error   string
	// Type is OK, Fail or Info; an operation without completion is Info.
	Type Type
}

// definite marks an error as proof that the operation had and will have no
// effect.
type definite struct{ err error }

func (d definite) Error() string { return d.err.Error() }
func (d definite) Unwrap() error { return d.err }

// Definite wraps an error that proves that the operation had no effect and
// never will have one. Any other error of a client means that nobody knows.
// Definite(nil) is nil.
func Definite(err error) error {
	if err == nil {
		return nil
	}
	return definite{err}
}

// IsDefinite reports whether err or one that it wraps came from Definite.
func IsDefinite(err error) bool {
	var d definite
	return errors.As(err, &d)
}
