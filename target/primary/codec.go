package primary

import (
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
	kindSurvey
	kindSurveyAnswer
	kindNewView
	kindJoined
	kindFetch
	kindFetched
	kindRefusal
	kindReplicate
	kindLogged
	kindStatePart
	kindCommand
	kindRead
	kindAnswer
	kindHandOver
	kindTakeOver
)

// batchBytes is how many bytes of commands or data are put into one message, so
// that it stays below protocol.MaxPayload with everything around them.
const batchBytes = 48_000

// survey asks whether the receiver misses the primary, too.
type survey struct {
	_      struct{} `cbor:",toarray"`
	Token  uint64
	Commit uint64
}

type surveyAnswer struct {
	_       struct{} `cbor:",toarray"`
	Token   uint64
	Granted bool
	View    View
}

// newView asks the receiver to join a view of the sender's.
type newView struct {
	_    struct{} `cbor:",toarray"`
	View View
	// Sanctioned tells that the primary itself wants it.
	Sanctioned bool
}

// joined tells that the sender has joined the view, and how its log ends.
type joined struct {
	_    struct{} `cbor:",toarray"`
	View View
	Log  end
}

// fetch asks for the log behind entry Prev.
type fetch struct {
	_    struct{} `cbor:",toarray"`
	View View
	Prev uint64
}

type fetched struct {
	_         struct{} `cbor:",toarray"`
	View      View
	Prev      uint64
	Entries   []entry
	Done      bool // the log ends here
	Forgotten bool // it does not go back that far
}

// refusal tells that the sender has joined a greater view.
type refusal struct {
	_            struct{} `cbor:",toarray"`
	View, Joined View
}

// replicate brings the entries behind Prev, which is of view PrevView, and tells how
// much is committed. Without entries it only says that the primary is there.
type replicate struct {
	_        struct{} `cbor:",toarray"`
	View     View
	Nonce    uint64
	Sent     protocol.Time // by the primary's own clock, for itself
	Commit   uint64
	Prev     uint64
	PrevView View
	Entries  []entry
}

// logged answers replicate and statePart: up to entry Matched the log is durable and
// the primary's.
type logged struct {
	_       struct{} `cbor:",toarray"`
	View    View
	Nonce   uint64
	Sent    protocol.Time
	Matched uint64
	// Want is the first entry that is missing, 0 if none is.
	Want  uint64
	State have
}

// statePart is a piece of the primary's state.
type statePart struct {
	_     struct{} `cbor:",toarray"`
	View  View
	Index end    // the entry as of which the state is
	Sum   uint32 // CRC32C of the whole
	Parts int    // how many there are
	Part  int    // which one this is, from 0
	Data  []byte
}

// command hands a client's command to the primary.
type command struct {
	_       struct{} `cbor:",toarray"`
	Command kv.Command
}

// read hands a client's read to the primary. Without Object it asks how much has
// been applied.
type read struct {
	_           struct{} `cbor:",toarray"`
	Epoch       protocol.Epoch
	N, Ask      uint64
	Object, Key string
}

// answer is a part of the reply to request N of the receiver in that epoch. Ask is
// that of the read; Seq is the entry of the command, or how much the read has seen.
type answer struct {
	_           struct{} `cbor:",toarray"`
	Epoch       protocol.Epoch
	N, Ask      uint64
	Seq         uint64
	Part, Parts int
	Outcome     protocol.Outcome
	Value       string
	Code        string
	Error       string
}

// handOver hands an operator's wish to the primary: that a member take over.
type handOver struct {
	_      struct{} `cbor:",toarray"`
	Target int
}

// takeOver asks the receiver to take over from the primary of the view.
type takeOver struct {
	_    struct{} `cbor:",toarray"`
	View View
}

// encode makes a payload. A body that cannot be encoded, or not in one datagram, is
// a bug here.
func encode(k msgKind, body any) []byte {
	b, err := cbor.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("primary: encode %T: %v", body, err))
	}
	if len(b) >= protocol.MaxPayload {
		panic(fmt.Sprintf("primary: %T of %d bytes does not fit a datagram", body, len(b)))
	}
	return append([]byte{byte(k)}, b...)
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
	case kindSurvey:
		return new(survey)
	case kindSurveyAnswer:
		return new(surveyAnswer)
	case kindNewView:
		return new(newView)
	case kindJoined:
		return new(joined)
	case kindFetch:
		return new(fetch)
	case kindFetched:
		return new(fetched)
	case kindRefusal:
		return new(refusal)
	case kindReplicate:
		return new(replicate)
	case kindLogged:
		return new(logged)
	case kindStatePart:
		return new(statePart)
	case kindCommand:
		return new(command)
	case kindRead:
		return new(read)
	case kindAnswer:
		return new(answer)
	case kindHandOver:
		return new(handOver)
	case kindTakeOver:
		return new(takeOver)
	default:
		return nil
	}
}

// codec decodes messages, records and checkpoints. Strings are bytes to the
// protocol: a key that is not UTF-8 must not stop the log.
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
