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
}

// Script returns the generator of these operations: each is done by its thread, in the
// given order, not before its time. What the others do, and what comes out of it, does not
// matter; so one operation can be left out without changing another.
func Script(threads int, ops []Scripted) Generator {
	g := &scripted{byThread: make([][]Op, threads), left: len(ops)}
	for _, o := range ops {
		t := o.Thread % threads
		g.byThread[t] = append(g.byThread[t], o.Op)
	}
	return g
}

func (g *scripted) Next(ctx Context) (Step, Generator) {
	if g.left == 0 {
		return over()
	}
	mine := g.byThread[ctx.Thread]
	if len(mine) == 0 {
		return Pending(), g
	}
	next := &scripted{byThread: slices.Clone(g.byThread), left: g.left - 1}
	next.byThread[ctx.Thread] = mine[1:]
	return Do(mine[0]), next
}

func (g *scripted) Update(Context, history.Event) Generator { return g }
