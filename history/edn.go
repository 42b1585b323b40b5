package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readEDN reads a history in the form of Jepsen and Knossos: maps such as
//
//	{:type :invoke, :f :read, :value nil, :process 0, :time 1, :index 0}
//
// one after another or in one vector, with or without a record's tag in front.
// Keywords and symbols become strings without the colon, sets become lists. A
// value with the tag of a tuple of jepsen.independent gives the operation its
// key; a plain vector of two stays a vector, because nothing tells it from one but
// the caller, by LoadOptions.Independent.
func readEDN(j *joiner, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read history %s: %w", j.h.Source, err)
	}
	j.loose = true
	p := &ednParser{b: b, words: newInterner()}
	err = p.history(func(e *ednEvent) error {
		err := j.add(&e.Event, e.hasTime, e.hasIndex)
		var bad *eventError
		if errors.As(err, &bad) {
			return p.errorf(e.at, "%s", bad.msg)
		}
		return err
	})
	return placed(j.h.Source, b, err)
}

// ednEvent is an event and what the file said of it.
type ednEvent struct {
	Event
	hasTime, hasIndex         bool
	hasType, hasProcess, hasF bool
	at                        int // where it begins
}

// ednParser reads EDN (github.com/edn-format/edn), and of what Clojure prints
// beyond it: ratios, regular expressions, metadata, ##Inf and namespaced maps.
type ednParser struct {
	b     []byte
	i     int
	words *interner
	// discards counts the #_ that this place is in.
	discards int
}

func (p *ednParser) errorf(at int, format string, args ...any) error {
	return &syntaxError{at: at, msg: fmt.Sprintf(format, args...)}
}

// here describes the next character, for messages.
func (p *ednParser) here() string {
	if p.i >= len(p.b) {
		return "end of file"
	}
	r, _ := utf8.DecodeRune(p.b[p.i:])
	return strconv.QuoteRune(r)
}

// history passes every operation map to add.
func (p *ednParser) history(add func(*ednEvent) error) error {
	for {
		c, err := p.next()
		if err != nil || p.i >= len(p.b) {
			return err
		}
		switch {
		case c == '#' && p.at(1) != '{':
			p.tag()
		case c == '[' || c == '(':
			err = p.elements(0, func() error { return p.op(add) })
		default:
			err = p.op(add)
		}
		if err != nil {
			return err
		}
	}
}

// op reads an operation map.
func (p *ednParser) op(add func(*ednEvent) error) error {
	for p.at(0) == '#' && p.at(1) != '{' {
		p.tag()
		if _, err := p.next(); err != nil {
			return err
		}
	}
	e := ednEvent{at: p.i}
	if p.at(0) != '{' {
		return p.errorf(p.i, "%s: want an operation, that is {", p.here())
	}
	err := p.elements(0, func() error {
		name, err := p.form(1)
		if err != nil {
			return err
		}
		if c, err := p.next(); err != nil {
			return err
		} else if c == '}' || c == 0 {
			return p.errorf(p.i, "%s: want a value of %s", p.here(), brief(name))
		}
		s, _ := name.AsString()
		return p.opField(&e, s)
	})
	if err != nil {
		return err
	}
	switch {
	case !e.hasType:
		return p.errorf(e.at, "an operation without :type")
	case !e.hasProcess:
		return p.errorf(e.at, "an operation without :process")
	case !e.hasF:
		e.F = unnamed
	}
	return add(&e)
}

// opField reads one field of an operation.
func (p *ednParser) opField(e *ednEvent, name string) error {
	at := p.i
	if name == "value" {
		return p.opValue(e)
	}
	v, err := p.form(1)
	if err != nil {
		return err
	}
	text, isText := v.AsString()
	n, isInt := v.AsInt()
	switch name {
	case "type":
		if e.Type, e.hasType = parseType([]byte(text)); !e.hasType {
			return p.errorf(at, ":type is %s: want :invoke, :ok, :fail or :info", brief(v))
		}
	case "process":
		if e.Process = Process(n); isText {
			e.Process = Nemesis // :nemesis, or another thread that is no client
		} else if !isInt || n < 0 {
			return p.errorf(at, ":process is %s: want a number from 0 or a keyword", brief(v))
		}
		e.hasProcess = true
	case "f":
		if !isText {
			return p.errorf(at, ":f is %s: want a keyword", brief(v))
		}
		e.F, e.hasF = F(text), true
	case "key": // as in the key-value logs of Porcupine's tests
		if !v.IsNil() {
			e.Key = Key(p.nameOf(v))
		}
	case "time":
		if !isInt && !v.IsNil() {
			return p.errorf(at, ":time is %s: want a whole number", brief(v))
		}
		e.Time, e.hasTime = Time(n), isInt && n >= 0
	case "index":
		if !isInt && !v.IsNil() {
			return p.errorf(at, ":index is %s: want a whole number", brief(v))
		}
		e.Index, e.hasIndex = n, isInt && n >= 0
	case "error":
		if e.Error = text; !isText && !v.IsNil() {
			e.Error = v.String()
		}
	}
	return nil
}

// opValue reads the :value of an operation, which may be a tuple of key and value.
func (p *ednParser) opValue(e *ednEvent) error {
	at := p.i
	if p.at(0) == '#' {
		switch p.tag() {
		case "jepsen.independent/tuple", "jepsen.independent.Tuple",
			"clojure.lang.MapEntry", "MapEntry":
			v, err := p.form(1)
			if err != nil {
				return err
			}
			if v.Kind() != KindList || v.Len() != 2 {
				return p.errorf(at, "tuple is %s: want [key value]", brief(v))
			}
			e.Key, e.Value = Key(p.nameOf(v.At(0))), v.At(1)
			return nil
		}
		p.i = at
	}
	v, err := p.form(1)
	e.Value = v
	return err
}

// nameOf returns a string as it is and any other value as JSON.
func (p *ednParser) nameOf(v Value) string {
	if s, ok := v.AsString(); ok {
		return p.words.intern([]byte(s))
	}
	return p.words.intern(v.AppendJSON(nil))
}

// at returns the byte n places ahead, 0 behind the end.
func (p *ednParser) at(n int) byte {
	if p.i+n < len(p.b) {
		return p.b[p.i+n]
	}
	return 0
}

// next skips space, comments and discarded forms and returns the next byte, 0 at
// the end.
func (p *ednParser) next() (byte, error) {
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case ednSpace(c):
			p.i++
		case c == ';':
			end := bytes.IndexByte(p.b[p.i:], '\n')
			if end < 0 {
				end = len(p.b) - p.i
			}
			p.i += end
		case c == '#' && p.at(1) == '_':
			p.i += 2
			if p.discards++; p.discards > maxDepth {
				return 0, p.errorf(p.i, "nested more than %d deep", maxDepth)
			}
			if _, err := p.form(1); err != nil {
				return 0, err
			}
			p.discards--
		default:
			return c, nil
		}
	}
	return 0, nil
}

func ednSpace(c byte) bool { return c <= ' ' || c == ',' }

// delimiter reports whether c ends a token.
func delimiter(c byte) bool {
	switch c {
	case '(', ')', '[', ']', '{', '}', '"', ';', '@', '^', '`', '~', '\\':
		return true
	default:
		return ednSpace(c)
	}
}

// token takes everything up to a delimiter.
func (p *ednParser) token() []byte {
	start := p.i
	for p.i < len(p.b) && !delimiter(p.b[p.i]) {
		p.i++
	}
	return p.b[start:p.i]
}

// tag takes a # and the symbol behind it.
func (p *ednParser) tag() string {
	p.i++
	return string(p.token())
}

// elements calls read for each element of the collection that begins here.
func (p *ednParser) elements(depth int, read func() error) error {
	start := p.i
	if depth > maxDepth {
		return p.errorf(start, "nested more than %d deep", maxDepth)
	}
	closer := map[byte]byte{'[': ']', '(': ')', '{': '}'}[p.b[start]]
	p.i++
	for {
		c, err := p.next()
		switch {
		case err != nil:
			return err
		case p.i >= len(p.b):
			return p.errorf(start, "%q without its %q", p.b[start], closer)
		case c == closer:
			p.i++
			return nil
		}
		if err := read(); err != nil {
			return err
		}
	}
}

// form reads any form.
func (p *ednParser) form(depth int) (Value, error) {
	c, err := p.next()
	if err != nil {
		return Value{}, err
	}
	if depth > maxDepth {
		return Value{}, p.errorf(p.i, "nested more than %d deep", maxDepth)
	}
	switch {
	case p.i >= len(p.b) || c == ')' || c == ']' || c == '}':
		return Value{}, p.errorf(p.i, "%s: want a value", p.here())
	case c == '(' || c == '[':
		return p.list(depth)
	case c == '{':
		return p.object(depth, "")
	case c == '"':
		p.i++
		return p.str()
	case c == '\\':
		return p.char()
	case c == ':':
		p.i++
		return Str(p.words.brief(p.valid(p.token()))), nil
	case c == '#':
		return p.dispatch(depth)
	case c == '^': // metadata, then the form that has it
		p.i++
		if _, err := p.form(depth + 1); err != nil {
			return Value{}, err
		}
		return p.form(depth + 1)
	case c == '\'' || c == '`' || c == '~' || c == '@': // reader macros
		p.i++
		return p.form(depth + 1)
	default:
		return p.atom()
	}
}

// valid returns s, with U+FFFD for what is no UTF-8.
func (p *ednParser) valid(s []byte) []byte {
	if utf8.Valid(s) {
		return s
	}
	return bytes.ToValidUTF8(s, []byte("\uFFFD"))
}

func (p *ednParser) list(depth int) (Value, error) {
	var vs []Value
	err := p.elements(depth, func() error {
		v, err := p.form(depth + 1)
		vs = append(vs, v)
		return err
	})
	if err != nil {
		return Value{}, err
	}
	return tightList(vs), nil
}

// object reads a map; prefix is the namespace of its keys, with a slash.
func (p *ednParser) object(depth int, prefix string) (Value, error) {
	var fields []Field
	err := p.elements(depth, func() error {
		isName := p.at(0) == ':'
		k, err := p.form(depth + 1)
		if err != nil {
			return err
		}
		name := p.nameOf(k)
		if isName && !strings.Contains(name, "/") {
			name = prefix + name
		}
		v, err := p.form(depth + 1)
		fields = append(fields, Field{Name: name, Value: v})
		return err
	})
	if err != nil {
		return Value{}, err
	}
	return Map(slices.Clip(fields)...), nil
}

// dispatch reads a form that begins with #.
func (p *ednParser) dispatch(depth int) (Value, error) {
	start := p.i
	switch p.at(1) {
	case '{':
		p.i++
		return p.list(depth)
	case '"':
		p.i += 2
		return p.str()
	case '\'':
		p.i += 2
		return p.form(depth + 1)
	case '#':
		p.i += 2
		switch s := string(p.token()); s {
		case "Inf":
			return Float(math.Inf(1)), nil
		case "-Inf":
			return Float(math.Inf(-1)), nil
		case "NaN":
			return Float(math.NaN()), nil
		default:
			return Value{}, p.errorf(start, "##%s: want ##Inf, ##-Inf or ##NaN", s)
		}
	case ':':
		p.i += 2
		ns := strings.TrimPrefix(string(p.valid(p.token())), ":")
		if c, err := p.next(); err != nil || c != '{' {
			return Value{}, errors.Join(err, p.errorf(p.i, "%s: want a map", p.here()))
		}
		return p.object(depth, ns+"/")
	}
	if p.tag() == "" {
		return Value{}, p.errorf(start, "# without a tag")
	}
	return p.form(depth + 1)
}

// str reads a string whose opening quote is taken.
func (p *ednParser) str() (Value, error) {
	start := p.i
	for i := start; i < len(p.b); i++ {
		switch p.b[i] {
		case '"':
			p.i = i + 1
			return Str(p.words.brief(p.valid(p.b[start:i]))), nil
		case '\\':
			return p.escapedStr(start, i)
		}
	}
	return Value{}, p.errorf(start-1, "a string without end")
}

// escapedStr reads a string whose first backslash is at i. A backslash that
// begins no escape stays, because regular expressions are full of them.
func (p *ednParser) escapedStr(start, i int) (Value, error) {
	s := slices.Clone(p.b[start:i])
	for ; i < len(p.b); i++ {
		c := p.b[i]
		if c == '"' {
			p.i = i + 1
			return Str(string(p.valid(s))), nil
		}
		if c != '\\' || i+1 == len(p.b) {
			s = append(s, c)
			continue
		}
		i++
		if at := strings.IndexByte(`tnrbf"\`, p.b[i]); at >= 0 {
			s = append(s, "\t\n\r\b\f\"\\"[at])
			continue
		}
		if p.b[i] == 'u' && i+5 <= len(p.b) {
			if n, err := strconv.ParseUint(string(p.b[i+1:i+5]), 16, 16); err == nil {
				s = utf8.AppendRune(s, rune(n))
				i += 4
				continue
			}
		}
		s = append(s, '\\', p.b[i])
	}
	return Value{}, p.errorf(start-1, "a string without end")
}

// char reads a character, which becomes a string.
func (p *ednParser) char() (Value, error) {
	start := p.i
	_, size := utf8.DecodeRune(p.b[min(start+1, len(p.b)):])
	if size == 0 {
		return Value{}, p.errorf(start, "a backslash at the end of the file")
	}
	p.i += 1 + size
	p.token()
	s := string(p.valid(p.b[start+1 : p.i]))
	if names := map[string]string{
		"newline": "\n", "space": " ", "tab": "\t", "return": "\r",
		"backspace": "\b", "formfeed": "\f",
	}; names[s] != "" {
		s = names[s]
	}
	if len(s) == 5 && s[0] == 'u' {
		if n, err := strconv.ParseUint(s[1:], 16, 16); err == nil {
			s = string(rune(n))
		}
	}
	return Str(s), nil
}

// atom reads nil, true, false, a number or a symbol.
func (p *ednParser) atom() (Value, error) {
	start := p.i
	t := p.token()
	if len(t) == 0 {
		return Value{}, p.errorf(start, "%s: want a value", p.here())
	}
	digit := t[0]
	if (digit == '-' || digit == '+') && len(t) > 1 {
		digit = t[1]
	}
	if digit >= '0' && digit <= '9' {
		v, ok := ednNumber(string(t))
		if !ok {
			return Value{}, p.errorf(start, "%s: want a number", t)
		}
		return v, nil
	}
	switch string(t) {
	case "nil":
		return Value{}, nil
	case "true":
		return Bool(true), nil
	case "false":
		return Bool(false), nil
	default:
		return Str(p.words.brief(p.valid(t))), nil
	}
}

// ednNumber reads Clojure's integers (42, 42N, 0x2a, 052, 2r101010), decimals
// (1.5, 1e3, 1.5M) and ratios (3/4). What does not fit an integer is a float.
func ednNumber(s string) (Value, bool) {
	if strings.ContainsRune(s, '_') {
		return Value{}, false // Go's own notation
	}
	whole := strings.TrimSuffix(s, "N")
	if base, digits, ok := strings.Cut(whole, "r"); ok {
		radix, err := strconv.Atoi(strings.TrimLeft(base, "+-"))
		if err != nil || radix < 2 || radix > 36 || strings.ContainsAny(digits, "+-") {
			return Value{}, false
		}
		if base[0] == '-' {
			digits = "-" + digits
		}
		n, err := strconv.ParseInt(digits, radix, 64)
		return Int(n), err == nil
	}
	if n, err := strconv.ParseInt(whole, 10, 64); err == nil && !octal(whole) {
		return Int(n), true
	}
	if n, err := strconv.ParseInt(whole, 0, 64); err == nil {
		return Int(n), true
	}
	if num, den, ok := strings.Cut(s, "/"); ok {
		a, errA := strconv.ParseFloat(num, 64)
		b, errB := strconv.ParseFloat(den, 64)
		return Float(a / b), errA == nil && errB == nil && b != 0
	}
	f, err := strconv.ParseFloat(strings.TrimSuffix(whole, "M"), 64)
	return Float(f), err == nil
}

// octal reports whether an integer has a leading zero.
func octal(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return len(s) > 1 && s[0] == '0'
}
