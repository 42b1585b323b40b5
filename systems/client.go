package systems

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

const (
	dialTimeout    = 2 * time.Second
	answerBytesMax = 16 << 20
)

// referenceClient is one logical client: one session, one command at a time.
type referenceClient struct {
	url, object string
	transport   Transport
	session     int64
	opened      bool
	seq         int64
}

// request and answer are the wire format of docs/target-api.md.
type request struct {
	Object  string         `json:"object"`
	F       history.F      `json:"f"`
	Key     history.Key    `json:"key,omitempty"`
	Value   *history.Value `json:"value,omitempty"`
	Session int64          `json:"session,omitempty"`
	Seq     int64          `json:"seq,omitempty"`
	Txn     int64          `json:"txn,omitempty"`
	Token   string         `json:"token,omitempty"`
}

type answer struct {
	Type  string        `json:"type"`
	Value history.Value `json:"value"`
	Code  string        `json:"code"`
	Error string        `json:"error"`
	Token string        `json:"token"`
}

// reading operations have no effect, whatever became of them.
func reading(f history.F) bool { return f == "read" || f == "ask" }

// Invoke sends the operation once. It never retries: a retry hides what the
// system told its client.
func (c *referenceClient) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	req := request{Object: c.object, F: op.F, Key: op.Key}
	if reading(op.F) {
		ans, err := c.call(ctx, req)
		if err != nil {
			return op, history.Definite(err)
		}
		op.Value = ans.Value
		return op, nil
	}
	if !op.Value.IsNil() {
		req.Value = &op.Value
	}
	ans, err := c.command(ctx, req)
	if err != nil {
		return op, err
	}
	if !ans.Value.IsNil() || answersNil(c.object) {
		op.Value = ans.Value
	}
	return op, nil
}

// answersNil reports whether an answer null says something else than the argument:
// an element that was appended is not its position.
func answersNil(object string) bool {
	return object == "log" || object == "decide" || object == "lock"
}

// command sends a request that changes something, as the next one of the session.
func (c *referenceClient) command(ctx context.Context, req request) (answer, error) {
	if err := c.open(ctx); err != nil {
		// The command itself was never sent.
		return answer{}, history.Definite(fmt.Errorf("open session: %w", err))
	}
	c.seq++
	req.Session = c.session
	if c.session != 0 {
		req.Seq = c.seq
	}
	ans, err := c.call(ctx, req)
	if ans.Code == "session-expired" {
		c.opened = false
	}
	return ans, err
}

func (c *referenceClient) open(ctx context.Context) error {
	if c.opened {
		return nil
	}
	ans, err := c.call(ctx, request{Object: "session", F: "open"})
	if ans.Code == "not-supported" {
		c.session, c.opened = 0, true // commands without a session are all there is
		return nil
	}
	if err != nil {
		return err
	}
	c.seq = 0
	id, ok := ans.Value.AsInt()
	if !ok {
		return fmt.Errorf("session id is %s: want an integer", ans.Value)
	}
	c.session, c.opened = id, true
	return nil
}

// call sends one request. Its error is definite only when the request cannot
// have had an effect: it never left, or the node says so.
func (c *referenceClient) call(ctx context.Context, r request) (answer, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return answer{}, history.Definite(fmt.Errorf("encode request: %w", err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, history.Definite(fmt.Errorf("make request: %w", err))
	}
	req.Header.Set("Content-Type", "application/json")
	// The transport may resend a request whose body it can rewind; without
	// GetBody it cannot.
	req.GetBody = nil
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return answer{}, history.Definite(fmt.Errorf("unreachable: %w", err))
		}
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax+1))
	if err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	if len(b) > answerBytesMax {
		return answer{}, fmt.Errorf("answer is longer than %d bytes", answerBytesMax)
	}
	var ans answer
	if err := json.Unmarshal(b, &ans); err != nil {
		return answer{}, fmt.Errorf("decode answer (HTTP %d): %w", resp.StatusCode, err)
	}
	if !ans.fits(resp.StatusCode) {
		return answer{}, fmt.Errorf("answer of type %q with HTTP %d", ans.Type, resp.StatusCode)
	}
	return ans, ans.err()
}

// fits reports whether an answer of this type comes with this HTTP status. One
// that does not is no answer of a node, and proves nothing.
func (a answer) fits(status int) bool {
	switch status {
	case http.StatusOK:
		return true
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusRequestEntityTooLarge:
		return a.Type == "fail"
	default:
		return false
	}
}

// err turns the answer's type into the client's rule: ok, fail or unknown.
func (a answer) err() error {
	switch a.Type {
	case "ok":
		return nil
	case "fail":
		return history.Definite(errors.New(a.describe()))
	default:
		return errors.New(a.describe())
	}
}

func (a answer) describe() string {
	if a.Error == "" {
		return a.Code
	}
	return a.Code + ": " + a.Error
}

// Close drops the client's connections.
func (c *referenceClient) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}
