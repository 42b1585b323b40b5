package search

import (
	"cmp"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// plan is a history made ready for a search. Its memory serves one history after the
// other.
type plan struct {
	spec   *models.Spec
	ops    []Op
	number models.Classes
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
	// noted are the tokens of all operations, as numbers from 0, for a plan with swaps
	// or spares: of each those that it makes and those that it sees, up to where
	// ends says.
	tokens numbering
	noted  []int32
	ends   []int32
	// unseen is, for a change that is possible in any state, the time after which
	// nobody can notice it; history.Never for other operations. For a plan with
	// swaps.
	unseen []history.Time

	calls, returns []int32
	known          []int32 // the spare of a class, or -1
	seen           []history.Time
}

// spare is a class of operations that may never have happened.
type spare struct {
	class uint32
	// members are its operations by the time of their calls.
	members []int32
	// until is the end of the last operation that could notice one of them.
	until history.Time
}

func newPlan(spec *models.Spec) *plan { return &plan{spec: spec, number: spec.Classes()} }

// prepare makes the plan one of ops.
func (p *plan) prepare(ops []Op) {
	p.ops = ops
	p.number.Reset()
	p.class = resized(p.class, len(ops))
	for i := range ops {
		p.class[i] = p.number.Number(ops[i].In, ops[i].Out)
	}
	p.order()
	p.place()
	p.swaps = p.swapping()
	if p.tokens.reset(); p.swaps || len(p.spares) > 0 {
		p.note()
	}
	if len(p.spares) > 0 {
		p.expire()
	}
	if p.swaps {
		p.bury()
	}
}

// resized returns a list of n elements, whatever they are, in the memory of s if it
// suffices.
func resized[T any](s []T, n int) []T {
	switch {
	case cap(s) >= n:
		return s[:n]
	case cap(s) > 0: // it will not be the last
		return make([]T, n, n+n/4)
	}
	return make([]T, n)
}

// filled is resized with a value.
func filled[T any](s []T, n int, v T) []T {
	s = resized(s, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// order fills events.
func (p *plan) order() {
	calls := slices.Grow(p.calls[:0], len(p.ops))
	returns := slices.Grow(p.returns[:0], len(p.ops))
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
	p.calls, p.returns = calls, returns
	p.events = slices.Grow(p.events[:0], len(calls)+len(returns))
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
	p.slot = resized(p.slot, len(p.ops))
	p.spare = resized(p.spare, len(p.ops))
	p.width, p.spares = 0, p.spares[:0]
	most := uint32(0)
	for _, c := range p.class {
		most = max(most, c)
	}
	p.known = filled(p.known, int(most)+1, -1)
	free := make([]uint16, 0, 16)
	for _, e := range p.events {
		i := e >> 1
		switch {
		case e&1 != 0:
			free = append(free, p.slot[i])
		case p.ops[i].optional():
			k := &p.known[p.class[i]]
			if *k < 0 {
				*k = p.newSpare(p.class[i])
			}
			p.spare[i] = *k
			s := &p.spares[*k]
			s.members = append(s.members, i)
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

// newSpare adds a class and returns its number.
func (p *plan) newSpare(class uint32) int32 {
	k := len(p.spares)
	if k < cap(p.spares) {
		p.spares = p.spares[:k+1]
		p.spares[k] = spare{class: class, members: p.spares[k].members[:0]}
	} else {
		p.spares = append(p.spares, spare{class: class})
	}
	return int32(k)
}

// expire fills in until when the spares may matter. Restricted to what is left at
// some moment, a legal order stays one without an operation whose tokens nobody in
// it sees; see package check on pruning. This fails when an answer says what the
// state is not, so all of them stay until the last such answer.
func (p *plan) expire() {
	p.seen = filled(p.seen, p.tokens.next, history.Time(-1))
	var denied history.Time = -1
	for i := range p.ops {
		o := &p.ops[i]
		if o.Facts.Denies {
			denied = max(denied, o.Return)
		}
		if !o.optional() {
			for _, t := range p.sees(int32(i)) {
				p.seen[t] = max(p.seen[t], o.Return)
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
				until = max(until, p.noticed(i))
			}
			if until == s.until {
				continue
			}
			s.until = until
			news = true
			for _, i := range s.members {
				for _, t := range p.sees(i) {
					p.seen[t] = max(p.seen[t], until)
				}
			}
		}
	}
}

// noticed returns the end of the last operation that could notice one.
func (p *plan) noticed(i int32) history.Time {
	made := p.makes(i)
	if p.ops[i].Facts.Pinned || len(made) == 0 {
		return history.Never
	}
	last := history.Time(-1)
	for _, t := range made {
		last = max(last, p.seen[t])
	}
	return last
}

// swapping reports whether the plan has swaps.
func (p *plan) swapping() bool {
	var at models.Scalar
	first := true
	for i := range p.ops {
		f := p.ops[i].Facts
		if f.Pinned || f.InUnit || len(f.Sees) > 1 ||
			!f.Pure && (!f.Replaces || len(f.Makes) != 1) {
			return false
		}
		for _, list := range [...][]models.Token{f.Makes, f.Sees} {
			for i := range list {
				if first {
					at, first = list[i].Place, false
				}
				if list[i].Place != at {
					return false
				}
			}
		}
	}
	return true
}

// note numbers the tokens.
func (p *plan) note() {
	p.noted = slices.Grow(p.noted[:0], len(p.ops))
	p.ends = resized(p.ends, 1+2*len(p.ops))
	p.ends[0] = 0
	for i := range p.ops {
		f := p.ops[i].Facts
		for j := range f.Makes {
			p.noted = append(p.noted, p.tokens.of(&f.Makes[j]))
		}
		p.ends[1+2*i] = int32(len(p.noted))
		for j := range f.Sees {
			p.noted = append(p.noted, p.tokens.of(&f.Sees[j]))
		}
		p.ends[2+2*i] = int32(len(p.noted))
	}
}

func (p *plan) makes(op int32) []int32 { return p.noted[p.ends[2*op]:p.ends[1+2*op]] }

func (p *plan) sees(op int32) []int32 { return p.noted[p.ends[1+2*op]:p.ends[2+2*op]] }

// bury fills in unseen. A change that may follow any other but not any state could
// need what is to be buried, so beside one nothing is.
func (p *plan) bury() {
	p.unseen = filled(p.unseen, len(p.ops), history.Never)
	for i := range p.ops {
		if f := p.ops[i].Facts; !f.Pure && f.Observes && len(f.Sees) == 0 {
			return
		}
	}
	p.seen = filled(p.seen, p.tokens.next, 0)
	var denied history.Time
	for i := range p.ops {
		o := &p.ops[i]
		until := o.Return
		if k := p.spare[i]; k >= 0 {
			until = p.spares[k].until
		}
		for _, t := range p.sees(int32(i)) {
			p.seen[t] = max(p.seen[t], until)
		}
		if o.Facts.Denies {
			denied = max(denied, until)
		}
	}
	for i := range p.ops {
		if f := p.ops[i].Facts; !f.Pure && !f.Observes && len(f.Sees) == 0 {
			p.unseen[i] = max(denied, p.seen[p.makes(int32(i))[0]])
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
