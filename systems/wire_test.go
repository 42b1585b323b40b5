package systems

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// reply is what the fake node does with one request. It reports whether the
// connection stays open.
type reply func(conn *net.TCPConn) bool

// answers replies with a whole HTTP response.
func answers(status int, body string) reply {
	return func(conn *net.TCPConn) bool {
		_, err := fmt.Fprintf(conn, "HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s",
			status, len(body), body)
		return err == nil
	}
}

// thenCloses replies and closes the connection without having said that it would.
func thenCloses(r reply) reply {
	return func(conn *net.TCPConn) bool { r(conn); return false }
}

// bytesOnly sends what is given and closes.
func bytesOnly(text string) reply {
	return func(conn *net.TCPConn) bool { _, _ = io.WriteString(conn, text); return false }
}

// resets sends the beginning of an answer and then a reset.
func resets(text string) reply {
	return func(conn *net.TCPConn) bool {
		_, _ = io.WriteString(conn, text)
		_ = conn.SetLinger(0)
		return false
	}
}

// silent never answers; it waits until the client goes away.
func silent(conn *net.TCPConn) bool {
	_, _ = conn.Read(make([]byte, 1))
	return false
}

// node is a fake node: it answers the i-th request by the i-th reply, the last one
// again and again, and keeps all requests.
type node struct {
	addr    string
	replies []reply
	opened  chan struct{} // a value for each accepted connection
	closed  chan struct{} // a value for each connection that ended

	mu       sync.Mutex // Protects fields below.
	requests []request
	problems []string
}

func serve(t *testing.T, replies ...reply) *node {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{
		addr: l.Addr().String(), replies: replies,
		opened: make(chan struct{}, 1000), closed: make(chan struct{}, 1000),
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.opened <- struct{}{}
			wg.Go(func() { n.talk(conn.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return n
}

// talk serves one connection.
func (n *node) talk(conn *net.TCPConn) {
	defer func() { _ = conn.Close(); n.closed <- struct{}{} }()
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if !n.take(req)(conn) {
			return
		}
	}
}

// take keeps a request and returns the reply to it.
func (n *node) take(req *http.Request) reply {
	n.mu.Lock()
	defer n.mu.Unlock()
	var got request
	d := json.NewDecoder(req.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil && req.Method == http.MethodPost {
		n.problems = append(n.problems, err.Error())
	}
	if line := req.Method + " " + req.URL.Path; line != "POST /v1/op" && line != "GET /status" {
		n.problems = append(n.problems, line)
	}
	n.requests = append(n.requests, got)
	return n.replies[min(len(n.requests), len(n.replies))-1]
}

// got returns the requests so far, one a line.
func (n *node) got(t *testing.T) string {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.problems) > 0 {
		t.Errorf("malformed requests: %q", n.problems)
	}
	var lines []string
	for _, r := range n.requests {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(b))
	}
	return strings.Join(lines, "\n")
}

// system returns a reference system.
func system(t *testing.T, protocol string) System {
	t.Helper()
	s, err := New(Options{System: "reference", Protocol: protocol})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open returns a client of the node at addr.
func open(t *testing.T, addr, object string) *referenceClient {
	t.Helper()
	c, err := system(t, "paxos").Open(t.Context(), []string{addr}, object)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*referenceClient)
}

// outcome says what a worker would record.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case history.IsDefinite(err):
		return "fail"
	default:
		return "info"
	}
}
