package reports

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// view is a page of Porcupine's inside the report.
type view struct {
	Title string
	// Number is the page's position in the data of the report.
	Number int
	// Page is a whole HTML document; empty if it would make the report too large.
	Page string
}

// viewsMax bounds all of Porcupine's pages in one report, in bytes.
const viewsMax = 2_000_000

// addViews hands Porcupine's pages out to the diagrams: first those of the
// counter-examples themselves, then those of everything on their keys while there
// is room.
func addViews(diagrams []diagram, all []found) {
	used, number := 0, 0
	add := func(d *diagram, title, doc string) {
		if doc == "" {
			return
		}
		doc = visible(doc)
		if used += len(doc); used > viewsMax {
			used -= len(doc)
			doc = ""
		}
		d.Views = append(d.Views, view{Title: title, Number: number, Page: doc})
		number++
	}
	for i, c := range all {
		add(&diagrams[i], "Porcupine's interactive view of these operations", c.Visualization)
	}
	for i, c := range all {
		add(&diagrams[i], "Porcupine's interactive view of all operations on this key",
			c.WholeVisualization)
	}
}

var (
	scripts = regexp.MustCompile(`(?is)<script[^>]*>(.*?)</script\s*>`)
	styles  = regexp.MustCompile(`(?is)<style[^>]*>(.*?)</style\s*>`)
	// paints are the colors that Porcupine's script gives to marked operations.
	paints = regexp.MustCompile(`"(?:Background|Text)Color":"(#[0-9a-fA-F]{3,8})"`)
)

// policy returns the page's Content Security Policy. It forbids all of the network and
// every script and style but those known here, by their hashes: also a hole in the
// escaping would not run anything. Frames without an address inherit the policy, so
// those of Porcupine's pages are listed, too.
func policy(script, style string, diagrams []diagram) string {
	run, look := []string{hash(script)}, []string{hash(style)}
	add := func(list []string, text string) []string {
		if h := hash(text); !slices.Contains(list, h) {
			list = append(list, h)
		}
		return list
	}
	for _, d := range diagrams {
		for _, v := range d.Views {
			look = add(look, "") // of operations that are not marked
			for _, m := range paints.FindAllStringSubmatch(v.Page, -1) {
				look = add(look, "fill: "+m[1]+";")
			}
			for _, m := range scripts.FindAllStringSubmatch(v.Page, -1) {
				run = add(run, m[1])
			}
			for _, m := range styles.FindAllStringSubmatch(v.Page, -1) {
				look = add(look, m[1])
			}
		}
	}
	if len(look) > 1 {
		look = append(look, "'unsafe-hashes'") // the hashes may be those of attributes
	}
	return "default-src 'none'; base-uri 'none'; form-action 'none'; " +
		"style-src " + strings.Join(look, " ") + "; script-src " + strings.Join(run, " ")
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
