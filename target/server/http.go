package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Limits of a request. A value must fit a datagram together with everything that
// a protocol sends beside it.
const (
	maxBody  = 64 << 10
	maxValue = 16 << 10
	maxKey   = 256
	maxToken = 4 << 10
	maxWord  = 64
)

// Codes of answers that the server gives; machines have their own.
const (
	codeMalformed    = "malformed-request"
	codeTooLarge     = "too-large"
	codeNoMethod     = "method-not-allowed"
	codeNoEndpoint   = "no-such-endpoint"
	codeOverloaded   = "overloaded"
	codeShuttingDown = "shutting-down"
	codeTimeout      = "timeout"
	codeInternal     = "internal"
)

// stalledAfter without a turn of the event loop a node is not healthy.
const stalledAfter = 2 * time.Second

// replyGrace is real time on top of the request timeout, which the machine counts
// on a clock that may be frozen.
const replyGrace = 500 * time.Millisecond

func (n *Node) httpServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/op", only(http.MethodPost, n.serveOp))
	mux.HandleFunc("/v1/session", only(http.MethodPost, n.serveSession))
	mux.HandleFunc("/status", only(http.MethodGet, n.serveStatus))
	mux.HandleFunc("/health", only(http.MethodGet, n.serveHealth))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, codeNoEndpoint, fmt.Sprintf("no endpoint %q", r.URL.Path))
	})
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		// A connection that is closed while a request is on its way to it costs
		// the client an unknown outcome, so idle ones stay open for long.
		IdleTimeout:    10 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(n.log.Handler(), slog.LevelWarn),
	}
}

func only(method string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			refuse(w, http.StatusMethodNotAllowed, codeNoMethod, "use "+method)
			return
		}
		h(w, r)
	}
}

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

// opResponse is the answer to POST /v1/op: a machine's reply as JSON.
type opResponse struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value,omitempty"`
	Code  string          `json:"code,omitempty"`
	Error string          `json:"error,omitempty"`
	Token string          `json:"token,omitempty"`
}

func (n *Node) serveOp(w http.ResponseWriter, r *http.Request) {
	request, err := readRequest(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		n.counters.malformed.Add(1)
		if errors.As(err, new(*http.MaxBytesError)) || errors.As(err, new(sizeError)) {
			refuse(w, http.StatusRequestEntityTooLarge, codeTooLarge, err.Error())
			return
		}
		refuse(w, http.StatusBadRequest, codeMalformed, err.Error())
		return
	}
	n.perform(w, r, request)
}

func (n *Node) serveSession(w http.ResponseWriter, r *http.Request) {
	n.perform(w, r, protocol.Request{Object: "session", F: "open"})
}

// perform submits a request and writes its answer. When the client goes away the
// machine goes on with the request all the same.
func (n *Node) perform(w http.ResponseWriter, r *http.Request, request protocol.Request) {
	reply := make(chan protocol.Reply, 1)
	// The timer runs on real time: it is the server's promise to its client.
	timeout := time.NewTimer(n.cfg.RequestTimeout + replyGrace)
	defer timeout.Stop()
	select {
	case n.submits <- submission{request: request, reply: reply}:
	case <-n.stopped:
		n.respond(w, protocol.Reply{Outcome: protocol.Fail, Code: codeShuttingDown,
			Error: "the node stops; the request was not taken"})
		return
	case <-timeout.C:
		n.respond(w, protocol.Reply{Outcome: protocol.Fail, Code: codeOverloaded,
			Error: "the node is stalled; the request was not taken"})
		return
	case <-r.Context().Done():
		n.counters.abandoned.Add(1)
		return
	}
	select {
	case answer := <-reply:
		n.respond(w, answer)
	case <-n.stopped:
		n.respond(w, protocol.Reply{Outcome: protocol.Unknown, Code: codeShuttingDown,
			Error: "the node stops; the request may still take effect"})
	case <-timeout.C:
		n.respond(w, protocol.Reply{Outcome: protocol.Unknown, Code: codeTimeout,
			Error: "no answer in time; the request may still take effect"})
	case <-r.Context().Done():
		n.counters.abandoned.Add(1)
	}
}

func (n *Node) respond(w http.ResponseWriter, reply protocol.Reply) {
	response := opResponse{
		Type: reply.Outcome.String(), Code: reply.Code, Error: reply.Error,
		Value: json.RawMessage(reply.Value), Token: reply.Token,
	}
	if reply.Outcome == protocol.OK && reply.Value == "" {
		response.Value = json.RawMessage("null")
	}
	if len(response.Value) > 0 && !json.Valid(response.Value) {
		n.log.Error("the machine answered what is no JSON", "value", reply.Value)
		response = opResponse{Type: "info", Code: codeInternal, Error: "answer is no JSON"}
	}
	switch response.Type {
	case "ok":
		n.counters.ok.Add(1)
	case "fail":
		n.counters.fail.Add(1)
	default:
		n.counters.info.Add(1)
	}
	writeJSON(w, http.StatusOK, response)
}

func (n *Node) serveStatus(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, n.currentStatus())
}

func (n *Node) serveHealth(w http.ResponseWriter, _ *http.Request) {
	since := time.Since(n.started) - time.Duration(n.alive.Load())
	if since > stalledAfter {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{
			"status": "stalled",
			"error":  fmt.Sprintf("no turn of the event loop for %v", since.Round(time.Millisecond)),
		})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// refuse answers a request that was not taken: a definite failure.
func refuse(w http.ResponseWriter, status int, code, reason string) {
	writeJSON(w, status, opResponse{Type: "fail", Code: code, Error: reason})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		// Every v here is made of plain fields and JSON that was checked.
		panic(fmt.Sprintf("server: encode an answer: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // the client may be gone; nobody is left to tell
}

// sizeError is an error of a part that is greater than allowed.
type sizeError struct {
	part      string
	size, max int
}

func (e sizeError) Error() string {
	return fmt.Sprintf("%s: %d bytes, more than %d", e.part, e.size, e.max)
}

// readRequest decodes and checks a body.
func readRequest(body io.Reader) (protocol.Request, error) {
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
	if len(value) > maxValue {
		return protocol.Request{}, sizeError{part: "value", size: len(value), max: maxValue}
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
	if len(op.Key) > maxKey {
		return sizeError{part: "key", size: len(op.Key), max: maxKey}
	}
	if !utf8.ValidString(op.Key) {
		return errors.New("key: not UTF-8")
	}
	if len(op.Token) > maxToken {
		return sizeError{part: "token", size: len(op.Token), max: maxToken}
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
	if len(word) > maxWord {
		return fmt.Errorf("%d bytes, more than %d", len(word), maxWord)
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
