package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/wire"
)

// Codes of answers that the server gives; machines have their own.
const (
	codeNoMethod     = "method-not-allowed"
	codeNoEndpoint   = "no-such-endpoint"
	codeOverloaded   = "overloaded"
	codeShuttingDown = "shutting-down"
	codeTimeout      = "timeout"
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

func (n *Node) serveOp(w http.ResponseWriter, r *http.Request) {
	request, err := wire.ReadRequest(http.MaxBytesReader(w, r.Body, wire.MaxBody))
	if err != nil {
		n.counters.malformed.Add(1)
		status, response := wire.Refusal(err)
		writeJSON(w, status, response)
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
	response := wire.Answer(reply)
	if response.Code == wire.CodeInternal {
		n.log.Error("the machine answered what is no JSON", "value", reply.Value)
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
	writeJSON(w, status, wire.Response{Type: "fail", Code: code, Error: reason})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b := wire.Encode(v)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b) // the client may be gone; nobody is left to tell
}
