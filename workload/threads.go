package workload

import "math/bits"

// threadSet is a set of thread numbers.
type threadSet struct {
	words []uint64
	count int
}

func newThreadSet(threads int) *threadSet {
	return &threadSet{words: make([]uint64, (threads+63)/64)}
}

func (s *threadSet) has(t int) bool {
	return t>>6 < len(s.words) && s.words[t>>6]&(1<<(t&63)) != 0
}

func (s *threadSet) add(t int) {
	if !s.has(t) {
		s.words[t>>6] |= 1 << (t & 63)
		s.count++
	}
}

func (s *threadSet) remove(t int) {
	if s.has(t) {
		s.words[t>>6] &^= 1 << (t & 63)
		s.count--
	}
}

// common counts the threads that are in both sets.
func (s *threadSet) common(o *threadSet) int {
	n := 0
	for i := range min(len(s.words), len(o.words)) {
		n += bits.OnesCount64(s.words[i] & o.words[i])
	}
	return n
}

// rank counts the threads of the set below t.
func (s *threadSet) rank(t int) int {
	n := 0
	for i := 0; i < t>>6 && i < len(s.words); i++ {
		n += bits.OnesCount64(s.words[i])
	}
	if t>>6 < len(s.words) {
		n += bits.OnesCount64(s.words[t>>6] & (1<<(t&63) - 1))
	}
	return n
}

// chunk is the number of elements of a vector's leaf.
const chunk = 32

// vector is a persistent array: set copies one leaf and the table of leaves, so
// that a generator with a state for each of a thousand threads can stay an
// immutable value. The zero vector is full of zero elements.
type vector[T any] struct{ leaves []*[chunk]T }

func (v vector[T]) get(i int) (x T) {
	if l := i / chunk; l < len(v.leaves) && v.leaves[l] != nil {
		return v.leaves[l][i%chunk]
	}
	return x
}

func (v vector[T]) set(i int, x T) vector[T] {
	l := i / chunk
	leaves := make([]*[chunk]T, max(len(v.leaves), l+1))
	copy(leaves, v.leaves)
	leaf := new([chunk]T)
	if leaves[l] != nil {
		*leaf = *leaves[l]
	}
	leaf[i%chunk] = x
	leaves[l] = leaf
	return vector[T]{leaves: leaves}
}
