package reports

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// hostileTexts is what a system under test may send to whoever reads the report.
// The address is where a successful attack would call.
func hostileTexts(address string) []string {
	return []string{
		`<script>window.hacked=1</script>`,
		`"><img src=x onerror=window.hacked=2>`,
		`'><svg onload="window.hacked=3">`,
		`</script><script>window.hacked=4</script>`,
		`</title></style></svg></pre></code><script>window.hacked=5</script>`,
		`javascript:window.hacked=6`,
		`<img src="` + address + `/img">`,
		`<a href="javascript:window.hacked=7" autofocus onfocus=window.hacked=8>x</a>`,
		`--><script>window.hacked=9</script><!--`,
		"`;window.hacked=10;//${window.hacked=11}",
		`{{.Name}} {{"window"}}`,
		"right-to-left \u202e and \u2066 isolate, NUL \x00 bell \x07 escape \x1b[31m, " +
			"invalid \xff\xfe\xc3 UTF-8, line\u2028separator\u2029",
	}
}

// hostileHistory is an illegal one whose key, values, errors and faults are evil.
func hostileHistory(t testing.TB, evil string) *history.History {
	t.Helper()
	key := history.Key(evil)
	events := []history.Event{
		{Time: 1 * ms1, Process: 0, Type: history.Invoke, F: "write", Value: history.Str(evil)},
		{Time: 2 * ms1, Process: 0, Type: history.OK, F: "write", Value: history.Str(evil)},
		nemesisEvent(3*ms1, history.Invoke, "start", evil),
		nemesisEvent(4*ms1, history.Info, "start", evil),
		{Time: 5 * ms1, Process: 1, Type: history.Invoke, F: "write", Value: history.Str("2" + evil)},
		{Time: 6 * ms1, Process: 1, Type: history.OK, F: "write", Value: history.Str("2" + evil)},
		{Time: 7 * ms1, Process: 2, Type: history.Invoke, F: "read"},
		{Time: 8 * ms1, Process: 2, Type: history.OK, F: "read", Value: history.Str(evil)},
		{Time: 9 * ms1, Process: 2, Type: history.Invoke, F: "read"},
		{Time: 10 * ms1, Process: 2, Type: history.Fail, F: "read", Error: evil},
	}
	for i := range events {
		if events[i].Process != history.Nemesis {
			events[i].Key = key
		}
	}
	return newHistory(t, events...)
}

// hostileRun has the text in every place that takes text.
func hostileRun(t testing.TB, evil string) Run {
	t.Helper()
	h := hostileHistory(t, evil)
	bad := check.Linearizable("register", check.Options{}).Check(t.Context(), h)
	if bad.Verdict != check.Invalid {
		t.Fatalf("the fixture is %s: %s", bad.Verdict, bad.Reason)
	}
	h.Ops[3].F = history.F(evil)
	bad.Name = evil
	bad.Power = append(bad.Power, check.Measure{Name: evil, Value: 1, Unit: evil})
	cx := &bad.Counterexamples[0]
	cx.Ops[0].Type, cx.Edges[0].Why = evil, evil
	cx.Edges = append(cx.Edges, check.Edge{From: 0, To: 2, Kind: check.EdgeKind(evil), Why: evil})
	evidence := nemesis.Evidence{Why: evil}
	step := nemesis.Step{ID: 1, Fault: evil}
	return Run{
		Name: evil, Claim: evil, Repeat: evil, Nodes: []string{evil}, Concurrency: 1,
		Facts:   []Fact{{Name: evil, Value: evil}},
		Result:  check.Result{Name: evil, Verdict: check.Invalid, Parts: []check.Result{bad}},
		History: h,
		Faults: []nemesis.FaultRecord{
			{Step: step, What: evil, Evidence: evidence, Healing: evidence, Healed: true},
			{Step: step, What: evil, Error: evil, HealError: evil}, {Step: step, Skipped: evil},
		},
		Phases: []Phase{{Name: evil, Error: evil}},
		Logs:   []NodeLog{{Node: evil, Path: evil, Text: evil}},
		Notes:  []string{evil},
	}
}

// lookAtHostile opens reports full of each hostile text, with all that can be opened
// in them. The text must be shown, and do nothing.
func lookAtHostile(t *testing.T, browser context.Context) {
	hits := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		hits <- r.URL.Path
	}))
	defer server.Close()
	p := open(t, browser, Run{})
	for _, evil := range hostileTexts(server.URL) {
		p.replace(render(t, hostileRun(t, evil)))
		checkHarmless(p, evil)
	}
	if len(hits) > 0 {
		t.Errorf("%d requests reached the server, the first for %s", len(hits), <-hits)
	}
}

// checkHarmless checks that a text is where it belongs, as text, and did nothing.
func checkHarmless(p *tab, evil string) {
	p.t.Helper()
	want := strings.ReplaceAll(visible(strings.ReplaceAll(evil, "\x00", "\uFFFD")), "\n", " ")
	for _, selector := range []string{
		"h1 small", "#lead", "#setting", "#reason", ".claim", "#notes li", ".counterexample h3",
		"#power .name", "#power tbody", "#faults tbody", "#command", "#facts", "#logs .legend",
		"#log-lines", "#errors", "#keys", "#filters", "#charts .told", "title",
		"details.told", ".keys", ".orders", ".wide .bar title",
		".wide .arrow title", ".wide .band title",
	} {
		s := p.see(selector)
		want := want
		if strings.HasPrefix(selector, "#log-lines") || selector == "#filters" {
			want = visible(evil) // it has not gone through HTML
		}
		if !s.Found || !strings.Contains(s.Text, want) {
			p.t.Errorf("%q is not in %s: %.300q", want, selector, s.Text)
		}
	}
	p.wantCount("main img, main a, header img, header a, svg script, details script", 0)
	p.wantCount("script", 2)
	checkInert(p, evil)
	in := p.Frame("about:srcdoc")
	if n := eval[int](p, `document.querySelectorAll(".history-rect").length`, in); n < 3 {
		p.t.Errorf("%q: Porcupine's view has %d operations", evil, n)
	}
	// Porcupine shows the states in a tooltip.
	eval[any](p, `document.querySelectorAll(".target-rect").forEach(e =>
		["mouseover", "mousemove", "click"].forEach(kind =>
			e.dispatchEvent(new MouseEvent(kind, {bubbles: true}))))`, in)
	for _, where := range [][]chromedp.EvaluateOption{nil, {in}} {
		if eval[bool](p, `"hacked" in window`, where...) {
			p.t.Errorf("%q did something: hacked = %v", evil, eval[any](p, `window.hacked`, where...))
		}
	}
	if n := eval[int](p, `document.querySelectorAll("img, a, svg svg").length`, in); n > 0 {
		p.t.Errorf("%q: %d foreign elements in Porcupine's view", evil, n)
	}
}

// checkInert checks that the pictures consist of nothing but what they are made of, without
// handlers and addresses, and that the text is in what a screen reader says of a bar.
func checkInert(p *tab, evil string) {
	p.t.Helper()
	for _, problem := range eval[[]string](p, `(() => {
		const bad = [];
		for (const e of document.querySelectorAll("svg.diagram, svg.diagram *")) {
			if (!["svg", "g", "title", "rect", "text", "line", "path"].includes(e.localName))
				bad.push("an element: " + e.localName);
			for (const a of e.attributes)
				if (/^on|href|style|src/i.test(a.name)) bad.push("an attribute: " + a.name);
		}
		return bad;
	})()`) {
		p.t.Errorf("%q: %s", evil, problem)
	}
	said := eval[string](p, `document.querySelector(".wide .bar").getAttribute("aria-label")`)
	want := visible(strings.ReplaceAll(evil, "\x00", "\uFFFD"))
	if !strings.Contains(said, want) {
		p.t.Errorf("%q is not in the words of a bar: %.300q", want, said)
	}
}

// replace loads another document with the address of this one, and opens all of it.
func (p *tab) replace(document string) {
	p.t.Helper()
	p.load(document)
	if !eval[bool](p, `new Promise(done => {
		let waiting = document.querySelectorAll("iframe").length;
		document.querySelectorAll("iframe").forEach(frame => frame.addEventListener("load",
			() => { if (frame.srcdoc && --waiting === 0) done(true) }));
		document.querySelectorAll("details").forEach(e => e.open = true);
		if (waiting === 0) done(false);
	})`) {
		p.t.Fatal("the report has no frame")
	}
}
