package appendlog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// kind says what a message is.
type kind uint8

const (
	kindElements kind = iota + 1 // keep these
	kindKept                     // these are durable here
	kindHave                     // all that I hold of one node's series; what is missing?
	kindEnd
)

var kindNames = [kindEnd]string{"", "elements", "kept", "have"}

// String returns the kind in lower case.
func (k kind) String() string { return kindNames[k] }

// holding is numbers of a series.
type holding struct {
	_      struct{} `cbor:",toarray"`
	Series Series
	Ranges ranges
}

// message is what the nodes tell each other.
type message struct {
	_        struct{} `cbor:",toarray"`
	Kind     kind
	Elements []Element       // of elements
	Holdings []holding       // of kept and have
	Node     protocol.NodeID // of have: whose series
	Total    uint64          // of have: how many elements the sender holds of all series
}

// encode never fails for the types of this package: they have no values that CBOR
// lacks.
func encode(v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("appendlog: encode %T: %v", v, err))
	}
	return b
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

var errMalformed = errors.New("malformed")

func (c *codec) decodeMessage(b []byte) (message, error) {
	var w message
	if err := c.mode.Unmarshal(b, &w); err != nil {
		return message{}, fmt.Errorf("decode message: %w", err)
	}
	if w.Kind == 0 || w.Kind >= kindEnd {
		return message{}, fmt.Errorf("decode message: kind %d is unknown", w.Kind)
	}
	for _, e := range w.Elements {
		if !e.sound() {
			return message{}, fmt.Errorf("decode message: number %d: %w", e.ID.Seq, errMalformed)
		}
	}
	for _, h := range w.Holdings {
		if !h.Ranges.valid() {
			return message{}, fmt.Errorf("decode message: ranges %v: %w", h.Ranges, errMalformed)
		}
	}
	return w, nil
}

// sound is false for what no node makes.
func (e Element) sound() bool { return e.ID.Seq != 0 && e.ID.Seq != ^uint64(0) }

// decodeElement reads a record.
func (c *codec) decodeElement(b []byte) (Element, error) {
	var e Element
	if err := c.mode.Unmarshal(b, &e); err != nil {
		return Element{}, fmt.Errorf("decode element: %w", err)
	}
	if !e.sound() {
		return Element{}, fmt.Errorf("decode element: number %d: %w", e.ID.Seq, errMalformed)
	}
	return e, nil
}

// decodeCheckpoint reads a compacted log. nil is an empty one.
func (c *codec) decodeCheckpoint(b []byte) ([]Element, error) {
	if b == nil {
		return nil, nil
	}
	var es []Element
	if err := c.mode.Unmarshal(b, &es); err != nil {
		return nil, fmt.Errorf("decode checkpoint: %w", err)
	}
	for _, e := range es {
		if !e.sound() {
			return nil, fmt.Errorf("decode checkpoint: number %d: %w", e.ID.Seq, errMalformed)
		}
	}
	return es, nil
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
	parts := []string{w.Kind.String()}
	if w.Kind == kindHave {
		parts = append(parts, "of "+string(w.Node))
	}
	for _, e := range w.Elements {
		parts = append(parts, e.String())
	}
	for _, h := range w.Holdings {
		s := fmt.Sprintf("%s.%d.", h.Series.Node, h.Series.Epoch)
		for i, r := range h.Ranges {
			if i > 0 {
				s += ","
			}
			if s += fmt.Sprint(r.From); r.To > r.From {
				s += fmt.Sprintf("-%d", r.To)
			}
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}
