package reports

import (
	"bytes"
	"flag"
	"html"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestJUnit: invalid is a failure, unknown an error, and what XML cannot carry is
// replaced.
func TestJUnit(t *testing.T) {
	r := invalidRun(t)
	r.Started = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r.Result.Parts = append(r.Result.Parts, check.Result{
		Name: "floors", Verdict: check.Unknown, Reason: "too little\x00 was done\uFFFE",
	})
	var b bytes.Buffer
	if err := JUnit(&b, r); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "junit.xml", b.String())
}

// TestLongValues: reads of a million elements do not make the page larger than a browser
// likes, nor its first sentence longer than a person does.
func TestLongValues(t *testing.T) {
	r := busyRun()
	long := "read() = [" + strings.Repeat("1234567 ", 1_000_000) + "]"
	c := &r.Result.Counterexamples[0]
	for i := range c.Ops {
		c.Ops[i].Describe = long
	}
	for i := range c.Edges {
		c.Edges[i].Why = long
	}
	c.Why, r.Result.Reason = long, long
	page := render(t, r)
	if len(page) > 5<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	if p := newPage(r); len(p.Lead) > 2*whyMost || !strings.Contains(p.Lead, "bytes left out") {
		t.Errorf("the first sentence has %d bytes: %.200s", len(p.Lead), p.Lead)
	}
}

// TestBefore: what came before the operations of a counter-example is told with them.
func TestBefore(t *testing.T) {
	r := busyRun()
	r.Result.Counterexamples[0].Before = "9 operations had left the state 7."
	if page := render(t, r); !strings.Contains(page, "Before: 9 operations had left the state 7.") {
		t.Error("the page does not tell it")
	}
	var b strings.Builder
	if err := Markdown(&b, r); err != nil || !strings.Contains(b.String(), "left the state 7.") {
		t.Errorf("the summary does not tell it: %v", err)
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

var (
	unread = regexp.MustCompile(`(?s)<(style|script)[^>]*>.*?</(style|script)>`)
	tags   = regexp.MustCompile(`<[^>]*>`)
)

// TestText: this is all that a report of a small invalid run says.
func TestText(t *testing.T) {
	var lines []string
	text := tags.ReplaceAllString(unread.ReplaceAllString(render(t, invalidRun(t)), ""), " ")
	for line := range strings.Lines(html.UnescapeString(text)) {
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	compareGolden(t, "invalid.txt", strings.Join(lines, "\n")+"\n")
}

func TestGroup(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 12: "12", 999: "999", 1000: "1,000", -999: "-999", -1000: "-1,000",
		1234567: "1,234,567", math.MinInt64: "-9,223,372,036,854,775,808",
	} {
		if got := group(n); got != want {
			t.Errorf("group(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, test := range []struct {
		v      float64
		digits int
		want   string
	}{
		{0, 3, "0"}, {10000, 3, "10000"}, {1234.5, 3, "1230"}, {0.00012345, 3, "0.000123"},
		{999.96, 4, "1000"}, {math.Inf(1), 3, "+Inf"},
	} {
		if got := number(test.v, test.digits); got != test.want {
			t.Errorf("number(%v, %d) = %s, want %s", test.v, test.digits, got, test.want)
		}
	}
}

// TestNothingToDraw: without operations there are no charts, and one operation
// without end is enough for them.
func TestNothingToDraw(t *testing.T) {
	if p := newPage(Run{}); p.Charts != nil {
		t.Errorf("charts of nothing: %+v", p.Charts)
	}
	r := baseRun()
	r.History = newHistory(t, event(5*ms1, 0, history.Invoke, "write", history.Int(1)))
	if p := newPage(r); p.Charts == nil || p.Charts.Told != "1 unknown outcome, no success." {
		t.Errorf("charts of an unanswered operation: %+v", p.Charts)
	}
	if page := render(t, r); strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
		t.Error("the page has numbers that are none")
	}
}

// TestAxisKeepsOrder: whatever the times are, what came first stands first.
func TestAxisKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ops []check.Op
		for range rapid.IntRange(1, 12).Draw(t, "operations") {
			call := rapid.Int64Range(0, 1e11).Draw(t, "call")
			op := check.Op{Call: call, Return: call + rapid.Int64Range(1, 1e10).Draw(t, "took")}
			if rapid.Bool().Draw(t, "unanswered") {
				op.Return = -1
			}
			ops = append(ops, op)
		}
		a := newAxis(ops, make([]float64, len(ops)), 0, 400)
		for i := 1; i < len(a.times); i++ {
			if before, after := a.x(a.times[i-1]), a.x(a.times[i]); before >= after {
				t.Fatalf("%d at %d, %d at %d", a.times[i-1], before, a.times[i], after)
			}
		}
	})
}
