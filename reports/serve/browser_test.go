package serve

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/internal/browsertest"
	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/reports/live"
)

// tab is a page of a site.
type tab struct {
	*browsertest.Tab
	t    *testing.T
	site string
}

// open opens a tab. When the test ends, nothing may have been on its console, and nothing
// asked of anybody else.
func open(t *testing.T, browser context.Context, site string) *tab {
	t.Helper()
	return &tab{t: t, site: site, Tab: browsertest.Open(t, browser, func(address string) bool {
		return strings.HasPrefix(address, site+"/")
	})}
}

func (p *tab) visit(path string) {
	p.t.Helper()
	p.Visit(p.site + path)
}

// eval returns the value of a JavaScript expression, awaited if it is a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	return browsertest.Eval[T](p.Tab, expression)
}

// await waits in the page for a condition, also over a change of the page.
func (p *tab) await(condition string) {
	p.t.Helper()
	look := `document.readyState === "complete" && Boolean(` + condition + `)`
	var last any
	for p.Ctx.Err() == nil {
		yes, err := chromedp.Run(p.Ctx, chromedp.Evaluate[bool](look, chromedp.EvalAwaitPromise))
		if yes && err == nil {
			return
		}
		if p.Ctx.Err() == nil {
			last, _ = chromedp.Run(p.Ctx, chromedp.Evaluate[string](
				`location.href + " " + document.activeElement.outerHTML.slice(0, 200)`))
		}
	}
	p.t.Fatalf("never: %s; the last trouble was %v", condition, last)
}

// want checks that the page says something where a reader sees it.
func (p *tab) want(texts ...string) {
	p.t.Helper()
	body := eval[string](p, `document.body.innerText`)
	for _, text := range texts {
		if !strings.Contains(body, text) {
			p.t.Errorf("%q is missing in\n%.3000s", text, body)
		}
	}
}

// audit checks what every page owes its readers, by day and by night and on a phone.
func (p *tab) audit(name string) {
	p.t.Helper()
	p.Audit(name + ", light")
	p.Picture(name, true)
	p.Resize(390)
	p.Audit(name + ", narrow")
	p.Picture(name+"-narrow", true)
	p.Resize(1300)
	p.Scheme("dark")
	p.Audit(name + ", dark")
	p.Picture(name+"-dark", true)
	p.Scheme("light")
}

// TestBrowser uses the pages as a person does, in one Chromium.
func TestBrowser(t *testing.T) {
	brief := []string{"run", "hostile"}
	browser := browsertest.Start(t, 1300, 1000)
	for _, test := range []struct {
		name string
		look func(*testing.T, context.Context)
	}{
		{"index", lookAtIndex}, {"run", lookAtRun}, {"live", lookAtLive},
		{"compare", lookAtCompare}, {"hostile", lookAtHostile},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !slices.Contains(brief, test.name) {
				longtest.Only(t)
			}
			test.look(t, browser)
		})
	}
}

func lookAtIndex(t *testing.T, browser context.Context) {
	dir := newStore(t, samples()...)
	p := open(t, browser, serve(t, dir).URL)
	p.visit("/")
	p.want("1 to 5 of 5", "✕ invalid", "▶ running", "bug mp-bug")
	p.audit("index")
	p.AuditKeyboard("index")
	// A choice is applied by itself.
	eval[bool](p, `(() => {
		const s = document.querySelector("select[name=system]");
		s.value = "etcd";
		return s.dispatchEvent(new Event("change", {bubbles: true}));
	})()`)
	p.await(`document.body.innerText.includes("1 to 2 of 2")`)
	p.want("bank")
	// By keys alone: search, then the second row.
	p.visit("/")
	p.Press("/")
	p.await(`document.activeElement.name === "q"`)
	// Keys that are pressed from outside come as two events, of which a page can prevent one.
	eval[string](p, `document.activeElement.value = ""`)
	p.Press("register\r")
	p.await(`document.body.innerText.includes("1 to 3 of 3")`)
	p.Press("j")
	p.Press("j")
	p.await(`document.querySelector("tr.current").textContent.includes("mp-bug")`)
	p.Press("\r")
	p.await(`location.pathname === "/runs/paxos-register/2/"`)
	p.visit("/trends")
	p.want("mp-bug", "register")
	p.audit("trends")
	p.AuditKeyboard("trends")
	p.visit("/map")
	p.want("bug mp-bug")
	for _, verdict := range []string{"valid", "unknown", "invalid"} {
		cell := eval[string](p, `[...document.querySelectorAll(".heat-4.heat-`+verdict+`")].map(
			e => e.textContent).join("; ")`)
		if !strings.HasSuffix(cell, verdict+", 1 of 1") {
			t.Errorf("the map says %q where one is %s", cell, verdict)
		}
	}
	p.audit("map")
	p.AuditKeyboard("map")
	eval[any](p, `document.querySelector(".heat-invalid a").click()`)
	p.await(`location.search.includes("workload=register")`)
	p.want("1 to 1 of 1", "mp-bug")
	// A run that is added while somebody looks is announced.
	p.visit("/")
	s := samples()[0]
	s.stamp = "6"
	s.put(t, dir, started.Add(1000*time.Hour))
	p.await(`document.getElementById("fresh").innerText.includes("new runs")`)
}

func lookAtRun(t *testing.T, browser context.Context) {
	p := open(t, browser, serve(t, newStore(t, samples()...)).URL)
	p.visit("/runs/paxos-register/2/")
	p.want("invalid", "because", "checker test --seed 7", "history.jsonl", "linearizable")
	p.audit("run")
	p.AuditKeyboard("run")
	// The report is there, draws itself, and cannot reach this page.
	if got := eval[string](p, `(() => {
		try { return document.querySelector("iframe").contentDocument ? "open" : "closed"; }
		catch (e) { return "closed"; }
	})()`); got != "closed" {
		t.Errorf("the report's frame is %s", got)
	}
	p.visit("/runs/paxos-register/2/files/report.html")
	p.want("INVALID")
	if got := eval[string](p, `self.origin`); got != "null" {
		t.Errorf("a report's origin is %s", got)
	}
	p.visit("/runs/paxos-register/2/files/nodes/n1/node.log")
	p.want("log of n1")
}

func lookAtLive(t *testing.T, browser context.Context) {
	dir := newStore(t, samples()...)
	p := open(t, browser, serve(t, dir).URL)
	p.visit("/runs/paxos-register/5/live")
	p.want("workload beside nemesis", "partition", "n1 | n2", "a node died", "refused",
		"Judging will take")
	p.audit("live")
	run := filepath.Join(dir, "paxos-register", "5")
	f, err := os.OpenFile(filepath.Join(run, "history.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(
		`{"index":900,"time":7000000000,"process":1,"type":"invoke","f":"read","value":null}` + "\n" +
			`{"index":901,"time":7100000000,"process":1,"type":"ok","f":"read","value":1}` + "\n",
	); err != nil {
		t.Fatal(err)
	}
	p.await(`document.querySelector(".tiles").innerText.includes("109")`)
	p.Resize(390)
	eval[bool](p, `(() => {
		document.querySelector("details").open = true;
		document.querySelector("summary").focus();
		document.querySelector(".chart").scrollLeft = 40;
		return true;
	})()`)
	if err := live.Write(run, live.Status{Phase: live.PhaseCheck, Now: 8e9}); err != nil {
		t.Fatal(err)
	}
	p.await(`document.body.innerText.includes("Being judged for")`)
	// What a reader opened, moved and went to is not lost by that.
	p.await(`document.querySelector("details").open`)
	p.await(`document.activeElement === document.querySelector("summary")`)
	p.await(`document.querySelector(".chart").scrollLeft === 40`)
	p.Resize(1300)
	err = errors.Join(live.Remove(run),
		os.WriteFile(filepath.Join(run, "results.json"), []byte(`{"verdict":"valid"}`), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	p.await(`document.body.innerText.includes("It has ended")`)
	p.visit("/runs/paxos-register/5/live") // which does not change under the keys any more
	p.want("It has ended", "Links")
	p.AuditKeyboard("live")
}

func lookAtCompare(t *testing.T, browser context.Context) {
	p := open(t, browser, serve(t, newStore(t, samples()...)).URL)
	p.visit("/")
	for _, key := range []string{"j", "j", "c", "j", "j", "c", "j", "c"} {
		p.Press(key) // the third mark takes the first away
	}
	if got := eval[int](p, `document.querySelectorAll("input[name=run]:checked").length`); got != 2 {
		t.Errorf("%d are marked", got)
	}
	eval[bool](p, `document.querySelector(".pager button").click() === undefined`)
	p.await(`location.pathname === "/compare"`)
	p.want("paxos-register/1", "paxos-register/2", "planted bug ≠", "Successful operations a second")
	if n := eval[int](p, `document.querySelectorAll("polyline.curve").length`); n != 4 {
		t.Errorf("%d curves", n)
	}
	p.audit("compare")
	p.AuditKeyboard("compare")
}

func lookAtHostile(t *testing.T, browser context.Context) {
	second := hostileRun()
	second.stamp, second.unjudged, second.verdict = "2", true, check.Valid
	p := open(t, browser, serve(t, newStore(t, hostileRun(), second)).URL)
	at := "/runs/" + url.PathEscape(second.name) + "/"
	for _, path := range []string{
		"/", "/trends", at + url.PathEscape("<script>x") + "/", at + "2/live",
		at + url.PathEscape("<script>x") + "/files/report.html",
		"/compare?" + url.Values{"run": {second.name + "/<script>x", second.name + "/2"}}.Encode(),
	} {
		p.visit(path)
		if n := eval[int](p, `document.querySelectorAll("img").length`); n != 0 {
			t.Errorf("%s has %d images", path, n)
		}
	}
	p.Picture("hostile", true)
}
