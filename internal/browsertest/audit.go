package browsertest

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed audit.js
var audit string

// Audit checks what every page owes its readers, as it looks at this moment (WCAG 2.2 AA,
// and our own rules): text of at least 12 pixels with a contrast of 4.5 to 1 and controls
// that stand out, a language and a title, one heading of the first level and none that
// skips one, landmarks, a name for each control, picture, table and frame, a table beside
// each chart, and no identifier twice.
func (p *Tab) Audit(where string) {
	p.T.Helper()
	for _, problem := range Eval[[]string](p, audit) {
		p.T.Errorf("%s: %s", where, problem)
	}
}

// tabsMost is how often the key is pressed at most.
const tabsMost = 600

// AuditKeyboard goes through the page by the Tab key alone: it has to come to everything
// that acts or scrolls, in the order of the document, and each has to show that it has the
// focus.
func (p *Tab) AuditKeyboard(where string) {
	p.T.Helper()
	for _, problem := range p.walk() {
		p.T.Errorf("%s: %s", where, problem)
	}
}

// walk returns what is wrong with the way of the Tab key.
func (p *Tab) walk() (bad []string) {
	p.T.Helper()
	want := Eval[int](p, `(() => {
		const acts = 'a[href], button, input:not([type=hidden]), select, textarea, summary, ' +
			'iframe, [tabindex]:not([tabindex="-1"])';
		const list = [...document.querySelectorAll(acts)].filter(e =>
			e.checkVisibility({visibilityProperty: true}) && !e.disabled &&
			(e.type !== "radio" || e.checked));
		for (const e of document.querySelectorAll("*")) {
			const s = getComputedStyle(e);
			const scrolls = [s.overflowX, s.overflowY].some(o => o === "auto" || o === "scroll") &&
				(e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1);
			if ((scrolls || e.onclick) && e.checkVisibility() && !list.includes(e) &&
				![...e.querySelectorAll(acts)].some(i => list.includes(i)))
				list.push(e);
		}
		document.body.tabIndex = -1; // the next one is the first
		document.body.focus();
		document.body.removeAttribute("tabindex");
		window.toVisit = new Set(list);
		window.stopsAt = [];
		return list.length;
	})()`)
	if want == 0 {
		bad = append(bad, "there is nothing to go to")
	}
	const look = `(() => {
		const e = document.activeElement;
		if (!e || e === document.body) return "out";
		if (e === stopsAt.at(-1)) return ""; // a part of the same control: of a date, the day
		if (stopsAt.includes(e)) return "again";
		stopsAt.push(e);
		toVisit.delete(e);
		const what = e.outerHTML.slice(0, 80);
		const last = stopsAt.at(-2);
		const behind = last && last.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_PRECEDING;
		// What has the focus: the element, or a part of it, looks otherwise than without.
		const looks = () => [e, ...e.querySelectorAll("*")].slice(0, 8).map(e => {
			const s = getComputedStyle(e);
			return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.stroke,
				s.strokeWidth, s.backgroundColor, s.borderColor].join();
		}).join();
		const focused = looks();
		if (e.tagName === "IFRAME") return "";
		e.blur();
		const without = looks();
		e.focus({focusVisible: true, preventScroll: true});
		return (focused === without ? "the focus does not show: " + what : "") +
			(behind ? "out of order: " + what : "");
	})()`
	for range tabsMost {
		p.Press("\t")
		seen := Eval[string](p, look)
		if seen == "out" || seen == "again" {
			break
		}
		if seen != "" {
			bad = append(bad, seen)
		}
	}
	if left := Eval[[]string](p, `[...toVisit].map(e => e.outerHTML.slice(0, 80))`); len(left) > 0 {
		bad = append(bad, fmt.Sprintf("the Tab key does not come to %d of %d: %s", len(left), want,
			strings.Join(left[:min(5, len(left))], " | ")))
	}
	return bad
}
