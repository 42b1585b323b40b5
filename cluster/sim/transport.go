package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// The ends of the names of nodes: as clients reach them, and past all faults of the
// network.
const (
	domain = ".sim"
	direct = ".direct.sim"
)

// headerBytes is about what HTTP puts around a body.
const headerBytes = 150

// errReset is what a client sees of a node that ends.
var errReset = errors.New("connection reset by peer")

// RoundTrip implements http.RoundTripper over the virtual network. A node that is down
// refuses connections; one that is paused, or behind a cut, lets its clients wait. A
// request whose client has given up is still delivered when a cut ends, if the node still
// lives, as from a socket's buffer.
func (c *Cluster) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		if err = errors.Join(err, req.Body.Close()); err != nil {
			return nil, err
		}
	}
	host := req.URL.Host
	name, past := strings.CutSuffix(host, direct)
	if !past {
		name = strings.TrimSuffix(host, domain)
	}
	i := slices.Index(c.cfg.Nodes, nemesis.Node(name))
	if i < 0 {
		return nil, fmt.Errorf("there is no node %q", host)
	}
	if req.URL.Path == "/status" {
		return c.status(req, i)
	}
	x := &call{c: c, node: i, past: past}
	came := c.w.Await(req.Context(), func(done func()) { x.begin(body, done) })
	switch {
	case !came:
		return nil, fmt.Errorf("no answer: %w", causeOf(req.Context()))
	case x.err != nil:
		return nil, x.err
	}
	return response(req, x.status, x.answer), nil
}

// CloseIdleConnections does nothing: there are none.
func (c *Cluster) CloseIdleConnections() {}

func causeOf(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return context.Canceled
}

// call is one request under way.
type call struct {
	c      *Cluster
	node   int
	past   bool // past the client links
	status int
	answer []byte
	err    error
}

// over takes something over the link between clients and the node.
func (x *call) over(from, to nemesis.Node, size int, deliver func()) {
	if x.past {
		x.c.w.After(linkLeast, deliver)
		return
	}
	x.c.net.Stream(nemesis.Link{From: from, To: to}, size+headerBytes, deliver)
}

// begin sends the request; done is called when its outcome is known.
func (x *call) begin(body []byte, done func()) {
	node := x.c.cfg.Nodes[x.node]
	back := func(size int, f func()) {
		x.over(node, nemesis.Clients, size, func() { f(); done() })
	}
	life := x.c.nodes.Life(x.node)
	x.over(nemesis.Clients, node, len(body), func() {
		if x.c.nodes.Life(x.node) != life {
			back(0, func() { x.err = errReset })
			return
		}
		err := x.c.nodes.Post(x.node, body, func(status int, answer []byte) {
			back(len(answer), func() {
				if x.status, x.answer = status, answer; status == 0 {
					x.err = errReset
				}
			})
		})
		if err != nil {
			back(0, func() {
				x.err = &net.OpError{Op: "dial", Net: "sim", Err: syscall.ECONNREFUSED}
			})
		}
	})
}

// status asks a node for its status.
func (c *Cluster) status(req *http.Request, i int) (*http.Response, error) {
	var body []byte
	var err error
	came := c.w.Await(req.Context(), func(done func()) {
		c.w.After(2*linkLeast, func() {
			if body, err = c.nodes.Status(i); err == nil || !c.paused(i) {
				done()
			}
		})
	})
	switch {
	case !came:
		return nil, fmt.Errorf("no answer: %w", causeOf(req.Context()))
	case err != nil:
		return nil, &net.OpError{Op: "dial", Net: "sim", Err: syscall.ECONNREFUSED}
	}
	return response(req, http.StatusOK, body), nil
}

func (c *Cluster) paused(i int) bool {
	_, paused := c.nodes.State(i)
	return paused
}

func response(req *http.Request, status int, body []byte) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header:        http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
}
