package dmvcc

import (
	"testing"

	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/versions"
)

// TestLateNumber: a coordinator learns of its number and of its abort at once. It
// must not keep its own operations, which nobody would drop any more.
func TestLateNumber(t *testing.T) {
	m, err := New(Quorum)(protocol.Config{
		Self: "n1", Members: []protocol.NodeID{"n1", "n2", "n3"}, Epoch: 1, RequestTimeout: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Tick(1)
	m.meta().alloc(allocation{By: "n1", Epoch: 1, Keys: []string{"x"}})
	m.meta().abort(1)
	m.sync()
	k := &task{req: protocol.Request{ID: 7}, num: 1}
	m.tasks = append(m.tasks, k)
	m.coordinate(k, &txn{writes: map[string][]versions.Update{
		"x": {{Kind: "list", F: "append", Arg: "1"}},
	}})
	if v, n := m.shard.store.At("x", 1); n != 0 {
		t.Errorf("x at 1 is %s", v.Read())
	}
	rs := m.Ready().Replies
	if len(rs) != 1 || rs[0].Outcome != protocol.Fail || rs[0].Code != codeAborted {
		t.Errorf("replies: %+v", rs)
	}
}
