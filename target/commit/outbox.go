package commit

import "github.com/ordeal-dev/ordeal/target/protocol"

// outbox gathers what the parts of a machine want done until the next Ready.
type outbox struct {
	self    protocol.NodeID
	epoch   protocol.Epoch
	records [][]byte
	msgs    []protocol.Message
	replies []protocol.Reply
	// loop are messages to this node itself. They are handled before the Ready is
	// over, so what they bring about leaves with the same records.
	loop []any
}

func (o *outbox) send(to protocol.NodeID, k msgKind, body any) {
	if to == o.self {
		o.loop = append(o.loop, body)
		return
	}
	o.post(to, encode(k, body))
}

func (o *outbox) post(to protocol.NodeID, payload []byte) {
	o.msgs = append(o.msgs, protocol.Message{
		From: o.self, To: to, Epoch: o.epoch, Payload: payload,
	})
}

func (o *outbox) persist(part byte, record []byte) {
	o.records = append(o.records, append([]byte{part}, record...))
}
