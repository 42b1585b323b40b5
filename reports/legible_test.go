package reports

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check"
)

// crowdedRun has a counter-example with everything that is hard to draw: operations
// of one process directly after each other, short and long labels, times from
// nanoseconds to minutes, an operation without answer and one without duration.
func crowdedRun() Run {
	var ops []check.Op
	at := int64(1e9)
	for i := range int64(12) {
		op := check.Op{
			Index: i, Process: i % 2, Call: at, Return: at + 1 + i*i*i*1e6, Type: "ok",
			Describe: fmt.Sprintf("cas(%d, %s)", i, strings.Repeat("9", int(i*i%37))),
		}
		if i == 11 {
			op.Culprit = true
		}
		at = op.Return + 1
		ops = append(ops, op)
	}
	ops = append(ops,
		check.Op{
			Process: 3, Call: 1e9 + 5, Return: -1, Type: "info", Describe: "write(8) unknown",
		},
		check.Op{Process: 4, Call: 60e9, Return: 60e9, Type: "ok", Describe: "read() = 7"},
	)
	r := baseRun()
	r.Result = check.Result{
		Name: "linearizable", Verdict: check.Invalid, Reason: "crowded",
		Counterexamples: []check.Counterexample{{Key: "k1", Why: "too many", Ops: ops}},
	}
	return r
}

// busyRun has a counter-example of 30 operations with more orders than can be drawn.
func busyRun() Run {
	cx := check.Counterexample{Key: "k1", Why: "Nobody made it small."}
	for i := range int64(30) {
		cx.Ops = append(cx.Ops, check.Op{
			Index: i, Process: i % 7, Call: i * 3e6, Return: i*3e6 + 1e6 + i%5*2e6, Type: "ok",
			Describe: fmt.Sprintf("write(%d)", i), Culprit: i == 29,
		})
		if i > 0 {
			kind := []check.EdgeKind{check.RealTime, check.ReadFrom, check.WriteOrder}[i%3]
			cx.Edges = append(cx.Edges, check.Edge{
				From: int(i - 1), To: int(i), Kind: kind, Why: "it is so",
			})
		}
	}
	cx.Edges = append(cx.Edges, check.Edge{From: 29, To: 18, Kind: check.WriteOrder, Why: "no"})
	r := baseRun()
	r.Result = check.Result{
		Name: "linearizable", Verdict: check.Invalid, Reason: "busy",
		Counterexamples: []check.Counterexample{cx},
	}
	return r
}

// checkLabels checks in the browser, with its real fonts, that each label is at its bar,
// that no two texts of a picture meet, and that nothing is cut off, neither by the picture
// nor by the page.
func checkLabels(p *tab, picture string) {
	p.t.Helper()
	for _, problem := range eval[[]string](p, fmt.Sprintf(`(() => {
		const bad = [];
		const region = document.querySelector(%q);
		const svg = region.querySelector("svg");
		const edge = svg.getBoundingClientRect();
		const texts = Array.from(svg.querySelectorAll("text"),
			e => ({text: e.textContent, box: e.getBoundingClientRect()}));
		for (const bar of svg.querySelectorAll(".bar")) {
			const plate = bar.querySelector(".plate").getBoundingClientRect();
			for (const line of bar.querySelectorAll("text")) {
				const text = line.getBoundingClientRect();
				if (text.left < plate.left || text.right > plate.right + 1)
					bad.push("wider than thought: " + line.textContent);
			}
		}
		for (const pill of svg.querySelectorAll(".pill")) {
			const box = pill.getBoundingClientRect();
			const text = pill.nextElementSibling.getBoundingClientRect();
			if (text.left < box.left || text.right > box.right)
				bad.push("outside of its pill: " + pill.nextElementSibling.textContent);
		}
		texts.forEach((a, i) => {
			if (a.box.left < edge.left || a.box.right > edge.right ||
				a.box.top < edge.top || a.box.bottom > edge.bottom)
				bad.push("cut off: " + a.text);
			for (const b of texts.slice(i + 1))
				if (a.box.left < b.box.right && b.box.left < a.box.right &&
					a.box.top < b.box.bottom - 2 && b.box.top < a.box.bottom - 2)
					bad.push("overlap: " + a.text + " | " + b.text);
		});
		if (region.scrollWidth > region.clientWidth)
			bad.push("the picture is " + region.scrollWidth + " wide: " + region.clientWidth);
		const page = document.documentElement;
		if (page.scrollWidth > page.clientWidth)
			bad.push("the page is " + page.scrollWidth + " wide: " + page.clientWidth);
		return bad;
	})()`, picture)) {
		p.t.Errorf("%s: %s", picture, problem)
	}
}

// TestHidden: what nobody sees becomes a number that everybody sees.
func TestHidden(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"plain ✕ é\n\ttext", "plain ✕ é\n\ttext"},
		{"a\u202eb\u2066c", "a⟨U+202E⟩b⟨U+2066⟩c"},
		{"a\x00b\x1b[31mc\x7f", "a⟨U+0000⟩b⟨U+001B⟩[31mc⟨U+007F⟩"},
		{"a\r\nb\rc", "a\nb⟨U+000D⟩c"},
		{"a\xff\xfeb", "a\uFFFDb"},
	} {
		if got := visible(test.in); got != test.want {
			t.Errorf("visible(%q) = %q, want %q", test.in, got, test.want)
		}
		if got := visible(visible(test.in)); got != test.want {
			t.Errorf("twice: %q", got)
		}
	}
}
