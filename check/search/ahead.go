package search

import "github.com/ordeal-dev/ordeal/models"

// A search looks ahead where the model knows states that lead nowhere: the next
// operations that change nothing and have to happen, here called goals, must stay
// possible. A change that resets the state makes that unknown, so a goal only counts for
// configurations that no such change can come after, before the goal.

// goal is an operation that has to happen.
type goal[B bitset] struct {
	op int32
	// slot is its own, if it was called.
	slot   uint16
	called bool
	// resets are the open changes that have to have happened.
	resets B
}

const (
	goalsMost   = 3
	eventsAhead = 128
)

// resets reports whether an operation may lead anywhere.
func resets(f *models.Facts) bool { return f.Resets && !f.Pure }

// lookAhead fills in goals.
func (m *machine[B]) lookAhead() {
	m.goals = m.goals[:0]
	if m.spec.Leads == nil {
		return
	}
	for k := range m.plan.spares {
		if m.ready[k] > 0 && resets(m.ops[m.plan.spares[k].members[0]].Facts) {
			return
		}
	}
	var open B
	for i := range m.changes {
		if resets(m.ops[m.changes[i].op].Facts) {
			add(&open, m.changes[i].slot)
		}
	}
	for at := m.at; at < min(len(m.events), m.at+eventsAhead); at++ {
		op, returns := m.events[at]>>1, m.events[at]&1 != 0
		f := m.ops[op].Facts
		switch {
		case !returns && resets(f):
			return
		case returns && f.Pure && f.Observes:
			s := m.slot[op]
			m.goals = append(m.goals, goal[B]{
				op: op, slot: s, called: has(&m.called, s) && m.bySlot[s] == op, resets: open,
			})
			if len(m.goals) == goalsMost {
				return
			}
		}
	}
}

// lost reports whether some goal is out of reach.
func (m *machine[B]) lost(c *config[B]) bool {
	for i := range m.goals {
		g := &m.goals[i]
		if g.called && has(&c.done, g.slot) || !within(&g.resets, &c.done) {
			continue
		}
		o := &m.ops[g.op]
		if !m.spec.Leads(m.table.states[c.state], o.In, o.Out) {
			m.ahead = true
			return true
		}
	}
	return false
}
