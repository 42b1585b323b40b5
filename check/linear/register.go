package linear

import (
	"math"

	"github.com/ordeal-dev/ordeal/history"
)

// Value is a number that the caller gave to a value, the same for equal values.
// Numbers given out in the order of first appearance cost the least memory.
type Value uint32

// Nil is what an object holds at first.
const Nil Value = 0

// register decides registers with unique values from their events, in the order
// of time.
//
// The cluster of a value is its write and all reads that returned it. Let f be the
// first return in it and s the last call, then f(u) < s(v) forces u before v, and
// the history is linearizable if and only if every value read was written and no
// two clusters are forced both ways. (Forced orders u→v without the opposite have
// f(u)+s(u) < f(v)+s(v), so they cannot form a cycle.) In the words of Gibbons and
// Korach a cluster with f < s is a forward zone [f, s] and any other a backward
// zone [s, f], and the conflicts are two forward zones that overlap and a backward
// zone inside a forward one.
//
// f never changes once it is known, and nothing is forced when it becomes known,
// at the latest time of all; so only a read can complete a conflict, by raising s.
// Without a conflict the forward zones are disjoint and thus sorted by f and by s
// alike, and of the backward zones only those matter that no other one dominates
// (with a smaller f and a larger s), which are sorted by both, too: four binary
// searches decide. A dominated zone may be forgotten even if the one above it
// becomes forward later: whoever conflicts with the forgotten one then conflicts
// with that. A zone that became forward may stay among the backward ones as it was:
// what it says is still true.
//
// Only clusters that a later read can see without a conflict are kept. Let m be
// the earliest call of an open read: every later read raises the s of its cluster
// v to m or more, which is a conflict if some u with f(u) < m has s(u) > f(v).
type register struct {
	live     table
	clusters []cluster
	free     []int32
	// written has every value that a write was called with, and Nil.
	written bitmap
	// forward and backward are the zones described above.
	forward, backward zones
	// byFirst are the clusters whose f is known in its order; apart is one that
	// was taken off although it is alive, none if there is none.
	byFirst fifo[int32]
	apart   int32
	// settled is m as described above.
	settled history.Time
	// dropped, if not nil, is told the clusters that are forgotten.
	dropped func(at int32)
}

// cluster is what is known of a value. firstOp returned first and lastOp was
// called last.
type cluster struct {
	first, last     history.Time
	firstOp, lastOp int
	value           Value
	isForward       bool
}

const (
	none                   = int32(-1)
	noOp                   = -1
	beginning history.Time = math.MinInt64
)

func newRegister() *register {
	r := &register{apart: none, settled: beginning}
	r.written.set(uint32(Nil))
	r.byFirst.push(r.add(cluster{
		first: beginning, last: beginning, firstOp: noOp, lastOp: noOp, value: Nil,
	}))
	return r
}

func (r *register) add(c cluster) int32 {
	at := int32(len(r.clusters))
	if n := len(r.free); n > 0 {
		at = r.free[n-1]
		r.free = r.free[:n-1]
		r.clusters[at] = c
	} else {
		r.clusters = append(r.clusters, c)
	}
	r.live.put(c.value, at)
	return at
}

func (r *register) drop(at int32) {
	if r.dropped != nil {
		r.dropped(at)
	}
	r.live.remove(r.clusters[at].value)
	r.free = append(r.free, at)
}

// callWrite is the call of op, a write of v. It reports whether v is new.
func (r *register) callWrite(op int, v Value, now history.Time) bool {
	if r.written.set(uint32(v)) {
		return false
	}
	r.add(cluster{first: history.Never, last: now, firstOp: noOp, lastOp: op, value: v})
	return true
}

// returnWrite is the answer to op, a write of v.
func (r *register) returnWrite(op int, v Value, now history.Time) {
	at := r.live.get(v)
	if at == none || r.clusters[at].first != history.Never {
		return // it has been read already
	}
	r.firstReturn(at, op, now)
}

// firstReturn makes f of a cluster known.
func (r *register) firstReturn(at int32, op int, now history.Time) {
	c := &r.clusters[at]
	c.first, c.firstOp = now, op
	r.byFirst.push(at)
	r.backward.climb(*c)
}

// returnRead is the return of op, a read called at call, with value v. It returns
// the conflict that there now is.
func (r *register) returnRead(op int, v Value, call, now history.Time) *Conflict {
	at := r.live.get(v)
	if at == none {
		return r.lost(op, v, now)
	}
	c := &r.clusters[at]
	raised := call > c.last
	if raised {
		c.last, c.lastOp = call, op
	}
	if c.first == history.Never {
		r.firstReturn(at, op, now)
		return nil
	}
	if !raised {
		return nil
	}
	if other := r.raise(c); other != nil {
		return opposed(*other, *c, now)
	}
	return nil
}

// raise puts a cluster where its new s belongs and returns one that is now in
// conflict with it, or nil.
func (r *register) raise(c *cluster) *cluster {
	if c.last <= c.first {
		if i := r.forward.below(c.last); i >= 0 && r.forward.at(i).last > c.first {
			return r.forward.at(i)
		}
		r.backward.climb(*c)
		return nil
	}
	i := r.forward.below(c.first) + 1 // the first zone that does not begin earlier
	next := i
	if c.isForward {
		next++
	} else {
		if i > 0 && r.forward.at(i-1).last > c.first {
			return r.forward.at(i - 1)
		}
	}
	if next < r.forward.len() && r.forward.at(next).first < c.last {
		return r.forward.at(next)
	}
	if b := r.backward.below(c.last); b >= 0 && r.backward.at(b).last > c.first {
		return r.backward.at(b)
	}
	if c.isForward {
		*r.forward.at(i) = *c
	} else {
		c.isForward = true
		r.forward.insert(i, *c)
	}
	return nil
}

// opposed is the conflict of two clusters.
func opposed(u, v cluster, now history.Time) *Conflict {
	if u.first > v.first {
		u, v = v, u
	}
	if u.value == Nil {
		return &Conflict{Kind: Initial, Ops: []int{v.firstOp, u.lastOp}, At: now}
	}
	return &Conflict{
		Kind: Opposed, Ops: []int{u.firstOp, v.lastOp, v.firstOp, u.lastOp}, At: now,
	}
}

// lost is the conflict of a read whose value is not live: nobody wrote it, or it
// has been replaced for certain.
func (r *register) lost(op int, v Value, now history.Time) *Conflict {
	if !r.written.has(uint32(v)) {
		return &Conflict{Kind: Unwritten, Ops: []int{op}, At: now}
	}
	var u *cluster // who replaced it
	for _, z := range []*zones{&r.forward, &r.backward} {
		z.settle(r.settled) // a zone may have become a forward one since then
		if z.len() > 0 && z.at(0).first < r.settled && z.at(0).value != v &&
			(u == nil || z.at(0).last > u.last) {
			u = z.at(0)
		}
	}
	return opposed(cluster{first: beginning, firstOp: noOp, lastOp: op, value: v}, *u, now)
}

// settle forgets what no read can need that is still open or called later, when
// the earliest call of all these is m, which must not fall.
func (r *register) settle(m history.Time) {
	r.settled = m
	r.forward.settle(m)
	r.backward.settle(m)
	limit, behind, top := beginning, beginning, none
	if r.backward.len() > 0 && r.backward.at(0).first < m {
		behind = r.backward.at(0).last
		limit = behind
	}
	if r.forward.len() > 0 && r.forward.at(0).first < m {
		limit = max(limit, r.forward.at(0).last)
		top = r.live.get(r.forward.at(0).value)
	}
	if r.apart != none && r.apart != top {
		r.drop(r.apart)
		r.apart = none
	}
	for r.byFirst.len() > 0 && r.clusters[*r.byFirst.at(0)].first < limit {
		at := r.byFirst.pop()
		if at == top {
			r.apart = at // its own last call does not outdate it
		} else {
			r.drop(at)
		}
	}
	if r.apart != none && r.clusters[r.apart].first < behind {
		r.drop(r.apart)
		r.apart = none
	}
}
