package browsertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fair is a page that owes its readers nothing.
const fair = `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Fair</title></head>
<body><header><h1>Fair</h1></header><main>
<p>Some text.</p><p>More text.</p><h2>A part</h2><p>Its text.</p>
<figure><svg role="img" aria-label="what it shows"></svg>
<table><thead><tr><th>head</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table></figure>
<button>Go</button> <a href="#x">There</a>
<label>Name <input style="border: 1px solid #000"></label>
</main></body></html>`

// flawed are pages with one flaw each, made of the fair one, and what is said of it.
var flawed = []struct{ old, now, want string }{
	{"<p>Some", `<p style="color: #aaa">Some`, "contrast 2.32: Some text."},
	{"<p>Some", `<p style="color: rgb(0 0 0 / .4)">Some`, "contrast 2.8"},
	{"<p>Some", `<p style="font-size: 11px">Some`, "11.0 pixels: Some text."},
	{`lang="en"`, "", "no language"},
	{"<title>Fair</title>", "", "no title"},
	{"initial-scale=1", "initial-scale=1, maximum-scale=1", "no zoom"},
	{"<h1>Fair</h1>", "<p>Fair</p>", "not one h1"},
	{"<h2>A part</h2>", "<h3>A part</h3>", "h3 after h1: A part"},
	{"<main>", "<p>Astray.</p><main>", "outside of the landmarks"},
	{`aria-label="what it shows"`, "", "a picture without words"},
	{"<figure>", "<figure></figure><div>", "a chart without a table"},
	{"<th>head</th>", "<td>head</td>", "a table without heads"},
	{"<button>Go", `<button aria-label="">`, "no name: <button"},
	{"<label>Name ", "<span>Name</span> ", "no name: <input"},
	{"solid #000", "solid #ddd", "edge of <input"},
	{"<button>", `<button tabindex="3">`, "out of order: <button"},
	{"<p>Some", `<p id="a"></p><p id="a">Some`, "2 times: #a"},
	{"<button>", `<button aria-describedby="none">`, "aria-describedby of nothing"},
	{"<p>Some", `<p style="width: 3000px">Some`, "the page is 30"},
}

// unreachable are flaws that only the Tab key finds.
var unreachable = []struct{ old, now, want string }{
	{"<button>", `<button tabindex="-1" onclick="1">`, "does not come to 1 of 3"},
	{"<button>", `<button style="outline: none">`, "the focus does not show: <button"},
	{"<a ", `<a tabindex="7" `, "does not come to 1 of 3"},
}

// TestAudit: the audit finds each flaw, and none in a page that has none.
func TestAudit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	p := Open(t, Start(t, 800, 600), func(a string) bool { return strings.HasSuffix(a, path) })
	show := func(document string) {
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		p.Visit("file://" + path)
	}
	show(fair)
	for _, problem := range append(Eval[[]string](p, audit), p.walk()...) {
		t.Errorf("a fair page: %s", problem)
	}
	for _, kind := range []struct {
		flaws []struct{ old, now, want string }
		look  func(*Tab) []string
	}{
		{flawed, func(p *Tab) []string { return Eval[[]string](p, audit) }},
		{unreachable, (*Tab).walk},
	} {
		for _, f := range kind.flaws {
			if !strings.Contains(fair, f.old) {
				t.Fatalf("%s is not in the fair page", f.old)
			}
			show(strings.Replace(fair, f.old, f.now, 1))
			if got := strings.Join(kind.look(p), "; "); !strings.Contains(got, f.want) {
				t.Errorf("with %s: %q, want %q", f.now, got, f.want)
			}
		}
	}
}
