package httpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"text/template"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/expand"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

const (
	dialTimeout    = 2 * time.Second
	answerBytesMax = 16 << 20
	redirectsMax   = 4
)

// Session is one logical client. It is used by one goroutine at a time.
type Session struct {
	client    *Client
	object    string
	endpoints []string
	moves     int
	transport *http.Transport
}

// Open makes a client of the node at endpoints[0]; one of the object "session" goes from
// node to node. It sends nothing.
func (c *Client) Open(endpoints []string, object string) *Session {
	return &Session{
		client: c, object: object, endpoints: endpoints,
		// Each client has connections of its own: a new process must not inherit one that
		// still waits for an answer to the old.
		transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			MaxIdleConnsPerHost: 1,
			DisableCompression:  true,
			DisableKeepAlives:   c.fresh,
		},
	}
}

// Close drops the connections.
func (s *Session) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Invoke sends the operation once.
func (s *Session) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	result, err := s.invoke(ctx, op)
	if err != nil && !operation.IsBroken(err) && !operation.Changes(op) {
		err = history.Definite(err) // it had no effect, whatever became of it
	}
	return result, err
}

func (s *Session) invoke(ctx context.Context, op history.Event) (history.Event, error) {
	r := s.client.find(s.object, op.F)
	if r == nil {
		return op, operation.Brokenf("%s of a %s is not described", op.F, s.object)
	}
	endpoint := s.endpoints[0]
	if s.object == "session" {
		endpoint = s.endpoints[s.moves%len(s.endpoints)]
		s.moves++
	}
	a, err := s.ask(ctx, r, newData(endpoint, s.object, op))
	if err != nil {
		return op, err
	}
	for _, rule := range r.rules {
		if !rule.fits(a) {
			continue
		}
		switch rule.means {
		case meansUnknown:
			return op, errors.New(a.String())
		case meansFail:
			return op, history.Definite(errors.New(a.String()))
		case meansAbsent:
			return operation.Result(s.object, op, history.Nil())
		default:
			return s.result(op, rule, a)
		}
	}
	return op, fmt.Errorf("no condition fits: %s", a)
}

func (s *Session) result(op history.Event, r rule, a answer) (history.Event, error) {
	v := history.Nil()
	if r.value != nil {
		var err error
		if v, err = r.value.from(a); err != nil {
			return op, operation.Brokenf("%s: %w (%s)", op.F, err, a)
		}
	}
	return operation.Result(s.object, op, v)
}

// answer is what came back.
type answer struct {
	status int
	body   []byte
	json   history.Value
	noJSON error
}

// String shows the status and the beginning of the body.
func (a answer) String() string {
	const most = 160
	body := strings.Join(strings.Fields(strings.ToValidUTF8(string(a.body), "\uFFFD")), " ")
	if r := []rune(body); len(r) > most {
		body = string(r[:most]) + "…"
	}
	return strings.TrimSpace(fmt.Sprintf("HTTP %d %s", a.status, body))
}

// fits reports whether all that the rule asks for is so.
func (r rule) fits(a answer) bool {
	if !fits(a.status, r.status) || r.body != nil && !r.body.Match(a.body) {
		return false
	}
	there := func(p path) bool {
		_, ok := p.find(a.json)
		return ok && a.noJSON == nil
	}
	for _, e := range r.equal {
		if got, ok := e.at.find(a.json); !ok || a.noJSON != nil || !got.Equal(e.want) {
			return false
		}
	}
	for _, p := range r.has {
		if !there(p) {
			return false
		}
	}
	for _, p := range r.missing {
		// What is no JSON at all does not show that something is not there.
		if there(p) || a.noJSON != nil {
			return false
		}
	}
	return true
}

// ask sends a request and, where it may, follows to where it is sent on.
func (s *Session) ask(ctx context.Context, r *request, d Data) (answer, error) {
	at, err := expand.Execute(r.url, d)
	if err != nil {
		return answer{}, unfit("url", err)
	}
	for range redirectsMax {
		a, next, err := s.send(ctx, r, d, at)
		if err != nil || next == "" {
			return a, err
		}
		at = next
	}
	return answer{}, history.Definite(errors.New("sent on from node to node"))
}

// unfit is a template that does not do for this operation: nothing was sent, but the
// description is at fault.
func unfit(what string, err error) error { return operation.Brokenf("%s: %w", what, err) }

func (s *Session) send(ctx context.Context, r *request, d Data, at string) (
	a answer, next string, err error,
) {
	method, err := expand.Execute(r.method, d)
	if err != nil {
		return a, "", unfit("method", err)
	}
	body, err := expand.Execute(r.body, d)
	if err != nil {
		return a, "", unfit("body", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(body))
	if err != nil {
		return a, "", unfit("request", err)
	}
	// The transport may resend a request whose body it can rewind; without GetBody it
	// cannot. What it would resend all the same goes over fresh connections: see fresh.
	req.GetBody = nil
	for _, headers := range []map[string]*template.Template{s.client.headers, r.headers} {
		for name, t := range headers {
			text, err := expand.Execute(t, d)
			if err != nil {
				return a, "", unfit("header "+name, err)
			}
			req.Header.Set(name, text)
		}
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return a, "", history.Definite(fmt.Errorf("unreachable: %w", err))
		}
		return a, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if next := redirected(s.client.follow, resp, req.URL); next != "" {
		return a, next, nil
	}
	a, err = read(resp)
	return a, "", err
}

// redirected returns where a request is to be sent instead: only by answers that say that
// it was not done here.
func redirected(follow bool, resp *http.Response, from *url.URL) string {
	if !follow || resp.StatusCode != http.StatusTemporaryRedirect &&
		resp.StatusCode != http.StatusPermanentRedirect {
		return ""
	}
	to, err := from.Parse(resp.Header.Get("Location"))
	if err != nil || to.Host == "" {
		return ""
	}
	return to.String()
}

func read(resp *http.Response) (answer, error) {
	a := answer{status: resp.StatusCode}
	var err error
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, answerBytesMax+1)); err != nil {
		return a, fmt.Errorf("read answer: %w", err)
	}
	if len(a.body) > answerBytesMax {
		return a, fmt.Errorf("answer is longer than %d bytes", answerBytesMax)
	}
	a.json, a.noJSON = history.ParseValue(a.body)
	return a, nil
}
