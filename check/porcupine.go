package check

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/anishathalye/porcupine"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/crash"
)

// reference is one run of Porcupine that can be stopped from outside. Porcupine has
// no handle for that but its own timeout, so the model has: once stopped is set,
// no step is possible any more, and the search unwinds and ends as if the history
// were illegal. Whoever stopped it knows better.
type reference struct {
	watched
	halted atomic.Int32 // a cause
	fault  atomic.Pointer[string]
	// size is what a configuration that it remembers takes, about.
	size int64
}

func (s *reference) halt(why cause) { s.halted.CompareAndSwap(int32(causeNone), int32(why)) }

// model makes m stoppable.
func (s *reference) model(m porcupine.Model) porcupine.Model {
	step := m.Step
	m.StepContext = func(
		_ context.Context, state, in, out any,
	) (ok bool, next any) {
		if s.halted.Load() != 0 {
			return false, state
		}
		defer func() {
			if r := recover(); r != nil {
				// This goroutine is Porcupine's: a panic would end the program.
				text := fmt.Sprintf("%v\n%s", r, debug.Stack())
				s.fault.CompareAndSwap(nil, &text)
				s.halt(causePanic)
				ok, next = false, state
			}
		}()
		ok, next = step(state, in, out)
		if ok {
			s.bytes.Add(s.size)
		}
		return ok, next
	}
	return m
}

// porcupined decides by Porcupine whether items are linearizable, until ctx ends or the
// guard stops it. When it returns, nothing of it is running any more.
func porcupined(
	ctx context.Context, g *guard, m porcupine.Model, items []item, verbose bool,
) (finding, porcupine.LinearizationInfo) {
	var info porcupine.LinearizationInfo
	f := finding{engine: enginePorcupine, blocked: -1}
	if ctx.Err() != nil {
		f.cause = causeTime
		return f, info
	}
	s := &reference{size: int64(64 + len(items)/8)}
	s.stop = func() { s.halt(causeMemory) }
	defer context.AfterFunc(ctx, crash.Guard(func() { s.halt(causeTime) }))()
	g.enter(&s.watched)
	defer g.leave(&s.watched)

	sm := s.model(m)
	ok := false
	if verbose {
		var r porcupine.CheckResult
		ops := operations(items)
		for i := range ops {
			ops[i].Metadata = fmt.Sprintf("process %d, operation %d",
				items[i].op.Process, items[i].op.Index)
		}
		r, info = porcupine.CheckOperationsVerbose(sm, ops, 0)
		ok = r == porcupine.Ok
	} else {
		ok = porcupine.CheckOperations(sm, operations(items))
	}
	switch c := cause(s.halted.Load()); {
	case ok:
		f.answer = legal // a complete order was found, stopped or not
	case c != causeNone:
		f.cause = c
		if t := s.fault.Load(); t != nil {
			f.fault = *t
		}
	default:
		f.answer = illegal
	}
	return f, info
}

// operations converts items for Porcupine, with small client numbers, which are
// the rows of its pages.
func operations(items []item) []porcupine.Operation {
	rows := make(map[history.Process]int)
	ops := make([]porcupine.Operation, len(items))
	for i := range items {
		it := &items[i]
		row, found := rows[it.op.Process]
		if !found {
			row = len(rows)
			rows[it.op.Process] = row
		}
		ops[i] = porcupine.Operation{
			ClientId: row,
			Input:    it.p.In, Call: int64(it.call),
			Output: it.p.Out, Return: int64(it.ret),
		}
	}
	return ops
}
