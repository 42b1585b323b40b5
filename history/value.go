package history

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"unsafe"
)

// Kind is the kind of a Value.
type Kind uint8

// The kinds of values.
const (
	KindNil Kind = iota
	KindInt
	KindBool
	KindString
	KindFloat
	KindList
	KindMap

	// Tighter shapes of a list, which Kind never shows: the [old new] of a
	// compare-and-set lives inside the Value, a list of integers needs a third of
	// the memory of a list of values, and a transaction needs half. A step of a
	// transaction is a list of three. Its key is a string, or an integer as text.
	kindPair
	kindInts
	kindSteps
	kindIntSteps
	kindStep
	kindIntStep
)

// String returns the kind's name: nil, int, bool, string, float, list or map.
func (k Kind) String() string {
	names := [...]string{"nil", "int", "bool", "string", "float", "list", "map"}
	switch {
	case int(k) < len(names):
		return names[k]
	case k <= kindIntStep:
		return "list"
	default:
		return "kind?"
	}
}

// Value is an immutable value of an operation: nil, an integer, a boolean, a
// string, a float, a list or a map with string keys in insertion order. The zero
// Value is nil. It is compact (24 bytes) because histories hold millions.
//
// Compare values with Equal. The operator == is right only for nil, integers and
// booleans; for the others it compares where they are stored.
type Value struct {
	kind Kind
	// n is the integer, the boolean, the float's bits, the two halves of a pair,
	// or the length of what ref points to.
	n int64
	// ref points to the first byte, Value, Field, int64 or Step of a string, list,
	// map, list of integers or transaction, or to a Step. Nil when that is empty.
	ref unsafe.Pointer
}

// Field is one entry of a map value.
type Field struct {
	Name  string
	Value Value
}

// Nil returns the nil value.
func Nil() Value { return Value{} }

// Int returns an integer value.
func Int(n int64) Value { return Value{kind: KindInt, n: n} }

// Bool returns a boolean value.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, n: 1}
	}
	return Value{kind: KindBool}
}

// Str returns a string value.
func Str(s string) Value {
	if s == "" {
		return Value{kind: KindString}
	}
	return Value{kind: KindString, n: int64(len(s)), ref: unsafe.Pointer(unsafe.StringData(s))}
}

// Float returns a floating-point value. JSON cannot write NaN and the
// infinities: a history file keeps them as null.
func Float(f float64) Value { return Value{kind: KindFloat, n: int64(math.Float64bits(f))} }

// List returns a list value. It owns vs from now on.
func List(vs ...Value) Value {
	if len(vs) == 2 {
		if v, ok := pair(vs[0], vs[1]); ok {
			return v
		}
	}
	if len(vs) == 0 {
		return Value{kind: KindList}
	}
	return Value{kind: KindList, n: int64(len(vs)), ref: unsafe.Pointer(unsafe.SliceData(vs))}
}

// Pair returns a list of two integers, like the [old new] of a compare-and-set.
// It allocates nothing when both fit 32 bits.
func Pair(a, b int64) Value {
	if v, ok := pair(Int(a), Int(b)); ok {
		return v
	}
	return Ints(a, b)
}

// pair packs two integers of 32 bits into one Value.
func pair(a, b Value) (Value, bool) {
	if a.kind != KindInt || b.kind != KindInt ||
		a.n != int64(int32(a.n)) || b.n != int64(int32(b.n)) {
		return Value{}, false
	}
	return Value{kind: kindPair, n: a.n<<32 | int64(uint32(b.n))}, true
}

// Ints returns a list of integers. It owns ns from now on.
func Ints(ns ...int64) Value {
	switch {
	case len(ns) == 0:
		return Value{kind: KindList}
	case len(ns) == 2:
		if v, ok := pair(Int(ns[0]), Int(ns[1])); ok {
			return v
		}
	}
	return Value{kind: kindInts, n: int64(len(ns)), ref: unsafe.Pointer(unsafe.SliceData(ns))}
}

// Map returns a map value with its fields in the given order. It owns fields from
// now on. Of two fields with one name the later value counts, at the place of the
// first.
func Map(fields ...Field) Value {
	fields = uniqueFields(fields)
	if len(fields) == 0 {
		return Value{kind: KindMap}
	}
	ref := unsafe.Pointer(unsafe.SliceData(fields))
	return Value{kind: KindMap, n: int64(len(fields)), ref: ref}
}

// uniqueFields merges fields of the same name.
func uniqueFields(fields []Field) []Field {
	const few = 16 // up to here comparing all pairs beats building an index
	if len(fields) <= few {
		for i := 1; i < len(fields); i++ {
			for j := range i {
				if fields[j].Name == fields[i].Name {
					fields[j].Value = fields[i].Value
					fields = slices.Delete(fields, i, i+1)
					i--
					break
				}
			}
		}
		return fields
	}
	at := make(map[string]int, len(fields))
	kept := fields[:0]
	for _, f := range fields {
		if i, dup := at[f.Name]; dup {
			kept[i].Value = f.Value
			continue
		}
		at[f.Name] = len(kept)
		kept = append(kept, f)
	}
	return kept
}

// Strings returns a list of strings.
func Strings(ss ...string) Value {
	vs := make([]Value, len(ss))
	for i, s := range ss {
		vs[i] = Str(s)
	}
	return List(vs...)
}

// Kind returns the kind of v.
func (v Value) Kind() Kind {
	if v.kind >= kindPair {
		return KindList
	}
	return v.kind
}

// IsNil reports whether v is nil.
func (v Value) IsNil() bool { return v.kind == KindNil }

// AsInt returns the integer and whether v is one.
func (v Value) AsInt() (int64, bool) {
	if v.kind != KindInt {
		return 0, false
	}
	return v.n, true
}

// AsBool returns the boolean and whether v is one.
func (v Value) AsBool() (b, ok bool) {
	if v.kind != KindBool {
		return false, false
	}
	return v.n != 0, true
}

// AsInts returns the elements of a list of nothing but integers, and whether v is one. They
// may be v's own: nobody may change them.
func (v Value) AsInts() ([]int64, bool) {
	switch v.kind {
	case kindInts:
		return v.ints(), true
	case kindPair:
		halves := v.halves()
		return halves[:], true
	case KindList:
		ns := make([]int64, v.Len())
		for i, e := range v.list() {
			if e.kind != KindInt {
				return nil, false
			}
			ns[i] = e.n
		}
		return ns, true
	default:
		return nil, false
	}
}

// AsString returns the string and whether v is one.
func (v Value) AsString() (string, bool) {
	if v.kind != KindString {
		return "", false
	}
	return v.str(), true
}

// AsFloat returns the number, of a float or an integer, and whether v is one.
func (v Value) AsFloat() (float64, bool) {
	switch v.kind {
	case KindFloat:
		return v.float(), true
	case KindInt:
		return float64(v.n), true
	default:
		return 0, false
	}
}

func (v Value) str() string     { return unsafe.String((*byte)(v.ref), int(v.n)) }
func (v Value) float() float64  { return math.Float64frombits(uint64(v.n)) }
func (v Value) list() []Value   { return unsafe.Slice((*Value)(v.ref), int(v.n)) }
func (v Value) ints() []int64   { return unsafe.Slice((*int64)(v.ref), int(v.n)) }
func (v Value) fields() []Field { return unsafe.Slice((*Field)(v.ref), int(v.n)) }
func (v Value) steps() []Step   { return unsafe.Slice((*Step)(v.ref), int(v.n)) }

// halves returns the two integers of a kindPair.
func (v Value) halves() [2]int64 { return [2]int64{v.n >> 32, int64(int32(v.n))} }

// Len returns the number of elements of a list or fields of a map, else 0.
func (v Value) Len() int {
	switch v.kind {
	case KindList, kindInts, KindMap, kindSteps, kindIntSteps, kindStep, kindIntStep:
		return int(v.n)
	case kindPair:
		return 2
	default:
		return 0
	}
}

// At returns the i-th element of a list or value of a map's i-th field. It panics
// when i is not in [0, Len()).
func (v Value) At(i int) Value {
	switch v.kind {
	case KindList:
		return v.list()[i]
	case kindInts:
		return Int(v.ints()[i])
	case kindPair:
		return Int(v.halves()[i])
	case KindMap:
		return v.fields()[i].Value
	case kindSteps, kindIntSteps, kindStep, kindIntStep:
		return v.stepAt(i)
	default:
		panic("history: At of a " + v.kind.String())
	}
}

// FieldName returns the name of the i-th field of a map. It panics when v is no
// map or i is not in [0, Len()).
func (v Value) FieldName(i int) string {
	if v.kind != KindMap {
		panic("history: FieldName of a " + v.kind.String())
	}
	return v.fields()[i].Name
}

// Get returns the field of a map, or nil.
func (v Value) Get(name string) Value {
	f, _ := v.lookup(name)
	return f
}

func (v Value) lookup(name string) (Value, bool) {
	if v.kind != KindMap {
		return Value{}, false
	}
	for _, f := range v.fields() {
		if f.Name == name {
			return f.Value, true
		}
	}
	return Value{}, false
}

// Equal reports whether v and o are the same value. Maps are equal when they
// have equal fields, whatever their order. An integer never equals a float, and
// NaN equals itself.
func (v Value) Equal(o Value) bool {
	if v.Kind() != o.Kind() {
		return false
	}
	switch v.Kind() {
	case KindString:
		return v.str() == o.str()
	case KindFloat:
		return cmp.Compare(v.float(), o.float()) == 0
	case KindList:
		if v.Len() != o.Len() {
			return false
		}
		for i := range v.Len() {
			if !v.At(i).Equal(o.At(i)) {
				return false
			}
		}
		return true
	case KindMap:
		return equalMaps(v, o)
	default:
		return v.n == o.n
	}
}

func equalMaps(v, o Value) bool {
	if v.Len() != o.Len() {
		return false
	}
	theirs := o.fields()
	for i, f := range v.fields() {
		w, ok := theirs[i].Value, theirs[i].Name == f.Name // same order: the usual case
		if !ok {
			w, ok = o.lookup(f.Name)
		}
		if !ok || !f.Value.Equal(w) {
			return false
		}
	}
	return true
}

// Compare orders values totally: first by kind, then by size or, for strings and
// lists, as in a dictionary. It is 0 exactly when v and o are equal.
func (v Value) Compare(o Value) int {
	if c := cmp.Compare(v.Kind(), o.Kind()); c != 0 {
		return c
	}
	switch v.Kind() {
	case KindString:
		return strings.Compare(v.str(), o.str())
	case KindFloat:
		return cmp.Compare(v.float(), o.float())
	case KindList:
		for i := range min(v.Len(), o.Len()) {
			if c := v.At(i).Compare(o.At(i)); c != 0 {
				return c
			}
		}
		return cmp.Compare(v.Len(), o.Len())
	case KindMap:
		return slices.CompareFunc(v.sortedFields(), o.sortedFields(), func(a, b Field) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), a.Value.Compare(b.Value))
		})
	default:
		return cmp.Compare(v.n, o.n)
	}
}

func (v Value) sortedFields() []Field {
	return slices.SortedFunc(slices.Values(v.fields()), func(a, b Field) int {
		return strings.Compare(a.Name, b.Name)
	})
}

// Hash returns a hash that is the same for equal values, in every process.
func (v Value) Hash() uint64 {
	h := mix(uint64(v.Kind()) + 1)
	switch v.Kind() {
	case KindString:
		return mix(h ^ hashString(v.str()))
	case KindFloat:
		f := v.float()
		switch {
		case f == 0:
			f = 0 // both zeros are equal
		case f != f:
			f = math.NaN() // and so are all NaNs
		}
		return mix(h ^ math.Float64bits(f))
	case KindList:
		for i := range v.Len() {
			h = mix(h ^ v.At(i).Hash())
		}
		return h
	case KindMap:
		var sum uint64 // order does not count
		for _, f := range v.fields() {
			sum += mix(hashString(f.Name) ^ bitsOf(f.Value))
		}
		return mix(h ^ sum)
	default:
		return mix(h ^ uint64(v.n))
	}
}

// bitsOf keeps a field's name and value from cancelling each other out.
func bitsOf(v Value) uint64 { return v.Hash() * 0x9e3779b97f4a7c15 }

// hashString is FNV-1a.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable
// Pseudorandom Number Generators, OOPSLA 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// String returns v as compact JSON.
func (v Value) String() string { return string(v.AppendJSON(nil)) }

// MarshalJSON writes v as compact JSON.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// UnmarshalJSON reads any JSON value.
func (v *Value) UnmarshalJSON(b []byte) error {
	w, err := ParseValue(b)
	if err != nil {
		return err
	}
	*v = w
	return nil
}

var (
	_ json.Marshaler   = Value{}
	_ json.Unmarshaler = (*Value)(nil)
)

// ParseValue reads one JSON value. A number without fraction and exponent that
// fits 64 bits is an integer, any other number a float. It copies what it keeps
// of b.
func ParseValue(b []byte) (Value, error) {
	p := parser{b: b, lax: true}
	v, err := p.value(0)
	if p.space(); err == nil && p.i < len(p.b) {
		err = p.errorf(p.i, "%s after the value", p.here())
	}
	if err != nil {
		return Value{}, err
	}
	return v, nil
}
