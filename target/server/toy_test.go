package server

import (
	"encoding/json"
	"maps"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// toy is a protocol that is good enough to test what runs it: a register that is
// written at all nodes and read at one. It repeats nothing, so that one lost
// message is one unknown outcome.
type toy struct {
	cfg     protocol.Config
	now     protocol.Time
	values  map[string]string
	pending map[protocol.RequestID]*toyWrite
	written int
	ready   protocol.Ready
}

type toyWrite struct {
	deadline protocol.Time
	missing  map[protocol.NodeID]bool
}

type toyMessage struct {
	ID         protocol.RequestID
	Key, Value string
	Ack        bool
}

// toyCheckpointEvery writes.
const toyCheckpointEvery = 4

func newToy(cfg protocol.Config) (protocol.Machine, error) {
	m := &toy{
		cfg: cfg, values: map[string]string{},
		pending: map[protocol.RequestID]*toyWrite{},
	}
	if cfg.Checkpoint != nil {
		if err := json.Unmarshal(cfg.Checkpoint, &m.values); err != nil {
			return nil, err
		}
	}
	for _, r := range cfg.Records {
		var w toyMessage
		if err := json.Unmarshal(r, &w); err != nil {
			return nil, err
		}
		m.values[w.Key] = w.Value
	}
	return m, nil
}

func (m *toy) Submit(now protocol.Time, r protocol.Request) {
	m.now = now
	reply := protocol.Reply{ID: r.ID}
	switch r.Object + " " + r.F {
	case "register write":
		m.write(r)
		return
	case "register read":
		reply.Value = m.values[r.Key]
	case "register hang":
		m.pending[r.ID] = &toyWrite{deadline: now + m.cfg.RequestTimeout}
		return
	case "register self":
		m.send(m.cfg.Self, toyMessage{ID: r.ID, Ack: true})
		m.pending[r.ID] = m.wait([]protocol.NodeID{m.cfg.Self})
		return
	case "register junk":
		reply.Value = "{"
	case "session open":
		reply.Value = "7"
	default:
		reply.Outcome, reply.Code = protocol.Fail, "not-supported"
	}
	m.ready.Replies = append(m.ready.Replies, reply)
}

func (m *toy) wait(nodes []protocol.NodeID) *toyWrite {
	w := &toyWrite{
		deadline: m.now + m.cfg.RequestTimeout, missing: map[protocol.NodeID]bool{},
	}
	for _, id := range nodes {
		w.missing[id] = true
	}
	return w
}

func (m *toy) write(r protocol.Request) {
	op := toyMessage{ID: r.ID, Key: r.Key, Value: r.Value}
	m.store(op)
	w := m.wait(m.cfg.Members)
	delete(w.missing, m.cfg.Self)
	m.pending[r.ID] = w
	for id := range w.missing {
		m.send(id, op)
	}
	m.finish(r.ID)
}

func (m *toy) store(op toyMessage) {
	m.values[op.Key] = op.Value
	m.ready.Records = append(m.ready.Records, encode(op))
	if m.written++; m.written%toyCheckpointEvery == 0 {
		m.ready.Checkpoint, m.ready.Records = encode(m.values), nil
	}
}

func (m *toy) send(to protocol.NodeID, msg toyMessage) {
	m.ready.Messages = append(m.ready.Messages, protocol.Message{
		From: m.cfg.Self, To: to, Epoch: m.cfg.Epoch, Payload: encode(msg),
	})
}

func (m *toy) Step(now protocol.Time, msg protocol.Message) {
	m.now = now
	var op toyMessage
	if json.Unmarshal(msg.Payload, &op) != nil {
		return
	}
	if !op.Ack {
		m.store(op)
		m.send(msg.From, toyMessage{ID: op.ID, Ack: true})
		return
	}
	if w, ok := m.pending[op.ID]; ok {
		delete(w.missing, msg.From)
		m.finish(op.ID)
	}
}

func (m *toy) finish(id protocol.RequestID) {
	if len(m.pending[id].missing) == 0 {
		delete(m.pending, id)
		m.ready.Replies = append(m.ready.Replies, protocol.Reply{ID: id})
	}
}

func (m *toy) Tick(now protocol.Time) {
	m.now = now
	maps.DeleteFunc(m.pending, func(id protocol.RequestID, w *toyWrite) bool {
		if now < w.deadline {
			return false
		}
		m.ready.Replies = append(m.ready.Replies, protocol.Reply{
			ID: id, Outcome: protocol.Unknown, Code: "timeout",
		})
		return true
	})
}

func (m *toy) Ready() protocol.Ready {
	r := m.ready
	m.ready = protocol.Ready{}
	return r
}

func (m *toy) Status() protocol.Status {
	return protocol.Status{
		Node: m.cfg.Self, Protocol: "toy", Role: "replica",
		Epoch: m.cfg.Epoch, Members: m.cfg.Members,
	}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
