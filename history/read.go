package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Load reads a history: a file, or the directory of a test with a history.jsonl.
// The file is this package's JSON lines or Jepsen's EDN, whatever its name says.
//
// A file of JSON lines may end inside a line, as it does when its writer was
// killed; History.Torn says so. Any other flaw is an error that begins with the
// file's path, the line and the column.
func Load(path string) (*History, error) { return LoadWith(path, LoadOptions{}) }

// LoadOptions refine LoadWith.
type LoadOptions struct {
	// Independent takes the value of every client's operation that has no key for
	// [key, value] and splits it, in invocations and in completions. It is for
	// histories of jepsen.independent that have lost the tags of their tuples,
	// where nothing tells a key and a value from a list of two. A value that is no
	// such pair is an error, unless it is that of a failed or unsure completion
	// and nil.
	Independent bool
	// Accept, if not nil, is asked about every operation, once when it is invoked
	// and once when it is completed. Its error ends the loading and gets the line
	// that the operation's value is in.
	Accept func(Operation) error

	_ struct{} // keyed literals only
}

// LoadWith is Load with options.
func LoadWith(path string, o LoadOptions) (*History, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("load history: %w", err)
	}
	if info.IsDir() {
		dir := path
		path = filepath.Join(dir, FileName)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("load history: directory %s has no %s", dir, FileName)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load history: %w", err)
	}
	defer f.Close()
	// Knowing the number of operations before allocating them halves the memory
	// that loading needs, and counting costs a fraction of parsing.
	ops, err := countInvocations(f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("load history: %w", err)
	}
	return read(f, path, ops, o)
}

// Read reads a history of either form, as Load does. The source names it in
// messages.
func Read(r io.Reader, source string) (*History, error) {
	return read(r, source, 0, LoadOptions{})
}

func read(r io.Reader, source string, ops int, o LoadOptions) (*History, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	start, err := br.Peek(64 << 10)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read history %s: %w", source, err)
	}
	start = bytes.TrimLeft(start, " \t\r\n")
	if len(start) == 0 {
		return nil, fmt.Errorf("read history %s: nothing in it", source)
	}
	j := newJoiner(source, ops)
	j.o = o
	switch {
	case ownForm(start):
		l := &lines{j: j, r: br}
		l.d.p = &parser{words: newInterner()}
		err = l.read()
	case jsonForm(start):
		err = readJSON(j, br)
	default:
		err = readEDN(j, br)
	}
	if err != nil {
		return nil, err
	}
	return j.history(), nil
}

// ownForm reports whether the start of a file is a header, or what a crash left
// of one.
func ownForm(start []byte) bool {
	line, _, whole := bytes.Cut(start, []byte{'\n'})
	return line[0] == '{' && bytes.Contains(line, []byte(`"ordeal"`)) ||
		!whole && tornHeader(line)
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

// readJSON reads the operations of another tool: JSON objects with the field
// names of Jepsen, one after another or in a list, without a header.
func readJSON(j *joiner, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read history %s: %w", j.h.Source, err)
	}
	j.loose = true
	p := &parser{b: b, words: newInterner()}
	return placed(j.h.Source, b, p.events(j))
}

// events reads all of p as events.
func (p *parser) events(j *joiner) error {
	list := p.eat('[')
	d := eventDecoder{p: p}
	for p.next(); p.i < len(p.b); p.next() {
		if list && p.eat(']') {
			break
		}
		if err := d.decode(j.loose); err != nil {
			return err
		}
		if err := d.add(j); err != nil {
			return err
		}
		if list && !p.eat(',') && p.next() != ']' {
			return p.want("comma or ] in a list")
		}
	}
	if p.next(); p.i < len(p.b) {
		return p.want("nothing after the list")
	}
	return nil
}

// placed turns the offset of a syntaxError into line and column.
func placed(source string, b []byte, err error) error {
	var syntax *syntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	before := b[:min(syntax.at, len(b))]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("%s:%d:%d: %s", source, line, column, syntax.msg)
}

// countInvocations estimates the number of operations in a file: it counts lines
// with an invocation of JSON, or the invocations of EDN.
func countInvocations(r io.Reader) (int, error) {
	const word = "invoke"
	n, kept := 0, 0
	buf := make([]byte, 256<<10)
	for {
		m, err := r.Read(buf[kept:])
		b := buf[:kept+m]
		n += bytes.Count(b, []byte(word))
		// A word across the border counts with the next part.
		kept = copy(buf, b[max(0, len(b)-len(word)+1):])
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// lines reads a history of JSON lines.
type lines struct {
	j    *joiner
	r    *bufio.Reader
	d    eventDecoder
	long []byte // a line that exceeds the reader's buffer
	num  int
}

// line returns the next line without its end, and whether it had one.
func (l *lines) line() (b []byte, whole bool, err error) {
	l.num++
	b, err = l.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		l.long = append(l.long[:0], b...)
		for err == bufio.ErrBufferFull {
			b, err = l.r.ReadSlice('\n')
			l.long = append(l.long, b...)
		}
		b = l.long
	}
	if err != nil {
		return b, false, err
	}
	return b[:len(b)-1], true, nil
}

func (l *lines) read() error {
	for first := true; ; {
		b, whole, err := l.line()
		if err != nil && err != io.EOF {
			return fmt.Errorf("read history %s: %w", l.j.h.Source, err)
		}
		if len(bytes.TrimSpace(b)) > 0 {
			if first {
				err = l.first(b, whole)
			} else {
				err = l.event(b, whole)
			}
			if err != nil {
				return err
			}
			first = false
		}
		if !whole {
			return nil
		}
	}
}

// first reads the header.
func (l *lines) first(b []byte, whole bool) error {
	var h headerLine
	err := json.Unmarshal(b, &h)
	switch {
	case err != nil && !whole && tornHeader(b):
		l.j.h.Torn = true
		return nil
	case err != nil:
		var syntax *json.SyntaxError
		at := 0
		if errors.As(err, &syntax) {
			at = int(syntax.Offset) - 1
		}
		return l.failure(&syntaxError{at: at, msg: "bad header: " + err.Error()})
	case h.Ordeal != "history":
		return l.failure(&syntaxError{msg: fmt.Sprintf(
			`"ordeal" is %q: want history, this file holds something else`, h.Ordeal)})
	case h.Format > Format:
		return l.failure(&syntaxError{msg: fmt.Sprintf("format %d is newer than %d, "+
			"the newest that this program reads: update the program", h.Format, Format)})
	case h.Format < 1:
		return l.failure(&syntaxError{msg: fmt.Sprintf(
			`"format" is %d: want a number from 1`, h.Format)})
	}
	l.j.h.Header = h.Header
	return nil
}

// tornHeader reports whether b is the start of a header that this package wrote.
func tornHeader(b []byte) bool {
	const start = `{"ordeal":"history"`
	return strings.HasPrefix(start, string(b)) || bytes.HasPrefix(b, []byte(start))
}

func (l *lines) event(b []byte, whole bool) error {
	d := &l.d
	d.p.b, d.p.i = b, 0
	err := d.decode(false)
	if d.p.next(); err == nil && d.p.i < len(b) {
		err = d.p.want("the end of the line after an event")
	}
	if err != nil && !whole {
		l.j.h.Torn = true
		return nil
	}
	if err == nil {
		err = d.add(l.j)
	}
	if err != nil {
		return l.failure(err)
	}
	return nil
}

// failure adds the place to a syntaxError.
func (l *lines) failure(err error) error {
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%s:%d:%d: %s", l.j.h.Source, l.num, syntax.at+1, syntax.msg)
	}
	return fmt.Errorf("%s:%d: %w", l.j.h.Source, l.num, err)
}

// field numbers the fields of an event.
type field uint8

const (
	fieldIndex field = iota
	fieldTime
	fieldProcess
	fieldType
	fieldF
	fieldKey
	fieldValue
	fieldError
	fieldUnknown
)

// fieldOf finds a field by name. The compiler turns the switch into comparisons
// of machine words.
func fieldOf(name []byte) field {
	switch string(name) {
	case "index":
		return fieldIndex
	case "time":
		return fieldTime
	case "process":
		return fieldProcess
	case "type":
		return fieldType
	case "f":
		return fieldF
	case "key":
		return fieldKey
	case "value":
		return fieldValue
	case "error":
		return fieldError
	default:
		return fieldUnknown
	}
}

// eventDecoder reads one event after another.
type eventDecoder struct {
	p *parser
	e Event
	// at holds where each field's value begins; 0, which no value can be, when it
	// is missing.
	at [fieldUnknown + 1]int32
}

func (d *eventDecoder) has(f field) bool { return d.at[f] > 0 }

// column returns where the value of the named field is, or the event's start.
func (d *eventDecoder) column(name string) int { return int(d.at[fieldOf([]byte(name))]) }

// decode reads an event. Loose ones may lack f.
func (d *eventDecoder) decode(loose bool) error {
	p := d.p
	p.space()
	start := p.i
	d.e, d.at = Event{}, [fieldUnknown + 1]int32{}
	p.vals, p.fields = p.vals[:0], p.fields[:0]
	if !p.eat('{') {
		return p.want("an event, that is {")
	}
	for more := !p.eat('}'); more; {
		name, err := p.name()
		if err != nil {
			return err
		}
		f := fieldOf(name)
		p.space()
		d.at[f] = int32(p.i)
		if err := d.field(f); err != nil {
			return err
		}
		if p.eat(',') {
			continue
		}
		if !p.eat('}') {
			return p.want("comma or } after a field")
		}
		more = false
	}
	d.at[fieldUnknown] = int32(start)
	switch {
	case !d.has(fieldProcess):
		return p.errorf(start, `an event without "process"`)
	case !d.has(fieldType):
		return p.errorf(start, `an event without "type"`)
	case !d.has(fieldF) && loose:
		d.e.F = unnamed
	case !d.has(fieldF):
		return p.errorf(start, `an event without "f"`)
	}
	return nil
}

// add passes the event on to the joiner.
func (d *eventDecoder) add(j *joiner) error {
	err := j.add(&d.e, d.has(fieldTime), d.has(fieldIndex))
	if err == nil {
		return nil
	}
	var bad *eventError
	if errors.As(err, &bad) {
		return &syntaxError{at: d.column(bad.field), msg: bad.msg}
	}
	return err
}

// unnamed is what operations without f do: the examples of Elle leave it out.
const unnamed F = "txn"

// field reads the value of a field.
func (d *eventDecoder) field(f field) (err error) {
	switch f {
	case fieldIndex:
		d.e.Index, err = d.integer("index")
	case fieldTime:
		var n int64
		n, err = d.integer("time")
		d.e.Time = Time(n)
	case fieldProcess:
		d.e.Process, err = d.process()
	case fieldType:
		d.e.Type, err = d.kind()
	case fieldF:
		var s string
		s, err = d.text("f")
		d.e.F = F(s)
	case fieldKey:
		var s string
		s, err = d.text("key")
		d.e.Key = Key(s)
	case fieldValue:
		d.e.Value, err = d.p.value(0)
	case fieldError:
		d.e.Error, err = d.text("error")
	default:
		_, err = d.p.value(0)
	}
	return err
}

// integer reads a number from 0.
func (d *eventDecoder) integer(name string) (int64, error) {
	at := d.p.i
	v, err := d.p.value(0)
	if err != nil {
		return 0, err
	}
	n, ok := v.AsInt()
	if !ok || n < 0 {
		return 0, d.p.errorf(at, "%q is %s: want a whole number from 0", name, brief(v))
	}
	return n, nil
}

func (d *eventDecoder) process() (Process, error) {
	at := d.p.i
	if d.p.next() == '"' {
		b, err := d.p.str()
		if err != nil {
			return 0, err
		}
		if string(b) == "nemesis" {
			return Nemesis, nil
		}
		return 0, d.p.errorf(at, `"process" is %s: want a whole number from 0 or "nemesis"`,
			brief(Str(string(b))))
	}
	n, err := d.integer("process")
	return Process(n), err
}

func (d *eventDecoder) kind() (Type, error) {
	at := d.p.i
	v := Value{}
	if d.p.next() == '"' {
		b, err := d.p.str()
		if err != nil {
			return 0, err
		}
		if t, ok := parseType(b); ok {
			return t, nil
		}
		v = Str(string(b))
	} else if w, err := d.p.value(0); err != nil {
		return 0, err
	} else {
		v = w
	}
	return 0, d.p.errorf(at, `"type" is %s: want invoke, ok, fail or info`, brief(v))
}

func parseType(b []byte) (Type, bool) {
	switch string(b) {
	case "invoke":
		return Invoke, true
	case "ok":
		return OK, true
	case "fail":
		return Fail, true
	case "info":
		return Info, true
	default:
		return 0, false
	}
}

// text reads a string. Other tools have numbers as keys and structures as errors:
// these become their JSON, and null the empty string.
func (d *eventDecoder) text(name string) (string, error) {
	if d.p.next() == '"' {
		b, err := d.p.str()
		return d.p.words.intern(b), err
	}
	at := d.p.i
	v, err := d.p.value(0)
	switch {
	case err != nil:
		return "", err
	case name == "f":
		return "", d.p.errorf(at, `"f" is %s: want a string`, brief(v))
	case v.IsNil():
		return "", nil
	default:
		return d.p.words.intern(v.AppendJSON(nil)), nil
	}
}

// brief returns v as JSON for a message, cut when it is long.
func brief(v Value) string {
	const most = 60
	s := v.String()
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
