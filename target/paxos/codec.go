package paxos

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/mesh"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// A payload is one byte for the kind, then the body in CBOR.
type msgKind byte

const (
	kindPing msgKind = iota + 1
	kindPreVote
	kindPreVoteAnswer
	kindPrepare
	kindPromise
	kindAccept
	kindAccepted
	kindNack
	kindHeartbeat
	kindHeartbeatAnswer
	kindForward
	kindForwardAnswer
	kindRead
	kindReadAnswer
	kindLearn
	kindSnapshotPart
	kindProgress
	kindTransfer
	kindOrder
)

// batchBytes is how many bytes of commands or data are put into one message, so
// that it stays below protocol.MaxPayload with everything around them.
const batchBytes = 48_000

// preVote asks whether the receiver would help to elect the sender.
type preVote struct {
	_      struct{} `cbor:",toarray"`
	Token  uint64
	Commit uint64
}

type preVoteAnswer struct {
	_        struct{} `cbor:",toarray"`
	Token    uint64
	Granted  bool
	Promised Ballot
}

// prepare is phase 1a, for all slots from From on. Later parts of an answer
// that does not fit one datagram are asked for by a greater From.
type prepare struct {
	_      struct{} `cbor:",toarray"`
	Ballot Ballot
	From   uint64
	// Transfer tells that the leader itself asked the sender to take over.
	Transfer bool
}

// promise is phase 1b: the votes in the slots From to To, and no vote anywhere
// in this range is left out. The last part reaches to the end of the log.
type promise struct {
	_        struct{} `cbor:",toarray"`
	Ballot   Ballot
	From, To uint64
	Last     bool
	// Base is the greatest slot that the acceptor has compacted.
	Base  uint64
	Votes []vote
}

// vote is what an acceptor knows about a slot.
type vote struct {
	_       struct{} `cbor:",toarray"`
	Slot    uint64
	Ballot  Ballot
	Chosen  bool
	Command kv.Command
}

// proposal is a command for a slot; the ballot stands beside it.
type proposal struct {
	_       struct{} `cbor:",toarray"`
	Slot    uint64
	Command kv.Command
}

// accept is phase 2a for several slots, and tells the commit index.
type accept struct {
	_         struct{} `cbor:",toarray"`
	Ballot    Ballot
	Commit    uint64
	Proposals []proposal
	// Stamp, if not zero, is what the votes are recorded under, which only a planted
	// bug wants.
	Stamp Ballot
}

// accepted is phase 2b.
type accepted struct {
	_      struct{} `cbor:",toarray"`
	Ballot Ballot
	Slots  []uint64
}

// nack refuses a ballot.
type nack struct {
	_                struct{} `cbor:",toarray"`
	Ballot, Promised Ballot
}

// heartbeat asserts leadership. Its nonce was never used before in this ballot;
// Sent is the leader's own clock, for itself. The rest is about leases, see
// leases.go: Asked is Sent on the clock that leases go by; a leader that has given
// its lease up says Released and asks for no more.
type heartbeat struct {
	_      struct{} `cbor:",toarray"`
	Ballot Ballot
	Nonce  uint64
	Commit uint64
	Sent   protocol.Time

	// Context is the number of a read, which only a planted bug needs.
	Context  uint64
	Asked    protocol.Time
	Released bool
	Renewals []renewal // by member; none where there are no leases
}

// renewal asks a member to promise until a moment of its own clock; the zero
// renewal asks for nothing.
type renewal struct {
	_ struct{} `cbor:",toarray"`
	// Epoch is the life of the member whose clock it is.
	Epoch protocol.Epoch
	Until protocol.Time
	// Base is when the request was sent from which the leader counts.
	Base protocol.Time
}

type heartbeatAnswer struct {
	_      struct{} `cbor:",toarray"`
	Ballot Ballot
	Nonce  uint64
	// LeaderCommit and Sent are those of the heartbeat.
	LeaderCommit uint64
	Sent         protocol.Time
	Have         have

	// Clock is the sender's own clock, Asked the heartbeat's. A promise was made
	// if Granted, and Base is that of its renewal.
	Asked, Clock protocol.Time
	Granted      bool
	Base         protocol.Time
	// Context is the heartbeat's.
	Context uint64
}

// have tells how far a follower has come.
type have struct {
	_      struct{} `cbor:",toarray"`
	Commit uint64
	// Snapshot is the index of the snapshot being received, Part the first
	// part of it that is missing.
	Snapshot uint64
	Part     int
}

// forward hands a command to the leader.
type forward struct {
	_       struct{} `cbor:",toarray"`
	Command kv.Command
}

// forwardAnswer is the reply to the command that the receiver numbered N.
type forwardAnswer struct {
	_      struct{} `cbor:",toarray"`
	Origin kv.Origin
	Result kv.Result
}

// read asks the leader for a read index; the token is never used again.
type read struct {
	_     struct{} `cbor:",toarray"`
	Token uint64
}

type readAnswer struct {
	_     struct{} `cbor:",toarray"`
	Token uint64
	Index uint64
	// Ballot and Commit let the receiver find out what is chosen.
	Ballot Ballot
	Commit uint64
}

// learn tells chosen commands.
type learn struct {
	_         struct{} `cbor:",toarray"`
	Proposals []proposal
	// More tells that another message follows at once; only the last of them
	// is answered.
	More bool
}

// snapshotPart is a piece of a snapshot.
type snapshotPart struct {
	_     struct{} `cbor:",toarray"`
	Index uint64   // the slot as of which the snapshot is
	Parts int      // how many there are
	Part  int      // which one this is, from 0
	Sum   uint32   // CRC32C of the whole
	More  bool     // as in learn
	Data  []byte
}

// progress answers learn and snapshotPart.
type progress struct {
	_    struct{} `cbor:",toarray"`
	Have have
}

// transfer asks the receiver to take over from the leader of the ballot.
type transfer struct {
	_      struct{} `cbor:",toarray"`
	Ballot Ballot
}

// order hands what an operator wants to the leader.
type order struct {
	_         struct{} `cbor:",toarray"`
	F, Target string
}

// encode makes a payload. A body that cannot be encoded, or not in one
// datagram, is a bug here.
func (c *codec) encode(k msgKind, body any) []byte {
	c.buf.Reset()
	c.buf.WriteByte(byte(k))
	if err := c.out.MarshalToBuffer(body, &c.buf); err != nil {
		panic(fmt.Sprintf("paxos: encode %T: %v", body, err))
	}
	if l := c.buf.Len(); l > protocol.MaxPayload {
		panic(fmt.Sprintf("paxos: %T of %d bytes does not fit a datagram", body, l-1))
	}
	return bytes.Clone(c.buf.Bytes())
}

// decode takes a payload apart. It never panics, whatever it is given.
func (c *codec) decode(p []byte) (any, error) {
	if len(p) == 0 {
		return nil, errors.New("decode message: empty")
	}
	body := newBody(msgKind(p[0]))
	if body == nil {
		return nil, fmt.Errorf("decode message: kind %d is unknown", p[0])
	}
	if err := c.mode.Unmarshal(p[1:], body); err != nil {
		return nil, fmt.Errorf("decode %T: %w", body, err)
	}
	return body, nil
}

func newBody(k msgKind) any {
	switch k {
	case kindPing:
		return new(mesh.Ping)
	case kindPreVote:
		return new(preVote)
	case kindPreVoteAnswer:
		return new(preVoteAnswer)
	case kindPrepare:
		return new(prepare)
	case kindPromise:
		return new(promise)
	case kindAccept:
		return new(accept)
	case kindAccepted:
		return new(accepted)
	case kindNack:
		return new(nack)
	case kindHeartbeat:
		return new(heartbeat)
	case kindHeartbeatAnswer:
		return new(heartbeatAnswer)
	case kindForward:
		return new(forward)
	case kindForwardAnswer:
		return new(forwardAnswer)
	case kindRead:
		return new(read)
	case kindReadAnswer:
		return new(readAnswer)
	case kindLearn:
		return new(learn)
	case kindSnapshotPart:
		return new(snapshotPart)
	case kindProgress:
		return new(progress)
	case kindTransfer:
		return new(transfer)
	case kindOrder:
		return new(order)
	default:
		return newMendBody(k)
	}
}

// codec encodes messages and decodes them, records and checkpoints. Strings are bytes to
// the protocol: a key that is not UTF-8 must not stop the log.
type codec struct {
	mode cbor.DecMode
	out  cbor.UserBufferEncMode
	buf  bytes.Buffer // of the message that is being encoded
}

func newCodec() (*codec, error) {
	mode, err := cbor.DecOptions{
		UTF8: cbor.UTF8DecodeInvalid, MaxArrayElements: 1 << 30, MaxNestedLevels: 16,
	}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	out, err := cbor.EncOptions{}.UserBufferEncMode()
	if err != nil {
		return nil, fmt.Errorf("make encoder: %w", err)
	}
	return &codec{mode: mode, out: out}, nil
}
