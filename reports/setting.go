package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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
	text, faults := meanwhile(f, b.windows)
	last := f.decisive()
	leads := b.leaders(last)
	if !strings.Contains(leads, " and ") {
		leads = paragraph(b.rivals(f.first().Call, last.Call), leads)
	}
	s := setting{Before: paragraph(where(r, f), text), Faults: faults, After: leads}
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

// where says which node gave the answer that gives the violation away, if there is one
// such answer.
func where(r Run, f *found) string {
	var culprits []check.Op
	for _, op := range f.Ops {
		if f.culprit(&op) {
			culprits = append(culprits, op)
		}
	}
	if len(culprits) != 1 || nodeOf(r, culprits[0].Process) == "" {
		return ""
	}
	return fmt.Sprintf("Process %d is a client of %s.", culprits[0].Process,
		nodeOf(r, culprits[0].Process))
}

// decisive is the operation that gives the violation away, or else the last one.
func (f *found) decisive() check.Op {
	last := f.Ops[0]
	for _, op := range f.Ops {
		was, is := f.culprit(&last), f.culprit(&op)
		if is && !was || is == was && op.Call > last.Call {
			last = op
		}
	}
	return last
}

// meanwhile says which faults there were at the time of a counter-example, or else that there
// was none and which it came after. What is damaged is often seen long after it was damaged:
// so these are the faults from its first operation to the one that gives it away. Several
// are a list.
func meanwhile(f *found, windows []history.Window) (text string, list []string) {
	first, last := f.first(), f.decisive()
	end := max(last.Call, last.Return)
	during := during(windows, first.Call, end)
	if len(during) == 0 {
		text := "There was no fault at that time"
		if i := lastBefore(windows, first.Call); i >= 0 {
			text += fmt.Sprintf("; the last one before was %s, until %s", told(windows[i]),
				at(windows[i].End))
		}
		return text + ".", nil
	}
	most, more := f.foremost(during)
	over := func(w history.Window) bool { return int64(w.End) < last.Call }
	if !slices.ContainsFunc(during, over) {
		return there("At that time", each(most, told), more)
	}
	begun := f.ended(first)
	dated := func(w history.Window) string {
		text := told(w)
		if int64(w.Start) > begun {
			text += ", from " + at(w.Start)
			if over(w) {
				return text + " to " + at(w.End)
			}
			return text
		}
		if over(w) {
			text += ", until " + at(w.End)
		}
		return text
	}
	return there("Between the first and the last of these operations", each(most, dated), more)
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

// foremost chooses the few faults that are told, and says how many others there are: rather
// those that an operation came under, then those that ended last. They are told in the order
// of time, but one under which others came and went is told after them.
func (f *found) foremost(all []history.Window) (most []history.Window, more int) {
	const told = 3
	met := func(w history.Window) bool {
		return slices.ContainsFunc(f.Ops, func(op check.Op) bool {
			return int64(w.Start) <= f.ended(op) && int64(w.End) >= op.Call
		})
	}
	most = slices.Clone(all)
	slices.SortStableFunc(most, func(a, b history.Window) int {
		if met(a) != met(b) {
			return map[bool]int{true: -1, false: 1}[met(a)]
		}
		return cmp.Compare(b.End, a.End)
	})
	most = most[:min(len(most), told)]
	inside := func(w history.Window) (n int) {
		for _, o := range most {
			if o.ID != w.ID && o.Start >= w.Start && o.End <= w.End {
				n++
			}
		}
		return n
	}
	rank := make(map[int64]int)
	for _, w := range most {
		rank[w.ID] = inside(w)
	}
	slices.SortStableFunc(most, func(a, b history.Window) int {
		return cmp.Or(cmp.Compare(rank[a.ID], rank[b.ID]), cmp.Compare(a.Start, b.Start))
	})
	return most, len(all) - len(most)
}

// each tells the windows of a list.
func each(list []history.Window, tell func(history.Window) string) []string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = tell(w)
	}
	return words
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

func told(w history.Window) string {
	return strings.TrimRight(fmt.Sprintf("fault %d, %s: %s", w.ID, w.Fault, w.What), ": ")
}

// there says that there were a few faults, and more.
func there(when string, faults []string, more int) (text string, list []string) {
	if len(faults) == 1 {
		return fmt.Sprintf("%s there was %s.", when, faults[0]), nil
	}
	if more > 0 {
		faults = append(faults, fmt.Sprintf("and %d more", more))
	}
	return when + " there were:", faults
}
