package maelstrom

import (
	"context"
	"errors"
	"fmt"

	"github.com/ordeal-dev/ordeal/cluster"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
)

// control is the client by which the harness itself speaks to nodes, past all links.
const control = "c0"

var (
	errClosed = errors.New("the client is closed")
	errEnded  = errors.New("the node ended before it answered")
)

// port is a client in the network.
type port struct {
	r    *router
	name string

	// Guarded by the loop's mutex.
	lastID int64
	calls  map[int64]*call
	closed bool
}

// call is a request under way.
type call struct {
	id int64
	// to is the process that got the request, nil as long as it is on its way.
	to     *process
	result chan result // capacity 1: there is one result
}

type result struct {
	body maelstrom.Body
	err  error
}

// connect makes the next client.
func (r *router) connect() *port {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &port{r: r, name: fmt.Sprintf("c%d", r.next), calls: map[int64]*call{}}
	r.next++
	r.ports[p.name] = p
	return p
}

// Call implements maelstrom.Port. Of a request that came to a node without a process it is
// certain that nobody got it: there are no copies of messages on the links of clients.
func (c *port) Call(
	ctx context.Context, node string, request maelstrom.Request,
) (maelstrom.Body, error) {
	c.r.mu.Lock()
	call, err := c.start(nemesis.Node(node), request)
	c.r.mu.Unlock()
	if err != nil {
		return nil, history.Definite(fmt.Errorf("%v to %s: %w", request["type"], node, err))
	}
	body, err := c.wait(ctx, call)
	if err != nil {
		return nil, fmt.Errorf("%v to %s: %w", request["type"], node, err)
	}
	return body, nil
}

// start sends a request. The loop's mutex is held.
func (c *port) start(node nemesis.Node, request maelstrom.Request) (*call, error) {
	if c.closed {
		return nil, errClosed
	}
	if !c.r.isNode(node) {
		return nil, errors.New("there is no such node")
	}
	c.lastID++
	request["msg_id"] = c.lastID
	line, err := maelstrom.Line(c.name, string(node), request)
	if err != nil {
		return nil, err
	}
	x := &call{id: c.lastID, result: make(chan result, 1)}
	c.calls[x.id] = x
	arrive := func() {
		if x.to = c.r.deliver(node, line); x.to == nil {
			c.finish(x, result{err: history.Definite(cluster.ErrNotRunning)})
		}
	}
	if c.name == control {
		arrive() // first of all that the node gets
	} else {
		c.r.links.Carry(nemesis.Link{From: nemesis.Clients, To: node}, len(line), arrive)
	}
	return x, nil
}

// wait waits for the result of a call.
func (c *port) wait(ctx context.Context, x *call) (maelstrom.Body, error) {
	select {
	case got := <-x.result:
		return got.body, got.err
	case <-ctx.Done():
		c.r.mu.Lock()
		delete(c.calls, x.id)
		c.r.mu.Unlock()
		return nil, fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// finish hands over the result, if nobody has. The loop's mutex is held.
func (c *port) finish(x *call, got result) {
	if c.calls[x.id] == x {
		delete(c.calls, x.id)
		x.result <- got
	}
}

// receive takes what a node has sent. An answer to what was given up, or answered before,
// is nothing. The loop's mutex is held.
func (c *port) receive(from nemesis.Node, body maelstrom.Body) {
	id, isReply := body.Int("in_reply_to")
	if !isReply || id < 1 || id > c.lastID {
		c.r.trouble.of(from, "sent client %s a message that answers nothing: its in_reply_to is %s",
			c.name, clip(body["in_reply_to"]))
		return
	}
	if x := c.calls[id]; x != nil {
		c.finish(x, result{body: body})
	}
}

// lose ends all calls that a process has got and not answered: nobody knows what became of
// them. The loop's mutex is held.
func (c *port) lose(p *process) {
	for _, x := range c.calls {
		if x.to == p {
			c.finish(x, result{err: errEnded})
		}
	}
}

// Close implements maelstrom.Port.
func (c *port) Close() error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.closed = true
	delete(c.r.ports, c.name)
	return nil
}
