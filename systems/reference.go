package systems

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// reference is the cluster that the project brings itself.
type reference struct {
	opts     Options
	protocol Protocol
}

func newReference(opts Options) (System, error) {
	all := Protocols()
	i := slices.IndexFunc(all, func(p Protocol) bool { return p.Name == opts.Protocol })
	if i < 0 {
		names := make([]string, len(all))
		for i, p := range all {
			names[i] = p.Name
		}
		return nil, fmt.Errorf("protocol %q: unknown; the reference cluster speaks %s",
			opts.Protocol, strings.Join(names, ", "))
	}
	return &reference{opts: opts, protocol: all[i]}, nil
}

func (r *reference) Name() string    { return "reference " + r.protocol.Name }
func (r *reference) Claim() string   { return r.protocol.Claim }
func (r *reference) Available() bool { return r.protocol.Available }

func (r *reference) HasPrimaries() bool { return r.protocol.Primaries }

// wireObject is the target's name of a kind of object: there, a register is one
// with or without compare-and-set.
func wireObject(object string) string {
	if object == "cas-register" {
		return "register"
	}
	return object
}

func (r *reference) Supports(object string, fs []history.F) error {
	object = wireObject(object)
	have := r.protocol.Objects[object]
	for _, f := range fs {
		if !slices.Contains(have, f) {
			return fmt.Errorf("protocol %s has no %s on a %s: %s",
				r.protocol.Name, f, object, r.protocol.Missing)
		}
	}
	return nil
}

func (r *reference) Command(spec NodeSpec) []string {
	var peers []string
	for _, name := range slices.Sorted(maps.Keys(spec.Peers)) {
		peers = append(peers, name+"="+spec.Peers[name])
	}
	argv := []string{r.opts.Binary, "serve",
		"--protocol", r.protocol.Name,
		"--id", spec.Name,
		"--peers", strings.Join(peers, ","),
		"--data", spec.DataDir,
		"--bind", spec.Bind,
		"--peer-bind", spec.PeerBind,
		"--ready-file", spec.ReadyFile,
		"--seed", fmt.Sprint(spec.Seed),
		"--cluster-id", spec.Cluster,
		"--volatile",
		"--exit-on-stdin-close",
	}
	if spec.ClockFile != "" {
		argv = append(argv, "--clock", spec.ClockFile)
	}
	if r.opts.RequestTimeout != "" {
		argv = append(argv, "--request-timeout", r.opts.RequestTimeout)
	}
	if r.opts.Bug != "" {
		argv = append(argv, "--bug", r.opts.Bug)
	}
	return argv
}

func (r *reference) Version(ctx context.Context) (string, error) {
	if err := r.checkBug(ctx); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, r.opts.Binary, "version").Output()
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", r.opts.Binary, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// checkBug asks the program whether the bug can be planted in the protocol: only
// the target knows its bugs.
func (r *reference) checkBug(ctx context.Context) error {
	if r.opts.Bug == "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, r.opts.Binary, "bugs", "--json").Output()
	if err != nil {
		return fmt.Errorf("bugs of %s: %w", r.opts.Binary, err)
	}
	var bugs []struct {
		ID        string   `json:"id"`
		Protocols []string `json:"protocols"`
	}
	if err := json.Unmarshal(out, &bugs); err != nil {
		return fmt.Errorf("bugs of %s: %w", r.opts.Binary, err)
	}
	var fit []string
	for _, b := range bugs {
		if slices.Contains(b.Protocols, r.protocol.Name) {
			fit = append(fit, b.ID)
		}
	}
	if slices.Contains(fit, r.opts.Bug) {
		return nil
	}
	return fmt.Errorf("%w: bug %q cannot be planted in protocol %s, which has %s", ErrOptions,
		r.opts.Bug, r.protocol.Name, strings.Join(fit, ", "))
}

func (r *reference) Status(ctx context.Context, endpoint string) (Status, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+endpoint+"/status", nil)
	if err != nil {
		return Status{}, fmt.Errorf("status of %s: %w", endpoint, err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return Status{}, fmt.Errorf("status of %s: %w", endpoint, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Status{}, fmt.Errorf("status of %s: HTTP %s", endpoint, resp.Status)
	}
	var s Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerBytesMax)).Decode(&s); err != nil {
		return Status{}, fmt.Errorf("status of %s: %w", endpoint, err)
	}
	return s, nil
}

func (r *reference) Probe(ctx context.Context, endpoint string) error {
	client, err := r.Open(ctx, endpoint, "register")
	if err != nil {
		return err
	}
	_, err = client.Invoke(ctx, history.Event{F: "read", Key: "probe"})
	return errors.Join(err, client.Close())
}

func (r *reference) Open(_ context.Context, endpoint, object string) (workload.Client, error) {
	return &referenceClient{
		url:    "http://" + endpoint + "/v1/op",
		object: wireObject(object),
		// Each client has connections of its own: a new process must not
		// inherit one that still waits for an answer to the old.
		transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			MaxIdleConnsPerHost: 1,
			DisableCompression:  true,
		},
	}, nil
}

const (
	dialTimeout    = 2 * time.Second
	answerBytesMax = 16 << 20
)

// referenceClient is one logical client: one session, one command at a time.
type referenceClient struct {
	url, object string
	transport   *http.Transport
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
}

type answer struct {
	Type  string        `json:"type"`
	Value history.Value `json:"value"`
	Code  string        `json:"code"`
	Error string        `json:"error"`
}

// Invoke sends the operation once. It never retries: a retry hides what the
// system told its client.
func (c *referenceClient) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	if op.F == "read" {
		// A read has no effect, whatever became of it, and needs no session.
		ans, err := c.call(ctx, request{Object: c.object, F: op.F, Key: op.Key})
		if err != nil {
			return op, history.Definite(err)
		}
		op.Value = ans.Value
		return op, nil
	}
	if err := c.open(ctx); err != nil {
		// The command itself was never sent.
		return op, history.Definite(fmt.Errorf("open session: %w", err))
	}
	c.seq++
	req := request{Object: c.object, F: op.F, Key: op.Key, Session: c.session}
	if c.session != 0 {
		req.Seq = c.seq
	}
	if !op.Value.IsNil() {
		req.Value = &op.Value
	}
	ans, err := c.call(ctx, req)
	if ans.Code == "session-expired" {
		c.opened = false
	}
	if err != nil {
		return op, err
	}
	if !ans.Value.IsNil() {
		op.Value = ans.Value
	}
	return op, nil
}

func (c *referenceClient) open(ctx context.Context) error {
	if c.opened {
		return nil
	}
	ans, err := c.call(ctx, request{Object: "session", F: "open"})
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
