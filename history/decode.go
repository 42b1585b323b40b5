package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// syntaxError says what is wrong at a byte of a line. The reader adds file and
// line.
type syntaxError struct {
	at  int // from 0
	msg string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("column %d: %s", e.at+1, e.msg) }

// maxDepth bounds how deep lists and maps nest, so that a hostile file cannot
// exhaust the stack. It is the bound of encoding/json, too.
const maxDepth = 10000

// parser reads JSON from one line. It is written for the lines of this package:
// strings without escapes, integers, few kinds of words. The rest goes through
// slower code to the same result.
type parser struct {
	b     []byte
	i     int
	words *interner // may be nil
	arena arena
	// ended is true once it looked for more at the end of b: if that is not the end
	// of the input, an error may only mean that the rest was missing.
	ended bool
	// lax strings need not be UTF-8, and whole numbers not fit 64 bits: they are for
	// people only. In a value, where two that differ must not become one, both are
	// errors.
	lax bool

	// Stacks of the elements of unfinished lists, maps and transactions.
	vals   []Value
	fields []Field
	steps  []Step
	ints   []int64
}

// interner shares one string among equal words.
type interner struct{ words map[string]string }

// internMax bounds how many words are kept: what comes again, comes soon.
const internMax = 1 << 18

func newInterner() *interner { return &interner{words: make(map[string]string)} }

func (in *interner) intern(b []byte) string {
	if in == nil {
		return string(b)
	}
	if s, ok := in.words[string(b)]; ok {
		return s
	}
	if len(in.words) >= internMax {
		clear(in.words)
	}
	s := string(b)
	in.words[s] = s
	return s
}

// brief interns b when it looks like a word of a small vocabulary: values hold
// the names of micro-operations as well as unique strings.
func (in *interner) brief(b []byte, a *arena) string {
	const maxLen, maxWords = 16, 4096
	if in == nil || len(b) > maxLen {
		return a.string(b)
	}
	if s, ok := in.words[string(b)]; ok {
		return s
	}
	if len(in.words) >= maxWords {
		return a.string(b)
	}
	return in.intern(b)
}

func (p *parser) errorf(at int, format string, args ...any) error {
	return &syntaxError{at: at, msg: fmt.Sprintf(format, args...)}
}

// here describes the next character, for messages.
func (p *parser) here() string {
	if p.i >= len(p.b) {
		p.ended = true
		return "end of input"
	}
	r, _ := utf8.DecodeRune(p.b[p.i:])
	return strconv.QuoteRune(r)
}

func (p *parser) want(what string) error {
	return p.errorf(p.i, "%s: want %s", p.here(), what)
}

func (p *parser) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		default:
			return
		}
	}
}

// next skips space and returns the next byte, 0 at the end.
func (p *parser) next() byte {
	p.space()
	if p.i < len(p.b) {
		return p.b[p.i]
	}
	return 0
}

// eat skips space and takes c if it comes next.
func (p *parser) eat(c byte) bool {
	if p.i < len(p.b) && p.b[p.i] == c || p.next() == c && p.i < len(p.b) {
		p.i++
		return true
	}
	return false
}

// value reads any JSON value.
func (p *parser) value(depth int) (Value, error) {
	switch c := p.next(); {
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case c == '"':
		b, err := p.str()
		if err != nil {
			return Value{}, err
		}
		return Str(p.words.brief(b, &p.arena)), nil
	case depth > maxDepth:
		return Value{}, p.errorf(p.i, "nested more than %d deep", maxDepth)
	case c == '[':
		return p.list(depth + 1)
	case c == '{':
		return p.object(depth + 1)
	case c == 'n':
		return Value{}, p.word("null")
	case c == 't':
		return Bool(true), p.word("true")
	case c == 'f':
		return Bool(false), p.word("false")
	default:
		return Value{}, p.want("a JSON value")
	}
}

func (p *parser) word(w string) error {
	if len(p.b)-p.i < len(w) || string(p.b[p.i:p.i+len(w)]) != w {
		p.ended = p.ended || len(p.b)-p.i < len(w)
		return p.want(w)
	}
	p.i += len(w)
	return nil
}

func (p *parser) list(depth int) (Value, error) {
	base := len(p.vals)
	p.i++
	if v, ok := p.intList(); ok {
		return v, nil
	}
	if p.eat(']') {
		return List(), nil
	}
	for {
		v, err := p.value(depth)
		if err != nil {
			return Value{}, err
		}
		p.vals = append(p.vals, v)
		if p.eat(',') {
			continue
		}
		if !p.eat(']') {
			return Value{}, p.want("comma or ] in a list")
		}
		v = p.arena.list(p.vals[base:])
		p.vals = p.vals[:base]
		return v, nil
	}
}

// intList reads the rest of a list of plain integers. If it is none, the parser
// stays where it is.
func (p *parser) intList() (Value, bool) {
	b, ns := p.b, p.ints[:0]
	for i := p.i; i < len(b); i++ {
		for b[i] == ' ' && i+1 < len(b) {
			i++
		}
		n, end := plainInt(b, i)
		if end == i || end >= len(b) {
			return Value{}, false
		}
		ns = append(ns, n)
		switch i = end; b[i] {
		case ',':
		case ']':
			p.i, p.ints = i+1, ns
			return p.arena.intList(ns), true
		default:
			return Value{}, false
		}
	}
	return Value{}, false
}

// plainInt reads an integer of at most 18 digits without leading zeros that begins
// at i, and returns where it ends: i, if there is none.
func plainInt(b []byte, i int) (n int64, end int) {
	start := i
	neg := i < len(b) && b[i] == '-'
	if neg {
		i++
	}
	first := i
	for i < len(b) && b[i]-'0' <= 9 {
		n = n*10 + int64(b[i]-'0')
		i++
	}
	if i == first || i-first > 18 || b[first] == '0' && (i-first > 1 || neg) {
		return 0, start
	}
	if neg {
		n = -n
	}
	return n, i
}

// txn reads a transaction, [[f, key, value], …], whose keys are all strings or all
// integers. If it is none, the parser stays where it is: whoever called has to read
// it as any value, and to report what is wrong with it.
func (p *parser) txn() (Value, bool) {
	start, vals := p.i, len(p.vals)
	p.steps = p.steps[:0]
	kind := kindSteps
	if p.eat('[') {
		for {
			s, isInt, ok := p.step()
			if !ok || isInt != (kind == kindIntSteps) && len(p.steps) > 0 {
				break
			}
			if isInt {
				kind = kindIntSteps
			}
			p.steps = append(p.steps, s)
			if p.eat(',') {
				continue
			}
			if !p.eat(']') {
				break
			}
			return stepList(kind, carve(&p.arena.steps, p.steps)), true
		}
	}
	p.i, p.vals = start, p.vals[:vals]
	return Value{}, false
}

// step reads one step, and says whether its key is an integer.
func (p *parser) step() (s Step, isInt, ok bool) {
	if !p.eat('[') || p.next() != '"' {
		return s, false, false
	}
	f, err := p.str()
	if s.F = stepF(f, p.words); err != nil || !p.eat(',') {
		return s, false, false
	}
	if p.next() == '"' {
		key, err := p.str()
		if s.Key = Key(p.words.intern(key)); err != nil {
			return s, false, false
		}
	} else {
		_, end := plainInt(p.b, p.i)
		s.Key, isInt = Key(p.words.intern(p.b[p.i:end])), true
		if end == p.i {
			return s, false, false
		}
		p.i = end
	}
	if !p.eat(',') {
		return s, false, false
	}
	s.Value, err = p.value(2)
	return s, isInt, err == nil && p.eat(']')
}

// stepF returns the name of a step without looking far for the usual ones.
func stepF(b []byte, words *interner) F {
	switch string(b) {
	case "r":
		return StepRead
	case "w":
		return StepWrite
	case "append":
		return StepAppend
	default:
		return F(words.intern(b))
	}
}

func (p *parser) object(depth int) (Value, error) {
	base := len(p.fields)
	p.i++
	if p.eat('}') {
		return Map(), nil
	}
	for {
		b, err := p.name()
		if err != nil {
			return Value{}, err
		}
		name := p.words.brief(b, &p.arena)
		v, err := p.value(depth)
		if err != nil {
			return Value{}, err
		}
		p.fields = append(p.fields, Field{Name: name, Value: v})
		if p.eat(',') {
			continue
		}
		if !p.eat('}') {
			return Value{}, p.want("comma or } in a map")
		}
		v = Map(slices.Clone(p.fields[base:])...)
		p.fields = p.fields[:base]
		return v, nil
	}
}

// name reads the name of a field and its colon. The result is valid until the
// next read.
func (p *parser) name() ([]byte, error) {
	if p.next() != '"' {
		return nil, p.want("a field name in quotes")
	}
	b, err := p.str()
	if err == nil && !p.eat(':') {
		err = p.want("a colon after a field name")
	}
	return b, err
}

// str reads a string. The result is valid until the next read.
func (p *parser) str() ([]byte, error) {
	start := p.i + 1
	for i := start; i < len(p.b); i++ {
		switch c := p.b[i]; {
		case c == '"':
			p.i = i + 1
			return p.b[start:i], nil
		case c == '\\' || c < ' ' || c >= utf8.RuneSelf:
			return p.oddStr(i)
		}
	}
	p.ended = true
	return nil, p.errorf(p.i, "a string without end")
}

// oddStr reads a string whose first unusual byte is at i.
func (p *parser) oddStr(i int) ([]byte, error) {
	start := p.i
	for ; i < len(p.b) && p.b[i] != '"'; i++ {
		if p.b[i] == '\\' {
			i++
		} else if p.b[i] < ' ' {
			return nil, p.errorf(i, "control character %q in a string", p.b[i])
		}
	}
	if i >= len(p.b) {
		p.ended = true
		return nil, p.errorf(start, "a string without end")
	}
	var s string
	if err := json.Unmarshal(p.b[start:i+1], &s); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, p.errorf(start+int(syntax.Offset)-1, "bad escape in a string: %v", syntax)
		}
		return nil, p.errorf(start, "bad string: %v", err)
	}
	if !p.lax && strings.Contains(s, "\ufffd") && !replaced(p.b[start:i]) {
		return nil, p.errorf(start, "a string that is not UTF-8")
	}
	p.i = i + 1
	return []byte(s), nil
}

// replaced reports whether the U+FFFD of a string was there when it was written.
func replaced(raw []byte) bool {
	return bytes.Contains(raw, []byte("\ufffd")) && utf8.Valid(raw) ||
		bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) && utf8.Valid(raw)
}

// number reads a number: an integer if it looks like one and fits 64 bits.
func (p *parser) number() (Value, error) {
	start := p.i
	neg := p.b[p.i] == '-'
	if neg {
		p.i++
	}
	digits := p.i
	var u uint64
	fits := true
	for p.i < len(p.b) && p.b[p.i]-'0' <= 9 {
		d := uint64(p.b[p.i] - '0')
		if u > (math.MaxUint64-d)/10 {
			fits = false
		}
		u = u*10 + d
		p.i++
	}
	switch {
	case p.i == digits:
		return Value{}, p.want("a digit")
	case p.b[digits] == '0' && p.i > digits+1:
		return Value{}, p.errorf(digits, "a number with a leading zero")
	}
	if p.i < len(p.b) {
		if c := p.b[p.i]; c == '.' || c == 'e' || c == 'E' {
			return p.float(start)
		}
	}
	switch {
	case fits && !neg && u <= math.MaxInt64:
		return Int(int64(u)), nil
	case fits && neg && u <= 1<<63:
		return Int(-int64(u)), nil
	case !p.lax: // as floats, different numbers could become one
		return Value{}, p.errorf(start, "number %s does not fit 64 bits", short(p.b[start:p.i]))
	}
	return p.float(start)
}

// short cuts a text for a message.
func short(b []byte) string {
	const most = 60
	if len(b) <= most {
		return string(b)
	}
	return string(b[:most]) + "…"
}

// float reads the number that begins at start and whose integer part is read.
func (p *parser) float(start int) (Value, error) {
	digits := func() bool {
		from := p.i
		for p.i < len(p.b) && p.b[p.i]-'0' <= 9 {
			p.i++
		}
		return p.i > from
	}
	if p.i < len(p.b) && p.b[p.i] == '.' {
		p.i++
		if !digits() {
			return Value{}, p.want("a digit after the point")
		}
	}
	if p.i < len(p.b) && p.b[p.i]|0x20 == 'e' {
		p.i++
		if p.i < len(p.b) && (p.b[p.i] == '+' || p.b[p.i] == '-') {
			p.i++
		}
		if !digits() {
			return Value{}, p.want("a digit in the exponent")
		}
	}
	f, err := strconv.ParseFloat(string(p.b[start:p.i]), 64)
	if err != nil {
		return Value{}, p.errorf(start, "number %s is out of range", short(p.b[start:p.i]))
	}
	return Float(f), nil
}
