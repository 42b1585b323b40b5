package reports

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/check"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestLongRun: a run of 200,000 operations makes a page that a browser opens at
// once, because points are thinned out and everything listed is bounded.
func TestLongRun(t *testing.T) {
	r := longRun(t, 200_000)
	start := time.Now()
	page := render(t, r)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("rendering took %v", took)
	}
	if len(page) > 5<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

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
	golden := filepath.Join("testdata", "junit.xml")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", b.Bytes(), want)
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
		a := newAxis(ops)
		for i := 1; i < len(a.times); i++ {
			if before, after := a.x(a.times[i-1]), a.x(a.times[i]); before >= after {
				t.Fatalf("%d at %d, %d at %d", a.times[i-1], before, a.times[i], after)
			}
		}
	})
}
