package dmvcc

import (
	"errors"
	"fmt"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/versions"
)

// Messages, records and checkpoints of the group and of the nodes travel together.
// The first byte tells them apart.
const (
	ofGroup byte = 'G'
	ofNode  byte = 'N'
)

func tagged(tag byte, b []byte) []byte { return append([]byte{tag}, b...) }

// op is one operation of a transaction: what it does to one key.
type op struct {
	_   struct{} `cbor:",toarray"`
	Num Num
	// I of Total operations of the number, from 0.
	I, Total int
	Key      string
	Updates  []versions.Update
}

func (o op) valid() bool {
	return o.Num > 0 && o.I >= 0 && o.I < o.Total && len(o.Updates) > 0
}

// record is what a node writes down: an operation, or the fence of a number.
type record struct {
	_     struct{} `cbor:",toarray"`
	Op    *op
	Fence Num
}

func decodeRecord(b []byte) (record, error) {
	var r record
	if err := decode(b, &r); err != nil {
		return r, err
	}
	if r.Op == nil && r.Fence == 0 || r.Op != nil && !r.Op.valid() {
		return r, errors.New("neither an operation nor a fence")
	}
	return r, nil
}

// image is a node's part of a checkpoint.
type image struct {
	_ struct{} `cbor:",toarray"`
	// Floor: the base has everything up to this number.
	Floor  Num
	Base   []baseImage
	Ops    []op
	Fences []Num
}

type baseImage struct {
	_   struct{} `cbor:",toarray"`
	Key string
	Num Num
	Put versions.Update
}

// checkpoint is a whole one: the group's last, what it has written since, and the
// node's.
type checkpoint struct {
	_       struct{} `cbor:",toarray"`
	Group   []byte
	Records [][]byte
	Node    image
}

// kind says what a node's message is.
type kind uint8

const (
	kindOp      kind = iota + 1 // hold this operation
	kindHave                    // it is held, durably
	kindRefused                 // the number is fenced here, or aborted
	kindFence                   // refuse what comes of the number from now on
	kindFenced                  // done; Whole if all of it had come before
	kindFetch                   // who has all of the number?
	kindFetched                 // an operation of it
	kindFull                    // everything up to the number is held here, nobody reads below
	kindRead                    // what does Key hold at snapshot Num?
	kindValue                   // Put, or nothing; and everything of Shards up to Num is held here
	kindEnd
)

// wire is a node's message. Which fields count depends on the kind.
type wire struct {
	_    struct{} `cbor:",toarray"`
	Kind kind
	// Epoch is the life of the coordinator that an operation belongs to, repeated
	// in the answer; of a read, that of the owner in which it is sure.
	Epoch protocol.Epoch
	Num   Num
	I     int
	Op    *op
	Whole bool
	// Txn and Key are those of a read, repeated in the answer. Sure says that the
	// questioner knows that everything up to Num is held.
	Txn  uint64
	Key  string
	Sure bool
	// Put is the value, nil for an absent one.
	Put    *versions.Update
	Shards shards
}

func decodeWire(b []byte) (wire, error) {
	var w wire
	if err := decode(b, &w); err != nil {
		return w, err
	}
	carries := w.Kind == kindOp || w.Kind == kindFetched
	if w.Kind == 0 || w.Kind >= kindEnd || carries != (w.Op != nil) || carries && !w.Op.valid() {
		return w, fmt.Errorf("malformed message of kind %d", w.Kind)
	}
	return w, nil
}

// value is what a kindValue carries.
func (w wire) value() versions.Value {
	var v versions.Value
	if w.Put != nil {
		v = v.Apply(*w.Put)
	}
	return v
}

// Describe prints a payload for people: traces and tests.
func Describe(payload []byte) string {
	if len(payload) == 0 || payload[0] != ofNode {
		return fmt.Sprintf("group, %d bytes", len(payload))
	}
	w, err := decodeWire(payload[1:])
	if err != nil {
		return fmt.Sprintf("%v %x", err, payload)
	}
	switch w.Kind {
	case kindOp, kindFetched:
		name := map[kind]string{kindOp: "op", kindFetched: "fetched"}[w.Kind]
		return fmt.Sprintf("%s %v", name, w.Op)
	case kindHave:
		return fmt.Sprintf("have %d.%d", w.Num, w.I)
	case kindFenced:
		return fmt.Sprintf("fenced %d whole=%v", w.Num, w.Whole)
	case kindRead:
		return fmt.Sprintf("read %s at %d sure=%v", w.Key, w.Num, w.Sure)
	case kindValue:
		return fmt.Sprintf("value of %s: %s, has %v up to %d", w.Key, w.value().Read(), w.Shards, w.Num)
	default:
		name := map[kind]string{
			kindRefused: "refused", kindFence: "fence", kindFetch: "fetch", kindFull: "full",
		}[w.Kind]
		return fmt.Sprintf("%s %d", name, w.Num)
	}
}

// String shows the operation in traces.
func (o *op) String() string {
	s := fmt.Sprintf("%d.%d/%d %s", o.Num, o.I, o.Total, o.Key)
	for _, u := range o.Updates {
		s += fmt.Sprintf(" %s(%s)", u.F, u.Arg)
	}
	return s
}
