package search

import "slices"

// uses numbers the multisets of spares that configurations have used; 0 is the
// empty one.
type uses struct {
	sets []multiset
	// byHash finds a multiset by its contents, next one with another in it, when
	// there are more than a few.
	byHash map[uint64][]uint32
	next   map[uint64]uint32
	work   []used
}

// multiset counts spares.
type multiset struct {
	items []used // by spare
	total int
	// sign has a bit for each spare, shared by some: a subset's is a subset.
	sign uint64
}

type used struct{ spare, count uint32 }

func newUses() *uses { return &uses{sets: make([]multiset, 1)} }

func (u *uses) reset() {
	u.sets = append(u.sets[:0], multiset{})
	u.byHash, u.next = nil, nil
}

func (u *uses) count(id, spare uint32) uint32 {
	for _, it := range u.sets[id].items {
		if it.spare == spare {
			return it.count
		}
	}
	return 0
}

// few is a number of multisets that is searched faster than a map.
const few = 16

// with returns the number of a multiset with one more of a spare.
func (u *uses) with(id, spare uint32) uint32 {
	key := uint64(id)<<32 | uint64(spare)
	if len(u.sets) > few {
		if n, found := u.next[key]; found {
			return n
		}
	}
	items := append(u.work[:0], u.sets[id].items...)
	at, found := slices.BinarySearchFunc(items, spare, func(it used, s uint32) int {
		return int(it.spare) - int(s)
	})
	if found {
		items[at].count++
	} else {
		items = slices.Insert(items, at, used{spare: spare, count: 1})
	}
	u.work = items
	n := u.intern(items)
	if len(u.sets) > few {
		if u.next == nil {
			u.next = make(map[uint64]uint32)
		}
		u.next[key] = n
	}
	return n
}

// intern returns the number of the multiset of items, which it copies.
func (u *uses) intern(items []used) uint32 {
	if len(items) == 0 {
		return 0
	}
	if len(u.sets) <= few {
		for n := range u.sets {
			if slices.Equal(u.sets[n].items, items) {
				return uint32(n)
			}
		}
	} else if n, found := u.find(items); found {
		return n
	}
	m := multiset{items: slices.Clone(items)}
	for _, it := range items {
		m.total += int(it.count)
		m.sign |= 1 << (it.spare & 63)
	}
	u.sets = append(u.sets, m)
	switch n := len(u.sets); {
	case n == few+1: // from now on a map is better
		u.byHash = make(map[uint64][]uint32)
		for n := range u.sets {
			u.index(uint32(n))
		}
	case n > few+1:
		u.index(uint32(n - 1))
	}
	return uint32(len(u.sets) - 1)
}

func (u *uses) index(n uint32) {
	h := hashItems(u.sets[n].items)
	u.byHash[h] = append(u.byHash[h], n)
}

func (u *uses) find(items []used) (uint32, bool) {
	for _, n := range u.byHash[hashItems(items)] {
		if slices.Equal(u.sets[n].items, items) {
			return n, true
		}
	}
	return 0, false
}

func hashItems(items []used) (h uint64) {
	for _, it := range items {
		h = mix(h ^ uint64(it.spare)<<32 ^ uint64(it.count))
	}
	return h
}

// within reports whether all of a is in b.
func (u *uses) within(a, b uint32) bool {
	if a == b || a == 0 {
		return true
	}
	x, y := &u.sets[a], &u.sets[b]
	if x.total >= y.total || x.sign&^y.sign != 0 {
		return false
	}
	at := 0
	for _, it := range x.items {
		for at < len(y.items) && y.items[at].spare < it.spare {
			at++
		}
		if at == len(y.items) || y.items[at].spare != it.spare || y.items[at].count < it.count {
			return false
		}
	}
	return true
}

// bytes is what it holds, about.
func (u *uses) bytes() int64 {
	return int64(len(u.sets)) * 120
}
