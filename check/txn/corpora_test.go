package txn

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
)

// recorded is a history of Elle's with its verdicts.
type recorded struct {
	Name     string
	Workload string
	Opts     map[string]any
	Ops      []struct {
		Type    string
		Process json.RawMessage
		Value   history.Value
	}
	Models map[string]struct {
		Valid     any
		Anomalies []string `json:"anomaly_types"`
	} `json:"expected_by_model"`
	Truth *struct {
		Serializable bool
		Strict       bool `json:"strict_serializable"`
	}
}

// elleNames are Elle's names of our levels.
func elleNames() map[graph.Level]string {
	m := map[graph.Level]string{graph.Causal: "consistent-view"}
	for _, l := range graph.Levels() {
		if l != graph.Causal {
			m[l] = l.String()
		}
	}
	return m
}

// TestElle compares the levels with what Elle said of its own tests' histories and of random
// ones, in $ORDEAL_CORPORA/elle.
func TestElle(t *testing.T) {
	compared := 0
	if eachRecorded(t, "list-append", func(r recorded) {
		compareElle(t, r)
		compared++
	}) && compared != 437 {
		t.Errorf("compared %d histories, want 437", compared)
	}
}

// eachRecorded calls f with Elle's histories of a workload, and reports whether there are any.
func eachRecorded(t *testing.T, workload string, f func(recorded)) bool {
	t.Helper()
	root := os.Getenv("ORDEAL_CORPORA")
	if root == "" {
		return false
	}
	for _, name := range []string{"named", "random"} {
		file, err := os.Open(filepath.Join(root, "elle", name+".jsonl.gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		z, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(z)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			var r recorded
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			if r.Workload == workload {
				f(r)
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

func compareElle(t *testing.T, r recorded) {
	t.Helper()
	h, err := r.history()
	if err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	report, err := ListAppend(t.Context(), h, Options{})
	if err != nil {
		// Neither of us judges elements that were appended twice.
		if valid := r.Models["strict-serializable"].Valid; valid != "error" {
			t.Errorf("%s: %v, but Elle says %v", r.Name, err, valid)
		}
		return
	}
	for l, name := range elleNames() {
		e := r.Models[name]
		valid, decided := e.Valid.(bool)
		holds := report.Lattice[l] == graph.Holds
		if decided && valid != holds && !explained(r, l, report, e.Anomalies) {
			t.Errorf("%s: %s is %v with %v, but Elle says %v\n%s", r.Name, l, report.Lattice[l],
				report.Counts, e, show(h))
		}
	}
	if r.Truth == nil {
		return
	}
	for l, want := range map[graph.Level]bool{
		graph.Serializable: r.Truth.Serializable, graph.StrictSerializable: r.Truth.Strict,
	} {
		if (report.Lattice[l] == graph.Holds) != want {
			t.Errorf("%s: %s is %v, in truth %v\n%s", r.Name, l, report.Lattice[l], want, show(h))
		}
	}
}

// explained reports whether a difference to Elle is one of those that docs/TRANSACTIONS.md names.
func explained(r recorded, l graph.Level, ours *Report, theirs []string) bool {
	onlyInternal := slices.Contains(theirs, "internal") && !slices.ContainsFunc(theirs,
		func(a string) bool { return a != "internal" && a != "empty-transaction-graph" })
	switch {
	case onlyInternal && r.bothEmpty():
		return true // for Elle, a list that was read as [] and then as nil has changed
	case ours.Counts[Internal] > 0 && (l == graph.Causal || l == graph.RepeatableRead):
		return true
	case ours.Counts[FracturedRead]+ours.Counts[FracturedView] > 0 &&
		(l == graph.ReadAtomic || l == graph.MonotonicAtomicView):
		return true
	case ours.Counts[Torn] > 0 && l == graph.ReadUncommitted:
		return slices.Index(theirs, "G0") < 0
	default: // Elle knows no time without invocations, but sessions
		return l.Realtime() && r.completionsOnly() &&
			ours.Lattice[graph.StrongSessionSerializable] == graph.Refuted
	}
}

// bothEmpty reports whether empty lists are written in two ways.
func (r recorded) bothEmpty() bool {
	list, null := false, false
	for _, op := range r.Ops {
		for i := range op.Value.Len() {
			s := op.Value.At(i).String()
			list = list || strings.HasSuffix(s, ",[]]")
			null = null || op.Type == "ok" && strings.HasSuffix(s, ",null]")
		}
	}
	return list && null
}

func (r recorded) completionsOnly() bool {
	for _, op := range r.Ops {
		if op.Type == "invoke" {
			return false
		}
	}
	return true
}

// history joins a recorded one.
func (r recorded) history() (*history.History, error) {
	var events []history.Event
	open := map[history.Process]bool{}
	for _, op := range r.Ops {
		e := history.Event{F: "txn", Value: op.Value}
		if err := json.Unmarshal(op.Process, &e.Process); err != nil {
			return nil, err
		}
		for _, t := range []history.Type{history.Invoke, history.OK, history.Fail, history.Info} {
			if t.String() == op.Type {
				e.Type = t
			}
		}
		if e.Type != history.Invoke && !open[e.Process] {
			begin := e // some have completions only
			begin.Type = history.Invoke
			events = append(events, begin)
		}
		open[e.Process] = e.Type == history.Invoke
		events = append(events, e)
	}
	return history.New(events...)
}

// TestElleCLI compares with the examples of elle-cli, in $ORDEAL_CORPORA/elle-cli.
func TestElleCLI(t *testing.T) {
	root := os.Getenv("ORDEAL_CORPORA")
	if root == "" {
		return
	}
	for file, want := range map[string]Type{
		"paper-example.edn": "G-single-item", "paper-example.json": "G-single-item",
		"list-append-gh-30.edn": "G2-item",
	} {
		h, err := history.Load(filepath.Join(root, "elle-cli", "elle", file))
		if err != nil {
			t.Fatal(err)
		}
		r, err := ListAppend(t.Context(), h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Counts[want] == 0 || r.Lattice[graph.Serializable] != graph.Refuted {
			t.Errorf("%s: %v, want %s", file, r.Counts, want)
		}
	}
}
