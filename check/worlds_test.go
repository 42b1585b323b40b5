package check

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/sweep"
)

// fencedWorld is [token, value] as text, "" at first.
func fencedWorld(state string, op *history.Operation) []string {
	if op.F == "read" {
		text := op.Out.String()
		if op.Out.IsNil() {
			text = ""
		}
		return only(state, op, text == state)
	}
	have := int64(-1)
	if token, _, found := strings.Cut(strings.TrimPrefix(state, "["), ","); found {
		have, _ = strconv.ParseInt(token, 10, 64)
	}
	if token, _ := op.In.At(0).AsInt(); token < have {
		return only(state, op, false)
	}
	return []string{op.In.String()}
}

func callFenced(r *rand.Rand, unique int64) (history.F, history.Value) {
	if r.IntN(2) == 0 {
		return "read", history.Value{}
	}
	return "write", history.Pair(int64(r.IntN(3)), unique%3)
}

func answerFenced(r *rand.Rand, op *history.Operation) history.Value {
	if op.F == "write" {
		return op.In
	}
	if r.IntN(4) == 0 {
		return history.Value{}
	}
	return history.Pair(int64(r.IntN(3)), int64(r.IntN(3)))
}

// decideWorld is the decision, "" at first.
func decideWorld(state string, op *history.Operation) []string {
	if op.F == "ask" {
		return only(state, op, op.Out.IsNil() && state == "" || op.Out.String() == state)
	}
	if state == "" {
		state = op.In.String()
	}
	return only(state, op, op.Out.String() == state)
}

// twinWorld is a register that is written and read as two.
func twinWorld(state string, op *history.Operation) []string { return multiWorld(state, op) }

func callTwin(r *rand.Rand, unique int64) (history.F, history.Value) {
	a, b := history.Step{F: "r", Key: "a"}, history.Step{F: "r", Key: "b"}
	if r.IntN(2) == 0 {
		a.F, a.Value, b.F, b.Value = "w", history.Int(unique), "w", history.Int(unique)
	}
	return "txn", history.Steps(a, b)
}

// bankWorld is a map of balances, each counted from 0.
func bankWorld(state string, op *history.Operation) []string {
	m := map[string]int64{}
	for _, e := range elementsOf(state) {
		k, v, _ := strings.Cut(e, "=")
		m[k], _ = strconv.ParseInt(v, 10, 64)
	}
	for i := range op.In.Len() {
		step := op.In.At(i)
		f, _ := step.At(0).AsString()
		k := step.At(1).String()
		have, known := m[k]
		if f == "add" {
			n, _ := step.At(2).AsInt()
			m[k] += n
			continue
		}
		if op.Type != history.OK {
			continue
		}
		got := op.Out.At(i).At(2)
		if n, isInt := got.AsInt(); isInt != known || isInt && n != have {
			return nil
		}
	}
	var list []string
	for k, v := range m {
		list = append(list, k+"="+strconv.FormatInt(v, 10))
	}
	slices.Sort(list)
	return []string{strings.Join(list, " ")}
}

func callBank(r *rand.Rand, unique int64) (history.F, history.Value) {
	a, b := history.Step{F: "r", Key: "a"}, history.Step{F: "r", Key: "b"}
	switch {
	case unique == 3: // the first operation of a history
		a.F, a.Value, b.F, b.Value = "add", history.Int(2), "add", history.Int(2)
	case r.IntN(2) == 0:
		n := int64(1 + r.IntN(2))
		a.F, a.Value, b.F, b.Value = "add", history.Int(-n), "add", history.Int(n)
	}
	return "txn", history.Steps(a, b)
}

func answerSteps(r *rand.Rand, op *history.Operation, draw func() history.Value) history.Value {
	var steps []history.Value
	for i := range op.In.Len() {
		m := op.In.At(i)
		if f, _ := m.At(0).AsString(); f == "r" {
			m = history.List(m.At(0), m.At(1), draw())
		}
		steps = append(steps, m)
	}
	return history.List(steps...)
}

func answerTwin(r *rand.Rand, op *history.Operation) history.Value {
	v := drawAny(r)
	return answerSteps(r, op, func() history.Value {
		if r.IntN(5) == 0 {
			return drawAny(r)
		}
		return v
	})
}

func answerBank(r *rand.Rand, op *history.Operation) history.Value {
	return answerSteps(r, op, func() history.Value {
		if n := r.IntN(7) - 1; n >= 0 {
			return history.Int(int64(n))
		}
		return history.Value{}
	})
}

// callG2 reads two keys and writes one, or none.
func callG2(r *rand.Rand, unique int64) (history.F, history.Value) {
	steps := []history.Step{{F: "r", Key: "a"}, {F: "r", Key: "b"}}
	if r.IntN(3) > 0 {
		steps = append(steps, history.Step{F: "w", Key: []history.Key{"a", "b"}[r.IntN(2)],
			Value: history.Int(unique)})
	}
	return "txn", history.Steps(steps...)
}

// callFork writes each of two keys at most once.
func callFork(r *rand.Rand, unique int64) (history.F, history.Value) {
	if unique < 5 && r.IntN(3) > 0 {
		key := []history.Key{"a", "b"}[unique-3]
		return "txn", history.Steps(history.Step{F: "w", Key: key, Value: history.Int(1)})
	}
	return "txn", history.Steps(history.Step{F: "r", Key: "a"}, history.Step{F: "r", Key: "b"})
}

func answerFork(r *rand.Rand, op *history.Operation) history.Value {
	return answerSteps(r, op, func() history.Value {
		if r.IntN(2) == 0 {
			return history.Int(1)
		}
		return history.Value{}
	})
}

// listsWorld is a map of lists.
func listsWorld(state string, op *history.Operation) []string {
	m := map[string]string{}
	for _, e := range elementsOf(state) {
		k, v, _ := strings.Cut(e, "=")
		m[k] = v
	}
	for i := range op.In.Len() {
		step := op.In.At(i)
		f, _ := step.At(0).AsString()
		k := step.At(1).String()
		if f == "append" {
			m[k] += step.At(2).String() + ","
			continue
		}
		if op.Type != history.OK {
			continue
		}
		got := ""
		for _, x := range listText(op.Out.At(i).At(2)) {
			got += x + ","
		}
		if got != m[k] {
			return nil
		}
	}
	var list []string
	for k, v := range m {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return []string{strings.Join(list, " ")}
}

// callSteps draws one or two steps on two keys.
func callSteps(change history.F) func(*rand.Rand, int64) (history.F, history.Value) {
	return func(r *rand.Rand, unique int64) (history.F, history.Value) {
		var steps []history.Step
		for i := range 1 + r.IntN(2) {
			s := history.Step{F: "r", Key: []history.Key{"a", "a", "b"}[r.IntN(3)]}
			if r.IntN(2) == 0 {
				s.F, s.Value = change, history.Int(unique*2+int64(i))
			}
			steps = append(steps, s)
		}
		return "txn", history.Steps(steps...)
	}
}

func callLists(r *rand.Rand, unique int64) (history.F, history.Value) {
	return callSteps("append")(r, unique)
}

func callRW(r *rand.Rand, unique int64) (history.F, history.Value) {
	return callSteps("w")(r, unique)
}

func answerLists(r *rand.Rand, op *history.Operation) history.Value {
	return answerSteps(r, op, func() history.Value {
		var vs []history.Value
		for range r.IntN(3) {
			vs = append(vs, history.Int(int64(6+r.IntN(10))))
		}
		return history.List(vs...)
	})
}

func answerDecide(r *rand.Rand, op *history.Operation) history.Value {
	v := drawAny(r)
	for op.F == "propose" && v.IsNil() {
		v = drawAny(r)
	}
	return v
}

func callUnique(f, read history.F) func(*rand.Rand, int64) (history.F, history.Value) {
	return func(r *rand.Rand, unique int64) (history.F, history.Value) {
		if r.IntN(2) == 0 {
			return read, history.Value{}
		}
		return f, history.Int(unique)
	}
}

// TestCheckersAreSound: whatever the checkers of single workloads reject is not
// linearizable, and those that claim to be complete reject all of it.
func TestCheckersAreSound(t *testing.T) {
	list := func(r *rand.Rand, op *history.Operation) history.Value {
		var vs []history.Value
		for range r.IntN(4) {
			vs = append(vs, history.Int(int64(3+r.IntN(6))))
		}
		if op.F == "append" {
			return history.Value{}
		}
		return history.List(vs...)
	}
	for i, c := range []struct {
		twin
		checker  Checker
		complete bool
	}{
		{twin{"decide", decideWorld, callUnique("propose", "ask"), answerDecide, 0, false},
			Decide(), true},
		{twin{"fenced", fencedWorld, callFenced, answerFenced, 0, false}, Fenced(), false},
		{twin{"twin", twinWorld, callTwin, answerTwin, 0, false}, Twin(), false},
		{twin{"bank", bankWorld, callBank, answerBank, 0, false}, Bank(BankOptions{}), false},
		{twin{"bank, stale", bankWorld, callBank, answerBank, 0, false},
			Bank(BankOptions{Stale: true}), false},
		{twin{"g2", multiWorld, callG2, answerMulti, 0, false}, G2(), false},
		{twin{"long fork", multiWorld, callFork, answerFork, 0, false}, LongFork(), false},
		{twin{"list-append", listsWorld, callLists, answerLists, 0, false},
			ListAppend(TxnOptions{}), false},
		{twin{"rw-register", multiWorld, callRW, answerMulti, 0, false},
			RWRegister(TxnOptions{}), false},
		{twin{"queue", queueWorld(false), callUnique("enqueue", "dequeue"),
			func(r *rand.Rand, _ *history.Operation) history.Value { return drawAny(r) }, 0.3, false},
			TotalQueue(), false},
		{twin{"log", listWorld, callUnique("append", "read"), list, 0, false}, Log(LogOptions{}), false},
	} {
		t.Run(c.model, func(t *testing.T) {
			t.Parallel()
			r := sweep.Rand(t, uint64(i), 77)
			rejected, wrong := 0, 0
			for range sweep.Rounds(t, 1000) {
				h := c.history(r)
				truth := bruteForce(c.world, h.Ops)
				res := c.checker.Check(t.Context(), h)
				switch {
				case res.Verdict == Invalid && truth:
					t.Fatalf("rejected although it is linearizable: %s\n%s", res.Reason, timeline(h.Ops))
				case res.Verdict == Invalid:
					rejected++
				case !truth && c.complete:
					t.Fatalf("%v: %s, although it is not linearizable:\n%s", res.Verdict, res.Reason,
						timeline(h.Ops))
				}
				if !truth {
					wrong++
				}
			}
			t.Logf("%d rejected of %d that are not linearizable", rejected, wrong)
			if rejected < 20 {
				t.Errorf("only %d were rejected, of %d that are not linearizable", rejected, wrong)
			}
		})
	}
}
