package workload

import "github.com/ordeal-dev/ordeal/history"

// translator makes transactions of the operations of groups, see transactions.
type translator struct {
	registers []history.Key
	gen       Generator
	// reads says of each thread whether its last transaction only read.
	reads vector[bool]
}

// transactions translates the operations of g into transactions over a group of
// registers, whose keys are the group's key, a dot, and a name out of registers. An
// operation Read becomes one that reads them all, touch one that then also writes a
// number to all of them that nobody else writes; in an operation Txn the keys of the
// steps are completed. g is told of the events of what only reads as Read.
func transactions(registers []history.Key, g Generator) Generator {
	return &translator{registers: registers, gen: g}
}

func (t *translator) Next(ctx Context) (Step, Generator) {
	step, next := t.gen.Next(ctx)
	if step.Kind != StepOp || step.Op.Kind != OpInvoke {
		if same(t.gen, next) {
			return step, t
		}
		return step, &translator{registers: t.registers, gen: next, reads: t.reads}
	}
	step.Op.Value = t.value(ctx, step.Op)
	step.Op.F = Txn
	reads := t.reads
	if only := history.ReadOnly(step.Op.Value); only != reads.get(ctx.Thread) {
		reads = reads.set(ctx.Thread, only)
	}
	return step, &translator{registers: t.registers, gen: next, reads: reads}
}

func (t *translator) value(ctx Context, op Op) history.Value {
	var steps []history.Step
	if op.F == Txn {
		steps, _ = history.ParseSteps(op.Value) // made by a generator of this package
	} else {
		for _, r := range t.registers {
			steps = append(steps, history.Step{F: history.StepRead, Key: r})
		}
	}
	if op.F == touch {
		v := history.Int(1<<32 + int64(ctx.Rand.Split(30)>>12))
		for _, r := range t.registers {
			steps = append(steps, history.Step{F: history.StepWrite, Key: r, Value: v})
		}
	}
	for i := range steps {
		steps[i].Key = op.Key + "." + steps[i].Key
	}
	return history.Steps(steps...)
}

func (t *translator) Update(ctx Context, ev history.Event) Generator {
	if ev.F == Txn && t.reads.get(ctx.Thread) {
		ev.F = Read
	}
	if next := t.gen.Update(ctx, ev); !same(t.gen, next) {
		return &translator{registers: t.registers, gen: next, reads: t.reads}
	}
	return t
}
