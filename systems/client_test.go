package systems

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// invoke runs an operation and returns its result or its outcome.
func invoke(t *testing.T, c *referenceClient, f history.F, in history.Value) string {
	t.Helper()
	out, err := c.Invoke(t.Context(), history.Event{F: f, Key: "k", Value: in})
	if err != nil {
		return outcome(err)
	}
	return out.Value.String()
}

// TestResults shows what the completion's value is: what the node returned, and
// the argument where it returned nothing.
func TestResults(t *testing.T) {
	for _, c := range []struct {
		f        history.F
		in       history.Value
		answer   string
		want     string
		describe string
	}{
		{"read", history.Nil(), `{"type":"ok","value":3}`, "3", "what was read"},
		{"read", history.Nil(), okNull, "null", "never written"},
		{"read", history.Nil(), `{"type":"ok","value":[1,2]}`, "[1,2]", "a list"},
		{"write", history.Int(3), okNull, "3", "the argument"},
		{"cas", history.Pair(1, 2), okNull, "[1,2]", "the argument"},
		{"dequeue", history.Nil(), `{"type":"ok","value":"x"}`, `"x"`, "the element"},
		{"enqueue", history.Str("x"), okNull, `"x"`, "the argument"},
		{"append", history.Str("x"), `{"type":"ok","value":7}`, `7`, "a position"},
		{"append", history.Str("x"), okNull, `null`, "no position"},
		{"propose", history.Int(1), `{"type":"ok","value":2}`, `2`, "the decision"},
		{"ask", history.Nil(), okNull, `null`, "no decision"},
		{"release", history.Int(1), okNull, `null`, "nothing"},
	} {
		node := serve(t, answers(200, session), answers(200, c.answer))
		if reading(c.f) {
			node = serve(t, answers(200, c.answer))
		}
		object := map[history.F]string{"append": "log", "propose": "decide", "ask": "decide",
			"release": "lock"}[c.f]
		client := open(t, node.addr, cmp.Or(object, "cas-register"))
		if got := invoke(t, client, c.f, c.in); got != c.want {
			t.Errorf("%s answered %s: %s, want %s (%s)", c.f, c.answer, got, c.want, c.describe)
		}
	}
}

// TestSessions follows the numbers of commands through failures, reads, and a
// session that ended.
func TestSessions(t *testing.T) {
	expired := `{"type":"fail","code":"session-expired","error":"not used for 30 s"}`
	node := serve(t,
		answers(200, session), answers(200, okNull), // write 1
		answers(200, okNull),                                          // read
		answers(200, fail),                                            // write 2
		answers(200, expired),                                         // write 3
		answers(200, `{"type":"ok","value":9}`), answers(200, okNull), // write 4
		answers(200, okNull), // write 5
	)
	client := open(t, node.addr, "register")
	for i, want := range []string{"1", "null", "fail", "fail", "4", "5"} {
		f, in := history.F("write"), history.Int(int64(i))
		if i == 1 {
			f, in = "read", history.Nil()
		} else if i == 0 {
			in = history.Int(1)
		}
		if got := invoke(t, client, f, in); got != want {
			t.Errorf("%d. %s: %s, want %s", i, f, got, want)
		}
	}
	want := strings.Join([]string{
		`{"object":"session","f":"open"}`,
		`{"object":"register","f":"write","key":"k","value":1,"session":7,"seq":1}`,
		`{"object":"register","f":"read","key":"k"}`,
		`{"object":"register","f":"write","key":"k","value":2,"session":7,"seq":2}`,
		`{"object":"register","f":"write","key":"k","value":3,"session":7,"seq":3}`,
		`{"object":"session","f":"open"}`,
		`{"object":"register","f":"write","key":"k","value":4,"session":9,"seq":1}`,
		`{"object":"register","f":"write","key":"k","value":5,"session":9,"seq":2}`,
	}, "\n")
	if got := node.got(t); got != want {
		t.Errorf("requests:\n%s\nwant:\n%s", got, want)
	}
}

// TestNoSessions is a protocol whose session id is 0: commands carry none.
func TestNoSessions(t *testing.T) {
	node := serve(t, answers(200, `{"type":"ok","value":0}`), answers(200, okNull))
	client := open(t, node.addr, "register")
	invoke(t, client, "write", history.Int(1))
	invoke(t, client, "write", history.Int(2))
	want := `{"object":"session","f":"open"}
{"object":"register","f":"write","key":"k","value":1}
{"object":"register","f":"write","key":"k","value":2}`
	if got := node.got(t); got != want {
		t.Errorf("requests:\n%s\nwant:\n%s", got, want)
	}
}

// TestNeverTwice closes the kept connection between requests, when a transport is
// tempted to send again: a command reaches the node at most once, and ok only
// when it did.
func TestNeverTwice(t *testing.T) {
	const rounds = 100
	for name, replies := range map[string][]reply{
		"closed after each answer": {answers(200, `{"type":"ok","value":0}`),
			thenCloses(answers(200, okNull))},
		"closed instead of an answer": {answers(200, `{"type":"ok","value":0}`),
			answers(200, okNull), bytesOnly("")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := serve(t, replies...)
			client := open(t, node.addr, "register")
			var outcomes []string
			for i := range rounds {
				_, err := client.Invoke(t.Context(),
					history.Event{F: "write", Key: "k", Value: history.Int(int64(i))})
				outcomes = append(outcomes, outcome(err))
			}
			node.got(t)
			node.mu.Lock()
			defer node.mu.Unlock()
			seen := map[int64]int{}
			for _, r := range node.requests[1:] {
				n, _ := r.Value.AsInt()
				seen[n]++
			}
			for i, o := range outcomes {
				switch n := seen[int64(i)]; {
				case n > 1:
					t.Errorf("write %d (%s) was sent %d times", i, o, n)
				case o == "ok" && n != 1:
					t.Errorf("write %d is ok and never came", i)
				case o == "fail" && n != 0:
					t.Errorf("write %d failed and came", i)
				}
			}
		})
	}
}

// brokenPipe is a connection on which, once armed, nothing can be written: the
// transport knows that not a byte has left and would send again if it could.
type brokenPipe struct {
	net.Conn
	armed *atomic.Bool
}

func (b brokenPipe) Write(p []byte) (int, error) {
	if b.armed.Load() {
		return 0, errors.New("broken pipe")
	}
	return b.Conn.Write(p)
}

// TestNoResend is the one case in which http.Transport sends a POST again: on a
// kept connection that breaks before the first byte.
func TestNoResend(t *testing.T) {
	node := serve(t, answers(200, `{"type":"ok","value":0}`), answers(200, okNull))
	client := open(t, node.addr, "register")
	var armed atomic.Bool
	dials := 0
	transport := client.transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(
		ctx context.Context, network, addr string,
	) (net.Conn, error) {
		dials++
		conn, err := dial(ctx, network, addr)
		if dials > 1 {
			return conn, err
		}
		return brokenPipe{conn, &armed}, err
	}
	if got := invoke(t, client, "write", history.Int(1)); got != "1" {
		t.Fatalf("write 1: %s", got)
	}
	armed.Store(true)
	if got := invoke(t, client, "write", history.Int(2)); got != "info" {
		t.Errorf("write 2 on the broken connection: %s, want info", got)
	}
	if got := invoke(t, client, "write", history.Int(3)); got != "3" {
		t.Errorf("write 3 on a fresh connection: %s", got)
	}
	if got := node.got(t); strings.Contains(got, `"value":2`) || dials != 2 {
		t.Errorf("%d connections, requests:\n%s\nwrite 2 was sent again", dials, got)
	}
}

// TestClientsDoNotShare opens two clients of one node: each has a connection of
// its own, keeps it, and gives it up on Close.
func TestClientsDoNotShare(t *testing.T) {
	node := serve(t, answers(200, okNull))
	a, b := open(t, node.addr, "register"), open(t, node.addr, "register")
	for range 3 {
		invoke(t, a, "read", history.Nil())
		invoke(t, b, "read", history.Nil())
	}
	if n := len(node.opened); n != 2 {
		t.Errorf("%d connections for 2 clients", n)
	}
	for _, c := range []*referenceClient{a, b} {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		select {
		case <-node.closed:
		case <-time.After(10 * time.Second):
			t.Fatal("the connection outlives its client")
		}
	}
	if err := a.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}
