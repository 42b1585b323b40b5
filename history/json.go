package history

import "bytes"

// jsonOps is the dialect of the JSON of other tools, as elle-cli reads it: objects
// with the field names of Jepsen, one after another or in a list, without a header.
type jsonOps struct {
	j *joiner
	// list is true in a list, ended behind it, begun when there was anything, and
	// comma where one may stand.
	list, ended, begun, comma bool
}

func (d *jsonOps) parser() partParser {
	return &jsonParser{eventDecoder{p: &parser{words: newInterner()}}}
}

// cut looks for the start of an object on a line of its own, or else behind a comma
// or a space.
func (d *jsonOps) cut(b []byte) int { return cutBefore(b, `{"`) }

// cutBefore returns the last place behind a newline where word stands, or behind
// white space or a comma.
func cutBefore(b []byte, word string) int {
	second := 0
	for end := len(b); ; {
		at := bytes.LastIndex(b[:end], []byte(word))
		if at <= 0 || len(b)-at > blockSize/2 {
			return second
		}
		switch b[at-1] {
		case '\n':
			return at
		case ' ', ',', '\t':
			second = max(second, at)
		}
		end = at
	}
}

func (d *jsonOps) take(c *part) error {
	for i := range c.out {
		e := &c.out[i]
		switch {
		case d.ended:
			return c.unexpected(e, "nothing after the list")
		case e.bracket == '[' && !d.begun:
			d.list = true
		case e.bracket == ']' && d.list:
			d.ended = true
		case e.bracket == ',' && d.list && d.comma:
			d.comma = false
		case d.list && d.comma:
			return c.unexpected(e, "comma or ] in a list")
		case e.bracket != 0:
			return c.unexpected(e, "an event, that is {")
		default:
			if err := d.j.add(e); err != nil {
				return jsonPlace(c, e, err)
			}
			d.comma = !e.comma
		}
		d.begun = true
	}
	return nil
}

func (c *part) unexpected(e *parsed, want string) error {
	p := parser{b: c.b, i: int(e.at)}
	return p.want(want)
}

func (d *jsonOps) end(c *part) error {
	if d.list && !d.ended {
		p := parser{b: c.b, i: len(c.b)}
		if d.comma {
			return p.want("comma or ] in a list")
		}
		return p.want("an event, that is {")
	}
	return nil
}

type jsonParser struct{ d eventDecoder }

func (j *jsonParser) parse(c *part) {
	p := j.d.p
	p.b, p.i = c.b, 0
	for b := p.next(); p.i < len(p.b); b = p.next() {
		at := p.i
		if b == '[' || b == ']' || b == ',' {
			p.i++
			c.out = append(c.out, parsed{at: int32(at), bracket: b})
			continue
		}
		p.ended = false
		if err := j.d.decode(true); err != nil {
			c.err = err
			if p.ended {
				c.rest = at
			}
			return
		}
		e := j.d.parsed()
		if p.next() == ',' {
			p.i++
			e.comma = true
		}
		c.out = append(c.out, e)
	}
}

// jsonForm reports whether a file begins with a JSON object, or with one in a list.
func jsonForm(start []byte) bool {
	const space = " \t\r\n"
	if rest, ok := bytes.CutPrefix(start, []byte{'['}); ok {
		start = bytes.TrimLeft(rest, space)
	}
	rest, ok := bytes.CutPrefix(start, []byte{'{'})
	return ok && bytes.HasPrefix(bytes.TrimLeft(rest, space), []byte{'"'})
}
