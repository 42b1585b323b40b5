package history

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// genValue draws values that JSON can hold, at most depth collections deep.
func genValue(depth int) *rapid.Generator[Value] {
	finite := func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
	text := rapid.String().Filter(func(s string) bool { return strings.ToValidUTF8(s, "") == s })
	gens := []*rapid.Generator[Value]{
		rapid.Just(Nil()),
		rapid.Map(rapid.Bool(), Bool),
		rapid.Map(rapid.Int64(), Int),
		rapid.Map(rapid.Int64Range(-3, 3), Int),
		rapid.Map(rapid.Float64().Filter(finite), Float),
		rapid.Map(text, Str),
		rapid.Map(rapid.SliceOfN(rapid.Int64(), 0, 5), func(ns []int64) Value { return Ints(ns...) }),
	}
	if depth > 0 {
		inner := genValue(depth - 1)
		field := rapid.Custom(func(t *rapid.T) Field {
			return Field{Name: text.Draw(t, "name"), Value: inner.Draw(t, "field")}
		})
		gens = append(gens,
			rapid.Map(rapid.SliceOfN(inner, 0, 4), func(vs []Value) Value { return List(vs...) }),
			rapid.Map(rapid.SliceOfN(field, 0, 4), func(fs []Field) Value { return Map(fs...) }),
		)
	}
	return rapid.OneOf(gens...)
}

func TestValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := genValue(3).Draw(t, "value")
		b := v.AppendJSON(nil)
		if !json.Valid(b) {
			t.Fatalf("%q is no JSON", b)
		}
		w, err := ParseValue(b)
		if err != nil {
			t.Fatalf("parse %s: %v", b, err)
		}
		if !v.Equal(w) || !w.Equal(v) || v.Compare(w) != 0 || v.Hash() != w.Hash() {
			t.Fatalf("%s became %s", b, w)
		}
		for i := range b {
			b[i] = '#' // nothing of w may still point there
		}
		if !v.Equal(w) {
			t.Fatalf("the parsed value lives in the input")
		}
	})
}

// TestValueOrder checks that Equal, Compare and Hash agree and that Compare is an
// order.
func TestValueOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := genValue(2).Draw(t, "a"), genValue(2).Draw(t, "b"), genValue(2).Draw(t, "c")
		if a.Equal(b) != (a.Compare(b) == 0) || a.Equal(b) != b.Equal(a) {
			t.Fatalf("%s and %s: Equal %v, Compare %d", a, b, a.Equal(b), a.Compare(b))
		}
		if a.Equal(b) && a.Hash() != b.Hash() {
			t.Fatalf("%s and %s are equal, their hashes are not", a, b)
		}
		if a.Compare(b) != -b.Compare(a) {
			t.Fatalf("%s and %s: %d and %d", a, b, a.Compare(b), b.Compare(a))
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("%s <= %s <= %s, but not the first and the last", a, b, c)
		}
	})
}

func TestValueJSON(t *testing.T) {
	for _, tc := range []struct {
		v    Value
		want string
	}{
		{Value{}, `null`},
		{Int(math.MinInt64), `-9223372036854775808`},
		{Bool(true), `true`},
		{Str("a\"\\\n\x01é\u2028"), `"a\"\\\n\u0001é` + "\u2028" + `"`},
		{Str("bad\xffutf8"), `"bad` + "\uFFFD" + `utf8"`},
		{Str(""), `""`},
		{Float(3), `3.0`},
		{Float(-0.5), `-0.5`},
		{Float(1e300), `1e+300`},
		{Float(math.NaN()), `null`},
		{List(), `[]`},
		{List(Int(-1), Int(7)), `[-1,7]`},
		{List(Int(1), Int(1<<40)), `[1,1099511627776]`},
		{Ints(1, 2, 3), `[1,2,3]`},
		{Strings("n1", "n2"), `["n1","n2"]`},
		{Map(), `{}`},
		{Map(Field{"b", Int(1)}, Field{"a", List(Nil())}, Field{"b", Int(2)}), `{"b":2,"a":[null]}`},
	} {
		if got := tc.v.String(); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
		marshaled, err := json.Marshal(map[string]Value{"v": tc.v})
		if err != nil || !json.Valid(marshaled) {
			t.Errorf("marshal %s: %s, %v", tc.want, marshaled, err)
		}
		var back struct{ V Value }
		if err := json.Unmarshal(marshaled, &back); err != nil || back.V.String() != tc.want {
			t.Errorf("unmarshal %s: %s, %v", marshaled, back.V, err)
		}
	}
}

// TestValueShapes checks that the tight shapes of lists behave like any list.
func TestValueShapes(t *testing.T) {
	if size := unsafe.Sizeof(Value{}); size != 24 {
		t.Errorf("a value has %d bytes, want 24", size)
	}
	big := int64(math.MaxInt32) + 1
	for _, ns := range [][]int64{
		{}, {1}, {0, 0}, {-1, 1}, {math.MinInt32, math.MaxInt32}, {big, 1}, {1, -big}, {1, 2, 3},
	} {
		var vs []Value
		for _, n := range ns {
			vs = append(vs, Int(n))
		}
		long := append(append([]Value{}, vs...), Nil()) // a plain list, then shortened
		plain := Value{kind: KindList, n: int64(len(ns)), ref: unsafe.Pointer(&long[0])}
		for _, v := range []Value{List(vs...), Ints(ns...), plain} {
			if v.Kind() != KindList || v.Len() != len(ns) {
				t.Errorf("%v: kind %v, length %d", ns, v.Kind(), v.Len())
			}
			for i, n := range ns {
				if m, ok := v.At(i).AsInt(); !ok || m != n {
					t.Errorf("%v: element %d is %s", ns, i, v.At(i))
				}
			}
			if !v.Equal(plain) || !plain.Equal(v) || v.Compare(plain) != 0 || v.Hash() != plain.Hash() {
				t.Errorf("%v: the shapes differ", ns)
			}
			if n, ok := v.AsInt(); ok || n != 0 {
				t.Errorf("%v: a list is the integer %d", ns, n)
			}
		}
	}
	var kept Value
	if n := testing.AllocsPerRun(100, func() { kept = Pair(3, 4) }); n > 0 {
		t.Errorf("a pair of small integers allocates %v times", n)
	}
	for _, v := range []Value{kept, Pair(3, big), Pair(math.MinInt64, math.MaxInt64)} {
		if w := List(v.At(0), v.At(1)); v.Len() != 2 || !v.Equal(w) || v.String() != w.String() {
			t.Errorf("pair %s is not the list %s", v, w)
		}
	}
}

func TestValueEquality(t *testing.T) {
	x, y := Field{"x", Int(1)}, Field{"y", Nil()}
	for _, tc := range []struct {
		a, b  Value
		equal bool
	}{
		{Map(x, y), Map(y, x), true},
		{Map(x, y), Map(x, Field{"z", Nil()}), false}, // Get of a missing field is nil, too
		{Map(x), Map(x, y), false},
		{Int(1), Float(1), false},
		{Int(0), Bool(false), false},
		{Float(math.NaN()), Float(math.NaN()), true},
		{Float(0), Float(math.Copysign(0, -1)), true},
		{Str("a"), Str("a"), true},
		{Str(""), Nil(), false},
		{List(), Map(), false},
	} {
		if tc.a.Equal(tc.b) != tc.equal || (tc.a.Compare(tc.b) == 0) != tc.equal {
			t.Errorf("%v %s and %v %s: equal is not %v",
				tc.a.Kind(), tc.a, tc.b.Kind(), tc.b, tc.equal)
		}
		if tc.equal && tc.a.Hash() != tc.b.Hash() {
			t.Errorf("%s and %s: different hashes", tc.a, tc.b)
		}
	}
}

func TestMapOfManyFields(t *testing.T) {
	var fields []Field
	for i := range 100 {
		fields = append(fields, Field{Name: string(rune('a' + i%40)), Value: Int(int64(i))})
	}
	m := Map(fields...)
	if m.Len() != 40 || m.FieldName(0) != "a" || !m.At(0).Equal(Int(80)) ||
		!m.Get("b").Equal(Int(81)) || !m.Get(string(rune('a'+39))).Equal(Int(79)) {
		t.Errorf("got %s", m)
	}
}

func TestParseValueErrors(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{``, `column 1: end of input: want a JSON value`},
		{`nil`, `column 1: 'n': want null`},
		{`[1 2]`, `column 4: '2': want comma or ] in a list`},
		{`[1,]`, `column 4: ']': want a JSON value`},
		{`{"a" 1}`, `column 6: '1': want a colon after a field name`},
		{`{a:1}`, `column 2: 'a': want a field name in quotes`},
		{`{"a":1`, `column 7: end of input: want comma or } in a map`},
		{`01`, `column 1: a number with a leading zero`},
		{`-`, `column 2: end of input: want a digit`},
		{`1.`, `column 3: end of input: want a digit after the point`},
		{`1e+`, `column 4: end of input: want a digit in the exponent`},
		{`1e999`, `column 1: number 1e999 is out of range`},
		{`"abc`, `column 1: a string without end`},
		{"\"a\tb\"", `column 3: control character '\t' in a string`},
		{`1 2`, `column 3: '2' after the value`},
		{strings.Repeat("[", 20000), `column 10002: nested more than 10000 deep`},
	} {
		v, err := ParseValue([]byte(tc.in))
		if err == nil || err.Error() != tc.want {
			t.Errorf("%.20q: got %v, %v, want %s", tc.in, v, err, tc.want)
		}
	}
	if _, err := ParseValue([]byte(`"\x"`)); err == nil {
		t.Error("a bad escape is accepted")
	}
}

func TestParseNumbers(t *testing.T) {
	for in, want := range map[string]Value{
		"9223372036854775807":  Int(math.MaxInt64),
		"9223372036854775808":  Float(9223372036854775808),
		"-9223372036854775808": Int(math.MinInt64),
		"-9223372036854775809": Float(-9223372036854775809),
		"18446744073709551616": Float(18446744073709551616),
		"-0":                   Int(0),
		"0.0":                  Float(0),
		"12E-1":                Float(1.2),
		" 7 ":                  Int(7),
	} {
		if v, err := ParseValue([]byte(in)); err != nil || !v.Equal(want) {
			t.Errorf("%s: got %v %s, %v, want %s", in, v.Kind(), v, err, want)
		}
	}
}

// unsignedZeros replaces -0, which is an integer here and a float there.
func unsignedZeros(v any) any {
	switch v := v.(type) {
	case float64:
		return v + 0
	case []any:
		for i := range v {
			v[i] = unsignedZeros(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = unsignedZeros(v[k])
		}
	}
	return v
}

// FuzzParseValue compares the parser with encoding/json.
func FuzzParseValue(f *testing.F) {
	for _, s := range []string{
		`null`,
		`[1,2]`,
		`{"a":[true,{"b":-1.5e3}],"a":"é\u00e9\ud83d\ude00"}`, `-0`,
		`"\ud800"`, "\"\xff\"",
		`[[],{},"",0]`, ` [ 1 , 2.0 ] `, `123456789012345678901234567890`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseValue(b)
		var twin any
		twinErr := json.Unmarshal(b, &twin)
		if err == nil != (twinErr == nil) {
			t.Fatalf("%q: %v, but encoding/json: %v", b, err, twinErr)
		}
		if err != nil {
			return
		}
		text := v.AppendJSON(nil)
		w, err := ParseValue(text)
		if err != nil || !w.Equal(v) {
			t.Fatalf("%q became %q, then %s, %v", b, text, w, err)
		}
		var again any
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		a, _ := json.Marshal(unsignedZeros(twin))
		c, _ := json.Marshal(unsignedZeros(again))
		if string(a) != string(c) {
			t.Fatalf("%q is %s, became %s", b, a, c)
		}
	})
}

// TestAccessors asks every kind for every type.
func TestAccessors(t *testing.T) {
	for _, tc := range []struct {
		v    Value
		want string
	}{
		{Nil(), "nil 0/false false/false /false 0/false 0"},
		{Int(-4), "int -4/true false/false /false -4/true 0"},
		{Bool(true), "bool 0/false true/true /false 0/false 0"},
		{Str("x"), "string 0/false false/false x/true 0/false 0"},
		{Float(1.5), "float 0/false false/false /false 1.5/true 0"},
		{Pair(1, 2), "list 0/false false/false /false 0/false 2"},
		{Map(Field{"a", Nil()}), "map 0/false false/false /false 0/false 1"},
	} {
		n, isInt := tc.v.AsInt()
		b, isBool := tc.v.AsBool()
		s, isString := tc.v.AsString()
		f, isFloat := tc.v.AsFloat()
		got := fmt.Sprintf("%v %d/%v %v/%v %s/%v %v/%v %d",
			tc.v.Kind(), n, isInt, b, isBool, s, isString, f, isFloat, tc.v.Len())
		if got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
		if tc.v.IsNil() != (tc.v.Kind() == KindNil) || !tc.v.Get("b").IsNil() {
			t.Errorf("%s: nil or not?", tc.v)
		}
	}
}
