package commit

import (
	"testing"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TestCellsAgainstStore compares the shards' objects with the store of package kv,
// which serves the same operations.
func TestCellsAgainstStore(t *testing.T) {
	store, cells := kv.New(nil, nil), map[string]cell{}
	for i, r := range []protocol.Request{
		{Object: "register", F: "read", Key: "r"},
		{Object: "register", F: "write", Key: "r", Value: `{"a":1}`},
		{Object: "register", F: "read", Key: "r"},
		{Object: "list", F: "read", Key: "l"},
		{Object: "list", F: "append", Key: "l", Value: "1"},
		{Object: "list", F: "append", Key: "l", Value: "1"},
		{Object: "list", F: "read", Key: "l"},
		{Object: "list", F: "append", Key: "r", Value: "1"},
		{Object: "list", F: "read", Key: "r"},
		{Object: "counter", F: "add", Key: "c", Value: "-5"},
		{Object: "counter", F: "add", Key: "c", Value: "-9223372036854775807"},
		{Object: "counter", F: "read", Key: "c"},
		{Object: "set", F: "add", Key: "s", Value: "2"},
		{Object: "set", F: "add", Key: "s", Value: "2"},
		{Object: "set", F: "read", Key: "s"},
		{Object: "counter", F: "add", Key: "c", Value: "x"},
		{Object: "list", F: "append", Key: "l", Value: "{"},
		{Object: "queue", F: "peek", Key: "q"},
	} {
		want, fine := store.Check(r)
		op, got := operationOf(r)
		if (got.Outcome == protocol.OK) != fine || got.Code != want.Code {
			t.Errorf("%v: refused with %q, the store with %q", op, got.Code, want.Code)
		}
		if !fine {
			continue
		}
		if kv.IsRead(r) {
			want = store.Read(r)
		} else {
			want = store.Apply(uint64(i+1), kv.Of(r, kv.Origin{Node: "n", N: uint64(i + 1)}))
		}
		c, got := cells[op.Key].apply(op)
		if got.Value != want.Value || got.Code != want.Code {
			t.Errorf("%v: %q %q, the store says %q %q", op, got.Value, got.Code, want.Value, want.Code)
		}
		if got.Outcome == protocol.OK && !op.isRead() {
			cells[op.Key] = c
		}
	}
}

// TestReadAny: a step that reads takes whatever the key holds.
func TestReadAny(t *testing.T) {
	read := operation{Object: anyKind, F: "read", Key: "k"}
	if _, r := (cell{}).apply(read); r.Value != "null" {
		t.Errorf("nothing reads as %q", r.Value)
	}
	c, _ := cell{}.apply(operation{Object: "counter", F: "add", Key: "k", Value: "3"})
	if _, r := c.apply(read); r.Value != "3" {
		t.Errorf("a counter of 3 reads as %q", r.Value)
	}
}
