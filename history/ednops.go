package history

import (
	"errors"
	"fmt"
)

// ednOps is the dialect of Jepsen and Knossos: maps such as
//
//	{:type :invoke, :f :read, :value nil, :process 0, :time 1, :index 0}
//
// one after another or in one vector, with or without a record's tag in front.
// Keywords and symbols become strings without the colon, sets become lists. A
// value with the tag of a tuple of jepsen.independent gives the operation its
// key; a plain vector of two stays a vector, because nothing tells it from one but
// the caller, by LoadOptions.Independent.
type ednOps struct {
	j *joiner
	// open is the vector or list around the operations: 0, [ or (.
	open byte
	// unclosed is the error for when open is never closed.
	unclosed error
}

func (d *ednOps) cut(b []byte) int   { return cutBefore(b, "{:") }
func (d *ednOps) parser() partParser { return &ednParser{words: newInterner()} }

func (d *ednOps) take(c *part) error {
	for i := range c.out {
		e := &c.out[i]
		switch {
		case e.bracket == 0:
			if err := d.j.add(e); err != nil {
				return ednPlace(e, err)
			}
		case d.open == 0 && (e.bracket == '[' || e.bracket == '('):
			d.open = e.bracket
			d.unclosed = c.place(d.j.h.Source, &syntaxError{at: int(e.at), msg: fmt.Sprintf(
				"%q without its %q", e.bracket, closing(e.bracket))})
		case d.open != 0 && e.bracket == closing(d.open):
			d.open = 0
		default:
			p := ednParser{b: c.b, i: int(e.at)}
			return p.errorf(p.i, "%s: want an operation, that is {", p.here())
		}
	}
	return nil
}

func (d *ednOps) end(*part) error {
	if d.open != 0 {
		return d.unclosed
	}
	return nil
}

// ednPlace blames the beginning of an operation.
func ednPlace(e *parsed, err error) error {
	var bad *eventError
	if errors.As(err, &bad) {
		return &syntaxError{at: int(e.at), msg: bad.msg}
	}
	return err
}

// closing returns the bracket that closes another.
func closing(open byte) byte {
	switch open {
	case '[':
		return ']'
	case '(':
		return ')'
	default:
		return '}'
	}
}

// parse reads operations, and brackets around them, until the end.
func (p *ednParser) parse(c *part) {
	p.b, p.i = c.b, 0
	for {
		at := p.i
		p.ended, p.remark, p.discards, p.bad = false, false, 0, nil
		p.vals, p.fields = p.vals[:0], p.fields[:0]
		b, err := p.next()
		if err == nil && p.i >= len(p.b) {
			if p.remark {
				c.rest = at
			}
			return
		}
		e := parsed{at: int32(p.i)}
		switch {
		case err != nil:
		case b == '[' || b == ']' || b == '(' || b == ')' || b == '}':
			e.bracket = b
			p.i++
		default:
			err = p.op(&e)
		}
		if err != nil {
			c.err = err
			if p.ended {
				c.rest = at
			}
			return
		}
		c.out = append(c.out, e)
	}
}

// op reads an operation map.
func (p *ednParser) op(e *parsed) error {
	for p.at(0) == '#' && p.at(1) != '{' {
		p.tag()
		if _, err := p.next(); err != nil {
			return err
		}
	}
	start := p.i
	e.at, e.noProcess = int32(start), true
	if p.at(0) != '{' {
		return p.errorf(start, "%s: want an operation, that is {", p.here())
	}
	p.i++
	var seen opFields
	for {
		c, err := p.next()
		switch {
		case err != nil:
			return err
		case p.i >= len(p.b):
			return p.errorf(start, "%q without its %q", '{', '}')
		case c == '}':
			p.i++
			return p.whole(e, seen)
		case p.bad != nil:
			return p.bad
		}
		name, err := p.opName()
		if err != nil {
			return err
		}
		if c, err := p.next(); err != nil {
			return err
		} else if c == '}' || c == 0 {
			return p.errorf(p.i, "%s: want a value of %s", p.here(), brief(Str(name)))
		}
		if err := p.opField(e, name, &seen); err != nil {
			return err
		}
	}
}

// opFields are the fields that an operation has, as bits.
type opFields uint16

func (s opFields) has(f field) bool { return s&(1<<f) != 0 }

func (p *ednParser) whole(e *parsed, seen opFields) error {
	switch {
	case p.bad != nil:
		return p.bad
	case !seen.has(fieldType):
		return p.errorf(int(e.at), "an operation without :type")
	case !seen.has(fieldF):
		e.F = unnamed
	}
	return p.client(e)
}

// client refuses what calls operations and has no number: they would not be judged.
func (p *ednParser) client(e *parsed) error {
	if e.noClient && e.Type == Invoke {
		return p.errorf(int(e.at), "a process that is no number has :type invoke, as if it were a client")
	}
	return nil
}

// opName reads the name of a field; one that is no word becomes its JSON.
func (p *ednParser) opName() (string, error) {
	if p.at(0) == ':' {
		p.i++
		return p.words.brief(p.valid(p.token()), &p.arena), nil
	}
	v, err := p.form(1)
	return p.nameOf(v), err
}

// opField reads one field of an operation.
func (p *ednParser) opField(e *parsed, name string, seen *opFields) error {
	at, f := p.i, fieldOf([]byte(name))
	if f != fieldUnknown && seen.has(f) {
		return p.errorf(at, "a second :%s", name)
	}
	*seen |= 1 << f
	p.lax = f == fieldError || f == fieldUnknown
	switch f {
	case fieldValue:
		return p.opValue(e)
	case fieldType:
		v, err := p.form(1)
		text, _ := v.AsString()
		t, isType := parseType([]byte(text))
		if err == nil && !isType {
			return p.errorf(at, ":type is %s: want :invoke, :ok, :fail or :info", brief(v))
		}
		e.Type = t
		return err
	case fieldProcess:
		return p.opProcess(e)
	case fieldF:
		v, err := p.form(1)
		text, isText := v.AsString()
		if err == nil && !isText {
			return p.errorf(at, ":f is %s: want a keyword", brief(v))
		}
		e.F = F(text)
		return err
	case fieldKey: // as in the key-value logs of Porcupine's tests
		v, err := p.form(1)
		if !v.IsNil() {
			e.Key = Key(p.nameOf(v))
		}
		return err
	case fieldTime:
		n, has, err := p.opNumber(name)
		e.Time, e.hasTime = Time(n), has
		return err
	case fieldIndex:
		n, has, err := p.opNumber(name)
		e.Index, e.hasIndex = n, has
		return err
	case fieldError:
		v, err := p.form(1)
		if text, isText := v.AsString(); isText {
			e.Error = text
		} else if !v.IsNil() {
			e.Error = v.String()
		}
		return err
	default:
		_, err := p.form(1)
		return err
	}
}

// opNumber reads a number from 0. A lower one counts as none: some tools have -1.
func (p *ednParser) opNumber(name string) (n int64, has bool, err error) {
	at := p.i
	v, err := p.form(1)
	n, isInt := v.AsInt()
	if err == nil && !isInt && !v.IsNil() {
		err = p.errorf(at, ":%s is %s: want a whole number", name, brief(v))
	}
	return n, isInt && n >= 0, err
}

func (p *ednParser) opProcess(e *parsed) error {
	at := p.i
	v, err := p.form(1)
	if err != nil {
		return err
	}
	n, isInt := v.AsInt()
	switch {
	case v.Kind() == KindString: // :nemesis, or another thread that is no client
		name, _ := v.AsString()
		e.Process, e.noClient = Nemesis, name != "nemesis"
	case isInt && n >= 0:
		e.Process = Process(n)
	case v.IsNil():
		return nil
	default:
		return p.errorf(at, ":process is %s: want a number from 0 or a keyword", brief(v))
	}
	e.noProcess = false
	return nil
}

// opValue reads the :value of an operation, which may be a tuple of key and value.
func (p *ednParser) opValue(e *parsed) error {
	at := p.i
	if p.at(0) == '#' && p.at(1) != '{' {
		switch p.tag() {
		case "jepsen.independent/tuple", "jepsen.independent.Tuple",
			"clojure.lang.MapEntry", "MapEntry":
			return p.tuple(e, at)
		}
		p.i = at
	}
	if v, ok := p.txn(); ok {
		e.Value = v
		return nil
	}
	v, err := p.form(1)
	e.Value = v
	return err
}

// tuple reads the [key value] of jepsen.independent.
func (p *ednParser) tuple(e *parsed, at int) error {
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
