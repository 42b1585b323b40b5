package httpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/strictyaml"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

const registers = `
headers: {X-Client: "p{{ .Process }}"}
objects:
  register:
    read:
      url: http://{{ .Endpoint }}/kv/{{ .Key }}
      ok: {status: 200, value: $.value}
      absent: {status: 404}
    write:
      method: PUT
      url: http://{{ .Endpoint }}/kv/{{ .Key }}
      headers: {Content-Type: application/json}
      body: '{"value": {{ .Value }}}'
      fail: {status: [409, 503]}
      unknown: {json: {$.error: timeout}}
    cas:
      method: POST
      url: http://{{ .Endpoint }}/cas/{{ .Key }}
      body: '[{{ .Old }}, {{ .New }}]'
      ok: {has: $.swapped, json: {$.swapped: true}}
      fail: {missing: $.swapped, body: mismatch}
  set:
    add: {method: POST, url: "http://{{ .Endpoint }}/set/{{ .Key }}?add={{ .Value }}"}
    read:
      url: http://{{ .Endpoint }}/set/{{ .Key }}
      ok: {value: body | lines}
  queue:
    enqueue: {method: GET, url: "http://{{ .Endpoint }}/put?{{ .Value }}"}
`

func compile(t *testing.T, text string) *Client {
	t.Helper()
	var cfg Config
	ps := strictyaml.Decode([]byte(text), &cfg)
	c, more := Compile(cfg)
	if ps = append(ps, more...); len(ps) > 0 {
		t.Fatal(ps)
	}
	return c
}

// outcome is what a worker makes of an invocation.
func outcome(op history.Event, err error) string {
	switch {
	case err == nil:
		return "ok " + op.Value.String()
	case operation.IsBroken(err):
		return "broken " + err.Error()
	case history.IsDefinite(err):
		return "fail " + err.Error()
	default:
		return "info " + err.Error()
	}
}

// TestOutcomes: every kind of answer becomes the outcome that it proves, and not more.
func TestOutcomes(t *testing.T) {
	client := compile(t, registers)
	for _, c := range []struct {
		name, object, f, value string
		status                 int
		answer, want           string
	}{
		{"value", "register", "read", "null", 200, `{"value":5}`, "ok 5"},
		{"null", "register", "read", "null", 200, `{"value":null}`, "ok null"},
		{"absent", "cas-register", "read", "null", 404, "", "ok null"},
		{"no value", "register", "read", "null", 200, `{}`, "broken client: read: $.value: nothing"},
		{"a text", "register", "read", "null", 200, `{"value":"5"}`, "broken client: read on a"},
		{"no JSON", "register", "read", "null", 200, `<html>`, "broken client: read: $.value: the b"},
		{"reads fail", "register", "read", "null", 500, "oops", "fail no condition fits: HTTP 500 oo"},
		{"written", "register", "write", "5", 204, "", "ok 5"},
		{"refused", "register", "write", "5", 503, "no leader", "fail HTTP 503 no leader"},
		{"what is that", "register", "write", "5", 500, "", "info no condition fits: HTTP 500"},
		{"unknown first", "register", "write", "5", 503, `{"error":"timeout"}`, "info HTTP 503"},
		{"swapped", "register", "cas", "[1,2]", 200, `{"swapped":true}`, "ok [1,2]"},
		{"not swapped", "register", "cas", "[1,2]", 200, `{"why":"mismatch"}`, "fail HTTP 200"},
		{"garbage is no proof", "register", "cas", "[1,2]", 200, `mismatch`, "info no condition"},
		{"false", "register", "cas", "[1,2]", 200, `{"swapped":false}`, "info no condition fits"},
		{"lines", "set", "read", "null", 200, "1\n 2\n\n3", "ok [1,2,3]"},
		{"no lines", "set", "read", "null", 200, "", "ok []"},
		{"not described", "queue", "dequeue", "null", 200, "", "broken client: dequeue of a queue is n"},
		{"moving", "session", "read", "null", 200, `{"value":5}`, "ok 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(
				func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.answer)
				}))
			defer server.Close()
			v, err := history.ParseValue([]byte(c.value))
			if err != nil {
				t.Fatal(err)
			}
			s := client.Open([]string{server.Listener.Addr().String()}, c.object)
			defer s.Close()
			op, err := s.Invoke(t.Context(), history.Event{F: history.F(c.f), Key: "k1", Value: v})
			if got := outcome(op, err); !strings.HasPrefix(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestRequests: what is sent is what the templates say.
func TestRequests(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL, r.Header.Get("X-Client"),
			r.Header.Get("Content-Type"), body)
	}))
	defer server.Close()
	s := compile(t, registers).Open([]string{server.Listener.Addr().String()}, "register")
	defer s.Close()
	for want, op := range map[string]history.Event{
		`PUT /kv/k1 p7 application/json {"value": 5}`: {F: "write", Key: "k1", Value: history.Int(5)},
		`POST /cas/k1 p7  [1, 2]`:                     {F: "cas", Key: "k1", Value: history.Pair(1, 2)},
	} {
		op.Process = 7
		if _, _ = s.Invoke(t.Context(), op); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestNoAnswer: a request that may have arrived is of unknown outcome, one that never
// left has failed; and none is sent a second time, not even by net/http itself.
func TestNoAnswer(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1)%2 == 0 {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_ = conn.Close()
		}
	}))
	defer server.Close()
	addr := server.Listener.Addr().String()
	client := compile(t, registers)
	for _, op := range []struct{ object, f string }{{"register", "write"}, {"queue", "enqueue"}} {
		requests.Store(0)
		s := client.Open([]string{addr}, op.object)
		for _, want := range []string{"ok 1", "info EOF"} {
			got := outcome(s.Invoke(t.Context(), history.Event{
				F: history.F(op.f), Value: history.Int(1),
			}))
			if got != want {
				t.Errorf("%s: %s, want %s", op.f, got, want)
			}
		}
		_ = s.Close()
		if n := requests.Load(); n != 2 {
			t.Errorf("%s: %d requests for 2 operations", op.f, n)
		}
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := client.Open([]string{l.Addr().String()}, "register")
	defer s.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = conn.Read(make([]byte, 10))
			cancel(errors.New("enough"))
		}
	}()
	got := outcome(s.Invoke(ctx, history.Event{F: "write", Value: history.Int(1)}))
	if !strings.HasPrefix(got, "info ") {
		t.Errorf("a silent node: %s", got)
	}
	_ = l.Close()
	got = outcome(s.Invoke(t.Context(), history.Event{F: "write", Value: history.Int(1)}))
	if !strings.HasPrefix(got, "fail unreachable") {
		t.Errorf("no node: %s", got)
	}
}

// TestRedirects: a request that was not done is sent on, if that is wanted.
func TestRedirects(t *testing.T) {
	leader := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"got": %q}`, r.Method+" "+string(body))
	}))
	defer leader.Close()
	follower := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, leader.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer follower.Close()
	loop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer loop.Close()
	const text = `
objects:
  register:
    write:
      method: PUT
      url: http://{{ .Endpoint }}/x
      body: "{{ .Value }}"
      ok: {json: {$.got: PUT 5}}
`
	op := history.Event{F: "write", Value: history.Int(5)}
	for _, c := range []struct {
		text, at, want string
	}{
		{text, follower.URL, "info no condition fits: HTTP 307"},
		{"follow_redirects: true\n" + text, follower.URL, "ok 5"},
		{"follow_redirects: true\n" + text, loop.URL, "fail sent on from node to node"},
	} {
		s := compile(t, c.text).Open([]string{strings.TrimPrefix(c.at, "http://")}, "register")
		if got := outcome(s.Invoke(t.Context(), op)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, want %s", got, c.want)
		}
		_ = s.Close()
	}
}

// TestMistakes: all mistakes of a description are told, with their lines.
func TestMistakes(t *testing.T) {
	var cfg Config
	ps := strictyaml.Decode([]byte(`
objects:
  registers:
    read: {url: "http://{{ .Endpoint }}/"}
  register:
    fly: {url: x}
    read: {url: "http://{{ .Endpoint }}/", ok: {status: 20}}
    write:
      url: http://localhost/{{ .Kye }}
      absent: {status: 404}
      fail: {}
      ok:
        - {json: {kvs: 1}, body: "("}
        - {has: "$.a b", value: $.x | rot13}
`), &cfg)
	_, more := Compile(cfg)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	more.Sort()
	want := []string{
		`line 4: object "registers": there is register, session, `,
		`line 6: operation "fly" of register: there is read, write, cas`,
		`line 7: status "20": want a number`,
		`line 7: ok of register read has no value`,
		`line 9: register write has no method`,
		`line 9: url: can't evaluate field Kye`,
		`line 10: register write cannot find nothing`,
		`line 11: fail of register write has no condition`,
		`line 13: path "kvs": want $, then names`,
		`line 13: body: error parsing regexp`,
		`line 14: path "$.a b": " b" is no name`,
		`line 14: value: "rot13": there is base64, json and lines`,
	}
	for i, w := range want {
		if i >= len(more) || !strings.HasPrefix(more[i].Error(), w) {
			t.Fatalf("problem %d: want %q in\n%v", i, w, more)
		}
	}
	if len(more) != len(want) {
		t.Errorf("more than these:\n%v", more)
	}
}

func TestExtract(t *testing.T) {
	const body = `{"kvs":[{"value":"NQ=="},{"value":"Ng=="}],"odd name":{"s":"[1,2]"}}`
	a := answer{body: []byte(body)}
	a.json, a.noJSON = history.ParseValue(a.body)
	for text, want := range map[string]string{
		`$.kvs[0].value | base64 | json`:  "5",
		`$.kvs[-1].value | base64 | json`: "6",
		`$["odd name"].s | json`:          "[1,2]",
		`$.kvs[2].value`:                  "error $.kvs[2].value: nothing is there",
		`$.kvs | base64`:                  "error $.kvs | base64: base64 takes a string, there is a list",
		`$.kvs[0].value | json`:           "error ",
	} {
		e, err := parseExtract(text)
		if err != nil {
			t.Fatal(err)
		}
		v, err := e.from(a)
		got := v.String()
		if err != nil {
			got = "error " + err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
