package quorum

import (
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TestClockStepsBack: a clock that was a minute ahead and is put right does not stop
// retransmission and time limits for that minute.
func TestClockStepsBack(t *testing.T) {
	const second = protocol.Time(time.Second)
	m, err := New(protocol.Config{
		Self: "n1", Members: []protocol.NodeID{"n1", "n2", "n3"}, Epoch: 1,
		RequestTimeout: second,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Tick(10 * second)
	m.Tick(70 * second)
	m.Submit(10*second, protocol.Request{ID: 1, Object: "register", F: "read", Key: "k"})
	sent := len(m.Ready().Messages)
	for now := 10 * second; now < 12*second; now += second / 100 {
		m.Tick(now)
		r := m.Ready()
		sent += len(r.Messages)
		if len(r.Replies) > 0 {
			if sent <= 2 {
				t.Errorf("%d messages: nobody was asked again", sent)
			}
			return
		}
	}
	t.Error("no reply within 2 s")
}
