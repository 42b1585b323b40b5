package reports

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

func link(from, to nemesis.Node) nemesis.Link { return nemesis.Link{From: from, To: to} }

// cutAndBack are matrices of a cut that flaps, and of one that stays.
func cutAndBack() []nemesis.Matrix {
	return []nemesis.Matrix{
		{At: 0, Links: 12},
		{At: 1000 * ms1, Links: 12, Dead: []nemesis.Link{link("n1", "n2"), link("n1", "clients")}},
		{At: 2000 * ms1, Links: 12, Dead: []nemesis.Link{link("n1", "clients")}},
		{At: 3000 * ms1, Links: 12, Dead: []nemesis.Link{link("n1", "clients"), link("n1", "n2")}},
		{At: 4500 * ms1, Links: 12, Dead: []nemesis.Link{link("n1", "clients")}},
	}
}

// TestLinks draws a row for each link that ever failed, a bar for each time.
func TestLinks(t *testing.T) {
	l := linksOf(cutAndBack(), 8000*ms1)
	if len(l.Rows) != 2 || l.Whole != 10 {
		t.Fatalf("%+v", l)
	}
	peers, clients := l.Rows[0], l.Rows[1]
	if peers.Name != "n1 → n2" || peers.Text != "1.0 s to 2.0 s; 3.0 s to 4.5 s" ||
		len(peers.Bars) != 2 {
		t.Errorf("%+v", peers)
	}
	if clients.Name != "n1 → clients" || clients.Text != "1.0 s to 8.0 s" {
		t.Errorf("%+v", clients)
	}
	if end := clients.Bars[0].X + clients.Bars[0].Width; end > l.Width || clients.Bars[0].X < l.Left {
		t.Errorf("drawn outside: %+v", clients.Bars)
	}
	if n := len(l.Marks); n != 9 || l.Marks[8].Text != "8 s" || l.Marks[8].X > l.Width {
		t.Errorf("marks %+v", l.Marks)
	}
	for end, step := range map[history.Time]history.Time{
		1: 1e9, 9e9: 1e9, 10e9: 2e9, 49e9: 5e9, 60e9: 10e9, 36000e9: 5000e9,
	} {
		if got := markStep(end); got != step {
			t.Errorf("of %d: every %d, want %d", end, got, step)
		}
	}
	if whole := linksOf(cutAndBack()[:1], 8000*ms1); whole != nil {
		t.Errorf("nothing was ever dead: %+v", whole)
	}
	if none := linksOf(nil, 8000*ms1); none != nil {
		t.Errorf("nothing was probed: %+v", none)
	}
}

// TestLinksOnPage shows the lane and its table, with names as text.
func TestLinksOnPage(t *testing.T) {
	r := validRun(t)
	r.Links = append(cutAndBack(), nemesis.Matrix{
		At: 5000 * ms1, Links: 12, Dead: []nemesis.Link{link("<b>n1", "n2")},
	})
	var page bytes.Buffer
	if err := HTML(&page, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<section id="links">`, "n1 → n2 did not deliver: 1.0 s to 2.0 s", "&lt;b&gt;n1 → n2",
		"The links as a table", "9 other links delivered every probe",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	r.Links = nil
	page.Reset()
	if err := HTML(&page, r); err != nil || strings.Contains(page.String(), `id="links"`) {
		t.Errorf("a lane of nothing, %v", err)
	}
}
