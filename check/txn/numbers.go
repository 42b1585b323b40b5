package txn

import "github.com/ordeal-dev/ordeal/history"

// keyNumbers are the numbers of the keys of a group. Most keys are so short that they are
// compared as a whole.
type keyNumbers struct {
	short []shortKey // a hash table; free slots have the number 0
	n     int
	long  map[history.Key]uint32
}

type shortKey struct {
	packed uint64
	number uint32 // from 1
}

// pack returns a key of at most seven bytes as a number.
func pack(k history.Key) (packed uint64, ok bool) {
	if len(k) > 7 {
		return 0, false
	}
	packed = uint64(len(k))
	for i := range len(k) {
		packed = packed<<8 | uint64(k[i])
	}
	return packed, true
}

// slot returns the slot of a short key, or the free one where it would be. There has to be
// a free one.
func (x *keyNumbers) slot(packed uint64) *shortKey {
	mask := len(x.short) - 1
	i := int(packed*0x9e3779b97f4a7c15>>32) & mask
	for x.short[i].number != 0 && x.short[i].packed != packed {
		i = (i + 1) & mask
	}
	return &x.short[i]
}

func (x *keyNumbers) find(k history.Key) (number uint32, ok bool) {
	packed, short := pack(k)
	if !short {
		number, ok = x.long[k]
		return number, ok
	}
	if x.n == 0 {
		return 0, false
	}
	s := x.slot(packed)
	return s.number - 1, s.number > 0
}

func (x *keyNumbers) add(k history.Key, number uint32) {
	packed, short := pack(k)
	if !short {
		x.long[k] = number
		return
	}
	if 2*x.n >= len(x.short) {
		old := x.short
		x.short = make([]shortKey, max(16, 2*len(old)))
		for _, s := range old {
			if s.number > 0 {
				*x.slot(s.packed) = s
			}
		}
	}
	*x.slot(packed) = shortKey{packed, number + 1}
	x.n++
}

// sessionNumbers number the sessions: the processes of each group.
type sessionNumbers struct {
	groups  map[history.Key]uint32
	few     map[uint64]int32 // by group and process, if that is a small number
	many    map[session]int32
	name    history.Key
	group   uint32
	started bool
	n       int32
}

type session struct {
	group   uint32
	process history.Process
}

func newSessionNumbers() *sessionNumbers {
	return &sessionNumbers{
		groups: make(map[history.Key]uint32), few: make(map[uint64]int32),
		many: make(map[session]int32),
	}
}

func (x *sessionNumbers) number(group history.Key, p history.Process) int32 {
	if !x.started || group != x.name {
		number, ok := x.groups[group]
		if !ok {
			number = uint32(len(x.groups))
			x.groups[group] = number
		}
		x.name, x.group, x.started = group, number, true
	}
	if p < 0 || p >= 1<<32 {
		s := session{x.group, p}
		number, ok := x.many[s]
		if !ok {
			number = x.next()
			x.many[s] = number
		}
		return number
	}
	s := uint64(x.group)<<32 | uint64(p)
	number, ok := x.few[s]
	if !ok {
		number = x.next()
		x.few[s] = number
	}
	return number
}

func (x *sessionNumbers) next() int32 {
	x.n++
	return x.n - 1
}
