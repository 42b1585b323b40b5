package quorum

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Tag orders the values of a key. The zero tag is that of the initial state.
type Tag struct {
	Num   uint64
	Node  protocol.NodeID // who minted it
	Epoch protocol.Epoch  // of that node, at the time
	Seq   uint64          // counts the tags of that node in that epoch
}

// Less orders tags by number; the rest makes the order total.
func (t Tag) Less(u Tag) bool { return t.Compare(u) < 0 }

// Compare is -1, 0 or +1 as t is less than, equal to or greater than u.
func (t Tag) Compare(u Tag) int {
	return cmp.Or(
		cmp.Compare(t.Num, u.Num),
		cmp.Compare(t.Node, u.Node),
		cmp.Compare(t.Epoch, u.Epoch),
		cmp.Compare(t.Seq, u.Seq),
	)
}

// String prints the tag as number.node.epoch.seq, the zero tag as 0.
func (t Tag) String() string {
	if t == (Tag{}) {
		return "0"
	}
	return fmt.Sprintf("%d.%s.%d.%d", t.Num, t.Node, t.Epoch, t.Seq)
}

// kind says what a message is.
type kind uint8

const (
	kindAsk    kind = iota + 1 // what do you hold for the key?
	kindAsked                  // this entry
	kindStore                  // hold this entry, unless you have a greater tag
	kindStored                 // done, durably
	kindPing                   // I am alive
	kindPull                   // my disk is damaged: what do you hold after the key?
	kindPulled                 // these entries, or no more
	kindEnd
)

var kindNames = [kindEnd]string{"", "ask", "asked", "store", "stored", "ping", "pull", "pulled"}

// String returns the kind in lower case.
func (k kind) String() string { return kindNames[k] }

// wire is a message. An answer repeats the epoch and the request of the question:
// both are the questioner's, as a request id is unique only within an epoch.
type wire struct {
	kind    kind
	epoch   protocol.Epoch
	request protocol.RequestID
	key     string
	entry   entry
}

// Numbers are unsigned varints, strings have their length in front. There is one
// encoding of a value and no other is accepted, so that a decoded message can be
// compared with its bytes.

func encodeWire(w wire) []byte {
	b := make([]byte, 0, 32+len(w.key)+len(w.entry.tag.Node)+len(w.entry.value))
	b = append(b, byte(w.kind))
	b = binary.AppendUvarint(b, uint64(w.epoch))
	b = binary.AppendUvarint(b, uint64(w.request))
	b = appendString(b, w.key)
	return appendEntry(b, w.entry)
}

func decodeWire(b []byte) (wire, error) {
	d := decoder{rest: b}
	w := wire{kind: kind(d.byte())}
	w.epoch = protocol.Epoch(d.uvarint())
	w.request = protocol.RequestID(d.uvarint())
	w.key = d.string()
	w.entry = d.entry()
	if w.kind == 0 || w.kind >= kindEnd {
		d.bad = true
	}
	return w, d.end()
}

func encodeRecord(key string, e entry) []byte {
	return appendEntry(appendString(nil, key), e)
}

func decodeRecord(b []byte) (string, entry, error) {
	d := decoder{rest: b}
	key := d.string()
	e := d.entry()
	return key, e, d.end()
}

// encodeCheckpoint writes all entries in the order of their keys.
func encodeCheckpoint(store map[string]entry) []byte {
	b := binary.AppendUvarint(nil, uint64(len(store)))
	for _, key := range slices.Sorted(maps.Keys(store)) {
		b = appendEntry(appendString(b, key), store[key])
	}
	return b
}

// decodeCheckpoint adds a checkpoint's entries to the store. nil is the empty
// one.
func decodeCheckpoint(b []byte, store map[string]entry) error {
	if b == nil {
		return nil
	}
	d := decoder{rest: b}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		key := d.string()
		store[key] = d.entry()
	}
	return d.end()
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendEntry(b []byte, e entry) []byte {
	b = binary.AppendUvarint(b, e.tag.Num)
	b = appendString(b, string(e.tag.Node))
	b = binary.AppendUvarint(b, uint64(e.tag.Epoch))
	b = binary.AppendUvarint(b, e.tag.Seq)
	return appendString(b, e.value)
}

var errMalformed = errors.New("malformed")

// decoder reads from the front of rest; after a mistake everything is zero.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) byte() byte {
	if d.bad || len(d.rest) == 0 {
		d.bad = true
		return 0
	}
	v := d.rest[0]
	d.rest = d.rest[1:]
	return v
}

func (d *decoder) uvarint() uint64 {
	if d.bad {
		return 0
	}
	v, n := binary.Uvarint(d.rest)
	// The last byte of a longer varint is not zero, or it was padded.
	if n <= 0 || n > 1 && d.rest[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// string copies, so that nothing keeps the driver's buffer.
func (d *decoder) string() string {
	n := d.uvarint()
	if d.bad || n > uint64(len(d.rest)) {
		d.bad = true
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) entry() entry {
	var e entry
	e.tag.Num = d.uvarint()
	e.tag.Node = protocol.NodeID(d.string())
	e.tag.Epoch = protocol.Epoch(d.uvarint())
	e.tag.Seq = d.uvarint()
	e.value = d.string()
	return e
}

func (d *decoder) end() error {
	if d.bad || len(d.rest) > 0 {
		return errMalformed
	}
	return nil
}

// Describe prints a payload for people: traces and tests.
func Describe(payload []byte) string {
	w, err := decodeWire(payload)
	if err != nil {
		return fmt.Sprintf("%s %x", err, payload)
	}
	s := fmt.Sprintf("%v e%d r%d", w.kind, w.epoch, w.request)
	switch w.kind {
	case kindPing:
		return "ping"
	case kindAsk, kindStored, kindPull:
		return strings.TrimSpace(s + " " + w.key)
	case kindPulled:
		part := map[string]entry{}
		if err := decodeCheckpoint([]byte(w.entry.value), part); err != nil {
			return s + " " + err.Error()
		}
		for _, key := range slices.Sorted(maps.Keys(part)) {
			s += fmt.Sprintf(" %s=%s @%v", key, part[key].value, part[key].tag)
		}
		return s
	default:
		return fmt.Sprintf("%s %s=%q @%v", s, w.key, w.entry.value, w.entry.tag)
	}
}
