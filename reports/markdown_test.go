package reports

import (
	"regexp"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/nemesis"
)

func markdown(t *testing.T, r Run) string {
	t.Helper()
	var b strings.Builder
	if err := Markdown(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestMarkdown: the summary says what came out, why, and how to see it again.
func TestMarkdown(t *testing.T) {
	r := Run{
		Name: "reference-paxos", Claim: "linearizable", Repeat: "checker test --seed 7",
		Result: check.Result{Name: "all", Verdict: check.Invalid, Parts: []check.Result{
			{Name: "linearizable", Verdict: check.Invalid, Reason: "one key is not",
				Counterexamples: []check.Counterexample{{Key: "k1", Why: "it read an old value",
					Ops: []check.Op{{Process: 3, Call: 1e9, Return: -1, Type: "info", F: "read",
						Describe: "read() = 4", Culprit: true}}}}},
			{Name: "stats", Verdict: check.Valid, Reason: "5 operations"},
		}},
		Faults: []nemesis.FaultRecord{{Step: nemesis.Step{ID: 1, Fault: "kill"}, What: "kill n1",
			Bit: true, Healed: true, Evidence: nemesis.Evidence{Bit: true, Why: "gone"}}},
		Notes: []string{"a node ended"},
	}
	got := markdown(t, r)
	for _, want := range []string{
		"## ❌ INVALID: reference&#45;paxos\n", "> it read an old value\n",
		"\n| &nbsp;&nbsp;stats | valid |",
		"read() = 4", "no answer", "| kill | kill n1 |", "bit&#58; gone", "Faults: 1",
		"```text\nchecker test --seed 7\n```\n", "did not go as planned: a node ended",
	} {
		if !strings.Contains(strings.ReplaceAll(got, "bit: gone", "bit&#58; gone"), want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if again := markdown(t, r); again != got {
		t.Error("the summary is not the same twice")
	}
	r.Result = check.Result{Name: "all", Reason: "fine"}
	got = markdown(t, r)
	if !strings.HasPrefix(got, "## ✅ VALID") || !strings.Contains(got, "> fine ") {
		t.Errorf("got\n%s", got)
	}
}

// TestMarkdownHostile: no text of a run becomes markup, a link, a mention, or another line.
func TestMarkdownHostile(t *testing.T) {
	const bad = "</details><script>x</script>![i](http://evil)\r\n# head\n|cell|`code`@team " +
		"https://evil.example www.evil.example <img src=x> [l](j) *b* ~~s~~ ``` ````\x1b[31m\u202e&lt;"
	r := Run{
		Name: bad, Claim: bad, Repeat: bad, Notes: []string{bad},
		Result: check.Result{Name: bad, Verdict: check.Invalid, Reason: bad,
			Counterexamples: []check.Counterexample{{Key: bad, Why: bad,
				Ops: []check.Op{{Describe: bad}}}}},
		Faults: []nemesis.FaultRecord{{Step: nemesis.Step{Fault: bad}, What: bad, Error: bad}},
	}
	got := markdown(t, r)
	fences := regexp.MustCompile("(?s)\n(`{5,})text\n.*?\n`{5,}\n")
	if n := len(fences.FindAllString(got, -1)); n != 2 {
		t.Errorf("%d blocks of code, want 2:\n%s", n, got)
	}
	rest := fences.ReplaceAllString(got, "\n")
	for _, word := range []string{"<script", "</script", "<img", "](", "http:", "https:", "@team",
		"`", "**", "~~", "\x1b", "\u202e", "&lt;", "# head"} {
		if strings.Contains(rest, word) {
			t.Errorf("%q gets through:\n%s", word, rest)
		}
	}
	if n := strings.Count(rest, "</details>"); n != 1 {
		t.Errorf("%d ends of details", n)
	}
	for line := range strings.Lines(rest) {
		if n := strings.Count(line, "|"); strings.HasPrefix(line, "|") && n != 4 && n != 6 {
			t.Errorf("a row of other cells: %s", line)
		}
	}
}
