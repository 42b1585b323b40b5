package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ownLines is the dialect of this package's own files: behind the header, one JSON
// object a line.
type ownLines struct{ j *joiner }

func (d ownLines) cut(b []byte) int   { return bytes.LastIndexByte(b, '\n') + 1 }
func (d ownLines) parser() partParser { return newLineParser() }
func (d ownLines) end(*part) error    { return nil }

func (d ownLines) take(c *part) error {
	d.j.h.Torn = d.j.h.Torn || c.torn
	for i := range c.out {
		if err := d.j.add(&c.out[i]); err != nil {
			return jsonPlace(c, &c.out[i], err)
		}
	}
	return nil
}

// jsonPlace finds the field that shows what is wrong with an event.
func jsonPlace(c *part, e *parsed, err error) error {
	var bad *eventError
	if !errors.As(err, &bad) {
		return err
	}
	again := eventDecoder{p: &parser{b: c.b, i: int(e.at), words: newInterner()}}
	at := int(e.at)
	if again.decode(true) == nil {
		at = again.column(bad.field)
	}
	return &syntaxError{at: at, msg: bad.msg}
}

type lineParser struct{ d eventDecoder }

func newLineParser() *lineParser {
	return &lineParser{eventDecoder{p: &parser{words: newInterner()}}}
}

func (l *lineParser) parse(c *part) {
	p := l.d.p
	for start := 0; start < len(c.b); {
		end, whole := len(c.b), false
		if n := bytes.IndexByte(c.b[start:], '\n'); n >= 0 {
			end, whole = start+n, true
		}
		p.b, p.i = c.b[:end], start
		start = end + 1
		if p.next(); p.i == end {
			continue
		}
		err := l.d.decode(false)
		if p.next(); err == nil && p.i < end {
			err = p.want("the end of the line after an event")
		}
		switch {
		case err != nil && !whole:
			c.torn = true
			return
		case err != nil:
			c.err = err
			return
		}
		c.out = append(c.out, l.d.parsed())
	}
}

// header reads the first line of a file of this package's.
func (j *joiner) header(b []byte, whole bool) error {
	var h headerLine
	err := json.Unmarshal(b, &h)
	switch {
	case err != nil && !whole && tornHeader(b):
		j.h.Torn = true
		return nil
	case err != nil:
		var syntax *json.SyntaxError
		at := 0
		if errors.As(err, &syntax) {
			at = int(syntax.Offset) - 1
		}
		return &syntaxError{at: at, msg: "bad header: " + err.Error()}
	case h.Ordeal != "history":
		return &syntaxError{msg: fmt.Sprintf(
			`"ordeal" is %q: want history, this file holds something else`, h.Ordeal)}
	case h.Format > Format:
		return &syntaxError{msg: fmt.Sprintf("format %d is newer than %d, "+
			"the newest that this program reads: update the program", h.Format, Format)}
	case h.Format < 1:
		return &syntaxError{msg: fmt.Sprintf(`"format" is %d: want a number from 1`, h.Format)}
	}
	j.h.Header = h.Header
	if j.sink != nil && j.sink.Header != nil {
		return j.sink.Header(h.Header)
	}
	return nil
}

// ownForm reports whether the start of a file is a header, or what a crash left
// of one.
func ownForm(start []byte) bool {
	line, _, whole := bytes.Cut(start, []byte{'\n'})
	return len(line) > 0 && line[0] == '{' && bytes.Contains(line, []byte(`"ordeal"`)) ||
		!whole && tornHeader(line)
}

// tornHeader reports whether b is the start of a header that this package wrote.
func tornHeader(b []byte) bool {
	const start = `{"ordeal":"history"`
	return strings.HasPrefix(start, string(b)) || bytes.HasPrefix(b, []byte(start))
}
