package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// scene is what the faults of a counter-example are weighed by: the operations that decide
// it, where they were answered, and who led then.
type scene struct {
	acts []act // in the order of time
	// from is when the first of all its operations was called, to when the last act was over.
	from, to int64
	// led says that it is known who led at every act.
	led bool
	// nodes is how many there are; clients go from one to another if roaming.
	nodes   int
	roaming bool
	// limits are after which times nodes or clients give up.
	limits []time.Duration
	// faults are the records of the windows, by id, as far as there are any.
	faults map[int64]nemesis.FaultRecord
}

// act is an operation that decides a counter-example.
type act struct {
	name     string // "process 5's add"
	client   string // "process 5"
	op       check.Op
	from, to int64
	// node answered it, "" if that is not known; leaders believed to lead then.
	node    string
	leaders []string
}

// actsMost is up to how many operations all of them decide, if none is told apart.
const actsMost = 4

func newScene(r Run, f *found, b bands) scene {
	s := scene{
		from: f.first().Call, led: len(b.leads) > 0, nodes: len(r.Nodes), roaming: r.Roaming,
		faults: map[int64]nemesis.FaultRecord{},
		limits: []time.Duration{r.RequestTimeout, r.OpTimeout},
	}
	for _, rec := range r.Faults {
		s.faults[rec.Step.ID] = rec
	}
	for _, i := range f.decisive() {
		op := f.Ops[i]
		a := act{
			name: f.called(i), client: fmt.Sprintf("process %d", op.Process), op: op,
			from: op.Call, to: f.ended(op), node: askedOf(r, &op),
		}
		for _, l := range b.leadersAt(op) {
			a.leaders = append(a.leaders, l.node)
		}
		s.led = s.led && len(a.leaders) > 0
		s.acts = append(s.acts, a)
		s.to = max(s.to, a.to)
	}
	slices.SortStableFunc(s.acts, func(a, b act) int { return cmp.Compare(a.from, b.from) })
	if f.checker == "availability" { // they are examples of all that was tried in that time
		first, last := s.acts[0], s.acts[len(s.acts)-1]
		s.acts = []act{{name: "that time", op: last.op, from: first.from, to: last.from}}
		s.to = last.from
	}
	return s
}

// decisive are the positions of the operations that decide: those that give the violation away,
// and those whose effect they miss. Where none is told apart from the others, a few are all.
func (f *found) decisive() []int {
	var told, culprits, all []int
	for i := range f.Ops {
		op := &f.Ops[i]
		all = append(all, i)
		if f.culprit(op) {
			culprits = append(culprits, i)
		}
		if f.culprit(op) || op.Missed {
			told = append(told, i)
		}
	}
	switch {
	case f.stuck() && len(culprits) > 0:
		return culprits[:1]
	case len(told) == 0 || len(told) == len(culprits) && len(all) <= actsMost:
		return all
	}
	return told
}

// called names the i-th operation as in "process 5's add", with the time of its call where
// there are several such.
func (f *found) called(i int) string {
	if name := f.name(i); name != "" {
		return name
	}
	what := func(op *check.Op) string {
		f := brief(op.F, 40)
		if f == "txn" {
			f = "transaction"
		}
		return fmt.Sprintf("process %d's %s", op.Process, f)
	}
	name := what(&f.Ops[i])
	for j := range f.Ops {
		if j != i && what(&f.Ops[j]) == name {
			return fmt.Sprintf("%s at %s", name, at(history.Time(f.Ops[i].Call)))
		}
	}
	return name
}

// weighed is a fault with how much it may have to do with a counter-example: the least rank is
// the most.
type weighed struct {
	history.Window
	rank  int
	under []int // the acts that came under it
	near  bool  // it was at the node of an act, or at a leader of then
}

// The ranks of faults.
const (
	rankParts   = iota // it stood between the nodes of two acts, at one of them
	rankHit            // an act came under it, at its node or leader; or it healed before the next
	rankForgot         // nodes may have forgotten by it what was known, between the acts
	rankAll            // an act came under it, which was everywhere
	rankNear           // an act came under it, which was elsewhere
	rankBetween        // it was between the acts, at the node of one or its leader
	rankElse           // it was between them elsewhere
)

// weigh returns the faults from the first operation to the last act, those that may have the
// most to do with it first.
func (s *scene) weigh(windows []history.Window) []weighed {
	var all []weighed
	for _, w := range during(windows, s.from, s.to) {
		f := weighed{Window: w}
		hit := false
		for i, a := range s.acts {
			if int64(w.Start) <= a.to && int64(w.End) >= a.from {
				f.under = append(f.under, i)
				hit = hit || s.touches(w, a)
			}
		}
		under := len(f.under) > 0
		f.near = slices.ContainsFunc(s.acts, func(a act) bool { return s.touches(w, a) })
		_, parts := s.parted(w)
		forgot := s.forgot(w) && (f.near || s.everywhere(w))
		switch {
		case under && parts:
			f.rank = rankParts
		case hit || under && (forgot || s.healed(w)):
			f.rank = rankHit
		case forgot:
			f.rank = rankForgot
		case under && s.everywhere(w):
			f.rank = rankAll
		case under || s.forgot(w):
			f.rank = rankNear
		case f.near:
			f.rank = rankBetween
		default:
			f.rank = rankElse
		}
		all = append(all, f)
	}
	slices.SortStableFunc(all, func(a, b weighed) int {
		far := func(f weighed) int {
			if f.near || len(f.under) > 0 {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(far(a), far(b)),
			cmp.Compare(s.parts(b.Window), s.parts(a.Window)),
			cmp.Compare(s.mildness(a.Window), s.mildness(b.Window)),
			cmp.Compare(len(b.under), len(a.under)), cmp.Compare(b.Start, a.Start))
	})
	return all
}

// parts counts what the nodes that a fault hit have to do with the acts.
func (s *scene) parts(w history.Window) (n int) {
	if s.everywhere(w) {
		return 0
	}
	for _, node := range w.Nodes {
		for _, a := range s.acts {
			if a.node == node {
				n++
			}
			if slices.Contains(a.leaders, node) {
				n++
			}
		}
	}
	return n
}

// mildness orders faults that otherwise have as much to do with it: what cuts nodes off or ends
// them before what disturbs their messages, and that before what bends their clocks.
func (s *scene) mildness(w history.Window) int {
	switch {
	case s.faults[w.ID].Cut && w.Fault != "clients":
		return 0
	case strings.HasPrefix(w.Fault, "clock"):
		return 3
	case w.Fault == "messages":
		return 2
	}
	return 1
}

// healed reports whether a cut ended between the last two acts: what had been said on both
// sides of it met then.
func (s *scene) healed(w history.Window) bool {
	n := len(s.acts)
	return n > 1 && s.faults[w.ID].Cut && w.Fault != "clients" &&
		int64(w.End) >= s.acts[n-2].from && int64(w.End) <= s.acts[n-1].to
}

// touches reports whether a fault was at the node of an act, or at a leader of then.
func (s *scene) touches(w history.Window, a act) bool {
	return len(w.Nodes) < max(1, s.nodes) && slices.ContainsFunc(w.Nodes, func(n string) bool {
		return n == a.node || slices.Contains(a.leaders, n)
	})
}

// everywhere reports whether a fault was at no node more than at others.
func (s *scene) everywhere(w history.Window) bool {
	return len(w.Nodes) == 0 || len(w.Nodes) == s.nodes || spreads(w.Fault)
}

// spreads reports whether a fault hits other nodes than those that it names, too.
func spreads(fault string) bool { return fault == "isolate-restart" || fault == "kill-seq" }

// forgot reports whether a fault by which nodes may forget began, or went on, between two acts
// of which the later one had to know of the other.
func (s *scene) forgot(w history.Window) bool {
	forgets := slices.ContainsFunc(
		[]string{"kill", "restart", "torn", "flip", "wipe", "truncate", "power"},
		func(f string) bool { return strings.Contains(w.Fault, f) })
	return forgets && len(s.acts) > 1 && int64(w.End) >= s.acts[0].from && int64(w.Start) <= s.to
}

// parted returns two acts whose nodes a cut stood between, the nearest to the end.
func (s *scene) parted(w history.Window) (nodes [2]int, ok bool) {
	rec := s.faults[w.ID]
	if !rec.Cut || w.Fault == "flapping" {
		return nodes, false
	}
	for j := len(s.acts) - 1; j > 0; j-- {
		for i := j - 1; i >= 0; i-- {
			a, b := s.acts[i].node, s.acts[j].node
			if a != "" && b != "" && a != b && cuts(rec, a, b) && cuts(rec, b, a) {
				return [2]int{i, j}, true
			}
		}
	}
	return nodes, false
}

// oneWay returns two acts, the nearest to the end, where a cut let nothing through from the node
// of the earlier one to that of the later one.
func (s *scene) oneWay(w history.Window) (one, other act, ok bool) {
	rec := s.faults[w.ID]
	if !rec.Cut || w.Fault == "flapping" {
		return one, other, false
	}
	for j := len(s.acts) - 1; j > 0; j-- {
		for i := j - 1; i >= 0; i-- {
			if cuts(rec, s.acts[i].node, s.acts[j].node) {
				return s.acts[i], s.acts[j], true
			}
		}
	}
	return one, other, false
}

// told names a fault; that the links which it lists are those that are cut has to be said.
func (s *scene) told(w history.Window) string {
	text := told(w)
	if s.faults[w.ID].Cut && strings.Contains(w.What, "->") {
		text += " (the links that are cut)"
	}
	return text
}

// cuts reports whether a fault cut the link from one node to another.
func cuts(rec nemesis.FaultRecord, from, to string) bool {
	return slices.Contains(rec.Links, nemesis.Link{From: nemesis.Node(from), To: nemesis.Node(to)})
}

const (
	// lately is how long ago a fault may have ended that is told nevertheless, latelyNear one at
	// the node of an act: what it did may last.
	lately, latelyNear = int64(2e9), int64(5e9)
	// latelyMost is how many of them are told.
	latelyMost = 2
)

// before returns the faults that had ended shortly before the first operation, the last first.
func (s *scene) before(windows []history.Window) (all []weighed) {
	for _, w := range windows {
		ago := s.from - int64(w.End)
		near := !s.everywhere(w) && slices.ContainsFunc(s.acts, func(a act) bool {
			return s.touches(w, a)
		})
		if w.End != history.Never && ago > 0 && (ago <= lately || near && ago <= latelyNear) {
			all = append(all, weighed{Window: w, near: near})
		}
	}
	slices.SortStableFunc(all, func(a, b weighed) int { return cmp.Compare(b.End, a.End) })
	return all[:min(len(all), latelyMost)]
}

// tell says what fault it was, when, and what it has to do with the acts.
func (s *scene) tell(f weighed) string {
	text := s.told(f.Window) + s.when(f)
	if s.elsewhere(f.Window) {
		text = "elsewhere: " + text
	}
	if parts := s.between(f); parts != "" {
		return text + "; " + parts
	}
	return text
}

// when says which acts came under a fault, with its time.
func (s *scene) when(f weighed) string {
	span := fmt.Sprintf(" (%s to %s)", at(f.Start), at(f.End))
	first, last := s.acts[0], s.acts[len(s.acts)-1]
	switch n := len(f.under); {
	case n == len(s.acts):
		if n == 1 {
			return span
		}
		return ", in force all along" + span
	case n > 0:
		var names []string
		for _, i := range f.under {
			names = append(names, s.acts[i].name)
		}
		text := ", in force at " + theirs(names)
		if next := f.under[n-1] + 1; next < len(s.acts) && int64(f.End) < s.acts[next].from {
			text += ", over before " + s.acts[next].name
		}
		return text + span
	case int64(f.End) < s.from:
		return fmt.Sprintf(", had ended %s before%s", ago(s.from-int64(f.End)), span)
	case int64(f.End) < first.from:
		return ", before " + first.name + span
	case int64(f.Start) > first.to && int64(f.End) < last.from:
		return ", in between" + span
	}
	return span
}

// between says which acts a fault stood between, or what the nodes that it hit have to do with
// them, "" where there is nothing to say.
func (s *scene) between(f weighed) string {
	return strings.Join(slices.DeleteFunc([]string{s.stood(f), s.alone(f.Window)},
		func(text string) bool { return text == "" }), "; ")
}

// outOfTime says which acts were answered just when a time limit had ended, which is when one
// gives up: rather than being done they may have been given up.
func (s *scene) outOfTime() string {
	var all []string
	for _, a := range s.acts {
		took := time.Duration(a.op.Return - a.op.Call)
		for _, limit := range s.limits {
			if a.op.Type == "ok" && limit > 0 && took >= limit && took <= limit+limit/20 {
				all = append(all, fmt.Sprintf("%s was answered after %s, just when the time limit of "+
					"%s had ended.", strings.ToUpper(a.name[:1])+a.name[1:], short(took), short(limit)))
			}
		}
	}
	return strings.Join(all, " ")
}

// cutting is how long it may take until a cut is in force, or is over, at most.
const cutting = int64(200e6)

// alone says which acts were answered by a node that a fault cut off from all others, both ways,
// from the call to the answer, "" if none was.
func (s *scene) alone(w history.Window) string {
	rec := s.faults[w.ID]
	if !rec.Cut || !rec.Injected || rec.HealError != "" || w.Fault != "partition" || s.nodes < 2 {
		return ""
	}
	var all []string
	for _, a := range s.acts {
		out, in := map[nemesis.Node]bool{}, map[nemesis.Node]bool{}
		for _, l := range rec.Links {
			if string(l.From) == a.node {
				out[l.To] = true
			}
			if string(l.To) == a.node {
				in[l.From] = true
			}
		}
		if a.op.Type == "ok" && a.op.Return >= 0 && int64(w.Start)+cutting <= a.from &&
			int64(w.End)-cutting >= a.to && min(len(out), len(in)) >= s.nodes-1 {
			all = append(all, fmt.Sprintf("%s answered %s while all its links to others were cut", a.node,
				a.name))
		}
	}
	return strings.Join(all, ", ")
}

// stood says which acts a fault stood between, or what the nodes that it hit have to do with
// them.
func (s *scene) stood(f weighed) string {
	w := f.Window
	if pair, ok := s.parted(w); ok && len(f.under) > 0 {
		one, other := s.acts[pair[0]], s.acts[pair[1]]
		return fmt.Sprintf("it cut %s (%s) off from %s (%s)", other.node, other.name, one.node, one.name)
	}
	if one, other, ok := s.oneWay(w); ok && len(f.under) > 0 {
		return fmt.Sprintf("nothing got from %s (%s) to %s (%s) directly", one.node, one.name,
			other.node, other.name)
	}
	if s.everywhere(w) || len(w.Nodes) > 2 {
		return ""
	}
	var all []string
	for _, n := range w.Nodes {
		if roles := s.roles(n); len(roles) > 0 {
			all = append(all, n+" "+andAlso(roles))
		}
	}
	if len(all) > 0 {
		return strings.Join(all, ", ")
	}
	if !s.elsewhere(w) {
		return ""
	}
	verb := "answered none of these operations"
	if s.led {
		verb += " and did not lead then"
	}
	return andAlso(w.Nodes) + " " + verb
}

// elsewhere reports whether a fault was at nodes that have nothing to do with the acts, as far as
// it is known which ones have.
func (s *scene) elsewhere(w history.Window) bool {
	const few = 2 // nodes of which each is named
	switch {
	case s.everywhere(w), len(w.Nodes) > few, len(w.Nodes) > 1 && s.faults[w.ID].Cut:
		return false
	}
	return !slices.ContainsFunc(s.acts, func(a act) bool {
		return a.node == "" || slices.Contains(w.Nodes, a.node) ||
			slices.ContainsFunc(w.Nodes, func(n string) bool { return slices.Contains(a.leaders, n) })
	})
}

// roles are what a node has to do with the acts.
func (s *scene) roles(node string) (all []string) {
	var asked, led []string
	for _, a := range s.acts {
		if a.node == node {
			asked = append(asked, a.name)
		}
		if slices.Contains(a.leaders, node) {
			led = append(led, a.name)
		}
	}
	if len(asked) > 0 {
		all = append(all, "was asked for "+theirs(asked))
	}
	switch {
	case len(led) == 0:
	case len(led) == len(s.acts):
		all = append(all, "led")
	default:
		all = append(all, "led at "+theirs(led))
	}
	return all
}

// andAlso joins words as people do.
func andAlso(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// theirs joins names of acts; those of the same process, one after another, share its name.
func theirs(names []string) string {
	var all []string
	last := ""
	for _, name := range names {
		whose, what, of := strings.Cut(name, "'s ")
		if of && whose == last {
			all[len(all)-1] += " and " + what
			continue
		}
		all, last = append(all, name), whose
	}
	return andAlso(all)
}

// lead says who believed to lead at the acts: two at once, one after another, or one.
func (s *scene) lead(b bands) string {
	last := s.acts[len(s.acts)-1].op
	leads := b.leaders(last)
	if !strings.Contains(leads, " and ") {
		leads = paragraph(b.rivals(s.acts[0].from, last.Call), s.changes(b), leads)
	}
	return leads
}

// changes says who led at the acts before the last one, if it was somebody else.
func (s *scene) changes(b bands) string {
	last := b.leadersAt(s.acts[len(s.acts)-1].op)
	var told []string
	for _, a := range s.acts[:len(s.acts)-1] {
		leads := b.leadersAt(a.op)
		if len(leads) == 1 && len(last) == 1 && leads[0].named() != last[0].named() {
			told = append(told, fmt.Sprintf("at %s %s led", a.name, leads[0].named()))
		}
	}
	if len(told) == 0 {
		return ""
	}
	text := strings.Join(told, ", ")
	return strings.ToUpper(text[:1]) + text[1:] + "; the leader changed before " +
		s.acts[len(s.acts)-1].name + "."
}
