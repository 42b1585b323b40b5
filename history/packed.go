package history

import (
	"encoding/binary"
	"math"
	"slices"
)

// Packed is a list of events as bytes: less memory than the events themselves, and nothing
// in it that the garbage collector has to go through. The zero Packed is empty. What is in
// it never changes, so that a copy can be read while the original grows.
type Packed struct {
	bytes []byte
	n     int
	index int64
	time  Time
}

// Len is the number of events.
func (p *Packed) Len() int { return p.n }

// Append adds an event.
func (p *Packed) Append(e *Event) {
	b := binary.AppendVarint(p.bytes, e.Index-p.index)
	b = binary.AppendVarint(b, int64(e.Time-p.time))
	b = binary.AppendVarint(b, int64(e.Process))
	b = append(b, byte(e.Type))
	b = packText(b, string(e.F))
	b = packText(b, string(e.Key))
	b = packValue(b, e.Value)
	p.bytes = packText(b, e.Error)
	p.n, p.index, p.time = p.n+1, e.Index, e.Time
}

func packText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// packValue adds the kind of a value, and what it consists of. Of lists of integers it adds
// how far each is from the one before, which is one byte for most.
func packValue(b []byte, v Value) []byte {
	if v.kind == KindList && v.n > 0 {
		if ns, ok := v.AsInts(); ok {
			v = Ints(ns...)
		}
	}
	b = append(b, byte(v.kind))
	switch v.kind {
	case KindInt, KindBool, kindPair:
		return binary.AppendVarint(b, v.n)
	case KindFloat:
		return binary.LittleEndian.AppendUint64(b, uint64(v.n))
	case KindString:
		return packText(b, v.str())
	case KindNil:
		return b
	}
	b = binary.AppendUvarint(b, uint64(v.n))
	switch v.kind {
	case KindList:
		for _, e := range v.list() {
			b = packValue(b, e)
		}
	case KindMap:
		for _, f := range v.fields() {
			b = packValue(packText(b, f.Name), f.Value)
		}
	case kindInts:
		last := int64(0)
		for _, n := range v.ints() {
			b = binary.AppendVarint(b, n-last)
			last = n
		}
	case kindSteps, kindIntSteps:
		for i := range v.steps() {
			b = packStep(b, &v.steps()[i])
		}
	case kindStep, kindIntStep:
		b = packStep(b, (*Step)(v.ref))
	}
	return b
}

func packStep(b []byte, s *Step) []byte {
	return packValue(packText(packText(b, string(s.F)), string(s.Key)), s.Value)
}

// AppendTo adds the events to a list, which may be one that is used again and again.
func (p Packed) AppendTo(events []Event) []Event {
	u := unpacker{bytes: p.bytes, names: make(map[string]string)}
	events = slices.Grow(events, p.n)
	for range p.n {
		events = append(events, Event{})
		e := &events[len(events)-1]
		u.index += u.varint()
		u.time += Time(u.varint())
		e.Index, e.Time, e.Process = u.index, u.time, Process(u.varint())
		e.Type, u.bytes = Type(u.bytes[0]), u.bytes[1:]
		e.F, e.Key = F(u.name()), Key(u.name())
		e.Value, e.Error = u.value(), u.name()
	}
	return events
}

// unpacker reads what Packed wrote.
type unpacker struct {
	bytes []byte
	index int64
	time  Time
	arena arena
	// names that come again and again are one string each.
	names map[string]string
	ints  []int64
}

func (u *unpacker) varint() int64 {
	n, size := binary.Varint(u.bytes)
	u.bytes = u.bytes[size:]
	return n
}

func (u *unpacker) text() []byte {
	n, size := binary.Uvarint(u.bytes)
	b := u.bytes[size : size+int(n)]
	u.bytes = u.bytes[size+int(n):]
	return b
}

func (u *unpacker) name() string {
	b := u.text()
	s, known := u.names[string(b)]
	if !known {
		s = u.arena.string(b)
		u.names[s] = s
	}
	return s
}

func (u *unpacker) value() Value {
	v := Value{kind: Kind(u.bytes[0])}
	u.bytes = u.bytes[1:]
	switch v.kind {
	case KindNil:
		return v
	case KindInt, KindBool, kindPair:
		v.n = u.varint()
		return v
	case KindFloat:
		v = Float(math.Float64frombits(binary.LittleEndian.Uint64(u.bytes)))
		u.bytes = u.bytes[8:]
		return v
	case KindString:
		return Str(u.arena.string(u.text()))
	}
	n, size := binary.Uvarint(u.bytes)
	u.bytes = u.bytes[size:]
	return u.composite(v.kind, int(n))
}

// composite reads the parts of a value that has some.
func (u *unpacker) composite(kind Kind, n int) Value {
	switch kind {
	case KindMap:
		fields := make([]Field, n)
		for i := range fields {
			fields[i] = Field{Name: u.name(), Value: u.value()}
		}
		return Map(fields...)
	case kindInts:
		u.ints = u.ints[:0]
		last := int64(0)
		for range n {
			last += u.varint()
			u.ints = append(u.ints, last)
		}
		return u.arena.intList(u.ints)
	case kindSteps, kindIntSteps:
		steps := make([]Step, n)
		for i := range steps {
			steps[i] = u.step()
		}
		return stepList(kind, steps)
	case kindStep, kindIntStep:
		step := u.step()
		v := stepList(kind, []Step{step})
		v.n = 3
		return v
	}
	values := make([]Value, n)
	for i := range values {
		values[i] = u.value()
	}
	return u.arena.list(values)
}

func (u *unpacker) step() Step {
	return Step{F: F(u.name()), Key: Key(u.name()), Value: u.value()}
}
