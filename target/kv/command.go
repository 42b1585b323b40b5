package kv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Kind tells what a command does.
type Kind uint8

// The kinds of commands.
const (
	// Noop does nothing; a leader fills slots with it.
	Noop Kind = iota
	// Op is a client's command.
	Op
	// Tick tells how much time went by.
	Tick
	// Duty is what the leader wants of an extension, by itself. It is applied each
	// time that it comes, so carrying it out twice must be the same as once.
	Duty
	// Config names the voting members from its slot on, in Value.
	Config
)

// MaxCommand bounds the bytes of key and value together, so that a command
// always fits one datagram with room to spare.
const MaxCommand = 32_000

const (
	sessionObject = "session"
	txnObject     = "txn"
)

// Origin identifies a command at the node that took it from its client.
type Origin struct {
	_     struct{} `cbor:",toarray"`
	Node  protocol.NodeID
	Epoch protocol.Epoch
	// N numbers the commands of one epoch of the node, upwards from 1.
	N uint64
	// Low is the lowest number that the node had not answered when it made
	// this command; Low <= N.
	Low uint64
}

// Command is what a slot of the log holds.
type Command struct {
	_    struct{} `cbor:",toarray"`
	Kind Kind
	// The rest belongs to Op, except Elapsed; Duty has Object, F, Key and Value,
	// Config has Value.
	Origin       Origin
	Session, Seq uint64
	Object, F    string
	Key, Value   string
	// Elapsed belongs to Tick: nanoseconds since the tick before.
	Elapsed protocol.Time
}

// Of makes a command of a client's request.
func Of(r protocol.Request, o Origin) Command {
	return Command{
		Kind: Op, Origin: o, Session: r.Session, Seq: r.Seq,
		Object: r.Object, F: r.F, Key: r.Key, Value: r.Value,
	}
}

// Size bounds the encoded size of the command, in bytes.
func (c Command) Size() int {
	return len(c.Object) + len(c.F) + len(c.Key) + len(c.Value) + len(c.Origin.Node) + 90
}

// String shows the command in traces.
func (c Command) String() string {
	switch c.Kind {
	case Op:
		s := fmt.Sprintf("%s.%s(%s %s)", c.Object, c.F, c.Key, c.Value)
		if c.Session != 0 {
			s += fmt.Sprintf("#%d.%d", c.Session, c.Seq)
		}
		return s
	case Tick:
		return fmt.Sprintf("tick(%dms)", c.Elapsed/1e6)
	case Config:
		return fmt.Sprintf("config(%s)", c.Value)
	case Duty:
		return fmt.Sprintf("duty %s.%s(%s %s)", c.Object, c.F, c.Key, c.Value)
	default:
		return "noop"
	}
}

// Result is the reply to a command or a read.
type Result struct {
	_       struct{} `cbor:",toarray"`
	Outcome protocol.Outcome
	// Value is compact JSON, "" when there is none.
	Value string
	// Code and Error say why, when the outcome is not OK.
	Code  string
	Error string
}

// The codes of results, documented with the wire format.
const (
	CodePrecondition = "precondition-failed"
	CodeEmpty        = "empty"
	CodeStale        = "stale-request"
	CodeExpired      = "session-expired"
	CodeNotSupported = "not-supported"
	CodeWrongType    = "wrong-type"
	CodeBadRequest   = "bad-request"
	CodeTooLarge     = "too-large"
)

// maxError bounds the explanation in a result, which may quote values.
const maxError = 300

func fail(code, format string, args ...any) Result {
	text := fmt.Sprintf(format, args...)
	if len(text) > maxError {
		text = text[:maxError] + "…"
	}
	return Result{Outcome: protocol.Fail, Code: code, Error: text}
}

func wrongType(key, is, want string) Result {
	return fail(CodeWrongType, "key %q is a %s, not a %s", key, is, want)
}

// IsRead reports whether the request changes nothing, so that it may be
// repeated at will and needs no slot in the log.
func IsRead(r protocol.Request) bool { return r.F == "read" }

// Check tells whether the request can be carried out at all. If not, the result
// is the reply to it: a definite failure.
func (s *Store) Check(r protocol.Request) (Result, bool) {
	if len(r.Key)+len(r.Value) > MaxCommand {
		return fail(CodeTooLarge, "key and value have more than %d bytes", MaxCommand), false
	}
	if r.Txn != 0 {
		return fail(CodeNotSupported, "transactions here are one request: txn.run"), false
	}
	if e := s.extensions[r.Object]; e != nil {
		return e.Check(r)
	}
	takes, known := argumentOf(r.Object, r.F)
	if !known {
		return fail(CodeNotSupported, "no operation %s.%s", r.Object, r.F), false
	}
	if r.Session != 0 && r.Seq == 0 {
		return fail(CodeBadRequest, "sequence numbers of a session start at 1"), false
	}
	var err error
	switch takes {
	case takesValue:
		if !json.Valid([]byte(r.Value)) {
			err = fmt.Errorf("%q is not JSON", r.Value)
		}
	case takesPair:
		_, _, err = splitPair(r.Value)
	case takesInt:
		_, err = strconv.ParseInt(r.Value, 10, 64)
	case takesSteps:
		_, err = ParseSteps(r.Value)
	}
	if err != nil {
		return fail(CodeBadRequest, "%s.%s: %v", r.Object, r.F, err), false
	}
	return Result{}, true
}

// argument says what an operation takes as its value.
type argument uint8

const (
	takesNothing argument = iota
	takesValue
	takesPair
	takesInt
	takesSteps
)

func argumentOf(object, f string) (a argument, known bool) {
	switch object + "." + f {
	case "register.read", "set.read", "counter.read", "list.read", "queue.dequeue",
		"session.open":
		return takesNothing, true
	case "register.write", "set.add", "queue.enqueue", "list.append":
		return takesValue, true
	case "register.cas":
		return takesPair, true
	case "counter.add":
		return takesInt, true
	case "txn.run":
		return takesSteps, true
	default:
		return takesNothing, false
	}
}

// splitPair takes [old,new] apart. The parts are compact.
func splitPair(value string) (from, to string, err error) {
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(value), &parts); err != nil {
		return "", "", fmt.Errorf("%q is not a pair: %w", value, err)
	}
	if len(parts) != 2 {
		return "", "", fmt.Errorf("%q is not a pair", value)
	}
	var flat [2]bytes.Buffer
	for i, p := range parts {
		if err := json.Compact(&flat[i], p); err != nil {
			return "", "", fmt.Errorf("%q is not a pair: %w", value, err)
		}
	}
	return flat[0].String(), flat[1].String(), nil
}

func formatUint(n uint64) string { return strconv.FormatUint(n, 10) }
