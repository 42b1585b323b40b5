package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// MultiOp is one read or write of a transaction.
type MultiOp struct {
	Write bool
	Key   Scalar
	Value Scalar // of a write
}

// MultiIn is a transaction: its reads and writes, in order.
type MultiIn []MultiOp

// MultiOut are the values that the reads of a transaction returned, at the
// positions of the reads.
type MultiOut struct {
	outcome outcome
	Values  []Scalar
}

// MultiState maps keys to values that are not nil, sorted by key.
type MultiState []MultiEntry

// MultiEntry is one register of a MultiState.
type MultiEntry struct{ Key, Value Scalar }

// MultiRegister is a map of registers, each nil at first, read and written by
// transactions that happen at one instant:
//
//	txn [["r", "x", null], ["w", "y", 3]]  ->  [["r", "x", 1], ["w", "y", 3]]
//
// All keys of a transaction are one object, so a history is searched as a whole.
func MultiRegister() Model[MultiState, MultiIn, MultiOut] {
	return Model[MultiState, MultiIn, MultiOut]{
		Name:     "multi-register",
		Doc:      `several values: txn [["r", key, null], ["w", key, value], …]`,
		Fs:       []history.F{"txn"},
		Init:     func() MultiState { return nil },
		Parse:    parseMulti,
		Apply:    applyMulti,
		Key:      func(history.Operation) history.Key { return "" },
		Equal:    func(a, b MultiState) bool { return slices.Equal(a, b) },
		Hash:     hashMulti,
		Class:    classMulti,
		Describe: describeMulti,
		DescribeState: func(s MultiState) string {
			parts := make([]string, len(s))
			for i, e := range s {
				parts[i] = e.Key.String() + ": " + e.Value.String()
			}
			return "{" + strings.Join(parts, ", ") + "}"
		},
	}
}

func parseMulti(op history.Operation) (p Op[MultiIn, MultiOut], err error) {
	if op.F != "txn" {
		return p, unknownF([]history.F{"txn"})
	}
	ops, _, err := parseMicro(op.In)
	if err != nil {
		return p, fmt.Errorf("value: %w", err)
	}
	p.In = ops
	p.Out.outcome = outcomeOf(op)
	if op.Type == history.Fail {
		p.Facts.Ignored = true
		for _, o := range ops {
			if o.Write {
				p.Facts.Makes = append(p.Facts.Makes, Token{Place: o.Key, Value: o.Value})
			}
		}
		return p, nil
	}
	if op.Type == history.OK {
		got, values, err := parseMicro(op.Out)
		if err != nil {
			return p, fmt.Errorf("result: %w", err)
		}
		if !sameShape(ops, got) {
			return p, fmt.Errorf("result: not the reads and writes of the call")
		}
		p.Out.Values = values
	}
	p.Facts.Pure = true
	own := map[Scalar]bool{}
	for i, o := range ops {
		switch {
		case o.Write:
			p.Facts.Pure = false
			p.Facts.Replaces = true
			own[o.Key] = true
			p.Facts.Makes = append(p.Facts.Makes, Token{Place: o.Key, Value: o.Value})
		case op.Type == history.OK:
			p.Facts.Observes = true
			if !own[o.Key] { // otherwise it saw itself
				t := Token{Place: o.Key, Value: p.Out.Values[i]}
				p.Facts.Sees = append(p.Facts.Sees, t)
			}
		}
	}
	return p, nil
}

// parseMicro reads [[f, key, value], …]; values are those at the same positions,
// of writes and of reads.
func parseMicro(v history.Value) (ops []MultiOp, values []Scalar, err error) {
	if v.Kind() != history.KindList {
		return nil, nil, fmt.Errorf("want a list of [f, key, value], got %s", show(v))
	}
	for i := range v.Len() {
		e := v.At(i)
		if e.Kind() != history.KindList || e.Len() != 3 {
			return nil, nil, fmt.Errorf("element %d: want [f, key, value], got %s", i, show(e))
		}
		f, _ := e.At(0).AsString()
		k, err := NewScalar(e.At(1))
		if err != nil {
			return nil, nil, fmt.Errorf("element %d: key: %w", i, err)
		}
		val, err := NewScalar(e.At(2))
		if err != nil {
			return nil, nil, fmt.Errorf("element %d: value: %w", i, err)
		}
		switch strings.TrimPrefix(f, ":") {
		case "r", "read":
			ops = append(ops, MultiOp{Key: k})
		case "w", "write":
			ops = append(ops, MultiOp{Write: true, Key: k, Value: val})
		default:
			return nil, nil, fmt.Errorf(`element %d: want "r" or "w", got %s`, i, show(e.At(0)))
		}
		values = append(values, val)
	}
	return ops, values, nil
}

func sameShape(call, got []MultiOp) bool { return slices.Equal(call, got) }

func applyMulti(s MultiState, in MultiIn, out MultiOut) (MultiState, bool) {
	cloned := false
	for i, o := range in {
		at, found := slices.BinarySearchFunc(s, o.Key, func(e MultiEntry, k Scalar) int {
			return e.Key.Compare(k)
		})
		if !o.Write {
			var have Scalar
			if found {
				have = s[at].Value
			}
			if out.outcome == done && have != out.Values[i] {
				return s, false
			}
			continue
		}
		if !cloned {
			s = append(make(MultiState, 0, len(s)+len(in)), s...)
			cloned = true
		}
		switch {
		case o.Value.IsNil() && found:
			s = slices.Delete(s, at, at+1)
		case o.Value.IsNil():
		case found:
			s[at].Value = o.Value
		default:
			s = slices.Insert(s, at, MultiEntry{Key: o.Key, Value: o.Value})
		}
	}
	return s, true
}

func hashMulti(s MultiState) uint64 {
	var h uint64
	for _, e := range s {
		h += mix(e.Key.Hash()*3 + e.Value.Hash())
	}
	return h
}

// classMulti numbers only what gets no answer: of such transactions a search wants to
// know which are alike, and they have no values.
func classMulti(in MultiIn, out MultiOut) any {
	if out.outcome != unknown {
		return nil
	}
	key := make([]byte, 0, 16*len(in))
	for _, o := range in {
		if o.Write {
			key = append(key, o.Key.String()...)
			key = append(key, '=')
			key = append(key, o.Value.String()...)
			key = append(key, 0)
		}
	}
	return string(key)
}

func describeMulti(in MultiIn, out MultiOut) string {
	parts := make([]string, len(in))
	for i, o := range in {
		switch {
		case o.Write:
			parts[i] = o.Key.String() + " := " + o.Value.String()
		case out.outcome == done:
			parts[i] = o.Key.String() + " = " + out.Values[i].String()
		default:
			parts[i] = "read " + o.Key.String()
		}
	}
	return answer("txn("+strings.Join(parts, ", ")+")", "", out.outcome)
}
