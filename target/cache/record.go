package cache

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// kind is the kind of object in the log, which clients do not see.
const kind = "cached"

// The codes of the record's failures, which clients do not see either.
const (
	codeLost    = "lost"    // somebody else has claimed
	codeDeposed = "deposed" // the term is over
)

// record says who the server is.
type record struct {
	_ struct{} `cbor:",toarray"`
	// Term is the slot of the command that made the record, 0 at first.
	Term   uint64
	Server protocol.NodeID
	// Handed is set when the server before has named this one, which has yet to
	// claim its own term.
	Handed bool
	// Granting is set before the server grants anything, Inherited if an earlier one
	// may have granted what has not run out.
	Granting, Inherited bool
}

// written is one register.
type written struct {
	_          struct{} `cbor:",toarray"`
	Key, Value string
}

// writer is what is known of one node's writes: those from Low on that were applied.
type writer struct {
	_     struct{} `cbor:",toarray"`
	Node  protocol.NodeID
	Epoch protocol.Epoch
	Low   uint64
	Done  []uint64
}

// state is all that is replicated. It implements kv.Extension.
type state struct {
	bugs    bug.Set
	record  record
	values  map[string]string
	writers map[protocol.NodeID]*writer
	// applied, if set, learns of each write; it is for tests.
	applied func(slot uint64, key, value string)
}

func newState(bugs bug.Set) *state {
	return &state{bugs: bugs, values: map[string]string{}, writers: map[protocol.NodeID]*writer{}}
}

// argument is the value of any command; each uses some of it.
type argument struct {
	Term  uint64          `json:"t,omitempty"`
	Node  protocol.NodeID `json:"s,omitempty"`
	Owes  bool            `json:"o,omitempty"`
	Epoch protocol.Epoch  `json:"e,omitempty"`
	N     uint64          `json:"n,omitempty"`
	Low   uint64          `json:"l,omitempty"`
	Value json.RawMessage `json:"v,omitempty"`
}

func (a argument) String() string {
	b, err := json.Marshal(a)
	if err != nil {
		panic("cache: encode argument: " + err.Error()) // clients' values are JSON
	}
	return string(b)
}

func refuse(code string) kv.Result { return kv.Result{Outcome: protocol.Fail, Code: code} }

// Check accepts what this package submits.
func (s *state) Check(protocol.Request) (kv.Result, bool) { return kv.Result{}, true }

// Apply carries out a command.
func (s *state) Apply(slot uint64, _ protocol.Time, c kv.Command) kv.Result {
	var a argument
	if err := json.Unmarshal([]byte(c.Value), &a); err != nil {
		return refuse(kv.CodeBadRequest)
	}
	if a.Term != s.record.Term {
		if c.F == "claim" {
			return refuse(codeLost)
		}
		return refuse(codeDeposed)
	}
	switch c.F {
	case "claim":
		// The mark passes on: what an earlier server granted may be held still.
		owes := s.record.Granting || s.record.Inherited
		passes := owes
		if s.record.Handed && s.bugs.Has(bug.LeaseChainedPromiseLost) {
			// Planted: whom the server before has named knows what it owes, and
			// keeps it in memory.
			passes = false
		}
		s.record = record{Term: slot, Server: a.Node, Inherited: passes}
		return kv.Result{Value: fmt.Sprintf(`[%d,%t]`, slot, owes)}
	case "hand-over":
		s.record = record{Term: slot, Server: a.Node, Handed: true, Inherited: a.Owes}
	case "mark":
		s.record.Granting = true
	case "write":
		return s.write(slot, c.Key, a)
	}
	return kv.Result{}
}

// write changes a register, once for each write of a node.
func (s *state) write(slot uint64, key string, a argument) kv.Result {
	w := s.writers[a.Node]
	if w == nil || a.Epoch > w.Epoch {
		w = &writer{Node: a.Node, Epoch: a.Epoch}
		s.writers[a.Node] = w
	}
	if a.Epoch < w.Epoch || a.N < w.Low || slices.Contains(w.Done, a.N) {
		return kv.Result{} // a copy: what it was to do was done, or given up
	}
	w.Low = max(w.Low, a.Low)
	w.Done = slices.DeleteFunc(append(w.Done, a.N), func(n uint64) bool { return n < w.Low })
	s.values[key] = string(a.Value)
	if s.applied != nil {
		s.applied(slot, key, s.values[key])
	}
	return kv.Result{}
}

// Read tells [term,value].
func (s *state) Read(r protocol.Request) kv.Result {
	return kv.Result{Value: fmt.Sprintf("[%d,%s]", s.record.Term, cmp.Or(s.values[r.Key], "null"))}
}

// image is the encoded state.
type image struct {
	_       struct{} `cbor:",toarray"`
	Record  record
	Values  []written
	Writers []writer
}

// Encode returns the state, sorted.
func (s *state) Encode() []byte {
	im := image{Record: s.record}
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		im.Values = append(im.Values, written{Key: k, Value: s.values[k]})
	}
	for _, id := range slices.Sorted(maps.Keys(s.writers)) {
		im.Writers = append(im.Writers, *s.writers[id])
	}
	b, err := cbor.Marshal(im)
	if err != nil {
		panic("cache: encode state: " + err.Error()) // the types above all encode
	}
	return b
}

// Decode replaces the state.
func (s *state) Decode(b []byte) error {
	var im image
	if err := unmarshal(b, &im); err != nil {
		return fmt.Errorf("decode cached registers: %w", err)
	}
	s.record = im.Record
	s.values, s.writers = map[string]string{}, map[protocol.NodeID]*writer{}
	for _, v := range im.Values {
		s.values[v.Key] = v.Value
	}
	for i := range im.Writers {
		s.writers[im.Writers[i].Node] = &im.Writers[i]
	}
	return nil
}

func unmarshal(b []byte, to any) error {
	mode, err := cbor.DecOptions{
		UTF8: cbor.UTF8DecodeInvalid, MaxArrayElements: 1 << 30,
	}.DecMode()
	if err != nil {
		return err
	}
	return mode.NewDecoder(bytes.NewReader(b)).Decode(to)
}
