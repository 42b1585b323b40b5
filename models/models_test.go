package models

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

func TestLookup(t *testing.T) {
	var names []string
	for _, s := range All() {
		if s.Doc == "" || len(s.Fs) == 0 || slices.Contains(names, s.Name) {
			t.Errorf("%q: no doc, no operations, or twice", s.Name)
		}
		names = append(names, s.Name)
		got, err := Lookup(s.Name)
		if err != nil || got.Name != s.Name {
			t.Errorf("Lookup(%q) = %q, %v", s.Name, got.Name, err)
		}
	}
	_, err := Lookup("registre")
	if err == nil || !strings.Contains(err.Error(), `"registre"`) ||
		!strings.Contains(err.Error(), strings.Join(names, ", ")) {
		t.Errorf("the error does not help: %v", err)
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

// TestScalar: scalars are equal exactly when the values are.
func TestScalar(t *testing.T) {
	var values []history.Value
	for _, text := range []string{
		"null", "0", "1", "-1", "true", "false", `""`, `"0"`, `"null"`, "1.5", "[]", "[1]",
		`["1"]`, `[1,[2,null]]`, `[1,[2],null]`, "9223372036854775807",
	} {
		values = append(values, value(t, text))
	}
	values = append(values, history.Float(0))
	for _, a := range values {
		sa, err := NewScalar(a)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range values {
			sb, err := NewScalar(b)
			if err != nil {
				t.Fatal(err)
			}
			if (sa == sb) != a.Equal(b) || (sa.Compare(sb) == 0) != a.Equal(b) {
				t.Errorf("%s and %s: equal %t as values", a, b, a.Equal(b))
			}
			if sa.Compare(sb) != -sb.Compare(sa) {
				t.Errorf("%s and %s have no order", a, b)
			}
			if sa == sb && sa.Hash() != sb.Hash() {
				t.Errorf("%s has two hashes", a)
			}
		}
	}
	minus, err := NewScalar(history.Float(math.Copysign(0, -1)))
	if zero, _ := NewScalar(history.Float(0)); err != nil || minus != zero {
		t.Errorf("-0 is not 0: %v", err)
	}
	for _, v := range []history.Value{history.Map(), history.Float(math.NaN()),
		history.List(history.Map())} {
		if s, err := NewScalar(v); err == nil {
			t.Errorf("%s is a scalar", s)
		}
	}
	if Int(3).String() != "3" || (Scalar{}).String() != "null" || !(Scalar{}).IsNil() {
		t.Error("3 or null is not shown as it is")
	}
}

// drawn are values of which some fit each model.
func drawn(t *testing.T) []history.Value {
	var vs []history.Value
	for _, text := range []string{
		"null", "1", "2", "3", "0", "-1", `"a"`, "true", "false", "[1,2]", "[2,1]", "[1]", "[]",
		`[["r","x",null],["w","x",1]]`, `[["r","x",1],["w","x",1]]`, `[["w","y",2]]`,
		`[["r","x",null]]`, `[["w","x",null],["r","y",2]]`, `{"a":1}`, `[["q","x",1]]`, "1.5",
	} {
		vs = append(vs, value(t, text))
	}
	return vs
}

// TestModelsAreSound throws operations with all kinds of values at each model: the
// ones it accepts have to leave the given state as it was, equal states need equal
// hashes and descriptions, and facts must not contradict what the steps do.
func TestModelsAreSound(t *testing.T) {
	vs := drawn(t)
	for _, spec := range All() {
		t.Run(spec.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(spec.Name))))
			m := spec.Porcupine
			states := []any{m.Init()}
			steps, refused := 0, 0
			for range 30_000 {
				op := history.Operation{
					F:  spec.Fs[r.IntN(len(spec.Fs))],
					In: vs[r.IntN(len(vs))], Out: vs[r.IntN(len(vs))],
					Type: []history.Type{history.OK, history.Info, history.Fail}[r.IntN(3)],
				}
				p, err := spec.Parse(op)
				if err != nil || p.Facts.Ignored {
					continue
				}
				if s := m.DescribeOperation(p.In, p.Out); s == "" {
					t.Fatalf("%v has no description", op)
				}
				i := r.IntN(len(states))
				before := m.DescribeState(states[i])
				ok, next := m.Step(states[i], p.In, p.Out)
				if m.DescribeState(states[i]) != before {
					t.Fatalf("%s %s changed its own state", op.F, op.In)
				}
				if !ok {
					refused++
					testRefusal(t, op, p.Facts)
					continue
				}
				steps++
				if p.Facts.Pure && !m.Equal(states[i], next) {
					t.Fatalf("%s is pure and went from %s to %s", op.F, before, m.DescribeState(next))
				}
				if len(states) < 200 {
					states = append(states, next)
				}
			}
			testHashes(t, spec, states)
			if steps < 300 || refused < 30 {
				t.Errorf("%d steps and %d refusals test nothing", steps, refused)
			}
		})
	}
}

// testRefusal: only an observation can be impossible, and nothing of unknown outcome.
func testRefusal(t *testing.T, op history.Operation, f Facts) {
	t.Helper()
	if !f.Observes || op.Type == history.Info {
		t.Fatalf("%s %s (%s) cannot happen in some state, facts %+v", op.F, op.In, op.Type, f)
	}
}

func testHashes(t *testing.T, spec Spec, states []any) {
	t.Helper()
	m := spec.Porcupine
	equal, different := 0, 0
	for _, a := range states {
		for _, b := range states {
			if m.Equal(a, b) {
				equal++
				if m.Hash(a) != m.Hash(b) || m.DescribeState(a) != m.DescribeState(b) {
					t.Fatalf("%s and %s are equal", m.DescribeState(a), m.DescribeState(b))
				}
			} else {
				different++
				if m.Hash(a) == m.Hash(b) {
					t.Errorf("%s and %s collide", m.DescribeState(a), m.DescribeState(b))
				}
			}
		}
	}
	if equal <= len(states) || different == 0 {
		t.Errorf("%d equal and %d different pairs test nothing", equal, different)
	}
}

// TestMisfits: what does not fit is named in words.
func TestMisfits(t *testing.T) {
	for _, tt := range []struct {
		model   string
		f       history.F
		in, out string
		want    string
	}{
		{"register", "cas", "[1,2]", "null", "the model has only read, write"},
		{"register", "write", `{"a":1}`, "null", "a map cannot be a value"},
		{"cas-register", "cas", "[1,2,3]", "null", "want [old, new], got [1,2,3]"},
		{"cas-register", "cas", `{"a":1}`, "null", "want [old, new], got a map of 1"},
		{"counter", "add", "1.5", "null", "want an integer, got 1.5"},
		{"counter", "read", "null", `"x"`, `want an integer, got "x"`},
		{"set", "read", "null", "7", "want a list, got 7"},
		{"set", "contains", "1", "7", "want true or false, got 7"},
		{"queue", "enqueue", "null", "null", "nil means empty"},
		{"queue", "peek", "null", "null", "the model has only enqueue, dequeue"},
		{"list", "read", "null", `[{"a":1}]`, "element 0: a map"},
		{"mutex", "lock", "null", "null", "the model has only acquire, release"},
		{"text", "put", "3", "null", "want a string, got 3"},
		{"multi-register", "txn", "3", "null", "want a list of [f, key, value], got 3"},
		{"multi-register", "txn", `[["x","k",1]]`, "null", `want "r" or "w", got "x"`},
		{"multi-register", "txn", `[["r","k",null]]`, `[["r","z",1]]`, "not the reads and writes"},
	} {
		spec, err := Lookup(tt.model)
		if err != nil {
			t.Fatal(err)
		}
		_, err = spec.Parse(history.Operation{
			F: tt.f, In: value(t, tt.in), Out: value(t, tt.out), Type: history.OK})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s %s: error %v, want %q", tt.model, tt.f, tt.in, err, tt.want)
		}
	}
}

// TestRefusals: only the failure that is an answer about the state is one.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		model string
		f     history.F
		err   string
		want  bool
	}{
		{"cas-register", "cas", "precondition-failed", true},
		{"cas-register", "cas", "precondition-failed: it holds 7", true},
		{"cas-register", "cas", "", true}, // recorded without a reason
		{"cas-register", "cas", "precondition-failed-not", false},
		{"cas-register", "cas", "connection refused", false},
		{"cas-register", "read", "", false},
		{"queue", "dequeue", "empty", true},
		{"queue", "dequeue", "not empty", false},
		{"queue", "enqueue", "", false},
		{"mutex", "acquire", "", false},
	} {
		spec, err := Lookup(tt.model)
		if err != nil {
			t.Fatal(err)
		}
		p, err := spec.Parse(history.Operation{
			F: tt.f, In: value(t, "[1,2]"), Type: history.Fail, Error: tt.err})
		if err != nil || p.Facts.Refusal != tt.want || p.Facts.Ignored == tt.want {
			t.Errorf("%s %s %q: facts %+v, %v", tt.model, tt.f, tt.err, p.Facts, err)
		}
	}
}

// TestDefaults: a model of somebody else needs four fields.
func TestDefaults(t *testing.T) {
	m := Model[int, int, int]{
		Name: "mine",
		Init: func() int { return 4 },
		Parse: func(history.Operation) (Op[int, int], error) {
			return Op[int, int]{In: 1, Out: 2}, nil
		},
		Apply: func(s, in, _ int) (int, bool) { return s + in, true },
	}
	s := m.Spec()
	p, err := s.Parse(history.Operation{})
	if err != nil {
		t.Fatal(err)
	}
	ok, next := s.Porcupine.Step(s.Porcupine.Init(), p.In, p.Out)
	if !ok || !s.Porcupine.Equal(next, 5) || s.Porcupine.Equal(next, 6) ||
		s.Porcupine.DescribeState(next) != "5" ||
		s.Porcupine.DescribeOperation(p.In, p.Out) != "1 -> 2" ||
		s.Key(history.Operation{Key: "k"}) != "k" || s.Porcupine.Hash != nil {
		t.Error("a default is wrong")
	}
	for _, broken := range []Model[int, int, int]{
		{Name: "x", Parse: m.Parse, Init: m.Init},
		{Name: "x", Parse: m.Parse, Apply: m.Apply},
		{Name: "x", Init: m.Init, Apply: m.Apply},
		{Parse: m.Parse, Init: m.Init, Apply: m.Apply},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v was accepted", broken)
				}
			}()
			broken.Spec()
		}()
	}
	if last := reflect.TypeFor[Model[int, int, int]](); last.Field(last.NumField()-1).Name != "_" {
		t.Error("a model can be written without keys")
	}
}

// TestScalarsOfLists: what is not equal is not equal inside a list either.
func TestScalarsOfLists(t *testing.T) {
	var scalars []Scalar
	for _, v := range []history.Value{history.Int(1), history.Float(1), history.Str("1")} {
		s, err := NewScalar(history.List(v))
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(scalars, s) {
			t.Errorf("%s equals another list", s)
		}
		scalars = append(scalars, s)
	}
}
