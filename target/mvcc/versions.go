package mvcc

import (
	"maps"
	"slices"
)

// Num numbers commits from 1. A snapshot is the number of the last commit that
// it sees.
type Num uint64

// versions are the versions of all keys. Both forms give the same answers for
// every snapshot from the oldest that collect was told.
type versions interface {
	// at returns the newest version of the key that the snapshot sees, and its
	// number; an absent value and 0 if there is none.
	at(key string, snap Num) (value, Num)
	// newest returns the number of the newest version, 0 if there is none.
	newest(key string) Num
	// install adds a version: after is what it holds, updates what led there.
	install(key string, num Num, after value, updates []update)
	// remove takes away the version of that number, and reports whether there
	// was one.
	remove(key string, num Num) bool
	// collect forgets what no snapshot from oldest on can see.
	collect(oldest Num)
	// keys lists the keys, sorted.
	keys() []string
}

// copies keeps the whole value of every version.
type copies struct {
	chains map[string][]version // by number, the oldest first
	grown  map[string]bool      // keys with more than one version
}

type version struct {
	num   Num
	value value
}

func newCopies() *copies {
	return &copies{chains: map[string][]version{}, grown: map[string]bool{}}
}

func (c *copies) at(key string, snap Num) (value, Num) {
	chain := c.chains[key]
	for i := len(chain) - 1; i >= 0; i-- {
		if v := chain[i]; v.num <= snap {
			return v.value, v.num
		}
	}
	return value{}, 0
}

func (c *copies) newest(key string) Num {
	chain := c.chains[key]
	if len(chain) == 0 {
		return 0
	}
	return chain[len(chain)-1].num
}

func (c *copies) install(key string, num Num, after value, _ []update) {
	chain := c.chains[key]
	i := len(chain)
	for i > 0 && chain[i-1].num > num {
		i--
	}
	c.chains[key] = slices.Insert(chain, i, version{num, after})
	c.grown[key] = true
}

func (c *copies) remove(key string, num Num) bool {
	chain := c.chains[key]
	i := slices.IndexFunc(chain, func(v version) bool { return v.num == num })
	if i < 0 {
		return false
	}
	if c.chains[key] = slices.Delete(chain, i, i+1); len(chain) == 1 {
		delete(c.chains, key)
		delete(c.grown, key)
	}
	return true
}

func (c *copies) collect(oldest Num) {
	for key := range c.grown {
		chain := c.chains[key]
		keep := 0
		for keep+1 < len(chain) && chain[keep+1].num <= oldest {
			keep++
		}
		c.chains[key] = slices.Delete(chain, 0, keep)
		if len(chain)-keep <= 1 {
			delete(c.grown, key)
		}
	}
}

func (c *copies) keys() []string { return slices.Sorted(maps.Keys(c.chains)) }

// updates keeps a base for each key and the log of its updates since.
type updates struct {
	entries map[string]*entry
	grown   map[string]bool // keys with a log
}

type entry struct {
	base version
	log  []logged // by number
}

type logged struct {
	num     Num
	updates []update
}

func newUpdates() *updates {
	return &updates{entries: map[string]*entry{}, grown: map[string]bool{}}
}

func (u *updates) at(key string, snap Num) (value, Num) {
	e := u.entries[key]
	if e == nil {
		return value{}, 0
	}
	v := e.base
	for _, l := range e.log {
		if l.num > snap {
			break
		}
		v = version{l.num, v.value.applyAll(l.updates)}
	}
	return v.value, v.num
}

func (u *updates) newest(key string) Num {
	e := u.entries[key]
	switch {
	case e == nil:
		return 0
	case len(e.log) > 0:
		return e.log[len(e.log)-1].num
	default:
		return e.base.num
	}
}

func (u *updates) install(key string, num Num, _ value, us []update) {
	e := u.entries[key]
	if e == nil {
		e = &entry{}
		u.entries[key] = e
	}
	i := len(e.log)
	for i > 0 && e.log[i-1].num > num {
		i--
	}
	e.log = slices.Insert(e.log, i, logged{num, us})
	u.grown[key] = true
}

func (u *updates) remove(key string, num Num) bool {
	e := u.entries[key]
	if e == nil {
		return false
	}
	i := slices.IndexFunc(e.log, func(l logged) bool { return l.num == num })
	if i < 0 {
		return false
	}
	if e.log = slices.Delete(e.log, i, i+1); len(e.log) == 0 && e.base.num == 0 {
		delete(u.entries, key)
		delete(u.grown, key)
	}
	return true
}

func (u *updates) collect(oldest Num) {
	for key := range u.grown {
		e := u.entries[key]
		n := 0
		for n < len(e.log) && e.log[n].num <= oldest {
			e.base = version{e.log[n].num, e.base.value.applyAll(e.log[n].updates)}
			n++
		}
		if e.log = slices.Delete(e.log, 0, n); len(e.log) == 0 {
			delete(u.grown, key)
		}
	}
}

func (u *updates) keys() []string { return slices.Sorted(maps.Keys(u.entries)) }
