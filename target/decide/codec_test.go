package decide

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

func drawBallot(t *rapid.T, name string) Ballot {
	return Ballot{
		Round: rapid.Uint64().Draw(t, name+" round"),
		Node:  protocol.NodeID(rapid.String().Draw(t, name+" node")),
		Epoch: protocol.Epoch(rapid.Uint64().Draw(t, name+" epoch")),
	}
}

func drawVote(t *rapid.T) Vote {
	return Vote{Ballot: drawBallot(t, "vote"), Value: rapid.String().Draw(t, "value")}
}

func drawAcceptor(t *rapid.T) acceptor {
	return acceptor{Promised: drawBallot(t, "promised"), Vote: drawVote(t)}
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
			Instance: rapid.String().Draw(t, "instance"), Ballot: drawBallot(t, "ballot"),
			Vote: drawVote(t), Promised: drawBallot(t, "promised"),
		}
		b := encode(w)
		if got, err := c.decodeMessage(b); err != nil || got != w {
			t.Fatalf("decodeMessage = %+v, %v, want %+v", got, err, w)
		}
		for n := range b {
			if _, err := c.decodeMessage(b[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes decode", n, len(b))
			}
		}
		if _, err := c.decodeMessage(append(b, 0)); err == nil {
			t.Fatal("one byte too many decodes")
		}
		a := drawAcceptor(t)
		r, err := c.decodeRecord(encodeRecord(w.Instance, a))
		if err != nil || r.Instance != w.Instance || r.Acceptor != a {
			t.Fatalf("decodeRecord = %+v, %v, want %+v", r, err, a)
		}
	})
}

func TestCheckpointRoundTrip(t *testing.T) {
	c := decoder(t)
	rapid.Check(t, func(t *rapid.T) {
		m := &Machine{acceptors: map[string]acceptor{}}
		for _, key := range rapid.SliceOfN(rapid.String(), 0, 8).Draw(t, "instances") {
			m.acceptors[key] = drawAcceptor(t)
		}
		got := map[string]acceptor{}
		if err := c.decodeCheckpoint(m.checkpoint(), got); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, m.acceptors) {
			t.Fatalf("checkpoint of %v decodes to %v", m.acceptors, got)
		}
	})
}

// FuzzStep feeds a machine with any payload: it must not panic, and answers its
// client all the same.
func FuzzStep(f *testing.F) {
	b := Ballot{Round: 3, Node: "n2", Epoch: 1}
	for k := kindPrepare; k < kindEnd; k++ {
		f.Add(encode(message{
			Kind: k, Instance: "k", Ballot: b, Vote: Vote{Ballot: b, Value: "7"}, Promised: b,
		}))
	}
	f.Add([]byte{})
	f.Add([]byte{0x85, 1})
	f.Fuzz(func(t *testing.T, payload []byte) {
		c := decoder(t)
		if w, err := c.decodeMessage(payload); err == nil {
			if again, err := c.decodeMessage(encode(w)); err != nil || again != w {
				t.Errorf("%+v encodes to %+v, %v", w, again, err)
			}
		}
		_ = Describe(payload)
		m, err := New(protocol.Config{
			Self: "n1", Members: []protocol.NodeID{"n1", "n2", "n3"}, Epoch: 1, RequestTimeout: 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		m.Submit(0, protocol.Request{ID: 1, Object: "decide", F: "propose", Key: "k", Value: "1"})
		m.Step(1, protocol.Message{From: "n2", To: "n1", Payload: payload})
		m.Tick(2000)
		if r := m.Ready(); len(r.Replies) != 1 {
			t.Errorf("%d replies", len(r.Replies))
		}
	})
}

// FuzzRecover starts a machine from any records: an error, or a machine.
func FuzzRecover(f *testing.F) {
	a := acceptor{Promised: Ballot{Round: 3, Node: "n2", Epoch: 1}}
	m := &Machine{acceptors: map[string]acceptor{"k": a}}
	f.Add(m.checkpoint(), encodeRecord("k", a))
	f.Add([]byte{}, []byte{})
	f.Add([]byte{0x9a, 0xff, 0xff, 0xff, 0xff}, encodeRecord("k", a)) // four billion acceptors
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

// TestBallotOrder compares ballots with the order that the protocol states, for
// all pairs of a list that is in order.
func TestBallotOrder(t *testing.T) {
	ballots := []Ballot{
		{},
		{Round: 1, Node: "n1", Epoch: 1},
		{Round: 1, Node: "n1", Epoch: 2},
		{Round: 1, Node: "n2", Epoch: 1},
		{Round: 2, Node: "n1", Epoch: 1},
		{Round: 10, Node: "n1", Epoch: 1}, // numbers, not strings
		{Round: math.MaxUint64, Node: "n1", Epoch: 1},
	}
	for i, a := range ballots {
		for j, b := range ballots {
			if a.Less(b) != (i < j) {
				t.Errorf("%v and %v: Less %v", a, b, a.Less(b))
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	three := []protocol.NodeID{"n1", "n2", "n3"}
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
			want: []string{"recover record 0"}},
		{name: "bad checkpoint", change: func(c *protocol.Config) { c.Checkpoint = []byte{2} },
			want: []string{"recover checkpoint"}},
		{name: "empty checkpoint", change: func(c *protocol.Config) { c.Checkpoint = []byte{} },
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

// TestDatagramsFit proposes the greatest value that is accepted, in ballots that
// take the most room.
func TestDatagramsFit(t *testing.T) {
	node := protocol.NodeID(strings.Repeat("n", 64))
	b := Ballot{Round: math.MaxUint64, Node: node, Epoch: math.MaxUint64}
	w := message{
		Kind: kindNack, Instance: "k", Ballot: b, Promised: b,
		Vote: Vote{Ballot: b, Value: strings.Repeat("1", maxData-1)},
	}
	if n := len(encode(w)); n > protocol.MaxPayload {
		t.Errorf("a message has %d bytes", n)
	}
	m, err := New(protocol.Config{
		Self: "n1", Members: []protocol.NodeID{"n1", "n2"}, RequestTimeout: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Submit(0, protocol.Request{
		ID: 2, Object: "decide", F: "propose", Key: "k", Value: strings.Repeat("1", maxData),
	})
	replies := m.Ready().Replies
	tooLarge := func(r protocol.Reply) bool { return r.ID == 2 && r.Code == "too-large" }
	if !slices.ContainsFunc(replies, tooLarge) {
		t.Errorf("replies %v", replies)
	}
}
