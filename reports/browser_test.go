package reports

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/ordeal-dev/ordeal/internal/browsertest"
	"github.com/ordeal-dev/ordeal/internal/longtest"
)

// tab is a report, opened from disk.
type tab struct {
	*browsertest.Tab
	t    *testing.T
	path string
}

// open renders a run, writes it to disk and opens it. When the test ends, there
// must have been no request but that for the page, and nothing on the console.
func open(t *testing.T, browser context.Context, r Run) *tab {
	t.Helper()
	page := &tab{t: t, path: filepath.Join(t.TempDir(), "report.html")}
	page.Tab = browsertest.Open(t, browser, func(a string) bool { return a == page.address() })
	page.load(render(t, r))
	return page
}

func (p *tab) address() string {
	return (&url.URL{Scheme: "file", Path: p.path}).String()
}

// load writes a document to disk and opens it.
func (p *tab) load(document string) {
	p.t.Helper()
	if err := os.WriteFile(p.path, []byte(document), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.Visit(p.address())
	ready := eval[string](p, `new Promise(done => {
		const wait = () => { const r = document.documentElement.dataset.ready;
			r ? done(r) : setTimeout(wait, 5) };
		wait();
	})`)
	if ready != "true" {
		p.t.Errorf("the script of the report: %s", ready)
	}
}

// eval returns the value of a JavaScript expression, awaited if it is a promise.
func eval[T any](p *tab, expression string, options ...chromedp.EvaluateOption) T {
	p.t.Helper()
	return browsertest.Eval[T](p.Tab, expression, options...)
}

// until waits in the page for a condition.
func until(condition string) string {
	return `new Promise(done => {
		const look = () => { (` + condition + `) ? done(true) : setTimeout(look, 5) };
		look();
	})`
}

// seen is what a reader finds of an element.
type seen struct {
	Found, Visible bool
	Text           string
}

func (p *tab) see(selector string) seen {
	p.t.Helper()
	return eval[seen](p, fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		if (!e) return {Found: false};
		const box = e.getBoundingClientRect();
		return {Found: true, Text: e.textContent,
			Visible: e.checkVisibility() && box.width > 0 && box.height > 0};
	})()`, selector))
}

// wantText checks that an element is visible and holds a text.
func (p *tab) wantText(selector, text string) {
	p.t.Helper()
	s := p.see(selector)
	if !s.Visible || !strings.Contains(s.Text, text) {
		p.t.Errorf("%s: %+.400v, want it visible with %q", selector, s, text)
	}
}

// wantCount checks how many elements there are.
func (p *tab) wantCount(selector string, n int) {
	p.t.Helper()
	got := eval[int](p, fmt.Sprintf(`document.querySelectorAll(%q).length`, selector))
	if got != n {
		p.t.Errorf("%s: %d elements, want %d", selector, got, n)
	}
}

// TestBrowser looks at reports as a reader does, in one Chromium.
func TestBrowser(t *testing.T) {
	brief := []string{"invalid", "valid", "policy"}
	browser := browsertest.Start(t, 1280, 1600)
	for _, test := range []struct {
		name string
		look func(*testing.T, context.Context)
	}{
		{"invalid", lookAtInvalid},
		{"valid", lookAtValid},
		{"unknown", lookAtUnknown},
		{"empty", lookAtEmpty},
		{"porcupine", lookAtPorcupine},
		{"hostile", lookAtHostile},
		{"policy", lookAtPolicy},
		{"long labels", lookAtLabels},
		{"pictures", lookAtPictures},
		{"paper", lookAtPaper},
		{"moving", lookAtMoving},
		{"million", lookAtMillion},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !slices.Contains(brief, test.name) {
				longtest.Only(t)
			}
			test.look(t, browser)
		})
	}
}

func lookAtInvalid(t *testing.T, browser context.Context) {
	r := invalidRun(t)
	p := open(t, browser, r)
	p.wantText("#verdict", "invalid")
	p.wantText("#lead", r.Result.Parts[0].Counterexamples[0].Why)
	p.wantText("#setting", "Process 1 is a client of n2 and process 0 of n1. There was "+
		"fault 1, partition: n1 | n2 n3, in force all along (0.003 s to 1.201 s); n1 was asked for "+
		"process 0's read.")
	p.wantText("#reason", "ot linearizable as register")
	p.wantText(".claim", r.Claim)
	p.wantText("#power", "operations: ")
	p.wantCount(".wide .bar", 3)
	p.wantCount(".wide .bar.culprit", 1)
	p.wantText(".wide .bar.culprit", "read() = 1")
	p.wantText(".keys .culprit", "write(2) had replaced it by 0.008 s")
	p.wantText(".wide .bar:not(.culprit) .note", "answered 4 ms before ✕ was called")
	p.wantText(".keys .fault", "fault 1 partition: n1 | n2 n3")
	p.wantText("#faults", "41 messages were dropped on 4 links")
	p.wantText("#faults", "no primary")
	p.wantText("#filters", "read 2")
	p.wantCount("#charts canvas", 3)
	p.wantText("#errors", "no leader")
	p.wantText("#keys", "invalid (k1)")
	p.wantText("#command", r.Repeat)
	p.wantText("#logs", "nodes/n1/node.log")
	p.wantText("#log-lines li:nth-child(2)", "lost the lease")
	p.wantText("details.told", "process 0 at n1")
	p.Picture("caught", false)
	for _, scheme := range []string{"light", "dark"} {
		p.Scheme(scheme)
		p.Audit(scheme)
	}
	eval[any](p, `document.querySelectorAll("details").forEach(d => { d.open = true })`)
	p.Audit("all opened")
	checkBars(p)
	p.AuditKeyboard("all opened")
}

// checkBars goes to each operation with the keyboard and looks whether it shows.
func checkBars(p *tab) {
	p.t.Helper()
	for _, problem := range eval[[]string](p, `(() => {
		const bad = [], bars = document.querySelectorAll(".wide .bar");
		for (const bar of bars) {
			bar.focus({focusVisible: true});
			const front = getComputedStyle(bar.querySelector(".front"));
			if (document.activeElement !== bar) bad.push("no focus: " + bar.textContent);
			if (front.strokeWidth !== "4px") bad.push("focus does not show: " + bar.textContent);
			if (bar.getAttribute("aria-label").length < 10) bad.push("no words: " + bar.textContent);
		}
		if (bars.length < 3) bad.push("only " + bars.length + " bars");
		return bad;
	})()`) {
		p.t.Error(problem)
	}
}

// lookAtPictures opens the report of each kind of violation on a desk and on a phone, by
// day and by night.
func lookAtPictures(t *testing.T, browser context.Context) {
	p := open(t, browser, Run{})
	for name, r := range examples(t) {
		p.load(render(t, r))
		for _, screen := range []struct {
			kind  string
			width int64
		}{{"wide", 1280}, {"medium", 800}, {"narrow", 390}} {
			p.Resize(screen.width)
			for _, kind := range []string{"wide", "medium", "narrow"} {
				if got := p.see("#ce1 ." + kind + " svg").Visible; got != (kind == screen.kind) {
					t.Errorf("%s at %d px: the %s picture is visible: %v", name, screen.width, kind, got)
				}
			}
			checkLabels(p, "#ce1 ."+screen.kind)
			p.Picture(name+"-"+screen.kind, false)
			p.Audit(fmt.Sprintf("%s, %d px", name, screen.width))
			if screen.kind == "wide" { // colors are the same at any width
				p.Scheme("dark")
				p.Audit(name + ", dark")
				p.Scheme("light")
			}
		}
	}
}

func lookAtValid(t *testing.T, browser context.Context) {
	r := validRun(t)
	p := open(t, browser, r)
	p.wantText("#verdict", "valid")
	p.wantText(".meaning", "proves nothing beyond what was exercised")
	p.wantText("#power", "operations: 2")
	p.wantText("#faults", "None were asked for.")
	p.wantCount(".counterexample", 0)
	p.wantCount("#charts canvas", 3)
	p.Audit("light")
}

func lookAtUnknown(t *testing.T, browser context.Context) {
	r := unknownRun(t)
	p := open(t, browser, r)
	p.wantText("#verdict", "unknown")
	p.wantText(".meaning", "This is no success.")
	p.wantText("#reason", r.Result.Parts[0].Reason)
	p.wantText("#notes", "node n2 ended by itself")
	p.wantText("#faults", "not healed: n1 is gone")
	for _, scheme := range []string{"light", "dark"} {
		p.Scheme(scheme)
		p.Audit(scheme)
	}
}

// lookAtEmpty: a run in which nothing happened has a report, too.
func lookAtEmpty(t *testing.T, browser context.Context) {
	p := open(t, browser, Run{})
	p.wantCount("#charts", 0)
	p.wantCount("#power tbody tr", 1)
	p.wantText("h1", "valid")
}

// lookAtPorcupine opens Porcupine's own page with the keyboard. It draws an illegal
// history: all operations, and one that has no place.
func lookAtPorcupine(t *testing.T, browser context.Context) {
	r := invalidRun(t)
	c := r.Result.Parts[0].Counterexamples[0]
	if c.Visualization == "" || c.WholeVisualization == "" {
		t.Fatal("the checker gave no pages")
	}
	p := open(t, browser, r)
	p.wantCount("details.porcupine", 2)
	eval[any](p, `document.querySelector("details.porcupine summary").focus()`)
	if err := chromedp.Do(p.Ctx, chromedp.KeyEvent("\r")); err != nil {
		t.Fatal(err)
	}
	eval[bool](p, until(`document.querySelector("iframe").srcdoc`))
	eval[bool](p, `new Promise(done => {
		const frame = document.querySelector("iframe");
		frame.addEventListener("load", () => done(true));
		frame.srcdoc = frame.srcdoc; // once more, now that somebody listens
	})`)
	in := p.Frame("about:srcdoc")
	drawn := eval[[]string](p, `Array.from(
		document.querySelectorAll(".history-text"), e => e.textContent)`, in)
	for _, want := range []string{"write(1)", "write(2)", "read() = 1", "no place for read() = 1"} {
		if !strings.Contains(strings.Join(drawn, "\n"), want) {
			t.Errorf("Porcupine's view shows %q, without %q", drawn, want)
		}
	}
	if n := eval[int](p, `document.querySelectorAll(".linearization-invalid").length`, in); n == 0 {
		t.Error("Porcupine's view marks no illegal step")
	}
	// Its style sheet works: this is the blue of an operation.
	fill := eval[string](p, `getComputedStyle(document.querySelector(".history-rect")).fill`, in)
	if fill != "rgb(66, 209, 245)" {
		t.Errorf("an operation is painted %s", fill)
	}
	// The frame is a world of its own.
	reached := eval[bool](p, `(() => {
		try { return Boolean(parent.document.body) } catch { return false }
	})()`, in)
	if reached {
		t.Error("the frame reaches the report")
	}
}

// lookAtPolicy tries what the policy has to forbid even if the escaping had a hole:
// a foreign script, its handlers, and the network. The console is loud here, so the
// page is not opened by open.
func lookAtPolicy(t *testing.T, browser context.Context) {
	hits := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		hits <- r.URL.Path
	}))
	defer server.Close()
	hole := strings.ReplaceAll(`<script>window.hacked = 1</script>
		<img src="ADDRESS/image" onerror="window.hacked = 2">
		<iframe src="ADDRESS/frame"></iframe><link rel="stylesheet" href="ADDRESS/style">
		<script src="ADDRESS/script"></script><form action="ADDRESS/form"></form>
		<object data="ADDRESS/object"></object>`, "ADDRESS", server.URL)
	text := strings.Replace(render(t, invalidRun(t)), "<main>", "<main>"+hole, 1)
	p := &tab{
		Tab: browsertest.Open(t, browser, nil), t: t, path: filepath.Join(t.TempDir(), "hole.html"),
	}
	p.load(text)
	p.wantCount("main > img", 1)
	eval[any](p, `document.querySelector("form").submit()`)
	fetched := eval[string](p, `fetch("`+server.URL+`/fetch").then(() => "yes", () => "no")`)
	if fetched != "no" || len(hits) > 0 {
		t.Errorf("the network was reached: fetch %s, %d requests", fetched, len(hits))
	}
	if eval[bool](p, `"hacked" in window`) {
		t.Error("a foreign script ran")
	}
}

// lookAtLabels: bars of any length and number keep their labels apart.
func lookAtLabels(t *testing.T, browser context.Context) {
	p := open(t, browser, crowdedRun())
	p.wantCount(".wide .bar", 14)
	p.wantCount(".wide .bar.open", 1)
	p.wantText(".keys .open", "outcome unknown")
	p.wantText(".keys .cut", "idle time")
	checkLabels(p, ".wide")
	p.Resize(390)
	checkLabels(p, ".narrow")
	p.load(render(t, busyRun()))
	checkLabels(p, ".narrow")
	p.wantCount(".narrow .bar", 30)
	p.Resize(1280)
	checkLabels(p, ".wide")
	p.wantCount(".wide .arrow .way", edgesDrawn)
	p.wantText(".counterexample .told", "more that are not drawn")
}

// lookAtPaper: a printed report is dark on white, whatever the reader's screen is, and
// shows what cannot be opened on paper.
func lookAtPaper(t *testing.T, browser context.Context) {
	p := open(t, browser, busyRun())
	p.Scheme("dark")
	_, err := chromedp.Call(p.Ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Media:    "print",
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	eval[any](p, `window.dispatchEvent(new Event("beforeprint"))`)
	p.wantText(".medium svg", "write(3)")
	for _, hidden := range []string{".wide svg", ".narrow svg", "button"} {
		if p.see(hidden).Visible {
			t.Errorf("%s is printed", hidden)
		}
	}
	p.wantText("details.told table", "write(3)")
	ground := eval[string](p, `getComputedStyle(document.body).backgroundColor`)
	if ground != "rgb(255, 255, 255)" {
		t.Errorf("the paper is %s", ground)
	}
	p.Audit("print")
}
