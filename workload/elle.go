package workload

import (
	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

func listAppendWorkload() Workload {
	s := groups(spec{
		name: "list-append",
		doc: "Transactions that append unique elements to a few lists and read them. Sees every " +
			"violation of the isolation that is claimed, from lost and doubled elements to cycles of " +
			"transactions that do not see each other.",
		registers: elleKeys(), prefix: "e", keys: 8, opsPerKey: 100, unbounded: true,
		newKey:  func() Generator { return &elleKey{change: history.StepAppend} },
		lasting: 1,
		judge: func(o Options) []check.Checker {
			return []check.Checker{check.ListAppend(check.TxnOptions{Level: o.Promise.isolation()})}
		},
		floors: map[history.F]int{Read: 20, Txn: 20},
	})
	s.object = "txn-list"
	return s.workload()
}

func rwRegisterWorkload() Workload {
	return groups(spec{
		name: "rw-register",
		doc: "Transactions that read and write a few registers, every value written once. Sees every " +
			"violation of the isolation that is claimed, whatever the order of the versions was, and " +
			"values of failed or unfinished transactions.",
		registers: elleKeys(), prefix: "rw", keys: 8, opsPerKey: 100, unbounded: true,
		newKey:  func() Generator { return &elleKey{change: history.StepWrite} },
		lasting: 1,
		judge: func(o Options) []check.Checker {
			return []check.Checker{check.RWRegister(check.TxnOptions{Level: o.Promise.isolation()})}
		},
		floors: map[history.F]int{Read: 20, Txn: 20},
	}).workload()
}

func elleKeys() []history.Key { return []history.Key{"x", "y", "z"} }

// elleKey is a group of keys under transactions of one to four steps, of which half
// read. Values count up, so none is written twice. As with a single register, calm
// times in which most transactions read take turns with busy ones.
type elleKey struct {
	change  history.F
	written int64
	mood    mood
}

func (k *elleKey) Next(ctx Context) (Step, Generator) {
	n := *k
	n.mood = k.mood.after(ctx.Rand.Split(0))
	reads := 0.25
	if n.mood.calm {
		reads = 0.6
	}
	if ctx.Rand.Split(1).Chance(reads) {
		return Do(Op{F: Read}), &n
	}
	keys := elleKeys()
	steps := make([]history.Step, 1+ctx.Rand.Split(2).IntN(4))
	for i := range steps {
		r := ctx.Rand.Split(3 + uint64(i))
		steps[i] = history.Step{F: history.StepRead, Key: keys[r.Split(0).IntN(len(keys))]}
		if r.Split(1).Chance(0.5) {
			n.written++
			steps[i].F, steps[i].Value = k.change, history.Int(n.written)
		}
	}
	return Do(Op{F: Txn, Value: history.Steps(steps...)}), &n
}

func (k *elleKey) Update(Context, history.Event) Generator { return k }
