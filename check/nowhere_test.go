package check

import (
	"slices"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// manyOpen are writes of few values, all open at the same time, and reads of some of these.
func manyOpen(n int) []history.Operation {
	var ops []history.Operation
	add := func(f history.F, in, out history.Value, call, ret history.Time) {
		ops = append(ops, history.Operation{Index: int64(len(ops)), Process: history.Process(len(ops)),
			F: f, In: in, Out: out, Type: history.OK, Call: call, Return: ret})
	}
	for i := range int64(n) {
		add("write", history.Int(i%(int64(n)/2)), history.Nil(), history.Time(i), 1_000_000)
	}
	for i := range int64(8) {
		at := history.Time(10_000 + 10*i)
		add("read", history.Nil(), history.Int(i), at, at+5)
	}
	return ops
}

// TestValueFromNowhere: beside a thousand open writes, of which no value is unique, a value
// that nobody had tried to write when it was read is found at once, and told alone.
func TestValueFromNowhere(t *testing.T) {
	read := history.Operation{Index: 5000, Process: 5000, F: "read", Out: history.Int(-7),
		Type: history.OK, Call: 20_000, Return: 20_005}
	later := history.Operation{Index: 5001, Process: 5001, F: "write", In: history.Int(-7),
		Type: history.OK, Call: 20_006, Return: 20_009}
	for name, more := range map[string][]history.Operation{
		"never written": {read}, "written later": {read, later},
	} {
		within(t, 20*time.Second, func() {
			h := &history.History{Ops: slices.Concat(manyOpen(1000), more)}
			r := Linearizable("register", Options{}).Check(t.Context(), h)
			if r.Verdict != Invalid || len(r.Counterexamples) != 1 ||
				len(r.Counterexamples[0].Ops) != 1 || r.Counterexamples[0].Ops[0].Index != 5000 {
				t.Errorf("%s: %s: %s", name, r.Verdict, r.Reason)
			}
		})
	}
	early := later
	early.Call, early.Return = 20_005, 20_009
	h := &history.History{Ops: slices.Concat(manyOpen(20), []history.Operation{read, early})}
	if r := Linearizable("register", Options{}).Check(t.Context(), h); r.Verdict != Valid {
		t.Errorf("written in time: %s: %s", r.Verdict, r.Reason)
	}
}
