package reports

import (
	"fmt"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// bands are the times of the faults, to be drawn behind what happened in them, and those
// for which nodes believed to lead.
type bands struct {
	windows []history.Window
	kinds   []bandKind
	leads   []lead
	kills   []kill
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
	// LabelX is the place at which it is anchored, by its end if End: how wide it becomes
	// is known to the reader's browser only.
	LabelX int
	End    bool
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
	// leadsDrawn is the number of leads in a diagram.
	leadsDrawn = 40
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
	rows := rows{left: left, right: right}
	more := 0
	for _, w := range b.windows {
		if int64(w.End) < first || int64(w.Start) > last || len(drawn) == bandsMax {
			continue
		}
		d := rows.place(a, w.Start, w.End, fmt.Sprintf("%d %s", w.ID, w.Fault))
		d.Class, d.Tip = b.class(w.Fault), bandTip(w)
		drawn = append(drawn, d)
		if len(notes) == notesMax {
			more++
			continue
		}
		notes = append(notes, bandNote{Class: b.class(w.Fault), Text: "fault " + bandTip(w)})
	}
	for _, k := range b.kills {
		if int64(k.at) >= first && int64(k.at) <= last && len(drawn) < bandsMax {
			d := rows.place(a, k.at, k.at, fmt.Sprintf("%d %s", k.id, k.what))
			d.Class = b.class(k.fault)
			d.Tip = fmt.Sprintf("%d %s: %s at %s", k.id, k.fault, k.what, at(k.at))
			drawn = append(drawn, d)
		}
	}
	if more > 0 {
		notes = append(notes, bandNote{Text: fmt.Sprintf("and %d more", more)})
	}
	return drawn, notes, rows.height
}

// leading returns the strips of those who believed to lead, below the faults; who said so only
// just after the last moment stands at its end.
func (b bands) leading(a axis, left, right, top int) (drawn []band, height int) {
	if len(a.times) == 0 {
		return nil, 0
	}
	rows := rows{left: left, right: right, top: top}
	for _, l := range b.leads {
		last := a.times[len(a.times)-1]
		if int64(l.end) < a.times[0] || int64(l.start) > last+leadsLate ||
			len(drawn) == leadsDrawn {
			continue
		}
		d := rows.place(a, min(l.start, history.Time(last)), l.end, l.told())
		d.Class = fmt.Sprintf("band-%d", l.color)
		d.Tip = fmt.Sprintf("%s, %s to %s", l.told(), at(l.start), at(l.end))
		drawn = append(drawn, d)
	}
	return drawn, rows.height
}

// rows are the strips above a diagram, as few below each other as there is room for.
type rows struct {
	left, right, top int
	free             [stripRows]int // where each row is free again
	height           int
}

// place puts a strip with its label where there is room for it. A strip that finds none
// has no label.
func (r *rows) place(a axis, start, stop history.Time, label string) band {
	x, end := r.left, r.right
	if int64(start) >= a.times[0] {
		x = a.x(int64(start))
	}
	if int64(stop) <= a.times[len(a.times)-1] {
		end = a.x(int64(stop))
	}
	d := band{X: x, Width: max(2, end-x), Number: fit(label, float64(r.right-r.left))}
	wide := int(textWidth(d.Number))
	d.TextX = r.beside(x, d.Width, wide)
	d.LabelX = d.TextX
	if d.End = d.TextX+wide < x; d.End {
		d.LabelX = d.TextX + wide
	}
	row := slices.IndexFunc(r.free[:], func(end int) bool { return end <= min(x, d.TextX) })
	if row < 0 {
		d.Number = ""
		return d
	}
	d.Edge = r.top + row*stripHeight
	r.free[row] = max(x+d.Width, d.TextX+int(textWidth(d.Number))) + 4
	r.height = max(r.height, (row+1)*stripHeight)
	return d
}

// beside is where a label of a width stands: in its strip, or else right or left of it where
// there is room, so that no edge of the strip runs through it.
func (r *rows) beside(x, strip, width int) int {
	const gap = 4
	switch {
	case width+2*gap <= strip:
		return x + gap
	case x+strip+gap+width <= r.right:
		return x + strip + gap
	case x-gap-width >= r.left:
		return x - gap - width
	}
	return max(r.left, min(x+gap, r.right-width))
}

func bandTip(w history.Window) string {
	return fmt.Sprintf("%d %s: %s, %s to %s", w.ID, w.Fault, w.What, at(w.Start), at(w.End))
}
