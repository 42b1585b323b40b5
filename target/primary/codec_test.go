package primary

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
	c := kv.Command{
		Kind: kv.Op, Origin: kv.Origin{Node: "n3", Epoch: 2, N: 9, Low: 8}, Session: 4, Seq: 5,
		Object: "register", F: "write", Key: "k\xff", Value: `{"x":[1,2]}`, Elapsed: 11,
	}
	es := []entry{{View: 3, Command: c}, {View: 4, Command: kv.Command{Kind: kv.Noop}}}
	h := have{Seq: 5, Sum: 6, Part: 7}
	return map[msgKind]any{
		kindPing:         &mesh.Ping{N: 1, Heard: 7, Links: 5, Reach: 9},
		kindSurvey:       &survey{Token: 5, Commit: 9},
		kindSurveyAnswer: &surveyAnswer{Token: 5, Granted: true, View: 3},
		kindNewView:      &newView{View: 3, Sanctioned: true},
		kindJoined:       &joined{View: 3, Log: end{View: 2, Seq: 8}},
		kindFetch:        &fetch{View: 3, Prev: 4},
		kindFetched:      &fetched{View: 3, Prev: 4, Entries: es, Done: true, Forgotten: true},
		kindRefusal:      &refusal{View: 3, Joined: 4},
		kindReplicate: &replicate{
			View: 3, Nonce: 4, Sent: 5, Commit: 6, Prev: 7, PrevView: 2, Entries: es,
		},
		kindLogged: &logged{View: 3, Nonce: 4, Sent: 5, Matched: 6, Want: 7, State: h},
		kindStatePart: &statePart{
			View: 3, Index: end{View: 2, Seq: 9}, Sum: 7, Parts: 3, Part: 1, Data: []byte{1},
		},
		kindCommand: &command{Command: c},
		kindRead:    &read{Epoch: 2, N: 8, Ask: 9, Object: "set", Key: "k"},
		kindAnswer: &answer{
			Epoch: 2, N: 3, Ask: 4, Seq: 5, Part: 1, Parts: 2,
			Outcome: protocol.Fail, Value: "1", Code: "c", Error: "e",
		},
		kindHandOver: &handOver{Target: 2},
		kindTakeOver: &takeOver{View: 3},
	}
}

func TestMessagesRoundTrip(t *testing.T) {
	codec, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	all := samples()
	for k := kindPing; k <= kindTakeOver; k++ {
		want := all[k]
		b := encode(k, want)
		got, err := codec.decode(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%T: got %+v, %v; want %+v", want, got, err, want)
		}
		if text := Describe(b); text == "garbage" || strings.Contains(text, "*primary.") {
			t.Errorf("%T is described as %q", want, text)
		}
		for i := range b {
			if _, err := codec.decode(b[:i]); err == nil {
				t.Errorf("%T: the first %d of %d bytes are taken for a message", want, i, len(b))
			}
		}
	}
	if newBody(kindTakeOver+1) != nil {
		t.Error("a kind of message has no sample")
	}
}

// TestMessagesFit fills messages with the largest commands and with the smallest,
// and with answers of every size, and checks that they fit a datagram with room for
// the envelope.
func TestMessagesFit(t *testing.T) {
	for _, size := range []int{0, 1, 100, 10_000, kv.MaxCommand, 200_000} {
		value := strings.Repeat("v", size)
		c := kv.Command{
			Kind: kv.Op, Session: math.MaxUint64, Seq: math.MaxUint64, Elapsed: math.MaxInt64,
			Object: "register", F: "write", Value: value,
			Origin: kv.Origin{
				Node: "node-1", Epoch: math.MaxUint64, N: math.MaxUint64, Low: math.MaxUint64,
			},
		}
		m := leadingAlone(t)
		if size <= kv.MaxCommand {
			for range 600 {
				m.log.put(m.log.last()+1, []entry{{View: math.MaxUint64, Command: c}})
			}
			es := m.log.from(0)
			b := encode(kindReplicate, replicate{
				View: math.MaxUint64, Nonce: math.MaxUint64, Sent: math.MaxInt64,
				Commit: math.MaxUint64, Prev: math.MaxUint64, Entries: es,
			})
			if len(b) > 50_000 || len(es) == 0 {
				t.Errorf("%d commands of %d bytes make %d bytes", len(es), size, len(b))
			}
		}
		m.out = protocol.Ready{}
		m.sendAnswer(1, answer{N: 1, Value: value, Error: strings.Repeat("e", 400)})
		got := ""
		for _, msg := range m.out.Messages {
			body, err := m.codec.decode(msg.Payload)
			if err != nil || len(msg.Payload) > 50_000 {
				t.Fatalf("an answer of %d bytes (%v)", len(msg.Payload), err)
			}
			got += body.(*answer).Value
		}
		if got != value {
			t.Errorf("of a value of %d bytes %d are sent", size, len(got))
		}
	}
}

// leadingAlone is a primary whose copies have not said anything yet.
func leadingAlone(t testing.TB) *Machine {
	m := inRole(t, candidate)
	m.onJoined(1, &joined{View: m.view})
	m.Ready()
	return m
}

func inRole(t testing.TB, r role) *Machine {
	m, err := New(protocol.Config{
		Self: "n1", Members: []protocol.NodeID{"n1", "n2", "n3"}, Epoch: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Tick(0)
	if r != copying {
		m.ask()
	}
	if r == candidate || r == leading {
		m.onSurveyAnswer(1, &surveyAnswer{Token: m.cand.token, Granted: true})
	}
	if r == leading {
		m.onJoined(1, &joined{View: m.view})
	}
	if m.role != r {
		t.Fatalf("role is %v, want %v", m.role, r)
	}
	return m
}

// FuzzStep gives a machine in each role a message that may be garbage, may be
// well-formed and lie. It must not panic, and must go on.
func FuzzStep(f *testing.F) {
	for k, body := range samples() {
		f.Add(encode(k, body))
	}
	huge := uint64(math.MaxUint64)
	for k, body := range map[msgKind]any{
		kindJoined:    joined{View: 3, Log: end{View: 9, Seq: huge}},
		kindFetch:     fetch{View: 4, Prev: huge},
		kindFetched:   fetched{View: 3, Entries: []entry{{}, {View: 1}}, Done: true},
		kindReplicate: replicate{View: 4, Prev: huge, Entries: []entry{{View: 4}}, Commit: huge},
		kindLogged:    logged{View: 3, Nonce: huge, Matched: huge, Want: huge},
		kindStatePart: statePart{View: 4, Index: end{View: 1, Seq: huge}, Parts: 1 << 40, Part: -1},
		kindAnswer:    answer{Epoch: 1, N: 1, Parts: 1 << 40, Part: math.MinInt},
		kindHandOver:  handOver{Target: math.MinInt},
	} {
		f.Add(encode(k, body))
	}
	f.Add(encode(kindReplicate, replicate{View: 4, Entries: []entry{{View: 4}, {}}, Commit: huge}))
	f.Add(encode(kindStatePart, statePart{
		View: 4, Index: end{View: 1, Seq: 1}, Parts: 1, Data: []byte{1},
	}))
	f.Add([]byte{})
	f.Add([]byte{byte(kindSurvey), 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, r := range []role{copying, surveying, candidate, leading} {
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

// FuzzRestore starts a machine from a disk that may hold anything.
func FuzzRestore(f *testing.F) {
	m := leadingAlone(f)
	m.propose(kv.Command{Kind: kv.Noop})
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
