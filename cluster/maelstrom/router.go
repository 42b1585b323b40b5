package maelstrom

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/links"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
)

// router takes messages to where they are to go: to nodes and clients over links, to
// services directly. Everything but its constants is guarded by the loop's mutex.
type router struct {
	*loop
	nodes []nemesis.Node
	links *links.Network
	// running are the processes of the nodes that have one.
	running map[nemesis.Node]*process
	// ports are the clients that are there, named c0 to c(next-1).
	ports    map[string]*port
	next     int
	services map[string]service
	trouble  *troubles
}

func newRouter(nodes []nemesis.Node, seed uint64, tell func(string)) *router {
	l := newLoop()
	return &router{
		loop: l, nodes: nodes, links: links.New(l, nodes, seed, links.Latency{}),
		running: map[nemesis.Node]*process{}, ports: map[string]*port{},
		services: newServices(seed), trouble: &troubles{
			tell: tell, told: map[nemesis.Node]int{}, what: map[nemesis.Node]string{},
		},
	}
}

// receive takes a line that a node's process has written.
func (r *router) receive(p *process, line []byte) {
	m, err := maelstrom.ParseMessage(line)
	if err != nil {
		r.trouble.of(p.node, "wrote to its standard output what is no message (%v): %s", err, clip(line))
		return
	}
	if m.Src != string(p.node) {
		r.trouble.of(p.node, "sent a message as if it were %q: %s", m.Src, clip(line))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.route(p, m, line)
}

// route finds out for whom a message is. mu is held.
func (r *router) route(p *process, m maelstrom.Message, line []byte) {
	dest := nemesis.Node(m.Dest)
	switch service := r.services[m.Dest]; {
	case dest == p.node:
		r.After(0, func() { r.deliver(dest, line) })
	case r.isNode(dest):
		l := nemesis.Link{From: p.node, To: dest}
		r.links.Carry(l, len(line), func() { r.deliver(dest, line) })
	case service != nil:
		r.serve(p, service, m)
	case r.wasClient(m.Dest):
		r.answer(p, m)
	default:
		r.trouble.of(p.node, "sent a message to %q, which does not exist: %s", m.Dest, clip(line))
		r.refuse(p, m)
	}
}

func (r *router) isNode(n nemesis.Node) bool {
	for _, node := range r.nodes {
		if node == n {
			return true
		}
	}
	return false
}

// wasClient reports whether there is a client of that name, or has been.
func (r *router) wasClient(name string) bool {
	digits, ok := strings.CutPrefix(name, "c")
	n, err := strconv.Atoi(digits)
	return ok && err == nil && n >= 0 && n < r.next
}

// deliver gives a line to the process of a node and returns that; nil: there is none, and
// the line is lost. mu is held.
func (r *router) deliver(n nemesis.Node, line []byte) *process {
	p := r.running[n]
	if p != nil && !p.give(line) {
		r.trouble.of(n, "does not read: %d MiB of messages wait for it, and more are lost",
			mostWaiting>>20)
	}
	return p
}

// answer takes a message to a client. mu is held.
func (r *router) answer(p *process, m maelstrom.Message) {
	body, err := m.ParseBody()
	if err != nil {
		r.trouble.of(p.node, "sent %s a body that cannot be read (%v): %s", m.Dest, err, clip(m.Body))
		return
	}
	arrive := func() {
		if c := r.ports[m.Dest]; c != nil { // else it has given up, and is gone
			c.receive(p.node, body)
		}
	}
	if m.Dest == control {
		r.After(0, arrive)
		return
	}
	l := nemesis.Link{From: p.node, To: nemesis.Clients}
	r.links.Carry(l, len(m.Body), arrive)
}

// serve lets a service answer a request. No fault comes between nodes and services. mu is
// held.
func (r *router) serve(p *process, s service, m maelstrom.Message) {
	body, err := m.ParseBody()
	id, hasID := body.Int("msg_id")
	if err != nil || !hasID {
		r.trouble.of(p.node, "sent %s a request without a msg_id: %s", m.Dest, clip(m.Body))
		return
	}
	reply, wait := s.handle(r.Now(), m.Src, body)
	reply["in_reply_to"] = id
	r.reply(p, m.Dest, reply, wait)
}

// refuse answers a request to somebody who does not exist. mu is held.
func (r *router) refuse(p *process, m maelstrom.Message) {
	body, err := m.ParseBody()
	id, hasID := body.Int("msg_id")
	if err != nil || !hasID {
		return
	}
	reply := failure(maelstrom.CodeNodeNotFound, "there is no "+m.Dest)
	reply["in_reply_to"] = id
	r.reply(p, m.Dest, reply, 0)
}

// reply gives the process that asked the answer of somebody who is no node.
func (r *router) reply(p *process, from string, reply maelstrom.Request, wait time.Duration) {
	line, err := maelstrom.Line(from, string(p.node), reply)
	if err != nil {
		panic("maelstrom: an answer of " + from + " is no JSON: " + err.Error())
	}
	r.After(wait, func() {
		if r.running[p.node] == p { // one that came after it has not asked
			r.deliver(p.node, line)
		}
	})
}

// begin makes a process that of its node, and a message the first that it gets. The answer
// comes to the call.
func (r *router) begin(p *process, c *port, request maelstrom.Request) (*call, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[p.node] = p
	return c.start(p.node, request)
}

// end forgets a process. Who waits for its answer waits no longer.
func (r *router) end(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[p.node] == p {
		delete(r.running, p.node)
	}
	for _, c := range r.ports {
		c.lose(p)
	}
}

// troubles tells what nodes do that the protocol does not allow. It makes the verdict
// unknown, and a few of them say enough.
type troubles struct {
	tell func(string)
	mu   sync.Mutex // guards the rest
	told map[nemesis.Node]int
	what map[nemesis.Node]string
}

const mostTold = 3

func (t *troubles) of(n nemesis.Node, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	t.mu.Lock()
	t.told[n]++
	t.what[n] = what
	enough := t.told[n] > mostTold
	t.mu.Unlock()
	if !enough {
		t.tell(fmt.Sprintf("node %s %s", n, what))
	}
}

// last returns how often a node has done so, and what it did last.
func (t *troubles) last(n nemesis.Node) (times int, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.told[n], t.what[n]
}
