package models

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// TestUntagged: what looks like [key, value] is refused, and what only resembles it
// is not.
func TestUntagged(t *testing.T) {
	for _, c := range []struct {
		model, f, key, in string
		want              bool
	}{
		{"register", "read", "", "[1,null]", true},
		{"register", "read", "x", "[1,null]", false},
		{"register", "read", "", "null", false},
		{"register", "read", "", "[1,2]", false},
		{"register", "write", "", "[1,null]", false}, // a register may hold a list
		{"cas-register", "cas", "", "[1,[0,2]]", true},
		{"cas-register", "cas", "", `["x",[null,2]]`, true},
		{"cas-register", "cas", "x", "[1,[0,2]]", false},
		{"cas-register", "cas", "", "[1,null]", false},
		{"cas-register", "cas", "", "[null,[1,2]]", false},
		{"cas-register", "cas", "", "[[1,2],[3,4]]", false},
		{"mutex", "acquire", "", `["lock",null]`, true},
		{"mutex", "release", "", "[null,null]", false},
		{"queue", "dequeue", "", "[1,null]", true},
		{"queue", "enqueue", "", "[1,null]", false},
		{"set", "read", "", "[1,null]", true},
		{"multi-register", "txn", "", `[["r",1,null],["w",2,3]]`, false},
	} {
		in, err := history.ParseValue([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		op := history.Operation{F: history.F(c.f), Key: history.Key(c.key), In: in,
			Type: history.Info, Return: history.Never}
		if got := Untagged(op); got != c.want {
			t.Errorf("%s %s on %q: %t", c.f, c.in, c.key, got)
		}
		spec, err := Lookup(c.model)
		if err != nil {
			t.Fatal(err)
		}
		_, err = spec.Parse(op)
		if got := err != nil && strings.Contains(err.Error(), "a key and its value"); got != c.want {
			t.Errorf("%s: %s %s on %q: %v", c.model, c.f, c.in, c.key, err)
		}
	}
}
