package systems

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

const (
	okNull  = `{"type":"ok","value":null}`
	session = `{"type":"ok","value":7}`
	fail    = `{"type":"fail","code":"overloaded","error":"try later"}`
	info    = `{"type":"info","code":"timeout","error":"nobody knows"}`
	partial = "HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{\"type\":\"ok\""
)

// outcomes are all the ways in which a node can answer, or not, a request that it
// got. A write may have had an effect unless the node denies it; a read never has.
var outcomes = []struct {
	name        string
	reply       reply
	write, read string
	says        string
}{
	{"ok", answers(200, okNull), "ok", "ok", ""},
	{"fail", answers(200, fail), "fail", "fail", "overloaded: try later"},
	{"info", answers(200, info), "info", "fail", "timeout: nobody knows"},
	{"code alone", answers(200, `{"type":"fail","code":"empty"}`), "fail", "fail", "empty"},
	{"bad request", answers(400, fail), "fail", "fail", "overloaded"},
	{"no such endpoint", answers(404, fail), "fail", "fail", "overloaded"},
	{"too large", answers(413, fail), "fail", "fail", "overloaded"},

	{"info with status 400", answers(400, info), "info", "fail", "HTTP 400"},
	{"ok with status 400", answers(400, okNull), "info", "fail", "HTTP 400"},
	{"ok with status 500", answers(500, okNull), "info", "fail", "HTTP 500"},
	{"fail with status 503", answers(503, fail), "info", "fail", "HTTP 503"},
	{"fail with status 302", answers(302, fail), "info", "fail", "HTTP 302"},
	{"page with status 400", answers(400, "<h1>no"), "info", "fail", "decode answer (HTTP 400)"},
	{"page with status 500", answers(500, "oops"), "info", "fail", "decode answer (HTTP 500)"},
	{"page with status 200", answers(200, "<h1>hi"), "info", "fail", "decode answer"},
	{"no body", answers(200, ""), "info", "fail", "decode answer"},
	{"no type", answers(200, `{}`), "info", "fail", ""},
	{"unknown type", answers(200, `{"type":"OK"}`), "info", "fail", ""},
	{"list", answers(200, `[{"type":"ok"}]`), "info", "fail", "decode answer"},
	{"null", answers(200, `null`), "info", "fail", ""},
	{"two answers", answers(200, fail+okNull), "info", "fail", "decode answer"},
	{"torn JSON", answers(200, `{"type":"fail"`), "info", "fail", "decode answer"},

	{"closed before an answer", bytesOnly(""), "info", "fail", "EOF"},
	{"closed in the header", bytesOnly("HTTP/1.1 200 OK\r\nConte"), "info", "fail", "broken"},
	{"closed in the body", bytesOnly(partial), "info", "fail", "read answer"},
	{"no HTTP", bytesOnly("220 smtp\r\n"), "info", "fail", "malformed HTTP"},
	{"reset before an answer", resets(""), "info", "fail", ""},
	{"reset in the body", resets(partial), "info", "fail", ""},
	{"answer without end", answers(200, okNull+strings.Repeat(" ", answerBytesMax)),
		"info", "fail", "longer than"},
}

// TestOutcomes holds the rule that false verdicts hang on: what may have happened
// is never told as a failure.
func TestOutcomes(t *testing.T) {
	for _, c := range outcomes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			node := serve(t, answers(200, session), c.reply)
			client := open(t, node.addr, "register")
			write := history.Event{F: "write", Key: "k", Value: history.Int(3)}
			_, err := client.Invoke(t.Context(), write)
			if got := outcome(err); got != c.write || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("write: %s (%v), want %s with %q", got, err, c.write, c.says)
			}
			want := `{"object":"session","f":"open"}` + "\n" +
				`{"object":"register","f":"write","key":"k","value":3,"session":7,"seq":1}`
			if got := node.got(t); got != want {
				t.Errorf("requests:\n%s\nwant each once:\n%s", got, want)
			}

			node = serve(t, c.reply)
			client = open(t, node.addr, "register")
			_, err = client.Invoke(t.Context(), history.Event{F: "read", Key: "k"})
			if got := outcome(err); got != c.read || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("read: %s (%v), want %s with %q", got, err, c.read, c.says)
			}
			want = `{"object":"register","f":"read","key":"k"}`
			if got := node.got(t); got != want {
				t.Errorf("requests:\n%s\nwant once, without a session:\n%s", got, want)
			}
		})
	}
}

// TestTimeout ends the context while the node is silent: with a whole request on
// its way, nobody knows.
func TestTimeout(t *testing.T) {
	for _, c := range []struct {
		name, want string
		replies    []reply
		op         history.Event
		requests   int
	}{
		{"write", "info", []reply{answers(200, session), silent},
			history.Event{F: "write", Key: "k", Value: history.Int(1)}, 2},
		{"read", "fail", []reply{silent}, history.Event{F: "read", Key: "k"}, 1},
		{"open", "fail", []reply{silent},
			history.Event{F: "write", Key: "k", Value: history.Int(1)}, 1},
		{"in the body", "info", []reply{answers(200, session), func(c *net.TCPConn) bool {
			_, _ = io.WriteString(c, partial)
			return silent(c)
		}}, history.Event{F: "write", Key: "k", Value: history.Int(1)}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			node := serve(t, c.replies...)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := open(t, node.addr, "register").Invoke(ctx, c.op)
			if got := outcome(err); got != c.want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s (%v), want %s and a deadline", got, err, c.want)
			}
			<-node.closed // the abandoned connection is given up, not used again
			if got := strings.Count(node.got(t), "\n") + 1; got != c.requests {
				t.Errorf("%d requests, want %d", got, c.requests)
			}
		})
	}
}

// TestRefused talks to a port at which nobody listens: nothing was sent.
func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []history.F{"read", "write"} {
		_, err := open(t, addr, "register").Invoke(t.Context(), history.Event{F: f, Key: "k"})
		if outcome(err) != "fail" || !strings.Contains(err.Error(), "unreachable") {
			t.Errorf("%s: %s (%v), want fail: unreachable", f, outcome(err), err)
		}
	}
	// A session is open, and only then the node goes away: also then the command
	// did not leave, because there is no connection for it.
	client := open(t, addr, "register")
	client.opened, client.session = true, 7
	_, err = client.Invoke(t.Context(), history.Event{F: "write", Key: "k", Value: history.Int(1)})
	if outcome(err) != "fail" {
		t.Errorf("write in a session: %s (%v), want fail", outcome(err), err)
	}
}

// TestSessionOpenFails shows that without a session the command is not sent, so
// that it failed, whatever became of the session.
func TestSessionOpenFails(t *testing.T) {
	for name, r := range map[string]reply{
		"fail":          answers(200, fail),
		"info":          answers(200, info),
		"closed":        bytesOnly(""),
		"reset":         resets(partial),
		"garbage":       answers(200, "<h1>"),
		"status 500":    answers(500, session),
		"id is text":    answers(200, `{"type":"ok","value":"seven"}`),
		"id is missing": answers(200, `{"type":"ok"}`),
		"id is a float": answers(200, `{"type":"ok","value":7.5}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := serve(t, r)
			_, err := open(t, node.addr, "register").Invoke(t.Context(),
				history.Event{F: "write", Key: "k", Value: history.Int(1)})
			if outcome(err) != "fail" || !strings.Contains(err.Error(), "open session") {
				t.Errorf("%s (%v), want fail: open session", outcome(err), err)
			}
			if got := node.got(t); got != `{"object":"session","f":"open"}` {
				t.Errorf("requests:\n%s\nwant the open alone", got)
			}
		})
	}
}
