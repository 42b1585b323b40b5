package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// link is one direction between two nodes.
type link struct {
	cuts int     // faults that cut it at present
	loss float64 // probability of loss, beside that of Faults
}

// send puts a message on its way. What the network does to it is decided here;
// a message in flight cannot be called back, and arrives even if the link is cut
// meanwhile.
func (c *Cluster) send(n *Node, m protocol.Message) {
	to := slices.Index(n.members, m.To)
	switch {
	case to < 0:
		c.fail(fmt.Errorf("%s: message to %q, who is no member", n.id, m.To))
		return
	case m.From != "" && m.From != n.id:
		c.fail(fmt.Errorf("%s: message in the name of %s", n.id, m.From))
		return
	case len(m.Payload) > protocol.MaxPayload:
		c.fail(fmt.Errorf("%s: payload of %d bytes does not fit", n.id, len(m.Payload)))
		return
	}
	m.From, m.Epoch, m.Payload = n.id, n.epoch, slices.Clone(m.Payload)
	c.note(Event{Kind: Send, Node: n.id, Peer: m.To, Payload: m.Payload})
	if to == n.index {
		c.arrive(to, m, c.between(0, c.faults.MinDelay))
		return
	}
	if why := c.lost(c.links[n.index][to]); why != "" {
		c.note(Event{Kind: Drop, Node: n.id, Peer: m.To, Payload: m.Payload, Text: why})
		return
	}
	c.arrive(to, m, c.delay())
	for c.happens(c.faults.Duplicate) {
		c.arrive(to, m, c.delay())
	}
	if c.happens(c.faults.Replay) {
		c.arrive(to, m, c.between(time.Second, 6*time.Second))
	}
}

func (c *Cluster) lost(l link) string {
	switch {
	case l.cuts > 0:
		return "cut"
	case c.happens(c.faults.Loss), c.happens(l.loss):
		return "lost"
	case c.happens(c.faults.Corrupt):
		return "corrupt" // the envelope's checksum finds it
	default:
		return ""
	}
}

func (c *Cluster) delay() time.Duration {
	d := c.between(c.faults.MinDelay, c.faults.MaxDelay)
	if c.happens(c.faults.Reorder) {
		d += c.between(0, 300*time.Millisecond)
	}
	return d
}

func (c *Cluster) arrive(to int, m protocol.Message, d time.Duration) {
	c.after(d, func() { c.input(c.nodes[to], input{message: &m}) })
}
