package serve

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/reports/live"
)

const (
	// requireVariable names the environment variable that turns a missing browser into a
	// failure, for machines that are known to have one.
	requireVariable = "ORDEAL_CHROMIUM"
	// shotsVariable names a directory in which pictures of the pages are left.
	shotsVariable = "ORDEAL_SCREENSHOTS"
	browserTime   = 60 * time.Second
)

// startBrowser starts a Chromium, or skips the test when there is none.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil && path == "" {
			path = p
		}
	}
	if path == "" && os.Getenv(requireVariable) == "required" {
		t.Fatalf("no Chromium in PATH, but %s=required", requireVariable)
	}
	if path == "" {
		t.Skip("no chromium, chromium-browser or google-chrome in PATH")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.DisableGPU, chromedp.WindowSize(1300, 1000),
		chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// Nothing may leave the machine, whatever a page asks for.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-features", "Translate,IsolateSandboxedIframes"),
	)
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancelBrowser := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		end, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		if err := chromedp.Cancel(end); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("end of chromium: %v", err)
		}
		cancelBrowser()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// tab is a page of a site.
type tab struct {
	t    *testing.T
	ctx  context.Context
	site string

	mu       sync.Mutex
	troubles []string
	requests []string
}

// open opens a tab. When the test ends, nothing may have been on its console, and nothing
// asked of anybody else.
func open(t *testing.T, browser context.Context, site string) *tab {
	t.Helper()
	p := &tab{t: t, site: site}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithListener(p.hear))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	ctx, cancelTime := context.WithTimeout(ctx, browserTime)
	t.Cleanup(cancelTime)
	p.ctx = ctx
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, trouble := range p.troubles {
			t.Errorf("console: %s", trouble)
		}
		for _, r := range p.requests {
			// The browser's own signs in fields are data.
			if !strings.HasPrefix(r, site+"/") && !strings.HasPrefix(r, "data:image/svg+xml;") {
				t.Errorf("the page asked for %.200s", r)
			}
		}
		if len(p.requests) == 0 {
			t.Error("no request was seen: the test is deaf")
		}
	})
	return p
}

// hear notes what a page does behind its looks.
func (p *tab) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *network.EventWebSocketCreated:
		p.requests = append(p.requests, e.URL)
	case *cdpruntime.EventConsoleAPICalled:
		for _, a := range e.Args {
			p.troubles = append(p.troubles, fmt.Sprintf("%s: %s", e.Type, a.Value))
		}
	case *cdpruntime.EventExceptionThrown:
		p.troubles = append(p.troubles, "exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		p.troubles = append(p.troubles, string(e.Entry.Source)+": "+e.Entry.Text)
	}
}

func (p *tab) visit(path string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Navigate(p.site+path)); err != nil {
		p.t.Fatalf("open %s: %v", path, err)
	}
}

// eval returns the value of a JavaScript expression, awaited if it is a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("evaluate %.300s: %v", expression, err)
	}
	return v
}

// await waits in the page for a condition, also over a change of the page.
func (p *tab) await(condition string) {
	p.t.Helper()
	look := `document.readyState === "complete" && Boolean(` + condition + `)`
	var last any
	for p.ctx.Err() == nil {
		yes, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](look, chromedp.EvalAwaitPromise))
		if yes && err == nil {
			return
		}
		if p.ctx.Err() == nil {
			last, _ = chromedp.Run(p.ctx, chromedp.Evaluate[string](
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

func (p *tab) press(key string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.KeyEvent(key)); err != nil {
		p.t.Fatalf("press %s: %v", key, err)
	}
}

func (p *tab) scheme(name string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	if err != nil {
		p.t.Fatalf("emulate %s: %v", name, err)
	}
}

// shot leaves a picture of the page, where somebody wants one.
func (p *tab) shot(name string) {
	p.t.Helper()
	dir := os.Getenv(shotsVariable)
	if dir == "" {
		return
	}
	b, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), b, 0o644)
	}
	if err != nil {
		p.t.Errorf("picture of %s: %v", name, err)
	}
}

// legible checks the sizes of all text, that nothing is wider than the window, and that
// text stands out from what is behind it (WCAG: 4.5 to 1).
func (p *tab) legible() {
	p.t.Helper()
	for _, trouble := range eval[[]string](p, `(() => {
		const bad = [];
		const light = (c) => {
			const v = c.match(/[\d.]+/g).map(Number);
			const [r, g, b] = v.map((x) => x / 255).map((x) =>
				x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
			return 0.2126 * r + 0.7152 * g + 0.0722 * b;
		};
		const behind = (e) => {
			for (; e; e = e.parentElement) {
				const c = getComputedStyle(e).backgroundColor;
				if (/^rgb\(/.test(c)) return c;
			}
			return "rgb(255, 255, 255)";
		};
		const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		for (let n; (n = walk.nextNode());) {
			const e = n.parentElement, s = getComputedStyle(e);
			const aside = e.closest("noscript, .hidden, .skip, option");
			if (!n.data.trim() || !e.checkVisibility() || aside) continue;
			const what = n.data.trim().slice(0, 30);
			// Pictures are scaled, and their text with them.
			const scale = e.getScreenCTM ? e.getScreenCTM().a : 1;
			if (parseFloat(s.fontSize) * scale < 12) bad.push(s.fontSize + ": " + what);
			if (e.closest("svg")) continue;
			const a = light(s.color), b = light(behind(e));
			const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
			if (contrast < 4.5) bad.push("contrast " + contrast.toFixed(1) + ": " + what);
		}
		for (const f of document.querySelectorAll(
			"input:not([type=hidden]), select, button, a[href], iframe, [role=img]")) {
			const name = f.textContent.trim() || f.getAttribute("aria-label") || f.title ||
				(f.labels && f.labels.length);
			if (!name) bad.push("no name: " + f.outerHTML.slice(0, 80));
		}
		if (document.documentElement.scrollWidth > innerWidth) bad.push("wider than the window");
		return bad;
	})()`) {
		p.t.Error(trouble)
	}
}

// TestBrowser uses the pages as a person does, in one Chromium.
func TestBrowser(t *testing.T) {
	browser := startBrowser(t)
	for _, test := range []struct {
		name string
		look func(*testing.T, context.Context)
	}{
		{"index", lookAtIndex}, {"run", lookAtRun}, {"live", lookAtLive},
		{"compare", lookAtCompare}, {"hostile", lookAtHostile},
	} {
		t.Run(test.name, func(t *testing.T) { test.look(t, browser) })
	}
}

func lookAtIndex(t *testing.T, browser context.Context) {
	dir := newStore(t, samples()...)
	p := open(t, browser, serve(t, dir).URL)
	p.visit("/")
	p.want("1 to 5 of 5", "✕ invalid", "▶ running", "bug mp-bug")
	p.legible()
	p.shot("index")
	p.scheme("dark")
	p.legible()
	p.shot("index-dark")
	p.scheme("light")
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
	p.press("/")
	p.await(`document.activeElement.name === "q"`)
	// Keys that are pressed from outside come as two events, of which a page can prevent one.
	eval[string](p, `document.activeElement.value = ""`)
	p.press("register\r")
	p.await(`document.body.innerText.includes("1 to 3 of 3")`)
	p.press("j")
	p.press("j")
	p.await(`document.querySelector("tr.current").textContent.includes("mp-bug")`)
	p.press("\r")
	p.await(`location.pathname === "/runs/paxos-register/2/"`)
	p.visit("/trends")
	p.want("mp-bug", "register")
	p.legible()
	p.shot("trends")
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
	p.legible()
	// The report is there, draws itself, and cannot reach this page.
	if got := eval[string](p, `(() => {
		try { return document.querySelector("iframe").contentDocument ? "open" : "closed"; }
		catch (e) { return "closed"; }
	})()`); got != "closed" {
		t.Errorf("the report's frame is %s", got)
	}
	p.shot("run")
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
	p.legible()
	p.shot("live")
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
	eval[bool](p, `document.querySelector("details").open = true`)
	if err := live.Write(run, live.Status{Phase: live.PhaseCheck, Now: 8e9}); err != nil {
		t.Fatal(err)
	}
	p.await(`document.body.innerText.includes("Being judged for")`)
	p.await(`document.querySelector("details").open`)
	err = errors.Join(live.Remove(run),
		os.WriteFile(filepath.Join(run, "results.json"), []byte(`{"verdict":"valid"}`), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	p.await(`document.body.innerText.includes("It has ended")`)
}

func lookAtCompare(t *testing.T, browser context.Context) {
	p := open(t, browser, serve(t, newStore(t, samples()...)).URL)
	p.visit("/")
	for _, key := range []string{"j", "j", "c", "j", "j", "c", "j", "c"} {
		p.press(key) // the third mark takes the first away
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
	p.legible()
	p.shot("compare")
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
	p.shot("hostile")
}
