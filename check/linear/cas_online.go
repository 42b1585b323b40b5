package linear

import (
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// CASMonitor is CAS for a history that is still happening, without refusals: as with a
// RegisterMonitor the verdict is certain at the earliest event that makes it so. What it
// remembers is a few hundred bytes for each operation that is open, or returned while the
// oldest open read or swap was waiting, for each unseen write or swap of unknown outcome,
// and one bit per value.
//
// The values that swaps replaced one for the other are a chain, and chains relate to each
// other like the clusters of a register, which is asked about them. A swap without answer
// is passed over until its value is seen; then it took effect, and so did those before it
// in its chain. Because that is noticed with the first operation that sees the value, a
// chain only grows at its end, by one value at a time, its first return never changes, and
// only its last call rises.
//
// Inside of a chain no value may have returned, that is somebody who saw it or the swap
// that made it, before an operation was called of a value before it. Only a read can
// complete such a conflict, and it is enough to look at the values behind its own that
// were there when it was called: nobody returned of those behind them before.
//
// A value is forgotten when every operation that is open, or called later, would be in
// conflict if it saw or replaced the value: its chain has been replaced, or a value behind
// it in the chain was returned before all these were called. An operation of unknown
// outcome does not count as open here. If it is found later that it took effect, then by
// an operation that does.
type CASMonitor struct {
	r      *register
	result Result
	// live finds the values that are not forgotten among values.
	live   table
	values []link
	free   []int32
	// heads are for each cluster of r the first value of its chain that is not forgotten.
	heads []int32
	// returned are values by their first return.
	returned fifo[Value]
	// calls are those of reads and swaps since the oldest open one; gone counts those
	// before.
	calls fifo[openCall]
	gone  int64
	path  []int32
}

// link is a value in its chain.
type link struct {
	value Value
	// op wrote the value, in place of old if it is a swap.
	op   int
	old  Value
	swap bool
	// chain is the first value of the chain, once it is known that the value was there.
	chain  Value
	seen   bool
	onPath bool
	next   int32
	// last is the last call of an operation that made or read the value, first the first
	// return, by firstOp.
	last, first history.Time
	firstOp     int
}

type openCall struct {
	call history.Time
	open bool
	// value is that of a swap.
	value Value
}

// NewCASMonitor returns a monitor of a register that holds Nil.
func NewCASMonitor() *CASMonitor {
	m := &CASMonitor{r: newRegister(), result: Result{Answer: Linearizable}}
	m.r.dropped = m.dropChain
	m.head(Nil, m.add(link{
		value: Nil, op: noOp, seen: true, next: none, last: beginning, first: beginning,
		firstOp: noOp,
	}))
	return m
}

// Result returns what is known by now. Once it is not Linearizable it stays, and
// events are passed over.
func (m *CASMonitor) Result() Result { return m.result }

func (m *CASMonitor) decided() bool { return m.result.Answer != Linearizable }

// CallWrite tells that op, a write of v, is called.
func (m *CASMonitor) CallWrite(op int, v Value, now history.Time) {
	switch {
	case m.decided():
	case !m.r.callWrite(op, v, now):
		m.result = notApplicable(NotUnique(op))
	default:
		m.head(v, m.add(link{
			value: v, op: op, chain: v, next: none, last: now, first: history.Never, firstOp: noOp,
		}))
	}
}

// ReturnWrite tells that op, a write of v, was acknowledged.
func (m *CASMonitor) ReturnWrite(op int, v Value, now history.Time) {
	if m.decided() {
		return
	}
	if at := m.live.get(v); at != none {
		l := &m.values[at]
		l.seen = true
		m.firstReturn(l, op, now)
		if c := m.r.live.get(v); m.r.clusters[c].first == history.Never {
			m.r.firstReturn(c, op, now)
		}
	}
	m.settle(now)
}

// FailWrite tells that the write of v certainly had no effect and will have none.
// A violation is certain if v was seen already.
func (m *CASMonitor) FailWrite(v Value, now history.Time) {
	if m.decided() {
		return
	}
	if !m.undone(v, now) {
		m.r.drop(m.r.live.get(v)) // and with it the value
	}
}

// CallSwap tells that op, which is to replace old by v, another one, is called. The ticket
// has to be given back.
func (m *CASMonitor) CallSwap(op int, old, v Value, now history.Time) ReadTicket {
	if m.decided() {
		return 0
	}
	if m.r.written.set(uint32(v)) {
		m.result = notApplicable(NotUnique(op))
		return 0
	}
	m.add(link{
		value: v, op: op, old: old, swap: true, next: none, last: now, first: history.Never,
		firstOp: noOp,
	})
	return m.call(openCall{call: now, open: true, value: v})
}

// ReturnSwap tells that op, the swap of the ticket, took effect.
func (m *CASMonitor) ReturnSwap(op int, t ReadTicket, now history.Time) {
	if m.decided() {
		return
	}
	c := m.opened(t)
	if at := m.live.get(c.value); at != none { // or it was seen long ago
		m.sees(at, op, c.call, now)
	}
	m.close(t, now)
}

// FailSwap tells that the swap of the ticket certainly had no effect and will have none. A
// violation is certain if its value was seen already.
func (m *CASMonitor) FailSwap(t ReadTicket, now history.Time) {
	if m.decided() {
		return
	}
	if v := m.opened(t).value; !m.undone(v, now) {
		m.forget(m.live.get(v))
	}
	m.close(t, now)
}

// DropSwap tells that nobody will ever know of the swap of the ticket.
func (m *CASMonitor) DropSwap(t ReadTicket, now history.Time) { m.close(t, now) }

// CallRead tells that a read is called. The ticket has to be given back.
func (m *CASMonitor) CallRead(now history.Time) ReadTicket {
	if m.decided() {
		return 0
	}
	return m.call(openCall{call: now, open: true})
}

// ReturnRead tells that op, the read of the ticket, returned v.
func (m *CASMonitor) ReturnRead(op int, t ReadTicket, v Value, now history.Time) {
	if m.decided() {
		return
	}
	if at := m.live.get(v); at != none {
		m.sees(at, op, m.opened(t).call, now)
	} else {
		m.result = m.missing(op, v, now)
	}
	m.close(t, now)
}

// DropRead tells that the read of the ticket will never return a value.
func (m *CASMonitor) DropRead(t ReadTicket, now history.Time) { m.close(t, now) }

func (m *CASMonitor) call(c openCall) ReadTicket {
	m.calls.push(c)
	return ReadTicket(m.gone + int64(m.calls.len()) - 1)
}

func (m *CASMonitor) opened(t ReadTicket) *openCall { return m.calls.at(int(int64(t) - m.gone)) }

func (m *CASMonitor) close(t ReadTicket, now history.Time) {
	if m.decided() {
		return
	}
	m.opened(t).open = false
	for m.calls.len() > 0 && !m.calls.at(0).open {
		m.calls.pop()
		m.gone++
	}
	m.settle(now)
}

// add takes a new value.
func (m *CASMonitor) add(l link) int32 {
	at := int32(len(m.values))
	if n := len(m.free); n > 0 {
		at = m.free[n-1]
		m.free = m.free[:n-1]
		m.values[at] = l
	} else {
		m.values = append(m.values, l)
	}
	m.live.put(l.value, at)
	return at
}

func (m *CASMonitor) forget(at int32) {
	m.live.remove(m.values[at].value)
	m.free = append(m.free, at)
}

// head makes a value the first of its chain.
func (m *CASMonitor) head(chain Value, at int32) {
	c := int(m.r.live.get(chain))
	for len(m.heads) <= c {
		m.heads = append(m.heads, none)
	}
	m.heads[c] = at
}

// dropChain forgets the values of a chain.
func (m *CASMonitor) dropChain(cluster int32) {
	for at := m.heads[cluster]; at != none; {
		next := m.values[at].next
		m.forget(at)
		at = next
	}
	m.heads[cluster] = none
}

// undone reports whether a value was seen that was not written after all.
func (m *CASMonitor) undone(v Value, now history.Time) bool {
	at := m.live.get(v)
	if at != none && !m.values[at].seen {
		m.r.written.clear(uint32(v))
		return false
	}
	op := noOp
	if at != none {
		if op = m.values[at].firstOp; op == noOp && m.values[at].next != none {
			op = m.values[m.values[at].next].op
		}
	}
	m.result = conflict(Unwritten, now, op)
	return true
}

// missing is the conflict of an operation that saw or replaced a value that is not there.
func (m *CASMonitor) missing(op int, v Value, now history.Time) Result {
	if m.r.written.has(uint32(v)) {
		return conflict(Replaced, now, op)
	}
	return conflict(Unwritten, now, op)
}

// sees takes an operation, called at a time, that returns and shows that a value was there.
func (m *CASMonitor) sees(at int32, op int, call, now history.Time) {
	last, lastOp, ok := m.attach(at, op, now)
	if !ok {
		return
	}
	l := &m.values[at]
	if call > l.last {
		for next := l.next; next != none; next = m.values[next].next {
			n := &m.values[next]
			if n.first < call {
				m.result = conflict(Inverted, now, n.firstOp, op)
				return
			}
			if n.last >= call {
				break
			}
		}
		l.last = call
	}
	m.firstReturn(l, op, now)
	if call > last {
		last, lastOp = call, op
	}
	cluster := m.r.live.get(l.chain)
	c := &m.r.clusters[cluster]
	raised := last > c.last
	if raised {
		c.last, c.lastOp = last, lastOp
	}
	if c.first == history.Never {
		m.r.firstReturn(cluster, op, now)
	} else if raised {
		if other := m.r.raise(c); other != nil {
			m.result = Result{Answer: Violation, Conflict: opposed(*other, *c, now)}
		}
	}
}

func (m *CASMonitor) firstReturn(l *link, op int, now history.Time) {
	if l.first == history.Never {
		l.first, l.firstOp = now, op
		m.returned.push(l.value)
	}
}

// attach puts a value that op shows to be there into its chain, behind those that must have
// been there, too. It returns the last call of those that are new in the chain.
func (m *CASMonitor) attach(
	at int32, op int, now history.Time,
) (last history.Time, lastOp int, ok bool) {
	path := m.path[:0]
	for l := &m.values[at]; !l.seen && l.swap; l = &m.values[at] {
		if l.onPath {
			m.result = conflict(Circle, now, m.circle(path, at)...)
			return 0, 0, false
		}
		l.onPath = true
		path = append(path, at)
		if at = m.live.get(l.old); at == none {
			m.result = m.missing(l.op, l.old, now)
			if c := m.result.Conflict; l.op != op && c.Kind == Unwritten {
				c.Kind = Unfounded
			}
			return 0, 0, false
		}
	}
	m.path = path
	last, lastOp = beginning, noOp
	m.values[at].seen = true
	for _, next := range slices.Backward(path) {
		before, l := &m.values[at], &m.values[next]
		if before.next != none {
			m.result = conflict(Twice, now, m.values[before.next].op, l.op)
			return 0, 0, false
		}
		before.next = next
		l.chain, l.seen, l.onPath = before.chain, true, false
		if l.last > last {
			last, lastOp = l.last, l.op
		}
		at = next
	}
	return last, lastOp, true
}

// circle are the swaps of a path from where it comes back to.
func (m *CASMonitor) circle(path []int32, at int32) []int {
	var ops []int
	for _, p := range slices.Backward(path) {
		ops = append(ops, m.values[p].op)
		if p == at {
			break
		}
	}
	return ops
}

// settle forgets what nobody can see or replace any more.
func (m *CASMonitor) settle(now history.Time) {
	if m.calls.len() > 0 {
		now = m.calls.at(0).call
	}
	m.r.settle(now)
	for m.returned.len() > 0 {
		at := m.live.get(*m.returned.at(0))
		if at == none {
			m.returned.pop() // its chain is gone, or it was behind another one
			continue
		}
		if m.values[at].first >= now {
			return
		}
		m.returned.pop()
		cluster := m.r.live.get(m.values[at].chain)
		for m.heads[cluster] != at {
			before := m.heads[cluster]
			m.heads[cluster] = m.values[before].next
			m.forget(before)
		}
	}
}
