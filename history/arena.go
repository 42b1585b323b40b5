package history

import (
	"slices"
	"unsafe"
)

// arena hands out the memory of the values of one parser in slabs: millions of short
// lists and strings would otherwise be an allocation each. All that it ever handed
// out belongs to the history; only whole slabs are ever given back.
type arena struct {
	ints  []int64
	vals  []Value
	steps []Step
	text  []byte
}

// slabMax is the size of a full-grown slab, in elements.
const slabMax = 4096

// carve copies src to the end of a slab, or of a new one.
func carve[T any](slab *[]T, src []T) []T {
	if len(src) > slabMax/8 {
		return slices.Clone(src)
	}
	if cap(*slab)-len(*slab) < len(src) {
		*slab = make([]T, 0, max(min(slabMax, 2*cap(*slab)), 2*len(src)))
	}
	n := len(*slab)
	*slab = append(*slab, src...)
	return (*slab)[n:len(*slab):len(*slab)]
}

// string copies b.
func (a *arena) string(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	c := carve(&a.text, b)
	return unsafe.String(unsafe.SliceData(c), len(c))
}

// list copies values into the smallest list.
func (a *arena) list(vs []Value) Value {
	if len(vs) == 2 {
		if v, ok := pair(vs[0], vs[1]); ok {
			return v
		}
	}
	if len(vs) == 0 || slices.ContainsFunc(vs, func(v Value) bool { return v.kind != KindInt }) {
		return List(carve(&a.vals, vs)...)
	}
	ns := make([]int64, len(vs))
	for i, v := range vs {
		ns[i] = v.n
	}
	return Ints(ns...)
}

// intList copies integers into a list.
func (a *arena) intList(ns []int64) Value {
	if len(ns) == 2 {
		if v, ok := pair(Int(ns[0]), Int(ns[1])); ok {
			return v
		}
	}
	if len(ns) == 0 {
		return List()
	}
	return Ints(carve(&a.ints, ns)...)
}
