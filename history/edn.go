package history

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ednParser reads EDN (github.com/edn-format/edn), and of what Clojure prints
// beyond it: ratios, regular expressions, metadata, ##Inf and namespaced maps.
type ednParser struct {
	b     []byte
	i     int
	words *interner
	arena arena
	// discards counts the #_ that this place is in.
	discards int
	// ended is true once it looked for more at the end of b: if that is not the end
	// of the input, an error may only mean that the rest was missing.
	ended bool
	// remark is true when that was in a comment.
	remark bool
	// lax strings need not be UTF-8, and whole numbers not fit 64 bits: they are for
	// people only. In a value, where two that differ must not become one, both are
	// errors.
	lax bool
	bad *syntaxError

	// Stacks of the elements of unfinished lists, maps and transactions.
	vals   []Value
	fields []Field
	steps  []Step
	ints   []int64
}

func (p *ednParser) errorf(at int, format string, args ...any) error {
	return &syntaxError{at: at, msg: fmt.Sprintf(format, args...)}
}

// here describes the next character, for messages.
func (p *ednParser) here() string {
	if p.i >= len(p.b) {
		p.ended = true
		return "end of file"
	}
	r, _ := utf8.DecodeRune(p.b[p.i:])
	return strconv.QuoteRune(r)
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
	p.ended = true
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
				end, p.ended, p.remark = len(p.b)-p.i, true, true
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
	p.ended = true
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
	p.ended = p.ended || p.i == len(p.b)
	return p.b[start:p.i]
}

// tag takes a # and the symbol behind it.
func (p *ednParser) tag() string {
	p.i++
	return string(p.token())
}

// closed takes the closing bracket of the collection that began at start, if it
// comes next.
func (p *ednParser) closed(start int, closer byte) (bool, error) {
	c, err := p.next()
	switch {
	case err != nil:
		return false, err
	case p.i >= len(p.b):
		return false, p.errorf(start, "%q without its %q", p.b[start], closer)
	case c == closer:
		p.i++
		return true, nil
	}
	return false, nil
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
		return Str(p.words.brief(p.valid(p.token()), &p.arena)), nil
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
	p.notUTF8()
	return bytes.ToValidUTF8(s, []byte("\uFFFD"))
}

// notUTF8 notes that there is such a text before this place.
func (p *ednParser) notUTF8() {
	if !p.lax && p.bad == nil {
		p.bad = &syntaxError{at: p.i - 1, msg: "a text that is not UTF-8 ends here"}
	}
}

func (p *ednParser) list(depth int) (Value, error) {
	start, base := p.i, len(p.vals)
	closer := closing(p.b[start])
	p.i++
	if v, ok := p.intList(closer); ok {
		return v, nil
	}
	for {
		if end, err := p.closed(start, closer); err != nil {
			return Value{}, err
		} else if end {
			break
		}
		v, err := p.form(depth + 1)
		if err != nil {
			return Value{}, err
		}
		p.vals = append(p.vals, v)
	}
	v := p.arena.list(p.vals[base:])
	p.vals = p.vals[:base]
	return v, nil
}

// intList reads the rest of a list of plain integers. If it is none, the parser
// stays where it is.
func (p *ednParser) intList(closer byte) (Value, bool) {
	b, i, ns := p.b, p.i, p.ints[:0]
	for i < len(b) {
		n, end := plainInt(b, i)
		if end == i || end >= len(b) {
			return Value{}, false
		}
		ns = append(ns, n)
		switch i = end; b[i] {
		case ' ', ',':
			for i++; i < len(b) && b[i] == ' '; i++ {
			}
		case closer:
			p.i, p.ints = i+1, ns
			return p.arena.intList(ns), true
		default:
			return Value{}, false
		}
	}
	return Value{}, false
}

// txn reads a transaction, [[:f key value] …], whose keys are all words or all
// integers. If it is none, the parser stays where it is: whoever called has to read
// it as any value, and to report what is wrong with it.
func (p *ednParser) txn() (Value, bool) {
	start, vals, kind := p.i, len(p.vals), kindSteps
	p.steps = p.steps[:0]
	if p.take('[') {
		for p.take('[') {
			s, isInt, ok := p.step()
			if !ok || isInt != (kind == kindIntSteps) && len(p.steps) > 0 {
				break
			}
			if isInt {
				kind = kindIntSteps
			}
			p.steps = append(p.steps, s)
			if p.take(']') {
				return stepList(kind, carve(&p.arena.steps, p.steps)), true
			}
		}
	}
	p.i, p.vals, p.discards = start, p.vals[:vals], 0
	return Value{}, false
}

// take skips plain space and takes c if it comes next.
func (p *ednParser) take(c byte) bool {
	for p.i < len(p.b) && ednSpace(p.b[p.i]) {
		p.i++
	}
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

// step reads the rest of one step, and says whether its key is an integer.
func (p *ednParser) step() (s Step, isInt, ok bool) {
	if !p.take(':') && !p.take('"') {
		return s, false, false
	}
	quoted := p.b[p.i-1] == '"'
	f := p.token()
	if s.F = stepF(f, p.words); len(f) == 0 || quoted && !p.take('"') {
		return s, false, false
	}
	for p.i < len(p.b) && ednSpace(p.b[p.i]) {
		p.i++
	}
	switch _, end := plainInt(p.b, p.i); {
	case end > p.i && end < len(p.b) && delimiter(p.b[end]):
		s.Key, isInt = Key(p.words.intern(p.b[p.i:end])), true
		p.i = end
	default:
		if c := p.at(0); c != ':' && c != '"' {
			return s, false, false
		}
		key, err := p.form(3)
		text, isText := key.AsString()
		if s.Key = Key(text); err != nil || !isText {
			return s, false, false
		}
	}
	v, err := p.form(3)
	s.Value = v
	return s, isInt, err == nil && p.take(']')
}

// object reads a map; prefix is the namespace of its keys, with a slash.
func (p *ednParser) object(depth int, prefix string) (Value, error) {
	start, base := p.i, len(p.fields)
	p.i++
	for {
		if end, err := p.closed(start, '}'); err != nil {
			return Value{}, err
		} else if end {
			break
		}
		isName := p.at(0) == ':'
		k, err := p.form(depth + 1)
		if err != nil {
			return Value{}, err
		}
		name := p.nameOf(k)
		if isName && !strings.Contains(name, "/") {
			name = prefix + name
		}
		v, err := p.form(depth + 1)
		if err != nil {
			return Value{}, err
		}
		p.fields = append(p.fields, Field{Name: name, Value: v})
	}
	v := Map(slices.Clone(p.fields[base:])...)
	p.fields = p.fields[:base]
	return v, nil
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
			return Str(p.words.brief(p.valid(p.b[start:i]), &p.arena)), nil
		case '\\':
			return p.escapedStr(start, i)
		}
	}
	p.ended = true
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
				if utf16.IsSurrogate(rune(n)) {
					p.notUTF8() // nothing that prints EDN writes half characters
				}
				s = utf8.AppendRune(s, rune(n))
				i += 4
				continue
			}
		}
		s = append(s, '\\', p.b[i])
	}
	p.ended = true
	return Value{}, p.errorf(start-1, "a string without end")
}

// char reads a character, which becomes a string.
func (p *ednParser) char() (Value, error) {
	start := p.i
	_, size := utf8.DecodeRune(p.b[min(start+1, len(p.b)):])
	if p.ended = p.ended || start+1+size >= len(p.b); size == 0 {
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
	if n, end := plainInt(p.b, start); end > start && end < len(p.b) && delimiter(p.b[end]) {
		p.i = end
		return Int(n), nil
	}
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
		switch {
		case !ok:
			return Value{}, p.errorf(start, "%s: want a number", short(t))
		case v.kind == KindFloat && !p.lax && !bytes.ContainsAny(t, ".eE/M"):
			// As floats, different numbers could become one.
			return Value{}, p.errorf(start, "number %s does not fit 64 bits", short(t))
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
		return Str(p.words.brief(p.valid(t), &p.arena)), nil
	}
}

// ednNumber reads Clojure's integers (42, 42N, 0x2a, 052, 2r101010), decimals
// (1.5, 1e3, 1.5M) and ratios (3/4). An integer that does not fit 64 bits is a float.
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
		n, errN := strconv.ParseInt(num, 10, 64)
		d, errD := strconv.ParseInt(den, 10, 64)
		if errN == nil && errD == nil && d > 0 && n%d == 0 {
			return Int(n / d), true
		}
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
