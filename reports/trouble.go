package reports

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// errorRow is a class of errors that clients were told: those that differ in numbers only.
type errorRow struct {
	Text, Outcome, Class, Functions string
	Count                           string
	Under                           string // how many under faults
	First, Last                     string
}

const (
	// errorsTold is how many classes the table has, errorClasses how many are told apart.
	errorsTold   = 60
	errorClasses = 5000
	// keysTold is how many keys the table has, keysOpen up to how many are shown at once.
	keysTold = 200
	keysOpen = 12
)

// errorClass collects the errors of a class.
type errorClass struct {
	example     string
	outcome     history.Type
	functions   []string
	count       int
	under       int
	first, last history.Time
}

// errorRows are the errors by class, the most frequent first, and the number of classes
// that are left out. Failures come after unknown outcomes: most are polite refusals.
func errorRows(h *history.History, b bands) (rows []errorRow, more int) {
	type kind struct {
		outcome history.Type
		text    string
	}
	classes := map[kind]*errorClass{}
	under := b.anyAt()
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Type == history.OK {
			continue
		}
		text := op.Error
		if text == "" && op.Ended == history.Never {
			text = "no answer until the end"
		}
		k := kind{op.Type, numberless(brief(text, whyMost))}
		if classes[k] == nil && len(classes) >= errorClasses {
			k.text = "other errors"
		}
		c := classes[k]
		if c == nil {
			c = &errorClass{example: cmp.Or(text, "no error was told"), outcome: op.Type, first: op.Call}
			classes[k] = c
		}
		c.count++
		c.last = op.Call
		if under(op.Call) {
			c.under++
		}
		if !slices.Contains(c.functions, string(op.F)) && len(c.functions) < 8 {
			c.functions = append(c.functions, string(op.F))
		}
	}
	all := make([]*errorClass, 0, len(classes))
	for _, c := range classes {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *errorClass) int {
		return cmp.Or(cmp.Compare(b.outcome, a.outcome), cmp.Compare(b.count, a.count),
			strings.Compare(a.example, b.example))
	})
	for _, c := range all[:min(len(all), errorsTold)] {
		slices.Sort(c.functions)
		rows = append(rows, errorRow{
			Text: brief(c.example, whyMost), Outcome: outcomeName(c.outcome), Class: c.outcome.String(),
			Functions: strings.Join(c.functions, ", "), Count: group(int64(c.count)),
			Under: share(c.under, c.count), First: at(c.first), Last: at(c.last),
		})
	}
	return rows, max(0, len(all)-errorsTold)
}

func share(part, all int) string {
	switch part {
	case 0:
		return "none"
	case all:
		return "all"
	}
	return fmt.Sprintf("%s (%.0f %%)", group(int64(part)), 100*float64(part)/float64(all))
}

// anyAt returns whether there was a fault at a time, in little time.
func (b bands) anyAt() func(history.Time) bool {
	var spans []history.Window // apart from each other, by their starts
	for _, w := range b.windows {
		if n := len(spans); n > 0 && w.Start <= spans[n-1].End {
			spans[n-1].End = max(spans[n-1].End, w.End)
			continue
		}
		spans = append(spans, w)
	}
	return func(t history.Time) bool {
		i, found := slices.BinarySearchFunc(spans, t, func(w history.Window, t history.Time) int {
			return cmp.Compare(w.Start, t)
		})
		return found || i > 0 && spans[i-1].End >= t
	}
}

// numberless replaces numbers, so that errors which differ in an address only are alike.
func numberless(text string) string {
	var b strings.Builder
	in := false
	for _, r := range text {
		digit := r >= '0' && r <= '9'
		if digit && !in {
			b.WriteByte('#')
		}
		if !digit {
			b.WriteRune(r)
		}
		in = digit
	}
	return b.String()
}

// keyRow is what was done with a key, and what the checkers say of it.
type keyRow struct {
	Key, Verdict, Why string
	Ops, OK           string
	Fail, Info        string
}

// keyed is what checkers say of single keys in their details.
type keyed struct {
	Keys      int             `json:"keys"`
	Decided   int             `json:"decided"`
	Invalid   []history.Key   `json:"invalid"`
	Undecided json.RawMessage `json:"undecided"`
}

// keyVerdicts collects what the checkers say of single keys. judged are the checkers that
// looked at every key.
func keyVerdicts(r check.Result) (invalid, undecided map[history.Key][]string, judged []string) {
	invalid, undecided = map[history.Key][]string{}, map[history.Key][]string{}
	add := func(to map[history.Key][]string, k history.Key, name string) {
		if !slices.Contains(to[k], name) {
			to[k] = append(to[k], name)
		}
	}
	var walk func(check.Result)
	walk = func(r check.Result) {
		for _, c := range r.Counterexamples {
			add(invalid, c.Key, r.Name)
		}
		var d keyed
		if b, err := json.Marshal(r.Details); err == nil && json.Unmarshal(b, &d) == nil {
			if d.Keys > 0 && d.Decided > 0 {
				judged = append(judged, r.Name)
			}
			for _, k := range d.Invalid {
				add(invalid, k, r.Name)
			}
			var open []check.UndecidedKey
			if json.Unmarshal(d.Undecided, &open) == nil {
				for _, u := range open {
					add(undecided, u.Key, r.Name)
				}
			}
		}
		for _, p := range r.Parts {
			walk(p)
		}
	}
	walk(r)
	return invalid, undecided, judged
}

// keyRows are the keys with their verdicts: invalid ones first, then undecided ones, then
// by operations. more is how many are left out. Without keys, or without a checker that
// judges key by key, there are none.
func keyRows(r Run) (rows []keyRow, more int) {
	invalid, undecided, judged := keyVerdicts(r.Result)
	if len(judged) == 0 && len(invalid) == 0 {
		return nil, 0
	}
	type count struct {
		key history.Key
		n   [4]int
	}
	at := map[history.Key]int{}
	var all []count
	for i := range r.History.Ops {
		op := &r.History.Ops[i]
		n, ok := at[op.Key]
		if !ok {
			n = len(all)
			at[op.Key] = n
			all = append(all, count{key: op.Key})
		}
		all[n].n[op.Type]++
	}
	if len(all) == 1 && all[0].key == "" {
		return nil, 0
	}
	rank := func(k history.Key) int { return min(1, len(invalid[k]))*2 + min(1, len(undecided[k])) }
	total := func(c count) int { return c.n[history.OK] + c.n[history.Fail] + c.n[history.Info] }
	slices.SortStableFunc(all, func(a, b count) int {
		return cmp.Or(cmp.Compare(rank(b.key), rank(a.key)), cmp.Compare(total(b), total(a)))
	})
	for _, c := range all[:min(len(all), keysTold)] {
		row := keyRow{
			Key: brief(string(c.key), whyMost), Verdict: check.Valid.String(),
			Why: strings.Join(judged, ", "), Ops: group(int64(total(c))),
			OK: group(int64(c.n[history.OK])), Fail: group(int64(c.n[history.Fail])),
			Info: group(int64(c.n[history.Info])),
		}
		switch {
		case len(invalid[c.key]) > 0:
			row.Verdict, row.Why = check.Invalid.String(), strings.Join(invalid[c.key], ", ")
		case len(undecided[c.key]) > 0:
			row.Verdict, row.Why = check.Unknown.String(), strings.Join(undecided[c.key], ", ")
		case len(judged) == 0:
			row.Verdict = "" // nobody judges it alone
		}
		rows = append(rows, row)
	}
	return rows, max(0, len(all)-keysTold)
}

// tellKeys counts the verdicts.
func tellKeys(rows []keyRow, more int) string {
	counts := map[string]int{}
	var invalid []string
	for _, r := range rows {
		counts[r.Verdict]++
		if r.Verdict == check.Invalid.String() && len(invalid) < 5 {
			invalid = append(invalid, brief(r.Key, 60))
		}
	}
	var all []string
	for _, v := range []check.Verdict{check.Invalid, check.Unknown, check.Valid} {
		n := counts[v.String()]
		if n == 0 {
			continue
		}
		text := fmt.Sprintf("%s %s", group(int64(n)), v)
		if v == check.Invalid {
			text += " (" + strings.Join(invalid, ", ")
			if n > len(invalid) {
				text += ", …"
			}
			text += ")"
		}
		all = append(all, text)
	}
	text := fmt.Sprintf("%s keys: %s", group(int64(len(rows)+more)), strings.Join(all, ", "))
	if more > 0 {
		text += fmt.Sprintf("; %s not listed", group(int64(more)))
	}
	return text
}
