package models

import "reflect"

// classes returns what makes the numbers of Spec.Classes.
func (m Model[S, I, O]) classes() func() Classes {
	plain := m.Class == nil && plain(reflect.TypeFor[I]()) && plain(reflect.TypeFor[O]())
	return func() Classes {
		var next uint32
		fresh := func() uint32 {
			next++
			return next - 1
		}
		switch {
		case m.Class != nil:
			known := make(map[any]uint32)
			return Classes{
				Number: func(in, out any) uint32 {
					c := m.Class(in.(I), out.(O))
					if c == nil {
						return fresh()
					}
					return number(known, c, fresh)
				},
				Reset: func() { known, next = emptied(known), 0 },
			}
		case plain && m.Digest != nil:
			known := digests{pairs: make([]digested, 0, 24)}
			return Classes{
				Number: func(in, out any) uint32 {
					return known.number(m.Digest(in.(I), out.(O)), in, out)
				},
				Reset: known.reset,
			}
		case plain:
			known := make(map[[2]any]uint32, 32)
			return Classes{
				Number: func(in, out any) uint32 { return number(known, [2]any{in, out}, fresh) },
				Reset:  func() { known, next = emptied(known), 0 },
			}
		default:
			return Classes{
				Number: func(any, any) uint32 { return fresh() },
				Reset:  func() { next = 0 },
			}
		}
	}
}

// digests numbers pairs of values that == compares, by hashes that it is given: a table with
// open addressing, at most half full.
type digests struct {
	slots []uint32 // numbers plus one
	pairs []digested
}

type digested struct {
	hash    uint64
	in, out any
}

func (d *digests) number(hash uint64, in, out any) uint32 {
	if 2*len(d.pairs) >= len(d.slots) {
		d.slots = make([]uint32, max(64, 4*len(d.pairs)))
		for n := range d.pairs {
			d.slots[d.free(d.pairs[n].hash)] = uint32(n) + 1
		}
	}
	at := d.home(hash)
	for ; d.slots[at] > 0; at = d.next(at) {
		n := d.slots[at] - 1
		if p := &d.pairs[n]; p.hash == hash && p.in == in && p.out == out {
			return n
		}
	}
	d.pairs = append(d.pairs, digested{hash, in, out})
	d.slots[at] = uint32(len(d.pairs))
	return uint32(len(d.pairs) - 1)
}

// reset forgets all pairs. What a long history needed is not kept.
func (d *digests) reset() {
	if len(d.slots) > 4*keptClasses {
		*d = digests{}
		return
	}
	clear(d.slots)
	clear(d.pairs)
	d.pairs = d.pairs[:0]
}

func (d *digests) home(hash uint64) int { return int(hash & uint64(len(d.slots)-1)) }

func (d *digests) next(at int) int { return (at + 1) & (len(d.slots) - 1) }

func (d *digests) free(hash uint64) int {
	at := d.home(hash)
	for d.slots[at] > 0 {
		at = d.next(at)
	}
	return at
}

func number[K comparable](known map[K]uint32, k K, fresh func() uint32) uint32 {
	n, found := known[k]
	if !found {
		n = fresh()
		known[k] = n
	}
	return n
}

// keptClasses is a number of classes that memory is kept for.
const keptClasses = 1 << 10

func emptied[K comparable](known map[K]uint32) map[K]uint32 {
	if len(known) > keptClasses {
		return make(map[K]uint32)
	}
	clear(known)
	return known
}

// plain reports whether values of type t are equal exactly when nothing tells them
// apart. That excludes what cannot be compared or may hide such a thing, and floats,
// whose two zeros are equal.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Interface, reflect.Float32, reflect.Float64,
		reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Array:
		return plain(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !plain(t.Field(i).Type) {
				return false
			}
		}
		return true
	default:
		return t.Comparable()
	}
}
