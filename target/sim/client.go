package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Generator makes a client's next request. n counts the requests of the run from
// 1, so that it can serve as a unique value. Only Object, F, Key and Value are
// used of what it returns.
type Generator func(rng *rand.Rand, n int) protocol.Request

// Registers generates reads and writes of unique values, half each, on so many
// registers.
func Registers(keys int) Generator {
	return func(rng *rand.Rand, n int) protocol.Request {
		r := protocol.Request{Object: "register", F: "read", Key: Key(rng.IntN(keys))}
		if rng.IntN(2) == 0 {
			r.F, r.Value = "write", strconv.Itoa(n)
		}
		return r
	}
}

// Key names the i-th key that Registers uses.
func Key(i int) string { return "k" + strconv.Itoa(i) }

// Op is one operation as its client saw it.
type Op struct {
	// Process is the logical client: after an unknown outcome a client goes on
	// as another process.
	Process int
	// Node was asked, in the last attempt.
	Node protocol.NodeID
	// Request is what was asked; its ID is that of the last attempt.
	Request protocol.Request
	// Attempts are all submissions; more than one only in sessions.
	Attempts []Attempt
	// Invoke and Return are virtual times. Return has no meaning while Done is
	// false.
	Invoke, Return time.Duration
	Done           bool
	Outcome        protocol.Outcome
	Value          string
	Code           string
	// Token is what the reply says that the client has seen.
	Token string
}

// Attempt names a submission. Request ids are used again by other nodes, and by
// the same node after a restart.
type Attempt struct {
	Node  protocol.NodeID
	Epoch protocol.Epoch
	ID    protocol.RequestID
}

// Last is the attempt whose reply ended the operation; the zero Attempt if no
// node could be asked.
func (o *Op) Last() Attempt {
	if len(o.Attempts) == 0 {
		return Attempt{}
	}
	return o.Attempts[len(o.Attempts)-1]
}

// String prints the operation for people.
func (o *Op) String() string {
	s := fmt.Sprintf("process %d at %s: %s %s %s %s, called %v", o.Process, o.Node,
		o.Request.Object, o.Request.F, o.Request.Key, o.Request.Value, o.Invoke)
	if !o.Done {
		return s + ", under way"
	}
	return fmt.Sprintf("%s, %s %s %s at %v", s, o.Outcome, o.Value, o.Code, o.Return)
}

// client issues one operation after the other.
type client struct {
	index, process int
	session, seq   uint64
	busy           bool
}

// call is one attempt of an operation.
type call struct {
	op    *Op
	node  *Node
	epoch protocol.Epoch
	// done is called once, when the client knows or gives up; nil after that.
	done func(protocol.Reply)
	// answered is set when the machine has replied.
	answered bool
}

// probe is a request or a dialog that must succeed after healing.
type probe struct {
	node   *Node
	req    func() protocol.Request
	dialog func() Dialog
}

// A client that finds no node to talk to looks again after redial.
const redial = 20 * time.Millisecond

func (c *Cluster) think() time.Duration {
	return time.Duration(c.ask.ExpFloat64() * float64(c.faults.Think))
}

// next lets the client issue its next operation.
func (c *Cluster) next(cl *client) {
	if c.issued >= c.opts.Ops {
		c.quiesce()
		return
	}
	n := c.nodes[c.ask.IntN(len(c.nodes))]
	if n.machine == nil {
		c.after(redial, func() { c.next(cl) }) // refused: nothing was asked
		return
	}
	cl.busy = true
	rest := func(*Op) {
		cl.busy = false
		c.after(c.think(), func() { c.next(cl) })
	}
	if c.opts.Dialogs != nil {
		c.issued++
		c.talk(cl, n, c.opts.Dialogs(c.ask, c.issued), rest)
		return
	}
	req := protocol.Request{Object: "session", F: "open"}
	if !c.opts.Sessions || cl.session != 0 {
		c.issued++
		req = c.opts.Generate(c.ask, c.issued)
	}
	c.operate(cl, n, req, false, rest)
}

// operate performs one operation of the client, with repetitions if it has a
// session, and calls then when it has ended.
func (c *Cluster) operate(
	cl *client, n *Node, req protocol.Request, pinned bool, then func(*Op),
) {
	opening := req.Object == "session"
	if c.opts.Sessions && !opening {
		cl.seq++
		req.Session, req.Seq = cl.session, cl.seq
	}
	op := &Op{Process: cl.process, Request: req, Invoke: c.now}
	c.ops = append(c.ops, op)
	maybe := false // an earlier attempt may have had an effect
	attempts := 1
	if req.Session != 0 {
		attempts += c.ask.IntN(4)
	}
	var attempt func(n *Node)
	attempt = func(n *Node) {
		attempts--
		c.call(op, n, func(rep protocol.Reply) {
			switch {
			case rep.Outcome == protocol.OK, rep.Outcome == protocol.Fail && decided(rep.Code):
				// The state machine has spoken, for all attempts.
			case attempts > 0 && rep.Outcome != protocol.OK:
				maybe = maybe || rep.Outcome == protocol.Unknown
				if !pinned {
					n = c.nodes[c.ask.IntN(len(c.nodes))]
				}
				c.after(c.think(), func() { attempt(n) })
				return
			case maybe:
				rep.Outcome = protocol.Unknown
			}
			c.finish(cl, op, rep)
			then(op)
		})
	}
	attempt(n)
}

// decided reports whether a failure is the object's answer, the same for every
// attempt of a command, and not that of a node which could not serve it.
func decided(code string) bool { return code == "precondition-failed" || code == "empty" }

// finish records the end of an operation.
func (c *Cluster) finish(cl *client, op *Op, rep protocol.Reply) {
	op.Done, op.Return = true, c.now
	op.Outcome, op.Value, op.Code, op.Token = rep.Outcome, rep.Value, rep.Code, rep.Token
	c.note(Event{Kind: Return, Node: op.Node, Op: op})
	if op.Request.Object == "session" {
		if rep.Outcome == protocol.OK {
			id, err := strconv.ParseUint(rep.Value, 10, 64)
			if err != nil {
				c.fail(fmt.Errorf("session open: value %q is no session id", rep.Value))
			}
			cl.session, cl.seq = id, 0
		}
		return
	}
	if rep.Outcome != protocol.OK && !(rep.Outcome == protocol.Fail && decided(rep.Code)) {
		// What the session's table holds is not known: begin a new one. After
		// an unknown outcome the client is also a new process.
		cl.session, cl.seq = 0, 0
		if rep.Outcome == protocol.Unknown {
			cl.process += c.opts.Clients
		}
	}
}

// call submits the operation's request to a node and waits for the reply, the
// loss of the connection, or the client's timeout.
func (c *Cluster) call(op *Op, n *Node, done func(protocol.Reply)) {
	if n.machine == nil {
		done(protocol.Reply{Outcome: protocol.Fail, Code: "refused"})
		return
	}
	n.lastReq++
	at := Attempt{Node: n.id, Epoch: n.epoch, ID: n.lastReq}
	op.Node, op.Request.ID = n.id, at.ID
	op.Attempts = append(op.Attempts, at)
	ca := &call{op: op, node: n, epoch: n.epoch, done: done}
	c.calls[at] = ca
	n.calls = append(slices.DeleteFunc(n.calls, (*call).ended), ca)
	req := op.Request
	c.after(c.between(c.faults.MinDelay, c.faults.MaxDelay), func() {
		if n.machine != nil && n.epoch == ca.epoch {
			c.input(n, input{request: &req})
		}
	})
	c.after(c.opts.ClientTimeout, func() {
		ca.end(protocol.Reply{Outcome: protocol.Unknown, Code: "client-timeout"})
	})
}

// end tells the client, once.
func (ca *call) end(rep protocol.Reply) {
	if done := ca.done; done != nil {
		ca.done = nil
		done(rep)
	}
}

func (ca *call) ended() bool { return ca.done == nil }

// reply carries a machine's reply to its client.
func (c *Cluster) reply(n *Node, rep protocol.Reply) {
	c.note(Event{Kind: Answer, Node: n.id, Epoch: n.epoch, Reply: &rep})
	ca := c.calls[Attempt{Node: n.id, Epoch: n.epoch, ID: rep.ID}]
	switch {
	case ca == nil:
		c.fail(fmt.Errorf("%s: reply to request %d, which it never got", n.id, rep.ID))
		return
	case ca.answered:
		c.fail(fmt.Errorf("%s: second reply to request %d", n.id, rep.ID))
		return
	}
	ca.answered = true
	for i, w := range n.waiting {
		if w.id == rep.ID {
			n.waiting = append(n.waiting[:i], n.waiting[i+1:]...)
			break
		}
	}
	c.after(c.between(c.faults.MinDelay, c.faults.MaxDelay), func() { ca.end(rep) })
}

// disconnect ends the calls at a node that has crashed.
func (c *Cluster) disconnect(n *Node) {
	for _, ca := range n.calls {
		c.after(c.faults.MinDelay, func() {
			ca.end(protocol.Reply{Outcome: protocol.Unknown, Code: "connection-lost"})
		})
	}
	n.calls = nil
}

// quiesce heals everything as soon as the last operation was issued, lets what
// is pending end, and then asks every node and every key.
func (c *Cluster) quiesce() {
	if !c.healed {
		c.heal()
		c.after(c.opts.Recovery, func() { c.overdue() })
	}
	for _, cl := range c.clients {
		if cl.busy {
			return
		}
	}
	if c.final != nil {
		return
	}
	c.final = c.probes()
	c.open = len(c.final)
	for i := range c.clients {
		c.probeNext(c.clients[i])
	}
}

// probes are a new request and a read of every key used, at every node.
func (c *Cluster) probes() []probe {
	var keys []protocol.Request
	seen := map[[2]string]bool{}
	for _, op := range c.ops {
		id := [2]string{op.Request.Object, op.Request.Key}
		asked := op.Request.Object != "session" && op.Request.Object != "admin"
		if asked && !seen[id] && op.Request.F != "dequeue" {
			seen[id] = true
			keys = append(keys, protocol.Request{Object: id[0], F: "read", Key: id[1]})
		}
	}
	var ps []probe
	if c.opts.Dialogs != nil {
		return c.dialogProbes()
	}
	for _, n := range c.nodes {
		ps = append(ps, probe{node: n, req: func() protocol.Request {
			c.issued++
			return c.opts.Generate(c.ask, c.issued)
		}})
		for _, r := range keys {
			ps = append(ps, probe{node: n, req: func() protocol.Request { return r }})
		}
	}
	return ps
}

// probeNext lets a client take the next probe. The run ends with the last one.
func (c *Cluster) probeNext(cl *client) {
	if len(c.final) == 0 {
		c.done = c.done || c.open == 0
		return
	}
	p := c.final[0]
	c.final = c.final[1:]
	c.probe(cl, p)
}

func (c *Cluster) probe(cl *client, p probe) {
	if p.dialog != nil {
		c.probeDialog(cl, p)
		return
	}
	req := protocol.Request{Object: "session", F: "open"}
	if !c.opts.Sessions || cl.session != 0 {
		req = p.req()
	}
	c.operate(cl, p.node, req, true, func(op *Op) {
		opened := req.Object == "session"
		ok := op.Outcome == protocol.OK || op.Outcome == protocol.Fail && decided(op.Code)
		if opened || !ok {
			c.after(redial, func() { c.probe(cl, p) })
			return
		}
		c.open--
		c.probeNext(cl)
	})
}

// overdue ends a run whose cluster does not come back.
func (c *Cluster) overdue() {
	if c.done {
		return
	}
	for i := len(c.ops) - 1; i >= 0; i-- {
		op := c.ops[i]
		if !op.Done || op.Outcome != protocol.OK {
			c.fail(fmt.Errorf("not alive %v after all faults ended: %v", c.opts.Recovery, op))
			return
		}
	}
	c.fail(fmt.Errorf("not finished %v after all faults ended", c.opts.Recovery))
}
