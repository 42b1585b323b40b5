package paxos

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/mesh"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// samples has a message of every kind, with something in every field.
func samples() map[msgKind]any {
	b := Ballot{Round: 7, Node: "n2", Epoch: 3}
	c := kv.Command{
		Kind: kv.Op, Origin: kv.Origin{Node: "n3", Epoch: 2, N: 9, Low: 8}, Session: 4, Seq: 5,
		Object: "register", F: "write", Key: "k\xff", Value: `{"x":[1,2]}`, Elapsed: 11,
	}
	ps := []proposal{{Slot: 3, Command: c}, {Slot: 4, Command: kv.Command{Kind: kv.Noop}}}
	h := have{Commit: 4, Snapshot: 5, Part: 6}
	return map[msgKind]any{
		kindPing:          &mesh.Ping{N: 1, Heard: 7, Links: 5, Reach: 9},
		kindPreVote:       &preVote{Token: 5, Commit: 9},
		kindPreVoteAnswer: &preVoteAnswer{Token: 5, Granted: true, Promised: b},
		kindPrepare:       &prepare{Ballot: b, From: 3, Transfer: true},
		kindPromise: &promise{Ballot: b, From: 1, To: 9, Last: true, Base: 2,
			Votes: []vote{{Slot: 3, Ballot: b, Chosen: true, Command: c}}},
		kindAccept:   &accept{Ballot: b, Commit: 2, Proposals: ps, Stamp: b},
		kindAccepted: &accepted{Ballot: b, Slots: []uint64{3, 4}},
		kindNack:     &nack{Ballot: b, Promised: b},
		kindHeartbeat: &heartbeat{Ballot: b, Nonce: 3, Commit: 4, Sent: 5, Asked: 6,
			Context: 9, Released: true, Renewals: []renewal{{Epoch: 1, Until: 2, Base: 3}, {}}},
		kindHeartbeatAnswer: &heartbeatAnswer{Ballot: b, Nonce: 3, LeaderCommit: 4, Sent: 5,
			Have: h, Asked: 6, Clock: 7, Granted: true, Base: 8, Context: 9},
		kindForward: &forward{Command: c},
		kindForwardAnswer: &forwardAnswer{Origin: c.Origin,
			Result: kv.Result{Outcome: protocol.Fail, Value: "1", Code: "c", Error: "e"}},
		kindRead:         &read{Token: 8},
		kindReadAnswer:   &readAnswer{Token: 8, Index: 9, Ballot: b, Commit: 10},
		kindLearn:        &learn{Proposals: ps, More: true},
		kindSnapshotPart: &snapshotPart{Index: 9, Parts: 3, Part: 1, Sum: 7, Data: []byte{1}, More: true},
		kindProgress:     &progress{Have: h},
		kindTransfer:     &transfer{Ballot: b},
		kindOrder:        &order{F: "transfer", Target: "n2"},
	}
}

func TestMessagesRoundTrip(t *testing.T) {
	codec, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	all := samples()
	for k := kindPing; k <= kindOrder; k++ {
		want := all[k]
		b := codec.encode(k, want)
		got, err := codec.decode(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%T: got %+v, %v; want %+v", want, got, err, want)
		}
		if text := Describe(b); text == "garbage" || strings.Contains(text, "*paxos.") {
			t.Errorf("%T is described as %q", want, text)
		}
		for i := range b {
			if _, err := codec.decode(b[:i]); err == nil {
				t.Errorf("%T: the first %d of %d bytes are taken for a message", want, i, len(b))
			}
		}
	}
	if newBody(kindOrder+1) != nil {
		t.Error("a kind of message has no sample")
	}
}

// TestBatchesFit fills batches with the largest commands and with the smallest,
// and checks that the message fits a datagram with room for the envelope.
func TestBatchesFit(t *testing.T) {
	for _, size := range []int{0, 1, 100, 10_000, kv.MaxCommand} {
		c := kv.Command{
			Kind: kv.Op, Session: math.MaxUint64, Seq: math.MaxUint64, Elapsed: math.MaxInt64,
			Object: "register", F: "write", Value: strings.Repeat("v", size),
			Origin: kv.Origin{
				Node: "node-1", Epoch: math.MaxUint64, N: math.MaxUint64, Low: math.MaxUint64,
			},
		}
		var ps []proposal
		m, err := New(protocol.Config{Self: "node-1", Members: []protocol.NodeID{"node-1"}})
		if err != nil {
			t.Fatal(err)
		}
		b := Ballot{Round: math.MaxUint64, Node: "node-1", Epoch: math.MaxUint64}
		for k := range uint64(1000) {
			ps = append(ps, proposal{Slot: math.MaxUint64 - k, Command: c})
			*m.log.grow(k + 1) = slotState{vote: b, cmd: c, chosen: true}
		}
		n := fits(ps)
		if l := len(m.codec.encode(kindAccept, accept{Ballot: b, Proposals: ps[:n]})); l > 50_000 {
			t.Errorf("%d commands of %d bytes make a message of %d bytes", n, size, l)
		}
		p := m.votesFrom(b, 1)
		l := len(m.codec.encode(kindPromise, p))
		if l > 50_000 || len(p.Votes) == 0 || p.To != uint64(len(p.Votes)) {
			t.Errorf("%d votes of %d bytes make a message of %d bytes", len(p.Votes), size, l)
		}
	}
}

// FuzzStep gives a machine in each role a message that may be garbage, may be
// well-formed and lie. It must not panic, and must go on.
func FuzzStep(f *testing.F) {
	codec, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	for k, body := range samples() {
		f.Add(codec.encode(k, body))
	}
	huge := uint64(math.MaxUint64)
	for k, body := range map[msgKind]any{
		kindPromise:      promise{Ballot: Ballot{Round: 3, Node: "n1", Epoch: 1}, From: 1, To: huge},
		kindAccept:       accept{Ballot: Ballot{Round: 9, Node: "n2"}, Commit: huge},
		kindLearn:        learn{Proposals: []proposal{{Slot: huge}, {Slot: 0}}},
		kindSnapshotPart: snapshotPart{Index: huge, Parts: 1 << 40, Part: -1},
		kindProgress:     progress{Have: have{Commit: huge, Part: math.MinInt}},
		kindHeartbeat:    heartbeat{Ballot: Ballot{Round: huge, Node: "n2"}, Commit: huge},
	} {
		f.Add(codec.encode(k, body))
	}
	f.Add([]byte{})
	f.Add([]byte{byte(kindPing), 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, r := range []role{follower, preCandidate, candidate, leader} {
			m := inRole(t, r)
			for now := range protocol.Time(4) {
				m.Step(now*100*ms, protocol.Message{From: "n2", To: "n1", Epoch: 1, Payload: payload})
				m.Submit(now*100*ms, protocol.Request{
					ID: protocol.RequestID(now), Object: "counter", F: "add", Value: "1",
				})
				m.Tick(now * 100 * ms)
				out := m.Ready()
				for _, msg := range out.Messages {
					if len(msg.Payload) > protocol.MaxPayload {
						t.Fatalf("a message of %d bytes", len(msg.Payload))
					}
				}
			}
		}
	})
}

func inRole(t *testing.T, r role) *Machine {
	m, err := New(protocol.Config{
		Self: "n1", Members: []protocol.NodeID{"n1", "n2", "n3"}, Epoch: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Tick(0)
	if r != follower {
		m.campaign()
	}
	if r == candidate || r == leader {
		m.onPreVoteAnswer(1, &preVoteAnswer{Token: m.cand.token, Granted: true})
	}
	if r == leader {
		m.onPromise(1, &promise{Ballot: m.ballot, From: 1, Last: true})
	}
	if m.role != r {
		t.Fatalf("role is %v, want %v", m.role, r)
	}
	return m
}

// FuzzRestore starts a machine from a disk that may hold anything.
func FuzzRestore(f *testing.F) {
	m, err := New(protocol.Config{Self: "n1", Members: []protocol.NodeID{"n1"}, Epoch: 1})
	if err != nil {
		f.Fatal(err)
	}
	m.Tick(0)
	m.campaign()
	first := m.Ready()
	m.checkpointDue = true
	f.Add(m.Ready().Checkpoint, first.Records[len(first.Records)-1])
	bad, err := cbor.Marshal(checkpoint{Version: checkpointVersion, Base: 9, Commit: 3})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bad, []byte{0x82})
	f.Fuzz(func(t *testing.T, ckpt, rec []byte) {
		m, err := New(protocol.Config{
			Self: "n1", Members: []protocol.NodeID{"n1"}, Epoch: 2,
			Checkpoint: ckpt, Records: [][]byte{rec},
		})
		if err != nil {
			return
		}
		for now := protocol.Time(0); now < 3000*ms; now += 100 * ms {
			m.Tick(now)
			m.Ready()
		}
	})
}
