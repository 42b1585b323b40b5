package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// ListIn is a call of a list: a read, or an element to append.
type ListIn struct {
	Read    bool
	Element Scalar
}

// ListOut is the answer of a read.
type ListOut struct {
	outcome outcome
	// whole is the list as a state would hold it.
	whole *ListState
}

// ListState is a list, as its last element and the list before it, so that an
// append shares everything with the state it came from and a comparison is a
// number nearly always. nil is the empty list.
type ListState struct {
	prev *ListState
	last Scalar
	n    int
	hash uint64
}

func (s *ListState) push(x Scalar) *ListState {
	next := &ListState{prev: s, last: x, n: 1}
	var h uint64
	if s != nil {
		next.n, h = s.n+1, s.hash
	}
	next.hash = mix(h*31 + x.Hash() + 1)
	return next
}

func (s *ListState) equal(o *ListState) bool {
	for s != o {
		if s == nil || o == nil || s.n != o.n || s.hash != o.hash || s.last != o.last {
			return false
		}
		s, o = s.prev, o.prev
	}
	return true
}

func (s *ListState) length() int {
	if s == nil {
		return 0
	}
	return s.n
}

// start returns the first n elements, all if there are fewer.
func (s *ListState) start(n int) *ListState {
	for s.length() > n {
		s = s.prev
	}
	return s
}

func (s *ListState) slice() []Scalar {
	var list []Scalar
	for ; s != nil; s = s.prev {
		list = append(list, s.last)
	}
	slices.Reverse(list)
	return list
}

// List is an append-only list, empty at first: append x, and read, which returns
// all of it in order.
func List() Model[*ListState, ListIn, ListOut] {
	return Model[*ListState, ListIn, ListOut]{
		Name:  "list",
		Doc:   "an append-only log: append x, read -> list",
		Fs:    []history.F{"append", "read"},
		Init:  func() *ListState { return nil },
		Parse: parseList,
		Apply: applyList,
		Equal: (*ListState).equal,
		Leads: func(s *ListState, in ListIn, out ListOut) bool {
			return !in.Read || out.outcome != done || out.whole.start(s.length()).equal(s)
		},
		Hash: func(s *ListState) uint64 {
			if s == nil {
				return 0
			}
			return s.hash
		},
		Describe: func(in ListIn, out ListOut) string {
			if in.Read {
				return answer("read()", showList(out.whole.slice()), out.outcome)
			}
			return answer("append("+in.Element.String()+")", "", out.outcome)
		},
		DescribeState: func(s *ListState) string { return showList(s.slice()) },
	}
}

func parseList(op history.Operation) (p Op[ListIn, ListOut], err error) {
	p.Out.outcome = outcomeOf(op)
	p.Facts.Ignored = op.Type == history.Fail
	switch op.F {
	case "append":
		if p.In.Element, err = NewScalar(op.In); err != nil {
			return p, fmt.Errorf("value: %w", err)
		}
		p.Facts.Makes = []Token{{Value: p.In.Element}}
	case "read":
		p.In.Read = true
		if op.Type == history.Fail {
			return p, nil
		}
		p.Facts.Pure = true
		if op.Type != history.OK {
			return p, nil
		}
		list, err := scalars(op.Out)
		if err != nil {
			return p, fmt.Errorf("result: %w", err)
		}
		for _, x := range list {
			p.Out.whole = p.Out.whole.push(x)
		}
		p.Facts.Observes = true
		p.Facts.Whole = true
		p.Facts.Sees = tokens(list)
	default:
		return p, unknownF([]history.F{"append", "read"})
	}
	return p, nil
}

func applyList(s *ListState, in ListIn, out ListOut) (*ListState, bool) {
	if in.Read {
		return s, out.outcome != done || s.equal(out.whole)
	}
	return s.push(in.Element), true
}

// TextIn is a call of a text: a read, or something to put or append.
type TextIn struct {
	op   textOp
	Text string
}

type textOp uint8

const (
	textGet textOp = iota
	textPut
	textAppend
)

// TextOut is the answer of a get.
type TextOut struct {
	outcome outcome
	Text    string
}

// Text is a string, empty at first, that is read, replaced or made longer: the
// key-value store that courses on distributed systems have students build.
func Text() Model[string, TextIn, TextOut] {
	return Model[string, TextIn, TextOut]{
		Name:  "text",
		Doc:   `a string, "" at first: get, put s, append s`,
		Fs:    []history.F{"get", "put", "append"},
		Init:  func() string { return "" },
		Parse: parseText,
		Apply: func(s string, in TextIn, out TextOut) (string, bool) {
			switch in.op {
			case textGet:
				return s, out.outcome != done || s == out.Text
			case textPut:
				return in.Text, true
			default:
				return s + in.Text, true
			}
		},
		Hash: func(s string) uint64 { return hashBody(scalarBody{s: s}) },
		Leads: func(s string, in TextIn, out TextOut) bool {
			return in.op != textGet || out.outcome != done || strings.HasPrefix(out.Text, s)
		},
		Describe: func(in TextIn, out TextOut) string {
			switch in.op {
			case textGet:
				return answer("get()", fmt.Sprintf("%q", shorten(out.Text)), out.outcome)
			case textPut:
				return answer(fmt.Sprintf("put(%q)", shorten(in.Text)), "", out.outcome)
			default:
				return answer(fmt.Sprintf("append(%q)", shorten(in.Text)), "", out.outcome)
			}
		},
		DescribeState: func(s string) string { return fmt.Sprintf("%q", shorten(s)) },
	}
}

func parseText(op history.Operation) (p Op[TextIn, TextOut], err error) {
	var ok bool
	p.Out.outcome = outcomeOf(op)
	switch op.F {
	case "get":
		p.In.op = textGet
	case "put":
		p.In.op = textPut
	case "append":
		p.In.op = textAppend
	default:
		return p, unknownF([]history.F{"get", "put", "append"})
	}
	if p.In.op != textGet {
		if p.In.Text, ok = op.In.AsString(); !ok {
			return p, fmt.Errorf("value: want a string, got %s", show(op.In))
		}
	}
	if op.Type == history.Fail {
		p.Facts.Ignored = true
		return p, nil
	}
	// Appended texts are inside what later reads return, where they cannot be
	// told apart, so every change is pinned.
	p.Facts.Pure = p.In.op == textGet
	p.Facts.Pinned = !p.Facts.Pure
	p.Facts.Resets = p.In.op == textPut
	if p.Facts.Pure && op.Type == history.OK {
		if p.Out.Text, ok = op.Out.AsString(); !ok && !op.Out.IsNil() {
			return p, fmt.Errorf("result: want a string, got %s", show(op.Out))
		}
		p.Facts.Observes = true
	}
	return p, nil
}

// shorten keeps both ends of a long text.
func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most/2]+"…"+s[len(s)-most/2:], "")
}
