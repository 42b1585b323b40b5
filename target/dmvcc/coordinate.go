package dmvcc

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// insistFor is how long a coordinator goes on after its client has given up.
const insistFor = 3000 * ms

// coordination distributes the operations of a number of this node.
type coordination struct {
	num Num
	ops []op
	// held are the operations that each node has durably.
	held map[protocol.NodeID]map[int]bool
	// refused: a node has fenced the number; it is for the others to close it.
	refused bool
	// deadline is the client's; from insistFor after it on nothing is sent.
	deadline     protocol.Time
	sent, closed protocol.Time // when the ops, and the entry, left last
	entered      bool
}

// coordinate begins to distribute a transaction that has got its number.
func (m *Machine) coordinate(k *task, t *txn) {
	c := &coordination{
		num: k.num, held: map[protocol.NodeID]map[int]bool{}, deadline: k.deadline,
	}
	keys := slices.Sorted(maps.Keys(t.writes))
	for i, key := range keys {
		c.ops = append(c.ops, op{
			Num: k.num, I: i, Total: len(keys), Key: key, Updates: t.writes[key],
		})
	}
	for _, id := range m.cfg.Members {
		c.held[id] = map[int]bool{}
	}
	m.coordinating[c.num] = c
	if m.gave != nil {
		m.gave(c.num, c.ops)
	}
	m.distribute(c)
}

// distribute sends every node the operations that it has not acknowledged. The
// node's own count at once: what follows from them leaves after their records.
func (m *Machine) distribute(c *coordination) {
	c.sent = m.now
	for i := range c.ops {
		o := &c.ops[i]
		for _, id := range m.cfg.Members {
			switch {
			case c.held[id][i]:
			case id == m.cfg.Self:
				if m.late(c.num) {
					c.refused = true // its own number came late, and is another's to close
					return
				}
				m.shard.hold(o, false)
				c.held[id][i] = true
			default:
				m.send(id, wire{Kind: kindOp, Epoch: m.cfg.Epoch, Num: c.num, Op: o})
			}
		}
	}
	m.enter(c)
}

func (m *Machine) onAnswer(c *coordination, from protocol.NodeID, w wire) {
	if w.Kind == kindRefused {
		c.refused = true
		return
	}
	c.held[from][w.I] = true
	m.enter(c)
}

// enter tells the group that the number is complete, when enough nodes have all.
func (m *Machine) enter(c *coordination) {
	var by []protocol.NodeID
	for _, id := range m.cfg.Members {
		if len(c.held[id]) == len(c.ops) {
			by = append(by, id)
		}
	}
	need := m.need()
	if m.cfg.Bugs.Has(bug.DMVPublishAfterFirstNode) {
		need = 1 // planted: the first node that has it
	}
	if len(by) < need || c.refused || c.entered && m.now-c.closed < repeatAfter {
		return
	}
	c.entered, c.closed = true, m.now
	m.close("complete", closing{Num: c.num, By: by, Mark: m.meta().with(c.num)})
}

// close makes an entry about a number. Whether it is the first one, the log says.
func (m *Machine) close(f string, c closing) {
	m.ask(f, marshal(c), func(rep protocol.Reply) {
		if rep.Outcome == protocol.OK {
			// Reading through the log brings this replica up to the entry, sooner
			// than the leader's next heartbeat would.
			m.ask("read", "", func(protocol.Reply) {})
		}
	})
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("dmvcc: " + err.Error()) // the types here all encode
	}
	return string(b)
}

// tickCoordinations sends again what has no answer, and lets go of what is closed
// or over.
func (m *Machine) tickCoordinations() {
	for _, n := range slices.Sorted(maps.Keys(m.coordinating)) {
		c := m.coordinating[n]
		all := true
		for _, id := range m.cfg.Members {
			all = all && len(c.held[id]) == len(c.ops)
		}
		fate := m.meta().fate(n)
		switch {
		case fate == aborted, fate == complete && all, m.now >= c.deadline+insistFor:
			delete(m.coordinating, n)
		case m.now-c.sent >= resendAfter && !c.refused:
			m.distribute(c)
		}
	}
}
