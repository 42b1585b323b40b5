package workload

import (
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// Scripted is an operation that one thread is to do once more.
type Scripted struct {
	Thread int
	// Op.At is when it was called.
	Op Op
}

// scripted is the generator of operations that were written down.
type scripted struct {
	byThread [][]Op
	left     int
	until    history.Time
}

// Script returns the generator of these operations: each is done by its thread, in the
// given order, not before its time. What the others do, and what comes out of it, does not
// matter; so one operation can be left out without changing another. It is not done before
// the time until.
func Script(threads int, ops []Scripted, until history.Time) Generator {
	g := &scripted{byThread: make([][]Op, threads), left: len(ops), until: until}
	for _, o := range ops {
		t := o.Thread % threads
		g.byThread[t] = append(g.byThread[t], o.Op)
	}
	return g
}

func (g *scripted) Next(ctx Context) (Step, Generator) {
	switch {
	case g.left == 0 && ctx.Time < g.until:
		return hold(g, g.until)
	case g.left == 0:
		return over()
	}
	mine := g.byThread[ctx.Thread]
	if len(mine) == 0 {
		return Pending(), g
	}
	next := &scripted{byThread: slices.Clone(g.byThread), left: g.left - 1, until: g.until}
	next.byThread[ctx.Thread] = mine[1:]
	return Do(mine[0]), next
}

func (g *scripted) Update(Context, history.Event) Generator { return g }

// ScriptFromNow is Script with times that count from when it is asked first, until it has no
// more operations.
func ScriptFromNow(threads int, ops []Scripted) Generator {
	return scriptFromNow{threads: threads, ops: ops}
}

type scriptFromNow struct {
	threads int
	ops     []Scripted
}

func (g scriptFromNow) Next(ctx Context) (Step, Generator) {
	ops := slices.Clone(g.ops)
	for i := range ops {
		ops[i].Op.At += ctx.Time
	}
	return Script(g.threads, ops, 0).Next(ctx)
}

func (g scriptFromNow) Update(Context, history.Event) Generator { return g }
