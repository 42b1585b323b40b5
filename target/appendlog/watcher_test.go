package appendlog

import (
	"fmt"
	"maps"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// watcher checks the invariants while a run goes on. It keeps its own copy of what
// is durable at each node, made from the records alone.
type watcher struct {
	codec    *codec
	durable  map[protocol.NodeID]map[ID]Element
	known    map[ID]Element // the one element of each identity
	requests map[sim.Attempt]protocol.Request
	asked    map[protocol.Request]bool // object, key and value of every append
	err      error
}

func newWatcher() *watcher {
	c, err := newCodec()
	return &watcher{
		codec: c, err: err,
		durable:  map[protocol.NodeID]map[ID]Element{},
		known:    map[ID]Element{},
		requests: map[sim.Attempt]protocol.Request{},
		asked:    map[protocol.Request]bool{},
	}
}

func (w *watcher) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// observe follows the events of a run.
func (w *watcher) observe(c *sim.Cluster, e *sim.Event) {
	switch e.Kind {
	case sim.Submit:
		r := *e.Request
		w.requests[sim.Attempt{Node: e.Node, Epoch: e.Epoch, ID: r.ID}] = r
		w.asked[protocol.Request{Object: r.Object, Key: r.Key, Value: r.Value}] = true
	case sim.Persist:
		w.persist(e)
	case sim.Start:
		w.recovered(c, e)
	case sim.Answer:
		w.answer(e)
	}
}

// persist checks that a log only grows, and that an identity never has two
// elements.
func (w *watcher) persist(e *sim.Event) {
	held := w.durable[e.Node]
	if held == nil {
		held = map[ID]Element{}
		w.durable[e.Node] = held
	}
	es, err := w.codec.decodeCheckpoint(e.Checkpoint)
	if err != nil {
		w.fail("%s: %w", e.Node, err)
	}
	if e.Checkpoint != nil {
		w.durable[e.Node] = map[ID]Element{}
	}
	for _, b := range e.Records {
		el, err := w.codec.decodeElement(b)
		if err != nil {
			w.fail("%s: %w", e.Node, err)
		}
		es = append(es, el)
	}
	for _, el := range es {
		if old, seen := w.known[el.ID]; seen && old != el {
			w.fail("%s: %v and %v have one identity", e.Node, old, el)
		}
		if !w.asked[protocol.Request{Object: el.Object, Key: el.Key, Value: el.Value}] {
			w.fail("%s: nobody appended %v", e.Node, el)
		}
		w.known[el.ID] = el
		w.durable[e.Node][el.ID] = el
	}
	for id, el := range held {
		if _, still := w.durable[e.Node][id]; !still {
			w.fail("%s: the new log lacks %v", e.Node, el)
		}
	}
}

// recovered checks that a node begins with what was durable, and knows that.
func (w *watcher) recovered(c *sim.Cluster, e *sim.Event) {
	m := c.Node(e.Node).Machine().(*Machine)
	if !maps.Equal(m.store.elements, w.durable[e.Node]) {
		w.fail("%s recovers %d elements, durable are %d",
			e.Node, len(m.store.elements), len(w.durable[e.Node]))
	}
	if err := whole(m); err != nil {
		w.fail("%s: %w", e.Node, err)
	}
}

// whole checks that a node holds the elements that it thinks it holds.
func whole(m *Machine) error {
	n := uint64(0)
	for id := range m.store.elements {
		if !m.store.held[id.Series].has(id.Seq) {
			return fmt.Errorf("%v is here and counts as missing", id)
		}
		n++
	}
	if total := m.store.total(); total != n {
		return fmt.Errorf("%d elements are here, %d count as held", n, total)
	}
	return nil
}

// answer checks that what is acknowledged is durable at two nodes.
func (w *watcher) answer(e *sim.Event) {
	r := w.requests[sim.Attempt{Node: e.Node, Epoch: e.Epoch, ID: e.Reply.ID}]
	if r.F == "read" || r.Object == "session" || e.Reply.Outcome != protocol.OK {
		return
	}
	holders := 0
	for _, held := range w.durable {
		for _, el := range held {
			if el.Object == r.Object && el.Key == r.Key && el.Value == r.Value {
				holders++
			}
		}
	}
	if holders < copies {
		w.fail("%s %s is acknowledged by %s, durable at %d nodes", r.F, r.Value, e.Node, holders)
	}
}

func (w *watcher) check(*sim.Cluster) error { return w.err }

// agree checks that in the end no two nodes show one identity differently. That
// they hold the same is what the clients' final reads are for.
func agree(c *sim.Cluster) error {
	known := map[ID]Element{}
	for _, n := range c.Nodes() {
		m := n.Machine().(*Machine)
		if err := whole(m); err != nil {
			return fmt.Errorf("%s: %w", n.ID(), err)
		}
		for id, el := range m.store.elements {
			if old, ok := known[id]; ok && old != el {
				return fmt.Errorf("%s has %v, another node %v", n.ID(), el, old)
			}
			known[id] = el
		}
	}
	return nil
}
