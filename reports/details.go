package reports

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// How much the page tells of single operations: of long runs only those that may matter.
const (
	detailsMax   = 60_000
	detailsBytes = 3_000_000
	valueMost    = 400
	nearby       = history.Time(50_000_000) // ns around a counter-example
	// What separates operations, and their fields, in the text; visible leaves neither in
	// the text of others.
	betweenOps    = "\x1e"
	betweenFields = "\x1f"
)

// details returns which operations are told in full, as distances between their
// positions, and their texts.
func details(r Run, l *lanes) (steps []uint32, text []byte) {
	at := 0
	for _, i := range telling(r, l) {
		op := l.ops[i]
		if len(text) > detailsBytes {
			break
		}
		if len(steps) > 0 {
			text = append(text, betweenOps...)
		}
		fields := []string{
			strconv.FormatInt(op.Index, 10), string(op.Key), valueOf(op), op.Error,
		}
		for n, f := range fields {
			fields[n] = visible(brief(f, valueMost))
		}
		text = append(text, strings.Join(fields, betweenFields)...)
		steps = append(steps, uint32(i-at))
		at = i
	}
	return steps, text
}

// valueOf is what was asked for and what came back, once if it is the same.
func valueOf(op *history.Operation) string {
	in, out := plain(op.In), plain(op.Out)
	switch {
	case op.Type != history.OK || op.Out.IsNil() || in == out:
		return in
	case op.In.IsNil() || op.F == "txn":
		return "= " + out
	}
	return in + " = " + out
}

// plain writes a value; that of an operation without one is empty.
func plain(v history.Value) string {
	switch v.Kind() {
	case history.KindNil:
		return ""
	case history.KindMap:
		return fieldsOf(v)
	}
	return v.String()
}

// telling are the positions of the operations that are told, in order: all, or those of
// counter-examples, those near them in time or on the same keys, and some that failed.
func telling(r Run, l *lanes) []int {
	if len(l.ops) <= detailsMax {
		all := make([]int, len(l.ops))
		for i := range all {
			all[i] = i
		}
		return all
	}
	var list []int
	from, to, keys := history.Never, history.Time(0), map[history.Key]bool{}
	place := l.places()
	for _, f := range counterexamples(r.Result) {
		for _, op := range f.Ops {
			i, ok := place[op.Index]
			if !ok {
				continue
			}
			list = append(list, i)
			from, to = min(from, l.ops[i].Call-nearby), max(to, l.ops[i].Call+nearby)
			keys[l.ops[i].Key] = true
		}
	}
	list = l.some(list, func(op *history.Operation) bool {
		return keys[op.Key] && len(keys) > 0 && op.Key != ""
	})
	list = l.some(list, func(op *history.Operation) bool { return op.Call >= from && op.Call <= to })
	list = l.some(list, func(op *history.Operation) bool { return op.Type != history.OK })
	slices.Sort(list)
	return slices.Compact(list)
}

// some appends the positions of operations of some kind, evenly, up to a share of those
// that are told.
func (l *lanes) some(list []int, which func(*history.Operation) bool) []int {
	var found []int
	for i, op := range l.ops {
		if which(op) {
			found = append(found, i)
		}
	}
	every := 1 + len(found)/(detailsMax/4)
	for i := 0; i < len(found); i += every {
		list = append(list, found[i])
	}
	return list
}
