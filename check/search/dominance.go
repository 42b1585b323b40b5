package search

// antichain holds configurations by state and open changes that have happened, at one
// position or at several.
type antichain[B bitset] struct {
	uses *uses
	// heads is a hash table with open addressing: the first entry of those with
	// the same key, valid when its round is the current one.
	heads   []head
	round   uint32
	entries []entry[B]
	keys    int
}

type head struct {
	round uint32
	first int32
}

type entry[B bitset] struct {
	config[B]
	changes B // done without what is pure
	at      int32
	next    int32 // with the same key, or -1
	dead    bool
}

func newAntichain[B bitset](u *uses) *antichain[B] {
	a := &antichain[B]{}
	a.begin(u)
	return a
}

// begin makes it one of multisets. What many configurations needed is not kept.
func (a *antichain[B]) begin(u *uses) {
	if a.heads == nil || len(a.heads) > kept || cap(a.entries) > kept {
		*a = antichain[B]{heads: make([]head, 64), entries: make([]entry[B], 0, 16)}
	}
	a.uses = u
	a.reset()
}

func (a *antichain[B]) reset() {
	a.round++
	a.entries, a.keys = a.entries[:0], 0
	if a.round == 0 { // once in 2³² rounds
		clear(a.heads)
		a.round = 1
	}
}

// insert adds c, a configuration at a position where pure are the open operations that
// change nothing, unless it is dominated by one that is there. With prune it takes out
// those that c dominates.
func (a *antichain[B]) insert(c *config[B], at int, pure B, prune bool) bool {
	changes := less(c.done, pure)
	slot := a.find(c.state, at, &changes)
	h := &a.heads[slot]
	first := int32(-1)
	if h.round == a.round {
		first = h.first
		for i := first; i >= 0; i = a.entries[i].next {
			e := &a.entries[i]
			if !e.dead && within(&c.done, &e.done) && a.uses.within(e.used, c.used) {
				return false
			}
		}
		for i := first; prune && i >= 0; i = a.entries[i].next {
			e := &a.entries[i]
			e.dead = e.dead || within(&e.done, &c.done) && a.uses.within(c.used, e.used)
		}
	} else {
		a.keys++
	}
	*h = head{round: a.round, first: int32(len(a.entries))}
	a.entries = append(a.entries, entry[B]{
		config: *c, changes: changes, at: int32(at), next: first,
	})
	if 2*a.keys > len(a.heads) {
		a.grow()
	}
	return true
}

// find returns the place of a key in heads.
func (a *antichain[B]) find(state uint32, at int, changes *B) uint64 {
	mask := uint64(len(a.heads) - 1)
	slot := hashBits(mix(uint64(at)<<32|uint64(state)), changes) & mask
	for ; a.heads[slot].round == a.round; slot = (slot + 1) & mask {
		e := &a.entries[a.heads[slot].first]
		if e.state == state && e.at == int32(at) && e.changes == *changes {
			break
		}
	}
	return slot
}

func (a *antichain[B]) grow() {
	old := a.heads
	a.heads = make([]head, 2*len(old))
	for _, h := range old {
		if h.round == a.round {
			e := &a.entries[h.first]
			a.heads[a.find(e.state, int(e.at), &e.changes)] = h
		}
	}
}

// bytes is what it holds, about.
func (a *antichain[B]) bytes() int64 {
	var b B
	return int64(8*len(a.heads)) + int64(cap(a.entries))*int64(24+16*len(b))
}
