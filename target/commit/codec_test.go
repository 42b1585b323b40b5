package commit

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

func anyID(t *rapid.T, label string) TxnID {
	return TxnID{
		Home:  protocol.NodeID(rapid.StringMatching(`[a-z/0-9]{1,12}`).Draw(t, label)),
		Epoch: protocol.Epoch(rapid.Uint64().Draw(t, label)),
		N:     rapid.Uint64().Draw(t, label),
	}
}

func TestTxnIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := anyID(t, "id")
		if got, err := parseTxnID(id.String()); err != nil || got != id {
			t.Fatalf("%v read as %v: %v", id, got, err)
		}
	})
	for _, s := range []string{"", "n1", "n1/2", "/1/2", "n1/x/2", "n1/2/x", "n1/2/-3"} {
		if id, err := parseTxnID(s); err == nil {
			t.Errorf("%q read as %v", s, id)
		}
	}
}

// TestHandles: two lives of a node give out different handles.
func TestHandles(t *testing.T) {
	a := handle(TxnID{Epoch: 1, N: 1<<handleBits - 1})
	b := handle(TxnID{Epoch: 2, N: 1})
	if a >= b || b > 1<<53 {
		t.Errorf("handles %d and %d", a, b)
	}
}

// TestMessages writes and reads every kind of message.
func TestMessages(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	id, e := TxnID{Home: "n1", Epoch: 2, N: 3}, election{Round: 4, Node: "n3"}
	op := operation{Object: "list", F: "append", Key: "k\xff", Value: `"x"`}
	r := kv.Result{Outcome: protocol.Fail, Code: "aborted", Error: "why"}
	for kind, body := range map[msgKind]any{
		kindOperate: &operate{T: id, Session: 1, Low: 2, ShardEpoch: 3, Number: 4, Op: op, First: true},
		kindAnswer:  &answer{T: id, Number: 4, Result: r},
		kindPrepare: &prepare{T: id, Age: 1, Low: 2, ShardEpoch: 3, Ops: []operation{op},
			Participants: []protocol.NodeID{"n1", "n2"}, Once: true},
		kindVote:     &vote{T: id, Yes: true, Results: []kv.Result{r}, Why: r},
		kindDecision: &decision{T: id, Commit: true},
		kindAck:      &ack{T: id},
		kindInquiry:  &inquiry{T: id},
		kindStanding: &standing{T: id, Known: true},
		kindElect:    &elect{T: id, E: e},
		kindState: &state{T: id, E: e, Attempt: e, Pre: toCommit, Outcome: toAbort,
			Restarted: true},
		kindAttempt:   &attempt{T: id, E: e, Commit: true},
		kindAttempted: &attempted{T: id, E: e},
		kindRefusal:   &refusal{T: id, E: e, Elected: e},
		kindForget:    &forget{T: id},
	} {
		b := encode(kind, body)
		got, err := c.decode(b)
		if err != nil || !reflect.DeepEqual(got, body) {
			t.Errorf("%#v read as %#v: %v", body, got, err)
		}
		if strings.Contains(Describe(b), "commit.") {
			t.Errorf("%T has no description: %s", body, Describe(b))
		}
	}
}

// TestDecisionsEncoding: equal states encode to equal bytes, and come back.
func TestDecisionsEncoding(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := newDecisions(c, nil)
		for range rapid.IntRange(0, 20).Draw(t, "entries") {
			id := TxnID{
				Home:  rapid.SampledFrom([]protocol.NodeID{"n1", "n2"}).Draw(t, "home"),
				Epoch: protocol.Epoch(rapid.IntRange(1, 2).Draw(t, "epoch")),
				N:     uint64(rapid.IntRange(1, 9).Draw(t, "n")),
			}
			cmd := kv.Command{Kind: kv.Op, Object: decisionObject, Key: id.String(), Value: "n1 n2"}
			switch cmd.F = rapid.SampledFrom([]string{saysCommit, saysAbort, "done"}).Draw(t, "f"); {
			case cmd.F == "done":
				cmd.Key, cmd.Value = "", id.String()+" "+id.String()
				d.Apply(1, 0, cmd)
				if !d.isOver(id) {
					t.Fatalf("%v is not over", id)
				}
			default:
				over, first := d.isOver(id), d.decided[id]
				_, there := d.decided[id]
				says := d.Apply(1, 0, cmd).Value
				if over != (says == saysOver) || there && !over && says == saysCommit != first.commit {
					t.Fatalf("%v: %s after %v %t", id, says, first, over)
				}
			}
		}
		e := newDecisions(c, nil)
		if err := e.Decode(d.Encode()); err != nil || !bytes.Equal(e.Encode(), d.Encode()) {
			t.Fatalf("came back different (%v)", err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	id := TxnID{Home: "n1", Epoch: 1, N: 1}
	f.Add(encode(kindPrepare, &prepare{T: id, Ops: []operation{{Object: "list", F: "append"}}}))
	f.Add(encode(kindOperate, &operate{T: id, Number: math.MaxUint64}))
	f.Add([]byte{partGroup, 1, 0x81})
	f.Add([]byte{partShards})
	f.Fuzz(func(t *testing.T, b []byte) {
		Describe(b)
		for _, name := range []string{"2pc", "3pc"} {
			cfg := protocol.Config{Self: "n2", Members: []protocol.NodeID{"n1", "n2"}, Epoch: 1}
			m, err := newMachine(cfg, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				m.Step(1, protocol.Message{From: "n1", To: "n2", Epoch: 1, Payload: b})
				m.Tick(2)
				for _, out := range m.Ready().Messages {
					if len(out.Payload) > protocol.MaxPayload {
						t.Errorf("%d bytes", len(out.Payload))
					}
				}
			}
			// What is on disk may be damaged as well; the driver's checksum finds
			// that, but a machine must not panic.
			cfg.Epoch, cfg.Records = 2, [][]byte{b}
			_, _ = newMachine(cfg, name, nil)
		}
	})
}
