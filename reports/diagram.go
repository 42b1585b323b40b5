package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
)

// diagram is a counter-example in pictures and words.
type diagram struct {
	ID       string
	Key, Why string
	// Before is what operations that are not drawn had come to.
	Before string
	// Reading tells how to read the pictures, Minimality how small it is.
	Reading, Minimality string
	// Called is how the literature calls it.
	Called string
	Views  []view
	// Pictures are the same for several widths of the reader's window.
	Pictures []picture
	// Meanwhile are the faults behind the bars, in words.
	Meanwhile []bandNote
	// Told and Orders are the picture in words, for those who do not see it; Undrawn are
	// the orders that are in words only.
	Told            []toldOp
	Orders, Undrawn []toldEdge
	// Brief is true when the words are so few that they are always shown.
	Brief bool
	// Mark is what is wrong with the culprits, "" if there are none.
	Mark string
	// Bold says whether some of the orders are emphasized.
	Bold bool
	// Open says whether there are operations without end, Cut whether time was cut out.
	Open, Cut bool
	// LeftOut are the operations before those drawn.
	LeftOut int
}

// toldOp is an operation as a line of a table.
type toldOp struct {
	Name, Process, What, From, To, Outcome string
	// Mark is what is wrong with it, Note what it has to do with the one that is wrong.
	Mark, Note string
}

// toldEdge is an order as a line of a list.
type toldEdge struct {
	Number      int
	Class, Kind string
	// Gloss explains the kind, Why is the reason.
	Gloss, Why string
	// Bold is true for those that contradict each other among others that do not.
	Bold bool
}

const (
	opsTold  = 200
	opsDrawn = 60
	briefOps = 8
)

// widths are those of the pictures and how their lanes are labeled; page.css chooses.
var widths = [...]struct {
	kind  string
	width int
	aside bool // the names of lanes stand left of them, not above
}{{"wide", 1030, true}, {"medium", 660, true}, {"narrow", 318, false}}

// newDiagram draws a counter-example and tells it.
func newDiagram(r Run, i int, f found, bands bands) diagram {
	d := diagram{
		ID: fmt.Sprintf("ce%d", i+1), Key: brief(string(f.Key), whyMost), Why: brief(f.Why, whyMost),
		Before: brief(f.Before, whyMost), Reading: f.reading(), Minimality: f.minimality(),
		Called: f.calling(),
	}
	f.Counterexample = tidy(f.Counterexample)
	clock := clockOf(f.Ops)
	for i := range f.Ops {
		op := &f.Ops[i]
		t := tell(r, op, f.placed(op), clock)
		t.Name, t.Note = f.name(i), op.Note
		if fate := f.fate(op); fate != "" {
			t.Outcome = brief(fate, tellMost)
		}
		if op.Return < 0 {
			t.Outcome += "; it may take effect at any later time, or never"
		}
		if f.culprit(op) {
			t.Mark = f.mark()
			d.Mark = t.Mark
		}
		d.Told = append(d.Told, t)
		d.Open = d.Open || op.Return < 0
	}
	d.Told = d.Told[max(0, len(d.Told)-opsTold):]
	d.Brief = len(d.Told) <= briefOps
	f.arrange()
	shown := f.advance(drawnEdges(&f))
	d.tellOrders(&f, len(shown))
	d.LeftOut = max(0, len(f.Ops)-opsDrawn)
	for _, w := range widths {
		if len(f.Ops) == 0 {
			break
		}
		p := newPicture(r, &f, shown, bands, w.width, w.aside)
		p.Kind, p.ID = w.kind, d.ID
		d.Pictures = append(d.Pictures, p)
		d.Meanwhile = p.notes
		d.Cut = d.Cut || len(p.Cuts) > 0
	}
	return d
}

// tellOrders tells the orders, of which the first are drawn.
func (d *diagram) tellOrders(f *found, drawn int) {
	for i, e := range f.Edges {
		word, class := kindOf(e.Kind)
		bold := f.loop[i] && !f.cyclic()
		d.Bold = d.Bold || bold
		d.Orders = append(d.Orders, toldEdge{
			Number: i + 1, Class: class, Kind: word, Gloss: gloss(e.Kind),
			Why: brief(f.reason(e), whyMost), Bold: bold,
		})
	}
	d.Orders, d.Undrawn = d.Orders[:drawn], d.Orders[drawn:]
}

// tidy gives even the shortest operation a length.
func tidy(c check.Counterexample) check.Counterexample {
	c.Ops = slices.Clone(c.Ops)
	for i := range c.Ops {
		if op := &c.Ops[i]; op.Return >= 0 && op.Return <= op.Call {
			op.Return = op.Call + 1
		}
	}
	c.Edges = slices.DeleteFunc(slices.Clone(c.Edges), func(e check.Edge) bool {
		return min(e.From, e.To) < 0 || max(e.From, e.To) >= len(c.Ops) || e.From == e.To
	})
	return c
}

func clockOf(ops []check.Op) clock {
	var times []int64
	for _, op := range ops {
		times = append(times, op.Call)
		if op.Return >= 0 {
			times = append(times, op.Return)
		}
	}
	slices.Sort(times)
	return newClock(slices.Compact(times))
}

const (
	// edgesClear is the number of arrows that are seen at once, edgesDrawn the number of
	// which a reader can still make something.
	edgesClear = 5
	edgesDrawn = 12
)

// drawnEdges are the positions of the edges that the picture shows: one between any two
// operations, without those that say little if there are many. The axis shows the order in
// time anyway; such edges are drawn only where nothing else tells about the culprit.
func drawnEdges(f *found) []int {
	all := distinct(f)
	var telling, timely, least []int
	for _, i := range all {
		e := f.Edges[i]
		_, class := kindOf(e.Kind)
		culprit := f.culprit(&f.Ops[e.From]) || f.culprit(&f.Ops[e.To])
		switch {
		case f.loop[i] || class != "edge-time" && culprit:
			least = append(least, i)
			telling = append(telling, i)
		case class == "edge-wr":
			telling = append(telling, i)
		case class == "edge-time" && culprit:
			timely = append(timely, i)
		}
	}
	switch {
	case len(all) <= edgesClear || f.cyclic() && len(all) <= edgesDrawn:
		return all
	case len(telling) == 0:
		return timely[:min(len(timely), edgesClear)]
	case len(telling) <= edgesDrawn:
		return telling
	}
	return least[:min(len(least), edgesDrawn)]
}

// advance puts some edges first, so that their numbers are the first ones, and returns
// their positions then.
func (f *found) advance(first []int) []int {
	var sorted []check.Edge
	var loop []bool
	for _, want := range []bool{true, false} {
		for i, e := range f.Edges {
			if slices.Contains(first, i) == want {
				sorted, loop = append(sorted, e), append(loop, f.loop[i])
			}
		}
	}
	f.Edges, f.loop = sorted, loop
	at := make([]int, len(first))
	for i := range at {
		at[i] = i
	}
	return at
}

// distinct are the positions of edges between different operations. Of several between the
// same two it is one of values, if there is any. A circle has no more than it needs.
func distinct(f *found) []int {
	var list []int
	for i, e := range f.Edges {
		at := slices.IndexFunc(list, func(j int) bool {
			return f.Edges[j].From == e.From && f.Edges[j].To == e.To
		})
		if at < 0 || f.cyclic() {
			list = append(list, i)
			continue
		}
		if _, class := kindOf(f.Edges[list[at]].Kind); class == "edge-time" {
			list[at] = i
		}
	}
	return list
}

// class keeps a type of an operation from becoming any other class name.
func class(t string) string {
	for _, known := range []string{"ok", "fail", "info"} {
		if t == known {
			return t
		}
	}
	return "other"
}

func tell(r Run, op *check.Op, what []string, c clock) toldOp {
	t := toldOp{
		Process: askedLabel(r, op), What: brief(strings.Join(what, "; "), tellMost),
		From: c.at(op.Call),
		To:   c.returned(op.Return), Outcome: op.Type,
	}
	return t
}

// processLabel names a process and the node that its thread talks to.
func processLabel(r Run, p int64) string {
	label := fmt.Sprintf("process %d", p)
	if node := nodeOf(r, p); node != "" {
		label += " at " + node
	}
	return label
}

// askedLabel names the process of an operation and the node that it asked.
func askedLabel(r Run, op *check.Op) string {
	label := fmt.Sprintf("process %d", op.Process)
	if node := askedOf(r, op); node != "" {
		label += " at " + node
	}
	return label
}

// askedOf returns the node that an operation asked, "" if that is not known.
func askedOf(r Run, op *check.Op) string {
	if r.Roaming {
		return r.Visited[op.Index]
	}
	return nodeOf(r, op.Process)
}

// nodeOf returns the node that a process talks to, "" if that is not known.
func nodeOf(r Run, p int64) string {
	if r.Roaming || r.Concurrency <= 0 || len(r.Nodes) == 0 || p < 0 {
		return ""
	}
	return r.Nodes[int(p%int64(r.Concurrency))%len(r.Nodes)]
}
