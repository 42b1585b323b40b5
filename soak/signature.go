package soak

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/txn"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Violation is one promise that a run has shown to be broken.
//
// Checker, Anomaly, System and Shape are its signature: runs that agree in all four are
// taken to show the same defect. Nothing in it depends on values, keys, processes or times,
// nor on how many operations it took. Two defects may share a signature, and one may have
// several: it is for counting, not for judging.
type Violation struct {
	// Checker is the judge that found it: the innermost part of the result.
	Checker string `json:"checker"`
	// Anomaly is Elle's name of the gravest anomaly that the claim forbids, of transactions;
	// else the sentence of the most telling counter-example, without what is accidental.
	Anomaly string `json:"anomaly"`
	// System is the system with its protocol.
	System string `json:"system"`
	// Shape is the form of that counter-example: of a circle, its kinds of arrows in order;
	// else the operation that gives it away, and the outcomes of the others.
	Shape string `json:"shape"`
	// Why is that counter-example in words.
	Why string `json:"why"`
	// Faults are the families of faults that were in force between the first call and the
	// last return of that counter-example. They are no part of the signature: a defect that
	// is found under many faults is one defect.
	Faults []string `json:"faults,omitempty"`
}

// ID is a short name of the signature, good for a file.
func (v Violation) ID() string {
	sum := sha256.Sum256([]byte(strings.Join(
		[]string{v.Checker, v.Anomaly, v.System, v.Shape}, "\x00")))
	name := strings.Trim(unfit.ReplaceAllString(strings.ToLower(v.System+"-"+v.Checker), "-"), "-")
	return name + "-" + hex.EncodeToString(sum[:4])
}

var unfit = regexp.MustCompile(`[^a-z0-9]+`)

// violations are those of a result, one for each judge that found any.
func violations(dir string, r check.Result, cell CellInfo) []Violation {
	summary, _ := nemesis.LoadSummary(filepath.Join(dir, "ledger.jsonl"))
	var out []Violation
	seen := map[string]bool{}
	for _, leaf := range invalidLeaves(r) {
		v := Violation{
			Checker: leaf.Name, System: cell.System, Anomaly: gravest(leaf), Why: brief(leaf.Reason),
		}
		if len(leaf.Counterexamples) > 0 {
			c := leaf.Counterexamples[0]
			v.Why, v.Shape = brief(c.Why), shape(c)
			v.Faults = activeFaults(summary.Faults, c)
		}
		if v.Anomaly == "" {
			v.Anomaly = essence(v.Why)
		}
		if !seen[v.ID()] {
			seen[v.ID()] = true
			out = append(out, v)
		}
	}
	return out
}

// invalidLeaves are the parts that are invalid by themselves.
func invalidLeaves(r check.Result) []check.Result {
	if r.Verdict != check.Invalid {
		return nil
	}
	var out []check.Result
	for _, p := range r.Parts {
		out = append(out, invalidLeaves(p)...)
	}
	if len(out) == 0 {
		return []check.Result{r}
	}
	return out
}

// gravest is the gravest anomaly of transactions that the claimed level forbids; "" if the
// judge names none.
func gravest(r check.Result) string {
	b, err := json.Marshal(r.Details)
	var d struct {
		Claimed   *graph.Level     `json:"claimed"`
		Anomalies map[txn.Type]int `json:"anomalies"`
	}
	if err != nil || json.Unmarshal(b, &d) != nil || d.Claimed == nil {
		return ""
	}
	for _, t := range txn.Types() {
		if d.Anomalies[t] > 0 && (txn.Anomaly{Type: t}).Breaks(*d.Claimed) {
			return string(t)
		}
	}
	return ""
}

// What is accidental in a sentence, in the order in which it is taken out.
var accidents = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`"(?:[^"\\]|\\.)*"`), "#"},
	{regexp.MustCompile(`\b[\w-]+\([^()]*\)`), "op"}, // write(3), cas(3, 4)
	{regexp.MustCompile(`(\bkeys?) [^ ,.;:]+`), "$1 #"},
	{regexp.MustCompile(`\[[^\[\]]*\]`), "#"},
	{regexp.MustCompile(`-?\b\d+(?:\.\d+)?\b`), "#"},
	{regexp.MustCompile(`\b[a-z]+\d+\b`), "#"}, // c4, n1, T2
	{regexp.MustCompile(`\bT#?\d*\b`), "#"},
	{regexp.MustCompile(`= (?:null|nil|true|false)\b`), "= #"},
	{regexp.MustCompile(`\bput (?:null|nil)\b`), "put #"},
	{regexp.MustCompile(`(?:(?:#|op)(?:, | and ))+(#|op)`), "$1"},
}

// essence is a sentence without values, keys, processes, times and numbers. Only its first
// two clauses are kept: what follows tells of the rest of the run.
func essence(sentence string) string {
	s := strings.ToLower(sentence)
	for _, a := range accidents {
		s = a.what.ReplaceAllString(s, a.with)
	}
	s = strings.Join(strings.Fields(s), " ")
	if i := strings.Index(s, ". "); i >= 0 {
		s = s[:i]
	}
	return strings.TrimSuffix(s, ".")
}

// shape is the form of a counter-example.
func shape(c check.Counterexample) string {
	if kinds, ok := circle(c.Edges); ok {
		return "circle of " + strings.Join(kinds, " ")
	}
	var culprits, others []string
	for _, op := range c.Ops {
		if op.Culprit {
			culprits = append(culprits, op.F+" "+op.Type)
		} else {
			others = append(others, op.Type)
		}
	}
	s := strings.Join(unique(culprits), ", ")
	if len(culprits) == 0 {
		s = "no single one"
	}
	if len(others) > 0 {
		s += " against " + strings.Join(unique(others), ", ")
	}
	return s
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// circle are the kinds of a circle of transactions in the order of its arrows, from the
// least rotation, of those that follow each other one.
func circle(edges []check.Edge) ([]string, bool) {
	var kinds []string
	for _, e := range edges {
		switch e.Kind {
		case check.WW, check.WR, check.RW, check.InProcess, check.InTime:
		default:
			return nil, false
		}
		if n := len(kinds); n == 0 || kinds[n-1] != string(e.Kind) {
			kinds = append(kinds, string(e.Kind))
		}
	}
	if len(kinds) == 0 {
		return nil, false
	}
	if n := len(kinds); n > 1 && kinds[0] == kinds[n-1] {
		kinds = kinds[:n-1]
	}
	least := kinds
	for i := range kinds {
		if r := slices.Concat(kinds[i:], kinds[:i]); slices.Compare(r, least) < 0 {
			least = r
		}
	}
	return least, true
}

// activeFaults are the families of the faults that were in force during a counter-example.
func activeFaults(faults []nemesis.FaultRecord, c check.Counterexample) []string {
	if len(c.Ops) == 0 {
		return nil
	}
	from, to := history.Never, history.Time(0)
	for _, op := range c.Ops {
		from = min(from, history.Time(op.Call))
		to = max(to, history.Time(op.Call), history.Time(op.Return))
	}
	var active []nemesis.Step
	for _, f := range faults {
		if f.Skipped == "" && f.Injected && f.Start <= to && (f.End == 0 || f.End >= from) {
			active = append(active, f.Step)
		}
	}
	return nemesis.Outside(active, nil) // of a claim that covers none: the families of all
}
