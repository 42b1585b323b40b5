package cache

import (
	"bytes"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// filled is a state with something of everything.
func filled() *state {
	s := newState(nil)
	s.Apply(1, 0, kv.Command{F: "claim", Value: argument{Node: "n1"}.String()})
	s.Apply(2, 0, kv.Command{F: "mark", Value: argument{Term: 1}.String()})
	s.Apply(3, 0, kv.Command{F: "write", Key: "k\xff", Value: argument{
		Term: 1, Node: "n2", Epoch: 1, N: 2, Low: 1, Value: []byte("7")}.String()})
	return s
}

func TestStateRoundTrips(t *testing.T) {
	s, to := filled(), newState(nil)
	if err := to.Decode(s.Encode()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.Encode(), to.Encode()) || to.record != s.record ||
		to.Read(protocol.Request{Key: "k\xff"}).Value != "[1,7]" {
		t.Errorf("restored to %+v", to)
	}
}

// FuzzState: no bytes of a snapshot make a panic.
func FuzzState(f *testing.F) {
	f.Add(filled().Encode())
	f.Fuzz(func(_ *testing.T, b []byte) {
		s := newState(nil)
		if s.Decode(b) == nil {
			s.Apply(9, 0, kv.Command{F: "write", Key: "k", Value: argument{
				Term: s.record.Term, Node: "n2", Epoch: 1, N: 2, Low: 1, Value: []byte("7")}.String()})
			s.Encode()
		}
	})
}

// FuzzStep: no datagram makes a panic.
func FuzzStep(f *testing.F) {
	for k := kindBeacon; k <= kindOrder; k++ {
		b, err := cbor.Marshal(message{Kind: k, Key: "k", Value: "1", Token: 1, Term: 1, Gen: 1,
			Epoch: 1, N: 1, Low: 1, Target: "n2"})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte{forCache}, b...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := New(protocol.Config{Self: "n1", Members: []protocol.NodeID{"n1", "n2"}, Epoch: 1})
		if err != nil {
			t.Fatal(err)
		}
		m.serving = &serving{term: 1, keys: map[string]*key{}, marked: true}
		m.Submit(0, protocol.Request{ID: 1, Object: "register", F: "read", Key: "k"})
		m.Step(1, protocol.Message{From: "n2", To: "n1", Epoch: 1, Payload: b})
		m.Tick(2)
		m.Ready()
	})
}
