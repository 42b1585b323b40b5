package models

import (
	"fmt"
	"strconv"

	"github.com/ordeal-dev/ordeal/history"
)

// CounterIn is a call of a counter: a read, or an amount to add.
type CounterIn struct {
	Read bool
	Add  int64
}

// CounterOut is the answer of a read.
type CounterOut struct {
	outcome outcome
	Value   int64
}

// Counter is a number, 0 at first: add n, which may be negative, and read.
func Counter() Model[int64, CounterIn, CounterOut] {
	return Model[int64, CounterIn, CounterOut]{
		Name:  "counter",
		Doc:   "a number, 0 at first: add n, read -> n",
		Fs:    []history.F{"add", "read"},
		Init:  func() int64 { return 0 },
		Parse: parseCounter,
		Apply: func(s int64, in CounterIn, out CounterOut) (int64, bool) {
			if in.Read {
				return s, out.outcome != done || s == out.Value
			}
			return s + in.Add, true
		},
		Hash: func(s int64) uint64 { return mix(uint64(s)) },
		Describe: func(in CounterIn, out CounterOut) string {
			if in.Read {
				return answer("read()", strconv.FormatInt(out.Value, 10), out.outcome)
			}
			return answer("add("+strconv.FormatInt(in.Add, 10)+")", "", out.outcome)
		},
	}
}

func parseCounter(op history.Operation) (p Op[CounterIn, CounterOut], err error) {
	p.Out.outcome = outcomeOf(op)
	p.Facts.Ignored = op.Type == history.Fail
	var ok bool
	switch op.F {
	case "add":
		if p.In.Add, ok = op.In.AsInt(); !ok {
			return p, fmt.Errorf("value: want an integer, got %s", show(op.In))
		}
		if op.Type != history.Fail {
			p.Facts.Pure = p.In.Add == 0
			p.Facts.Pinned = p.In.Add != 0
		}
	case "read":
		p.In.Read = true
		if op.Type == history.Fail {
			return p, nil
		}
		p.Facts.Pure = true
		if op.Type == history.OK {
			if p.Out.Value, ok = op.Out.AsInt(); !ok {
				return p, fmt.Errorf("result: want an integer, got %s", show(op.Out))
			}
			p.Facts.Observes = true
		}
	default:
		return p, unknownF([]history.F{"add", "read"})
	}
	return p, nil
}
