package txn

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/rw"
	"github.com/ordeal-dev/ordeal/check/weak"
	"github.com/ordeal-dev/ordeal/history"
)

// anomaly makes one of some transactions, the last of which shows it.
func (g *registers) anomaly(why string, txns ...weak.Txn) Anomaly {
	a := Anomaly{Group: g.name, Why: why, Minimal: true}
	for _, t := range txns {
		if t == weak.Initial {
			continue
		}
		at := g.places[t]
		a.Culprit = at
		if !slices.Contains(a.Ops, at) {
			a.Ops = append(a.Ops, at)
		}
	}
	slices.Sort(a.Ops)
	return a
}

// wrong tells of a read that is wrong by itself.
func (g *registers) wrong(v *weak.Violation) Anomaly {
	op, key := g.op(v.Reader), g.names[v.Key]
	got := fmt.Sprintf("Process %d read %s = %s, by %s", op.Process, key, g.value(v.Value),
		clock(op.Return))
	writer := func() history.Process { return g.op(v.Writer).Process }
	switch v.Kind {
	case weak.ThinAir:
		return g.anomaly(got+", which nobody ever tried to write.", v.Reader)
	case weak.AbortedRead:
		return g.anomaly(fmt.Sprintf("%s, but the transaction of process %d that wrote it had failed.",
			got, writer()), v.Writer, v.Reader)
	case weak.Intermediate:
		return g.anomaly(fmt.Sprintf("%s, which the transaction of process %d that wrote it had "+
			"overwritten itself.", got, writer()), v.Writer, v.Reader)
	case weak.FutureRead:
		return g.anomaly(got+", before the same transaction wrote it.", v.Reader)
	}
	return g.anomaly(fmt.Sprintf("%s, in a transaction in which it had written or read %s before.",
		got, g.value(v.Want)), v.Writer, v.Reader)
}

func (g *registers) lost(l rw.Lost) Anomaly {
	a, b := g.op(l.Txns[0]), g.op(l.Txns[1])
	return g.anomaly(fmt.Sprintf("The transactions of process %d and of process %d both read %s = %s "+
		"and wrote it (by %s and by %s): one did not see the other.", a.Process, b.Process,
		g.names[l.Key], g.written(l.Writer, l.Key), clock(a.Return), clock(b.Return)),
		l.Writer, l.Txns[0], l.Txns[1])
}

// cyclic tells of a key whose order contradicts itself.
func (g *registers) cyclic(c rw.Cyclic) Anomaly {
	key := g.names[c.Key]
	var list []weak.Txn
	var b strings.Builder
	fmt.Fprintf(&b, "The versions of %s have no order.", key)
	for _, s := range c.Seen {
		list = append(list, s[:]...)
	}
	for _, w := range c.Writers {
		if w != weak.Initial {
			list = append(list, w)
		}
	}
	n := g.witnesses(list)
	for i, s := range c.Seen {
		older := g.written(c.Writers[i], c.Key)
		newer := g.written(c.Writers[(i+1)%len(c.Writers)], c.Key)
		if s[0] == s[1] {
			fmt.Fprintf(&b, " %s read %s and wrote %s.", n.of(s[0]), older, newer)
		} else {
			fmt.Fprintf(&b, " After %s had seen %s, %s saw %s.", n.of(s[0]), older, n.of(s[1]), newer)
		}
	}
	a := g.anomaly(b.String(), n.list...)
	a.Minimal = false
	return a
}

// written is what a transaction left in a key.
func (g *registers) written(t weak.Txn, key int32) string {
	if t == weak.Initial {
		return "nothing"
	}
	last := "?"
	for _, op := range g.h.Of(t) {
		if op.Write && op.Key == key {
			last = g.value(op.Value)
		}
	}
	return last
}

// names of the transactions of an anomaly: T1, T2 and so on, in the order of the history. If
// there is a map of those that were met, others are introduced.
type names struct {
	list []weak.Txn
	met  map[weak.Txn]bool
	op   func(weak.Txn) *history.Operation
}

func (n names) of(t weak.Txn) string {
	at, _ := slices.BinarySearch(n.list, t)
	name := fmt.Sprintf("T%d", at+1)
	if n.met == nil || n.met[t] {
		return name
	}
	n.met[t] = true
	return introduce(name, n.op(t))
}

// witnesses adds to transactions who proves of the crashed ones that they took effect.
func (g *registers) witnesses(txns []weak.Txn) names {
	v := weak.Violation{Kind: weak.Cycle, Reader: weak.Initial, Writer: weak.Initial}
	for _, t := range txns {
		v.Edges = append(v.Edges, weak.Edge{From: t, To: t})
	}
	return names{list: g.x.Witness(&v)}
}

// fractured tells of transactions that saw only a part of another.
func (g *registers) fractured(v *weak.Violation) Anomaly {
	return g.unordered("There is no order in which transactions see all or nothing of another.", v)
}

// unordered tells of a cycle that no order of the transactions can have.
func (g *registers) unordered(what string, v *weak.Violation) Anomaly {
	n := names{list: g.x.Witness(v)}
	var b strings.Builder
	whole := true
	b.WriteString(what)
	for _, e := range v.Edges {
		whole = whole && e.From != weak.Initial && e.To != weak.Initial
		if e.Why == weak.First {
			continue
		}
		b.WriteString(" " + g.weakEdge(e, n))
	}
	a := g.anomaly(b.String(), n.list...)
	a.Minimal = false
	for _, e := range v.Edges {
		if !whole {
			break
		}
		kind := map[weak.Reason]graph.Kind{
			weak.ReadsFrom: graph.WR, weak.Overwritten: graph.WW, weak.SessionOrder: graph.Process,
		}[e.Why]
		a.Cycle = append(a.Cycle, Edge{g.places[e.From], g.places[e.To], kind, g.weakEdge(e, n)})
	}
	return a
}

func (g *registers) weakEdge(e weak.Edge, n names) string {
	switch e.Why {
	case weak.ReadsFrom:
		return g.readIt(e.From, e.To, e.Key, n) + "."
	case weak.SessionOrder:
		return fmt.Sprintf("%s came before %s in process %d.", n.of(e.From), n.of(e.To),
			g.op(e.From).Process)
	}
	key, was := g.names[e.Key], "nothing"
	if e.To != weak.Initial {
		was = fmt.Sprintf("%s of %s", g.written(e.To, e.Key), n.of(e.To))
	}
	return fmt.Sprintf("%s had seen %s, which wrote %s = %s, and read %s = %s.", n.of(e.Via),
		n.of(e.From), key, g.written(e.From, e.Key), key, was)
}

func (g *registers) readIt(from, to weak.Txn, key int32, n names) string {
	return fmt.Sprintf("%s read %s = %s of %s", n.of(to), g.names[key], g.written(from, key),
		n.of(from))
}

// cycle explains a cycle of dependencies that are certain.
func (g *registers) cycle(c rw.Cycle) Anomaly {
	n := g.witnesses(txnsOf(c))
	a := g.anomaly("", n.list...)
	told := g.edges(&a, c, n)
	if i, ok := missing(a.Cycle); ok {
		a.Culprit, a.Mark = a.Cycle[i].From, "misses what "+n.of(c.Edges[i].To)+" wrote"
	}
	a.Why, a.Called = circle(a.Cycle, told), called(c.Class)
	return a
}

func txnsOf(c rw.Cycle) []weak.Txn {
	var list []weak.Txn
	for _, e := range c.Edges {
		list = append(list, e.From)
		// The versions of an edge may be known by others than those it connects.
		for _, w := range []weak.Txn{e.Older, e.Newer} {
			if e.Kind <= graph.RW && w != weak.Initial {
				list = append(list, w)
			}
		}
	}
	return list
}

// edges adds those of a cycle to an anomaly, and tells them.
func (g *registers) edges(a *Anomaly, c rw.Cycle, n names) (told []string) {
	m := names{n.list, make(map[weak.Txn]bool), g.op}
	for _, e := range c.Edges {
		why, because := g.edge(e, n)
		a.Cycle = append(a.Cycle, Edge{g.places[e.From], g.places[e.To], e.Kind, why + because + "."})
		why, _ = g.edge(e, m)
		told = append(told, why+".")
	}
	return told
}

// edge says in words why one transaction comes before another, and because of what that
// is known where it is not plain to see.
func (g *registers) edge(e rw.Edge, n names) (why, because string) {
	if e.Kind == graph.WR {
		return g.readIt(e.From, e.To, e.Key, n), ""
	}
	from, to := n.of(e.From), n.of(e.To)
	switch e.Kind {
	case graph.Process:
		return fmt.Sprintf("%s came before %s in process %d", from, to, g.op(e.From).Process), ""
	case graph.Realtime:
		return fmt.Sprintf("%s had returned at %s, before %s was called at %s", from,
			clock(g.op(e.From).Return), to, clock(g.op(e.To).Call)), ""
	}
	key := g.names[e.Key]
	older, newer := g.written(e.Older, e.Key), g.written(e.Newer, e.Key)
	because = ": the other way round would be a circle, too"
	switch e.Rule {
	case rw.InitialFirst:
		return fmt.Sprintf("%s read %s = nothing, without the %s of %s", from, key, newer, to), ""
	case rw.ReadThenWrote:
		return fmt.Sprintf("%s read %s = %s, which %s read and replaced by %s", from, key, older,
			to, newer), ""
	case rw.OfKeys:
		because = ", by the order that the key keeps"
	}
	did := map[graph.Kind]string{graph.WW: "wrote", graph.RW: "read"}[e.Kind]
	return fmt.Sprintf("%s %s %s = %s, older than the %s of %s", from, did, key, older, newer,
		to), because
}

// core tells of a part of the history for which no order of versions will do.
func (g *registers) core(c rw.Core) Anomaly {
	n := g.witnesses(c.Txns)
	a := g.anomaly("", n.list...)
	a.Minimal = c.Minimal && len(n.list) == len(c.Txns)
	a.Called = string(coreType(c.Level))
	text := strings.Join(g.edges(&a, c.Cycle, n), " ")
	a.Why = fmt.Sprintf("No order of these transactions is %s. %s", c.Level, text)
	if plain := inPlain(a.Cycle); plain != "" {
		a.Why = plain + ": " + text
	}
	return a
}
