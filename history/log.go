package history

import (
	"bytes"
	"fmt"
)

// jepsenLog is the dialect of the logs that Jepsen prints while a test runs, which
// Porcupine has 102 of in its tests:
//
//	INFO  jepsen.util - 3	:invoke	:cas	[1 2]
//	INFO  jepsen.util - 3	:info	:cas	:timed-out
//
// Other lines of a log are of no interest, unless they look as if they had been such
// a line. A log that ends inside a line is torn, as a value may be.
type jepsenLog struct{ j *joiner }

const logMark = "jepsen.util"

func readLog(f *feeder, j *joiner) error {
	j.loose = true
	return f.with(jepsenLog{j}).run(j.h.Source, j.o.Progress)
}

// logForm reports whether a file looks like a log.
func logForm(start []byte) bool {
	return !bytes.ContainsRune([]byte("{[(#;"), rune(start[0])) &&
		bytes.Contains(start, []byte(logMark))
}

func (d jepsenLog) cut(b []byte) int   { return bytes.LastIndexByte(b, '\n') + 1 }
func (d jepsenLog) parser() partParser { return &logParser{ednParser{words: newInterner()}} }

func (d jepsenLog) take(c *part) error {
	d.j.h.Torn = d.j.h.Torn || c.torn
	for i := range c.out {
		if err := d.j.add(&c.out[i]); err != nil {
			return ednPlace(&c.out[i], err)
		}
	}
	return nil
}

func (d jepsenLog) end(*part) error {
	if !d.j.seen && !d.j.h.Torn {
		return fmt.Errorf("read history %s: no line of this log is an operation", d.j.h.Source)
	}
	return nil
}

type logParser struct{ p ednParser }

func (l *logParser) parse(c *part) {
	for start := 0; start < len(c.b); {
		n := bytes.IndexByte(c.b[start:], '\n')
		if n < 0 {
			c.torn = true
			return
		}
		l.p.b, l.p.i = c.b[:start+n], start
		start += n + 1
		e, is, err := l.line()
		if err != nil {
			c.err = err
			return
		}
		if is {
			c.out = append(c.out, e)
		}
	}
}

// line reads a line, if it is an operation.
func (l *logParser) line() (e parsed, is bool, err error) {
	p := &l.p
	start := p.i
	line := bytes.TrimRight(p.b[start:], " \t\r")
	p.b = p.b[:start+len(line)]
	at := bytes.Index(line, []byte(logMark))
	if at < 0 {
		if hasType(line) {
			err = p.errorf(start, "an operation without %q before it", logMark)
		}
		return e, false, err
	}
	p.i = start + at + len(logMark)
	for p.i < len(p.b) && bytes.IndexByte([]byte(" :-\t"), p.b[p.i]) >= 0 &&
		!(p.b[p.i] == ':' && p.at(1) > ' ') {
		p.i++
	}
	if c := p.at(0); c != ':' && c-'0' > 9 {
		if hasType(line) {
			err = p.errorf(p.i, "%s: want the process of an operation", p.here())
		}
		return e, false, err // Jepsen says something else
	}
	e.at = int32(p.i)
	if err := p.opProcess(&e); err != nil {
		return e, false, err
	}
	if err = l.operation(&e); err == nil {
		err = p.client(&e)
	}
	return e, err == nil, err
}

// hasType reports whether a line looks like an operation.
func hasType(line []byte) bool {
	for t := Invoke; t <= Info; t++ {
		if bytes.Contains(line, []byte("\t:"+t.String()+"\t")) {
			return true
		}
	}
	return false
}

// operation reads what comes behind the process.
func (l *logParser) operation(e *parsed) error {
	p := &l.p
	var seen opFields
	for _, name := range []string{"type", "f"} {
		if c, err := p.next(); err != nil || c != ':' {
			return p.errorf(p.i, "%s: want the :%s of an operation", p.here(), name)
		}
		if err := p.opField(e, name, &seen); err != nil {
			return err
		}
	}
	c, err := p.next()
	if err != nil || p.i >= len(p.b) {
		return err
	}
	p.lax, p.bad = false, nil
	if err := p.opValue(e); err != nil {
		return err
	}
	if p.bad != nil {
		return p.bad
	}
	if text, isText := e.Value.AsString(); isText && c == ':' && e.Type != OK {
		e.Value, e.Error = Value{}, text // as in :info :write :timed-out
	}
	if _, err := p.next(); err == nil && p.i < len(p.b) {
		p.lax = true
		e.Error = string(p.valid(p.b[p.i:]))
		p.i = len(p.b)
	}
	return nil
}
