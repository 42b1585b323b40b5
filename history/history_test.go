package history

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
)

func fault(id int64, fields ...Field) Value {
	return Map(append([]Field{{"id", Int(id)}}, fields...)...)
}

// nemesis returns an event of the nemesis.
func nemesis(at Time, typ Type, f F, v Value, err string) Event {
	return Event{Time: at, Process: Nemesis, Type: typ, F: f, Value: v, Error: err}
}

func mustNew(t *testing.T, events ...Event) *History {
	t.Helper()
	h, err := New(events...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWindows(t *testing.T) {
	cut := fault(1, Field{"fault", Str("partition")}, Field{"what", Str("n1 | n2 n3")},
		Field{"nodes", Strings("n1")})
	h := mustNew(t,
		nemesis(10, Invoke, "start", cut, ""),
		nemesis(12, Info, "start", cut, ""),
		nemesis(15, Invoke, "start", fault(2, Field{"fault", Str("kill")}), ""),
		nemesis(16, Info, "start", fault(2), "ssh: no route to host"), // half injected, perhaps
		nemesis(20, Invoke, "stop", cut, ""),
		nemesis(21, Info, "stop", cut, "still cut off"), // not healed
		nemesis(30, Info, "stop", cut, ""),
		nemesis(31, Info, "stop", cut, ""), // again, to be sure: changes nothing
		nemesis(40, Invoke, "start", fault(1, Field{"fault", Str("pause")}), ""),
		nemesis(45, Info, "note", Int(1), ""),
		nemesis(46, Invoke, "start", Str("a fault of another tool"), ""),
		nemesis(50, Info, "stop", fault(1), ""),
	)
	want := []Window{
		{ID: 1, Fault: "partition", What: "n1 | n2 n3", Nodes: []string{"n1"}, Start: 10, End: 30},
		{ID: 2, Fault: "kill", Start: 15, End: Never},
		{ID: 1, Fault: "pause", Start: 40, End: 50},
	}
	if got := h.Windows(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestHealth(t *testing.T) {
	healthy := func(nodes ...string) Value {
		return Map(Field{"healthy", Strings(nodes...)})
	}
	h := mustNew(t,
		nemesis(5, Info, "topology", healthy("n1", "n2", "n3"), ""),
		nemesis(10, Info, "topology", healthy("n2", "n3"), ""),
		nemesis(10, Info, "topology", healthy(), ""),
		nemesis(20, Info, "topology", healthy("n1", "n2"), ""),
		Event{Time: 33, Process: 1, Type: Invoke, F: "read"},
	)
	want := []Health{
		{From: 5, To: 10, Nodes: []string{"n1", "n2", "n3"}},
		{From: 10, To: 20},
		{From: 20, To: 33, Nodes: []string{"n1", "n2"}},
	}
	if got := h.Health(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := mustNew(t).Health(); len(got) != 0 {
		t.Errorf("health of nothing: %+v", got)
	}
}

func TestKeys(t *testing.T) {
	var events []Event
	for i, k := range []Key{"b", "a", "", "b", "c", "a", "b"} {
		events = append(events,
			Event{Process: Process(i), Type: Invoke, F: "write", Key: k, Value: Int(int64(i))},
			Event{Process: Process(i), Type: OK, F: "write", Key: k})
	}
	h := mustNew(t, events...)
	if got, want := h.Keys(), []Key{"b", "a", "", "c"}; !reflect.DeepEqual(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
	var got []string
	for k, ops := range h.ByKey() {
		for _, op := range ops {
			got = append(got, fmt.Sprint(k, ":", op.In))
		}
		if &h.Ops[ops[0].Index/2] != ops[0] {
			t.Errorf("the operations of %q are copies", k)
		}
	}
	if want := "[b:0 b:3 b:6 a:1 a:5 :2 c:4]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	for range h.ByKey() {
		break
	}
}

func TestEnd(t *testing.T) {
	if end := mustNew(t).End(); end != 0 {
		t.Errorf("nothing ends at %d", end)
	}
	assembled := &History{
		Ops:     []Operation{{Call: 3, Return: Never, Ended: 9, Type: Info}, {Call: 4, Return: 7}},
		Nemesis: []Event{{Time: 8}},
	}
	if end := assembled.End(); end != 9 {
		t.Errorf("assembled history ends at %d, want 9", end)
	}
}

// TestPairing shows the three ways in which an operation can end without a known
// outcome or with one.
func TestPairing(t *testing.T) {
	h := mustNew(t,
		Event{Process: 1, Type: Invoke, F: "write", Key: "x", Value: Int(1)},
		Event{Process: 2, Type: Invoke, F: "read"},
		Event{Process: 3, Type: Invoke, F: "read"},
		Event{Process: 1, Type: Fail, F: "write", Error: "not the leader"},
		Event{Process: 2, Type: Info, F: "read", Error: "timeout"},
		Event{Process: 1, Type: Invoke, F: "read"},
		Event{Process: 1, Type: OK, F: "read", Value: Int(5)},
	)
	want := []Operation{
		{Index: 0, Call: 0, Return: 3, Ended: 3, Process: 1, F: "write", Key: "x", In: Int(1),
			Error: "not the leader", Type: Fail},
		{Index: 1, Call: 1, Return: Never, Ended: 4, Process: 2, F: "read", Error: "timeout",
			Type: Info},
		{Index: 2, Call: 2, Return: Never, Ended: Never, Process: 3, F: "read", Type: Info},
		{Index: 5, Call: 5, Return: 6, Ended: 6, Process: 1, F: "read", Out: Int(5), Type: OK},
	}
	if !reflect.DeepEqual(h.Ops, want) {
		t.Errorf("got  %+v\nwant %+v", h.Ops, want)
	}
	if _, err := New(Event{Process: 1, Type: OK, F: "read"}); err == nil ||
		err.Error() != "event 0: process 1 completes read without an invocation" {
		t.Errorf("a completion out of nothing: %v", err)
	}
}

func TestDefinite(t *testing.T) {
	base := errors.New("precondition failed")
	err := fmt.Errorf("cas: %w", Definite(base))
	if !IsDefinite(err) || !errors.Is(err, base) || err.Error() != "cas: precondition failed" {
		t.Errorf("%v is not definite", err)
	}
	if IsDefinite(base) || IsDefinite(nil) || Definite(nil) != nil {
		t.Error("an unmarked error is definite")
	}
}

func TestTypeNames(t *testing.T) {
	for _, typ := range []Type{Invoke, OK, Fail, Info} {
		if got, ok := parseType([]byte(typ.String())); !ok || got != typ {
			t.Errorf("%v reads back as %v", typ, got)
		}
	}
	if got := Type(9).String(); got != "type?" {
		t.Errorf("an unknown type is %q", got)
	}
}
