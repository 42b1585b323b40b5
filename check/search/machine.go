package search

import (
	"cmp"
	"context"
	"math/bits"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// config is what a search remembers between two events.
type config[B bitset] struct {
	// done are the slots of the open operations that have happened.
	done  B
	state uint32
	used  uint32 // number of a multiset in uses
	trail uint32 // number of what happened last, 0 nothing or not recorded
}

// open is an operation that was called and has not returned.
type open[B bitset] struct {
	op    int32
	class uint32
	slot  uint16
	// before are the open ones of its class that return earlier.
	before B
}

// machine knows which operations are open at an event and how configurations
// follow each other.
type machine[B bitset] struct {
	*plan
	table *table
	uses  *uses

	// at is the number of events that have passed.
	at int
	// bySlot are the open operations, pure the slots of those that change nothing,
	// called the slots of all.
	bySlot       []int32
	pure, called B
	// ready counts for each spare how many were called.
	ready []uint32
	// tried is the number of events that had passed when the following was made:
	// the next return, open changes by their returns, open pure operations, spares worth a try.
	tried   int
	now     history.Time
	changes []open[B]
	reads   []open[B]
	spares  []uint32
	// buried are open changes, possible in any state, that nobody can notice from
	// now on. They happen just before another such change.
	buried []open[B]

	// goals are what has to stay possible; ahead is true once a configuration was
	// given up because one was not.
	goals []goal[B]
	ahead bool

	trail []happened
	// via are the operations by which the last call of follow came to its results.
	via []int32

	ctx    context.Context
	budget Budget
	steps  int64
	cause  Cause
	// own returns what the engine holds beside what is here.
	own func() int64
	// noticed has the tokens that somebody open waits for.
	noticed []bool
}

// happened is one operation of an order and what came before it.
type happened struct {
	before uint32
	op     int32
	// spare is true for an op that stands for any one of its class.
	spare bool
}

// begin makes the machine ready for a plan. It keeps the memory that it has.
func (m *machine[B]) begin(ctx context.Context, p *plan, t *table, u *uses, b Budget) {
	t.reset()
	u.reset()
	*m = machine[B]{
		plan: p, table: t, uses: u, tried: -1, ctx: ctx, budget: b,
		bySlot: resized(m.bySlot, p.width), ready: filled(m.ready, len(p.spares), 0),
		noticed: filled(m.noticed, p.tokens.next, false),
		changes: m.changes[:0], reads: m.reads[:0], spares: m.spares[:0], buried: m.buried[:0],
		goals: m.goals[:0], via: m.via[:0],
	}
	if b.Order {
		m.trail = make([]happened, 1)
	}
}

// start returns the first configuration.
func (m *machine[B]) start() config[B] {
	return config[B]{state: m.table.intern(m.spec.Porcupine.Init())}
}

// pass goes over the next event.
func (m *machine[B]) pass() {
	e := m.events[m.at]
	m.at++
	m.shift(e>>1, e&1 == 0)
}

// back undoes pass.
func (m *machine[B]) back() {
	m.at--
	e := m.events[m.at]
	m.shift(e>>1, e&1 != 0)
}

// shift opens or closes an operation.
func (m *machine[B]) shift(i int32, opens bool) {
	if k := m.spare[i]; k >= 0 {
		if opens {
			m.ready[k]++
		} else {
			m.ready[k]--
		}
		return
	}
	s := m.slot[i]
	if !opens {
		drop(&m.called, s)
		drop(&m.pure, s)
		return
	}
	m.bySlot[s] = i
	add(&m.called, s)
	if m.ops[i].Facts.Pure {
		add(&m.pure, s)
	}
}

// look fills in what is open.
func (m *machine[B]) look() {
	if m.tried == m.at {
		return
	}
	m.tried = m.at
	m.changes, m.reads = m.changes[:0], m.reads[:0]
	for w := range len(m.called) {
		for left := m.called[w]; left != 0; left &= left - 1 {
			s := uint16(w<<6 + bits.TrailingZeros64(left))
			i := m.bySlot[s]
			o := open[B]{op: i, class: m.class[i], slot: s}
			if m.ops[i].Facts.Pure {
				m.reads = append(m.reads, o)
			} else {
				m.changes = append(m.changes, o)
			}
		}
	}
	slices.SortFunc(m.changes, func(a, b open[B]) int {
		return cmp.Or(cmp.Compare(m.ops[a.op].Return, m.ops[b.op].Return), cmp.Compare(a.op, b.op))
	})
	for i := range m.changes {
		for j := range i {
			if m.changes[i].class == m.changes[j].class {
				add(&m.changes[i].before, m.changes[j].slot)
			}
		}
	}
	m.now = m.ops[m.events[m.at]>>1].Return // the engines stop before returns only
	m.buried = m.buried[:0]
	for i := 0; m.swaps && i < len(m.changes); i++ {
		if m.unseen[m.changes[i].op] < m.now {
			m.buried = append(m.buried, m.changes[i])
		}
	}
	m.lookForSpares()
	m.lookAhead()
}

// lookForSpares finds those that were called and that somebody may notice from now on.
// With swaps it has to be somebody who is open: if nobody is, then what happens up to
// the next return goes as well without the spare, and then it can still happen.
func (m *machine[B]) lookForSpares() {
	m.spares = m.spares[:0]
	for k := range m.plan.spares {
		if m.ready[k] > 0 && m.plan.spares[k].until >= m.now {
			m.spares = append(m.spares, uint32(k))
		}
	}
	if !m.swaps || len(m.spares) == 0 {
		return
	}
	clear(m.noticed)
	for _, list := range [][]open[B]{m.changes, m.reads} {
		for i := range list {
			op := list[i].op
			if m.ops[op].Facts.Denies {
				return
			}
			for _, t := range m.sees(op) {
				m.noticed[t] = true
			}
		}
	}
	wanted := m.spares[:0]
	for news := true; news; {
		news = false
		for i := len(wanted); i < len(m.spares); i++ {
			k := m.spares[i]
			op := m.plan.spares[k].members[0]
			if !m.noticed[m.makes(op)[0]] {
				continue
			}
			for _, t := range m.sees(op) {
				m.noticed[t] = true
			}
			m.spares[i], m.spares[len(wanted)] = m.spares[len(wanted)], k
			wanted = append(wanted, k)
			news = true
		}
	}
	m.spares = wanted
}

// absorb lets open pure operations happen.
func (m *machine[B]) absorb(c *config[B]) {
	for i := range m.reads {
		r := &m.reads[i]
		if has(&c.done, r.slot) {
			continue
		}
		if _, ok := m.table.step(c.state, r.class, &m.ops[r.op]); ok {
			add(&c.done, r.slot)
			m.record(c, r.op, false)
		}
	}
}

// follow appends to list the configurations that follow c by one change.
func (m *machine[B]) follow(c *config[B], list []config[B]) []config[B] {
	m.via = m.via[:0]
	for i := range m.changes {
		y := &m.changes[i]
		if has(&c.done, y.slot) || !within(&y.before, &c.done) {
			continue
		}
		overwrites := m.swaps && m.unseen[y.op] != history.Never
		if overwrites && m.unseen[y.op] < m.now && y.op != m.events[m.at]>>1 {
			continue // only just before another
		}
		next, ok := m.table.step(c.state, y.class, &m.ops[y.op])
		if !ok {
			continue
		}
		n := *c
		if overwrites {
			m.bury(&n, y.op)
		}
		n.state = next
		add(&n.done, y.slot)
		m.record(&n, y.op, false)
		m.absorb(&n)
		if m.lost(&n) {
			continue
		}
		list = append(list, n)
		m.via = append(m.via, y.op)
	}
	for _, k := range m.spares {
		s := &m.plan.spares[k]
		op := s.members[0]
		next, ok := m.table.step(c.state, s.class, &m.ops[op])
		if !ok || m.uses.count(c.used, k) >= m.ready[k] {
			continue
		}
		n := *c
		if m.swaps && m.unseen[op] != history.Never {
			m.bury(&n, op)
		}
		if next == c.state && n.done == c.done {
			continue // neither changes the state nor hides that others did
		}
		n.state = next
		n.used = m.uses.with(c.used, k)
		m.record(&n, op, true)
		m.absorb(&n)
		if m.lost(&n) {
			continue
		}
		list = append(list, n)
		m.via = append(m.via, op)
	}
	return list
}

// bury lets all that nobody notices happen before a change.
func (m *machine[B]) bury(c *config[B], before int32) {
	for i := range m.buried {
		b := &m.buried[i]
		if b.op != before && !has(&c.done, b.slot) {
			add(&c.done, b.slot)
			m.record(c, b.op, false)
		}
	}
}

func (m *machine[B]) record(c *config[B], op int32, spare bool) {
	if m.trail != nil {
		m.trail = append(m.trail, happened{before: c.trail, op: op, spare: spare})
		c.trail = uint32(len(m.trail) - 1)
	}
}

// order returns what happened on the way to a configuration. The operations of a
// spare happen in the order of their calls.
func (m *machine[B]) order(c *config[B]) []int {
	if m.trail == nil {
		return nil
	}
	list := []int{}
	taken := make(map[int32]int)
	for t := c.trail; t != 0; t = m.trail[t].before {
		h := &m.trail[t]
		list = append(list, int(h.op))
		if h.spare {
			list[len(list)-1] = ^int(m.spare[h.op])
		}
	}
	slices.Reverse(list)
	for i, op := range list {
		if op < 0 {
			k := int32(^op)
			list[i] = int(m.plan.spares[k].members[taken[k]])
			taken[k]++
		}
	}
	return list
}

func (m *machine[B]) stand(c *config[B]) Stand {
	return Stand{State: m.table.states[c.state], Order: m.order(c)}
}

// spent counts steps and reports whether the search has to end.
func (m *machine[B]) spent(steps int) bool {
	before := m.steps
	m.steps += int64(steps)
	if m.budget.Steps > 0 && m.steps > m.budget.Steps {
		m.cause = Steps
		return true
	}
	const period = 1 << 10
	if before/period == m.steps/period && before > 0 {
		return false
	}
	held := m.bytes()
	if m.budget.Held != nil {
		m.budget.Held.Store(held)
	}
	switch {
	case m.ctx.Err() != nil:
		m.cause = Time
	case m.budget.Memory > 0 && held > m.budget.Memory:
		m.cause = Memory
	}
	return m.cause != None
}

func (m *machine[B]) bytes() int64 {
	n := m.table.bytes() + m.uses.bytes() + 12*int64(cap(m.trail))
	if m.own != nil {
		n += m.own()
	}
	return n
}

// result is that of a search that ends here.
func (m *machine[B]) result(a Answer) Result {
	r := Result{Answer: a, Cause: m.cause, Steps: m.steps, Blocked: -1}
	for _, e := range m.events[:m.at] {
		r.Passed += int(e & 1)
	}
	return r
}

// returns reports whether the next event is a return, and of what.
func (m *machine[B]) returns() (op int32, is bool) {
	e := m.events[m.at]
	return e >> 1, e&1 != 0
}
