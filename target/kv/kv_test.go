package kv

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// story applies commands to one store and compares each reply. A step is
// "object f key value -> reply"; the reply is a value, or an outcome and a code.
type story struct {
	store *Store
	slot  uint64
}

func (s *story) do(c Command) Result {
	s.slot++
	c.Kind = Op
	if c.Session == 0 && c.Origin.N == 0 {
		c.Origin = Origin{Node: "n1", Epoch: 1, N: s.slot, Low: s.slot}
	}
	return s.store.Apply(s.slot, c)
}

func text(r Result) string {
	if r.Outcome == protocol.OK {
		return strings.TrimSpace("ok " + r.Value)
	}
	return r.Outcome.String() + " " + r.Code
}

// stories are operations and their results, on one store each.
func stories() []string {
	return []string{
		`register read r -> ok null
		 register cas r [1,2] -> fail precondition-failed
		 register read r -> ok null
		 register cas r [null,1] -> ok
		 register cas r [1,{"a":[1,2]}] -> ok
		 register cas r [{"a":[1,2]},"x"] -> ok
		 register read r -> ok "x"
		 register write r 3 -> ok
		 register write r null -> ok
		 register cas r [null,4] -> ok
		 register read r -> ok 4`,
		`set read s -> ok []
		 set add s 2 -> ok
		 set add s 1 -> ok
		 set add s 2 -> ok
		 set read s -> ok [2,1]`,
		`counter read c -> ok 0
		 counter add c 5 -> ok
		 counter add c -7 -> ok
		 counter read c -> ok -2
		 counter add c 9223372036854775807 -> ok
		 counter add c 9223372036854775807 -> fail bad-request
		 counter read c -> ok 9223372036854775805`,
		`queue dequeue q -> fail empty
		 queue enqueue q 1 -> ok
		 queue enqueue q 1 -> ok
		 queue enqueue q 2 -> ok
		 queue dequeue q -> ok 1
		 queue dequeue q -> ok 1
		 queue dequeue q -> ok 2
		 queue dequeue q -> fail empty`,
		`list read l -> ok []
		 list append l 1 -> ok
		 list append l 1 -> ok
		 list append l "x" -> ok
		 list read l -> ok [1,1,"x"]`,
		`list append k 1 -> ok
		 set add k 1 -> fail wrong-type
		 set read k -> fail wrong-type
		 register cas k [null,1] -> fail wrong-type
		 queue dequeue empty -> fail empty
		 set add empty 1 -> ok
		 list read k -> ok [1]`,
		// A transaction happens as a whole, or not at all.
		`txn run - [["r","x",null],["w","x",1],["r","x",null],["append","l","a"],["add","c",-2]]` +
			` -> ok [["r","x",null],["w","x",1],["r","x",1],["append","l","a"],["add","c",-2]]
		 list append l "b" -> ok
		 txn run - [["append","l","c"],["append","l","d"],["append","x",2]] -> fail wrong-type
		 list read l -> ok ["a","b"]
		 list append l "e" -> ok
		 list read l -> ok ["a","b","e"]
		 txn run - [["w","x",5],["add","c",9223372036854775807],["add","c",9]] -> fail bad-request
		 register read x -> ok 1
		 counter read c -> ok -2`,
	}
}

func TestObjects(t *testing.T) {
	for _, steps := range stories() {
		s := &story{store: New(nil, nil)}
		for line := range strings.Lines(steps) {
			ask, want, _ := strings.Cut(strings.TrimSpace(line), " -> ")
			w := append(strings.SplitN(ask, " ", 4), "")
			r := protocol.Request{Object: w[0], F: w[1], Key: w[2], Value: w[3]}
			if refusal, fine := s.store.Check(r); !fine {
				t.Fatalf("%s: refused: %v", ask, refusal)
			}
			got := Result{}
			if IsRead(r) {
				got = s.store.Read(r)
			} else {
				got = s.do(Of(r, Origin{}))
			}
			if text(got) != want {
				t.Errorf("%s: got %s, want %s", ask, text(got), want)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		req  protocol.Request
		code string
	}{
		{"unknown object", protocol.Request{Object: "tree", F: "read"}, CodeNotSupported},
		{"unknown f", protocol.Request{Object: "set", F: "remove", Value: "1"}, CodeNotSupported},
		{"queue has no read", protocol.Request{Object: "queue", F: "read"}, CodeNotSupported},
		{"no value", protocol.Request{Object: "register", F: "write"}, CodeBadRequest},
		{"not JSON", protocol.Request{Object: "set", F: "add", Value: "{"}, CodeBadRequest},
		{"no pair", protocol.Request{Object: "register", F: "cas", Value: "[1]"}, CodeBadRequest},
		{"no list", protocol.Request{Object: "register", F: "cas", Value: "7"}, CodeBadRequest},
		{"no integer", protocol.Request{Object: "counter", F: "add", Value: "1.5"}, CodeBadRequest},
		{"no steps", protocol.Request{Object: "txn", F: "run", Value: "[]"}, CodeBadRequest},
		{"half a step", protocol.Request{Object: "txn", F: "run", Value: `[["r","x"]]`},
			CodeBadRequest},
		{"no such step", protocol.Request{Object: "txn", F: "run", Value: `[["cas","x",1]]`},
			CodeBadRequest},
		{"nothing to append", protocol.Request{Object: "txn", F: "run",
			Value: `[["append","x",null]]`}, CodeBadRequest},
		{"interactive", protocol.Request{Object: "register", F: "read", Txn: 1},
			CodeNotSupported},
		{"seq 0", protocol.Request{Object: "counter", F: "add", Value: "1", Session: 4},
			CodeBadRequest},
		{"large", protocol.Request{Object: "register", F: "write",
			Value: `"` + strings.Repeat("x", MaxCommand) + `"`}, CodeTooLarge},
		{"fine", protocol.Request{Object: "counter", F: "add", Value: "-3", Session: 4, Seq: 1}, ""},
		{"open", protocol.Request{Object: "session", F: "open"}, ""},
	} {
		r, fine := New(nil, nil).Check(c.req)
		if fine != (c.code == "") || r.Code != c.code || !fine && r.Outcome != protocol.Fail {
			t.Errorf("%s: got %+v, %t; want code %q", c.name, r, fine, c.code)
		}
	}
}

func appendTo(session, seq uint64, value int) Command {
	return Command{
		Kind: Op, Session: session, Seq: seq,
		Object: "list", F: "append", Key: "l", Value: strconv.Itoa(value),
	}
}

// through returns the store as a snapshot would bring it to another node.
func through(t *testing.T, s *Store) *Store {
	t.Helper()
	out, err := Decode(s.Encode(), s.bugs, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSessions tells the life of a session, with a snapshot between all steps.
func TestSessions(t *testing.T) {
	s := &story{store: New(nil, nil)}
	open := s.do(Command{Object: "session", F: "open"})
	if open.Value != "1" {
		t.Fatalf("session is %s, want the slot of its open", open.Value)
	}
	half := SessionTTL / 2
	for i, step := range []struct {
		cmd  Command
		want string
		list string
	}{
		{appendTo(1, 1, 7), "ok", "[7]"},
		{appendTo(1, 1, 7), "ok", "[7]"},   // a copy
		{appendTo(1, 5, 8), "ok", "[7,8]"}, // 2 to 4 were given up
		{appendTo(1, 4, 9), "fail stale-request", "[7,8]"},
		{appendTo(1, 1, 7), "fail stale-request", "[7,8]"},
		{appendTo(9, 1, 7), "fail session-expired", "[7,8]"}, // never opened
		{Command{Kind: Tick, Elapsed: half}, "ok", "[7,8]"},
		{appendTo(1, 5, 8), "ok", "[7,8]"}, // a copy keeps it alive, too
		{Command{Kind: Tick, Elapsed: half + 1}, "ok", "[7,8]"},
		{appendTo(1, 6, 9), "ok", "[7,8,9]"},
		{Command{Kind: Tick, Elapsed: -SessionTTL}, "ok", "[7,8,9]"}, // time does not go back
		{Command{Kind: Tick, Elapsed: SessionTTL}, "ok", "[7,8,9]"},
		{Command{Kind: Tick, Elapsed: 1}, "ok", "[7,8,9]"},
		{appendTo(1, 7, 10), "fail session-expired", "[7,8,9]"},
	} {
		s.slot++
		got := s.store.Apply(s.slot, step.cmd)
		if text(got) != step.want {
			t.Errorf("step %d: got %s, want %s", i, text(got), step.want)
		}
		s.store = through(t, s.store)
		if l := s.store.Read(protocol.Request{Object: "list", Key: "l"}); l.Value != step.list {
			t.Errorf("step %d: list is %s, want %s", i, l.Value, step.list)
		}
	}
	if s.store.Sessions() != 0 {
		t.Errorf("%d sessions are left", s.store.Sessions())
	}
}

// TestOrigins tells what becomes of copies of commands without session.
func TestOrigins(t *testing.T) {
	from := func(epoch protocol.Epoch, n, low uint64) Command {
		c := appendTo(0, 0, int(n))
		c.Origin = Origin{Node: "n1", Epoch: epoch, N: n, Low: low}
		return c
	}
	s := &story{store: New(nil, nil)}
	for i, step := range []struct {
		cmd  Command
		want string
		list string
	}{
		{from(1, 3, 2), "ok", "[3]"},
		{from(1, 2, 2), "ok", "[3,2]"}, // overtaken, but not answered yet
		{from(1, 3, 2), "ok", "[3,2]"},
		{from(1, 1, 1), "info stale-request", "[3,2]"}, // 1 is below n1's lowest
		{from(1, 5, 4), "ok", "[3,2,5]"},
		{from(1, 3, 2), "info stale-request", "[3,2,5]"}, // settled and forgotten
		{from(1, 4, 4), "ok", "[3,2,5,4]"},
		{from(2, 1, 1), "ok", "[3,2,5,4,1]"}, // n1 has started again
		{from(1, 6, 6), "info stale-request", "[3,2,5,4,1]"},
		{from(2, 1, 1), "ok", "[3,2,5,4,1]"},
	} {
		s.slot++
		if got := s.store.Apply(s.slot, step.cmd); text(got) != step.want {
			t.Errorf("step %d: got %s, want %s", i, text(got), step.want)
		}
		s.store = through(t, s.store)
		if l := s.store.Read(protocol.Request{Object: "list", Key: "l"}); l.Value != step.list {
			t.Errorf("step %d: list is %s, want %s", i, l.Value, step.list)
		}
	}
	if n := len(s.store.origins["n1"].replies); n != 1 {
		t.Errorf("%d replies are kept, want only the one that may be asked for", n)
	}
}

// TestNoDedup shows the planted bug: the tables are kept, but not asked.
func TestNoDedup(t *testing.T) {
	s := &story{store: New(bug.Set{bug.NoDedup: true}, nil)}
	s.do(Command{Object: "session", F: "open"})
	for range 2 {
		s.do(appendTo(1, 1, 7))
	}
	if l := s.store.Read(protocol.Request{Object: "list", Key: "l"}); l.Value != "[7,7]" {
		t.Errorf("list is %s", l.Value)
	}
}

var commands = rapid.Custom(func(t *rapid.T) Command {
	if rapid.IntRange(0, 9).Draw(t, "tick") == 0 {
		return Command{Kind: Tick, Elapsed: protocol.Time(rapid.IntRange(0, 2e10).Draw(t, "ns"))}
	}
	op := rapid.SampledFrom([]string{
		"register write 1", "register cas [1,2]", "register cas [null,1]", "set add 1", "set add 2",
		"counter add 3", "counter add -1", "queue enqueue 1", "queue dequeue", "list append 1",
		"session open", "tree grow 1", "set add",
	}).Draw(t, "op")
	w := append(strings.Fields(op), "")
	c := Command{
		Kind: Op, Object: w[0], F: w[1], Value: w[2],
		Key: rapid.SampledFrom([]string{"", "a", "b", "\xff"}).Draw(t, "key"),
		Origin: Origin{
			Node:  protocol.NodeID(rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node")),
			Epoch: protocol.Epoch(rapid.IntRange(1, 2).Draw(t, "epoch")),
			N:     rapid.Uint64Range(1, 20).Draw(t, "n"),
			Low:   rapid.Uint64Range(1, 5).Draw(t, "low"),
		},
	}
	if rapid.Bool().Draw(t, "in session") {
		c.Session = rapid.Uint64Range(1, 8).Draw(t, "session")
		c.Seq = rapid.Uint64Range(1, 5).Draw(t, "seq")
	}
	return c
})

// TestSnapshotsDoNotShow compares a store that lives on with one that goes
// through a snapshot after every command: same replies, same bytes.
func TestSnapshotsDoNotShow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := New(nil, nil), New(nil, nil)
		for i, c := range rapid.SliceOf(commands).Draw(rt, "commands") {
			slot := uint64(i + 1)
			ra, rb := a.Apply(slot, c), b.Apply(slot, c)
			if ra != rb {
				rt.Fatalf("slot %d, %v: %+v and %+v", slot, c, ra, rb)
			}
			image := a.Encode()
			if !bytes.Equal(image, b.Encode()) {
				rt.Fatalf("slot %d, %v: different snapshots", slot, c)
			}
			b = through(t, b)
			if b.Applied() != slot || !bytes.Equal(image, b.Encode()) {
				rt.Fatalf("slot %d: the snapshot does not come back", slot)
			}
		}
	})
}

// TestSizeBounds checks that Size is not below what a command takes.
func TestSizeBounds(t *testing.T) {
	c := Command{
		Kind: Op, Session: math.MaxUint64, Seq: math.MaxUint64, Elapsed: math.MaxInt64,
		Object: "register", F: "write", Key: strings.Repeat("k", 300),
		Value: strings.Repeat("v", 30_000),
		Origin: Origin{
			Node: "n1", Epoch: math.MaxUint64, N: math.MaxUint64, Low: math.MaxUint64,
		},
	}
	s := New(nil, nil)
	s.objects["x"] = object{kind: "list", items: []string{c.Value}}
	if n := len(mustMarshal(t, c)); n > c.Size() {
		t.Errorf("%d bytes, bound is %d", n, c.Size())
	}
}

func FuzzDecode(f *testing.F) {
	s := &story{store: New(nil, nil)}
	s.do(Command{Object: "session", F: "open"})
	s.do(appendTo(1, 1, 7))
	s.do(Command{Object: "set", F: "add", Key: "s", Value: "1"})
	f.Add(s.store.Encode())
	f.Add([]byte{0x86})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Decode(b, nil, nil)
		if err != nil {
			return
		}
		for i := range 10 {
			d.Apply(d.Applied()+1, appendTo(uint64(i%2), 1, i))
			d.Apply(d.Applied()+1, Command{Kind: Op, Object: "queue", F: "dequeue",
				Key: fmt.Sprint(i)})
		}
		d.Encode()
	})
}

func mustMarshal(t *testing.T, c Command) []byte {
	t.Helper()
	b, err := cbor.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
