package systems

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// TestOrders posts each order to a fake node: what goes over the wire, and what an
// answer means.
func TestOrders(t *testing.T) {
	r := &reference{protocol: Protocol{
		Name: "toy", Admin: []string{"transfer", "remove-member", "add-member", "move"},
	}}
	done := answers(200, `{"type":"ok","value":null}`)
	for _, c := range []struct {
		name     string
		reply    reply
		give     func(endpoint string) error
		body     string
		fails    string
		definite bool
	}{
		{"transfer", done, func(e string) error { return r.Transfer(t.Context(), e, "n2") },
			`{"object":"admin","f":"transfer","value":"n2"}`, "", false},
		{"remove", done, func(e string) error { return r.Remove(t.Context(), e, "n3") },
			`{"object":"admin","f":"remove-member","value":"n3"}`, "", false},
		{"add", done, func(e string) error { return r.Add(t.Context(), e, "n3") },
			`{"object":"admin","f":"add-member","value":"n3"}`, "", false},
		{"move", done, func(e string) error { return r.Move(t.Context(), e, 4, "n1") },
			`{"object":"admin","f":"move","value":{"shard":4,"to":"n1"}}`, "", false},
		{"refused", answers(200, `{"type":"fail","code":"unavailable"}`),
			func(e string) error { return r.Transfer(t.Context(), e, "n2") },
			`{"object":"admin","f":"transfer","value":"n2"}`, "unavailable", true},
		{"unknown", answers(200, `{"type":"info","code":"timeout"}`),
			func(e string) error { return r.Transfer(t.Context(), e, "n2") },
			`{"object":"admin","f":"transfer","value":"n2"}`, "timeout", false},
	} {
		node := serve(t, c.reply)
		err := c.give(node.addr)
		if (err == nil) != (c.fails == "") || !strings.Contains(text(err), c.fails) ||
			history.IsDefinite(err) != c.definite {
			t.Errorf("%s: %v, want %q", c.name, err, c.fails)
		}
		if got := node.got(t); !strings.Contains(got, c.body) {
			t.Errorf("%s: sent %s, want %s", c.name, got, c.body)
		}
	}
	r.protocol.Admin = nil
	if err := r.Transfer(t.Context(), "", "n2"); !history.IsDefinite(err) ||
		!strings.Contains(text(err), "protocol toy cannot be told to do transfer") {
		t.Errorf("an order that it does not take: %v", err)
	}
	if got := r.Orders(); len(got) != 0 {
		t.Errorf("orders %v", got)
	}
}

func TestShards(t *testing.T) {
	for details, want := range map[string]string{
		"": "", `{}`: "", `[]`: "", `{"shards":3}`: "", `{"shards":["n1","n3"]}`: "n1 n3",
	} {
		if got := strings.Join(Status{Details: []byte(details)}.Shards(), " "); got != want {
			t.Errorf("%s: %s, want %s", details, got, want)
		}
	}
}
