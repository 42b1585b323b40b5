package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// links are the reachability matrix over time, as probes have seen it: a row for each
// link that was ever seen dead. They are drawn here, not by the page's script, so that
// whoever has none sees them, too.
type links struct {
	Rows []linkRow
	// Whole is how many links always delivered, Probes how often the matrix was seen to
	// change.
	Whole, Probes int
	// More is how many rows are left out.
	More int
	// Marks are the seconds on the axis.
	Marks         []linkMark
	Width, Height int
	Left, Axis    int
	Label         string
}

// linkRow is a link with the times at which it was seen dead.
type linkRow struct {
	Name string
	Y    int
	Bars []linkBar
	// Text are the same times in words.
	Text string
}

// linkBar is a time in which a link did not deliver.
type linkBar struct {
	X, Width int
	Tip      string
}

// linkMark is a label of the axis.
type linkMark struct {
	X    int
	Text string
}

const (
	linksLeft   = 130
	linksWidth  = 1000
	linkHeight  = 16
	linkBarLeft = 2  // the least width of a bar, so that a short cut is seen
	linkMarks   = 10 // at most so many times on the axis
	linksMax    = 120
)

// linksOf draws the matrices of a run, nil if no link was ever seen dead.
func linksOf(matrices []nemesis.Matrix, end history.Time) *links {
	if len(matrices) == 0 {
		return nil
	}
	end = max(end, matrices[len(matrices)-1].At+1)
	l := &links{Width: linksWidth, Left: linksLeft, Probes: len(matrices)}
	place := func(t history.Time) int {
		return linksLeft + int(float64(linksWidth-linksLeft-20)*float64(t)/float64(end))
	}
	for _, link := range everDead(matrices) {
		row := linkRow{Name: fmt.Sprintf("%s → %s", link.From, link.To)}
		var words []string
		for _, w := range deadTimes(matrices, link, end) {
			tip := fmt.Sprintf("%s to %s", linkTime(w[0]), linkTime(w[1]))
			x := place(w[0])
			row.Bars = append(row.Bars, linkBar{
				X: x, Width: max(linkBarLeft, place(w[1])-x), Tip: row.Name + " did not deliver: " + tip,
			})
			words = append(words, tip)
		}
		row.Text = strings.Join(words, "; ")
		l.Rows = append(l.Rows, row)
	}
	if len(l.Rows) == 0 {
		return nil
	}
	l.Whole = max(0, matrices[len(matrices)-1].Links-len(l.Rows))
	if n := len(l.Rows); n > linksMax {
		l.Rows, l.More = l.Rows[:linksMax], n-linksMax
	}
	for i := range l.Rows {
		l.Rows[i].Y = 4 + i*linkHeight
	}
	l.Axis = 4 + len(l.Rows)*linkHeight
	l.Height = l.Axis + 24
	for t := history.Time(0); t <= end; t += markStep(end) {
		l.Marks = append(l.Marks, linkMark{X: place(t), Text: fmt.Sprintf("%d s", t/1e9)})
	}
	l.Label = fmt.Sprintf("Which links did not deliver, and when: %d links, as probes saw them. "+
		"The table below tells the same.", len(l.Rows))
	return l
}

// markStep is the time between two marks of the axis: 1, 2 or 5 seconds, or ten times
// that, and so on.
func markStep(end history.Time) history.Time {
	for step := history.Time(1e9); ; step *= 10 {
		for _, times := range []history.Time{1, 2, 5} {
			if end/(times*step) < linkMarks {
				return times * step
			}
		}
	}
}

// linkTime writes a time on the test's clock.
func linkTime(t history.Time) string { return fmt.Sprintf("%.1f s", float64(t)/1e9) }

// everDead returns the links that some matrix has as dead, in the order of their names,
// those of clients last.
func everDead(matrices []nemesis.Matrix) []nemesis.Link {
	var all []nemesis.Link
	for _, m := range matrices {
		for _, l := range m.Dead {
			if !slices.Contains(all, l) {
				all = append(all, l)
			}
		}
	}
	slices.SortFunc(all, func(a, b nemesis.Link) int {
		ofClients := func(l nemesis.Link) int {
			if l.From == nemesis.Clients || l.To == nemesis.Clients {
				return 1
			}
			return 0
		}
		if d := ofClients(a) - ofClients(b); d != 0 {
			return d
		}
		return strings.Compare(string(a.From)+"\x00"+string(a.To), string(b.From)+"\x00"+string(b.To))
	})
	return all
}

// deadTimes are the times from a probe that a link did not deliver to the next that it
// did, or to the end.
func deadTimes(matrices []nemesis.Matrix, l nemesis.Link, end history.Time) [][2]history.Time {
	var times [][2]history.Time
	dead := false
	for _, m := range matrices {
		switch now := slices.Contains(m.Dead, l); {
		case now && !dead:
			times = append(times, [2]history.Time{m.At, end})
		case !now && dead:
			times[len(times)-1][1] = m.At
		}
		dead = slices.Contains(m.Dead, l)
	}
	return times
}

// lastTime is the end of what a run has recorded.
func lastTime(r Run) history.Time {
	var last history.Time
	for _, p := range r.Phases {
		last = max(last, p.End)
	}
	return last
}
