package mvcc

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

func drawUpdate(t *rapid.T) update {
	return update{
		Kind: "list", F: rapid.SampledFrom([]string{"append", "put"}).Draw(t, "f"),
		Arg: rapid.SampledFrom([]string{"[1,2]", "[]"}).Draw(t, "arg"),
	}
}

func TestCommitRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		writes := map[string][]update{}
		for _, key := range rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "keys") {
			writes[key] = append(writes[key], drawUpdate(t))
		}
		num := Num(rapid.Uint64Min(1).Draw(t, "num"))
		b := encodeCommit(nil, num, writes)
		if len(b) != 1 {
			t.Fatalf("%d records for one transaction", len(b))
		}
		r, err := decodeCommit(b[0])
		if err != nil || r.Num != num || len(r.Writes) != len(writes) {
			t.Fatalf("decodeCommit = %+v, %v", r, err)
		}
		for _, w := range r.Writes {
			if !reflect.DeepEqual(w.Updates, writes[w.Key]) {
				t.Fatalf("%s: %+v, want %+v", w.Key, w.Updates, writes[w.Key])
			}
		}
		for n := range b[0] {
			if _, err := decodeCommit(b[0][:n]); err == nil {
				t.Fatalf("the first %d of %d bytes decode", n, len(b[0]))
			}
		}
	})
}

// TestCheckpoint: a database that starts from its checkpoint has the same values
// and numbers.
func TestCheckpoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDatabase(SI, rapid.Bool().Draw(t, "log"), nil)
		for i := range rapid.IntRange(0, 6).Draw(t, "commits") {
			tx := d.begin(uint64(i))
			key := rapid.StringN(0, 2, -1).Draw(t, "key")
			d.write(tx, key, []update{drawUpdate(t)})
			if _, _, err := d.commit(tx); err != nil {
				t.Fatal(err)
			}
		}
		e := newDatabase(SI, rapid.Bool().Draw(t, "log"), nil)
		if err := e.recover(d.encodeCheckpoint(), nil); err != nil {
			t.Fatal(err)
		}
		if e.last != d.last || !reflect.DeepEqual(e.store.Keys(), d.store.Keys()) {
			t.Fatalf("recovered %d %v, want %d %v", e.last, e.store.Keys(), d.last, d.store.Keys())
		}
		for _, key := range d.store.Keys() {
			v, n := d.store.At(key, d.last)
			if w, m := e.store.At(key, e.last); m != n || !w.Equal(v) {
				t.Fatalf("%s is %s of %d, want %s of %d", key, w.Read(), m, v.Read(), n)
			}
		}
	})
}

// TestLongReply carries a reply that does not fit a datagram, the parts in the
// wrong order and one of them twice.
func TestLongReply(t *testing.T) {
	const second = protocol.Time(time.Second)
	members := []protocol.NodeID{"n1", "n2"}
	db, err := New(SI, false)(protocol.Config{
		Self: "n1", Members: members, Epoch: 1, RequestTimeout: second,
	})
	if err != nil {
		t.Fatal(err)
	}
	long := `"` + strings.Repeat("x", 30_000) + `"`
	for i := range 5 {
		db.Submit(0, protocol.Request{
			ID: protocol.RequestID(i + 1), Object: "list", F: "append", Key: "k", Value: long,
		})
	}
	db.Ready()
	relay, err := New(SI, false)(protocol.Config{
		Self: "n2", Members: members, Epoch: 1, RequestTimeout: second,
	})
	if err != nil {
		t.Fatal(err)
	}
	relay.Submit(0, protocol.Request{ID: 1, Object: "list", F: "read", Key: "k"})
	for range 2 { // hello and here, ask and answer
		for _, m := range relay.Ready().Messages {
			db.Step(0, m)
		}
		answers := db.Ready().Messages
		for i := range answers {
			relay.Step(0, answers[len(answers)-1-i])
		}
		relay.Step(0, answers[0])
	}
	replies := relay.Ready().Replies
	if len(replies) != 1 || replies[0].Outcome != protocol.OK || len(replies[0].Value) < 150_000 {
		t.Fatalf("%d replies", len(replies))
	}
}

func TestConfig(t *testing.T) {
	good := protocol.Config{
		Self: "n1", Members: []protocol.NodeID{"n1", "n2"}, Epoch: 1, RequestTimeout: 1,
	}
	for name, spoil := range map[string]func(*protocol.Config){
		"not among":    func(c *protocol.Config) { c.Self = "n9" },
		"not distinct": func(c *protocol.Config) { c.Members = []protocol.NodeID{"n1", "n1"} },
		"greater than": func(c *protocol.Config) { c.RequestTimeout = 0 },
		"checkpoint":   func(c *protocol.Config) { c.Checkpoint = []byte{0xff} },
		"record 0":     func(c *protocol.Config) { c.Records = [][]byte{{0x80}} },
	} {
		c := good
		spoil(&c)
		if _, err := New(SI, false)(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New = %v, want %q", err, name)
		}
	}
}

// FuzzStep feeds both kinds of node with any payload: they must not panic.
func FuzzStep(f *testing.F) {
	for k := kindHello; k < kindEnd; k++ {
		f.Add(encode(wire{
			Kind: k, Relay: 1, Database: 1, ID: 1, Object: "txn", F: "run",
			Value: `[["w","k",1]]`, Parts: 1, Chunk: encode(answer{Value: "null"}),
		}))
	}
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, payload []byte) {
		members := []protocol.NodeID{"n1", "n2"}
		for _, self := range members {
			m, err := New(Serializable, true)(protocol.Config{
				Self: self, Members: members, Epoch: 1, RequestTimeout: 1000,
			})
			if err != nil {
				t.Fatal(err)
			}
			other := members[0]
			if self == other {
				other = members[1]
			}
			m.Submit(0, protocol.Request{ID: 1, Object: "register", F: "read", Key: "k"})
			m.Step(1, protocol.Message{From: other, To: self, Epoch: 1, Payload: payload})
			m.Tick(2)
			m.Step(3, protocol.Message{From: other, To: self, Epoch: 1, Payload: payload})
			m.Tick(2000)
			if n := len(m.Ready().Replies); n != 1 {
				t.Fatalf("%d replies", n)
			}
			Describe(payload)
		}
	})
}
