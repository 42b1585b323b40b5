package history

import (
	"strings"
	"testing"
)

// TestSteps writes transactions and reads them back.
func TestSteps(t *testing.T) {
	for _, c := range []struct {
		steps    []Step
		json     string
		readOnly bool
	}{
		{nil, `[]`, true},
		{[]Step{{F: StepRead, Key: "x"}}, `[["r","x",null]]`, true},
		{[]Step{{F: StepRead, Key: "x", Value: Ints(1, 2, 3)}, {F: StepRead, Key: "y"}},
			`[["r","x",[1,2,3]],["r","y",null]]`, true},
		{[]Step{{F: StepRead, Key: "x"}, {F: StepAdd, Key: "y", Value: Int(-2)}},
			`[["r","x",null],["add","y",-2]]`, false},
	} {
		v := Steps(c.steps...)
		if got := v.String(); got != c.json || ReadOnly(v) != c.readOnly {
			t.Errorf("%s, read-only %t; want %s, %t", got, ReadOnly(v), c.json, c.readOnly)
		}
		back, err := ParseSteps(v)
		if err != nil || !Steps(back...).Equal(v) {
			t.Errorf("%s came back as %v, %v", c.json, back, err)
		}
	}
}

// TestBadSteps: what is no transaction is refused, and is not taken for one that
// only reads.
func TestBadSteps(t *testing.T) {
	for text, want := range map[string]string{
		`null`:                       "got a nil",
		`{"r":1}`:                    "got a map",
		`[["r","x"]]`:                "step 0: want [f, key, value]",
		`[["r","x",null],3]`:         "step 1: want [f, key, value]",
		`[["r",7,null]]`:             "have to be strings",
		`[[null,"x",null]]`:          "have to be strings",
		`[["r","x",null,"surplus"]]`: "want [f, key, value]",
	} {
		v, err := ParseValue([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSteps(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if ReadOnly(v) {
			t.Errorf("%s passes for read-only", text)
		}
	}
}
