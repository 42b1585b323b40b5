package check

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/ordeal-dev/ordeal/check/search"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// explainAll makes counterexamples of the first illegal objects, the smallest key
// first.
func (l *linearizable) explainAll(
	ctx context.Context, p *planner, h *history.History, objects []*object,
) []Counterexample {
	ctx, cancel := context.WithTimeout(ctx, l.o.Explain)
	defer cancel()
	var bad []*object
	for _, o := range objects {
		if o.finding.answer == illegal {
			bad = append(bad, o)
		}
	}
	slices.SortStableFunc(bad, func(a, b *object) int { return a.size - b.size })
	bad = bad[:max(0, min(len(bad), l.o.Counterexamples))]
	if err := l.complete(h, bad...); err != nil {
		return nil // they fitted when they were judged
	}
	cxs := make([]Counterexample, 0, len(bad))
	for _, o := range bad {
		share := l.o.Explain / time.Duration(len(bad))
		limited, cancel := context.WithTimeout(ctx, share)
		cxs = append(cxs, l.explain(limited, p, o, share))
		cancel()
	}
	slices.SortStableFunc(cxs, func(a, b Counterexample) int { return len(a.Ops) - len(b.Ops) })
	return cxs
}

// pageTime bounds the search for an interactive page, which is a comfort.
const pageTime = time.Second

// explain reduces one illegal object and puts it in words and pictures.
func (l *linearizable) explain(
	ctx context.Context, p *planner, o *object, share time.Duration,
) Counterexample {
	// Half of the time for reducing.
	m := &minimizer{planner: p, spec: l.spec}
	half, cancel := context.WithTimeout(ctx, share/2)
	f := o.finding
	if f.direct {
		f = p.exactly(o.all) // the same in terms of items
	}
	part, minimal := m.reduce(half, o.all, f)
	culprit := -1
	if end, found := m.firstViolation(half, part, nil); found {
		culprit = culpritAt(part, end)
	}
	cx := Counterexample{Key: o.key, Minimal: minimal}
	if until, found := m.firstViolation(half, o.all, o.failed); found {
		cx.Until = until
	}
	from, isSettled := m.settle(half, part, culprit)
	cancel()
	w := &witness{
		spec: l.spec, key: o.key, all: o.all, failed: l.refused(o.failed),
		part: part, culprit: culprit, last: l.lastStands(ctx, p, part), edges: l.edges(part),
	}
	if isSettled {
		w.settled = &from
	}
	told := w.tell()
	cx.Why, cx.Mark = told.why, told.mark
	shown := slices.Clone(part)
	if w.dirty != nil {
		shown = append(shown, *w.dirty)
	}
	byCall(shown)
	for i := range shown {
		it := &shown[i]
		op := l.show(it, culprit >= 0 && it.op == part[culprit].op)
		if told.by != nil && it.op == told.by.op {
			op.Note, op.Missed = told.note, told.missed
		}
		cx.Ops = append(cx.Ops, op)
	}
	cx.Edges = l.edges(shown)
	if told.mutual {
		cx.Edges = append(cx.Edges, mutualEdges(shown, part[culprit].op, told.by.op)...)
	}
	if told.settled {
		cx.Before = from.tell()
		cx.leaveOut(from.from)
	}
	l.draw(ctx, p, o, part, culprit, &cx)
	return cx
}

// lastStands returns what a search for an order of part came to.
func (l *linearizable) lastStands(ctx context.Context, p *planner, part []item) []search.Stand {
	plain := planner{spec: p.spec, guard: p.guard, desks: new(sync.Pool)}
	plain.spec.Leads = nil // it has to go as far as it can
	b := search.Budget{Steps: 1 << 20, Order: true}
	d := plain.desk()
	return plain.search(ctx, engineFrontier, d, d.lay(part), b).last
}

// refused are the failed operations with what they would have done.
func (l *linearizable) refused(failed []*history.Operation) []item {
	var items []item
	for _, op := range failed {
		if p, err := l.spec.Parse(*op); err == nil && len(p.Facts.Makes) > 0 {
			items = append(items, item{op: op, p: p, call: op.Call, ret: op.Return})
		}
	}
	return items
}

// draw adds Porcupine's pages, as far as there is time.
func (l *linearizable) draw(
	ctx context.Context, p *planner, o *object, part []item, culprit int, cx *Counterexample,
) {
	page := func(items []item) string {
		limited, cancel := context.WithTimeout(ctx, pageTime)
		defer cancel()
		items, _ = prune(items)
		f, info := porcupined(limited, p.guard, l.spec.Porcupine, items, true)
		if f.answer != illegal {
			return ""
		}
		return l.page(info, part, culprit, cx.Why)
	}
	cx.Visualization = page(part)
	if pageWorthTrying(len(o.all), l.o.PageSize) && len(part) < len(o.all) {
		cx.WholeVisualization = page(o.all)
	}
}

// pageWorthTrying avoids rendering what cannot fit: every operation takes at least
// its bounds and its description, about 150 bytes.
func pageWorthTrying(operations, size int) bool { return operations < size/150 }

// culpritAt returns the operation whose return at the given time made the history
// illegal, an observation if there are several.
func culpritAt(items []item, end history.Time) int {
	culprit := -1
	for i := range items {
		if items[i].crashed() || items[i].ret != end {
			continue
		}
		if culprit < 0 || items[i].p.Facts.Observes {
			culprit = i
		}
	}
	return culprit
}

// page renders Porcupine's interactive page, or nothing when it is too large.
func (l *linearizable) page(
	info porcupine.LinearizationInfo, part []item, culprit int, why string,
) string {
	if culprit >= 0 {
		info.AddAnnotations([]porcupine.Annotation{{
			Tag:   "violation",
			Start: int64(part[culprit].call), End: int64(part[culprit].ret),
			Description: "no place for " + l.describe(&part[culprit]), Details: why,
			BackgroundColor: "#e3a4a0",
		}})
	}
	// The page treats descriptions of operations as text, but those of states as
	// HTML, and what is in a state came from the system under test.
	m := l.spec.Porcupine
	m.DescribeState = func(state any) string {
		return html.EscapeString(l.spec.Porcupine.DescribeState(state))
	}
	var b bytes.Buffer
	err := porcupine.Visualize(m, info, &b)
	if err != nil || b.Len() > l.o.PageSize {
		return ""
	}
	return b.String()
}

func (l *linearizable) describe(it *item) string {
	return l.spec.Porcupine.DescribeOperation(it.p.In, it.p.Out)
}

func (l *linearizable) show(it *item, culprit bool) Op {
	op := showOp(it.op)
	op.Describe = l.describe(it)
	op.Culprit = culprit
	return op
}

// showOp prepares an operation for a counterexample. What it means is not known
// here, so Describe is f, value and result as they are.
func showOp(op *history.Operation) Op {
	o := Op{
		Index: op.Index, Process: int64(op.Process),
		Call: int64(op.Call), Return: int64(op.Return),
		Type: op.Type.String(), F: string(op.F), Key: string(op.Key),
		In: op.In.String(), Out: op.Out.String(),
	}
	o.Describe = fmt.Sprintf("%s(%s)", op.F, strings.TrimPrefix(o.In, "null"))
	if op.Type == history.OK && !op.Out.IsNil() {
		o.Describe += " = " + o.Out
	}
	if op.Type == history.Info || op.Return == history.Never {
		o.Return = -1
	}
	return o
}

// witness finds words for a violation.
type witness struct {
	spec models.Spec
	key  history.Key
	// all is everything on the key, part the counterexample.
	all, part []item
	// failed are operations that certainly changed nothing, dirty the one whose
	// effect was seen nevertheless.
	failed  []item
	dirty   *item
	culprit int // in part, -1 if not known
	// last is how far a search for an order of part came.
	last []search.Stand
	// edges are the orders in part.
	edges []Edge
	// settled is a state that is certain before the culprit, nil if there is none.
	settled *settled
}

// telling is a violation in words.
type telling struct {
	// why is a sentence or two, mark the same of the culprit in a few words.
	why, mark string
	// by is the operation that forbids the culprit, nil if there is no single one; note
	// says how.
	by   *item
	note string
	// missed is true when the culprit had to see what by did, or had seen.
	missed bool
	// settled is true when it is only about what came after a certain state.
	settled bool
	// mutual is true when the culprit and by have to come before each other, because each read
	// what the other one replaced.
	mutual bool
}

// tell finds words for the violation. The special sentences are tried first; each of them
// states facts that forbid the culprit by themselves.
func (w *witness) tell() telling {
	if w.culprit < 0 {
		return telling{why: fmt.Sprintf("No order of %s on %s explains all their results.",
			count(len(w.part), "operation", "operations"), keyName(w.key))}
	}
	c := &w.part[w.culprit]
	for _, find := range []func(*item, models.Token) (telling, bool){
		w.neverMade, w.madeLater, w.overwritten, w.seenAfter, w.takenTwice, w.replacedTwice,
	} {
		for _, t := range c.p.Facts.Sees {
			if told, ok := find(c, t); ok {
				return told
			}
		}
	}
	if told, ok := w.missing(c); ok {
		return told
	}
	if told, ok := w.contrary(c); ok {
		return told
	}
	if told, ok := w.skew(c); ok {
		return told
	}
	return w.noPlace(c)
}

// skew finds another transaction at the same time, after all others, when each of the two read
// what the other one replaced.
func (w *witness) skew(c *item) (telling, bool) {
	var o *item
	for i := range w.part {
		it := &w.part[i]
		switch {
		case it == c, before(it, c):
			continue
		case o != nil, it.crashed(), it.op.F != "txn", before(c, it):
			return telling{}, false
		}
		o = it
	}
	if o == nil || slices.ContainsFunc(w.part, func(it item) bool {
		return it.op != c.op && it.op != o.op && !before(&it, o)
	}) {
		return telling{}, false
	}
	for _, t := range c.p.Facts.Sees {
		for _, u := range o.p.Facts.Sees {
			if t.Place == u.Place || !replaces(o, t) || !replaces(c, u) {
				continue
			}
			return telling{
				why: fmt.Sprintf("Process %d's transaction read %s = %s and wrote %s, and that of process "+
					"%d read %s = %s and wrote %s, both at the same time (answered at %s and %s)%s: neither "+
					"saw what the other wrote (write skew).", c.op.Process, named(t.Place), t.Value,
					leftIn(c, u.Place), o.op.Process, named(u.Place), u.Value, leftIn(o, t.Place),
					seconds(c.ret), seconds(o.ret), onKey(w.key)),
				mark: fmt.Sprintf("read %s without the write of process %d", named(t.Place), o.op.Process),
				by:   o, note: fmt.Sprintf("read %s without the write of ✕", named(u.Place)), missed: true,
				settled: w.settled != nil, mutual: true,
			}, true
		}
	}
	return telling{}, false
}

// named is a place as people write it.
func named(place models.Scalar) string { return strings.Trim(place.String(), `"`) }

// leftIn says what an operation left in a place.
func leftIn(it *item, place models.Scalar) string {
	text := ""
	for _, t := range it.p.Facts.Makes {
		if t.Place == place {
			text = fmt.Sprintf("%s = %s", named(place), t.Value)
		}
	}
	return text
}

// early says that an operation had been answered before the culprit began.
func early(by, c *item) string {
	return fmt.Sprintf("answered %s before ✕ was called", distance(c.call-by.ret))
}

// got says who got what, and when.
func (w *witness) got(c *item) string {
	at := fmt.Sprintf("at %s%s", seconds(c.ret), onKey(w.key))
	switch {
	case c.p.Facts.Denies:
		return fmt.Sprintf("Process %d's %s was refused %s", c.op.Process, w.call(c), at)
	case c.p.Facts.Pure || c.p.Facts.InUnit:
		return fmt.Sprintf("Process %d got %s %s", c.op.Process, w.describe(c), at)
	}
	return fmt.Sprintf("Process %d's %s succeeded %s", c.op.Process, w.describe(c), at)
}

// call describes an operation without its outcome.
func (w *witness) call(it *item) string {
	s := w.describe(it)
	for _, outcome := range []string{" failed", " unknown"} {
		s = strings.TrimSuffix(s, outcome)
	}
	return s
}

func onKey(k history.Key) string {
	if k == "" {
		return ""
	}
	return " on key " + string(k)
}

func (w *witness) describe(it *item) string {
	return w.spec.Porcupine.DescribeOperation(it.p.In, it.p.Out)
}

// done says how the history knows of an operation.
func (w *witness) done(it *item) string {
	if it.crashed() {
		return fmt.Sprintf("%s of process %d (called at %s, outcome unknown)",
			w.call(it), it.op.Process, seconds(it.call))
	}
	return fmt.Sprintf("%s of process %d (acknowledged at %s)",
		w.describe(it), it.op.Process, seconds(it.ret))
}

func makes(it *item, t models.Token) bool { return slices.Contains(it.p.Facts.Makes, t) }
func sees(it *item, t models.Token) bool  { return slices.Contains(it.p.Facts.Sees, t) }

// makers returns who may have made t; a nil value was also there at the start.
func (w *witness) makers(t models.Token) []*item {
	var list []*item
	for i := range w.all {
		if makes(&w.all[i], t) {
			list = append(list, &w.all[i])
		}
	}
	return list
}

func (w *witness) neverMade(c *item, t models.Token) (telling, bool) {
	if t.Value.IsNil() || len(w.makers(t)) > 0 {
		return telling{}, false
	}
	for i := range w.failed {
		if it := &w.failed[i]; makes(it, t) && it.call <= c.ret {
			w.dirty = it
			return telling{
				why: fmt.Sprintf("%s, but the only operation to put %s there, %s of process %d, "+
					"had failed for certain by %s.", w.got(c), t.Value, w.call(it),
					it.op.Process, seconds(it.ret)),
				mark: fmt.Sprintf("%s had failed", w.call(it)),
			}, true
		}
	}
	return telling{
		why: fmt.Sprintf("%s, but no operation that succeeded or may have taken effect "+
			"ever put %s there.", w.got(c), t.Value),
		mark: fmt.Sprintf("nobody put %s there", t.Value),
	}, true
}

func (w *witness) madeLater(c *item, t models.Token) (telling, bool) {
	makers := w.makers(t)
	if t.Value.IsNil() || len(makers) == 0 {
		return telling{}, false
	}
	first := slices.MinFunc(makers, func(a, b *item) int { return int(a.call - b.call) })
	if first.call <= c.ret {
		return telling{}, false
	}
	return telling{
		why: fmt.Sprintf("%s, but the first operation that could have put %s there, "+
			"%s of process %d, was called only at %s.",
			w.got(c), t.Value, w.call(first), first.op.Process, seconds(first.call)),
		mark: fmt.Sprintf("%s came only later", w.call(first)),
		by:   first,
		note: fmt.Sprintf("called %s after ✕ was answered", distance(first.call-c.ret)),
	}, true
}

// overwritten finds an acknowledged change after all the makers of t and before
// the culprit.
func (w *witness) overwritten(c *item, t models.Token) (telling, bool) {
	last, ok := w.lastMade(c, t)
	if !ok {
		return telling{}, false
	}
	// One that stands in the picture is better than a later one that does not.
	by := latestBetween(w.part, t, last, c.call)
	if by == nil {
		by = latestBetween(w.all, t, last, c.call)
	}
	if by == nil {
		return telling{}, false
	}
	return telling{
		why: fmt.Sprintf("%s although %s had replaced it, and nothing put %s there after that.%s",
			w.got(c), w.done(by), t.Value, w.afterwards(c, t, by)),
		mark: fmt.Sprintf("%s had replaced it by %s", w.call(by), seconds(by.ret)),
		by:   by, note: early(by, c), missed: true,
	}, true
}

// afterwards says whether what the culprit missed was seen after it, so that it was stale, or
// how often what it saw was seen again.
func (w *witness) afterwards(c *item, t models.Token, by *item) string {
	var again *item
	more, seen, last := 0, false, history.Time(0)
	for i := range w.all {
		it := &w.all[i]
		if it.crashed() || it.call <= c.ret {
			continue
		}
		for _, u := range by.p.Facts.Makes {
			if u.Place == t.Place && u != t && sees(it, u) && len(w.makers(u)) == 1 &&
				(again == nil || it.ret < again.ret) {
				again = it
			}
		}
		if sees(it, t) {
			more++
			last = max(last, it.call)
		}
		seen = seen || slices.ContainsFunc(by.p.Facts.Makes, func(u models.Token) bool {
			return u.Place == t.Place && sees(it, u)
		})
	}
	switch {
	case again != nil:
		return fmt.Sprintf(" It was stale: process %d's %s succeeded at %s.", again.op.Process,
			w.describe(again), seconds(again.ret))
	case more > 0 && !seen:
		state := "late or lost"
		if last >= by.ret+soon {
			state = "lost"
		}
		return fmt.Sprintf(" %s is %s: after that %s was seen %s more, and what it put there never.",
			w.call(by), state, t.Value, howOften(more))
	}
	return ""
}

// latestBetween returns the acknowledged change of t that ended last among those
// called after one time and answered before another, nil if there is none.
func latestBetween(items []item, t models.Token, after, before history.Time) *item {
	var by *item
	for i := range items {
		it := &items[i]
		if it.p.Facts.Replaces && !it.crashed() && it.call > after && it.ret < before &&
			replaces(it, t) && (by == nil || it.ret > by.ret) {
			by = it
		}
	}
	return by
}

// replaces reports whether it puts something else in the place of t.
func replaces(it *item, t models.Token) bool {
	other := false
	for _, m := range it.p.Facts.Makes {
		other = other || m.Place == t.Place && m != t
	}
	return other && !makes(it, t)
}

// lastMade returns the time by which every maker of t that was called before the
// culprit returned had returned itself. It is not known when one of them never did.
func (w *witness) lastMade(c *item, t models.Token) (history.Time, bool) {
	last := history.Time(-1)
	for _, it := range w.makers(t) {
		if it.call <= c.ret {
			last = max(last, it.ret)
		}
	}
	return last, last != history.Never
}

// seenAfter finds somebody who had seen a later value before the culprit began.
func (w *witness) seenAfter(c *item, t models.Token) (telling, bool) {
	last, ok := w.lastMade(c, t)
	if !ok {
		return telling{}, false
	}
	// One that stands in the picture is better than an earlier one that does not.
	for _, items := range [][]item{w.part, w.all} {
		for i := range items {
			if told, ok := w.newer(&items[i], c, t, last); ok {
				return told, true
			}
		}
	}
	return telling{}, false
}

// newer reports whether an operation had seen something newer than t, which was made by last,
// before the culprit began.
func (w *witness) newer(it, c *item, t models.Token, last history.Time) (telling, bool) {
	if it.crashed() || it.ret >= c.call || c.p.Facts.Whole {
		return telling{}, false
	}
	for _, u := range it.p.Facts.Sees {
		if u.Place != t.Place || u == t || u.Value.IsNil() {
			continue
		}
		makers := w.makers(u)
		later := len(makers) > 0
		for _, m := range makers {
			later = later && m.p.Facts.Replaces && m.call > last
		}
		if later {
			return telling{
				why: fmt.Sprintf("%s although process %d had already got %s by %s, and %s "+
					"was put there later than %s.", w.got(c), it.op.Process, w.describe(it),
					seconds(it.ret), u.Value, t.Value),
				mark: fmt.Sprintf("%s, which is newer, was seen by %s", u.Value, seconds(it.ret)),
				by:   it, note: early(it, c), missed: true,
			}, true
		}
	}
	return telling{}, false
}

// takenTwice is about queues: more came out than went in.
func (w *witness) takenTwice(c *item, t models.Token) (telling, bool) {
	if !c.p.Facts.InUnit {
		return telling{}, false
	}
	out := 0
	for i := range w.all {
		if it := &w.all[i]; sees(it, t) && it.ret <= c.ret {
			out++
		}
	}
	in := len(w.makers(t))
	if out <= in {
		return telling{}, false
	}
	return telling{
		why: fmt.Sprintf("%s, so %s came out %s, but it was put in %s.",
			w.got(c), t.Value, howOften(out), howOften(in)),
		mark: fmt.Sprintf("came out %s, put in %s", howOften(out), howOften(in)),
	}, true
}

// replacedTwice is about two that both replaced what was there only once.
func (w *witness) replacedTwice(c *item, t models.Token) (telling, bool) {
	makers := w.makers(t)
	if len(makers) > 1 || len(makers) == 1 && t.Value.IsNil() || !replaces(c, t) ||
		!c.p.Facts.Replaces {
		return telling{}, false
	}
	for i := range w.part {
		it := &w.part[i]
		if it.op == c.op || it.crashed() || !sees(it, t) || !it.p.Facts.Replaces || !replaces(it, t) {
			continue
		}
		there := "nothing ever put null back"
		if len(makers) > 0 {
			there = fmt.Sprintf("only %s put it there", w.done(makers[0]))
		}
		return telling{
			why: fmt.Sprintf("%s and process %d's %s at %s: both replaced the same %s, and %s.",
				w.got(c), it.op.Process, w.describe(it), seconds(it.ret), t.Value, there),
			mark: fmt.Sprintf("replaced %s once more", t.Value),
			by:   it,
			note: fmt.Sprintf("replaced %s, too", t.Value),
		}, true
	}
	return telling{}, false
}

// missing is about reads of everything: something acknowledged is not there.
func (w *witness) missing(c *item) (telling, bool) {
	if !c.p.Facts.Whole {
		return telling{}, false
	}
	for i := range w.all {
		if w.all[i].p.Facts.Pinned {
			return telling{}, false // it may have been removed
		}
	}
	for i := range w.part {
		it := &w.part[i]
		if it.crashed() || it.ret >= c.call {
			continue
		}
		for _, t := range it.p.Facts.Makes {
			if !sees(c, t) {
				return telling{
					why: fmt.Sprintf("%s without %s, although %s had put it there.",
						w.got(c), t.Value, w.done(it)),
					mark: fmt.Sprintf("lacks %s, there since %s", t.Value, seconds(it.ret)),
					by:   it, note: early(it, c), missed: true,
				}, true
			}
		}
		for _, t := range it.p.Facts.Sees {
			if !sees(c, t) {
				return telling{
					why: fmt.Sprintf("%s without %s, although process %d had already got %s by %s.",
						w.got(c), t.Value, it.op.Process, w.describe(it), seconds(it.ret)),
					mark: fmt.Sprintf("lacks %s, seen by %s", t.Value, seconds(it.ret)),
					by:   it, note: early(it, c), missed: true,
				}, true
			}
		}
	}
	return telling{}, false
}

// contrary finds two operations that would have to come before each other.
func (w *witness) contrary(c *item) (telling, bool) {
	for i, b := range w.edges {
		for _, a := range w.edges[:i] {
			if a.From != b.To || a.To != b.From {
				continue
			}
			one, other := &w.part[a.From], &w.part[a.To]
			told := telling{
				why: fmt.Sprintf("%s, so each of %s and %s would have to come before the other: the "+
					"first because %s, the second because %s.", w.got(c), w.call(one), w.call(other),
					a.Why, b.Why),
				mark: fmt.Sprintf("puts %s before and after %s", w.call(one), w.call(other)),
			}
			if one == c || other == c {
				other = map[bool]*item{true: other, false: one}[one == c]
				told.mark = fmt.Sprintf("has to be before and after %s", w.call(other))
			}
			return told, true
		}
	}
	return telling{}, false
}

// noPlace is the sentence for everything else.
func (w *witness) noPlace(c *item) telling {
	if s := w.settled; s != nil {
		why := fmt.Sprintf("%s (called at %s), but by %s the state was %s", w.got(c), seconds(c.call),
			seconds(s.by), s.state)
		told := telling{mark: "fits nowhere", settled: true}
		if n := len(w.part) - s.from; n > 1 {
			why += fmt.Sprintf(", and no order of the %d operations since then allows it", n)
			if longest := w.longest(); longest != nil && len(longest.Order) > s.from {
				state := w.spec.Porcupine.DescribeState(longest.State)
				why += fmt.Sprintf(": with %d of the others done the state is %s%s",
					len(longest.Order)-s.from, state, w.otherwise(c, longest, &told))
				told.mark = "fits nowhere: then the state is " + state
			}
		}
		told.why = why + "."
		return told
	}
	told := telling{mark: "fits nowhere"}
	told.why = fmt.Sprintf("%s (called at %s), but no order of the %s allows it", w.got(c),
		seconds(c.call), count(len(w.part), "operation", "operations"))
	longest := w.longest()
	if longest == nil {
		told.why += "."
		return told
	}
	state := w.spec.Porcupine.DescribeState(longest.State)
	told.why = fmt.Sprintf("%s: the one that goes furthest has %d of the others done, and then the "+
		"state is %s%s.", told.why, len(longest.Order), state, w.otherwise(c, longest, &told))
	told.mark = fmt.Sprintf("fits nowhere: then the state is %s", state)
	return told
}

// otherwise says what the culprit had seen of several places that is not there after others,
// and who replaced it, "" if that is not known. The telling points to the last of these.
func (w *witness) otherwise(c *item, after *search.Stand, told *telling) string {
	last := make(map[models.Scalar]*item) // who put there what is in a place
	what := make(map[models.Scalar]models.Token)
	for _, at := range after.Order {
		it := &w.part[at]
		if len(it.p.Facts.Makes) > 0 && !it.p.Facts.Replaces {
			return ""
		}
		for _, u := range it.p.Facts.Makes {
			last[u.Place], what[u.Place] = it, u
		}
	}
	var all []string
	for _, t := range c.p.Facts.Sees {
		if it := last[t.Place]; it != nil && what[t.Place] != t && !t.Place.IsNil() {
			all = append(all, fmt.Sprintf("%s = %s, without the %s of process %d", t.Place, t.Value,
				what[t.Place].Value, it.op.Process))
			told.by, told.note, told.missed = it, "✕ had read without it", true
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "; it had read " + andList(all)
}

// longest is how far an order without the culprit goes at most, nil if that is not known.
func (w *witness) longest() (longest *search.Stand) {
	for i := range w.last {
		t := &w.last[i]
		has := slices.ContainsFunc(t.Order, func(at int) bool { return at == w.culprit })
		if !has && (longest == nil || len(t.Order) > len(longest.Order)) {
			longest = t
		}
	}
	return longest
}
