package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
)

// A picture draws a counter-example at a fixed width: a lane for each process, and for
// each operation a bar from its call to its return with its label below it. Where labels
// of one lane would meet, the lane gets another row, so that any number of operations
// fits any width. Arrows run behind the labels, their reasons stand where there is room.
type picture struct {
	ID, Kind      string
	Width, Height int
	Left, Right   int
	Top, Axis     int // y of the first lane and of the axis
	Lanes         []lane
	Bars          []bar
	Arrows        []arrow
	Ticks         []tick
	Cuts          []cut
	Bands         []band
	Leads         []band
	notes         []bandNote
}

type lane struct {
	Y, TextX, TextY int
	Label           string
}

// Deep is the height of the lanes.
func (p picture) Deep() int { return p.Axis - p.Top }

// bar is an operation. Plate is the ground of its label.
type bar struct {
	X, Y, Width, Height int
	Plate               rect
	Lines               []textLine
	Tip, Class          string
	// Open is true for an operation that may take effect at any later time.
	Open bool

	row int
}

// Ajar is the outline of a bar without its right end.
func (b bar) Ajar() string {
	return fmt.Sprintf("M%d %dH%dV%dH%d", b.X+b.Width, b.Y, b.X, b.Y+b.Height, b.X+b.Width)
}

type rect struct{ X, Y, Width, Height int }

func (r rect) right() int  { return r.X + r.Width }
func (r rect) bottom() int { return r.Y + r.Height }

// grown is a rectangle with room around it.
func (r rect) grown(by int) rect {
	return rect{X: r.X - by, Y: r.Y - by, Width: r.Width + 2*by, Height: r.Height + 2*by}
}

func (r rect) meets(o rect) bool {
	return r.X < o.right() && o.X < r.right() && r.Y < o.bottom() && o.Y < r.bottom()
}

// node is all of a bar with its label.
func (b *bar) node() rect {
	x := min(b.X, b.Plate.X)
	return rect{
		X: x, Y: b.Y, Width: max(b.X+b.Width, b.Plate.right()) - x,
		Height: max(b.Height, b.Plate.bottom()-b.Y),
	}
}

type textLine struct {
	X, Y  int
	Class string
	Text  string
}

type tick struct {
	X, LabelX int
	Label     string // empty where there is no room
}

// cut is a place where time was left out.
type cut struct {
	X, LabelX int
	Label     string
	Path      string
}

const (
	barHeight  = 14
	lineHeight = 18
	labelGap   = 3 // between a bar and its label
	laneAside  = 150
	laneAbove  = 20
	rowGap     = 14
	arrowRoom  = 24 // between rows for each arrow, up to arrowsMost
	arrowsMost = 3
	labelMax   = 400.0 // pixels
	linesMax   = 6
	topMargin  = 6
	tickHeight = 18
)

func newPicture(
	r Run, f *found, shown []int, bands bands, width int, aside bool,
) picture {
	p := picture{Width: width, Left: 6, Right: width - 8}
	if aside {
		p.Left = laneAside
	}
	first := max(0, len(f.Ops)-opsDrawn)
	ops := f.Ops[first:]
	labels := make([][]textLine, len(ops))
	room := make([]float64, len(ops))
	for i := range ops {
		labels[i] = p.label(f, first+i)
		room[i] = float64(labelWidth(deeds(labels[i])))
	}
	axis := newAxis(ops, room, p.Left+12, p.Right-30)
	for i := range ops {
		p.Bars = append(p.Bars, p.bar(f, &ops[i], labels[i], &axis))
	}
	edges := edgesOf(f, shown, first)
	strips := 0
	p.Bands, p.notes, strips = bands.across(axis, p.Left, p.Right)
	leads := 0
	p.Leads, leads = bands.leading(axis, p.Left, p.Right, strips)
	p.Top = topMargin + strips + leads
	p.stackRows(r, ops, edges, aside)
	p.addTicks(axis)
	p.route(edges)
	return p
}

// label is the text of an operation, in lines that fit.
func (p *picture) label(f *found, i int) []textLine {
	op := &f.Ops[i]
	width := min(labelMax, float64(p.Right-p.Left))
	if f.culprit(op) {
		width /= boldFactor
	}
	var all []textLine
	text := f.located(op)
	if name := f.name(i); name != "" {
		all = append(all, textLine{Text: name, Class: "call"})
	}
	for n, line := range text {
		if n == linesMax-1 && len(text) > linesMax {
			all = append(all, textLine{Text: fmt.Sprintf("… %d more steps", len(text)-n)})
			break
		}
		if f.culprit(op) && n == 0 {
			line = "✕ " + line
		}
		all = append(all, textLine{Text: fit(line, width)})
	}
	if f.culprit(op) {
		all = append(all, inLines(f.mark(), width, "wrong")...)
	}
	if op.Note != "" {
		all = append(all, inLines(op.Note, width, "note")...)
	}
	return append(all, inLines(f.fate(op), width, "dim")...)
}

// inLines breaks a text into at most two lines, none of an empty one.
func inLines(text string, width float64, class string) []textLine {
	if text == "" {
		return nil
	}
	if textWidth(text) <= width {
		return []textLine{{Text: text, Class: class}}
	}
	most := 8 * int(width/charWidth) // bytes: no more than these fit into two lines
	text = strings.ToValidUTF8(text[:min(len(text), most)], "")
	line, rest := "", ""
	for word := range strings.FieldsSeq(text) {
		switch longer := strings.TrimSpace(line + " " + word); {
		case rest == "" && (line == "" || textWidth(longer) <= width):
			line = longer
		default:
			rest = strings.TrimSpace(rest + " " + word)
		}
	}
	all := []textLine{{Text: fit(line, width), Class: class}}
	if rest != "" {
		all = append(all, textLine{Text: fit(rest, width), Class: class})
	}
	return all
}

// deeds are the lines that say what an operation did: a bar is as wide as these, if there is
// room, and remarks may reach beyond it.
func deeds(lines []textLine) []textLine {
	return slices.DeleteFunc(slices.Clone(lines), func(l textLine) bool {
		return l.Class == "wrong" || l.Class == "note" || l.Class == "dim"
	})
}

func labelWidth(lines []textLine) int {
	width := 0.0
	for _, l := range lines {
		width = max(width, textWidth(l.Text))
	}
	return int(width) + 4
}

// bar places an operation on the axis; its rows come later.
func (p *picture) bar(f *found, op *check.Op, label []textLine, a *axis) bar {
	b := bar{
		X: a.x(op.Call), Height: barHeight, Class: "op-" + class(op.Type),
		Open: op.Return < 0, Lines: label,
	}
	end := a.right
	if op.Return >= 0 {
		end = a.x(op.Return)
	}
	b.Width = max(4, end-b.X)
	width := labelWidth(label)
	if f.culprit(op) {
		b.Class += " culprit"
		width = int(float64(width) * boldFactor)
	}
	b.Plate = rect{
		X: max(p.Left, min(b.X, p.Right-width)), Width: width,
		Height: labelGap + lineHeight*len(label),
	}
	b.Tip = fmt.Sprintf("%s, %s to %s, %s", brief(strings.Join(f.located(op), "; "), tipMost),
		a.clock.at(op.Call),
		a.clock.returned(op.Return), op.Type)
	if f.culprit(op) {
		b.Tip += ": " + f.mark()
	}
	if fate := f.fate(op); fate != "" {
		b.Tip += ", " + brief(fate, tipMost)
	}
	if op.Note != "" {
		b.Tip += ", " + op.Note
	}
	return b
}

// stackRows gives each bar a row of its process's lane, and the rows their heights.
func (p *picture) stackRows(r Run, ops []check.Op, edges []edge, aside bool) {
	type row struct{ end, height, lane int }
	var processes []int64
	for _, op := range byCall(ops) {
		if !slices.Contains(processes, op.Process) {
			processes = append(processes, op.Process)
		}
	}
	var rows []row
	for l, process := range processes {
		first := len(rows)
		for _, i := range order(ops) {
			if ops[i].Process != process {
				continue
			}
			n := p.Bars[i].node()
			at := first
			for at < len(rows) && rows[at].end > n.X {
				at++
			}
			if at == len(rows) {
				rows = append(rows, row{lane: l})
			}
			p.Bars[i].row = at
			rows[at].end = n.right() + 10
			rows[at].height = max(rows[at].height, barHeight+p.Bars[i].Plate.Height)
		}
	}
	y, lastLane := p.Top, -1
	for at, row := range rows {
		if row.lane != lastLane {
			lastLane = row.lane
			p.Lanes = append(p.Lanes, p.lane(r, processes[row.lane], y, aside))
			y += 10
			if !aside {
				y += laneAbove
			}
		}
		for i := range p.Bars {
			if p.Bars[i].row == at {
				p.Bars[i].moveTo(y)
			}
		}
		y += row.height + rowGap + arrowRoom*min(arrowsMost, crossing(p.Bars, edges, at))
	}
	p.Axis = y
	p.Height = p.Axis + tickHeight + 8
}

// order returns the positions of ops by their calls.
func order(ops []check.Op) []int {
	all := make([]int, len(ops))
	for i := range all {
		all[i] = i
	}
	slices.SortStableFunc(all, func(a, b int) int { return sign(ops[a].Call - ops[b].Call) })
	return all
}

func byCall(ops []check.Op) []check.Op {
	var sorted []check.Op
	for _, i := range order(ops) {
		sorted = append(sorted, ops[i])
	}
	return sorted
}

func (p *picture) lane(r Run, process int64, y int, aside bool) lane {
	l := lane{Y: y, TextX: 4, TextY: y + 22, Label: processLabel(r, process)}
	width := float64(p.Left - 10)
	if !aside {
		l.TextY = y + 17
		width = float64(p.Width - 10)
	}
	l.Label = fit(l.Label, width*1.12) // it is never bold
	return l
}

func (b *bar) moveTo(y int) {
	b.Y = y
	b.Plate.Y = y + b.Height
	lines := slices.Clone(b.Lines)
	for i := range lines {
		lines[i].X = b.Plate.X + 2
		lines[i].Y = b.Plate.Y + labelGap + lineHeight*i + 13
	}
	b.Lines = lines
}

func (p *picture) addTicks(a axis) {
	end, endCut := 0, 0
	for i, t := range a.times {
		tick := tick{X: a.at[i]}
		label := a.clock.at(t)
		at, half := p.centered(tick.X, label)
		if at-half >= end {
			tick.Label, tick.LabelX = label, at
			end = at + half
		}
		p.Ticks = append(p.Ticks, tick)
	}
	for _, i := range a.cuts {
		c := cut{X: (a.at[i-1] + a.at[i]) / 2}
		c.Path = zigzag(c.X, p.Top, p.Axis)
		label := lasted(a.times[i]-a.times[i-1]) + " cut"
		at, half := p.centered(c.X, label)
		if at-half >= endCut {
			c.Label, c.LabelX = label, at
			endCut = at + half
		}
		p.Cuts = append(p.Cuts, c)
	}
	if len(p.Cuts) > 0 {
		p.Height += tickHeight
	}
}

// centered returns the middle nearest to x at which a text is not cut off, and half of
// its width.
func (p *picture) centered(x int, text string) (at, half int) {
	half = int(textWidth(text))/2 + 2
	return min(max(x, half), p.Width-half), half
}

// zigzag is the mark of a cut from top to bottom.
func zigzag(x, top, bottom int) string {
	const step, wide = 8, 4
	var b strings.Builder
	fmt.Fprintf(&b, "M%d %d", x-wide, top)
	for y, side := top+step, 1; y < bottom; y, side = y+step, -side {
		fmt.Fprintf(&b, "L%d %d", x+side*wide, y)
	}
	return b.String()
}
