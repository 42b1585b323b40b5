package search

// frontier is a search that goes breadth first.
type frontier[B bitset] struct {
	*machine[B]
	// front are the configurations at this moment, none dominated by another.
	front []config[B]
	// seen are those before the return of now, ended those in which that has happened.
	seen, ended antichain[B]
	// work are those to go on from, by how many spares they used more than the
	// fewest: whoever used fewer may dominate.
	work [][]config[B]
	next []config[B]
	// full is the number of states at which those that nobody is in are forgotten.
	full int
	// forgetful makes it do so at each return.
	forgetful bool
}

// smallTable is a number of states, and of multisets, that is not worth a thought.
const smallTable = 1 << 12

// begin makes it a search of a machine. It keeps the memory that it has, unless that is
// much.
func (f *frontier[B]) begin(m *machine[B]) {
	if cap(f.front) > kept || cap(f.next) > kept || len(f.work) > kept {
		f.front, f.next, f.work = nil, nil, nil
	}
	for level, w := range f.work {
		f.work[level] = w[:0]
		if cap(w) > kept {
			f.work[level] = nil
		}
	}
	f.machine, f.full, f.forgetful = m, smallTable, false
	f.front = append(f.front[:0], m.start())
	f.seen.begin(m.uses)
	f.ended.begin(m.uses)
	m.own = f.own
}

func (f *frontier[B]) own() int64 {
	n := f.seen.bytes() + f.ended.bytes()
	for _, w := range f.work {
		n += int64(cap(w)) * 24
	}
	return n
}

func (f *frontier[B]) run() Result {
	for f.at < len(f.events) {
		op, is := f.returns()
		if !is {
			f.pass()
			f.call(op)
			continue
		}
		slot := f.slot[op]
		if !f.everywhere(slot) {
			if !f.expand(slot) {
				return f.end(Undecided)
			}
			if len(f.ended.entries) == 0 {
				r := f.end(Illegal)
				if !f.ahead {
					r.Blocked = int(op)
				}
				return r
			}
			f.front = f.front[:0]
			for i := range f.ended.entries {
				if e := &f.ended.entries[i]; !e.dead {
					f.front = append(f.front, e.config)
				}
			}
		}
		for i := range f.front {
			drop(&f.front[i].done, slot)
		}
		f.pass()
		if f.spent(len(f.front)) {
			return f.end(Undecided)
		}
		if len(f.table.states) > f.full || len(f.uses.sets) > f.full || f.forgetful {
			f.forget()
		}
	}
	return f.end(Legal)
}

// call lets an operation that was called happen where it changes nothing.
func (f *frontier[B]) call(op int32) {
	if f.spare[op] >= 0 || !f.ops[op].Facts.Pure {
		return
	}
	for i := range f.front {
		c := &f.front[i]
		if _, ok := f.table.step(c.state, f.class[op], &f.ops[op]); ok {
			add(&c.done, f.slot[op])
			f.record(c, op, false)
		}
	}
}

func (f *frontier[B]) everywhere(slot uint16) bool {
	for i := range f.front {
		if !has(&f.front[i].done, slot) {
			return false
		}
	}
	return true
}

// expand goes from front to all configurations in which what has slot has happened,
// and reports false when the budget did not suffice.
func (f *frontier[B]) expand(slot uint16) bool {
	f.look()
	f.seen.reset()
	f.ended.reset()
	fewest := f.uses.sets[f.front[0].used].total
	for i := range f.front {
		fewest = min(fewest, f.uses.sets[f.front[i].used].total)
	}
	for i := range f.front {
		f.add(&f.front[i], slot, fewest)
	}
	for level := 0; level < len(f.work); level++ {
		for i := 0; i < len(f.work[level]); i++ {
			c := f.work[level][i]
			f.next = f.follow(&c, f.next[:0])
			for j := range f.next {
				f.add(&f.next[j], slot, fewest)
			}
			if f.spent(1 + len(f.next)) {
				return false
			}
		}
		f.work[level] = f.work[level][:0]
	}
	return true
}

func (f *frontier[B]) add(c *config[B], slot uint16, fewest int) {
	if has(&c.done, slot) {
		f.ended.insert(c, 0, f.pure, true)
		return
	}
	if !f.seen.insert(c, 0, f.pure, false) {
		return
	}
	level := f.uses.sets[c.used].total - fewest
	for level >= len(f.work) {
		f.work = append(f.work, nil)
	}
	f.work[level] = append(f.work[level], *c)
}

// forget makes tables anew with what front needs. A spare that nobody can notice any
// more need not be counted.
func (f *frontier[B]) forget() {
	now := f.ops[f.events[f.at-1]>>1].Return
	states := make([]any, len(f.front))
	used := make([][]used, len(f.front))
	for i := range f.front {
		states[i] = f.table.states[f.front[i].state]
		for _, u := range f.uses.sets[f.front[i].used].items {
			if f.plan.spares[u.spare].until >= now {
				used[i] = append(used[i], u)
			}
		}
	}
	f.table.reset()
	f.uses.reset()
	for i := range f.front {
		f.front[i].state = f.table.intern(states[i])
		f.front[i].used = f.uses.intern(used[i])
	}
	f.full = max(smallTable, 8*len(f.front))
}

func (f *frontier[B]) end(a Answer) Result {
	r := f.result(a)
	if a == Legal {
		r.Order = f.order(&f.front[0])
		return r
	}
	for i := range f.front[:min(len(f.front), stands)] {
		r.Last = append(r.Last, f.stand(&f.front[i]))
	}
	return r
}
