package workload

import (
	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// groups is what all workloads of transactions have in common.
func groups(s spec) spec {
	s.object, s.fs, s.read, s.mutates = "txn", []history.F{Txn}, Read, []history.F{Txn}
	return s
}

// linearizableGroups checks that each group of registers is linearizable as a whole.
func linearizableGroups(o Options) check.Checker {
	m := models.MultiRegister()
	m.Key = nil // by group, not the whole history as one
	return check.LinearizableSpec(m.Spec(), o.Check)
}

func multiRegisterWorkload() Workload {
	return groups(spec{
		name: "multi-register",
		doc: "Transactions that read and write a few registers with a handful of values that " +
			"come again and again. Sees whatever is not strictly serializable (or not strong " +
			"snapshot isolation, where that is promised), by linearizability of each group of " +
			"registers as a whole, or of snapshots and commits.",
		registers: []history.Key{"x", "y", "z"}, prefix: "m", keys: 10, opsPerKey: 80,
		newKey:  func() Generator { return Func(multiOp) },
		lasting: 1,
		judge: func(o Options) []check.Checker {
			if o.Promise.Isolation == graph.StrongSnapshotIsolation {
				return []check.Checker{check.SnapshotIsolated(o.Check)}
			}
			return []check.Checker{linearizableGroups(o)}
		},
		floors: map[history.F]int{Read: 20, Txn: 20},
	}).workload()
}

// multiOp reads everything, or reads and writes one to three registers.
func multiOp(ctx Context) Op {
	if ctx.Rand.Split(0).Chance(0.3) {
		return Op{F: Read}
	}
	registers := []history.Key{"x", "y", "z"}
	steps := make([]history.Step, 1+ctx.Rand.Split(1).IntN(3))
	for i := range steps {
		r := ctx.Rand.Split(2 + uint64(i))
		steps[i] = history.Step{F: history.StepRead, Key: registers[r.Split(0).IntN(3)]}
		if r.Split(1).Chance(0.6) {
			steps[i].F, steps[i].Value = history.StepWrite, history.Int(int64(r.Split(2).IntN(4)))
		}
	}
	return Op{F: Txn, Value: history.Steps(steps...)}
}

func twinWorkload() Workload {
	return groups(spec{
		name: "twin",
		doc: "Transactions that write one value of their own to two keys, and read both. Sees " +
			"transactions of which only a part is visible, or only a part was committed in the end.",
		registers: []history.Key{"a", "b"}, prefix: "t", keys: 10, opsPerKey: 120,
		newKey:  func() Generator { return &twinKey{register: &registerKey{}} },
		lasting: 1,
		judge: func(o Options) []check.Checker {
			if o.Promise.Stale {
				return []check.Checker{check.Twin()}
			}
			return []check.Checker{check.Twin(), linearizableGroups(o)}
		},
		floors: map[history.F]int{Read: 20, Txn: 20},
	}).workload()
}

// twinKey is a group that is written and read like one register, at two places.
type twinKey struct{ register Generator }

func (k *twinKey) Next(ctx Context) (Step, Generator) {
	step, next := k.register.Next(ctx)
	if step.Kind == StepOp && step.Op.F == Write {
		a, b := history.Key("a"), history.Key("b")
		if ctx.Rand.Split(10).Chance(0.5) {
			a, b = b, a // deadlocks belong to life
		}
		step.Op = Op{F: Txn, Value: history.Steps(
			history.Step{F: history.StepWrite, Key: a, Value: step.Op.Value},
			history.Step{F: history.StepWrite, Key: b, Value: step.Op.Value},
		)}
	}
	return step, &twinKey{register: next}
}

func (k *twinKey) Update(ctx Context, ev history.Event) Generator {
	if ev.F == Txn {
		ev.F = Write
	}
	if next := k.register.Update(ctx, ev); !same(k.register, next) {
		return &twinKey{register: next}
	}
	return k
}

func bankWorkload() Workload {
	return groups(spec{
		name: "bank",
		doc: "Transfers between the accounts of a few banks, and reads of all accounts of one. " +
			"Sees money that appears or disappears, also in the middle of a transfer, and " +
			"transfers that were lost or happened twice.",
		registers: bankAccounts(), prefix: "b", keys: 10, opsPerKey: 120,
		newKey:  func() Generator { return &bankKey{} },
		lasting: 1,
		judge: func(o Options) []check.Checker {
			return []check.Checker{check.Bank(check.BankOptions{
				NoOverdraft: o.Promise.NoOverdraft, Stale: o.Promise.Stale,
			})}
		},
		floors: map[history.F]int{Read: 20, Txn: 20},
	}).workload()
}

func bankAccounts() []history.Key { return []history.Key{"a", "b", "c", "d"} }

// openingBalance is what each account of a bank begins with.
const openingBalance = 10

// bankKey is one bank. Its first transaction opens it; nothing is transferred before
// that is acknowledged, and a bank whose opening did not succeed is given up.
type bankKey struct {
	stage bankStage
}

type bankStage uint8

const (
	bankNew bankStage = iota
	bankOpening
	bankOpen
	bankLost
)

func (k *bankKey) Next(ctx Context) (Step, Generator) {
	switch {
	case k.stage == bankLost:
		return over()
	case k.stage == bankNew:
		var steps []history.Step
		for _, account := range bankAccounts() {
			steps = append(steps, history.Step{
				F: history.StepAdd, Key: account, Value: history.Int(openingBalance),
			})
		}
		return Do(Op{F: Txn, Value: history.Steps(steps...)}), &bankKey{stage: bankOpening}
	case k.stage == bankOpening || ctx.Rand.Split(0).Chance(0.4):
		return Do(Op{F: Read}), k
	}
	accounts := bankAccounts()
	from := ctx.Rand.Split(1).IntN(len(accounts))
	to := (from + 1 + ctx.Rand.Split(2).IntN(len(accounts)-1)) % len(accounts)
	n := int64(1 + ctx.Rand.Split(3).IntN(5))
	take := history.Step{F: history.StepAdd, Key: accounts[from], Value: history.Int(-n)}
	give := history.Step{F: history.StepAdd, Key: accounts[to], Value: history.Int(n)}
	if ctx.Rand.Split(4).Chance(0.5) {
		take, give = give, take
	}
	return Do(Op{F: Txn, Value: history.Steps(take, give)}), k
}

// Update follows the opening: until it has ended, the bank's other transactions
// only read.
func (k *bankKey) Update(_ Context, ev history.Event) Generator {
	switch {
	case k.stage != bankOpening || ev.F != Txn || ev.Type == history.Invoke:
		return k
	case ev.Type == history.OK:
		return &bankKey{stage: bankOpen}
	default:
		return &bankKey{stage: bankLost}
	}
}
