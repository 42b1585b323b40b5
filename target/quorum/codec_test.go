package quorum

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

func drawEntry(t *rapid.T) entry {
	return entry{
		tag: Tag{
			Num: rapid.Uint64().Draw(t, "num"), Node: protocol.NodeID(rapid.String().Draw(t, "node")),
			Epoch: protocol.Epoch(rapid.Uint64().Draw(t, "epoch")), Seq: rapid.Uint64().Draw(t, "seq"),
		},
		value: rapid.String().Draw(t, "value"),
	}
}

func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := wire{
			kind:    kind(rapid.IntRange(1, int(kindEnd)-1).Draw(t, "kind")),
			epoch:   protocol.Epoch(rapid.Uint64().Draw(t, "sender epoch")),
			request: protocol.RequestID(rapid.Uint64().Draw(t, "request")),
			key:     rapid.String().Draw(t, "key"),
			entry:   drawEntry(t),
		}
		b := encodeWire(w)
		if got, err := decodeWire(b); err != nil || got != w {
			t.Fatalf("decodeWire = %+v, %v, want %+v", got, err, w)
		}
		for n := range b {
			if _, err := decodeWire(b[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes decode", n, len(b))
			}
		}
		if _, err := decodeWire(append(b, 0)); err == nil {
			t.Fatal("one byte too many decodes")
		}
		key, e, err := decodeRecord(encodeRecord(w.key, w.entry))
		if err != nil || key != w.key || e != w.entry {
			t.Fatalf("decodeRecord = %q, %+v, %v", key, e, err)
		}
	})
}

func TestCheckpointRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := map[string]entry{}
		for _, key := range rapid.SliceOfN(rapid.String(), 0, 8).Draw(t, "keys") {
			store[key] = drawEntry(t)
		}
		got := map[string]entry{}
		if err := decodeCheckpoint(encodeCheckpoint(store), got); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, store) {
			t.Fatalf("checkpoint of %v decodes to %v", store, got)
		}
	})
}

// FuzzStep feeds a machine with any payload: it must not panic, and what it
// decodes must encode to the same bytes.
func FuzzStep(f *testing.F) {
	e := entry{tag: Tag{Num: 3, Node: "n2", Epoch: 1, Seq: 9}, value: "7"}
	for k := kindAsk; k < kindEnd; k++ {
		f.Add(encodeWire(wire{kind: k, epoch: 1, request: 1, key: "k", entry: e}))
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Add([]byte{1, 0x80, 0}) // a padded varint
	f.Fuzz(func(t *testing.T, payload []byte) {
		if w, err := decodeWire(payload); err == nil && !bytes.Equal(encodeWire(w), payload) {
			t.Errorf("%x decodes to %+v, which encodes to %x", payload, w, encodeWire(w))
		}
		_ = Describe(payload)
		m, err := New(protocol.Config{
			Self: "n1", Members: []protocol.NodeID{"n1", "n2", "n3"}, Epoch: 1, RequestTimeout: 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		m.Submit(0, protocol.Request{ID: 1, Object: "register", F: "write", Key: "k", Value: "1"})
		m.Step(1, protocol.Message{From: "n2", To: "n1", Payload: payload})
		m.Tick(2000)
		if r := m.Ready(); len(r.Replies) != 1 {
			t.Errorf("%d replies", len(r.Replies))
		}
	})
}

// FuzzRecover starts a machine from any records: an error, or a machine.
func FuzzRecover(f *testing.F) {
	e := entry{tag: Tag{Num: 3, Node: "n2", Epoch: 1, Seq: 9}, value: "7"}
	f.Add(encodeCheckpoint(map[string]entry{"k": e}), encodeRecord("k", e))
	f.Add([]byte{}, []byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, encodeRecord("k", e)) // four billion entries
	f.Fuzz(func(t *testing.T, checkpoint, record []byte) {
		m, err := New(protocol.Config{
			Self: "n1", Members: []protocol.NodeID{"n1"}, RequestTimeout: 1,
			Checkpoint: checkpoint, Records: [][]byte{record},
		})
		if (err == nil) != (m != nil) {
			t.Errorf("New = %v, %v", m, err)
		}
	})
}

// TestTagOrder compares tags with the order that the protocol states, for all
// pairs of a list that is in order.
func TestTagOrder(t *testing.T) {
	tags := []Tag{
		{},
		{Num: 1, Node: "n1", Epoch: 1, Seq: 1},
		{Num: 1, Node: "n1", Epoch: 1, Seq: 2},
		{Num: 1, Node: "n1", Epoch: 2, Seq: 1},
		{Num: 1, Node: "n2", Epoch: 1, Seq: 1},
		{Num: 2, Node: "n1", Epoch: 1, Seq: 1},
		{Num: 10, Node: "n1", Epoch: 1, Seq: 1}, // numbers, not strings
		{Num: math.MaxUint64, Node: "n1", Epoch: 1, Seq: 1},
	}
	for i, a := range tags {
		for j, b := range tags {
			if a.Less(b) != (i < j) || (a == b) != (a.Compare(b) == 0) {
				t.Errorf("%v and %v: Less %v, Compare %d", a, b, a.Less(b), a.Compare(b))
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	three := []protocol.NodeID{"n1", "n2", "n3"}
	good := protocol.Config{Self: "n1", Members: three, RequestTimeout: 1}
	for _, c := range []struct {
		name   string
		change func(*protocol.Config)
		want   []string
	}{
		{name: "nothing", change: func(*protocol.Config) {}},
		{name: "stranger", change: func(c *protocol.Config) { c.Self = "n9" },
			want: []string{`self "n9"`}},
		{name: "all at once", change: func(c *protocol.Config) { *c = protocol.Config{} },
			want: []string{`self ""`, "request timeout"}},
		{name: "twice the same",
			change: func(c *protocol.Config) { c.Members = []protocol.NodeID{"n1", "n2", "n1"} },
			want:   []string{"not distinct"}},
		{name: "bad record", change: func(c *protocol.Config) { c.Records = [][]byte{{1}} },
			want: []string{"recover record 0: malformed"}},
		{name: "bad checkpoint", change: func(c *protocol.Config) { c.Checkpoint = []byte{2, 1} },
			want: []string{"recover checkpoint: malformed"}},
		{name: "empty checkpoint", change: func(c *protocol.Config) { c.Checkpoint = []byte{} },
			want: []string{"recover checkpoint: malformed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			_, err := New(cfg)
			if (err == nil) != (c.want == nil) {
				t.Fatalf("New = %v, want %q", err, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("New = %v, want %q in it", err, want)
				}
			}
		})
	}
}

// TestDatagramsFit writes the greatest value that is accepted.
func TestDatagramsFit(t *testing.T) {
	cfg := protocol.Config{
		Self: "n1", Members: []protocol.NodeID{"n1", "n2"}, Epoch: math.MaxUint64, RequestTimeout: 1,
		Checkpoint: encodeCheckpoint(nil),
	}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	write := func(id protocol.RequestID, size int) {
		m.Submit(0, protocol.Request{
			ID: id, Object: "register", F: "write", Key: "k", Value: strings.Repeat("1", size),
		})
	}
	write(math.MaxUint64, maxData-1)
	for _, msg := range m.Ready().Messages {
		w, err := decodeWire(msg.Payload)
		if err != nil {
			t.Fatal(err)
		}
		w.kind, w.entry.tag.Num = kindAsked, math.MaxUint64-1
		m.Step(0, protocol.Message{From: "n2", To: "n1", Payload: encodeWire(w)})
	}
	r := m.Ready()
	if len(r.Messages) != 1 || len(r.Messages[0].Payload) > protocol.MaxPayload {
		t.Errorf("%d messages", len(r.Messages))
	}
	write(2, maxData)
	replies := m.Ready().Replies
	tooLarge := func(r protocol.Reply) bool { return r.ID == 2 && r.Code == "too-large" }
	if !slices.ContainsFunc(replies, tooLarge) {
		t.Errorf("replies %v", replies)
	}
}
