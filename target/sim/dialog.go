package sim

import (
	"math/rand/v2"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Dialog is a client's side of several requests that belong together, such as
// those of a transaction. They go to one node, one after the other.
type Dialog interface {
	// Next returns the next request, or false when the dialog is over. last is
	// the operation that ended just now, nil at first.
	Next(rng *rand.Rand, last *Op) (protocol.Request, bool)
}

// talk lets the client conduct a dialog with a node, and calls then with the last
// operation when it is over.
func (c *Cluster) talk(cl *client, n *Node, d Dialog, then func(last *Op)) {
	var next func(last *Op)
	next = func(last *Op) {
		req, more := d.Next(c.ask, last)
		if !more {
			then(last)
			return
		}
		c.operate(cl, n, req, true, func(op *Op) { c.after(c.think(), func() { next(op) }) })
	}
	next(nil)
}

// dialogProbes are a new dialog and the final ones, at every node.
func (c *Cluster) dialogProbes() []probe {
	var final []func() Dialog
	if c.opts.Final != nil {
		final = c.opts.Final(c)
	}
	var ps []probe
	for _, n := range c.nodes {
		ps = append(ps, probe{node: n, dialog: func() Dialog {
			c.issued++
			return c.opts.Dialogs(c.ask, c.issued)
		}})
		for _, d := range final {
			ps = append(ps, probe{node: n, dialog: d})
		}
	}
	return ps
}

// probeDialog repeats a dialog until its last operation is ok.
func (c *Cluster) probeDialog(cl *client, p probe) {
	c.talk(cl, p.node, p.dialog(), func(last *Op) {
		if last == nil || last.Outcome != protocol.OK {
			c.after(redial, func() { c.probe(cl, p) })
			return
		}
		c.open--
		c.probeNext(cl)
	})
}
