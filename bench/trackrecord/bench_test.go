package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// found is the result of a run in which list-append has found something.
func found(reason string) check.Result {
	return check.Result{
		Name: "list-append", Verdict: check.Invalid, Parts: []check.Result{
			{
				Name: "list-append", Verdict: check.Invalid, Reason: reason,
				Counterexamples: []check.Counterexample{
					{Ops: []check.Op{{Call: 1e9, Return: 3e9}}},
					{Ops: []check.Op{{Call: 1e9, Return: 2e9}, {Call: 15e8, Return: -1}}},
				},
			},
			{Name: "stats", Verdict: check.Valid},
		},
	}
}

// TestJudge: a red side needs the verdict, of the right checker, by the anomaly's name.
func TestJudge(t *testing.T) {
	valid := check.Result{Name: "list-append", Verdict: check.Valid}
	unknown := check.Result{Name: "list-append", Verdict: check.Unknown}
	lost := red("off", "list-append", "lost-update")
	for _, test := range []struct {
		name    string
		side    side
		result  check.Result
		want    bool
		witness time.Duration
	}{
		{"found", lost, found("2 lost-update"), true, 2 * time.Second},
		{"another anomaly", lost, found("2 G2-item"), false, 2 * time.Second},
		{"one of two names", red("off", "list-append", "G1a or G2-item"), found("2 G2-item"), true,
			2 * time.Second},
		{"another checker", red("off", "bank", "lost-update"), found("2 lost-update"), false, 0},
		{"nothing", lost, valid, false, 0},
		{"not decided", lost, unknown, false, 0},
		{"green", green("on"), valid, true, 0},
		{"green, not decided", green("on"), unknown, false, 0},
		{"green, broken", green("on"), found("2 lost-update"), false, 0},
	} {
		var o outcome
		o.judge(test.side, test.result)
		if o.asStated != test.want || o.witness != test.witness {
			t.Errorf("%s: as stated %t after %v, want %t after %v", test.name, o.asStated, o.witness,
				test.want, test.witness)
		}
	}
}

// TestRows: every row has a source and two sides, names that no other has, and programs for
// what stands in its arguments.
func TestRows(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rows() {
		if names[r.slug()] || r.source == "" || r.nodes == 0 || len(r.packages)+len(r.builds) == 0 {
			t.Errorf("%s is not whole, or there are two", r.name)
		}
		names[r.slug()] = true
		if r.red.verdict != check.Invalid || r.red.anomaly == "" || r.green.verdict != check.Valid {
			t.Errorf("%s: red %+v, green %+v", r.name, r.red, r.green)
		}
		known := map[string]bool{"schedule": r.schedule != ""}
		for _, p := range r.builds {
			known[p.name] = true
		}
		for _, s := range []side{r.red, r.green} {
			for _, a := range s.arguments(r) {
				if _, name, ok := strings.Cut(a, "$"); ok && !known[name] {
					t.Errorf("%s: nothing stands behind %s", r.name, a)
				}
			}
		}
	}
}

func TestQuoted(t *testing.T) {
	got := quoted([]string{"--set", "isolation=read committed", "it's"})
	if want := `--set 'isolation=read committed' 'it'\''s'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
