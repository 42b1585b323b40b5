package systems

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

func contextWithin(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// TestFenced takes tokens from the lock and writes to the register that it guards.
func TestFenced(t *testing.T) {
	node := serve(t, ok("7"), ok(`{"token":3,"ttl_ms":500}`), answers(200, okNull), ok(`[3,1]`))
	c := client(t, false, 0, "fenced", node.addr)
	for _, op := range []struct{ f, in, want string }{
		{"acquire", "500", `{"token":3,"ttl_ms":500}`},
		{"write", "[3,1]", "[3,1]"},
		{"read", "null", "[3,1]"},
	} {
		out, err := c.Invoke(t.Context(), history.Event{F: history.F(op.f), Key: "k",
			Value: value(t, op.in)})
		if err != nil || out.Value.String() != op.want {
			t.Errorf("%s: %s, %v; want %s", op.f, out.Value, err, op.want)
		}
	}
	want := "{session,open}\n{lock,acquire,k,500,session:7,seq:1}\n" +
		"{fenced,write,k,[3,1],session:7,seq:2}\n{fenced,read,k}"
	if got := lines(node.got(t)); got != want {
		t.Errorf("requests:\n%s\nwant:\n%s", got, want)
	}
}

// TestIDs gives out tokens of a lock, or what a counter holds.
func TestIDs(t *testing.T) {
	node := serve(t, ok("7"), ok(`{"token":3,"ttl_ms":1000}`), bytesOnly(""))
	out, err := client(t, false, 0, "ids", node.addr).Invoke(t.Context(),
		history.Event{F: "generate", Key: "ids"})
	if err != nil || out.Value.String() != "3" {
		t.Errorf("token %s, %v; want 3, although the release got no answer", out.Value, err)
	}

	node = serve(t, ok("7"), ok(`[["add","ids",1],["r","ids",12]]`), ok("[]"), answers(200, info))
	c, err := (&reference{protocol: Protocol{Objects: map[string][]history.F{
		"txn": {"txn"}}}}).Open(t.Context(), []string{node.addr}, "ids")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, want := range []string{"12", "info", "info"} {
		out, err := c.Invoke(t.Context(), history.Event{F: "generate", Key: "ids"})
		got := out.Value.String()
		if err != nil {
			got = outcome(err)
		}
		if got != want {
			t.Errorf("%s (%v), want %s", got, err, want)
		}
	}
}

// TestMoving goes from node to node with the token of what it has seen.
func TestMoving(t *testing.T) {
	a := serve(t, answers(200, `{"type":"ok","value":4,"token":"a"}`))
	b := serve(t, answers(200, `{"type":"ok","value":4,"token":"b"}`))
	c := client(t, false, 0, "session", a.addr, b.addr)
	if _, err := c.Invoke(t.Context(), history.Event{F: "write", Key: "k",
		Value: history.Int(4)}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		out, err := c.Invoke(t.Context(), history.Event{F: "read", Key: "k"})
		if err != nil || out.Value.String() != "4" {
			t.Fatalf("read %s, %v", out.Value, err)
		}
	}
	got := lines(a.got(t)) + "\n" + lines(b.got(t))
	for _, want := range []string{"{register,read,k,token:a}", "{register,read,k,token:b}"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
}

// TestTurn: which node a client has asked follows from what it asked.
func TestTurn(t *testing.T) {
	var nodes []*node
	var addrs []string
	for range 3 {
		n := serve(t, answers(200, `{"type":"ok","value":4,"token":"a"}`))
		nodes, addrs = append(nodes, n), append(addrs, n.addr)
	}
	c := client(t, false, 0, "session", addrs...)
	for i := range 12 {
		op := history.Event{Process: 7, F: "read", Key: history.Key(strings.Repeat("k", i+1))}
		if _, err := c.Invoke(t.Context(), op); err != nil {
			t.Fatal(err)
		}
		for at, n := range nodes {
			asked := strings.Contains(lines(n.got(t)), "{register,read,"+string(op.Key)+",") ||
				strings.Contains(lines(n.got(t)), "{register,read,"+string(op.Key)+"}")
			if want := at == Turn(op, uint64(i+1), len(nodes)); asked != want {
				t.Errorf("operation %d at node %d: %v, want %v", i+1, at, asked, want)
			}
		}
	}
}

// TestLogSessions reads and writes a log where there is no register.
func TestLogSessions(t *testing.T) {
	node := serve(t, refusal("not-supported"), ok("17"), ok("[4]"))
	r := &reference{protocol: Protocol{Objects: map[string][]history.F{
		"log": {"append", "read"}}}}
	c, err := r.Open(t.Context(), []string{node.addr}, "session")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out, err := c.Invoke(t.Context(), history.Event{F: "write", Key: "k", Value: history.Int(4)})
	if err != nil || out.Value.String() != "4" {
		t.Errorf("write: %s, %v", out.Value, err)
	}
	out, err = c.Invoke(t.Context(), history.Event{F: "read", Key: "k"})
	if err != nil || out.Value.String() != "[4]" {
		t.Errorf("read: %s, %v", out.Value, err)
	}
	want := "{session,open}\n{log,append,k,4}\n{log,read,k}"
	if got := lines(node.got(t)); got != want {
		t.Errorf("requests:\n%s\nwant:\n%s", got, want)
	}
}
