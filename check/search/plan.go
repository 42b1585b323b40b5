package search

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// plan is a history made ready for a search.
type plan struct {
	spec *models.Spec
	ops  []Op
	// events are the calls and returns in time, a call before a return at the
	// same time: operation<<1, with the last bit set for a return.
	events []int32
	// class numbers the operations by what the model makes of them.
	class []uint32
	// slot is a number below width that no two operations open at the same time
	// share; one that may never have happened has none.
	slot  []uint16
	width int
	// spares are the classes of operations that may never have happened, spare
	// the class of an operation among them or -1.
	spares []spare
	spare  []int32
	// swaps is true when each change makes one token, all in one place, and takes
	// that of the one before away: then only the last one before an observation
	// matters.
	swaps bool
	// makes and sees are the tokens of an operation as numbers from 0, for a plan
	// with swaps; sees is -1 where there is none.
	makes, sees []int32
	tokens      int
	// unseen is, for a change that is possible in any state, the time after which
	// nobody can notice it; history.Never for other operations. For a plan with
	// swaps.
	unseen []history.Time
}

// spare is a class of operations that may never have happened.
type spare struct {
	class uint32
	// members are its operations by the time of their calls.
	members []int32
	// until is the end of the last operation that could notice one of them.
	until history.Time
}

func prepare(spec *models.Spec, ops []Op) *plan {
	p := &plan{spec: spec, ops: ops}
	p.class = make([]uint32, len(ops))
	number := spec.Classes()
	for i := range ops {
		p.class[i] = number(ops[i].In, ops[i].Out)
	}
	p.order()
	p.place()
	if len(p.spares) > 0 {
		p.expire()
	}
	if p.observe(); p.swaps {
		p.bury()
	}
	return p
}

// order fills events.
func (p *plan) order() {
	calls := make([]int32, 0, len(p.ops))
	returns := make([]int32, 0, len(p.ops))
	sorted := true
	for i := range p.ops {
		if o := &p.ops[i]; !o.optional() {
			returns = append(returns, int32(i))
		} else if o.Facts.Pure {
			continue // it cannot matter
		}
		calls = append(calls, int32(i))
		sorted = sorted && (i == 0 || p.ops[i-1].Call <= p.ops[i].Call)
	}
	if !sorted {
		slices.SortStableFunc(calls, func(a, b int32) int {
			return cmp.Compare(p.ops[a].Call, p.ops[b].Call)
		})
	}
	slices.SortStableFunc(returns, func(a, b int32) int {
		return cmp.Compare(p.ops[a].Return, p.ops[b].Return)
	})
	p.events = make([]int32, 0, len(calls)+len(returns))
	for len(calls) > 0 || len(returns) > 0 {
		if len(returns) == 0 || len(calls) > 0 &&
			p.ops[calls[0]].Call <= p.ops[returns[0]].Return {
			p.events = append(p.events, calls[0]<<1)
			calls = calls[1:]
		} else {
			p.events = append(p.events, returns[0]<<1|1)
			returns = returns[1:]
		}
	}
}

// place fills slot and spares.
func (p *plan) place() {
	p.slot = make([]uint16, len(p.ops))
	p.spare = make([]int32, len(p.ops))
	known := make(map[uint32]int32)
	free := make([]uint16, 0, 16)
	for _, e := range p.events {
		i := e >> 1
		switch {
		case e&1 != 0:
			free = append(free, p.slot[i])
		case p.ops[i].optional():
			k, found := known[p.class[i]]
			if !found {
				k = int32(len(p.spares))
				known[p.class[i]] = k
				p.spares = append(p.spares, spare{class: p.class[i]})
			}
			p.spare[i] = k
			p.spares[k].members = append(p.spares[k].members, i)
			continue
		case len(free) > 0:
			p.slot[i] = free[len(free)-1]
			free = free[:len(free)-1]
		default:
			p.slot[i] = uint16(min(p.width, 1<<16-1))
			p.width++
		}
		p.spare[i] = -1
	}
}

// expire fills in until when the spares may matter. Restricted to what is left at
// some moment, a legal order stays one without an operation whose tokens nobody in
// it sees; see package check on pruning. This fails when an answer says what the
// state is not, so all of them stay until the last such answer.
func (p *plan) expire() {
	seen := make(map[models.Token]history.Time)
	var denied history.Time = -1
	for i := range p.ops {
		o := &p.ops[i]
		if o.Facts.Denies {
			denied = max(denied, o.Return)
		}
		if !o.optional() {
			for _, t := range o.Facts.Sees {
				seen[t] = max(seen[t], o.Return)
			}
		}
	}
	for k := range p.spares {
		p.spares[k].until = denied
	}
	for news := true; news; {
		news = false
		for k := range p.spares {
			s := &p.spares[k]
			until := s.until
			for _, i := range s.members {
				until = max(until, p.noticed(&p.ops[i], seen))
			}
			if until == s.until {
				continue
			}
			s.until = until
			news = true
			for _, i := range s.members {
				for _, t := range p.ops[i].Facts.Sees {
					seen[t] = max(seen[t], until)
				}
			}
		}
	}
}

// noticed returns the end of the last operation that could notice o.
func (p *plan) noticed(o *Op, seen map[models.Token]history.Time) history.Time {
	if o.Facts.Pinned || len(o.Facts.Makes) == 0 {
		return history.Never
	}
	last := history.Time(-1)
	for _, t := range o.Facts.Makes {
		if at, found := seen[t]; found {
			last = max(last, at)
		}
	}
	return last
}

// observe finds out whether the plan has swaps, and numbers the tokens if so.
func (p *plan) observe() {
	var at models.Scalar
	first := true
	for i := range p.ops {
		f := p.ops[i].Facts
		if f.Pinned || f.InUnit || len(f.Sees) > 1 ||
			!f.Pure && (!f.Replaces || len(f.Makes) != 1) {
			return
		}
		for _, list := range [...][]models.Token{f.Makes, f.Sees} {
			for _, t := range list {
				if first {
					at, first = t.Place, false
				}
				if t.Place != at {
					return
				}
			}
		}
	}
	p.swaps = true
	both := make([]int32, 2*len(p.ops))
	p.makes, p.sees = both[:len(p.ops)], both[len(p.ops):]
	numbers := make(map[models.Scalar]int32)
	number := func(ts []models.Token) int32 {
		if len(ts) == 0 {
			return -1
		}
		n, found := numbers[ts[0].Value]
		if !found {
			n = int32(len(numbers))
			numbers[ts[0].Value] = n
		}
		return n
	}
	for i := range p.ops {
		p.makes[i] = number(p.ops[i].Facts.Makes)
		p.sees[i] = number(p.ops[i].Facts.Sees)
	}
	p.tokens = len(numbers)
}

// bury fills in unseen. A change that may follow any other but not any state could
// need what is to be buried, so beside one nothing is.
func (p *plan) bury() {
	p.unseen = make([]history.Time, len(p.ops))
	for i := range p.ops {
		p.unseen[i] = history.Never
	}
	for i := range p.ops {
		if f := p.ops[i].Facts; !f.Pure && f.Observes && len(f.Sees) == 0 {
			return
		}
	}
	last := make([]history.Time, p.tokens)
	var denied history.Time
	for i := range p.ops {
		o := &p.ops[i]
		until := o.Return
		if k := p.spare[i]; k >= 0 {
			until = p.spares[k].until
		}
		if t := p.sees[i]; t >= 0 {
			last[t] = max(last[t], until)
		}
		if o.Facts.Denies {
			denied = max(denied, until)
		}
	}
	for i := range p.ops {
		if f := p.ops[i].Facts; !f.Pure && !f.Observes && len(f.Sees) == 0 {
			p.unseen[i] = max(denied, last[p.makes[i]])
		}
	}
}

// ranks returns for each operation the first return, after its call, of one that saw
// a token which it made, history.Never if there is none. For those that make nothing,
// or nothing that lasts, it is their own.
func (p *plan) ranks() []history.Time {
	seen := make(map[models.Token][]history.Time) // ascending
	for _, e := range p.events {
		if o := &p.ops[e>>1]; e&1 != 0 {
			for _, t := range o.Facts.Sees {
				seen[t] = append(seen[t], o.Return)
			}
		}
	}
	ranks := make([]history.Time, len(p.ops))
	for i := range p.ops {
		o := &p.ops[i]
		first := history.Never
		for _, t := range o.Facts.Makes {
			at := seen[t]
			if n, _ := slices.BinarySearch(at, o.Call); n < len(at) {
				first = min(first, at[n])
			}
		}
		if len(o.Facts.Makes) == 0 || o.Facts.Replaces {
			first = o.Return
		}
		ranks[i] = first
	}
	return ranks
}
