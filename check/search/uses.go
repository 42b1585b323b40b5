package search

// uses numbers the multisets of spares that configurations have used; 0 is the
// empty one.
type uses struct {
	sets []multiset
	// index is a hash table with open addressing: number+1, 0 is a free entry.
	index []uint32
	// items are those of all sets, with room for some more.
	items []used
}

// multiset counts spares.
type multiset struct {
	items []used // by spare
	total int
	// hash is the sum of that of its items, so that it is known with one more of them
	// before they are written down.
	hash uint64
	// sign has a bit for each spare, shared by some: a subset's is a subset.
	sign uint64
}

type used struct{ spare, count uint32 }

// hash is that of one item of a multiset.
func (it used) hash() uint64 {
	if it.count == 0 {
		return 0
	}
	return mix(uint64(it.spare)<<32 | uint64(it.count))
}

// reset forgets all sets. What many of them needed is not kept.
func (u *uses) reset() {
	if len(u.sets) > kept || len(u.items) > kept || u.index == nil {
		*u = uses{index: make([]uint32, 64)}
	} else {
		clear(u.index)
	}
	u.sets, u.items = append(u.sets[:0], multiset{}), u.items[:0]
}

func (u *uses) count(id, spare uint32) uint32 {
	for _, it := range u.sets[id].items {
		if it.spare == spare {
			return it.count
		}
	}
	return 0
}

// with returns the number of a multiset with one more of a spare.
func (u *uses) with(id, spare uint32) uint32 {
	s := &u.sets[id]
	at := 0
	for at < len(s.items) && s.items[at].spare < spare {
		at++
	}
	before, after := used{spare: spare}, at
	if at < len(s.items) && s.items[at].spare == spare {
		before, after = s.items[at], at+1
	}
	it := used{spare: spare, count: before.count + 1}
	h := s.hash - before.hash() + it.hash()
	slot := u.home(h)
	for ; u.index[slot] != 0; slot = u.beyond(slot) {
		n := u.index[slot] - 1
		if u.sets[n].hash == h && changed(u.sets[n].items, s.items, it, at, after) {
			return n
		}
	}
	from := len(u.items)
	u.items = append(append(append(u.items, s.items[:at]...), it), s.items[after:]...)
	return u.put(multiset{
		items: u.items[from:len(u.items):len(u.items)], total: s.total + 1, hash: h,
		sign: s.sign | 1<<(spare&63),
	}, slot)
}

// changed reports whether list is old with it in the place of old[at:after].
func changed(list, old []used, it used, at, after int) bool {
	if len(list) != len(old)+1-(after-at) || list[at] != it {
		return false
	}
	for i := range at {
		if list[i] != old[i] {
			return false
		}
	}
	for i := after; i < len(old); i++ {
		if list[i+1-(after-at)] != old[i] {
			return false
		}
	}
	return true
}

// intern returns the number of the multiset of items, which it copies.
func (u *uses) intern(items []used) uint32 {
	n := uint32(0)
	for _, it := range items {
		for range it.count {
			n = u.with(n, it.spare)
		}
	}
	return n
}

// put adds a set, which has a place in the index.
func (u *uses) put(m multiset, slot uint64) uint32 {
	u.sets = append(u.sets, m)
	n := uint32(len(u.sets))
	u.index[slot] = n
	if 2*len(u.sets) > len(u.index) {
		u.index = make([]uint32, 2*len(u.index))
		for i := range u.sets[1:] {
			slot := u.home(u.sets[1+i].hash)
			for u.index[slot] != 0 {
				slot = u.beyond(slot)
			}
			u.index[slot] = uint32(i) + 2
		}
	}
	return n - 1
}

func (u *uses) home(h uint64) uint64 { return h & uint64(len(u.index)-1) }

func (u *uses) beyond(slot uint64) uint64 { return (slot + 1) & uint64(len(u.index)-1) }

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
	return int64(len(u.sets))*64 + int64(cap(u.items))*8 + int64(len(u.index))*4
}
