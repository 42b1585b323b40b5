package mvcc

import (
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// client is what the database remembers of a relay, so that no request of it is
// executed twice. It does not survive the life of the database, and need not: a
// request is meant for one.
type client struct {
	epoch protocol.Epoch
	low   uint64
	// replies are encoded; nil while the request is under way.
	replies map[uint64][]byte
}

// Step handles a relay's message.
func (s *server) Step(now protocol.Time, m protocol.Message) {
	s.clock.advance(now)
	w, err := decodeWire(m.Payload)
	if err != nil || !slices.Contains(s.cfg.Members, m.From) || m.From == s.cfg.Self {
		return // corruption is loss
	}
	switch {
	case w.Kind == kindHello, w.Kind == kindAsk && w.Database != s.cfg.Epoch:
		// Whatever the request is, an earlier life of this node may have executed
		// it, and this one cannot know.
		s.send(m.From, wire{Kind: kindHere, Database: s.cfg.Epoch, Relay: w.Relay})
	case w.Kind == kindAsk:
		s.serve(m.From, w)
	}
}

// serve executes a relay's request, unless it has been: then it answers again.
func (s *server) serve(from protocol.NodeID, w wire) {
	c := s.relays[from]
	if c == nil || c.epoch < w.Relay {
		c = &client{epoch: w.Relay, replies: map[uint64][]byte{}}
		s.relays[from] = c
	}
	if w.Relay < c.epoch || w.ID < c.low {
		return // late: its relay has restarted, or has given it up
	}
	if w.Low > c.low {
		c.low = w.Low
		maps.DeleteFunc(c.replies, func(id uint64, _ []byte) bool { return id < c.low })
	}
	b, known := c.replies[w.ID]
	if known && !s.cfg.Bugs.Has(bug.NoDedup) {
		if b != nil {
			s.answer(from, w, b)
		}
		return
	}
	// Planted otherwise: the table is written, but not asked.
	c.replies[w.ID] = nil
	s.handle(protocol.Request{
		Object: w.Object, F: w.F, Key: w.Key, Value: w.Value, Txn: w.Txn,
	}, func(res kv.Result) {
		b := encode(answer{Outcome: res.Outcome, Value: res.Value, Code: res.Code, Error: res.Error})
		if _, wanted := c.replies[w.ID]; wanted {
			c.replies[w.ID] = b
		}
		s.answer(from, w, b)
	})
}

// answer sends an encoded reply, in as many datagrams as it takes.
func (s *server) answer(to protocol.NodeID, ask wire, b []byte) {
	chunks := slices.Collect(slices.Chunk(b, chunkBytes))
	for i, chunk := range chunks {
		s.send(to, wire{
			Kind: kindAnswer, Relay: ask.Relay, Database: s.cfg.Epoch, ID: ask.ID,
			Part: i, Parts: len(chunks), Chunk: chunk,
		})
	}
}

func (s *server) send(to protocol.NodeID, w wire) {
	s.out.Messages = append(s.out.Messages, protocol.Message{
		From: s.cfg.Self, To: to, Epoch: s.cfg.Epoch, Payload: encode(w),
	})
}
