package check

import (
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// txn is one transaction of a group of keys. The group is the operation's key; the
// keys of the steps belong to it alone.
type txn struct {
	op *history.Operation
	// steps have the results of the reads when the outcome is ok.
	steps []history.Step
}

// parseTxns reads the transactions of a group.
func parseTxns(ops []*history.Operation) ([]txn, error) {
	txns := make([]txn, 0, len(ops))
	for _, op := range ops {
		t, err := parseTxn(op)
		if err != nil {
			return nil, misfit(op, "transactions", err)
		}
		txns = append(txns, t)
	}
	return txns, nil
}

func parseTxn(op *history.Operation) (txn, error) {
	t := txn{op: op}
	if op.F != "txn" {
		return t, fmt.Errorf("there is only txn")
	}
	var err error
	if t.steps, err = history.ParseSteps(op.In); err != nil {
		return t, fmt.Errorf("value: %w", err)
	}
	if op.Type != history.OK || op.Out.IsNil() && !t.reads() {
		return t, nil
	}
	out, err := history.ParseSteps(op.Out)
	if err != nil {
		return t, fmt.Errorf("result: %w", err)
	}
	same := slices.EqualFunc(t.steps, out, func(a, b history.Step) bool {
		return a.F == b.F && a.Key == b.Key
	})
	if !same {
		return t, fmt.Errorf("result: not the steps of the call")
	}
	for i := range t.steps {
		if t.steps[i].F == history.StepRead {
			t.steps[i].Value = out[i].Value
		}
	}
	return t, nil
}

// ok reports whether the transaction is known to have taken effect.
func (t txn) ok() bool { return t.op.Type == history.OK }

// reads reports whether the transaction reads anything.
func (t txn) reads() bool {
	return slices.ContainsFunc(t.steps, func(s history.Step) bool {
		return s.F == history.StepRead
	})
}

func (t txn) readOnly() bool {
	return !slices.ContainsFunc(t.steps, func(s history.Step) bool {
		return s.F != history.StepRead
	})
}

// firstReads are the results of the reads that came before any change of the same
// key by the transaction itself, by key.
func (t txn) firstReads() map[history.Key]history.Value {
	reads := make(map[history.Key]history.Value)
	changed := make(map[history.Key]bool)
	for _, s := range t.steps {
		if s.F != history.StepRead {
			changed[s.Key] = true
			continue
		}
		if _, again := reads[s.Key]; !again && !changed[s.Key] {
			reads[s.Key] = s.Value
		}
	}
	return reads
}

// groupKeys returns the keys of a group, sorted.
func groupKeys(txns []txn) []history.Key {
	var keys []history.Key
	for _, t := range txns {
		for _, s := range t.steps {
			keys = append(keys, s.Key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// written is a value of a key, as text.
type written struct {
	key   history.Key
	value string
}

// origins are the transactions that tried to write a value.
type origins struct {
	// first is the one that was called first, of those that did not fail, and
	// refused one that did.
	first, refused map[written]*history.Operation
}

func originsOf(txns []txn) origins {
	o := origins{
		first:   make(map[written]*history.Operation),
		refused: make(map[written]*history.Operation),
	}
	for _, t := range txns {
		for _, s := range t.steps {
			if s.F != history.StepWrite {
				continue
			}
			w := written{s.Key, s.Value.String()}
			if t.op.Type == history.Fail {
				o.refused[w] = t.op
				continue
			}
			if first := o.first[w]; first == nil || t.op.Call < first.Call {
				o.first[w] = t.op
			}
		}
	}
	return o
}

// fromNowhere says in words why a value that a transaction read cannot have been
// there, "" if it can, with the operations that show it.
func (o origins) fromNowhere(
	t txn, key history.Key, v history.Value,
) (why string, ops []*history.Operation) {
	if v.IsNil() {
		return "", nil
	}
	w := written{key, v.String()}
	got := fmt.Sprintf("Process %d read %s = %s at %s, ", t.op.Process, key, w.value,
		seconds(t.op.Return))
	first, refused := o.first[w], o.refused[w]
	switch {
	case first != nil && first.Call <= t.op.Return:
		return "", nil
	case first != nil:
		return got + fmt.Sprintf("which process %d only began to write at %s.", first.Process,
			seconds(first.Call)), []*history.Operation{first, t.op}
	case refused != nil:
		return got + fmt.Sprintf("but the transaction of process %d that wrote it had failed.",
			refused.Process), []*history.Operation{refused, t.op}
	default:
		return got + "which nobody ever tried to write.", []*history.Operation{t.op}
	}
}

// violations collects counterexamples, the first few of possibly many.
type violations struct {
	n   int
	cxs []Counterexample
}

// add counts a violation that is given away by the last one of ops; mark says what is wrong
// with that one.
func (v *violations) add(key history.Key, mark, why string, ops ...*history.Operation) {
	v.show(func() Counterexample { return counterexample(key, mark, why, ops...) })
}

// nowhere counts a read of what cannot have been there, as fromNowhere tells it.
func (v *violations) nowhere(key history.Key, why string, ops []*history.Operation) {
	v.show(func() Counterexample {
		mark := "nobody wrote it"
		if len(ops) == 2 {
			mark = "nobody wrote it by then"
			if ops[0].Type == history.Fail {
				mark = "reads what had failed"
			}
		}
		cx := counterexample(key, mark, why, ops...)
		if len(ops) == 2 {
			cx.Edges = []Edge{{From: 0, To: 1, Kind: ReadFrom,
				Why: fmt.Sprintf("process %d read what process %d would have written", ops[1].Process,
					ops[0].Process)}}
		}
		return cx
	})
}

// show counts a violation, and keeps its counterexample if there are not enough yet.
func (v *violations) show(counterexample func() Counterexample) {
	const most = 5
	v.n++
	if len(v.cxs) < most {
		v.cxs = append(v.cxs, counterexample())
	}
}

// lose counts a violation by which something was lost. One such is always kept.
func (v *violations) lose(counterexample func() Counterexample) {
	n := len(v.cxs)
	v.show(func() Counterexample {
		cx := counterexample()
		cx.Lost = true
		return cx
	})
	kept := slices.ContainsFunc(v.cxs, func(cx Counterexample) bool { return cx.Lost })
	if len(v.cxs) == n && !kept {
		v.cxs[n-1] = counterexample()
		v.cxs[n-1].Lost = true
	}
}

// settle fills in the verdict: invalid with what happened, or what otherwise says, which is
// unknown only if the history could not have shown anything.
func (v *violations) settle(r *Result, what string, otherwise func() (Verdict, string)) {
	r.Counterexamples = v.cxs
	if v.n == 0 {
		r.Verdict, r.Reason = otherwise()
		r.Untested = r.Verdict == Unknown
		return
	}
	r.Verdict = Invalid
	r.Reason = fmt.Sprintf("%s: %s. %s", count(v.n, "violation", "violations"), what, v.cxs[0].Why)
}

// tally is a number of things of one kind.
type tally struct {
	n    int
	what string
}

// tallies lists what there is at all: "2 fractured and 1 unexpected".
func tallies(list ...tally) string {
	var words []string
	for _, t := range list {
		if t.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", t.n, t.what))
		}
	}
	return andList(words)
}
