package commit

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// A payload, and a record as well, is one byte for the part of the machine that
// it belongs to, and what that part wrote. The shards' payload is one byte for
// the kind, then the body in CBOR.
const (
	partGroup  = byte('g')
	partShards = byte('s')
	partTerms  = byte('t') // records only
)

type msgKind byte

const (
	kindOperate msgKind = iota + 1
	kindAnswer
	kindPrepare
	kindVote
	kindDecision
	kindAck
	kindInquiry
	kindStanding
	kindElect
	kindState
	kindAttempt
	kindAttempted
	kindRefusal
	kindForget
)

// resultBytes bounds what the results in one message add up to, so that it stays
// below protocol.MaxPayload.
const resultBytes = 48_000

// operate asks a shard to carry out one operation of an open transaction.
type operate struct {
	_ struct{} `cbor:",toarray"`
	T TxnID
	// Session is the line of transactions at the home that T belongs to; one at
	// a time in each. Only a planted bug looks at it.
	Session uint64
	// Low is the lowest number of the home's epoch that is not over.
	Low uint64
	// ShardEpoch is the life of the shard in which T began there, 0 if it is new.
	// A shard that restarted has forgotten what was not prepared.
	ShardEpoch protocol.Epoch
	// Number is unique in the home's epoch.
	Number uint64
	Op     operation
	// First is set for the first operation of T: it holds no lock anywhere.
	First bool
}

// answer is the result of the operation with the number.
type answer struct {
	_      struct{} `cbor:",toarray"`
	T      TxnID
	Number uint64
	Result kv.Result
}

// prepare asks a shard to vote. Ops are carried out before: a transaction that
// is one request sends all of its operations with it.
type prepare struct {
	_ struct{} `cbor:",toarray"`
	T TxnID
	// Age is T's number, or that of the first attempt.
	Age          uint64
	Low          uint64
	ShardEpoch   protocol.Epoch
	Ops          []operation
	Participants []protocol.NodeID
	// Once is set for a single read: nothing is to be decided.
	Once bool
}

// vote answers prepare. Results are those of the operations that came with it; Why
// says why not.
type vote struct {
	_       struct{} `cbor:",toarray"`
	T       TxnID
	Yes     bool
	Results []kv.Result
	Why     kv.Result
}

// decision tells a shard the outcome.
type decision struct {
	_      struct{} `cbor:",toarray"`
	T      TxnID
	Commit bool
}

// ack says that the outcome is durable at the shard.
type ack struct {
	_ struct{} `cbor:",toarray"`
	T TxnID
}

// inquiry asks the home what became of the transaction.
type inquiry struct {
	_ struct{} `cbor:",toarray"`
	T TxnID
}

// standing answers inquiry while there is no outcome: the home is still at it,
// or does not know the transaction.
type standing struct {
	_     struct{} `cbor:",toarray"`
	T     TxnID
	Known bool
}

func newBody(k msgKind) any {
	switch k {
	case kindOperate:
		return new(operate)
	case kindAnswer:
		return new(answer)
	case kindPrepare:
		return new(prepare)
	case kindVote:
		return new(vote)
	case kindDecision:
		return new(decision)
	case kindAck:
		return new(ack)
	case kindInquiry:
		return new(inquiry)
	case kindStanding:
		return new(standing)
	default:
		return newTermsBody(k)
	}
}

func newTermsBody(k msgKind) any {
	switch k {
	case kindElect:
		return new(elect)
	case kindState:
		return new(state)
	case kindAttempt:
		return new(attempt)
	case kindAttempted:
		return new(attempted)
	case kindRefusal:
		return new(refusal)
	case kindForget:
		return new(forget)
	default:
		return nil
	}
}

// encode makes a payload. A body that cannot be encoded, or not in one datagram,
// is a bug here.
func encode(k msgKind, body any) []byte {
	b := mustMarshal(body)
	if len(b) > protocol.MaxPayload-2 {
		panic(fmt.Sprintf("commit: %T of %d bytes does not fit a datagram", body, len(b)))
	}
	return append([]byte{partShards, byte(k)}, b...)
}

func mustMarshal(v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("commit: encode %T: %v", v, err)) // our types all encode
	}
	return b
}

// codec decodes messages, records and checkpoints. Strings are bytes to the
// protocol, UTF-8 or not.
type codec struct{ mode cbor.DecMode }

func newCodec() (codec, error) {
	mode, err := cbor.DecOptions{
		UTF8: cbor.UTF8DecodeInvalid, MaxArrayElements: 1 << 30, MaxNestedLevels: 16,
	}.DecMode()
	if err != nil {
		return codec{}, fmt.Errorf("make decoder: %w", err)
	}
	return codec{mode: mode}, nil
}

// decode takes a payload of the shards apart. It never panics.
func (c codec) decode(p []byte) (any, error) {
	if len(p) < 2 || p[0] != partShards {
		return nil, errors.New("decode message: too short, or not the shards'")
	}
	body := newBody(msgKind(p[1]))
	if body == nil {
		return nil, fmt.Errorf("decode message: kind %d is unknown", p[1])
	}
	if err := c.mode.Unmarshal(p[2:], body); err != nil {
		return nil, fmt.Errorf("decode %T: %w", body, err)
	}
	return body, nil
}
