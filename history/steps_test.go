package history

import (
	"slices"
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

// TestTransactionShapes: the tight shape of a transaction is a list like any other,
// and every way to write one gives the same steps.
func TestTransactionShapes(t *testing.T) {
	const plain = `[["r","x",null],["append","y",[1,2]]]`
	for _, c := range []struct {
		text, edn string
		kind      Kind
		steps     []Step
	}{
		{plain, `[[:r "x" nil], [:append :y [1 2]]]`, kindSteps,
			[]Step{{"r", "x", Nil()}, {"append", "y", Ints(1, 2)}}},
		{`[["r",5,null],["w",-7,3]]`, `([:r 5 nil]  [:w -7 3])`, kindIntSteps,
			[]Step{{"r", "5", Nil()}, {"w", "-7", Int(3)}}},
		{`[["r",5,null],["w","y",3]]`, `[[:r 5 nil] [:w "y" 3]]`, KindList,
			[]Step{{"r", "5", Nil()}, {"w", "y", Int(3)}}},
		{`[["r",1.5],["w",[1],3]]`, `[[r 1.5] (w #{1} 3)]`, KindList,
			[]Step{{"r", "1.5", Nil()}, {"w", "[1]", Int(3)}}},
	} {
		generic, err := ParseValue([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		json := parser{b: []byte(c.text), words: newInterner()}
		edn := &ednParser{b: []byte(c.edn), words: newInterner()}
		fromJSON, isTxn := json.txn()
		if isTxn != (c.kind != KindList) || isTxn && fromJSON.kind != c.kind {
			t.Errorf("%s: taken for a transaction: %t, kind %d", c.text, isTxn, fromJSON.kind)
		}
		if !isTxn {
			fromJSON = generic
		}
		var e parsed
		if err := edn.opValue(&e); err != nil {
			t.Fatal(err)
		}
		for _, v := range []Value{generic, fromJSON, e.Value, Steps(c.steps...)} {
			steps, err := ParseSteps(v)
			if err != nil || !slices.EqualFunc(steps, c.steps, func(a, b Step) bool {
				return a.F == b.F && a.Key == b.Key && a.Value.Equal(b.Value)
			}) {
				t.Errorf("%s: got %v, %v", c.text, steps, err)
			}
		}
		for _, v := range []Value{fromJSON, e.Value} {
			if !v.Equal(generic) || v.Compare(generic) != 0 || v.Hash() != generic.Hash() ||
				v.String() != c.text || v.Kind() != KindList || v.At(0).Kind() != KindList {
				t.Errorf("%s: got %s of kind %d", c.text, v, v.kind)
			}
		}
	}
}

// TestStepsAreCopied: who changes the steps that were parsed changes no history.
func TestStepsAreCopied(t *testing.T) {
	v := Steps(Step{F: StepRead, Key: "x"})
	for range 2 {
		steps, err := ParseSteps(v)
		if err != nil || !steps[0].Value.IsNil() {
			t.Fatalf("got %v, %v", steps, err)
		}
		steps[0].Value = Int(1)
	}
}

// TestBadSteps: what is no transaction is refused, and is not taken for one that
// only reads.
func TestBadSteps(t *testing.T) {
	for text, want := range map[string]string{
		`null`:                       "got a nil",
		`{"r":1}`:                    "got a map",
		`[["w","x"]]`:                "step 0: want [f, key, value]",
		`[["r"]]`:                    "step 0: want [f, key, value]",
		`[["r","x",null],3]`:         "step 1: want [f, key, value]",
		`[["r",null,null]]`:          "a nil cannot be a key",
		`[["r",{},null]]`:            "a map cannot be a key",
		`[[null,"x",null]]`:          "f has to be a string",
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
