package rw

import (
	"slices"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/weak"
)

// txn is a transaction that took effect, by its number in the weak.Index.
type txn = int32

// nobody is the writer of initial versions.
const nobody txn = -1

// version is one version of one key by its number. Those of a key stand together, the
// initial one first.
type version = int32

// access is what a transaction read or wrote.
type access struct {
	key     int32
	version version
}

// source is what a problem is made of: transactions by number, those of one session
// together and in its order.
type source struct {
	n, keys int
	name    []weak.Txn
	keyName []int32
	session []int32
	// call and ret are nil without times; ret is graph.Never for crashed transactions.
	call, ret []int64
	// taken are the first reads of every key by a transaction, with the writer of what
	// was read; wrote are its written keys, ascending.
	taken            []reading
	takenAt, wroteAt []int32
	wrote            []int32
	// again are further reads of keys that saw other versions than the first. Each is
	// wrong by itself from read atomic up, but weaker levels order them, too.
	again    []rereading
	keyOrder KeyOrder
}

type reading struct {
	key    int32
	writer txn
}

type rereading struct {
	by txn
	reading
}

// problem is a history as transactions over versions.
type problem struct {
	source
	// writer and key of a version; those of key k are first[k] to first[k+1].
	writer []txn
	key    []int32
	first  []version
	// readers of version v are readers[readerAt[v]:readerAt[v+1]].
	readers  []txn
	readerAt []int32
	// reads and writes of transaction t, one for each key.
	reads, writes     []access
	readAt, writtenAt []int32
	// next is the transaction that read a version and wrote the key, -1 if there is
	// none.
	next []txn
	// lost are the pairs that did so with the same version.
	lost []Lost
	// relations are what the claimed order of keys says, cycles where it contradicts
	// itself.
	relations []relation
	cycles    []Cyclic
}

// Lost is a lost update: two transactions read one version of Key and both overwrote it.
type Lost struct {
	Key    int32
	Writer weak.Txn
	Txns   [2]weak.Txn
}

func sourceOf(x *weak.Index, o KeyOrder) *source {
	s := &source{n: x.Nodes(), keys: int(x.Keys()), keyOrder: o}
	s.keyName = make([]int32, s.keys)
	for k := range s.keyName {
		s.keyName[k] = int32(k)
	}
	s.takenAt, s.wroteAt = []int32{0}, []int32{0}
	seen := make([]txn, s.keys)
	first := make([]txn, s.keys) // the writer of what was read first
	for t := range txn(s.n) {
		s.name = append(s.name, x.Took(t))
		s.session = append(s.session, x.SessionOf(t))
		if call, ret, ok := x.Times(t); ok {
			if x.Crashed(t) {
				ret = graph.Never
			}
			s.call, s.ret = append(s.call, call), append(s.ret, ret)
		}
		// Of several reads of a key the first one counts: one that differs is wrong by
		// itself.
		x.ReadsOf(t, func(key, from int32) {
			if seen[key] != t+1 {
				seen[key], first[key] = t+1, from
				s.taken = append(s.taken, reading{key, from})
			} else if from != first[key] && from != nobody {
				s.again = append(s.again, rereading{t, reading{key, from}})
			}
		})
		s.wrote = append(s.wrote, x.WritesOf(t)...)
		s.takenAt = append(s.takenAt, int32(len(s.taken)))
		s.wroteAt = append(s.wroteAt, int32(len(s.wrote)))
	}
	return s
}

// only returns the part with some transactions, ascending, without the reads of what
// others wrote. What satisfies a level does so in all its parts.
func (s *source) only(keep []txn) *source {
	c := &source{
		n: len(keep), takenAt: []int32{0}, wroteAt: []int32{0}, keyOrder: s.keyOrder,
	}
	number := make(map[txn]txn, len(keep))
	for i, t := range keep {
		number[t] = txn(i)
	}
	keys := make(map[int32]int32)
	keyOf := func(k int32) int32 {
		n, known := keys[k]
		if !known {
			n = int32(len(keys))
			keys[k] = n
			c.keyName = append(c.keyName, s.keyName[k])
		}
		return n
	}
	for _, t := range keep {
		c.name = append(c.name, s.name[t])
		c.session = append(c.session, s.session[t])
		if s.call != nil {
			c.call, c.ret = append(c.call, s.call[t]), append(c.ret, s.ret[t])
		}
		for _, r := range s.taken[s.takenAt[t]:s.takenAt[t+1]] {
			w, there := nobody, true
			if r.writer != nobody {
				w, there = number[r.writer]
			}
			if there {
				c.taken = append(c.taken, reading{keyOf(r.key), w})
			}
		}
		for _, k := range s.wrote[s.wroteAt[t]:s.wroteAt[t+1]] {
			c.wrote = append(c.wrote, keyOf(k))
		}
		slices.Sort(c.wrote[c.wroteAt[len(c.wroteAt)-1]:])
		c.takenAt = append(c.takenAt, int32(len(c.taken)))
		c.wroteAt = append(c.wroteAt, int32(len(c.wrote)))
	}
	c.keys = len(keys)
	return c
}

func newProblem(s *source) *problem {
	p := &problem{source: *s}
	p.versions()
	p.readAt = s.takenAt
	for _, r := range s.taken {
		p.reads = append(p.reads, access{key: r.key, version: p.versionOf(r.key, r.writer)})
	}
	p.index()
	p.order()
	return p
}

func (p *problem) versions() {
	p.first = make([]version, p.keys+1)
	for _, k := range p.wrote {
		p.first[k+1]++
	}
	for k := range p.keys {
		p.first[k+1] += p.first[k] + 1
	}
	total := p.first[p.keys]
	p.writer, p.key = make([]txn, total), make([]int32, total)
	next := slices.Clone(p.first[:p.keys])
	for k := range p.keys {
		p.writer[next[k]], p.key[next[k]] = nobody, int32(k)
		next[k]++
	}
	p.writtenAt = p.wroteAt
	for t := range txn(p.n) {
		for _, k := range p.wrote[p.wroteAt[t]:p.wroteAt[t+1]] {
			p.writer[next[k]], p.key[next[k]] = t, k
			p.writes = append(p.writes, access{key: k, version: next[k]})
			next[k]++
		}
	}
}

// versionOf returns what a transaction wrote to a key.
func (p *problem) versionOf(key int32, writer txn) version {
	begin, end := p.first[key], p.first[key+1]
	at, _ := slices.BinarySearch(p.writer[begin:end], writer)
	return begin + version(at)
}

// index lists the readers of versions, and who overwrote what it had read.
func (p *problem) index() {
	total := len(p.writer)
	p.readerAt = make([]int32, total+1)
	for _, r := range p.reads {
		p.readerAt[r.version+1]++
	}
	for v := range total {
		p.readerAt[v+1] += p.readerAt[v]
	}
	at := slices.Clone(p.readerAt[:total])
	p.readers = make([]txn, len(p.reads))
	p.next = make([]txn, total)
	for v := range p.next {
		p.next[v] = nobody
	}
	for t := range txn(p.n) {
		for _, r := range p.readsOf(t) {
			p.readers[at[r.version]] = t
			at[r.version]++
			if !p.wroteKey(t, r.key) {
				continue
			}
			if p.next[r.version] == nobody {
				p.next[r.version] = t
				continue
			}
			p.lost = append(p.lost, Lost{
				Key: p.keyName[r.key], Writer: p.nameOf(p.writer[r.version]),
				Txns: [2]weak.Txn{p.name[p.next[r.version]], p.name[t]},
			})
		}
	}
}

func (p *problem) nameOf(t txn) weak.Txn {
	if t == nobody {
		return weak.Initial
	}
	return p.name[t]
}

func (p *problem) readsOf(t txn) []access  { return p.reads[p.readAt[t]:p.readAt[t+1]] }
func (p *problem) writesOf(t txn) []access { return p.writes[p.writtenAt[t]:p.writtenAt[t+1]] }

func (p *problem) readersOf(v version) []txn { return p.readers[p.readerAt[v]:p.readerAt[v+1]] }

func (p *problem) wroteKey(t txn, key int32) bool {
	return slices.ContainsFunc(p.writesOf(t), func(w access) bool { return w.key == key })
}

// initial reports whether v is the initial version of its key.
func (p *problem) initial(v version) bool { return p.writer[v] == nobody }

// before returns the previous transaction of the same session of which it is known that
// it ended, -1 if there is none.
func (p *problem) before(t txn) txn {
	for b := t - 1; b >= 0 && p.session[b] == p.session[t]; b-- {
		if p.ret == nil || p.ret[b] != graph.Never {
			return b
		}
	}
	return nobody
}

// family is the order among transactions that a level has beside data.
type family uint8

const (
	anyOrder family = iota
	sessionOrder
	timeOrder // and that of sessions
)

// demand is what a level asks for.
type demand struct {
	family family
	// split says snapshot isolation: transactions have a snapshot and a commit.
	split bool
	// single says consistent view: cycles are forbidden if they have at most one rw.
	single bool
}

// demandOf returns what a level asks for, false if it is not decided by orders of all
// transactions.
func demandOf(l graph.Level) (demand, bool) {
	switch l {
	case graph.StrictSerializable:
		return demand{family: timeOrder}, true
	case graph.StrongSessionSerializable:
		return demand{family: sessionOrder}, true
	case graph.Serializable, graph.RepeatableRead:
		return demand{family: anyOrder}, true
	case graph.StrongSnapshotIsolation:
		return demand{family: timeOrder, split: true}, true
	case graph.StrongSessionSnapshotIsolation:
		return demand{family: sessionOrder, split: true}, true
	case graph.SnapshotIsolation:
		return demand{family: anyOrder, split: true}, true
	case graph.Causal:
		return demand{single: true}, true
	default:
		return demand{}, false
	}
}
