package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// found is a counter-example with what the checker that found it means by it.
type found struct {
	check.Counterexample
	checker string
	// loop says of each edge whether it is part of a contradiction.
	loop []bool
	// errors are what clients were told of its operations that did not succeed, by index.
	errors map[int64]string
	// answered is when they had been told it.
	answered map[int64]history.Time
	// visited are the nodes that clients asked who go from node to node, by index.
	visited map[int64]string
}

// hear notes what clients were told of the operations that did not succeed.
func (f *found) hear(h *history.History) {
	f.errors, f.answered = map[int64]string{}, map[int64]history.Time{}
	for i := range f.Ops {
		f.errors[f.Ops[i].Index] = ""
	}
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Error != "" {
			if _, shown := f.errors[op.Index]; shown {
				f.errors[op.Index] = op.Error
				if op.Ended != history.Never {
					f.answered[op.Index] = op.Ended
				}
			}
		}
	}
}

// fate says what became of an operation that did not succeed, "" of one that did: a bar's
// color alone tells little.
func (f *found) fate(op *check.Op) string {
	told := f.errors[op.Index]
	switch {
	case op.Type == "fail" && told == "":
		return "failed"
	case op.Type == "fail":
		return "failed: " + told
	case op.Type == "ok":
		return ""
	case told == "" || strings.HasPrefix(told, "no answer"):
		return "never answered"
	}
	return "outcome unknown: " + told
}

// cyclic reports whether it is a circle of transactions.
func (f *found) cyclic() bool {
	if len(f.Edges) == 0 || f.ordered() {
		return false
	}
	for _, e := range f.Edges {
		switch e.Kind {
		case check.WW, check.WR, check.RW, check.InProcess, check.InTime:
		default:
			return false
		}
	}
	return true
}

// stuck reports whether it is about operations that all failed.
func (f *found) stuck() bool { return f.checker == "liveness" }

// mutual reports whether the operations miss each other, none more than another.
func (f *found) mutual() bool {
	return f.Mark == "" && (f.cyclic() || f.checker == "g2" || f.checker == "long-fork")
}

// culprit reports whether an operation is the one that gives the violation away. Where
// nothing works any more, all do that came after what did.
func (f *found) culprit(op *check.Op) bool {
	if f.stuck() {
		return op.Type != "ok" && op.Call >= f.lastSuccess()
	}
	return op.Culprit && !f.mutual()
}

// lastSuccess is when the last operation that succeeded was called, 0 if none did.
func (f *found) lastSuccess() (at int64) {
	for _, op := range f.Ops {
		if op.Type == "ok" {
			at = max(at, op.Call)
		}
	}
	return at
}

// mark says what is wrong with a culprit.
func (f *found) mark() string {
	switch {
	case f.stuck():
		return "did not succeed"
	case f.Mark != "":
		return brief(f.Mark, 80)
	case f.ordered():
		return "cannot be placed"
	case f.checker == "list-append" || f.checker == "rw-register":
		if len(f.Ops) == 1 {
			return "contradicts itself"
		}
		return "contradicts the others"
	}
	return "breaks the promise"
}

// Culprit says what is wrong with the i-th operation of a counter-example that a checker
// found, "" if it is not the one that gives the violation away.
func Culprit(checker string, c check.Counterexample, i int) string {
	f := found{Counterexample: c, checker: checker}
	if !f.culprit(&c.Ops[i]) {
		return ""
	}
	return f.mark()
}

// loops says of each edge whether the edges lead back from its end to its start: these
// contradict each other.
func loops(edges []check.Edge) []bool {
	next := map[int][]int{}
	for _, e := range edges {
		next[e.From] = append(next[e.From], e.To)
	}
	all := make([]bool, len(edges))
	for i, e := range edges {
		seen := map[int]bool{e.To: true}
		for reached := []int{e.To}; len(reached) > 0 && !all[i]; reached = reached[1:] {
			all[i] = reached[0] == e.From
			for _, n := range next[reached[0]] {
				if !seen[n] {
					seen[n] = true
					reached = append(reached, n)
				}
			}
		}
	}
	return all
}

// arrange puts the edges that contradict each other first, those of time alone last. The
// order of a circle stays.
func (f *found) arrange() {
	if !f.cyclic() {
		loop := loops(f.Edges)
		rank := func(i int) int {
			switch _, class := kindOf(f.Edges[i].Kind); {
			case loop[i]:
				return 0
			case class != "edge-time":
				return 1
			}
			return 2
		}
		at := make([]int, len(f.Edges))
		for i := range at {
			at[i] = i
		}
		slices.SortStableFunc(at, func(a, b int) int { return rank(a) - rank(b) })
		sorted := make([]check.Edge, len(at))
		for i, from := range at {
			sorted[i] = f.Edges[from]
		}
		f.Edges = sorted
	}
	f.loop = loops(f.Edges)
}

// ordered reports whether it is about the search for one order of all operations.
func (f *found) ordered() bool { return f.checker == "linearizable" || f.checker == "sequential" }

// reading tells how to read the picture.
func (f *found) reading() string {
	const bars = "Each bar is an operation, from when a client called it until the client had " +
		"its answer. "
	const time = "Time runs to the right: the order is exact, distances are not."
	switch {
	case f.cyclic():
		return bars + "An arrow goes from a transaction to one that has to come after it: " +
			"following the arrows leads back to where one began, so there is no order. " + time
	case f.checker == "linearizable":
		return bars + "It takes effect at some moment inside its bar. " + time
	case f.ordered():
		return bars + "Only the order within each process counts, not that of processes. " + time
	}
	return bars + time
}

// calling tells how the literature calls it.
func (f *found) calling() string {
	if f.Called == "" {
		return ""
	}
	return "It is called " + f.Called + "."
}

// minimality tells what is known about the size of the counter-example.
func (f *found) minimality() string {
	switch {
	case !f.Minimal && (f.cyclic() || f.ordered()):
		return "Not proven minimal."
	case f.cyclic():
		return "Minimal: without any one of these transactions the others show no circle."
	case f.ordered():
		return "Minimal: without any one of these operations the others can be explained."
	}
	return ""
}

// name is how the sentences of a circle call an operation.
func (f *found) name(i int) string {
	if !f.cyclic() {
		return ""
	}
	return fmt.Sprintf("T%d", i+1)
}

// kindOf is the reason of an order in a word, with its class in page.css.
func kindOf(k check.EdgeKind) (word, class string) {
	switch k {
	case check.RealTime, check.InTime:
		return "real time", "edge-time"
	case check.ProgramOrder:
		return "program order", "edge-time"
	case check.InProcess:
		return "same process", "edge-time"
	case check.ReadFrom:
		return "read-from", "edge-wr"
	case check.WR:
		return "wr", "edge-wr"
	case check.WriteOrder:
		return "write order", "edge-ww"
	case check.WW:
		return "ww", "edge-ww"
	case check.RW:
		return "rw", "edge-rw"
	}
	return string(k), "edge-time"
}

// gloss explains the words of a circle's arrows.
func gloss(k check.EdgeKind) string {
	switch k {
	case check.WW:
		return "the other overwrote what it wrote"
	case check.WR:
		return "the other read what it wrote"
	case check.RW:
		return "the other overwrote what it had read"
	}
	return ""
}

// reason is why one operation comes before another. That of the order of two writes is about
// others, which saw them: it says what follows from that.
func (f *found) reason(e check.Edge) string {
	if e.Kind != check.WriteOrder || !f.ordered() {
		return e.Why
	}
	return fmt.Sprintf("%s: so %s comes before %s", e.Why, plainly(&f.Ops[e.From]),
		plainly(&f.Ops[e.To]))
}

// listMost is how many elements of a list are shown, listEnds how many of them at its start.
const listMost, listEnds = 24, 6

// folded is the description of an operation, without the middle of a long list in its answer.
func folded(op *check.Op) string {
	text := plainly(op)
	head, found := strings.CutSuffix(text, op.Out)
	if !found || !strings.HasPrefix(op.Out, "[") {
		return text
	}
	v, err := history.ParseValue([]byte(op.Out))
	if err != nil || v.Kind() != history.KindList || v.Len() <= listMost {
		return text
	}
	var parts []string
	for i := range v.Len() {
		switch last := v.Len() - (listMost - listEnds); {
		case i < listEnds, i >= last:
			parts = append(parts, v.At(i).String())
		case i == listEnds:
			parts = append(parts, fmt.Sprintf("… %d more …", last-listEnds))
		}
	}
	return head + "[" + strings.Join(parts, ",") + "]"
}

// lines describes an operation for its label: one line, or one for each step of a
// transaction.
func lines(op *check.Op) []string {
	if op.F == "txn" {
		if l := stepLines(op); len(l) > 0 {
			return l
		}
	}
	return []string{folded(op)}
}

// placed are the lines of an operation with its key, if they are on several.
func (f *found) placed(op *check.Op) []string {
	all := lines(op)
	if f.Key == "" && op.Key != "" && op.F != "txn" {
		all[0] += " on " + op.Key
	}
	return all
}

// located are the same with the node, of clients who go from node to node.
func (f *found) located(op *check.Op) []string {
	all := f.placed(op)
	if node := f.visited[op.Index]; node != "" {
		all[0] += " at " + node
	}
	return all
}

// plainly describes an operation; an object that came back is told as its fields.
func plainly(op *check.Op) string {
	head, found := strings.CutSuffix(op.Describe, op.Out)
	if !found || !strings.HasPrefix(op.Out, "{") {
		return op.Describe
	}
	v, err := history.ParseValue([]byte(op.Out))
	if err != nil || v.Kind() != history.KindMap {
		return op.Describe
	}
	return head + fieldsOf(v)
}

// fieldsOf writes an object as in "token 11, ttl_ms 481".
func fieldsOf(v history.Value) string {
	var all []string
	for i := range v.Len() {
		name := v.FieldName(i)
		all = append(all, name+" "+v.Get(name).String())
	}
	return strings.Join(all, ", ")
}

// stepLines are the steps of a transaction with what its reads returned, none if it does
// not consist of steps.
func stepLines(op *check.Op) []string {
	steps, err := parseSteps(op.In)
	if err != nil {
		return nil
	}
	got, err := parseSteps(op.Out)
	known := op.Type == "ok" && err == nil && len(got) == len(steps)
	var l []string
	for i, s := range steps {
		switch {
		case s.F == history.StepRead && known:
			l = append(l, fmt.Sprintf("read %s = %s", s.Key, spaced(got[i].Value)))
		case s.F == history.StepRead:
			l = append(l, fmt.Sprintf("read %s", s.Key))
		case s.F == history.StepWrite:
			l = append(l, fmt.Sprintf("write %s = %s", s.Key, spaced(s.Value)))
		default:
			l = append(l, fmt.Sprintf("%s %s to %s", s.F, spaced(s.Value), s.Key))
		}
	}
	return l
}

func parseSteps(text string) ([]history.Step, error) {
	v, err := history.ParseValue([]byte(text))
	if err != nil {
		return nil, err
	}
	return history.ParseSteps(v)
}

// spaced writes a list as the sentences do, [1 2 3].
func spaced(v history.Value) string {
	if v.Kind() != history.KindList {
		return v.String()
	}
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = v.At(i).String()
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// How much of a text is shown: a set of a million elements may be in a sentence.
const (
	whyMost  = 1000 // of a sentence
	tipMost  = 2000 // of what an operation did, at its bar
	tellMost = 1000 // and in the table
)

// brief leaves out the middle of a text of more than most bytes.
func brief(text string, most int) string {
	if len(text) <= most {
		return text
	}
	head := strings.ToValidUTF8(text[:most/2], "")
	tail := strings.ToValidUTF8(text[len(text)-most/2:], "")
	return fmt.Sprintf("%s … %s bytes left out … %s", head,
		group(int64(len(text)-len(head)-len(tail))), tail)
}

// splitList returns what stands before a list at the end of a text and in it.
func splitList(text string) (head, inside string, ok bool) {
	at := strings.Index(text, "[")
	if at < 0 || !strings.HasSuffix(text, "]") {
		return "", "", false
	}
	return text[:at+1], text[at+1:], true
}
