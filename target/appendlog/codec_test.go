package appendlog

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

func drawSeries(t *rapid.T) Series {
	return Series{
		Node:  protocol.NodeID(rapid.String().Draw(t, "node")),
		Epoch: protocol.Epoch(rapid.Uint64().Draw(t, "epoch")),
	}
}

func drawElement(t *rapid.T) Element {
	seq := rapid.Uint64Range(1, math.MaxUint64-1).Draw(t, "number")
	return Element{
		ID: ID{Series: drawSeries(t), Seq: seq}, Time: rapid.Uint64().Draw(t, "time"),
		Object: rapid.String().Draw(t, "object"), Key: rapid.String().Draw(t, "key"),
		Value: rapid.String().Draw(t, "value"),
	}
}

func drawHolding(t *rapid.T) holding {
	var r ranges
	for _, n := range rapid.SliceOfN(rapid.Uint64Range(1, 99), 0, 9).Draw(t, "numbers") {
		r = r.with(n)
	}
	return holding{Series: drawSeries(t), Ranges: r}
}

func decoder(t interface{ Fatal(...any) }) *codec {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCodecRoundTrip(t *testing.T) {
	c := decoder(t)
	rapid.Check(t, func(t *rapid.T) {
		w := message{
			Kind:     kind(rapid.IntRange(1, int(kindEnd)-1).Draw(t, "kind")),
			Node:     protocol.NodeID(rapid.String().Draw(t, "of")),
			Total:    rapid.Uint64().Draw(t, "total"),
			Elements: rapid.SliceOfN(rapid.Custom(drawElement), 1, 3).Draw(t, "elements"),
			Holdings: rapid.SliceOfN(rapid.Custom(drawHolding), 1, 3).Draw(t, "holdings"),
		}
		b := encode(w)
		if got, err := c.decodeMessage(b); err != nil || !reflect.DeepEqual(got, w) {
			t.Fatalf("decodeMessage = %+v, %v, want %+v", got, err, w)
		}
		for n := range b {
			if _, err := c.decodeMessage(b[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes decode", n, len(b))
			}
		}
		e := w.Elements[0]
		if got, err := c.decodeElement(encode(e)); err != nil || got != e {
			t.Fatalf("decodeElement = %+v, %v, want %+v", got, err, e)
		}
		es, err := c.decodeCheckpoint(encode(w.Elements))
		if err != nil || !slices.Equal(es, w.Elements) {
			t.Fatalf("decodeCheckpoint = %+v, %v, want %+v", es, err, w.Elements)
		}
	})
}

func TestTokenRoundTrip(t *testing.T) {
	c := decoder(t)
	rapid.Check(t, func(t *rapid.T) {
		tok := &token{time: rapid.Uint64().Draw(t, "time"), marks: map[Series]uint64{}}
		for _, s := range rapid.SliceOfN(rapid.Custom(drawSeries), 0, 9).Draw(t, "series") {
			tok.see(s, rapid.Uint64Min(1).Draw(t, "number"))
		}
		got, err := c.decodeToken(tok.encode())
		if err != nil || got.time != tok.time || !maps.Equal(got.marks, tok.marks) {
			t.Fatalf("decodeToken = %+v, %v, want %+v", got, err, tok)
		}
	})
	for _, bad := range []string{"?", "AA", "ggGBgmFhgQE"} { // the last: an epoch, no number
		if tok, err := c.decodeToken(bad); err == nil {
			t.Errorf("token %q decodes to %+v", bad, tok)
		}
	}
}

// TestTokensStaySmall: a token is carried in every request, at most 4096 bytes of
// it. Here five nodes were restarted a hundred times each.
func TestTokensStaySmall(t *testing.T) {
	tok := &token{marks: map[Series]uint64{}}
	for _, node := range []protocol.NodeID{"n1", "n2", "n3", "n4", "n5"} {
		for epoch := range protocol.Epoch(100) {
			tok.see(Series{Node: node, Epoch: epoch + 1}, 200)
		}
	}
	if n := len(tok.encode()); n > 4096 {
		t.Errorf("a token has %d bytes", n)
	}
}

// FuzzStep feeds a machine with any payload and any token: it must not panic, and
// answers its clients all the same.
func FuzzStep(f *testing.F) {
	e := Element{ID: ID{Series: Series{Node: "n2", Epoch: 1}, Seq: 2}, Time: 1, Key: "k", Value: "7"}
	h := holding{Series: e.ID.Series, Ranges: ranges{{From: 2, To: 2}}}
	f.Add(encode(message{Kind: kindElements, Elements: []Element{e}}), "")
	f.Add(encode(message{Kind: kindKept, Holdings: []holding{h}}), "AA")
	f.Add(encode(message{Kind: kindHave, Node: "n1", Holdings: []holding{h}, Total: 9}), "?")
	f.Add([]byte{}, (&token{marks: map[Series]uint64{e.ID.Series: 1}}).encode())
	f.Fuzz(func(t *testing.T, payload []byte, tok string) {
		_ = Describe(payload)
		m, err := New(protocol.Config{
			Self: "n1", Members: []protocol.NodeID{"n1", "n2", "n3"}, Epoch: 1, RequestTimeout: 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		m.Submit(0, protocol.Request{ID: 1, Object: "log", F: "append", Key: "k", Value: "1", Token: tok})
		m.Submit(0, protocol.Request{ID: 2, Object: "log", F: "read", Key: "k", Token: tok})
		m.Step(1, protocol.Message{From: "n2", To: "n1", Payload: payload})
		m.Tick(2000)
		if r := m.Ready(); len(r.Replies) != 2 {
			t.Errorf("%d replies", len(r.Replies))
		}
	})
}

// FuzzRecover starts a machine from any records: an error, or a machine.
func FuzzRecover(f *testing.F) {
	e := Element{ID: ID{Series: Series{Node: "n2", Epoch: 1}, Seq: 2}, Time: 1, Key: "k", Value: "7"}
	f.Add(encode([]Element{e}), encode(e))
	f.Add([]byte{}, []byte{})
	f.Add([]byte{0x9a, 0xff, 0xff, 0xff, 0xff}, encode(e)) // four billion elements
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

func TestNewRefuses(t *testing.T) {
	three := []protocol.NodeID{"n1", "n2", "n3"}
	for _, c := range []struct {
		name   string
		change func(*protocol.Config)
		want   []string
	}{
		{name: "nothing", change: func(*protocol.Config) {}},
		{name: "all at once", change: func(c *protocol.Config) { *c = protocol.Config{} },
			want: []string{`self ""`, "request timeout"}},
		{name: "twice the same",
			change: func(c *protocol.Config) { c.Members = []protocol.NodeID{"n1", "n2", "n1"} },
			want:   []string{"not distinct"}},
		{name: "bad record", change: func(c *protocol.Config) { c.Records = [][]byte{{1}} },
			want: []string{"recover record 0"}},
		{name: "number nobody gives",
			change: func(c *protocol.Config) { c.Records = [][]byte{encode(Element{})} },
			want:   []string{"recover record 0", "malformed"}},
		{name: "bad checkpoint", change: func(c *protocol.Config) { c.Checkpoint = []byte{2} },
			want: []string{"recover checkpoint"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := protocol.Config{Self: "n1", Members: three, RequestTimeout: 1}
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

// TestDatagramsFit has a member that lacks everything catch up with many elements,
// some of them as great as is accepted: all of it arrives, in datagrams that fit.
func TestDatagramsFit(t *testing.T) {
	one := func(self protocol.NodeID) *Machine {
		m, err := New(protocol.Config{
			Self: self, Members: []protocol.NodeID{"n1", "n2"}, RequestTimeout: 1, Epoch: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	n1, n2 := one("n1"), one("n2")
	for i := range 40 {
		size := 10
		if i%5 == 0 {
			size = maxData - 1
		}
		n1.Submit(0, protocol.Request{
			ID: protocol.RequestID(i), Object: "log", F: "append", Key: "k",
			Value: strings.Repeat("1", size),
		})
	}
	n1.Submit(0, protocol.Request{
		ID: 99, Object: "log", F: "append", Key: "k", Value: strings.Repeat("1", maxData),
	})
	tooLarge := func(r protocol.Reply) bool { return r.ID == 99 && r.Code == "too-large" }
	if r := n1.Ready(); !slices.ContainsFunc(r.Replies, tooLarge) {
		t.Errorf("replies %v", r.Replies)
	}
	rounds := 0
	for now := protocol.Time(0); len(n2.store.elements) < 40 && rounds < 10; rounds++ {
		now += tellEvery
		n2.Tick(now)
		for _, q := range n2.Ready().Messages {
			n1.Step(now, protocol.Message{From: "n2", To: "n1", Payload: q.Payload})
		}
		for _, a := range n1.Ready().Messages {
			if len(a.Payload) > protocol.MaxPayload {
				t.Fatalf("a message has %d bytes", len(a.Payload))
			}
			n2.Step(now, protocol.Message{From: "n1", To: "n2", Payload: a.Payload})
		}
	}
	if got, want := n2.store.show("log", "k"), n1.store.show("log", "k"); got != want {
		t.Errorf("after %d rounds n2 has %d bytes, n1 %d", rounds, len(got), len(want))
	}
}

// TestGreatDigests has a node that was hit by losses ask for what it lacks: its
// holdings do not fit one message, and it still gets everything in the end.
func TestGreatDigests(t *testing.T) {
	long := protocol.NodeID(strings.Repeat("n", 64))
	one := func(self protocol.NodeID) *Machine {
		m, err := New(protocol.Config{
			Self: self, Members: []protocol.NodeID{"n1", "n2", long}, RequestTimeout: 1, Epoch: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	n1, n2 := one("n1"), one("n2")
	for seq := uint64(1); seq <= 6000; seq++ {
		e := Element{ID: ID{Series: Series{Node: long, Epoch: 1 + protocol.Epoch(seq/5000)}, Seq: seq},
			Time: seq, Object: "log", Key: "k", Value: "1"}
		n1.store.add(e)
		if seq%2 == 0 {
			n2.store.add(e)
		}
	}
	rounds := 0
	for now := protocol.Time(0); len(n2.store.elements) < 6000 && rounds < 40; rounds++ {
		now += tellEvery
		n2.tellHave()
		for _, q := range n2.Ready().Messages {
			if len(q.Payload) > protocol.MaxPayload {
				t.Fatalf("a digest has %d bytes", len(q.Payload))
			}
			n1.Step(now, protocol.Message{From: "n2", To: "n1", Payload: q.Payload})
		}
		for _, a := range n1.Ready().Messages {
			n2.Step(now, protocol.Message{From: "n1", To: "n2", Payload: a.Payload})
		}
		n2.Ready()
	}
	if got := len(n2.store.elements); got != 6000 {
		t.Errorf("after %d rounds n2 holds %d elements", rounds, got)
	}
}
