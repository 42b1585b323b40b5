package reports

import (
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// bands are the times of the faults, to be drawn behind what happened in them.
type bands struct {
	windows []history.Window
	kinds   []bandKind
}

// bandKind is one kind of fault with its color.
type bandKind struct {
	Name, Class string
}

// band is the time of a fault in a picture.
type band struct {
	X, Width int
	// Edge is the y of its strip: faults at the same time have theirs below each other.
	Edge       int
	Class, Tip string
	// Number is the fault's number in the table of faults with its name, empty where there
	// is no room for it. TextX is where it stands.
	Number string
	TextX  int
}

// bandNote is a band in words.
type bandNote struct {
	Class, Text string
}

const (
	// bandColors is the number of band colors in page.css.
	bandColors = 8
	// bandsMax bounds the bands of one picture: a test of a night has thousands
	// of faults.
	bandsMax = 2000
	// stripHeight is the height of a diagram's row of faults, stripRows how many there
	// are at most.
	stripHeight = 20
	stripRows   = 5
	// notesMax is the number of faults told below a diagram.
	notesMax = 8
)

func newBands(windows []history.Window) bands {
	b := bands{windows: windows}
	for _, w := range windows {
		if !slices.ContainsFunc(b.kinds, func(k bandKind) bool { return k.Name == w.Fault }) {
			b.kinds = append(b.kinds, bandKind{
				Name: w.Fault, Class: fmt.Sprintf("band-%d", len(b.kinds)%bandColors),
			})
		}
	}
	return b
}

func (b bands) class(fault string) string { return fmt.Sprintf("band-%d", b.color(fault)) }

// color is the number of a fault's color.
func (b bands) color(fault string) int {
	return max(0, slices.IndexFunc(b.kinds, func(k bandKind) bool {
		return k.Name == fault
	})) % bandColors
}

// across returns the bands of a diagram, each with a strip and its name in one of the
// rows at the top; those that end before its first moment or begin after its last are
// left out. Where there are more at a time than rows, the rest have no names. height is
// that of all rows.
func (b bands) across(a axis, left, right int) (drawn []band, notes []bandNote, height int) {
	if len(a.times) == 0 {
		return nil, nil, 0
	}
	first, last := a.times[0], a.times[len(a.times)-1]
	var free [stripRows]int
	more := 0
	for _, w := range b.windows {
		if int64(w.End) < first || int64(w.Start) > last || len(drawn) == bandsMax {
			continue
		}
		x, end := left, right
		if int64(w.Start) >= first {
			x = a.x(int64(w.Start))
		}
		if int64(w.End) <= last {
			end = a.x(int64(w.End))
		}
		d := band{X: x, Width: max(2, end-x), Class: b.class(w.Fault), Tip: bandTip(w)}
		d.Number = fit(fmt.Sprintf("%d %s", w.ID, w.Fault), float64(right-left))
		d.TextX = max(left, min(x+4, right-int(textWidth(d.Number))))
		row := slices.IndexFunc(free[:], func(end int) bool { return end <= min(x, d.TextX) })
		if row < 0 {
			d.Number = ""
		} else {
			d.Edge = row * stripHeight
			free[row] = max(x+d.Width, d.TextX+int(textWidth(d.Number))) + 4
			height = max(height, d.Edge+stripHeight)
		}
		drawn = append(drawn, d)
		if len(notes) == notesMax {
			more++
			continue
		}
		notes = append(notes, bandNote{Class: b.class(w.Fault), Text: "fault " + bandTip(w)})
	}
	if more > 0 {
		notes = append(notes, bandNote{Text: fmt.Sprintf("and %d more", more)})
	}
	return drawn, notes, height
}

func bandTip(w history.Window) string {
	return fmt.Sprintf("%d %s: %s, %s to %s", w.ID, w.Fault, w.What, at(w.Start), at(w.End))
}
