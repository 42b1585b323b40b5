package models

import (
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// TestClasses: operations have the same number exactly when the model does not tell
// them apart, as far as it can see that.
func TestClasses(t *testing.T) {
	type call struct {
		f       history.F
		in, out string
		typ     history.Type
	}
	for _, tt := range []struct {
		model string
		calls []call
		want  []uint32
	}{
		{"cas-register", []call{
			{"write", "1", "null", history.OK}, {"write", "2", "null", history.OK},
			{"write", "1", "null", history.OK}, {"write", "1", "null", history.Info},
			{"write", "1", "null", history.Info}, {"cas", "[1,2]", "null", history.OK},
			{"cas", "[1,2]", "null", history.Fail}, {"read", "null", "1", history.OK},
			{"read", "null", "1", history.OK},
		}, []uint32{0, 1, 0, 2, 2, 3, 4, 5, 5}},
		{"multi-register", []call{ // what a crashed transaction read nobody knows
			{"txn", `[["w","x",1]]`, "null", history.Info},
			{"txn", `[["r","y",null],["w","x",1]]`, "null", history.Info},
			{"txn", `[["w","x",1],["w","y",1]]`, "null", history.Info},
			{"txn", `[["w","x",1]]`, `[["w","x",1]]`, history.OK},
			{"txn", `[["w","x",1]]`, `[["w","x",1]]`, history.OK},
		}, []uint32{0, 0, 1, 2, 3}},
		{"set", []call{
			{"add", "1", "null", history.OK}, {"add", "1", "null", history.OK},
			{"contains", "1", "true", history.OK}, {"contains", "1", "false", history.OK},
			{"contains", "1", "true", history.OK},
			{"read", "null", "[1]", history.OK}, {"read", "null", "[1]", history.OK},
		}, []uint32{0, 0, 1, 2, 1, 3, 4}},
	} {
		spec, err := Lookup(tt.model)
		if err != nil {
			t.Fatal(err)
		}
		classes := spec.Classes()
		for i, c := range slices.Concat(tt.calls, tt.calls) {
			if i >= len(tt.calls) { // once more, from the beginning
				i -= len(tt.calls)
			}
			if i == 0 {
				classes.Reset()
			}
			p, err := spec.Parse(history.Operation{F: c.f, Type: c.typ,
				In: value(t, c.in), Out: value(t, c.out)})
			if err != nil {
				t.Fatal(err)
			}
			if got := classes.Number(p.In, p.Out); got != tt.want[i] {
				t.Errorf("%s: call %d %s %s: class %d, want %d", tt.model, i, c.f, c.in, got, tt.want[i])
			}
		}
	}
}

// TestPlain: what may hide something that == does not see has no classes by itself.
func TestPlain(t *testing.T) {
	m := Model[int, float64, struct{ x any }]{
		Name: "m", Init: func() int { return 0 },
		Parse: func(history.Operation) (Op[float64, struct{ x any }], error) {
			return Op[float64, struct{ x any }]{}, nil
		},
		Apply: func(s int, in float64, _ struct{ x any }) (int, bool) { return s, 1/in > 0 },
	}
	number := m.Spec().Classes().Number
	if a, b := number(0.0, struct{ x any }{}), number(0.0, struct{ x any }{}); a == b {
		t.Error("two operations are taken for alike whose input has two zeros")
	}
	m.Class = func(in float64, _ struct{ x any }) any { return 1/in > 0 }
	number = m.Spec().Classes().Number
	if a, b := number(1.0, struct{ x any }{}), number(2.0, struct{ x any }{}); a != b {
		t.Error("the model's own classes are not used")
	}
}
