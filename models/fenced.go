package models

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// FencedState is a value with the greatest token that it was written with.
type FencedState struct {
	Token int64
	// Pair is [token, value] as one, nil before the first write.
	Pair Scalar
}

// FencedIn is a call of a fenced register: a write of Pair, or a read.
type FencedIn struct {
	Write bool
	Token int64
	Pair  Scalar
}

// FencedOut is the answer: the pair that a read returned.
type FencedOut struct {
	outcome outcome
	Pair    Scalar
}

// FencedRegister is a register that is written with fencing tokens: a write takes
// effect unless a greater token has been used before. Before the first write a read
// returns nil, or some token with nil. Refusals tell nothing, for a write may be
// refused for other reasons. Operations on the lock that gives out the
// tokens are passed over.
func FencedRegister() Model[FencedState, FencedIn, FencedOut] {
	return Model[FencedState, FencedIn, FencedOut]{
		Name:  "fenced-register",
		Doc:   "a value with a token: write [token, value] (tokens never fall), read -> [token, value]",
		Fs:    []history.F{"read", "write", "acquire", "renew", "release"},
		Init:  func() FencedState { return FencedState{} },
		Parse: parseFenced,
		Apply: func(s FencedState, in FencedIn, out FencedOut) (FencedState, bool) {
			switch {
			case !in.Write:
				return s, out.outcome != done || s.Pair == out.Pair
			case !s.Pair.IsNil() && in.Token < s.Token:
				return s, out.outcome != done
			default:
				return FencedState{Token: in.Token, Pair: in.Pair}, true
			}
		},
		Hash: func(s FencedState) uint64 { return s.Pair.Hash() },
		Describe: func(in FencedIn, out FencedOut) string {
			if in.Write {
				return answer("write("+in.Pair.String()+")", "", out.outcome)
			}
			return answer("read()", out.Pair.String(), out.outcome)
		},
		DescribeState: func(s FencedState) string { return s.Pair.String() },
	}
}

func parseFenced(op history.Operation) (p Op[FencedIn, FencedOut], err error) {
	p.Out.outcome = outcomeOf(op)
	switch op.F {
	case "acquire", "renew", "release":
		p.Facts.Ignored = true
		return p, nil
	case "read":
		p.Facts.Ignored = op.Type == history.Fail
		p.Facts.Pure = !p.Facts.Ignored
		if op.Type != history.OK {
			return p, nil
		}
		out := op.Out
		if out.Kind() == history.KindList && out.Len() == 2 && out.At(1).IsNil() {
			out = history.Nil() // nothing was written yet, whatever the token
		}
		if p.Out.Pair, err = NewScalar(out); err != nil {
			return p, fmt.Errorf("result: %w", err)
		}
		p.Facts.Observes = true
		p.Facts.Sees = []Token{{Value: p.Out.Pair}}
		return p, nil
	case "write":
	default:
		return p, unknownF([]history.F{"read", "write", "acquire", "renew", "release"})
	}
	ok := op.In.Kind() == history.KindList && op.In.Len() == 2
	if ok {
		p.In.Token, ok = op.In.At(0).AsInt()
	}
	if !ok {
		return p, fmt.Errorf("value: want [token, value], got %s", show(op.In))
	}
	if p.In.Pair, err = NewScalar(op.In); err != nil {
		return p, fmt.Errorf("value: %w", err)
	}
	p.In.Write = true
	p.Facts.Makes = []Token{{Value: p.In.Pair}}
	if p.Facts.Ignored = op.Type == history.Fail; !p.Facts.Ignored {
		p.Facts.Replaces = true
		p.Facts.Observes = op.Type == history.OK
	}
	return p, nil
}
