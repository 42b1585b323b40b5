package dmvcc

import (
	"bytes"
	"reflect"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/versions"
)

func twoNodes() []protocol.NodeID { return []protocol.NodeID{"n1", "n2"} }

func drawOp(t *rapid.T) op {
	num := rapid.IntRange(1, 9).Draw(t, "num")
	total := 1 + num%3 // a number has one
	i := rapid.IntRange(0, total-1).Draw(t, "i")
	return op{
		Num: Num(num), Total: total, I: i, Key: "k" + strconv.Itoa(i), // one for each key
		Updates: []versions.Update{{Kind: "list", F: "append", Arg: "1"}},
	}
}

func TestWireRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := wire{
			Kind: kind(rapid.IntRange(1, int(kindEnd)-1).Draw(t, "kind")),
			Num:  Num(rapid.Uint64().Draw(t, "num")), I: rapid.IntRange(0, 9).Draw(t, "i"),
			Epoch: protocol.Epoch(rapid.Uint64().Draw(t, "epoch")), Whole: rapid.Bool().Draw(t, "whole"),
		}
		if w.Kind == kindOp || w.Kind == kindFetched {
			o := drawOp(t)
			w.Op = &o
		}
		if w.Kind == kindRead || w.Kind == kindValue {
			w.Txn, w.Key = rapid.Uint64().Draw(t, "txn"), rapid.String().Draw(t, "key")
			w.Sure = rapid.Bool().Draw(t, "sure")
			w.Shards = shards(rapid.Byte().Draw(t, "shards"))
			if rapid.Bool().Draw(t, "put") {
				w.Put = &versions.Update{Kind: "register", F: "put", Arg: rapid.String().Draw(t, "arg")}
			}
		}
		b := encode(w)
		if got, err := decodeWire(b); err != nil || !reflect.DeepEqual(got, w) {
			t.Fatalf("decodeWire = %+v, %v, want %+v", got, err, w)
		}
		for n := range b {
			if _, err := decodeWire(b[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes decode", n, len(b))
			}
		}
	})
}

// TestShardImage: a shard that is loaded from its image holds the same, whatever
// was held, dropped, fenced and folded before.
func TestShardImage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShard()
		dropped := map[Num]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			n := Num(rapid.Uint64Range(1, 9).Draw(t, "n"))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				if n > s.floor {
					s.drop(n)
					dropped[n] = true
				}
			case 1:
				s.fence(n)
			case 2:
				s.fold(n)
			default:
				if o := drawOp(t); !dropped[o.Num] {
					s.hold(&o, false)
				}
			}
		}
		loaded := newShard()
		loaded.load(s.image())
		if !bytes.Equal(encode(loaded.image()), encode(s.image())) {
			t.Fatalf("loaded %+v, want %+v", loaded.image(), s.image())
		}
		for _, key := range s.store.Keys() {
			for n := s.floor; n < 10; n++ {
				want, _ := s.store.At(key, n)
				if got, _ := loaded.store.At(key, n); !got.Equal(want) {
					t.Fatalf("%s at %d is %s, want %s", key, n, got.Read(), want.Read())
				}
			}
		}
	})
}

// TestMeta compares the metadata with a plain list of what became of each number.
func TestMeta(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMeta(twoNodes(), 2, nil)
		fates := []fate{unborn}
		apply := func(f string, v any) bool {
			return m.Apply(0, 0, kv.Command{F: f, Value: marshal(v)}).Outcome == protocol.OK
		}
		keys := []string{"a", "b", "c"}
		wrote := map[string]Num{}
		num := func(t *rapid.T) Num { return Num(rapid.IntRange(1, 12).Draw(t, "num")) }
		closed := func(t *rapid.T, n Num, ok, may bool, to fate) {
			if ok != (may && int(n) < len(fates) && fates[n] == open) {
				t.Fatalf("closing %d: %v, it is %v", n, ok, fates)
			}
			if ok {
				fates[n] = to
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"alloc": func(t *rapid.T) {
				key := rapid.SampledFrom(keys).Draw(t, "key")
				snap := Num(rapid.IntRange(0, int(m.mark)).Draw(t, "snap"))
				ok := apply("alloc", allocation{By: "n1", Snap: snap, Keys: []string{key}})
				if ok != (wrote[key] <= snap) {
					t.Fatalf("alloc of %s at %d: %v, last written by %d", key, snap, ok, wrote[key])
				}
				if ok {
					wrote[key] = Num(len(fates))
					fates = append(fates, open)
				}
			},
			"complete": func(t *rapid.T) {
				n, by := num(t), []protocol.NodeID{"n1", "n2"}[:rapid.IntRange(1, 2).Draw(t, "by")]
				closed(t, n, apply("complete", closing{Num: n, By: by}), len(by) == 2, complete)
			},
			"abort": func(t *rapid.T) {
				n := num(t)
				closed(t, n, apply("abort", closing{Num: n}), true, aborted)
			},
			"reload": func(t *rapid.T) {
				r := newMeta(twoNodes(), 2, nil)
				if err := r.Decode(m.Encode()); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(r.Encode(), m.Encode()) {
					t.Fatal("a replica that was loaded is another")
				}
				m = r
			},
			"": func(t *rapid.T) {
				mark := 0
				for mark+1 < len(fates) && fates[mark+1] != open {
					mark++
				}
				if m.mark != Num(mark) || m.solid != Num(mark) {
					t.Fatalf("watermark %d, want %d of %v", m.mark, mark, fates)
				}
				for n, f := range fates[1:] {
					if m.touches(Num(n+1)) == allShards {
						t.Fatalf("%d touches all shards, and wrote one key", n+1)
					}
					if got := m.fate(Num(n + 1)); got != f {
						t.Fatalf("%d is %d, want %d", n+1, got, f)
					}
				}
			},
		})
	})
}

// TestMove moves shards and loads the metadata again.
func TestMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, want := newMeta(twoNodes(), 2, nil), shards(0b1010)
		for range 4 {
			mv := moving{Shard: rapid.IntRange(-1, shardCount).Draw(t, "shard"), To: "n2"}
			done := m.Apply(0, 0, kv.Command{F: "move", Value: marshal(mv)}).Outcome == protocol.OK
			if exists := mv.Shard >= 0 && mv.Shard < shardCount; done != exists {
				t.Fatalf("%+v: %v", mv, done)
			} else if exists {
				want |= of(mv.Shard)
			}
		}
		r := newMeta(twoNodes(), 2, nil)
		if err := r.Decode(m.Encode()); err != nil {
			t.Fatal(err)
		}
		if r.owned("n2") != want || r.owned("n1") != allShards&^want {
			t.Fatalf("n1 owns %v, n2 owns %v, want %v", r.owned("n1"), r.owned("n2"), want)
		}
	})
}

// FuzzStep feeds a node with any payload: it must not panic.
func FuzzStep(f *testing.F) {
	o := op{
		Num: 1, Total: 1, Key: "k",
		Updates: []versions.Update{{Kind: "list", F: "append", Arg: "1"}},
	}
	for k := kindOp; k < kindEnd; k++ {
		w := wire{Kind: k, Num: 1, Epoch: 1, Txn: 1, Key: "k"}
		if k == kindOp || k == kindFetched {
			w.Op = &o
		}
		f.Add(tagged(ofNode, encode(w)))
	}
	f.Add([]byte{ofGroup, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := New(Quorum)(protocol.Config{
			Self: "n1", Members: []protocol.NodeID{"n1", "n2", "n3"}, Epoch: 1, RequestTimeout: 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		m.Submit(0, protocol.Request{ID: 1, Object: "register", F: "read", Key: "k"})
		m.Step(1, protocol.Message{From: "n2", To: "n1", Epoch: 1, Payload: payload})
		m.Tick(2)
		m.Ready()
		m.Step(3, protocol.Message{From: "n3", To: "n1", Epoch: 1, Payload: payload})
		m.Tick(2000)
		if n := len(m.Ready().Replies); n != 1 {
			t.Fatalf("%d replies", n)
		}
		Describe(payload)
	})
}
