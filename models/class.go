package models

import "reflect"

// classes returns what makes the numbers of Spec.Classes.
func (m Model[S, I, O]) classes() func() func(in, out any) uint32 {
	plain := m.Class == nil && plain(reflect.TypeFor[I]()) && plain(reflect.TypeFor[O]())
	return func() func(in, out any) uint32 {
		var next uint32
		fresh := func() uint32 {
			next++
			return next - 1
		}
		switch {
		case m.Class != nil:
			known := make(map[any]uint32)
			return func(in, out any) uint32 {
				c := m.Class(in.(I), out.(O))
				if c == nil {
					return fresh()
				}
				return number(known, c, fresh)
			}
		case plain:
			known := make(map[[2]any]uint32, 32)
			return func(in, out any) uint32 {
				return number(known, [2]any{in, out}, fresh)
			}
		default:
			return func(any, any) uint32 { return fresh() }
		}
	}
}

func number[K comparable](known map[K]uint32, k K, fresh func() uint32) uint32 {
	n, found := known[k]
	if !found {
		n = fresh()
		known[k] = n
	}
	return n
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
