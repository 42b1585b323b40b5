// Package testnode is a node that speaks Maelstrom's protocol, for tests: one program for
// each of Maelstrom's workloads, right or wrong in a way that can be chosen. It knows the
// protocol by its documentation only, and nothing of this project, like a node that somebody
// else has written.
package testnode

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Variable is the environment variable that makes a test's program a node: a workload and,
// behind a colon, what is wrong with the node: "lin-kv:local".
const Variable = "ORDEAL_TEST_NODE"

// Main runs a node on the standard streams, if the environment says so, and returns its exit
// status.
func Main() (status int, isNode bool) {
	what, isNode := os.LookupEnv(Variable)
	if !isNode {
		return 0, false
	}
	kind, wrong, _ := strings.Cut(what, ":")
	return Run(os.Stdin, os.Stdout, os.Stderr, kind, wrong), true
}

// body is the body of a message.
type body map[string]any

type message struct {
	Src  string `json:"src"`
	Dest string `json:"dest"`
	Body body   `json:"body"`
}

// node is one node.
type node struct {
	kind, wrong string
	log         io.Writer

	mu        sync.Mutex // guards the rest
	out       io.Writer
	id        string
	ids       []string
	neighbors []string
	lastID    int
	waiting   map[int]chan body
	asked     int

	set    map[float64]bool
	counts map[string][2]float64
	values map[string]any
}

// Run is a node's life. It ends with its input.
func Run(in io.Reader, out, log io.Writer, kind, wrong string) int {
	n := &node{
		kind: kind, wrong: wrong, log: log, out: out, waiting: map[int]chan body{},
		set: map[float64]bool{}, counts: map[string][2]float64{}, values: map[string]any{},
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			_, _ = fmt.Fprintf(log, "what is this: %q\n", lines.Text())
			return 4
		}
		if status := n.take(m); status != 0 {
			return status
		}
	}
	return 0
}

// take handles a message: answers to what this node has asked, init in order, and the rest
// side by side.
func (n *node) take(m message) (status int) {
	if id, isReply := m.Body["in_reply_to"].(float64); isReply {
		n.mu.Lock()
		answered := n.waiting[int(id)]
		delete(n.waiting, int(id))
		n.mu.Unlock()
		if answered != nil {
			answered <- m.Body
		}
		return 0
	}
	if m.Body["type"] == "init" {
		return n.begin(m)
	}
	go n.handle(m)
	return 0
}

func (n *node) begin(m message) (status int) {
	n.mu.Lock()
	n.id = m.Body["node_id"].(string)
	n.mu.Unlock()
	switch n.wrong {
	case "exit":
		_, _ = fmt.Fprintln(n.log, "panic: no database here")
		return 3
	case "chatty":
		_, _ = fmt.Fprintln(n.out, "hello, I am", n.id)
		return 0
	case "mute":
		return 0
	case "refuse":
		n.answer(m, body{"type": "error", "code": 13, "text": "not today"})
		return 0
	}
	n.mu.Lock()
	for _, id := range m.Body["node_ids"].([]any) {
		if id != n.id {
			n.ids = append(n.ids, id.(string))
		}
	}
	n.neighbors = n.ids
	n.mu.Unlock()
	n.answer(m, body{"type": "init_ok"})
	if n.wrong != "once" {
		go n.gossip()
	}
	return 0
}

// write sends a message.
func (n *node) write(dest string, b body) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.writeLocked(dest, b)
}

func (n *node) writeLocked(dest string, b body) {
	line, _ := json.Marshal(message{n.id, dest, b})
	_, _ = n.out.Write(append(line, '\n'))
}

func (n *node) answer(m message, b body) {
	b["in_reply_to"] = m.Body["msg_id"]
	n.write(m.Src, b)
}

// ask asks a service and waits for its answer.
func (n *node) ask(dest string, b body) body {
	answered := make(chan body, 1)
	n.mu.Lock()
	n.lastID++
	b["msg_id"] = n.lastID
	n.waiting[n.lastID] = answered
	n.writeLocked(dest, b)
	n.mu.Unlock()
	select {
	case got := <-answered:
		return got
	case <-time.After(2 * time.Second):
		return body{"type": "error", "code": 0.0, "text": dest + " says nothing"}
	}
}

const gossipEvery = 20 * time.Millisecond

// gossip tells the neighbors everything, again and again.
func (n *node) gossip() {
	for range time.Tick(gossipEvery) {
		n.mu.Lock()
		b := body{"type": "gossip"}
		if len(n.set) > 0 {
			b["set"] = n.elements()
		}
		if len(n.counts) > 0 {
			b["counts"] = n.counts
		}
		if len(b) > 1 {
			for _, to := range n.neighbors {
				n.writeLocked(to, b)
			}
		}
		n.mu.Unlock()
	}
}

// learn takes over what a neighbor knows.
func (n *node) learn(b body) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list, _ := b["set"].([]any)
	for _, e := range list {
		n.set[e.(float64)] = true
	}
	counts, _ := b["counts"].(map[string]any)
	for id, pair := range counts {
		theirs, ours := pair.([]any), n.counts[id]
		for i := range ours {
			ours[i] = max(ours[i], theirs[i].(float64))
		}
		n.counts[id] = ours
	}
	if key, ok := b["key"].(string); ok {
		n.values[key] = b["value"]
	}
}

// elements lists the set. mu is held.
func (n *node) elements() []float64 {
	list := []float64{}
	for e := range n.set {
		list = append(list, e)
	}
	return list
}

// nth reports whether this is the n-th request that is counted so.
func (n *node) nth(every int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	return n.asked%every == 0
}
