package operation

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// TestObjectsOfWorkloads: whatever a workload does is described here.
func TestObjectsOfWorkloads(t *testing.T) {
	for _, w := range workload.All() {
		o, ok := Named(w.Object)
		if !ok {
			t.Errorf("workload %s: object %s is not described", w.Name, w.Object)
		}
		for _, f := range w.Fs {
			if _, ok := o.Op(f); !ok {
				t.Errorf("workload %s: %s of a %s is not described", w.Name, f, w.Object)
			}
		}
	}
}

func TestResult(t *testing.T) {
	for _, c := range []struct {
		object, f, in, out, want, broken string
	}{
		{"register", "read", "null", "5", "5", ""},
		{"cas-register", "read", "null", "null", "null", ""},
		{"register", "read", "null", `"5"`, "", `answered "5": want an integer, got a string`},
		{"register", "read", "null", "5.5", "", "got a float"},
		{"register", "write", "5", "null", "5", ""},
		{"register", "write", "5", "5", "5", ""},
		{"register", "write", "5", "6", "", "write of 5 was answered as if it had been of 6"},
		{"register", "cas", "[1,2]", "null", "[1,2]", ""},
		{"register", "fly", "5", "5", "", "register has no operation fly"},
		{"set", "read", "null", "[]", "[]", ""},
		{"set", "read", "null", "null", "", "want a list of integers, got a nil"},
		{"set", "read", "null", `[1,"2"]`, "", "element 1: want an integer"},
		{"counter", "read", "null", "null", "", "want an integer, got a nil"},
		{"queue", "dequeue", "null", "null", "null", ""},
		{"log", "append", "1", "0", "0", ""},
		{"lock", "acquire", "100", `{"token":3}`, `{"token":3}`, ""},
		{"lock", "acquire", "100", `3`, "", "want an integer, got a nil"},
		{"lock", "release", "3", "null", "3", ""},
		{"fenced", "read", "null", "[0,null]", "[0,null]", ""},
		{"fenced", "read", "null", "7", "", "want [token, value]"},
		{"txn", "txn", `[["r","x",null],["w","x",1]]`, `[["r","x",7],["w","x",1]]`,
			`[["r","x",7],["w","x",1]]`, ""},
		{"txn", "txn", `[["r","x",null]]`, `[["r","x",[1]]]`, "", "step 0: want an integer"},
		{"txn", "txn", `[["r","x",null]]`, `[["r","y",1]]`, "", "step 0 is r y, was r x"},
		{"txn", "txn", `[["w","x",1]]`, `[["w","x",2]]`, "", "step 0 has the value 2, was 1"},
		{"txn", "txn", `[["w","x",1]]`, `[]`, "", "0 steps for 1"},
		{"txn", "txn", `[["w","x",1]]`, `null`, "", "want a list"},
		{"txn-list", "txn", `[["append","x",1],["r","x",null]]`, `[["append","x",1],["r","x",[1]]]`,
			`[["append","x",1],["r","x",[1]]]`, ""},
		{"txn-list", "txn", `[["r","x",null]]`, `[["r","x",null]]`, `[["r","x",null]]`, ""},
		{"txn-list", "txn", `[["r","x",null]]`, `[["r","x",1]]`, "", "want a list of integers"},
	} {
		op := history.Event{F: history.F(c.f), Value: value(t, c.in)}
		got, err := Result(c.object, op, value(t, c.out))
		switch {
		case c.broken == "" && err != nil:
			t.Errorf("%s %s %s -> %s: %v", c.object, c.f, c.in, c.out, err)
		case c.broken == "" && !got.Value.Equal(value(t, c.want)):
			t.Errorf("%s %s %s -> %s: %s", c.object, c.f, c.in, c.out, got.Value)
		case c.broken != "" && (!IsBroken(err) || !strings.Contains(err.Error(), c.broken)):
			t.Errorf("%s %s %s -> %s: %v, want %q", c.object, c.f, c.in, c.out, err, c.broken)
		case history.IsDefinite(err):
			t.Errorf("%s %s: what a broken client says is no proof", c.object, c.f)
		}
	}
}

func TestChanges(t *testing.T) {
	for _, c := range []struct {
		f, in string
		want  bool
	}{
		{"read", "null", false}, {"ask", "null", false}, {"write", "1", true}, {"cas", "[1,2]", true},
		{"dequeue", "null", true}, {"txn", `[["r","x",null]]`, false},
		{"txn", `[["r","x",null],["w","x",1]]`, true},
	} {
		if got := Changes(history.Event{F: history.F(c.f), Value: value(t, c.in)}); got != c.want {
			t.Errorf("%s %s changes: %t", c.f, c.in, got)
		}
	}
}

func value(t *testing.T, text string) history.Value {
	t.Helper()
	v, err := history.ParseValue([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}
