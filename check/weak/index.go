package weak

import (
	"math/bits"
	"slices"
)

// node is a transaction that took effect. Nodes are numbered session after session, so
// that the successor of a node in its session is the next number.
type node = int32

// initial is the node of the initial state.
const initial node = -1

// external is a read of what another transaction wrote.
type external struct {
	key  int32
	from node
}

// Index is a history, looked through once.
type Index struct {
	h *History
	// bad are the reads that are wrong by themselves.
	bad []Violation
	// txn gives the transaction of a node, session its session, and starts the first
	// node of every session, with one more at the end.
	txn     []Txn
	session []int32
	starts  []node
	// after are the predecessors of first nodes of sessions that have one.
	after map[node]node
	// reads of node i are reads[readAt[i]:readAt[i+1]], in its order; writes are the keys
	// that it wrote, ascending.
	reads   []external
	readAt  []int32
	writes  []int32
	writeAt []int32
	// seenBy are the first to read what crashed transactions wrote.
	seenBy map[Txn]Txn
}

// NewIndex looks through a history. The error is a *DuplicateError.
func NewIndex(h *History) (*Index, error) {
	b := &builder{h: h, x: &Index{h: h, seenBy: make(map[Txn]Txn)}}
	if len(h.start) == 0 {
		h.start = append(h.start, 0)
	}
	if err := b.table(); err != nil {
		return nil, err
	}
	b.sources()
	b.nodes()
	b.external()
	return b.x, nil
}

// Wrong returns the reads that are wrong by themselves, in the order of the history.
func (x *Index) Wrong() []Violation { return x.bad }

// Nodes is the number of transactions that took effect, and Reads of their reads of
// others.
func (x *Index) Nodes() int { return len(x.txn) }

// Reads counts what transactions read of others.
func (x *Index) Reads() int { return len(x.reads) }

// Witness returns the transactions that a violation needs, ascending: those that it
// names, and of the crashed ones somebody who proves that they took effect.
func (x *Index) Witness(v *Violation) []Txn {
	all := v.Txns()
	for _, t := range all {
		if by, crashed := x.seenBy[t]; crashed {
			all = append(all, by)
		}
	}
	return distinct(all...)
}

// builder holds what only the construction needs.
type builder struct {
	h *History
	x *Index
	// owner is the transaction of an operation, and final whether no later write of
	// the transaction has the same key.
	owner []Txn
	final []bool
	// slots are write operations, plus one, by the hash of key and value.
	slots []int32
	shift uint
	// source is the write that a read saw, plus one; 0 is the initial state.
	source []int32
	took   []bool
	nodeOf []node
	// reads are the writes that somebody read, nil until it matters.
	reads map[Op]bool
}

// keyed is what a transaction did to a key before, by key; it is of another
// transaction and means nothing when the numbers differ.
type keyed struct {
	txn         Txn
	write, read int32
}

func (b *builder) table() error {
	h := b.h
	b.owner = make([]Txn, len(h.Ops))
	b.final = make([]bool, len(h.Ops))
	writes := 0
	for i := range h.Ops {
		if h.Ops[i].Write {
			writes++
		}
	}
	size := bits.Len(uint(2*writes + 1))
	b.slots, b.shift = make([]int32, 1<<size), uint(64-size)
	last := make([]keyed, h.keys)
	for t := range Txn(h.Len()) {
		for i := h.start[t]; i < h.start[t+1]; i++ {
			b.owner[i] = t
			op := &h.Ops[i]
			if !op.Write {
				continue
			}
			if err := b.insert(i); err != nil {
				return err
			}
			k := &last[op.Key]
			if k.txn == t+1 {
				b.final[k.write] = false
			}
			*k = keyed{txn: t + 1, write: i}
			b.final[i] = true
		}
	}
	return nil
}

func (b *builder) hash(op *Op) uint64 {
	x := (uint64(op.Value) ^ uint64(op.Key)<<40 ^ uint64(op.Key)>>24) * 0x9e3779b97f4a7c15
	return (x ^ x>>32) * 0xd6e8feb86659fd93 >> b.shift
}

// insert adds a write. What an aborted transaction wrote gives way to a write that took
// effect: a client may try again.
func (b *builder) insert(i int32) error {
	op := &b.h.Ops[i]
	mask := uint64(len(b.slots) - 1)
	for at := b.hash(op); ; at = (at + 1) & mask {
		s := b.slots[at]
		if s == 0 {
			b.slots[at] = i + 1
			return nil
		}
		other := &b.h.Ops[s-1]
		if other.Key != op.Key || other.Value != op.Value {
			continue
		}
		first, second := b.owner[s-1], b.owner[i]
		switch {
		case b.h.status[second] == Aborted:
		case b.h.status[first] == Aborted:
			b.slots[at] = i + 1
		case !b.wasRead(*op):
		default:
			return &DuplicateError{Key: op.Key, Value: op.Value, First: first, Second: second}
		}
		return nil
	}
}

// wasRead reports whether anybody read what a write wrote. If nobody did, it does not
// matter who else wrote the same.
func (b *builder) wasRead(write Op) bool {
	if b.reads == nil {
		b.reads = make(map[Op]bool)
		for t := range Txn(b.h.Len()) {
			for _, op := range b.h.Of(t) {
				if !op.Write && b.h.status[t] == Committed {
					b.reads[Op{Key: op.Key, Value: op.Value, Write: true}] = true
				}
			}
		}
	}
	return b.reads[write]
}

// find returns the write of a value plus one, 0 if there is none.
func (b *builder) find(op *Op) int32 {
	mask := uint64(len(b.slots) - 1)
	for at := b.hash(op); ; at = (at + 1) & mask {
		s := b.slots[at]
		if s == 0 {
			return 0
		}
		if other := &b.h.Ops[s-1]; other.Key == op.Key && other.Value == op.Value {
			return s
		}
	}
}

// sources finds out what every read saw, and so which transactions took effect.
func (b *builder) sources() {
	h := b.h
	b.source = make([]int32, len(h.Ops))
	b.took = make([]bool, h.Len())
	for t := range Txn(h.Len()) {
		if h.status[t] != Committed {
			continue
		}
		b.took[t] = true
		for i := h.start[t]; i < h.start[t+1]; i++ {
			op := &h.Ops[i]
			if op.Write || op.Value == Unwritten {
				continue
			}
			b.source[i] = b.find(op)
			if s := b.source[i]; s > 0 {
				w := b.owner[s-1]
				if h.status[w] == Crashed && !b.took[w] {
					b.took[w], b.x.seenBy[w] = true, t
				}
			}
		}
	}
}

// nodes numbers the transactions that took effect.
func (b *builder) nodes() {
	h, x := b.h, b.x
	x.starts = make([]node, h.sessions+1)
	for t, took := range b.took {
		if took {
			x.starts[h.session[t]+1]++
		}
	}
	for s := range h.sessions {
		x.starts[s+1] += x.starts[s]
	}
	n := x.starts[h.sessions]
	x.txn, x.session = make([]Txn, n), make([]int32, n)
	b.nodeOf = make([]node, h.Len())
	next := slices.Clone(x.starts)
	for t, took := range b.took {
		if !took {
			continue
		}
		s := h.session[t]
		i := next[s]
		next[s]++
		x.txn[i], x.session[i], b.nodeOf[t] = Txn(t), s, i
	}
	x.after = make(map[node]node)
	for t, before := range h.after {
		if b.took[t] && b.took[before] {
			x.after[b.nodeOf[t]] = b.nodeOf[before]
		}
	}
}

// before returns the predecessor of a node in the order of sessions, initial if there is
// none.
func (x *Index) before(i node) node {
	if i > x.starts[x.session[i]] {
		return i - 1
	}
	if before, known := x.after[i]; known {
		return before
	}
	return initial
}

// external collects what transactions read of others and what they wrote, and finds the
// reads that are wrong by themselves.
func (b *builder) external() {
	h, x := b.h, b.x
	n := len(x.txn)
	x.readAt, x.writeAt = make([]int32, n+1), make([]int32, n+1)
	x.reads = make([]external, 0, len(h.Ops)/2)
	x.writes = make([]int32, 0, len(h.Ops)/2)
	last := make([]keyed, h.keys)
	for i, t := range x.txn {
		crashed := h.status[t] == Crashed
		for at := h.start[t]; at < h.start[t+1]; at++ {
			op := &h.Ops[at]
			k := &last[op.Key]
			if k.txn != t+1 {
				*k = keyed{txn: t + 1, write: -1, read: -1}
			}
			switch {
			case op.Write:
				if b.final[at] {
					x.writes = append(x.writes, op.Key)
				}
				k.write = at
			case !crashed:
				b.read(t, at, k)
			}
		}
		x.readAt[i+1], x.writeAt[i+1] = int32(len(x.reads)), int32(len(x.writes))
		slices.Sort(x.writes[x.writeAt[i]:])
	}
	slices.SortStableFunc(x.bad, func(v, w Violation) int { return int(v.Reader - w.Reader) })
}

// read judges one read, the operation at of t, and keeps it if it saw another
// transaction.
func (b *builder) read(t Txn, at int32, k *keyed) {
	h, x := b.h, b.x
	op, s := &h.Ops[at], b.source[at]
	v := Violation{Reader: t, Writer: Initial, Key: op.Key, Value: op.Value}
	if s > 0 {
		v.Writer = b.owner[s-1]
	}
	wrong := func(kind Kind) {
		v.Kind = kind
		x.bad = append(x.bad, v)
	}
	own := k.write >= 0
	switch {
	case s > at+1 && v.Writer == t:
		wrong(FutureRead)
		k.read = at
		return
	case own && s == k.write+1:
		return
	case own:
		v.Want = h.Ops[k.write].Value
		wrong(Internal)
	}
	if !own && k.read >= 0 && h.Ops[k.read].Value != op.Value {
		v.Want = h.Ops[k.read].Value
		wrong(NonRepeatable)
	}
	k.read = at
	switch {
	case s == 0 && op.Value != Unwritten:
		wrong(ThinAir)
		return
	case s > 0 && h.status[v.Writer] == Aborted:
		wrong(AbortedRead)
		return
	case s > 0 && !b.final[s-1] && v.Writer != t:
		wrong(Intermediate)
	}
	if own {
		return
	}
	from := initial
	if s > 0 {
		from = b.nodeOf[v.Writer]
	}
	x.reads = append(x.reads, external{key: op.Key, from: from})
}

// distinct sorts transactions and leaves out repetitions and the initial one.
func distinct(all ...Txn) []Txn {
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > 0 && all[0] == Initial {
		all = all[1:]
	}
	return all
}
