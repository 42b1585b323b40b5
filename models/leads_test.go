package models

import (
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// TestLeads: a model says no only if there is no way.
func TestLeads(t *testing.T) {
	for _, c := range []struct {
		model    string
		changes  []history.Operation
		read     history.Operation
		possible bool
	}{
		{"list", []history.Operation{op("append", "1"), op("append", "2")},
			read("read", "[1,2,3]"), true},
		{"list", []history.Operation{op("append", "1"), op("append", "2")}, read("read", "[1]"), false},
		{"list", []history.Operation{op("append", "2")}, read("read", "[1,2]"), false},
		{"list", nil, read("read", "[]"), true},
		{"text", []history.Operation{op("append", `"ab"`)}, read("get", `"abc"`), true},
		{"text", []history.Operation{op("append", `"ab"`)}, read("get", `"b"`), false},
		{"set", []history.Operation{op("add", "1"), op("add", "3")}, read("read", "[3,2,1]"), true},
		{"set", []history.Operation{op("add", "1"), op("add", "4")}, read("read", "[3,2,1]"), false},
	} {
		spec, err := Lookup(c.model)
		if err != nil {
			t.Fatal(err)
		}
		state := spec.Porcupine.Init()
		for _, o := range c.changes {
			p := parse(t, spec, o)
			_, state = spec.Porcupine.Step(state, p.In, p.Out)
			if !spec.Leads(state, p.In, p.Out) {
				t.Errorf("%s: a change without result is impossible", c.model)
			}
		}
		p := parse(t, spec, c.read)
		if got := spec.Leads(state, p.In, p.Out); got != c.possible {
			t.Errorf("%s: %s from %s: %t", c.model, spec.Porcupine.DescribeOperation(p.In, p.Out),
				spec.Porcupine.DescribeState(state), got)
		}
	}
}

func op(f history.F, in string) history.Operation {
	v, err := history.ParseValue([]byte(in))
	if err != nil {
		panic(err)
	}
	return history.Operation{F: f, In: v, Type: history.OK}
}

func read(f history.F, out string) history.Operation {
	o := op(f, out)
	o.In, o.Out = history.Value{}, o.In
	return o
}

func parse(t *testing.T, spec Spec, o history.Operation) Parsed {
	t.Helper()
	p, err := spec.Parse(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
