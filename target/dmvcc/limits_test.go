package dmvcc

import (
	"strconv"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TestLimits: what a transaction writes has to fit one datagram for each key. What
// does not fit is refused, and the transaction goes on without it.
func TestLimits(t *testing.T) {
	m, err := New(All)(protocol.Config{
		Self: "n1", Members: []protocol.NodeID{"n1"}, Epoch: 1, RequestTimeout: 1e9,
	})
	if err != nil {
		t.Fatal(err)
	}
	now, last := protocol.Time(0), protocol.RequestID(0)
	ask := func(r protocol.Request) protocol.Reply {
		last++
		r.ID = last
		m.Submit(now, r)
		for range 500 {
			now += 10 * ms
			m.Tick(now)
			for _, rep := range m.Ready().Replies {
				return rep
			}
		}
		t.Fatalf("%v has no reply", r)
		return protocol.Reply{}
	}
	for m.Ready(); !m.Status().Primary; m.Ready() {
		now += 10 * ms
		m.Tick(now)
	}
	id, err := strconv.ParseUint(ask(protocol.Request{Object: "txn", F: "begin"}).Value, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	big := `"` + strings.Repeat("x", 20_000) + `"`
	for _, c := range []struct {
		key, value string
		want       protocol.Outcome
	}{
		{"a", big, protocol.OK}, {"a", big, protocol.Fail}, {"b", big, protocol.Fail},
		{"b", "1", protocol.OK}, {"c", strings.Repeat("1", 40_000), protocol.Fail},
	} {
		rep := ask(protocol.Request{Object: "list", F: "append", Key: c.key, Value: c.value, Txn: id})
		if rep.Outcome != c.want || rep.Outcome == protocol.Fail && rep.Code != "too-large" {
			t.Errorf("append of %d bytes to %s: %v %s", len(c.value), c.key, rep.Outcome, rep.Code)
		}
	}
	if rep := ask(protocol.Request{Object: "txn", F: "commit", Txn: id}); rep.Outcome != protocol.OK {
		t.Errorf("commit: %+v", rep)
	}
	if rep := ask(protocol.Request{Object: "list", F: "read", Key: "b"}); rep.Value != "[1]" {
		t.Errorf("b is %s", rep.Value)
	}
}
