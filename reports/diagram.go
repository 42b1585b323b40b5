package reports

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// A diagram draws a counter-example: a lane for each process, a bar for each
// operation. Its time axis keeps the order of all calls and returns exactly, but
// not the distances: what matters in a contradiction is what came before what, and
// a write that everybody forgot may lie half a minute before the read that shows
// it. The freedom that this leaves goes to the labels: every bar is made wide
// enough for its own, so no label can meet another one.
type diagram struct {
	ID       string
	Key, Why string
	Minimal  bool
	Views    []view
	Width    int
	Height   int
	Left     int
	Axis     int // y of the axis
	Lanes    []lane
	Bars     []bar
	Ticks    []tick
	Bands    []band
	// Meanwhile are the faults behind the bars, in words.
	Meanwhile []bandNote
	// Told is the picture in words, for those who do not see it.
	Told []toldOp
	// Culprit and Open say whether there are such bars, for the legend.
	Culprit, Open bool
	// Left out are the operations before those drawn.
	LeftOut int
}

type lane struct {
	Y     int
	Label string
}

type bar struct {
	X, Y, Width, Height int
	TextX, TextY        int
	Label, Tip, Class   string
	// Open is true for an operation that may take effect at any later time.
	Open bool
}

type tick struct {
	X     int
	Label string // empty where there is no room
}

// toldOp is an operation as a line of a table.
type toldOp struct {
	Process, What, From, To, Outcome string
	Culprit                          bool
}

const (
	laneHeight  = 44
	barHeight   = 28
	laneLabel   = 150
	diagramTop  = 12
	diagramWide = 1036 // what a page shows without scrolling
	gapMin      = 12.0
	gapDecade   = 13.0 // more for each power of ten of the distance
	openTail    = 48.0 // of an operation without end, after everything else
	stretchMax  = 1.7
	// The width of a character in a broad sans serif font, and of one of those
	// that fill a square; bold is broader.
	charWidth  = 8.8
	squareWide = 14.0
	boldFactor = 1.12
	// firstSquare is where the scripts of East Asia begin.
	firstSquare = '\u1100'
	labelMax    = 40 // characters
	// A lane label is narrower than charWidth: it is never bold.
	laneLabelMax = 19
	barPadding   = 8
	opsDrawn     = 200
)

// newDiagram lays the picture out.
func newDiagram(r Run, i int, c check.Counterexample, bands bands) diagram {
	d := diagram{
		ID: fmt.Sprintf("ce%d", i+1), Key: string(c.Key), Why: c.Why, Minimal: c.Minimal,
		Left: laneLabel,
	}
	ops := slices.Clone(c.Ops)
	slices.SortStableFunc(ops, func(a, b check.Op) int { return sign(a.Call - b.Call) })
	ops, d.LeftOut = latest(ops)
	for i := range ops {
		if op := &ops[i]; op.Return >= 0 && op.Return <= op.Call {
			op.Return = op.Call + 1 // even the shortest operation has a bar
		}
	}
	axis := newAxis(ops)
	lanes := map[int64]int{}
	for _, op := range ops {
		if _, ok := lanes[op.Process]; !ok {
			lanes[op.Process] = len(lanes)
			d.Lanes = append(d.Lanes, lane{
				Y:     diagramTop + lanes[op.Process]*laneHeight,
				Label: shorten(processLabel(r, op.Process), laneLabelMax),
			})
		}
		d.Bars = append(d.Bars, newBar(op, axis, d.Lanes[lanes[op.Process]].Y))
		d.Told = append(d.Told, tell(r, op, axis.clock))
		d.Culprit = d.Culprit || op.Culprit
		d.Open = d.Open || op.Return < 0
	}
	d.Axis = diagramTop + len(d.Lanes)*laneHeight + 6
	d.Height = d.Axis + 32
	d.Width = axis.end + 40
	d.addTicks(axis)
	d.Bands, d.Meanwhile = bands.across(axis, d.Axis, d.Width)
	return d
}

// latest keeps the last operations of a counter-example that nobody had the time
// to make small: the contradiction is at its end.
func latest(ops []check.Op) (kept []check.Op, leftOut int) {
	leftOut = max(0, len(ops)-opsDrawn)
	return ops[leftOut:], leftOut
}

func newBar(op check.Op, axis axis, y int) bar {
	b := bar{
		X: axis.x(op.Call), Y: y + (laneHeight-barHeight)/2, Height: barHeight,
		Label: barLabel(op), Class: "op-" + class(op.Type), Open: op.Return < 0,
	}
	end := axis.end
	if op.Return >= 0 {
		end = axis.x(op.Return)
	}
	b.Width = max(4, end-b.X)
	b.TextX, b.TextY = b.X+barPadding, b.Y+barHeight/2+5
	if op.Culprit {
		b.Class += " culprit"
	}
	b.Tip = fmt.Sprintf("%s, %s to %s, %s", op.Describe, axis.clock.at(op.Call),
		axis.clock.returned(op.Return), op.Type)
	return b
}

// barLabel marks the culprit by more than its color.
func barLabel(op check.Op) string {
	label := shorten(op.Describe, labelMax)
	if op.Culprit {
		label = "✕ " + label
	}
	return label
}

// shorten cuts a text that is longer than most characters.
func shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

// class keeps a type of an operation from becoming any other class name.
func class(t string) string {
	for _, known := range []string{"ok", "fail", "info"} {
		if t == known {
			return t
		}
	}
	return "other"
}

func tell(r Run, op check.Op, c clock) toldOp {
	t := toldOp{
		Process: processLabel(r, op.Process), What: op.Describe, From: c.at(op.Call),
		To: c.returned(op.Return), Outcome: op.Type, Culprit: op.Culprit,
	}
	if op.Return < 0 {
		t.Outcome = "unknown: it may take effect at any later time, or never"
	}
	return t
}

// processLabel names a process and the node that its thread talks to.
func processLabel(r Run, p int64) string {
	label := fmt.Sprintf("process %d", p)
	if r.Concurrency > 0 && len(r.Nodes) > 0 && p >= 0 {
		label += " at " + r.Nodes[int(p%int64(r.Concurrency))%len(r.Nodes)]
	}
	return label
}

func (d *diagram) addTicks(a axis) {
	end := math.MinInt
	for i, t := range a.times {
		tick := tick{X: a.at[i]}
		label := a.clock.at(t)
		if half := int(textWidth(label))/2 + 2; tick.X-half >= end {
			tick.Label = label
			end = tick.X + half
		}
		d.Ticks = append(d.Ticks, tick)
	}
}

// axis maps times to places: it keeps the order, shortens long distances, and
// gives each operation the room that its label needs.
type axis struct {
	times []int64
	at    []int
	end   int
	clock clock
}

func newAxis(ops []check.Op) axis {
	var times []int64
	for _, op := range ops {
		times = append(times, op.Call)
		if op.Return >= 0 {
			times = append(times, op.Return)
		}
	}
	slices.Sort(times)
	a := axis{times: slices.Compact(times)}
	a.clock = newClock(a.times)
	places, end := a.spread(ops)
	room := float64(diagramWide - laneLabel - 18 - 40)
	stretch := min(stretchMax, max(1, room/max(1, end)))
	for _, x := range places {
		a.at = append(a.at, laneLabel+18+int(x*stretch))
	}
	a.end = laneLabel + 18 + int(end*stretch)
	return a
}

// spread returns the least places of all times, from 0, so that each is right of
// the one before and each bar is as wide as its label. The places of returns
// depend on those of calls, which are earlier, so one pass is enough.
func (a axis) spread(ops []check.Op) (places []float64, end float64) {
	index := make(map[int64]int, len(a.times))
	for i, t := range a.times {
		index[t] = i
	}
	ending := map[int64][]check.Op{}
	for _, op := range ops {
		if op.Return >= 0 {
			ending[op.Return] = append(ending[op.Return], op)
		}
	}
	places = make([]float64, len(a.times))
	for i, t := range a.times {
		if i > 0 {
			us := float64(t-a.times[i-1]) / float64(time.Microsecond)
			places[i] = places[i-1] + gapMin + gapDecade*math.Log10(1+us)
		}
		for _, op := range ending[t] {
			places[i] = max(places[i], places[index[op.Call]]+room(op))
		}
		end = places[i]
	}
	for _, op := range ops {
		if op.Return < 0 {
			end = max(end, places[len(places)-1]+openTail, places[index[op.Call]]+room(op))
		}
	}
	return places, end
}

// room is the width of a bar that holds its label.
func room(op check.Op) float64 {
	width := textWidth(barLabel(op))
	if op.Culprit {
		width *= boldFactor
	}
	return width + 2*barPadding
}

// textWidth estimates how wide a label becomes, rather too much than too little:
// which fonts there are is known only to the reader's browser.
func textWidth(text string) float64 {
	width := 0.0
	for _, r := range text {
		if r >= firstSquare || r == '…' {
			width += squareWide
		} else {
			width += charWidth
		}
	}
	return width
}

// x returns the place of a time: between two known times in proportion, outside
// of all at the edge.
func (a axis) x(t int64) int {
	i, found := slices.BinarySearch(a.times, t)
	switch {
	case found:
		return a.at[i]
	case i == 0:
		return laneLabel
	case i == len(a.times):
		return a.end
	}
	share := float64(t-a.times[i-1]) / float64(a.times[i]-a.times[i-1])
	return a.at[i-1] + int(share*float64(a.at[i]-a.at[i-1]))
}

// clock writes times with as many digits as it takes to tell them apart.
type clock struct {
	decimals int
	// count is true for histories without times: their events are numbered.
	count bool
}

// countedBelow: times below it are, in all likelihood, numbers of events.
const countedBelow = int64(100 * time.Microsecond)

func newClock(times []int64) clock {
	c := clock{decimals: 3}
	if n := len(times); n > 0 && times[n-1] < countedBelow {
		c.count = true
	}
	for i := 1; i < len(times); i++ {
		for c.decimals < 6 && float64(times[i]-times[i-1]) < math.Pow10(9-c.decimals) {
			c.decimals++
		}
	}
	return c
}

func (c clock) at(t int64) string {
	switch {
	case history.Time(t) == history.Never:
		return "the end"
	case c.count:
		return fmt.Sprintf("%d ns", t)
	}
	return fmt.Sprintf("%.*f s", c.decimals, time.Duration(t).Seconds())
}

func (c clock) returned(t int64) string {
	if t < 0 {
		return "unanswered"
	}
	return c.at(t)
}

func sign(n int64) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
