package models

import (
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

type setOp uint8

const (
	setAdd setOp = iota
	setRemove
	setContains
	setRead
)

// SetIn is a call of a set; a read has no element.
type SetIn struct {
	op      setOp
	Element Scalar
}

// SetOut is the answer: what a read returned, sorted, and what contains returned.
type SetOut struct {
	outcome  outcome
	Elements []Scalar
	Contains bool
}

// SetState are the elements, sorted.
type SetState []Scalar

// Set is empty at first. Adding what it contains and removing what it does not
// contain change nothing. A read returns all elements, in any order.
func Set() Model[SetState, SetIn, SetOut] {
	return Model[SetState, SetIn, SetOut]{
		Name:  "set",
		Doc:   "a set: add x, remove x, contains x -> bool, read -> list",
		Fs:    []history.F{"add", "remove", "contains", "read"},
		Init:  func() SetState { return nil },
		Parse: parseSet,
		Apply: applySet,
		Equal: func(a, b SetState) bool { return slices.Equal(a, b) },
		Hash: func(s SetState) (h uint64) {
			for _, e := range s {
				h += e.Hash()
			}
			return h
		},
		Leads: func(s SetState, in SetIn, out SetOut) bool {
			return in.op != setRead || out.outcome != done || containsAll(out.Elements, s)
		},
		Class: func(in SetIn, out SetOut) any {
			if in.op == setRead {
				return nil
			}
			return setClass{in: in, outcome: out.outcome, contains: out.Contains}
		},
		Describe:      describeSet,
		DescribeState: func(s SetState) string { return showList(s) },
	}
}

// containsAll reports whether part is in whole; both are sorted.
func containsAll(whole, part []Scalar) bool {
	at := 0
	for _, e := range part {
		for at < len(whole) && whole[at].Compare(e) < 0 {
			at++
		}
		if at == len(whole) || whole[at] != e {
			return false
		}
	}
	return true
}

// setClass is all that matters of an operation on one element.
type setClass struct {
	in       SetIn
	outcome  outcome
	contains bool
}

func parseSet(op history.Operation) (p Op[SetIn, SetOut], err error) {
	p.Out.outcome = outcomeOf(op)
	switch op.F {
	case "add":
		p.In.op = setAdd
	case "remove":
		p.In.op = setRemove
	case "contains":
		p.In.op = setContains
	case "read":
		p.In.op = setRead
	default:
		return p, unknownF([]history.F{"add", "remove", "contains", "read"})
	}
	if p.In.op != setRead {
		if p.In.Element, err = NewScalar(op.In); err != nil {
			return p, fmt.Errorf("value: %w", err)
		}
	}
	if op.Type == history.Fail {
		p.Facts.Ignored = true
		if p.In.op == setAdd {
			p.Facts.Makes = []Token{{Value: p.In.Element}}
		}
		return p, nil
	}
	return p, setFacts(op, &p)
}

func setFacts(op history.Operation, p *Op[SetIn, SetOut]) (err error) {
	t := Token{Value: p.In.Element}
	switch p.In.op {
	case setAdd:
		p.Facts.Makes = []Token{t}
	case setRemove:
		// Only together with every other mention of the element could it be
		// taken out: a read that lacks the element depends on it.
		p.Facts.Pinned = true
		p.Facts.Resets = true
	case setContains:
		p.Facts.Pure = true
		if op.Type != history.OK {
			return nil
		}
		b, ok := op.Out.AsBool()
		if !ok {
			return fmt.Errorf("result: want true or false, got %s", show(op.Out))
		}
		p.Out.Contains = b
		p.Facts.Observes = true
		if b {
			p.Facts.Sees = []Token{t}
		}
	case setRead:
		p.Facts.Pure = true
		if op.Type != history.OK {
			return nil
		}
		list, err := scalars(op.Out)
		if err != nil {
			return fmt.Errorf("result: %w", err)
		}
		p.Out.Elements = sortedSet(list)
		p.Facts.Observes = true
		p.Facts.Whole = true
		p.Facts.Sees = tokens(p.Out.Elements)
	}
	return nil
}

func applySet(s SetState, in SetIn, out SetOut) (SetState, bool) {
	if in.op == setRead {
		return s, out.outcome != done || slices.Equal(s, out.Elements)
	}
	at, found := slices.BinarySearchFunc(s, in.Element, Scalar.Compare)
	switch in.op {
	case setContains:
		return s, out.outcome != done || found == out.Contains
	case setAdd:
		if !found {
			s = slices.Insert(slices.Clip(s), at, in.Element)
		}
	case setRemove:
		if found {
			s = slices.Concat(s[:at], s[at+1:])
		}
	}
	return s, true
}

func describeSet(in SetIn, out SetOut) string {
	switch in.op {
	case setAdd:
		return answer("add("+in.Element.String()+")", "", out.outcome)
	case setRemove:
		return answer("remove("+in.Element.String()+")", "", out.outcome)
	case setContains:
		return answer("contains("+in.Element.String()+")",
			fmt.Sprint(out.Contains), out.outcome)
	default:
		return answer("read()", showList(out.Elements), out.outcome)
	}
}
