package reports

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// view is a page of Porcupine's inside the report.
type view struct {
	Title string
	// Page is a whole HTML document; empty if it would make the report too large.
	Page string
}

// viewsMax bounds all of Porcupine's pages in one report, in bytes.
const viewsMax = 2_000_000

// addViews hands Porcupine's pages out to the diagrams: first those of the
// counter-examples themselves, then those of everything on their keys while there
// is room.
func addViews(diagrams []diagram, all []found) {
	used := 0
	add := func(d *diagram, title, doc string) {
		if doc == "" {
			return
		}
		doc = visible(doc)
		if used += len(doc); used > viewsMax {
			used -= len(doc)
			doc = ""
		}
		d.Views = append(d.Views, view{Title: title, Page: doc})
	}
	for i, c := range all {
		add(&diagrams[i], "Porcupine's interactive view of these operations", c.Visualization)
	}
	for i, c := range all {
		add(&diagrams[i], "Porcupine's interactive view of all operations on this key",
			c.WholeVisualization)
	}
}

var scripts = regexp.MustCompile(`(?is)<script[^>]*>(.*?)</script\s*>`)

// policy returns the page's Content Security Policy. It forbids all of the
// network and every script but those known here, by their hashes: also a hole in
// the escaping would not run anything. Frames without an address inherit the
// policy, so the scripts of Porcupine's pages are listed, too.
func policy(js string, diagrams []diagram) string {
	hashes := []string{hash(js)}
	for _, d := range diagrams {
		for _, v := range d.Views {
			for _, m := range scripts.FindAllStringSubmatch(v.Page, -1) {
				hashes = append(hashes, hash(m[1]))
			}
		}
	}
	return "default-src 'none'; base-uri 'none'; form-action 'none'; " +
		"style-src 'unsafe-inline'; script-src " + strings.Join(hashes, " ")
}

func hash(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// visible writes characters that nobody sees, or that change the order of what
// others see, as their numbers, and makes the text valid UTF-8. It may be applied
// to text as well as to a finished page, whose own markup has none of them.
func visible(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\r\n", "\n")
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func hidden(r rune) bool {
	if r == '\n' || r == '\t' {
		return false
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\uFEFF'
}
