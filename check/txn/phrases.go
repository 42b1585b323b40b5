package txn

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
)

// phrases puts anomalies in words.
type phrases struct{ c *columns }

// clock renders a time of the test. Histories without times count events.
func clock(t history.Time) string {
	if t != 0 && t < 100_000 {
		return fmt.Sprintf("%d ns", t)
	}
	return fmt.Sprintf("%.3f s", float64(t)/1e9)
}

// anomaly makes one of a key.
func (p phrases) anomaly(key uint32, why string, txns ...uint32) Anomaly {
	a := Anomaly{Group: p.c.names[key].group, Why: why}
	for _, t := range txns {
		a.Ops, a.Culprit = append(a.Ops, int(t)), int(t)
	}
	return a
}

// reader begins a sentence about a read.
func (p phrases) reader(r *seen) string {
	op := &p.c.ops[r.txn]
	return fmt.Sprintf("Process %d read %s = %s, by %s", op.Process, p.c.names[r.key].key,
		p.list(r.list), clock(op.Return))
}

// list renders a list, the end of a long one.
func (p phrases) list(list []elem) string {
	const most = 12
	var b strings.Builder
	b.WriteString("[")
	if len(list) > most {
		fmt.Fprintf(&b, "… %d more … ", len(list)-most)
		list = list[len(list)-most:]
	}
	for i, e := range list {
		if i > 0 {
			b.WriteString(" ")
		}
		b.WriteString(p.c.text(e))
	}
	return b.String() + "]"
}

func (p phrases) internal(txn int, key uint32, had, tail, list []elem) Anomaly {
	op := &p.c.ops[txn]
	want := fmt.Sprintf("had appended %s", p.list(tail))
	switch {
	case len(tail) == 0:
		want = fmt.Sprintf("had read %s", p.list(had))
	case had != nil:
		want = fmt.Sprintf("had read %s and then appended %s", p.list(had), p.list(tail))
	}
	return p.anomaly(key, fmt.Sprintf(
		"Process %d read %s = %s, by %s, in a transaction that %s before.",
		op.Process, p.c.names[key].key, p.list(list), clock(op.Return), want), uint32(txn))
}

func (p phrases) futureRead(txn int, key uint32, e elem) Anomaly {
	op := &p.c.ops[txn]
	return p.anomaly(key, fmt.Sprintf("Process %d read %s in %s, by %s, before the same transaction "+
		"appended it.", op.Process, p.c.text(e), p.c.names[key].key, clock(op.Return)), uint32(txn))
}

func (p phrases) unexpected(r *seen, e elem) Anomaly {
	return p.anomaly(r.key, fmt.Sprintf("%s: nobody ever tried to append %s.", p.reader(r),
		p.c.text(e)), r.txn)
}

func (p phrases) twice(r *seen, e elem) Anomaly {
	return p.anomaly(r.key, fmt.Sprintf("%s: %s is there twice.", p.reader(r), p.c.text(e)),
		append(p.appenders(r.key, e), r.txn)...)
}

func (p phrases) aborted(r *seen, a *appended) Anomaly {
	return p.anomaly(r.key, fmt.Sprintf(
		"%s: the transaction of process %d that appended %s had failed.",
		p.reader(r), p.c.ops[a.txn].Process, p.c.text(a.elem)), a.txn, r.txn)
}

func (p phrases) dirty(bad, good *appended) Anomaly {
	return p.anomaly(bad.key, fmt.Sprintf(
		"In %s, %s follows %s, whose transaction, of process %d, had "+
			"failed.", p.c.names[bad.key].key, p.c.text(good.elem), p.c.text(bad.elem),
		p.c.ops[bad.txn].Process), p.with(good, bad.txn, good.txn)...)
}

// with adds to some transactions the first that read an element.
func (p phrases) with(a *appended, txns ...uint32) []uint32 {
	for _, r := range p.c.readsOf(a.key) {
		if !r.odd && len(r.list) >= int(a.place) {
			return append(txns, r.txn)
		}
	}
	return txns
}

func (p phrases) between(r *seen, a *appended) Anomaly {
	return p.anomaly(r.key, fmt.Sprintf("%s: it ends with %s, after which the same transaction of "+
		"process %d appended more to %s.", p.reader(r), p.c.text(a.elem), p.c.ops[a.txn].Process,
		p.c.names[r.key].key), a.txn, r.txn)
}

// torn is about a list that has the element of a row, but not before it that of the row
// before.
func (p phrases) torn(r *seen, row uint32) Anomaly {
	a, b := &p.c.appends[row-1], &p.c.appends[row]
	where := "but it is not there"
	if slices.Contains(r.list, a.elem) {
		where = "but it stands behind it"
	}
	return p.anomaly(a.key, fmt.Sprintf(
		"%s: process %d had appended %s before it appended %s in the same transaction, %s.",
		p.reader(r), p.c.ops[a.txn].Process, p.c.text(a.elem), p.c.text(b.elem), where),
		a.txn, r.txn)
}

// incompatible finds the first place at which a list is not like the longest one, and
// somebody who read that.
func (p phrases) incompatible(key uint32, r *seen) Anomaly {
	longest := p.c.longest[key]
	at := 0
	for at < len(longest) && at < len(r.list) && longest[at] == r.list[at] {
		at++
	}
	for _, other := range p.c.readsOf(key) {
		if len(other.list) == len(longest) && slices.Equal(other.list, longest) {
			return p.anomaly(key, fmt.Sprintf("%s, and process %d read %s: they differ at place %d.",
				p.reader(r), p.c.ops[other.txn].Process, p.list(longest), at),
				append(p.appenders(key, longest[at], r.list[at]), other.txn, r.txn)...)
		}
	}
	return p.anomaly(key, p.reader(r)+".", r.txn)
}

func (p phrases) fractured(txn uint32, had, missed glimpse) Anomaly {
	by := had.writer - 1
	return p.anomaly(had.key, fmt.Sprintf(
		"The transaction of process %d, by %s, saw what that of process %d appended to %s, but "+
			"not what it appended to %s.", p.c.ops[txn].Process, clock(p.c.ops[txn].Return),
		p.c.ops[by].Process, p.c.names[had.key].key,
		p.c.names[missed.key].key), by, txn)
}

// appenders are the transactions that appended some elements.
func (p phrases) appenders(key uint32, elems ...elem) []uint32 {
	var txns []uint32
	for _, a := range p.c.appendsOf(key) {
		if slices.Contains(elems, a.elem) && !slices.Contains(txns, a.txn) {
			txns = append(txns, a.txn)
		}
	}
	return txns
}

func (p phrases) lostUpdate(key uint32, place int, a, b uint32) Anomaly {
	return p.anomaly(key, fmt.Sprintf("The transactions of process %d and of process %d both read "+
		"%s = %s and appended to it (by %s and by %s): one did not see the other.",
		p.c.ops[a].Process, p.c.ops[b].Process, p.c.names[key].key, p.list(p.c.longest[key][:place]),
		clock(p.c.ops[a].Return), clock(p.c.ops[b].Return)), a, b)
}

func (p phrases) lost(a *appended, reader uint32) Anomaly {
	by, r := &p.c.ops[a.txn], &p.c.ops[reader]
	later := 0
	for _, read := range p.c.readsOf(a.key) {
		if p.c.ops[read.txn].Call > by.Return {
			later++
		}
	}
	after := fmt.Sprintf("%d were called after that, the last by process %d at %s.", later, r.Process,
		clock(r.Call))
	if later < 2 {
		after = fmt.Sprintf("One was called after that, by process %d at %s.", r.Process, clock(r.Call))
	}
	gone, state := r.Call-by.Return >= soon, "it is lost"
	if !gone {
		state = "it is late or lost, which nobody knows so soon"
	}
	found := p.anomaly(a.key, fmt.Sprintf("Process %d was told at %s that it had appended %s to %s, "+
		"but no read has it: %s. %s", by.Process, clock(by.Return), p.c.text(a.elem),
		p.c.names[a.key].key, state, after), a.txn, reader)
	found.Gone = gone
	return found
}

// soon is for how long after an append a read without it may only have been stale.
const soon = history.Time(1e9)

// meanings of the bases of cycles.
var meanings = [...]string{
	"writes in a circle", "information that flows in a circle",
	"a read that misses what its transaction depends on",
	"reads, apart from each other, that miss what their transactions depend on",
	"transactions that do not see each other's writes",
}

// cycle explains a cycle edge by edge. T1, T2 and so on are its operations in their order.
func (p phrases) cycle(c graph.Cycle) Anomaly {
	a := Anomaly{Type: Type(c.Class.String()), Group: p.c.ops[c.Edges[0].From].Key}
	c.Edges = p.shorten(c.Edges)
	for _, e := range c.Edges {
		a.Ops = append(a.Ops, int(e.From))
		if p.c.ops[e.From].Call > p.c.ops[a.Culprit].Call || len(a.Ops) == 1 {
			a.Culprit = int(e.From)
		}
	}
	for _, e := range c.Edges {
		a.Ops = p.witness(a.Ops, e)
	}
	slices.Sort(a.Ops)
	name := func(t graph.Txn) string {
		at, _ := slices.BinarySearch(a.Ops, int(t))
		return fmt.Sprintf("T%d", at+1)
	}
	met := make(map[graph.Txn]bool)
	introduced := func(t graph.Txn) string {
		if met[t] {
			return name(t)
		}
		met[t] = true
		return introduce(name(t), &p.c.ops[t])
	}
	told := make([]string, len(c.Edges))
	for i, e := range c.Edges {
		told[i] = p.edge(e, introduced(e.From), introduced(e.To))
	}
	for _, e := range c.Edges {
		why := p.edge(e, name(e.From), name(e.To))
		a.Cycle = append(a.Cycle, Edge{int(e.From), int(e.To), e.Kind, why})
		a.hidden = a.hidden || e.Kind <= graph.RW && e.Cause&unobserved != 0
	}
	if i, ok := missing(a.Cycle); ok {
		a.Culprit, a.Mark = a.Cycle[i].From, "misses what "+name(c.Edges[i].To)+" wrote"
	}
	a.Why, a.Called = circle(a.Cycle, told), called(c.Class)
	return a
}

// introduce names a transaction that is met for the first time.
func introduce(name string, op *history.Operation) string {
	if op.Ended == history.Never {
		return fmt.Sprintf("%s (of process %d)", name, op.Process)
	}
	if op.Type == history.Info {
		return fmt.Sprintf("%s (of process %d, called at %s, outcome unknown)", name, op.Process,
			clock(op.Call))
	}
	return fmt.Sprintf("%s (of process %d, by %s)", name, op.Process, clock(op.Ended))
}

// circle tells of a cycle: why each of its transactions comes before the next. Of a read that
// misses what its transaction had to see, that is told first.
func circle(cycle []Edge, told []string) string {
	text := strings.Join(told, " ")
	if i, ok := missing(cycle); ok {
		others := append(slices.Clone(told[i+1:]), told[:i]...)
		text = clause(told[i]) + ", although "
		for _, other := range others[:len(others)-1] {
			text += clause(other) + ", and "
		}
		text += others[len(others)-1]
	}
	if plain := inPlain(cycle); plain != "" {
		return plain + ": " + text
	}
	if _, ok := missing(cycle); !ok {
		text = "No order of these transactions explains what they saw: " + text
	}
	return text
}

// inPlain says what two transactions did to each other, "" of others.
func inPlain(cycle []Edge) string {
	if len(cycle) != 2 {
		return ""
	}
	kinds := []graph.Kind{cycle[0].Kind, cycle[1].Kind}
	slices.Sort(kinds)
	switch {
	case kinds[0] == graph.RW && kinds[1] == graph.RW:
		return "Two transactions, and each misses what the other wrote"
	case kinds[0] == graph.WW && kinds[1] == graph.RW:
		return "A transaction wrote over another one that it had not seen"
	case kinds[0] == graph.WR && kinds[1] == graph.RW:
		return "Only a part of a transaction is there"
	}
	return ""
}

// called is how the literature calls such cycles, and what that means.
func called(class graph.Class) string {
	by := ""
	switch class.By {
	case graph.Process:
		by = ", by the order of sessions"
	case graph.Realtime:
		by = ", by the order of time"
	}
	return fmt.Sprintf("%s: %s%s", class, meanings[class.Base], by)
}

// clause is a sentence as a part of another one.
func clause(sentence string) string { return strings.TrimSuffix(sentence, ".") }

// missing returns which edge of a short cycle is a read that misses what the other edges say
// that it had to see, false if it is no such cycle.
func missing(cycle []Edge) (at int, ok bool) {
	const most = 3
	if len(cycle) > most {
		return 0, false
	}
	at = -1
	for i, e := range cycle {
		switch {
		case e.Kind == graph.WW || e.Kind == graph.RW && at >= 0:
			return 0, false
		case e.Kind == graph.RW:
			at = i
		}
	}
	return at, at >= 0
}

// shorten leaves out who only wrote in between: the graph has a dependency on the next
// version alone, but a list that has an element has all that came before it, too.
// The class stays as it is.
func (p phrases) shorten(cycle []graph.Edge) []graph.Edge {
	class := graph.ClassOf(cycle)
	for i := 0; i < len(cycle) && len(cycle) > 2; i++ {
		j := (i + 1) % len(cycle)
		a, b := cycle[i], cycle[j]
		if a.Kind > graph.RW || b.Kind > graph.RW || a.Kind == graph.WR || b.Kind == graph.RW {
			continue
		}
		key, from := p.version(a)
		other, place := p.version(b)
		if key != other || b.Kind == graph.WW && place >= 0 && place <= from {
			continue // one who wrote at several places may be between others
		}
		e := graph.Edge{From: a.From, To: b.To, Kind: max(a.Kind, b.Kind), Cause: b.Cause}
		switch {
		case a.Kind == graph.RW && b.Kind == graph.WR:
			continue
		case b.Kind == graph.WR:
			for place >= 0 && p.writer(key, place) != a.From {
				place--
			}
			if place < 0 {
				continue
			}
			e.Cause = p.c.orderStart[key] + uint32(place)
		}
		short := slices.Clone(cycle)
		short[i] = e
		short = slices.Delete(short, j, j+1)
		if graph.ClassOf(short) == class {
			cycle, i = short, -1
		}
	}
	return cycle
}

// version returns the key of an edge through data and the place of its version, -1 if it
// has none.
func (p phrases) version(e graph.Edge) (key uint32, place int) {
	if e.Cause&unobserved != 0 {
		return p.c.appends[e.Cause&^unobserved].key, -1
	}
	key = uint32(sort.Search(len(p.c.names), func(k int) bool {
		return p.c.orderStart[k+1] > e.Cause
	}))
	return key, int(e.Cause - p.c.orderStart[key])
}

// witness adds who has read in which order two elements came, or that a crashed
// transaction took effect, if none of ops has.
func (p phrases) witness(ops []int, e graph.Edge) []int {
	crashedTo := e.Kind == graph.RW && p.c.outcome[e.To] == resolved
	if e.Kind != graph.WW && !crashedTo {
		return ops
	}
	key, place := p.version(e)
	if place < 0 {
		place = len(p.c.longest[key]) - 1
	}
	found := -1
	for _, r := range p.c.readsOf(key) {
		if r.odd || len(r.list) <= place {
			continue
		}
		if slices.Contains(ops, int(r.txn)) {
			return ops
		}
		if found < 0 {
			found = int(r.txn)
		}
	}
	if found >= 0 {
		ops = append(ops, found)
	}
	return ops
}

// edge says in words why one transaction comes before another.
func (p phrases) edge(e graph.Edge, from, to string) string {
	switch e.Kind {
	case graph.Process:
		return fmt.Sprintf("%s came before %s in process %d.", from, to, p.c.ops[e.From].Process)
	case graph.Realtime:
		return fmt.Sprintf("%s had returned at %s, before %s was called at %s.", from,
			clock(p.c.ops[e.From].Return), to, clock(p.c.ops[e.To].Call))
	}
	key, place := p.version(e)
	if place < 0 {
		return p.hidden(e, from, to)
	}
	name, elem := p.c.names[key].key, p.c.text(p.c.longest[key][place])
	switch e.Kind {
	case graph.WW:
		before := place - 1
		for before > 0 && p.writer(key, before) != e.From {
			before--
		}
		return fmt.Sprintf("%s appended %s to %s behind %s of %s.", to, elem, name,
			p.c.text(p.c.longest[key][before]), from)
	case graph.WR:
		return fmt.Sprintf("%s read %s with %s of %s.", to, name, elem, from)
	default:
		return fmt.Sprintf("%s read %s without %s of %s.", from, name, elem, to)
	}
}

func (p phrases) writer(key uint32, place int) graph.Txn {
	if row := p.c.order[int(p.c.orderStart[key])+place]; row != none {
		return graph.Txn(p.c.appends[row].txn)
	}
	return -1
}

// hidden explains an edge to an append that is in no list.
func (p phrases) hidden(e graph.Edge, from, to string) string {
	a := &p.c.appends[e.Cause&^unobserved]
	name, elem := p.c.names[a.key].key, p.c.text(a.elem)
	if a.loose {
		return fmt.Sprintf("%s appended %s to %s, which the longest list does not have, so it comes "+
			"behind all that it has, the last by %s.", to, elem, name, from)
	}
	if e.Kind == graph.WW {
		return fmt.Sprintf("%s appended %s to %s, which no read has, so it comes behind all that they "+
			"have, the last by %s.", to, elem, name, from)
	}
	return fmt.Sprintf("%s read %s without %s of %s, which no read has.", from, name, elem, to)
}
