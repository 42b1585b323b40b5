package paxos

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TestMendMessages decodes what it encodes, and nothing that is cut short.
func TestMendMessages(t *testing.T) {
	codec, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	for k, body := range map[msgKind]any{
		kindRejoin:   rejoin{Have: have{Commit: 3, Snapshot: 2, Part: 1}, Want: 9},
		kindRejoined: rejoined{Epoch: 4, Promised: Ballot{Round: 7, Node: "n2", Epoch: 1}, Last: 8},
	} {
		b := codec.encode(k, body)
		if _, err := codec.decode(b); err != nil || strings.Contains(Describe(b), "*paxos.") {
			t.Errorf("%T: %v, described as %q", body, err, Describe(b))
		}
		for i := range b {
			if _, err := codec.decode(b[:i]); err == nil {
				t.Errorf("%T: the first %d of %d bytes are taken for a message", body, i, len(b))
			}
		}
	}
}

// TestNoCopyElsewhere refuses a damaged log where nobody can have what it lost.
func TestNoCopyElsewhere(t *testing.T) {
	_, err := New(protocol.Config{Self: "n1", Members: []protocol.NodeID{"n1"}, Damaged: true})
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error %v", err)
	}
}

// TestLargeResult: a result that fits no datagram is not sent; the node that waits for
// it applies the command itself.
func TestLargeResult(t *testing.T) {
	m := inRole(t, leader)
	m.Ready()
	m.answer(kv.Origin{Node: "n2", Epoch: 1, N: 1},
		kv.Result{Value: `"` + strings.Repeat("x", 70_000) + `"`})
	if got := m.Ready().Messages; len(got) != 0 {
		t.Errorf("%d messages", len(got))
	}
}
