package history

import "strings"

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
	p         *parser
	e         Event
	noProcess bool
	// at holds where each field's value begins; 0, which no value can be, when it
	// is missing. The last one is 1 + where the event begins.
	at [fieldUnknown + 1]int32
}

func (d *eventDecoder) has(f field) bool { return d.at[f] > 0 }

// column returns where the value of the named field is, or the event's start.
func (d *eventDecoder) column(name string) int {
	if f := fieldOf([]byte(name)); f != fieldUnknown && d.has(f) {
		return int(d.at[f])
	}
	return int(d.at[fieldUnknown]) - 1
}

// decode reads an event. Loose ones may lack f and process.
func (d *eventDecoder) decode(loose bool) error {
	p := d.p
	p.space()
	start := p.i
	d.e, d.at, d.noProcess = Event{}, [fieldUnknown + 1]int32{}, false
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
		if f != fieldUnknown && d.has(f) {
			return p.errorf(p.i, "a second %q", name)
		}
		d.at[f] = int32(p.i)
		p.lax = f == fieldError || f == fieldUnknown
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
	d.at[fieldUnknown] = int32(start) + 1
	switch {
	case !d.has(fieldProcess) && loose:
		d.noProcess = true
	case !d.has(fieldProcess):
		return p.errorf(start, `an event without "process"`)
	}
	switch {
	case !d.has(fieldType):
		return p.errorf(start, `an event without "type"`)
	case !d.has(fieldF) && loose:
		d.e.F = unnamed
	case !d.has(fieldF):
		return p.errorf(start, `an event without "f"`)
	}
	return nil
}

// parsed returns the event that was decoded last.
func (d *eventDecoder) parsed() parsed {
	return parsed{
		Event: d.e, at: d.at[fieldUnknown] - 1,
		hasTime: d.has(fieldTime), hasIndex: d.has(fieldIndex), noProcess: d.noProcess,
	}
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
		var ok bool
		if d.e.Value, ok = d.p.txn(); !ok {
			d.e.Value, err = d.p.value(0)
		}
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
	if n, end := plainInt(d.p.b, at); end > at && n >= 0 && end < len(d.p.b) &&
		(d.p.b[end] == ',' || d.p.b[end] == '}') {
		d.p.i = end
		return n, nil
	}
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
	if d.p.next() == 'n' { // null is what other tools write for none
		d.at[fieldProcess] = 0
		return 0, d.p.word("null")
	}
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
