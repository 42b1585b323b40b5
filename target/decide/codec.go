package decide

import (
	"fmt"
	"maps"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// kind says what a message is.
type kind uint8

const (
	kindPrepare kind = iota + 1 // phase 1a: take part in this ballot
	kindPromise                 // phase 1b: I do, and this is my last vote
	kindAccept                  // phase 2a: vote for this value
	kindVoted                   // phase 2b, to all learners: I have
	kindNack                    // no, for I have promised a greater ballot
	kindEnd
)

var kindNames = [kindEnd]string{"", "prepare", "promise", "accept", "voted", "nack"}

// String returns the kind in lower case.
func (k kind) String() string { return kindNames[k] }

// message is what the nodes tell each other. Ballot is the one that it belongs
// to, also in an answer.
type message struct {
	_        struct{} `cbor:",toarray"`
	Kind     kind
	Instance string
	Ballot   Ballot
	Vote     Vote   // of promise, accept and voted
	Promised Ballot // of nack
}

// record is what an acceptor writes whenever it changes, and an entry of a
// checkpoint.
type record struct {
	_        struct{} `cbor:",toarray"`
	Instance string
	Acceptor acceptor
}

// encode never fails for the types above: they have no values that CBOR lacks.
func encode(v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("decide: encode %T: %v", v, err))
	}
	return b
}

func encodeRecord(instance string, a acceptor) []byte {
	return encode(record{Instance: instance, Acceptor: a})
}

// checkpoint has all acceptors, in the order of their instances.
func (m *Machine) checkpoint() []byte {
	all := make([]record, 0, len(m.acceptors))
	for _, instance := range slices.Sorted(maps.Keys(m.acceptors)) {
		all = append(all, record{Instance: instance, Acceptor: m.durable(m.acceptors[instance])})
	}
	return encode(all)
}

// codec decodes. Strings are bytes to the protocol.
type codec struct{ mode cbor.DecMode }

func newCodec() (*codec, error) {
	mode, err := cbor.DecOptions{
		UTF8: cbor.UTF8DecodeInvalid, MaxArrayElements: 1 << 30, MaxNestedLevels: 16,
	}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return &codec{mode: mode}, nil
}

func (c *codec) decodeMessage(b []byte) (message, error) {
	var w message
	if err := c.mode.Unmarshal(b, &w); err != nil {
		return message{}, fmt.Errorf("decode message: %w", err)
	}
	if w.Kind == 0 || w.Kind >= kindEnd {
		return message{}, fmt.Errorf("decode message: kind %d is unknown", w.Kind)
	}
	return w, nil
}

func (c *codec) decodeRecord(b []byte) (record, error) {
	var r record
	if err := c.mode.Unmarshal(b, &r); err != nil {
		return record{}, fmt.Errorf("decode record: %w", err)
	}
	return r, nil
}

// decodeCheckpoint adds a checkpoint's acceptors to the map. nil is the empty one.
func (c *codec) decodeCheckpoint(b []byte, into map[string]acceptor) error {
	if b == nil {
		return nil
	}
	var all []record
	if err := c.mode.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("decode checkpoint: %w", err)
	}
	for _, r := range all {
		into[r.Instance] = r.Acceptor
	}
	return nil
}

// Describe prints a payload for people: traces and tests.
func Describe(payload []byte) string {
	c, err := newCodec()
	if err != nil {
		return err.Error()
	}
	w, err := c.decodeMessage(payload)
	if err != nil {
		return fmt.Sprintf("malformed %x", payload)
	}
	s := fmt.Sprintf("%v %s %v", w.Kind, w.Instance, w.Ballot)
	switch w.Kind {
	case kindPromise:
		return fmt.Sprintf("%s last %v", s, w.Vote)
	case kindAccept, kindVoted:
		return s + " " + w.Vote.Value
	case kindNack:
		return fmt.Sprintf("%s, promised %v", s, w.Promised)
	default:
		return s
	}
}
