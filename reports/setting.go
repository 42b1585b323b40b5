package reports

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// setting is under which circumstances a counter-example came about: at which node, under
// which faults, and who believed to lead. Several faults are a list.
type setting struct {
	Before string
	Faults []string
	After  string
}

func newSetting(r Run, f *found, b bands) setting {
	if len(f.Ops) == 0 {
		return setting{}
	}
	sc := newScene(r, f, b)
	text, faults := sc.meanwhile(b.windows)
	s := setting{
		Before: paragraph(sc.where(), sc.outOfTime(), text), Faults: faults, After: sc.lead(b),
	}
	if f.stuck() || f.checker == "availability" {
		if before := beforeFaults(r.History, b.windows); before != "" {
			return setting{Before: before}
		}
	}
	if len(faults) == 0 {
		s = setting{Before: paragraph(s.Before, s.After)}
	}
	return s
}

// related says how all counter-examples lie to the faults, which one alone does not show: that
// there was none in force at some of them, or which kinds were at all. It is "" where there is
// nothing to compare.
func related(r Run, all []found, b bands) string {
	all = slices.DeleteFunc(slices.Clone(all), func(f found) bool {
		return f.stuck() || f.checker == "availability" || len(f.Ops) == 0
	})
	if len(all) < 2 || len(b.windows) == 0 {
		return ""
	}
	first := slices.MinFunc(b.windows, func(a, b history.Window) int {
		return cmp.Compare(a.Start, b.Start)
	}).Start
	free, later := 0, 0
	kinds := map[string]int{}
	for i := range all {
		f := &all[i]
		sc := newScene(r, f, b)
		from, to := sc.from, sc.to
		for _, op := range f.Ops {
			from, to = min(from, op.Call), max(to, f.ended(op))
		}
		if len(during(b.windows, from, to)) == 0 {
			free++
		}
		if sc.to >= int64(first) {
			later++
		}
		at := map[string]bool{}
		for _, w := range sc.weigh(b.windows) {
			if len(w.under) > 0 && !at[w.Fault] {
				at[w.Fault] = true
				kinds[w.Fault]++
			}
		}
	}
	after := afterFirst(r.History, len(all), later, first)
	text := atAll(len(all), free, kinds)
	if text == "" {
		after = strings.Replace(after, " came", " counter-examples on this page came", 1)
	}
	return paragraph(text, after)
}

// atAll says at how many of n counter-examples no fault was in force, or which kinds were at all.
func atAll(n, free int, kinds map[string]int) string {
	switch free {
	case 0:
	case n:
		return fmt.Sprintf("At none of the %d counter-examples on this page was any fault in force, "+
			"from its first operation to its last.", n)
	default:
		return fmt.Sprintf("At %d of the %d counter-examples on this page no fault was in force, "+
			"from the first operation to the last.", free, n)
	}
	var common []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if kinds[kind] == n {
			common = append(common, kind)
		}
	}
	if len(common) == 0 {
		return ""
	}
	return fmt.Sprintf("In force at %s counter-examples on this page: %s.", allOf(n),
		andAlso(common))
}

// allOf names n things, of which there are two or more.
func allOf(n int) string {
	if n == 2 {
		return "both"
	}
	return fmt.Sprintf("all %d", n)
}

// afterFirst says that all counter-examples are from after the first fault began, and how much
// went well before.
func afterFirst(h *history.History, n, later int, first history.Time) string {
	fine := 0
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Type == history.OK && op.Ended < first {
			fine++
		}
	}
	if later < n || fine == 0 {
		return ""
	}
	all := allOf(n)
	return fmt.Sprintf("%s came to light after the first fault began (%s); %s of %s operations "+
		"had succeeded before.", strings.ToUpper(all[:1])+all[1:], at(first), group(int64(fine)),
		group(int64(len(h.Ops))))
}

// beforeFaults says that most operations had failed before there was any fault, "" if not: then
// a fault is not why nothing works.
func beforeFaults(h *history.History, windows []history.Window) string {
	if len(windows) == 0 {
		return ""
	}
	first := slices.MinFunc(windows, func(a, b history.Window) int {
		return cmp.Compare(a.Start, b.Start)
	})
	all, failed := 0, 0
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Ended < first.Start {
			all++
			if op.Type != history.OK {
				failed++
			}
		}
	}
	if 2*failed <= all {
		return ""
	}
	return fmt.Sprintf("No fault is needed for that: of the %s operations before the first fault "+
		"%s did not succeed, either.", group(int64(all)), group(int64(failed)))
}

// paragraph puts sentences in one, without those that are empty.
func paragraph(sentences ...string) string {
	return strings.Join(slices.DeleteFunc(sentences, func(s string) bool { return s == "" }), " ")
}

// String is all of it in one paragraph.
func (s setting) String() string {
	list := strings.Join(s.Faults, "; ")
	if list != "" {
		list += "."
	}
	return paragraph(s.Before, list, s.After)
}

// where says which nodes the clients of the acts talk to.
func (s *scene) where() string {
	var all []string
	if s.roaming {
		return s.asked()
	}
	for _, a := range s.acts {
		text := fmt.Sprintf("%s of %s", a.client, a.node)
		if a.node != "" && a.client != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	if len(all) == 0 {
		return ""
	}
	one, rest, _ := strings.Cut(all[0], " of ")
	all[0] = strings.ToUpper(one[:1]) + one[1:] + " is a client of " + rest
	return andAlso(all) + "."
}

// asked says which node was asked for which act, where clients go from one to another.
func (s *scene) asked() string {
	var nodes, all []string
	for _, a := range s.acts {
		if a.node != "" && !slices.Contains(nodes, a.node) {
			nodes = append(nodes, a.node)
		}
	}
	for _, n := range nodes {
		var acts []string
		for _, a := range s.acts {
			if a.node == n {
				acts = append(acts, a.name)
			}
		}
		all = append(all, n+" was asked for "+theirs(acts))
	}
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "; ") + "."
}

// meanwhile says which faults there were at the time of a counter-example, or else that there
// was none and which it came after. What is damaged is often seen long after it was damaged:
// so these are the faults from its first operation to the one that gives it away. Several
// are a list.
func (s *scene) meanwhile(windows []history.Window) (text string, list []string) {
	all := s.weigh(windows)
	if len(all) == 0 {
		return s.without(windows), nil
	}
	most := all[:min(len(all), faultsTold)]
	for len(most) < len(all) && len(most) < faultsMost && len(all[len(most)].under) > 0 {
		most = all[:len(most)+1]
	}
	var words []string
	for _, f := range most {
		words = append(words, s.tell(f))
	}
	begin, one := "Faults, the nearest to it first:", "There was "
	if len(s.acts) == 1 {
		begin = "Faults at " + s.all() + " or before, the nearest to it first:"
		one = "At " + s.all() + " there was "
	}
	if !slices.ContainsFunc(all, func(f weighed) bool { return len(f.under) > 0 }) {
		begin = "No fault was in force at " + s.all() + ", but there were some from the first of " +
			"these operations on, the nearest first:"
		one = "No fault was in force at " + s.all() + ", but there was "
	}
	before := s.before(windows)
	if len(all) == 1 && len(before) == 0 {
		return one + words[0] + ".", nil
	}
	for _, f := range before {
		words = append(words, s.tell(f))
	}
	if more := len(all) - len(most); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return begin, words
}

const (
	// faultsTold is how many faults are told at least, if there are as many, faultsMost up to
	// how many of those that were in force.
	faultsTold, faultsMost = 3, 5
)

// all names the acts, or says that it is them.
func (s *scene) all() string {
	const few = 2
	if len(s.acts) > few {
		return "these operations"
	}
	var names []string
	for _, a := range s.acts {
		names = append(names, a.name)
	}
	return theirs(names)
}

// without says that there was no fault, and which ones were before or after.
func (s *scene) without(windows []history.Window) string {
	if len(windows) == 0 {
		return "No fault was injected in the whole run."
	}
	if i := lastBefore(windows, s.from); i >= 0 {
		w := windows[i]
		text := fmt.Sprintf("No fault was in force meanwhile; the last one before, %s, had ended %s "+
			"earlier (at %s)", s.told(w), ago(s.from-int64(w.End)), at(w.End))
		if parts := s.between(weighed{Window: w}); parts != "" {
			text += "; " + parts
		}
		return text + "."
	}
	first := slices.MinFunc(windows, func(a, b history.Window) int {
		return cmp.Compare(a.Start, b.Start)
	})
	return fmt.Sprintf("No fault was needed: the first one began only at %s.", at(first.Start))
}

// first is the operation with which it begins: that which was called first, or, where for some
// time nothing worked, the first that did not.
func (f *found) first() check.Op {
	ops := slices.Clone(f.Ops)
	if culprits := slices.DeleteFunc(slices.Clone(ops), func(op check.Op) bool {
		return !f.culprit(&op)
	}); len(culprits) > 1 && !f.stuck() {
		ops = culprits
	}
	return slices.MinFunc(ops, func(a, b check.Op) int { return cmp.Compare(a.Call, b.Call) })
}

// ended is when the client of an operation had an answer, be it only that nobody knows what
// became of it, or else when it was called.
func (f *found) ended(op check.Op) int64 {
	return max(op.Call, op.Return, int64(f.answered[op.Index]))
}

// during returns the windows that have a part of a stretch of time.
func during(windows []history.Window, from, to int64) (list []history.Window) {
	for _, w := range windows {
		if int64(w.Start) <= to && int64(w.End) >= from {
			list = append(list, w)
		}
	}
	return list
}

// lastBefore is the position of the fault that ended last before a time, -1 if none did.
func lastBefore(windows []history.Window, t int64) int {
	last := -1
	for i, w := range windows {
		if int64(w.End) <= t && (last < 0 || w.End >= windows[last].End) {
			last = i
		}
	}
	return last
}

// ago is the length of a stretch of time, with three digits.
func ago(ns int64) string {
	if ns >= int64(time.Second) {
		return number(float64(ns)/1e9, 3) + " s"
	}
	return short(time.Duration(ns))
}

func told(w history.Window) string {
	return strings.TrimRight(fmt.Sprintf("fault %d, %s: %s", w.ID, w.Fault, w.What), ": ")
}
