package dmvcc

import (
	"testing"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TestSureOfAnotherLife: what a node said of itself before a restart is no reason to
// answer after it, when it does not know yet which numbers were aborted.
func TestSureOfAnotherLife(t *testing.T) {
	for _, c := range []struct {
		sure    bool
		of      protocol.Epoch
		answers int
	}{{false, 2, 0}, {true, 1, 0}, {true, 2, 1}} {
		m, err := New(Quorum)(protocol.Config{
			Self: "n1", Members: twoNodes(), Epoch: 2, RequestTimeout: 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		m.Tick(1)
		m.Ready()
		payload := encode(wire{Kind: kindRead, Epoch: c.of, Num: 5, Txn: 1, Key: "k", Sure: c.sure})
		m.Step(2, protocol.Message{
			From: "n2", To: "n1", Epoch: 1, Payload: tagged(ofNode, payload),
		})
		got := 0
		for _, msg := range m.Ready().Messages {
			w, err := decodeWire(msg.Payload[1:])
			if msg.Payload[0] == ofNode && err == nil && w.Kind == kindValue {
				got++
			}
		}
		if got != c.answers {
			t.Errorf("sure=%v of life %d: %d answers, want %d", c.sure, c.of, got, c.answers)
		}
	}
}
