package decide

import (
	"fmt"
	"maps"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// watcher checks the invariants of Paxos while a run goes on. It keeps its own
// copy of what is durable at each node and of all votes that were ever cast,
// made from the records and messages alone.
type watcher struct {
	codec     *codec
	every     int // records between checkpoints
	durable   map[protocol.NodeID]map[string]acceptor
	instances map[string]*instance
	requests  map[sim.Attempt]protocol.Request
	err       error
}

// instance is everything that was ever said in one instance.
type instance struct {
	proposed map[string]bool   // by clients
	values   map[Ballot]string // asked votes for, or voted for: one for each ballot
	voters   map[Ballot]map[protocol.NodeID]bool
	chosen   map[Ballot]bool // a majority voted
	value    string          // the chosen value, "" if none
}

func newWatcher(every int) *watcher {
	c, err := newCodec()
	return &watcher{
		codec: c, err: err, every: every,
		durable:   map[protocol.NodeID]map[string]acceptor{},
		instances: map[string]*instance{},
		requests:  map[sim.Attempt]protocol.Request{},
	}
}

func (w *watcher) factory(cfg protocol.Config) (protocol.Machine, error) {
	m, err := New(cfg)
	if err != nil {
		return nil, err
	}
	m.checkpointEvery = w.every
	return m, nil
}

func (w *watcher) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *watcher) instance(key string) *instance {
	in := w.instances[key]
	if in == nil {
		in = &instance{
			proposed: map[string]bool{}, values: map[Ballot]string{},
			voters: map[Ballot]map[protocol.NodeID]bool{}, chosen: map[Ballot]bool{},
		}
		w.instances[key] = in
	}
	return in
}

// observe follows the events of a run.
func (w *watcher) observe(c *sim.Cluster, e *sim.Event) {
	switch e.Kind {
	case sim.Submit:
		w.requests[sim.Attempt{Node: e.Node, Epoch: e.Epoch, ID: e.Request.ID}] = *e.Request
		w.instance(e.Request.Key).proposed[e.Request.Value] = true
	case sim.Persist:
		w.persist(c, e)
	case sim.Start:
		m := c.Node(e.Node).Machine().(*Machine)
		if !maps.Equal(m.acceptors, w.durable[e.Node]) {
			w.fail("%s recovers %v, durable is %v", e.Node, m.acceptors, w.durable[e.Node])
		}
	case sim.Send:
		w.send(c, e)
	case sim.Answer:
		w.answer(e)
	}
}

func (w *watcher) persist(c *sim.Cluster, e *sim.Event) {
	before := w.durable[e.Node]
	if before == nil {
		before = map[string]acceptor{}
	}
	if e.Checkpoint != nil {
		after, err := disk(w.codec, e.Checkpoint, nil)
		if err != nil {
			w.fail("%s: checkpoint: %w", e.Node, err)
		}
		for key, a := range before {
			w.grows(e.Node, key, a, after[key])
		}
		before = after
		for key, a := range after {
			w.vote(c, e.Node, key, a.Vote)
		}
	}
	for _, b := range e.Records {
		r, err := w.codec.decodeRecord(b)
		if err != nil {
			w.fail("%s: record: %w", e.Node, err)
		}
		w.grows(e.Node, r.Instance, before[r.Instance], r.Acceptor)
		before[r.Instance] = r.Acceptor
		w.vote(c, e.Node, r.Instance, r.Acceptor.Vote)
	}
	w.durable[e.Node] = before
}

// grows checks that an acceptor takes nothing back.
func (w *watcher) grows(node protocol.NodeID, key string, a, b acceptor) {
	switch {
	case b.Promised.Less(a.Promised):
		w.fail("%s, %s: promise falls from %v to %v", node, key, a.Promised, b.Promised)
	case b.Vote.Ballot.Less(a.Vote.Ballot):
		w.fail("%s, %s: vote falls from %v to %v", node, key, a.Vote, b.Vote)
	case b.Promised.Less(b.Vote.Ballot):
		w.fail("%s, %s: promised %v, but voted %v", node, key, b.Promised, b.Vote)
	case b.Vote.Ballot != a.Vote.Ballot && b.Vote.Ballot.Less(a.Promised):
		w.fail("%s, %s: promised %v, then voted %v", node, key, a.Promised, b.Vote)
	}
}

// send checks that a promise or vote is durable before anybody hears of it.
func (w *watcher) send(c *sim.Cluster, e *sim.Event) {
	msg, err := w.codec.decodeMessage(e.Payload)
	if err != nil {
		w.fail("%s sends: %w", e.Node, err)
		return
	}
	held := w.durable[e.Node][msg.Instance]
	switch msg.Kind {
	case kindPromise:
		if held.Promised.Less(msg.Ballot) {
			w.fail("%s sends %s, durable is %v", e.Node, Describe(e.Payload), held)
		}
	case kindAccept:
		w.oneValue(msg.Instance, msg.Vote)
	case kindVoted:
		if held.Vote.Ballot.Less(msg.Ballot) {
			w.fail("%s sends %s, durable is %v", e.Node, Describe(e.Payload), held)
		}
		w.vote(c, e.Node, msg.Instance, msg.Vote)
	}
}

// oneValue checks that there is one value for each ballot, and a client's.
func (w *watcher) oneValue(key string, v Vote) {
	in := w.instance(key)
	if old, seen := in.values[v.Ballot]; seen && old != v.Value {
		w.fail("%s: ballot %v has values %s and %s", key, v.Ballot, old, v.Value)
	}
	in.values[v.Ballot] = v.Value
	if !in.proposed[v.Value] {
		w.fail("%s: %v was proposed by nobody", key, v)
	}
}

// vote checks what Paxos is about: when a value is chosen in a ballot, every vote
// in a greater one is for the same value.
func (w *watcher) vote(c *sim.Cluster, node protocol.NodeID, key string, v Vote) {
	if v == (Vote{}) {
		return
	}
	w.oneValue(key, v)
	in := w.instance(key)
	if in.voters[v.Ballot] == nil {
		in.voters[v.Ballot] = map[protocol.NodeID]bool{}
	}
	if in.voters[v.Ballot][node] {
		return
	}
	in.voters[v.Ballot][node] = true
	differ := func(n, m Ballot) {
		if n.Less(m) && in.values[n] != in.values[m] {
			w.fail("%s: %s is chosen in %v, but %s is voted for in %v",
				key, in.values[n], n, in.values[m], m)
		}
	}
	for n := range in.chosen {
		differ(n, v.Ballot)
	}
	if len(in.voters[v.Ballot]) > len(c.Nodes())/2 && !in.chosen[v.Ballot] {
		in.chosen[v.Ballot], in.value = true, v.Value
		for m := range in.voters {
			differ(v.Ballot, m)
		}
	}
}

// answer checks that a client is told what is chosen, and nothing else.
func (w *watcher) answer(e *sim.Event) {
	r := w.requests[sim.Attempt{Node: e.Node, Epoch: e.Epoch, ID: e.Reply.ID}]
	in := w.instance(r.Key)
	switch {
	case e.Reply.Outcome != protocol.OK:
	case e.Reply.Value == "null" && r.F == "ask":
	case in.value == "" || e.Reply.Value != in.value:
		w.fail("%s: reply %q, chosen is %q", r.Key, e.Reply.Value, in.value)
	}
}

func (w *watcher) check(*sim.Cluster) error { return w.err }

// failed checks that nobody ever voted for a value whose proposal has failed.
func (w *watcher) failed(c *sim.Cluster) error {
	for _, op := range c.Ops() {
		if op.Request.F != "propose" || !op.Done || op.Outcome != protocol.Fail {
			continue
		}
		for b, value := range w.instance(op.Request.Key).values {
			if value == op.Request.Value {
				return fmt.Errorf("failed proposal is put to the vote in %v: %v", b, op)
			}
		}
	}
	return nil
}
