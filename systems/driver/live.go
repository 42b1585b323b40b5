package driver

import (
	"context"
	"fmt"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// scene is one operation of a story that a system at rest tells in only one way.
type scene struct {
	f     history.F
	value string // JSON; KEY in it is the key
	want  history.Type
	out   string // JSON of the result; "" for any
}

// stories are what a single client sees of a system at rest, by the kind of object. What
// has no story is only tried with nodes that do not work.
func stories() map[string][]scene {
	ok, fail := history.OK, history.Fail
	return map[string][]scene{
		"register": {
			{"read", "null", ok, "null"}, {"write", "3", ok, ""}, {"read", "null", ok, "3"},
			{"write", "4", ok, ""}, {"read", "null", ok, "4"},
		},
		"cas-register": {
			{"read", "null", ok, "null"}, {"write", "3", ok, ""}, {"cas", "[3,4]", ok, ""},
			{"read", "null", ok, "4"}, {"cas", "[3,5]", fail, ""}, {"read", "null", ok, "4"},
		},
		"session": {{"read", "null", ok, "null"}, {"write", "3", ok, ""}, {"read", "null", ok, "3"}},
		"set": {
			{"read", "null", ok, "[]"}, {"add", "3", ok, ""}, {"read", "null", ok, "[3]"},
		},
		"counter": {
			{"read", "null", ok, "0"}, {"add", "3", ok, ""}, {"add", "-1", ok, ""},
			{"read", "null", ok, "2"},
		},
		"queue": {
			{"dequeue", "null", ok, "null"}, {"enqueue", "3", ok, ""}, {"enqueue", "4", ok, ""},
			{"dequeue", "null", ok, "3"}, {"dequeue", "null", ok, "4"}, {"dequeue", "null", ok, "null"},
		},
		"log": {{"read", "null", ok, "[]"}, {"append", "3", ok, ""}, {"read", "null", ok, "[3]"}},
		"txn": {
			{"txn", `[["r","KEY.x",null]]`, ok, `[["r","KEY.x",null]]`},
			{"txn", `[["w","KEY.x",3],["r","KEY.x",null]]`, ok, `[["w","KEY.x",3],["r","KEY.x",3]]`},
			{"txn", `[["add","KEY.x",2],["r","KEY.x",null]]`, ok, `[["add","KEY.x",2],["r","KEY.x",5]]`},
		},
		"txn-list": {
			{"txn", `[["append","KEY.x",3],["append","KEY.x",4]]`, ok, ""},
			{"txn", `[["r","KEY.x",null]]`, ok, `[["r","KEY.x",[3,4]]]`},
		},
		"decide": {
			{"ask", "null", ok, "null"}, {"propose", "3", ok, "3"}, {"propose", "4", ok, "3"},
			{"ask", "null", ok, "3"},
		},
	}
}

// parse reads a value of the story about a key.
func (scene) parse(text, key string) (history.Value, error) {
	return history.ParseValue([]byte(strings.ReplaceAll(text, "KEY", key)))
}

// live tells a story at a node that works: a driver that says what did not happen is
// found out here.
func (t Trial) live(ctx context.Context) (string, error) {
	story := stories()[t.Object]
	if story == nil {
		return "nothing is known of " + t.Object, nil
	}
	key := t.Key
	return t.with(ctx, t.Endpoint, func(ctx context.Context, s *Session) (string, error) {
		said := ""
		for _, c := range story {
			value, err := c.parse(c.value, key)
			if err != nil {
				return "", err
			}
			op := history.Event{F: c.f, Key: history.Key(key), Value: value}
			got, kind, err := t.try(ctx, s, op)
			if err != nil {
				return "", fmt.Errorf("%w (after%s)", err, said)
			}
			if kind != c.want {
				return "", fmt.Errorf("%s %s is answered by %q: want %q (after%s)", c.f, value, kind,
					c.want, said)
			}
			if c.out != "" {
				want, err := c.parse(c.out, key)
				if err != nil {
					return "", err
				}
				if !want.Equal(got.Value) {
					return "", fmt.Errorf("%s gives %s: want %s (after%s)", c.f, got.Value, want, said)
				}
			}
			said += fmt.Sprintf(" %s %s,", c.f, value)
		}
		return fmt.Sprintf("%d operations, each as it should be", len(story)), nil
	})
}
