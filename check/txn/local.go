package txn

import "slices"

// local is what a transaction knows of the keys that it used so far.
type local struct {
	txn  uint32
	of   []localKey // by key
	used []uint32
	// denied are earlier lists that a later one contradicts.
	denied []denied
}

type denied struct {
	key  uint32
	list []elem
}

// localKey is what a transaction knows of one key.
type localKey struct {
	// list is what it read last, and tail what it appended since then, or ever.
	list []elem
	tail []elem
	txn  uint32 // that used the key last, from 1
	// last append and first read before any append, in rows from 1.
	last, first uint32
	read        bool
}

// fits reports whether a list is what the transaction has to read: what it read before, and
// what it appended itself.
func (k *localKey) fits(list []elem) bool {
	if len(list) < len(k.tail) {
		return false
	}
	before := list[:len(list)-len(k.tail)]
	if !slices.Equal(list[len(before):], k.tail) {
		return false
	}
	return !k.read || slices.Equal(before, k.list)
}

// finish marks the last appends of the transaction and its reads before them.
func (c *columns) finish() {
	for _, key := range c.local.used {
		k := &c.local.of[key]
		if k.last > 0 {
			c.appends[k.last-1].final = true
		}
		if k.first > 0 && k.last > 0 {
			c.reads[k.first-1].update = true
		}
	}
	c.local.used, c.local.denied = c.local.used[:0], c.local.denied[:0]
}
