package cache

import (
	"cmp"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// point orders what a server does with a key: by its term, then by how many writes it
// has begun.
type point struct{ term, gen uint64 }

func (p point) less(o point) bool {
	return cmp.Or(cmp.Compare(p.term, o.term), cmp.Compare(p.gen, o.gen)) < 0
}

// copied is a copy of a value.
type copied struct {
	value string
	as    point
	end   protocol.Time
}

// asked is a request for a copy that is under way.
type asked struct {
	token uint64
	sent  protocol.Time
}

// holder is a node's copies.
type holder struct {
	copies map[string]copied
	// floor tells, per key, below which point nothing is accepted any more.
	floor  map[string]point
	asked  map[string]asked
	tokens uint64
}

func newHolder() holder {
	return holder{copies: map[string]copied{}, floor: map[string]point{}, asked: map[string]asked{}}
}

// read returns a value that may be relied on now.
func (h *holder) read(key string, now protocol.Time) (string, bool) {
	c, there := h.copies[key]
	return c.value, there && now < c.end
}

func (h *holder) fresh(now protocol.Time) int {
	n := 0
	for _, c := range h.copies {
		if now < c.end {
			n++
		}
	}
	return n
}

// request asks the server for a copy. Each request has a token of its own, and the
// lease is counted from when it was sent.
func (m *Machine) request(key string) {
	h := &m.holder
	if a, there := h.asked[key]; there && m.now-a.sent < askAgain {
		return
	}
	h.tokens++
	a := asked{token: uint64(m.epoch)<<32 + h.tokens, sent: m.now}
	h.asked[key] = a
	m.send(m.server, message{Kind: kindGet, Key: key, Token: a.token})
}

// onGrant takes a copy, unless an invalidation has overtaken it.
func (m *Machine) onGrant(x *message) {
	h := &m.holder
	a, there := h.asked[x.Key]
	if !there || a.token != x.Token {
		return // a copy of a message, or given up
	}
	delete(h.asked, x.Key)
	as := point{x.Term, x.Gen}
	if as.less(h.floor[x.Key]) {
		return
	}
	h.copies[x.Key] = copied{value: x.Value, as: as, end: a.sent + m.terms.Held()}
	for n := m.low; n < m.nextN; n++ {
		if w := m.waiters[n]; w != nil && w.req.F == "read" && w.req.Key == x.Key {
			m.pursue(n)
		}
	}
}

// onInvalidate drops a copy, and remembers that nothing older may come.
func (m *Machine) onInvalidate(from protocol.NodeID, x *message) {
	h, as := &m.holder, point{x.Term, x.Gen}
	if c, there := h.copies[x.Key]; there && c.as.less(as) {
		delete(h.copies, x.Key)
	}
	if h.floor[x.Key].less(as) && !m.bugs.Has(bug.CacheInvalidateOvertakesGrant) {
		// Planted otherwise: the invalidation is answered and forgotten.
		h.floor[x.Key] = as
	}
	m.send(from, message{Kind: kindAck, Key: x.Key, Term: x.Term, Gen: x.Gen})
}
