package search

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// depth is a search that goes depth first.
type depth[B bitset] struct {
	*machine[B]
	visited *antichain[B]
	// stack are the configurations that are still to be tried, each with the number
	// of events before it.
	stack []waiting[B]
	// deepest is where the farthest configuration stood, before a return.
	deepest []config[B]
	far     int
	next    []config[B]
	choices []choice
	// rank is for each operation when somebody had seen what it made: what is seen
	// first probably happened first.
	rank []history.Time
}

// choice is one of the configurations that follow.
type choice struct {
	at, happened int
	rank         history.Time
}

type waiting[B bitset] struct {
	config[B]
	at int32
}

func newDepth[B bitset](m *machine[B]) *depth[B] {
	d := &depth[B]{machine: m, visited: newAntichain[B](m.uses), far: -1, rank: m.ranks()}
	m.own = func() int64 { return d.visited.bytes() + int64(cap(d.stack))*32 }
	return d
}

func (d *depth[B]) run() Result {
	d.stack = append(d.stack, waiting[B]{config: d.start()})
	for len(d.stack) > 0 {
		top := len(d.stack) - 1
		w := d.stack[top]
		d.stack = d.stack[:top]
		d.seek(int(w.at))
		if d.walk(&w.config) {
			r := d.result(Legal)
			r.Order = d.order(&w.config)
			return r
		}
		if !d.visited.insert(&w.config, d.at, d.pure, false) {
			continue
		}
		d.farther(&w.config)
		d.look()
		d.next = d.follow(&w.config, d.next[:0])
		d.prefer(&w.config)
		if d.spent(1 + len(d.next)) {
			return d.end(Undecided)
		}
	}
	return d.end(Illegal)
}

// seek goes back to an event.
func (d *depth[B]) seek(at int) {
	for d.at > at {
		d.back()
	}
}

// walk passes all events that c allows, up to a return of what has not happened. It
// reports whether it came to the end.
func (d *depth[B]) walk(c *config[B]) bool {
	for d.at < len(d.events) {
		op, is := d.returns()
		if is {
			if !has(&c.done, d.slot[op]) {
				return false
			}
			drop(&c.done, d.slot[op])
			d.pass()
			continue
		}
		d.pass()
		if d.spare[op] >= 0 || !d.ops[op].Facts.Pure {
			continue
		}
		if _, ok := d.table.step(c.state, d.class[op], &d.ops[op]); ok {
			add(&c.done, d.slot[op])
			d.record(c, op, false)
		}
	}
	return true
}

// farther remembers some of the configurations that came farthest.
func (d *depth[B]) farther(c *config[B]) {
	if d.at > d.far {
		d.far = d.at
		d.deepest = d.deepest[:0]
	}
	if d.at == d.far && len(d.deepest) < stands {
		d.deepest = append(d.deepest, *c)
	}
}

// prefer puts what follows c on the stack: on top, and so tried first, what lets most
// of the open operations happen, and among equals the change that is seen first.
func (d *depth[B]) prefer(c *config[B]) {
	before := size(&c.done)
	d.choices = d.choices[:0]
	for i := range d.next {
		d.choices = append(d.choices, choice{
			at: i, happened: size(&d.next[i].done) - before, rank: d.rank[d.via[i]],
		})
	}
	slices.SortFunc(d.choices, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.happened, b.happened), -cmp.Compare(a.rank, b.rank),
			-cmp.Compare(a.at, b.at))
	})
	for _, o := range d.choices {
		d.stack = append(d.stack, waiting[B]{config: d.next[o.at], at: int32(d.at)})
	}
}

func (d *depth[B]) end(a Answer) Result {
	d.seek(max(0, d.far))
	for d.at < d.far {
		d.pass()
	}
	r := d.result(a)
	if a == Illegal && !d.ahead {
		op, _ := d.returns()
		r.Blocked = int(op)
	}
	for i := range d.deepest {
		r.Last = append(r.Last, d.stand(&d.deepest[i]))
	}
	return r
}
