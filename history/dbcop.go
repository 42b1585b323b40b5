package history

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// dbcop has had three forms: bincode of the first version, which PolySI and AWDIT
// write, too; JSON; and since 2026 text. All are lists of sessions, which are lists of
// transactions. (Biswas and Enea, "On the complexity of checking transactional
// consistency", OOPSLA 2019; the forms are those of its program.)

// dbcopForm reports whether a file looks like one of the three.
func dbcopForm(start []byte) bool {
	return dbcopJSON(start) || histForm(start) || bincodeForm(start)
}

func readDBCop(f *feeder, j *joiner) error {
	for !f.eof && len(f.buf) < firstBlock {
		if err := f.fill(); err != nil {
			return fmt.Errorf("read history %s: %w", j.h.Source, err)
		}
	}
	switch {
	case bincodeForm(f.buf):
		return readBincode(f, j)
	case histForm(f.buf):
		return readHist(f, j)
	default:
		return readDBCopJSON(f, j)
	}
}

// dbcopJSON reports whether a file begins with a list of lists, or with an object of
// which one of dbcop's fields is the first.
func dbcopJSON(start []byte) bool {
	p := parser{b: start}
	if p.eat('[') {
		return p.eat('[') && (p.eat('{') || p.eat(']'))
	}
	if !p.eat('{') {
		return false
	}
	name, err := p.name()
	if err != nil {
		return false
	}
	switch string(name) {
	case "params", "info", "start", "end", "data":
		return true
	default:
		return false
	}
}

// readDBCopJSON reads the JSON.
func readDBCopJSON(f *feeder, j *joiner) error {
	for !f.eof {
		if len(f.buf) >= formMax {
			return fmt.Errorf("read history %s: more than %d bytes in one value", j.h.Source, formMax)
		}
		if err := f.fill(); err != nil {
			return fmt.Errorf("read history %s: %w", j.h.Source, err)
		}
	}
	c := &part{b: f.buf, line: f.line, col: f.col}
	d := dbcopReader{
		s: newSessions(f, j),
		p: &parser{b: f.buf, words: newInterner()},
		c: c,
	}
	if err := d.file(); err != nil {
		return c.place(j.h.Source, err)
	}
	return d.s.finish()
}

// dbcopReader reads JSON step by step, so that errors have a place.
type dbcopReader struct {
	s *sessions
	p *parser
	c *part
}

func (d *dbcopReader) file() error {
	p := d.p
	seen := false
	var err error
	if p.next() == '[' {
		seen, err = true, d.data()
	} else {
		err = d.fields(func(name string) error {
			if name == "data" {
				seen = true
				return d.data()
			}
			_, err := p.value(0)
			return err
		})
	}
	if p.next(); err == nil && p.i < len(p.b) {
		err = p.want("nothing behind the history")
	}
	if err == nil && !seen {
		err = p.errorf(0, `an object without "data"`)
	}
	return err
}

// fields reads an object.
func (d *dbcopReader) fields(read func(name string) error) error {
	p := d.p
	if !p.eat('{') {
		return p.want("{")
	}
	for more := !p.eat('}'); more; {
		b, err := p.name()
		if err != nil {
			return err
		}
		p.space()
		if err := read(string(b)); err != nil {
			return err
		}
		if p.eat(',') {
			continue
		}
		if !p.eat('}') {
			return p.want("comma or }")
		}
		more = false
	}
	return nil
}

// elements reads a list.
func (d *dbcopReader) elements(read func() error) error {
	p := d.p
	if !p.eat('[') {
		return p.want("[")
	}
	for more := !p.eat(']'); more; {
		if err := read(); err != nil {
			return err
		}
		if p.eat(',') {
			continue
		}
		if !p.eat(']') {
			return p.want("comma or ]")
		}
		more = false
	}
	return nil
}

func (d *dbcopReader) data() error {
	process := Process(-1)
	return d.elements(func() error {
		process++
		return d.elements(func() error { return d.txn(process) })
	})
}

func (d *dbcopReader) txn(process Process) error {
	p := d.p
	p.space()
	start := p.i
	line, _ := (&part{b: d.c.b[:start], line: d.c.line}).after()
	txn := d.s.begin(process, Info, line)
	events, ended := false, false
	err := d.fields(func(name string) error {
		switch name {
		case "events":
			events = true
			return d.elements(func() error { return d.event(txn) })
		case "committed", "success":
			at := p.i
			v, err := p.value(0)
			yes, is := v.AsBool()
			if err == nil && !is {
				err = p.errorf(at, "%q is %s: want true or false", name, brief(v))
			}
			if ended = true; yes {
				d.s.txns[txn].typ = OK
			} else {
				d.s.txns[txn].typ = Fail
			}
			return err
		}
		_, err := p.value(0)
		return err
	})
	if err == nil && !(events && ended) {
		err = p.errorf(start, `a transaction without "events" or "committed"`)
	}
	return err
}

// event reads an event in one of its forms: {"Read":{"variable":0,"version":1}},
// ["r",0,1], or {"write":false,"variable":0,"value":1,"success":true}.
func (d *dbcopReader) event(txn int) error {
	p := d.p
	p.space()
	at := p.i
	v, err := p.value(0)
	if err != nil {
		return err
	}
	bad := func() error { return p.errorf(at, "%s: want an event of dbcop", brief(v)) }
	var key, value Value
	f, failed := StepRead, false
	switch {
	case v.Kind() == KindList && v.Len() == 3:
		name, _ := v.At(0).AsString()
		if f, key, value = F(name), v.At(1), v.At(2); f != StepRead && f != StepWrite {
			return bad()
		}
	case v.Kind() == KindMap && v.Len() == 1:
		switch v.FieldName(0) {
		case "Read":
		case "Write":
			f = StepWrite
		default:
			return bad()
		}
		key, value = v.At(0).Get("variable"), v.At(0).Get("version")
	case v.Kind() == KindMap:
		write, isWrite := v.Get("write").AsBool()
		success, isSuccess := v.Get("success").AsBool()
		if !isWrite || !isSuccess {
			return bad()
		}
		if write {
			f = StepWrite
		}
		d.s.initial = true
		key, value, failed = v.Get("variable"), v.Get("value"), !success
	default:
		return bad()
	}
	k, isKey := key.AsInt()
	n, isNumber := value.AsInt()
	if !isKey || k < 0 || !isNumber && (f == StepWrite || !value.IsNil()) || n < 0 {
		return bad()
	}
	d.s.dbcopStep(txn, f, key.AppendJSON(nil), value, failed)
	return nil
}

// dbcopStep adds an event. In the first version an event can fail in a transaction
// that was committed: such a write must not be seen, such a read saw nothing.
func (s *sessions) dbcopStep(txn int, f F, key []byte, v Value, failed bool) {
	t := s.txns[txn]
	if failed && f == StepRead {
		return
	}
	if failed && t.typ != Fail {
		txn = s.begin(t.process, Fail, t.line)
	}
	s.step(txn, f, key, v)
}

// bincodeForm reports whether a file begins like the bincode of a history: five
// parameters, a short text, and the time 20xx-xx-xxT….
func bincodeForm(start []byte) bool {
	const params = 5 * 8
	if len(start) < params+8 {
		return false
	}
	info := binary.LittleEndian.Uint64(start[params:])
	if info > 4096 || len(start) < params+8+int(info)+8+11 {
		return false
	}
	at := params + 8 + int(info)
	date := binary.LittleEndian.Uint64(start[at:])
	return date >= 20 && date < 64 && start[at+8] == '2' && start[at+8+10] == 'T'
}

// bincode reads the encoding of Rust's bincode 1: little-endian numbers of 64 bits,
// the length before a text or a list, one byte for a boolean.
type bincode struct {
	r   *bufio.Reader
	at  int64
	err error
}

func (b *bincode) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("byte %d: "+format, append([]any{b.at}, args...)...)
	}
}

func (b *bincode) bytes(n int) []byte {
	buf := make([]byte, n)
	if b.err != nil {
		return buf
	}
	m, err := io.ReadFull(b.r, buf)
	b.at += int64(m)
	switch {
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		b.fail("the file ends in the middle")
	case err != nil:
		b.fail("%w", err)
	}
	return buf
}

func (b *bincode) number() int64 {
	n := int64(binary.LittleEndian.Uint64(b.bytes(8)))
	if n < 0 {
		b.fail("%d: want a number below 2^63", uint64(n))
		return 0
	}
	return n
}

func (b *bincode) bool() bool {
	c := b.bytes(1)[0]
	if c > 1 {
		b.fail("%d: want 0 or 1, a boolean", c)
	}
	return c == 1
}

func (b *bincode) text() string {
	n := b.number()
	if n > 1<<20 {
		b.fail("a text of %d bytes", n)
		return ""
	}
	return string(b.bytes(int(n)))
}

func readBincode(f *feeder, j *joiner) error {
	s := newSessions(f, j)
	s.initial = true
	b := &bincode{r: bufio.NewReader(io.MultiReader(bytes.NewReader(f.buf), f.in))}
	for range 5 {
		b.number()
	}
	for range 3 { // what it is, and when it began and ended
		b.text()
	}
	sessions := b.number()
	for p := Process(0); int64(p) < sessions && b.err == nil; p++ {
		for n := b.number(); n > 0 && b.err == nil; n-- {
			s.bincodeTxn(b, p)
		}
	}
	if _, err := b.r.ReadByte(); b.err == nil && !errors.Is(err, io.EOF) {
		b.fail("bytes behind the history")
	}
	if b.err != nil {
		return fmt.Errorf("read history %s: %w", j.h.Source, b.err)
	}
	f.buf, f.eof = nil, true
	return s.finish()
}

// bincodeTxn reads a transaction, whose outcome comes behind its events.
func (s *sessions) bincodeTxn(b *bincode, p Process) {
	txn := s.begin(p, OK, 1)
	for n := b.number(); n > 0 && b.err == nil; n-- {
		write := b.bool()
		key, value, success := Int(b.number()), Int(b.number()), b.bool()
		f := StepRead
		if write {
			f = StepWrite
		}
		if b.err == nil {
			s.dbcopStep(txn, f, key.AppendJSON(nil), value, !success)
		}
	}
	if !b.bool() {
		s.txns[txn].typ = Fail
	}
}

// histForm reports whether a file begins like dbcop's text.
func histForm(start []byte) bool {
	if bytes.HasPrefix(start, []byte("//")) {
		return true
	}
	w := textLine{b: start}
	if w.take('[') != nil {
		return false
	}
	_, _, _, err := w.histEvent()
	return err == nil
}

// readHist reads dbcop's text, in which ! marks a transaction that was not committed:
//
//	// a session
//	[x:=1 y:=1] [z==2 z:=3]!
//	---
//	[x==? y==1]
func readHist(f *feeder, j *joiner) error {
	s := newSessions(f, j)
	process := Process(0)
	return s.lines(func(c *part, line []byte) error {
		w := textLine{b: line}
		if w.rule() == '-' {
			process++
			return nil
		}
		for w.space(); w.i < len(w.b) && !bytes.HasPrefix(w.b[w.i:], []byte("//")); w.space() {
			if err := s.histTxn(&w, process, c.line); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *sessions) histTxn(w *textLine, process Process, line int) error {
	if err := w.take('['); err != nil {
		return err
	}
	txn := s.begin(process, OK, line)
	for w.space(); w.take(']') != nil; w.space() {
		f, key, v, err := w.histEvent()
		if err != nil {
			return err
		}
		s.step(txn, f, key, v)
	}
	if w.i < len(w.b) && w.b[w.i] == '!' {
		w.i++
		s.txns[txn].typ = Fail
	}
	return nil
}

// histEvent reads x:=1, x==1 or x==?.
func (w *textLine) histEvent() (f F, key []byte, v Value, err error) {
	w.space()
	from := w.i
	for w.i < len(w.b) && (w.b[w.i] == '_' || w.b[w.i]-'0' <= 9 || w.b[w.i]|0x20-'a' <= 25) {
		w.i++
	}
	key = w.b[from:w.i]
	switch {
	case len(key) == 0:
		return f, key, v, w.want("a variable")
	case bytes.HasPrefix(w.b[w.i:], []byte(":=")):
		f = StepWrite
	case bytes.HasPrefix(w.b[w.i:], []byte("==")):
		f = StepRead
	default:
		return f, key, v, w.want(":= or ==")
	}
	w.i += 2
	if f == StepRead && w.i < len(w.b) && w.b[w.i] == '?' {
		w.i++
		return f, key, v, nil
	}
	n, _, err := w.number("a version", 0)
	return f, key, Int(n), err
}
