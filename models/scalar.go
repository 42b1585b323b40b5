package models

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unique"

	"github.com/ordeal-dev/ordeal/history"
)

// Scalar is a value that models compare, remember and use as a map key. Equal
// values are the same Scalar (==). It is one pointer wide, so that a state that
// is a Scalar costs a search no memory of its own. The zero Scalar is nil.
type Scalar struct {
	body unique.Handle[scalarBody]
}

type scalarBody struct {
	kind history.Kind
	n    int64
	s    string
	hash uint64
}

// NewScalar returns v as a Scalar. Everything but maps and NaN, which have no
// equality of use here, can be one.
func NewScalar(v history.Value) (Scalar, error) {
	b := scalarBody{kind: v.Kind()}
	switch v.Kind() {
	case history.KindNil:
		return Scalar{}, nil
	case history.KindInt:
		b.n, _ = v.AsInt()
	case history.KindBool:
		if t, _ := v.AsBool(); t {
			b.n = 1
		}
	case history.KindString:
		b.s, _ = v.AsString()
	case history.KindFloat:
		f, _ := v.AsFloat()
		if math.IsNaN(f) {
			return Scalar{}, fmt.Errorf("NaN is not equal to itself")
		}
		if f == 0 {
			f = 0 // -0 is 0
		}
		b.n = int64(math.Float64bits(f))
	case history.KindList:
		s, err := listScalar(v)
		if err != nil {
			return Scalar{}, err
		}
		b.s = s
	default:
		return Scalar{}, fmt.Errorf("a map cannot be a value here")
	}
	b.hash = hashBody(b)
	return Scalar{body: unique.Make(b)}, nil
}

// listScalar returns the text that stands for a list of scalars.
func listScalar(v history.Value) (string, error) {
	parts := make([]string, v.Len())
	for i := range parts {
		s, err := NewScalar(v.At(i))
		if err != nil {
			return "", err
		}
		parts[i] = s.String()
	}
	return "[" + strings.Join(parts, ",") + "]", nil
}

// Int returns an integer as a Scalar.
func Int(n int64) Scalar {
	s, err := NewScalar(history.Int(n))
	if err != nil {
		panic(err) // integers are scalars
	}
	return s
}

// hashBody is FNV-1a over the value, mixed at the end because consecutive small
// integers are what histories are made of.
func hashBody(b scalarBody) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(b.s) {
		h = (h ^ uint64(b.s[i])) * 1099511628211
	}
	return mix(h ^ uint64(b.n)<<3 ^ uint64(b.kind))
}

// mix is the finalizer of splitmix64.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// IsNil reports whether s is nil.
func (s Scalar) IsNil() bool { return s == Scalar{} }

// Hash returns the same number for equal scalars, in every process.
func (s Scalar) Hash() uint64 {
	if s.IsNil() {
		return 0x9e3779b97f4a7c15 // not 0, which a sum would not notice
	}
	return s.body.Value().hash
}

// String returns the value as JSON.
func (s Scalar) String() string {
	if s.IsNil() {
		return "null"
	}
	b := s.body.Value()
	switch b.kind {
	case history.KindBool:
		return strconv.FormatBool(b.n != 0)
	case history.KindString:
		return strconv.Quote(b.s)
	case history.KindFloat:
		return history.Float(math.Float64frombits(uint64(b.n))).String() // 1.0 is not 1
	case history.KindList:
		return b.s
	default:
		return strconv.FormatInt(b.n, 10)
	}
}

// Compare orders scalars: by kind, then by value.
func (s Scalar) Compare(o Scalar) int {
	if s == o {
		return 0
	}
	if s.IsNil() {
		return -1
	}
	if o.IsNil() {
		return 1
	}
	a, b := s.body.Value(), o.body.Value()
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.n, b.n), cmp.Compare(a.s, b.s))
}

// scalars returns the elements of a list value; nil is the empty list.
func scalars(v history.Value) ([]Scalar, error) {
	if v.IsNil() {
		return nil, nil
	}
	if v.Kind() != history.KindList {
		return nil, fmt.Errorf("want a list, got %s", show(v))
	}
	list := make([]Scalar, v.Len())
	for i := range list {
		s, err := NewScalar(v.At(i))
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		list[i] = s
	}
	return list, nil
}

// sortedSet sorts list and removes repetitions, in place.
func sortedSet(list []Scalar) []Scalar {
	slices.SortFunc(list, Scalar.Compare)
	return slices.Compact(list)
}

// show renders a value of any kind, shortened, for an error.
func show(v history.Value) string {
	const most = 60
	if s, err := NewScalar(v); err == nil {
		if t := s.String(); len(t) <= most {
			return t
		}
	}
	switch v.Kind() {
	case history.KindList:
		return fmt.Sprintf("a list of %d", v.Len())
	case history.KindMap:
		return fmt.Sprintf("a map of %d", v.Len())
	case history.KindString:
		return "a long string"
	default:
		return "NaN"
	}
}

// showList renders scalars as a JSON list, shortened in the middle.
func showList(list []Scalar) string {
	const most = 24
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range list {
		if len(list) > most && i == most/2 {
			fmt.Fprintf(&b, " … %d more …", len(list)-most)
		}
		if len(list) > most && i >= most/2 && i < len(list)-most/2 {
			continue
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s.String())
	}
	b.WriteByte(']')
	return b.String()
}

func tokens(list []Scalar) []Token {
	ts := make([]Token, len(list))
	for i, s := range list {
		ts[i] = Token{Value: s}
	}
	return ts
}
