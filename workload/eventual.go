package workload

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// eventualCounterWorkload has one counter, because some systems have no other.
func eventualCounterWorkload() Workload {
	s := spec{
		name: "eventual-counter",
		doc: "Adds to one counter, takes away from it where that is promised, and reads it at every " +
			"node in the end. Sees adds that were lost, happened twice or never spread, and reads of " +
			"more than anybody had added.",
		object: "counter", fs: []history.F{Read, Add}, read: Read, mutates: []history.F{Add},
		prefix: "n", keys: 1, opsPerKey: 1, unbounded: true,
		judge: func(o Options) []check.Checker {
			o = o.withDefaults(1, 1)
			// The final reads come a little later than what they are to show.
			return []check.Checker{check.EventualCounter(check.EventualCounterOptions{
				Grace: o.Settle * 5 / 6, Clients: o.Concurrency, Nodes: o.Nodes,
			})}
		},
		floors: map[history.F]int{Read: 20, Add: 20},
	}
	s.main = func(o Options, _ string) Generator {
		return Func(func(ctx Context) Op {
			op := counterOp(ctx)
			if n, _ := op.Value.AsInt(); n < 0 && o.Promise.Growing {
				op.Value = history.Int(-n)
			}
			op.Key = "n0"
			return op
		})
	}
	s.readAll = func(o Options) Generator {
		return Settled(o.Settle, FinalReads("n", Read, o.Nodes, o.FinalKeys))
	}
	return s.workload()
}

func echoWorkload() Workload {
	return spec{
		name: "echo",
		doc: "Asks for texts to be sent back. Sees an answer that is another text, so that it tests " +
			"little more than whether client and node understand each other.",
		object: "echo", fs: []history.F{Echo}, mutates: []history.F{Echo}, prefix: "echo",
		keys: 1, opsPerKey: 1, unbounded: true,
		main:    func(Options, string) Generator { return &echoes{} },
		readAll: func(Options) Generator { return Nothing() },
		lasting: 1,
		judge:   func(Options) []check.Checker { return []check.Checker{check.Echo()} },
		floors:  map[history.F]int{Echo: 20},
	}.workload()
}

// echoes asks for one text after the other, each its own, with what JSON has to escape.
type echoes struct{ asked int64 }

func (e *echoes) Next(Context) (Step, Generator) {
	n := &echoes{asked: e.asked + 1}
	text := fmt.Sprintf("Please echo \"%d\" \\ žluťoučký kůň", n.asked)
	return Do(Op{F: Echo, Key: "echo", Value: history.Str(text)}), n
}

func (e *echoes) Update(Context, history.Event) Generator { return e }
