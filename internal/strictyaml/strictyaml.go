// Package strictyaml reads YAML that people write by hand into Go structs, and tells
// them everything that is wrong with it at once, each mistake with its line: keys that
// do not exist, keys that stand twice, values of the wrong kind. The parser is
// go.yaml.in/yaml; what is here only walks its nodes, because its own decoder does not
// tell lines of values that are well-formed and wrong.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// At is a value and the line where it stands, 0 if it does not.
type At[T any] struct {
	Value T
	Line  int
}

func (a *At[T]) place(line int) any {
	a.Line = line
	return &a.Value
}

// Text is a scalar of any kind, as it is written.
type Text = At[string]

// Pair is a key and its value, Pairs are those of a mapping in the order in which they
// are written.
type (
	Pair  struct{ Key, Value Text }
	Pairs []Pair
)

// placed is what At is, whatever is in it.
type placed interface{ place(line int) any }

// Problem is one mistake.
type Problem struct {
	Line int
	Text string

	unreadable bool // nothing of the document is known
}

// Error begins with the line, if it is known.
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.Text
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Text)
}

// Problems are all mistakes of a document. As an error they stand a line each.
type Problems []Problem

// Error lists the mistakes in the order of their lines.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Add adds a mistake.
func (ps *Problems) Add(line int, format string, args ...any) {
	*ps = append(*ps, Problem{Line: line, Text: fmt.Sprintf(format, args...)})
}

// Unreadable reports whether the document is no YAML, or more or less than one document, so
// that nothing in it can be judged.
func (ps Problems) Unreadable() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.unreadable })
}

// Without leaves out of the mistakes those that may only follow from others: those in the
// lines of root causes. The root causes stay.
func (ps Problems) Without(roots Problems) Problems {
	var out Problems
	for _, p := range ps {
		same := func(r Problem) bool { return r.Line == p.Line && p.Line > 0 }
		if slices.Contains(roots, p) || !slices.ContainsFunc(roots, same) {
			out = append(out, p)
		}
	}
	return out
}

// Sort puts the mistakes in the order of their lines, those without one last.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return b.Line - a.Line
		}
		return a.Line - b.Line
	})
}

// nodesMax bounds the walk: aliases can make a small document a huge tree.
const nodesMax = 50_000

// Decode reads one YAML document into what `into` points to: structs whose fields have
// tags `yaml:"key"`, maps with string keys, slices (also written as a single element),
// Pairs, pointers, strings, integers, floats, booleans, durations ("5s"), At of them, and any.
// What it returns are all mistakes; the fields that are right are filled in all the same.
func Decode(data []byte, into any) Problems {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	err := dec.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		return Problems{{Text: "the document is empty", unreadable: true}}
	case err != nil:
		return Problems{syntax(err)}
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		return Problems{{
			Line: more.Line, Text: "a second document: there may be only one", unreadable: true,
		}}
	} else if !errors.Is(err, io.EOF) {
		return Problems{syntax(err)}
	}
	d := decoder{}
	d.value(doc.Content[0], reflect.ValueOf(into).Elem(), "the document")
	d.problems.Sort()
	return d.problems
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntax takes the line out of the parser's message.
func syntax(err error) Problem {
	m := syntaxLine.FindStringSubmatch(strings.TrimSpace(err.Error()))
	if m == nil {
		return Problem{Text: err.Error(), unreadable: true}
	}
	line, _ := strconv.Atoi(m[1]) // none is 0
	text := "this is no YAML: " + m[2]
	switch {
	case strings.HasPrefix(m[2], "mapping values are not allowed"):
		text += ` (a text with ": " in it needs quotes, or stands below its key after ">-")`
	case strings.HasPrefix(m[2], "did not find expected ',' or"):
		text += ` (within { } and [ ], a text with [ ] { } or , in it needs quotes)`
	}
	return Problem{Line: line, Text: text, unreadable: true}
}

type decoder struct {
	problems Problems
	nodes    int
}

func (d *decoder) bad(n *yaml.Node, format string, args ...any) {
	d.problems.Add(n.Line, format, args...)
}

// value decodes a node into v; what names it in messages.
func (d *decoder) value(n *yaml.Node, v reflect.Value, what string) {
	if d.nodes++; d.nodes > nodesMax {
		if d.nodes == nodesMax+1 {
			d.bad(n, "the document is too large")
		}
		return
	}
	if n.Kind == yaml.AliasNode {
		d.value(n.Alias, v, what)
		return
	}
	if p, ok := v.Addr().Interface().(placed); ok {
		d.value(n, reflect.ValueOf(p.place(n.Line)).Elem(), what)
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" && v.Kind() != reflect.Interface {
		return // as if it were not there
	}
	if ps, ok := v.Addr().Interface().(*Pairs); ok {
		d.pairs(n, ps, what)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), what)
	case reflect.Struct:
		d.fields(n, v, what)
	case reflect.Map:
		d.entries(n, v, what)
	case reflect.Slice:
		d.elements(n, v, what)
	case reflect.Interface:
		var any any
		if err := n.Decode(&any); err != nil {
			d.bad(n, "%s: %v", what, err)
			return
		}
		if any != nil {
			v.Set(reflect.ValueOf(any))
		}
	default:
		d.scalar(n, v, what)
	}
}

func (d *decoder) fields(n *yaml.Node, v reflect.Value, what string) {
	if n.Kind != yaml.MappingNode {
		d.bad(n, "%s is %s: want keys and values", what, kind(n))
		return
	}
	fields := map[string]reflect.Value{}
	var names []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		switch name {
		case "":
		case ",line":
			v.Field(i).SetInt(int64(n.Line))
		default:
			fields[name] = v.Field(i)
			names = append(names, name)
		}
	}
	d.each(n, func(key, value *yaml.Node) {
		f, ok := fields[key.Value]
		if !ok {
			d.bad(key, "unknown key %q of %s: there is %s", key.Value, what, strings.Join(names, ", "))
			return
		}
		d.value(value, f, key.Value)
	})
}

// each calls f with the keys and values of a mapping; a key that stands twice is a
// mistake.
func (d *decoder) each(n *yaml.Node, f func(key, value *yaml.Node)) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if line, twice := first[key.Value]; twice {
			d.bad(key, "key %q stands in line %d already", key.Value, line)
			continue
		}
		first[key.Value] = key.Line
		if key.Kind != yaml.ScalarNode {
			d.bad(key, "a key is %s: want a word", kind(key))
			continue
		}
		f(key, n.Content[i+1])
	}
}

func (d *decoder) entries(n *yaml.Node, v reflect.Value, what string) {
	if n.Kind != yaml.MappingNode {
		d.bad(n, "%s is %s: want keys and values", what, kind(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.each(n, func(key, value *yaml.Node) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(value, e, key.Value)
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), e)
	})
}

func (d *decoder) pairs(n *yaml.Node, ps *Pairs, what string) {
	if n.Kind != yaml.MappingNode {
		d.bad(n, "%s is %s: want keys and values", what, kind(n))
		return
	}
	d.each(n, func(key, value *yaml.Node) {
		p := Pair{Key: Text{Value: key.Value, Line: key.Line}}
		d.value(value, reflect.ValueOf(&p.Value).Elem(), key.Value)
		*ps = append(*ps, p)
	})
}

func (d *decoder) elements(n *yaml.Node, v reflect.Value, what string) {
	list := n.Content
	if n.Kind != yaml.SequenceNode {
		list = []*yaml.Node{n}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	for i, e := range list {
		d.value(e, v.Index(i), what)
	}
}

var durationType = reflect.TypeFor[time.Duration]()

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, what string) {
	if n.Kind != yaml.ScalarNode {
		d.bad(n, "%s is %s: want a single value", what, kind(n))
		return
	}
	var err error
	switch {
	case v.Kind() == reflect.String:
		v.SetString(n.Value)
	case v.Type() == durationType:
		var dur time.Duration
		dur, err = time.ParseDuration(n.Value)
		v.SetInt(int64(dur))
		if err != nil {
			err = errors.New(`want a time such as "5s" or "300ms"`)
		}
	case v.Kind() == reflect.Bool:
		if n.Tag != "!!bool" {
			err = errors.New("want true or false")
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case v.CanInt():
		var i int64
		if i, err = strconv.ParseInt(n.Value, 10, v.Type().Bits()); err != nil {
			err = errors.New("want a whole number")
		}
		v.SetInt(i)
	case v.CanFloat():
		var f float64
		if f, err = strconv.ParseFloat(n.Value, 64); err != nil {
			err = errors.New("want a number")
		}
		v.SetFloat(f)
	default:
		panic(fmt.Sprintf("strictyaml: cannot decode into %s", v.Type()))
	}
	if err != nil {
		d.bad(n, "%s is %q: %v", what, n.Value, err)
	}
}

// kind says what a node is.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return fmt.Sprintf("%q", n.Value)
	}
}
