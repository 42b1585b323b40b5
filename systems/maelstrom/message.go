// Package maelstrom speaks the protocol of Maelstrom, the workbench on which many people
// have learned to write distributed systems: a node is a program that reads messages from
// its standard input and writes messages to its standard output, a JSON object a line.
//
// It has what both sides of that need: messages and errors, the client of each of
// Maelstrom's workloads, and which workloads of this project judge them. The network itself
// is cluster/maelstrom.
//
// What nodes say is not to be trusted. An answer that cannot be one to what was asked is
// told apart from a wrong one: it breaks the client (see package operation), and the verdict
// is unknown.
package maelstrom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ordeal-dev/ordeal/systems/operation"
)

// Message is one line.
type Message struct {
	Src  string          `json:"src"`
	Dest string          `json:"dest"`
	Body json.RawMessage `json:"body"`
}

// ParseMessage reads a line. It fails if that is no message of the protocol.
func ParseMessage(line []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(line, &m); err != nil {
		return m, err
	}
	switch body := bytes.TrimLeft(m.Body, " \t\r\n"); {
	case m.Src == "":
		return m, errors.New("it has no src")
	case m.Dest == "":
		return m, errors.New("it has no dest")
	case len(body) == 0 || body[0] != '{':
		return m, errors.New("its body is no object")
	}
	return m, nil
}

// Body is the body of a message as it came.
type Body map[string]json.RawMessage

// ParseBody reads the body of a message.
func (m Message) ParseBody() (Body, error) {
	var b Body
	err := json.Unmarshal(m.Body, &b)
	return b, err
}

// Type is what kind of message it is, "" if it does not say.
func (b Body) Type() string {
	var t string
	_ = json.Unmarshal(b["type"], &t) // no string: no type
	return t
}

// Int returns a field that is an integer.
func (b Body) Int(name string) (int64, bool) {
	var n *int64
	err := json.Unmarshal(b[name], &n)
	if err != nil || n == nil {
		return 0, false
	}
	return *n, true
}

// Request is the body of a message to be sent.
type Request map[string]any

// Line writes a message as the line that it is sent as, newline included.
func Line(src, dest string, body Request) ([]byte, error) {
	line, err := json.Marshal(struct {
		Src  string  `json:"src"`
		Dest string  `json:"dest"`
		Body Request `json:"body"`
	}{src, dest, body})
	return append(line, '\n'), err
}

// Port is one client in a network of nodes: it has a name of its own, c1, c2, …
type Port interface {
	// Call sends a request to a node, with a msg_id of its own, and returns the body of
	// the message that answers it. An error that history.Definite wraps says that no node
	// has got the request, and none will; after any other that is not known.
	Call(ctx context.Context, node string, request Request) (Body, error)
	Close() error
}

// Network is where nodes and clients are.
type Network interface{ Connect() Port }

// Code is one of the errors that Maelstrom's documentation defines.
type Code struct {
	Code int64
	Name string
	// Definite: what was asked for has not happened, and never will.
	Definite bool
}

// The codes that something here looks for.
const (
	CodeNodeNotFound       = 1
	CodeNotSupported       = 10
	CodeMalformedRequest   = 12
	CodeKeyDoesNotExist    = 20
	CodePreconditionFailed = 22
)

// Codes lists the defined errors. Every other code is indefinite.
func Codes() []Code {
	return []Code{
		{0, "timeout", false},
		{CodeNodeNotFound, "node-not-found", true},
		{CodeNotSupported, "not-supported", true},
		{11, "temporarily-unavailable", true},
		{CodeMalformedRequest, "malformed-request", true},
		{13, "crash", false},
		{14, "abort", true},
		{CodeKeyDoesNotExist, "key-does-not-exist", true},
		{21, "key-already-exists", true},
		{CodePreconditionFailed, "precondition-failed", true},
		{30, "txn-conflict", true},
	}
}

// Error is what a node has answered instead of a result.
type Error struct {
	Code int64
	Text string
}

// code finds the code in the table.
func (e *Error) code() Code {
	for _, c := range Codes() {
		if c.Code == e.Code {
			return c
		}
	}
	return Code{Code: e.Code, Name: "not one of Maelstrom's"}
}

// Error says the code, its name and what the node has said.
func (e *Error) Error() string {
	text := fmt.Sprintf("error %d (%s)", e.Code, e.code().Name)
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Definite reports whether the error proves that there was no effect.
func (e *Error) Definite() bool { return e.code().Definite }

// errorOf reads the body of a message of type error.
func errorOf(b Body) error {
	code, ok := b.Int("code")
	if !ok {
		return operation.Brokenf("an error has the code %s: want an integer", shown(b["code"]))
	}
	var text string
	_ = json.Unmarshal(b["text"], &text) // it may be left out
	return &Error{Code: code, Text: text}
}

// shown keeps what a node said short.
func shown(raw []byte) string {
	const most = 120
	s := string(bytes.TrimSpace(raw))
	switch r := []rune(s); {
	case s == "":
		return "(missing)"
	case len(r) > most:
		return string(r[:most]) + "…"
	}
	return s
}
