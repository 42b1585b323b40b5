package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check/session"
	"github.com/ordeal-dev/ordeal/history"
)

// counterexample reduces a violation to operations from which none can be taken out, if
// there are not too many to try, and tells it.
func (g *guaranteed) counterexample(
	ctx context.Context, claimed session.Guarantees, c *session.Conflict,
) Counterexample {
	part, c, minimal := session.Reduce(ctx, &g.h, claimed, c)
	cx := Counterexample{Minimal: minimal}
	culprit := c.Read
	if back, _, ok := g.back(c); ok {
		culprit = back.By
		cx.Mark = "older than what it had to see"
	}
	if key := g.h.Ops[part[0]].Key; !slices.ContainsFunc(part, func(i int) bool {
		return g.h.Ops[i].Key != key
	}) {
		cx.Key = g.names[key].group + g.names[key].key
	}
	var shown []*history.Operation
	for _, i := range part {
		op := g.from[i]
		if !slices.Contains(shown, op) {
			shown = append(shown, op)
		}
		// What is unwritten may be written later, and of a conflict alone nobody knows by
		// when all was there that it rests on.
		if op.Type == history.OK && c.Kind != session.Unwritten && minimal {
			cx.Until = max(cx.Until, op.Return)
		}
	}
	cx.Why, cx.Mark = g.why(claimed, c), cmp.Or(cx.Mark, unseen(c.Kind))
	if c.Kind == session.Unwritten {
		if f := g.failedWrite(c); f != nil {
			shown = append(shown, f)
		}
	}
	slices.SortStableFunc(shown, func(a, b *history.Operation) int { return int(a.Index - b.Index) })
	position := make(map[*history.Operation]int)
	for at, op := range shown {
		o := showOp(op)
		o.Culprit = culprit >= 0 && g.from[culprit] == op
		position[op] = at
		cx.Ops = append(cx.Ops, o)
	}
	if len(shown) <= edgesMost {
		cx.Edges = g.edges(c, position)
	}
	return cx
}

// unseen is what is wrong with a read, if it is a read.
func unseen(k session.Kind) string {
	switch k {
	case session.Unwritten:
		return "nobody wrote it"
	case session.Repeated:
		return "one element twice"
	case session.Missing:
		return "does not see what it has to"
	}
	return ""
}

func (g *guaranteed) failedWrite(c *session.Conflict) *history.Operation {
	for v, op := range g.failed {
		if g.values[v] == c.Value && v.key == g.h.Ops[c.Read].Key {
			return op
		}
	}
	return nil
}

// say names an operation and its process.
func (g *guaranteed) say(i int) string {
	return fmt.Sprintf("%s of process %d", g.alone(i), g.from[i].Process)
}

// alone names an operation, with its key if there are several.
func (g *guaranteed) alone(i int) string {
	text := showOp(g.from[i]).Describe
	if name := g.name(i); name != "" && g.from[i].F != "txn" {
		text += " on " + name
	}
	return text
}

// why tells a conflict.
func (g *guaranteed) why(claimed session.Guarantees, c *session.Conflict) string {
	switch c.Kind {
	case session.Unwritten:
		if f := g.failedWrite(c); f != nil {
			return fmt.Sprintf("The %s returned what only the %s of process %d would have written, which "+
				"had failed.", g.say(c.Read), showOp(f).Describe, f.Process)
		}
		return fmt.Sprintf("The %s returned what nobody ever tried to write.", g.say(c.Read))
	case session.Repeated:
		return fmt.Sprintf("The %s has twice what the %s put in once.", g.say(c.Read), g.say(c.Write))
	case session.Missing:
		return fmt.Sprintf("%s misses %s. That is not %s.", g.reading(c.Read),
			g.owed(c.Read, c.Write, c.Steps), claimed)
	}
	if back, other, ok := g.back(c); ok {
		return fmt.Sprintf("%s goes back behind %s. By %s that is the newer one. That is not %s.",
			g.reading(back.By), g.owed(back.By, back.From, back.Steps), g.by(other), claimed)
	}
	const most = 3
	var parts []string
	for _, e := range c.Edges[:min(most, len(c.Edges))] {
		parts = append(parts, fmt.Sprintf("the %s comes before the %s, by %s", g.say(e.From),
			g.say(e.To), g.by(e)))
	}
	if len(c.Edges) > most {
		parts = append(parts, fmt.Sprintf("%d more steps lead back", len(c.Edges)-most))
	}
	return fmt.Sprintf("Not %s: the writes have no order: %s.", claimed, strings.Join(parts, "; "))
}

// back returns, of two writes that would have to come before each other, the edge of the last
// read that returned the older one, and the other edge; false if it is about more, or if two
// sessions see them in different orders: then none of them is wrong by itself.
func (g *guaranteed) back(c *session.Conflict) (back, other session.Edge, ok bool) {
	if c.Kind != session.Cycle || len(c.Edges) != 2 {
		return back, other, false
	}
	back, other = c.Edges[0], c.Edges[1]
	overwritten := func(e session.Edge) bool { return e.Why == session.Overwritten }
	if !overwritten(back) ||
		overwritten(other) && g.from[other.By].Return > g.from[back.By].Return {
		back, other = other, back
	}
	ok = overwritten(back)
	if ok && overwritten(other) {
		ok = g.from[back.By].Process == g.from[other.By].Process
	}
	return back, other, ok
}

// reading names a read, whose it is, and when it had its answer.
func (g *guaranteed) reading(i int) string {
	return fmt.Sprintf("Process %d's %s at %s", g.from[i].Process, g.alone(i),
		seconds(g.from[i].Return))
}

// owed names a write that a read had to see, and the reason if it is a short one: the edges
// have all of it.
func (g *guaranteed) owed(read, write int, steps []session.Step) string {
	text := showOp(g.from[write]).Describe
	if g.h.Ops[write].Key != g.h.Ops[read].Key {
		text = g.alone(write)
	}
	whose := fmt.Sprintf("the %s of process %d", text, g.from[write].Process)
	switch {
	case len(steps) == 1 && steps[0].Why != session.Returned:
		if op := g.from[write]; op.Return == history.Never {
			return fmt.Sprintf("its own %s, called at %s", text, seconds(op.Call))
		}
		return fmt.Sprintf("its own %s, answered at %s", text, seconds(g.from[write].Return))
	case len(steps) == 2 && steps[0].Why == session.Returned && steps[1].Why != session.Returned:
		return fmt.Sprintf("%s, which it had seen by %s", whose, seconds(g.from[steps[0].To].Return))
	}
	return whose + ", which came before something that its process saw"
}

// by names what shows that one write comes before another: the edges tell how.
func (g *guaranteed) by(e session.Edge) string {
	if e.Why == session.Wrote {
		return "the order of their process"
	}
	return "the " + g.say(e.By)
}

// steps tells why something is seen.
func (g *guaranteed) steps(steps []session.Step) string {
	var words []string
	for _, s := range steps {
		if s.Why == session.Returned {
			words = append(words, fmt.Sprintf("the %s returned what the %s wrote", g.say(s.To),
				g.say(s.From)))
			continue
		}
		words = append(words, g.inSession(s.From, s.To))
	}
	return andList(words)
}

func (g *guaranteed) inSession(from, to int) string {
	return fmt.Sprintf("process %d did its %s before its %s", g.from[from].Process, g.alone(from),
		g.alone(to))
}

// edge tells why one write comes before another.
func (g *guaranteed) edge(e session.Edge) string {
	switch e.Why {
	case session.Wrote:
		return g.inSession(e.From, e.To)
	case session.Returned:
		return fmt.Sprintf("the %s returned what the %s wrote, and %s", g.say(e.By), g.say(e.From),
			g.inSession(e.By, e.To))
	case session.Listed:
		return fmt.Sprintf("the %s has the %s before the %s", g.say(e.By), g.say(e.From), g.say(e.To))
	}
	return fmt.Sprintf("the %s had to see the %s (%s), and returned what the %s wrote, which is "+
		"therefore later", g.say(e.By), g.say(e.From), g.steps(e.Steps), g.say(e.To))
}

// edges are what contradicts itself.
func (g *guaranteed) edges(c *session.Conflict, position map[*history.Operation]int) []Edge {
	var list []Edge
	add := func(from, to int, kind EdgeKind, why string) {
		a, b := position[g.from[from]], position[g.from[to]]
		e := Edge{From: a, To: b, Kind: kind, Why: why}
		if a != b && !slices.ContainsFunc(list, func(o Edge) bool {
			return o.From == a && o.To == b && o.Kind == kind
		}) {
			list = append(list, e)
		}
	}
	returned := func(write, read int) {
		add(write, read, ReadFrom, fmt.Sprintf("the %s returned what the %s wrote", g.say(read),
			g.say(write)))
	}
	steps := func(steps []session.Step) {
		for _, s := range steps {
			if s.Why == session.Returned {
				returned(s.From, s.To)
			} else {
				add(s.From, s.To, ProgramOrder, g.inSession(s.From, s.To))
			}
		}
	}
	steps(c.Steps)
	if c.Kind == session.Missing {
		add(c.Read, c.Write, WriteOrder, fmt.Sprintf("the %s did not see the %s", g.say(c.Read),
			g.say(c.Write)))
	}
	for _, e := range c.Edges {
		switch e.Why {
		case session.Wrote:
			add(e.From, e.To, ProgramOrder, g.edge(e))
		case session.Returned:
			returned(e.From, e.By)
			add(e.By, e.To, ProgramOrder, g.inSession(e.By, e.To))
		case session.Listed:
			add(e.From, e.To, WriteOrder, g.edge(e))
		default:
			steps(e.Steps)
			returned(e.To, e.By)
			add(e.From, e.To, WriteOrder, g.edge(e))
		}
	}
	return list
}
