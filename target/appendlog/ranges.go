package appendlog

import "slices"

// span is the numbers from From to To, both included.
type span struct {
	_        struct{} `cbor:",toarray"`
	From, To uint64
}

// ranges is a set of numbers from 1 on, as spans in rising order with gaps
// between them. The zero value is empty.
type ranges []span

// find returns the index of the first span that ends at n or later.
func (r ranges) find(n uint64) int {
	i, _ := slices.BinarySearchFunc(r, n, func(s span, n uint64) int {
		if s.To < n {
			return -1
		}
		return 1
	})
	return i
}

func (r ranges) has(n uint64) bool {
	i := r.find(n)
	return i < len(r) && r[i].From <= n
}

// with returns the set with n in it. It may change the receiver.
func (r ranges) with(n uint64) ranges {
	i := r.find(n)
	switch {
	case i < len(r) && r[i].From <= n:
		return r
	case i > 0 && r[i-1].To+1 == n:
		r[i-1].To = n
		if i < len(r) && r[i].From == n+1 {
			r[i-1].To = r[i].To
			return slices.Delete(r, i, i+1)
		}
		return r
	case i < len(r) && r[i].From == n+1:
		r[i].From = n
		return r
	default:
		return slices.Insert(r, i, span{From: n, To: n})
	}
}

// without returns the numbers of r that are not in o.
func (r ranges) without(o ranges) ranges {
	var out ranges
	for _, s := range r {
		for i := o.find(s.From); i < len(o) && o[i].From <= s.To && s.From <= s.To; i++ {
			if o[i].From > s.From {
				out = append(out, span{From: s.From, To: o[i].From - 1})
			}
			s.From = o[i].To + 1
		}
		if s.From <= s.To {
			out = append(out, s)
		}
	}
	return out
}

// prefix is the greatest n such that all numbers from 1 to n are in the set.
func (r ranges) prefix() uint64 {
	if len(r) == 0 || r[0].From != 1 {
		return 0
	}
	return r[0].To
}

// last is the greatest number in the set, 0 if it is empty.
func (r ranges) last() uint64 {
	if len(r) == 0 {
		return 0
	}
	return r[len(r)-1].To
}

// count is how many numbers are in the set.
func (r ranges) count() uint64 {
	n := uint64(0)
	for _, s := range r {
		n += s.To - s.From + 1
	}
	return n
}

// valid reports whether r is as ranges are made, and not from a faulty sender.
func (r ranges) valid() bool {
	for i, s := range r {
		if s.From == 0 || s.To < s.From || s.To == ^uint64(0) || i > 0 && s.From <= r[i-1].To+1 {
			return false
		}
	}
	return true
}
