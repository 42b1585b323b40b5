package strictyaml

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

type inner struct {
	Line int            `yaml:",line"`
	Name Text           `yaml:"name"`
	List []Text         `yaml:"list"`
	Any  map[string]any `yaml:"any"`
}

type outer struct {
	Text  Text              `yaml:"text"`
	N     At[int]           `yaml:"n"`
	F     float64           `yaml:"f"`
	On    bool              `yaml:"on"`
	Wait  At[time.Duration] `yaml:"wait"`
	Inner *inner            `yaml:"inner"`
	Many  map[string]inner  `yaml:"many"`
	Pairs Pairs             `yaml:"pairs"`
}

func TestDecode(t *testing.T) {
	var got outer
	ps := Decode([]byte(`
text: |
  two
  lines
n: 7
f: 0.5
on: true
wait: 3s
inner:
  name: &x yes
  list: alone
  any: {a: 1, b: [x, null]}
many:
  one: {name: *x, list: [a, b]}
  two:
pairs: {z: 1, a: b}
`), &got)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	want := outer{
		Text: Text{"two\nlines\n", 2}, N: At[int]{7, 5}, F: 0.5, On: true,
		Wait: At[time.Duration]{3 * time.Second, 8},
		Inner: &inner{
			Line: 10, Name: Text{"yes", 10}, List: []Text{{"alone", 11}},
			Any: map[string]any{"a": 1, "b": []any{"x", nil}},
		},
		Many: map[string]inner{
			"one": {Line: 14, Name: Text{"yes", 10}, List: []Text{{"a", 14}, {"b", 14}}}, "two": {},
		},
		Pairs: Pairs{{Text{"z", 16}, Text{"1", 16}}, {Text{"a", 16}, Text{"b", 16}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestAllMistakesAtOnce: every mistake is told, in the order of lines.
func TestAllMistakesAtOnce(t *testing.T) {
	var got outer
	ps := Decode([]byte(`txt: a
n: many
f: x
on: perhaps
wait: soon
inner: [1]
many:
  one:
    name: {}
    nome: x
    name: again
`), &got)
	want := []string{
		`line 1: unknown key "txt" of the document: there is text, n, f, on, wait, inner, many, pairs`,
		`line 2: n is "many": want a whole number`, `line 3: f is "x": want a number`,
		`line 4: on is "perhaps": want true or false`, `line 5: wait is "soon": want a time`,
		`line 6: inner is a list: want keys and values`,
		`line 9: name is a mapping: want a single value`, `line 10: unknown key "nome" of one`,
		`line 11: key "name" stands in line 9 already`,
	}
	if len(ps) != len(want) {
		t.Fatalf("%d problems, want %d:\n%v", len(ps), len(want), ps)
	}
	for i, w := range want {
		if !strings.HasPrefix(ps[i].Error(), w) {
			t.Errorf("problem %d is %q, want %q", i, ps[i], w)
		}
	}
}

func TestNoDocument(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "the document is empty",
		"text: a\n---\ntext: b":  "line 2: a second document",
		"text: 'a\nn: 1":         "this is no YAML",
		"a: b: c":                "this is no YAML: mapping values",
		"- 1":                    "line 1: the document is a list",
		"<<: {text: a}":          `unknown key "<<"`,
		"? [a, b]\n: 1\ntext: a": "a key is a list",
	} {
		var got outer
		if err := Decode([]byte(text), &got).Error(); !strings.Contains(err, want) {
			t.Errorf("%q: %q, want %q", text, err, want)
		}
	}
}

// TestManyAliases: a document of one kilobyte does not become a tree of gigabytes.
func TestManyAliases(t *testing.T) {
	var got struct {
		Deep [][][][][][]Text `yaml:"deep"`
	}
	text := "deep: [&a [x,x,x,x,x,x,x,x,x,x], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a], " +
		"&c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b], &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c], " +
		"&e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]]\n"
	ps := Decode([]byte(text), &got)
	if !strings.Contains(ps.Error(), "too large") {
		t.Errorf("%d problems: %.200v", len(ps), ps)
	}
}

// TestUnreadable: of a document that is none there is one mistake, and nothing that only
// follows from it. A mistake in a line hides what may follow from it there, and no other.
func TestUnreadable(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "a: [b": true, "a: b\n---\nc: d": true, "nonsense: 1": false, "n: x": false,
		"text: ok": false,
	} {
		var got outer
		if ps := Decode([]byte(text), &got); ps.Unreadable() != want {
			t.Errorf("%q: %v", text, ps)
		}
	}
	for text, want := range map[string]string{
		`text: echo "no: such"`:   `a text with ": " in it needs quotes`,
		"inner: {name: $.a[0].b}": "a text with [ ] { } or , in it needs quotes",
	} {
		var got outer
		if ps := Decode([]byte(text), &got); len(ps) != 1 || !strings.Contains(ps[0].Text, want) {
			t.Errorf("%s: %v, want %s", text, ps, want)
		}
	}
	roots := Problems{{Line: 3, Text: "no number"}}
	all := append(roots, Problem{Line: 3, Text: "0 is too small"}, Problem{Line: 4, Text: "no name"},
		Problem{Text: "no claim"})
	if got := all.Without(roots).Error(); got != "line 3: no number\nline 4: no name\nno claim" {
		t.Errorf("%s", got)
	}
}
