package search

import "math/bits"

// bitset is a set of slots, wide enough for the operations open at one time.
type bitset interface {
	[1]uint64 | [2]uint64 | [8]uint64 | [64]uint64
}

func has[B bitset](b *B, slot uint16) bool { return (*b)[slot>>6]>>(slot&63)&1 != 0 }

func add[B bitset](b *B, slot uint16) { (*b)[slot>>6] |= 1 << (slot & 63) }

func drop[B bitset](b *B, slot uint16) { (*b)[slot>>6] &^= 1 << (slot & 63) }

// less returns a without what is in b.
func less[B bitset](a, b B) B {
	for i := range len(a) {
		a[i] &^= b[i]
	}
	return a
}

// within reports whether all of a is in b.
func within[B bitset](a, b *B) bool {
	for i := range len(*a) {
		if (*a)[i]&^(*b)[i] != 0 {
			return false
		}
	}
	return true
}

// size counts the slots in b.
func size[B bitset](b *B) int {
	n := 0
	for i := range len(*b) {
		n += bits.OnesCount64((*b)[i])
	}
	return n
}

func hashBits[B bitset](h uint64, b *B) uint64 {
	for i := range len(*b) {
		h = mix(h ^ (*b)[i])
	}
	return h
}

// mix is the finalizer of splitmix64.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
