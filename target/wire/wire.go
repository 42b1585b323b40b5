// Package wire is what clients and nodes of the reference cluster say to each other: the
// bodies of HTTP requests and answers that docs/target-api.md describes. It knows of no
// connection, so that nodes in a simulation say exactly what those in a process say.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Limits of a request, in bytes. A value must fit a datagram together with everything
// that a protocol sends beside it.
const (
	MaxBody  = 64 << 10
	MaxValue = 16 << 10
	MaxKey   = 256
	MaxToken = 4 << 10
	MaxWord  = 64
)

// Codes of answers that no machine gives: to what could not be read, and in the place of
// an answer which should not be.
const (
	CodeMalformed = "malformed-request"
	CodeTooLarge  = "too-large"
	CodeInternal  = "internal"
)

// opRequest is the body of POST /v1/op.
type opRequest struct {
	Object  string          `json:"object"`
	F       string          `json:"f"`
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
	Session uint64          `json:"session"`
	Seq     uint64          `json:"seq"`
	Txn     uint64          `json:"txn"`
	Token   string          `json:"token"`
}

// Response is the answer to POST /v1/op: a machine's reply as JSON.
type Response struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value,omitempty"`
	Code  string          `json:"code,omitempty"`
	Error string          `json:"error,omitempty"`
	Token string          `json:"token,omitempty"`
}

// Answer turns a machine's reply into the answer to POST /v1/op. What is no JSON becomes
// an unknown outcome with CodeInternal.
func Answer(reply protocol.Reply) Response {
	response := Response{
		Type: reply.Outcome.String(), Code: reply.Code, Error: reply.Error,
		Value: json.RawMessage(reply.Value), Token: reply.Token,
	}
	if reply.Outcome == protocol.OK && reply.Value == "" {
		response.Value = json.RawMessage("null")
	}
	if len(response.Value) > 0 && !json.Valid(response.Value) {
		return Response{Type: "info", Code: CodeInternal, Error: "answer is no JSON"}
	}
	return response
}

// Refusal is the status and the answer to a body that ReadRequest refused: a definite
// failure.
func Refusal(err error) (status int, _ Response) {
	status, code := http.StatusBadRequest, CodeMalformed
	if errors.As(err, new(*http.MaxBytesError)) || errors.As(err, new(sizeError)) {
		status, code = http.StatusRequestEntityTooLarge, CodeTooLarge
	}
	return status, Response{Type: "fail", Code: code, Error: err.Error()}
}

// Encode writes a body.
func Encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		// Every v here is made of plain fields and JSON that was checked.
		panic(fmt.Sprintf("wire: encode an answer: %v", err))
	}
	return b.Bytes()
}

// sizeError is an error of a part that is greater than allowed.
type sizeError struct {
	part      string
	size, max int
}

func (e sizeError) Error() string {
	return fmt.Sprintf("%s: %d bytes, more than %d", e.part, e.size, e.max)
}

// ReadRequest decodes and checks a body.
func ReadRequest(body io.Reader) (protocol.Request, error) {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	var op opRequest
	if err := d.Decode(&op); err != nil {
		return protocol.Request{}, fmt.Errorf("parse request: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return protocol.Request{}, errors.New("parse request: more than one object")
	}
	if err := op.check(); err != nil {
		return protocol.Request{}, err
	}
	value, err := canonical(op.Value)
	if err != nil {
		return protocol.Request{}, fmt.Errorf("value: %w", err)
	}
	if len(value) > MaxValue {
		return protocol.Request{}, sizeError{part: "value", size: len(value), max: MaxValue}
	}
	return protocol.Request{
		Session: op.Session, Seq: op.Seq, Object: op.Object, F: op.F, Key: op.Key, Value: value,
		Txn: op.Txn, Token: op.Token,
	}, nil
}

func (op *opRequest) check() error {
	if err := checkWord(op.Object); err != nil {
		return fmt.Errorf("object: %w", err)
	}
	if err := checkWord(op.F); err != nil {
		return fmt.Errorf("f: %w", err)
	}
	if len(op.Key) > MaxKey {
		return sizeError{part: "key", size: len(op.Key), max: MaxKey}
	}
	if !utf8.ValidString(op.Key) {
		return errors.New("key: not UTF-8")
	}
	if len(op.Token) > MaxToken {
		return sizeError{part: "token", size: len(op.Token), max: MaxToken}
	}
	if op.Session != 0 && op.Seq == 0 {
		return errors.New("seq: must be 1 or more in a session")
	}
	return nil
}

func checkWord(word string) error {
	if word == "" {
		return errors.New("missing")
	}
	if len(word) > MaxWord {
		return fmt.Errorf("%d bytes, more than %d", len(word), MaxWord)
	}
	return nil
}

// canonical writes JSON so that equal values are equal strings: without spaces,
// with sorted fields and one way to escape. Protocols compare values as strings.
// Numbers stay as they are written: 1 and 1.0 differ. null is "", no value.
func canonical(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	if v == nil {
		return "", nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}
