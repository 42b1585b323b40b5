// Package versions keeps several versions of the values of keys: what a database of
// many versions is made of, without its transactions.
//
// A version has a number, and a snapshot sees the newest version not above its
// own. Versions have two forms behind one interface, Store: a copy of the value for
// each number, or a base and a log of updates that is folded into it. Copies are
// cheap, because a list shares its memory with the lists that it was made from.
package versions

import (
	"maps"
	"slices"
)

// Num numbers commits from 1. A snapshot is the number of the last commit that
// it sees.
type Num uint64

// Store holds the versions of all keys. Both forms give the same answers for
// every snapshot from the oldest that Collect was told.
type Store interface {
	// At returns the newest version of the key that the snapshot sees, and its
	// number; an absent value and 0 if there is none.
	At(key string, snap Num) (Value, Num)
	// Newest returns the number of the newest version, 0 if there is none.
	Newest(key string) Num
	// Install adds a version: after is what it holds, updates what led there.
	Install(key string, num Num, after Value, updates []Update)
	// Remove takes away the version of that number, and reports whether there
	// was one.
	Remove(key string, num Num) bool
	// Collect forgets what no snapshot from oldest on can see.
	Collect(oldest Num)
	// Keys lists the keys, sorted; Len counts them.
	Keys() []string
	Len() int
}

// copies keeps the whole value of every version.
type copies struct {
	chains map[string][]version // by number, the oldest first
	grown  map[string]bool      // keys with more than one version
}

type version struct {
	num   Num
	value Value
}

// NewCopies returns an empty store that keeps the whole value of every version.
func NewCopies() Store {
	return &copies{chains: map[string][]version{}, grown: map[string]bool{}}
}

func (c *copies) At(key string, snap Num) (Value, Num) {
	chain := c.chains[key]
	for i := len(chain) - 1; i >= 0; i-- {
		if v := chain[i]; v.num <= snap {
			return v.value, v.num
		}
	}
	return Value{}, 0
}

func (c *copies) Newest(key string) Num {
	chain := c.chains[key]
	if len(chain) == 0 {
		return 0
	}
	return chain[len(chain)-1].num
}

func (c *copies) Install(key string, num Num, after Value, _ []Update) {
	chain := c.chains[key]
	i := len(chain)
	for i > 0 && chain[i-1].num > num {
		i--
	}
	c.chains[key] = slices.Insert(chain, i, version{num, after})
	c.grown[key] = true
}

func (c *copies) Remove(key string, num Num) bool {
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

func (c *copies) Collect(oldest Num) {
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

func (c *copies) Keys() []string { return slices.Sorted(maps.Keys(c.chains)) }

func (c *copies) Len() int { return len(c.chains) }

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
	updates []Update
}

// NewUpdates returns an empty store that keeps a base and a log for each key.
func NewUpdates() Store {
	return &updates{entries: map[string]*entry{}, grown: map[string]bool{}}
}

func (u *updates) At(key string, snap Num) (Value, Num) {
	e := u.entries[key]
	if e == nil {
		return Value{}, 0
	}
	v := e.base
	for _, l := range e.log {
		if l.num > snap {
			break
		}
		v = version{l.num, v.value.ApplyAll(l.updates)}
	}
	return v.value, v.num
}

func (u *updates) Newest(key string) Num {
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

func (u *updates) Install(key string, num Num, _ Value, us []Update) {
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

func (u *updates) Remove(key string, num Num) bool {
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

func (u *updates) Collect(oldest Num) {
	for key := range u.grown {
		e := u.entries[key]
		n := 0
		for n < len(e.log) && e.log[n].num <= oldest {
			e.base = version{e.log[n].num, e.base.value.ApplyAll(e.log[n].updates)}
			n++
		}
		if e.log = slices.Delete(e.log, 0, n); len(e.log) == 0 {
			delete(u.grown, key)
		}
	}
}

func (u *updates) Keys() []string { return slices.Sorted(maps.Keys(u.entries)) }

func (u *updates) Len() int { return len(u.entries) }
