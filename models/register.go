package models

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

type registerOp uint8

const (
	registerRead registerOp = iota
	registerWrite
	registerCAS
)

// RegisterIn is a call of a register. Old is used by cas, New by write and cas.
type RegisterIn struct {
	op       registerOp
	Old, New Scalar
}

// RegisterOut is the answer: the value that a read returned.
type RegisterOut struct {
	outcome outcome
	Value   Scalar
}

// Register holds one value, nil at first: read and write.
func Register() Model[Scalar, RegisterIn, RegisterOut] {
	m := CASRegister()
	m.Name = "register"
	m.Doc = "one value, nil at first: read, write"
	m.Fs = []history.F{"read", "write"}
	parse := m.Parse
	fs := m.Fs
	m.Parse = func(op history.Operation) (Op[RegisterIn, RegisterOut], error) {
		if op.F == "cas" {
			return Op[RegisterIn, RegisterOut]{}, unknownF(fs)
		}
		return parse(op)
	}
	return m
}

// CASRegister is a Register with compare-and-set: cas [old, new] takes effect when
// the register holds old, and is refused otherwise.
func CASRegister() Model[Scalar, RegisterIn, RegisterOut] {
	fs := []history.F{"read", "write", "cas"}
	return Model[Scalar, RegisterIn, RegisterOut]{
		Name: "cas-register",
		Doc:  "one value, nil at first: read, write, cas [old, new]",
		Fs:   fs,
		Init: func() Scalar { return Scalar{} },
		Parse: func(op history.Operation) (Op[RegisterIn, RegisterOut], error) {
			return parseRegister(op, fs)
		},
		Apply:         applyRegister,
		Digest:        digestRegister,
		Hash:          Scalar.Hash,
		Describe:      describeRegister,
		DescribeState: Scalar.String,
	}
}

func parseRegister(
	op history.Operation, fs []history.F,
) (p Op[RegisterIn, RegisterOut], err error) {
	p.Out.outcome = outcomeOf(op)
	switch op.F {
	case "read":
		p.In.op = registerRead
		if op.Type == history.Fail {
			p.Facts.Ignored = true
			return p, nil
		}
		p.Facts.Pure = true
		if op.Type == history.OK {
			if p.Out.Value, err = NewScalar(op.Out); err != nil {
				return p, fmt.Errorf("result: %w", err)
			}
			p.Facts.Observes = true
			p.Facts.Sees = []Token{{Value: p.Out.Value}}
		}
	case "write":
		p.In.op = registerWrite
		if p.In.New, err = NewScalar(op.In); err != nil {
			return p, fmt.Errorf("value: %w", err)
		}
		p.Facts.Makes = []Token{{Value: p.In.New}}
		p.Facts.Ignored = op.Type == history.Fail
		p.Facts.Replaces = !p.Facts.Ignored
	case "cas":
		return parseCAS(op, p)
	default:
		return p, unknownF(fs)
	}
	return p, nil
}

func parseCAS(
	op history.Operation, p Op[RegisterIn, RegisterOut],
) (Op[RegisterIn, RegisterOut], error) {
	p.In.op = registerCAS
	pair, err := scalars(op.In)
	if err != nil || len(pair) != 2 {
		return p, fmt.Errorf("value: want [old, new], got %s", show(op.In))
	}
	p.In.Old, p.In.New = pair[0], pair[1]
	if op.Type == history.Fail {
		if !hasCode(op, CodeMismatch) {
			p.Facts = Facts{Ignored: true, Makes: []Token{{Value: p.In.New}}}
			return p, nil
		}
		p.Facts = Facts{Pure: true, Observes: true, Refusal: true, Denies: true}
		return p, nil
	}
	p.Facts.Observes = op.Type == history.OK
	p.Facts.Replaces = true
	p.Facts.Makes = []Token{{Value: p.In.New}}
	p.Facts.Sees = []Token{{Value: p.In.Old}}
	return p, nil
}

func applyRegister(s Scalar, in RegisterIn, out RegisterOut) (Scalar, bool) {
	switch in.op {
	case registerRead:
		return s, out.outcome != done || s == out.Value
	case registerWrite:
		return in.New, true
	}
	switch out.outcome {
	case done:
		return in.New, s == in.Old
	case refused:
		return s, s != in.Old
	}
	if s == in.Old {
		return in.New, true
	}
	return s, true
}

func digestRegister(in RegisterIn, out RegisterOut) uint64 {
	return mix(in.Old.Hash() + 3*in.New.Hash() + 5*out.Value.Hash() + uint64(in.op)<<8 +
		uint64(out.outcome))
}

func describeRegister(in RegisterIn, out RegisterOut) string {
	switch in.op {
	case registerRead:
		return answer("read()", out.Value.String(), out.outcome)
	case registerWrite:
		return answer("write("+in.New.String()+")", "", out.outcome)
	default:
		return answer("cas("+in.Old.String()+", "+in.New.String()+")", "", out.outcome)
	}
}
