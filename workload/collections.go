package workload

import (
	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

func setWorkload() Workload {
	return spec{
		name: "set-full",
		doc: "Adds unique elements to a few sets that are read all along and at the end. Sees " +
			"elements that were lost, came back, are doubled or were never added, and stale reads.",
		object: "set", fs: []history.F{Read, Add},
		read: Read, mutates: []history.F{Add}, prefix: "s", keys: 4, opsPerKey: 500,
		unbounded: true,
		newKey:    func() Generator { return &setKey{} },
		monitor: func(o Options) check.Monitor {
			if o.Promise.Eventual {
				return nil // what is missing may still come
			}
			return check.Recheck(check.SetFull(check.SetFullOptions{Linearizable: true}))
		},
		judge: func(o Options) []check.Checker {
			o = o.withDefaults(4, 500)
			// The final reads come a little later than what they are to show.
			return []check.Checker{check.SetFull(check.SetFullOptions{
				Linearizable: !o.Promise.Eventual, Grace: o.Settle * 5 / 6,
			})}
		},
		floors: map[history.F]int{Read: 20, Add: 20},
	}.workload()
}

func counterWorkload() Workload {
	return spec{
		name: "counter",
		doc: "Adds positive and negative numbers to a few counters and reads them. Sees adds " +
			"that were lost or happened twice, by the bounds of every read.",
		object: "counter", fs: []history.F{Read, Add},
		read: Read, mutates: []history.F{Add}, prefix: "n", keys: 10, opsPerKey: 120,
		newKey:  func() Generator { return Func(counterOp) },
		lasting: 2,
		judge: func(o Options) []check.Checker {
			return []check.Checker{check.Counter(), check.Linearizable("counter", o.Check)}
		},
		floors: map[history.F]int{Read: 20, Add: 20},
	}.workload()
}

// setKey is one set: six adds to four reads, because reads grow with the set.
type setKey struct{ added int64 }

func (k *setKey) Next(ctx Context) (Step, Generator) {
	if ctx.Rand.Chance(0.4) {
		return Do(Op{F: Read}), k
	}
	n := &setKey{added: k.added + 1}
	return Do(Op{F: Add, Value: history.Int(k.added)}), n
}

func (k *setKey) Update(Context, history.Event) Generator { return k }

// counterOp adds between 1 and 5, in one of three cases negative, or reads.
func counterOp(ctx Context) Op {
	if ctx.Rand.Split(0).Chance(0.5) {
		return Op{F: Read}
	}
	n := int64(1 + ctx.Rand.Split(1).IntN(5))
	if ctx.Rand.Split(2).IntN(3) == 0 {
		n = -n
	}
	return Op{F: Add, Value: history.Int(n)}
}
