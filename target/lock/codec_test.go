package lock

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TestStateRoundTrips applies random commands and restores the state after each.
func TestStateRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		locks, fenced := NewLocks(nil), NewFenced(nil)
		for slot := range uint64(rapid.IntRange(1, 30).Draw(t, "commands")) {
			c := kv.Command{Kind: kv.Op, Key: rapid.SampledFrom([]string{"", "k", "\xff"}).Draw(t, "key"),
				F:      rapid.SampledFrom([]string{"acquire", "renew", "release", "expire"}).Draw(t, "f"),
				Value:  formatUint(rapid.Uint64Range(0, 9).Draw(t, "n")),
				Origin: kv.Origin{Node: "n1", Epoch: 1, N: slot, Low: slot}}
			if c.F == "expire" {
				c.Value += "@" + c.Value
			}
			locks.Apply(slot, 0, c)
			fenced.Apply(slot, 0, kv.Command{F: "write", Key: c.Key, Value: "[" + formatUint(slot) + ",{}]"})
			for _, e := range []struct{ from, to kv.Extension }{
				{locks, NewLocks(nil)}, {fenced, NewFenced(nil)},
			} {
				if err := e.to.Decode(e.from.Encode()); err != nil {
					t.Fatal(err)
				}
				r := protocol.Request{F: "read", Key: c.Key}
				if !bytes.Equal(e.to.Encode(), e.from.Encode()) || e.to.Read(r) != e.from.Read(r) {
					t.Fatal("restored to another state")
				}
			}
		}
	})
}

// FuzzDecode: a snapshot is checked by its checksum, but no bytes make a panic.
func FuzzDecode(f *testing.F) {
	locks, fenced := NewLocks(nil), NewFenced(nil)
	for slot := range uint64(3) {
		locks.Apply(slot, 0, kv.Command{F: "acquire", Key: "k", Value: "100"})
		fenced.Apply(slot, 0, kv.Command{F: "write", Key: "k", Value: "[1,2]"})
	}
	f.Add(locks.Encode())
	f.Add(fenced.Encode())
	f.Add([]byte{0x81, 0x82, 0x61, 'k', 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, e := range []kv.Extension{NewLocks(nil), NewFenced(nil)} {
			if e.Decode(b) != nil {
				continue
			}
			e.Read(protocol.Request{F: "read", Key: "k"})
			e.Apply(1<<60, 0, kv.Command{F: "release", Key: "k", Value: "1"})
			e.Encode()
		}
	})
}
