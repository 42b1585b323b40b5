package appendlog

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// token is what a client has seen: of each series all elements up to a number,
// and the greatest logical time. Numbers of a series have no gaps where they are
// made, so "up to" is enough.
type token struct {
	time  uint64
	marks map[Series]uint64
}

// wireToken is a token as its clients carry it, in base64: by node, the epochs
// and numbers in turn.
type wireToken struct {
	_     struct{} `cbor:",toarray"`
	Time  uint64
	Nodes []wireMarks
}

type wireMarks struct {
	_     struct{} `cbor:",toarray"`
	Node  protocol.NodeID
	Marks []uint64
}

func (t *token) see(s Series, seq uint64) {
	if seq > t.marks[s] {
		t.marks[s] = seq
	}
}

func (t *token) encode() string {
	w := wireToken{Time: t.time}
	for _, s := range slices.SortedFunc(maps.Keys(t.marks), Series.Compare) {
		if n := len(w.Nodes); n == 0 || w.Nodes[n-1].Node != s.Node {
			w.Nodes = append(w.Nodes, wireMarks{Node: s.Node})
		}
		last := &w.Nodes[len(w.Nodes)-1]
		last.Marks = append(last.Marks, uint64(s.Epoch), t.marks[s])
	}
	return base64.RawURLEncoding.EncodeToString(encode(w))
}

// decodeToken reads a token; "" has seen nothing.
func (c *codec) decodeToken(s string) (*token, error) {
	t := &token{marks: map[Series]uint64{}}
	if s == "" {
		return t, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("decode token: %w", err)
	}
	var w wireToken
	if err := c.mode.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("decode token: %w", err)
	}
	t.time = w.Time
	for _, n := range w.Nodes {
		if len(n.Marks)%2 != 0 {
			return nil, errors.New("decode token: an epoch without a number")
		}
		for i := 0; i < len(n.Marks); i += 2 {
			t.see(Series{Node: n.Node, Epoch: protocol.Epoch(n.Marks[i])}, n.Marks[i+1])
		}
	}
	return t, nil
}
