package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// edge is an order to be drawn, between positions in the bars of a picture.
type edge struct {
	from, to    int
	number      int
	word, class string
	why         string
}

// arrow is an order as it is drawn.
type arrow struct {
	Path, Head string
	Class, Tip string
	// Pill is where its reason stands, of no size when there was no room.
	Pill  rect
	Label string
	TextX int
	TextY int
}

const (
	pillHeight = 18
	pillGap    = 5  // between the reasons of two arrows
	curveSteps = 33 // at which is looked where a curve goes
	headLength = 9.0
	headWidth  = 4.5
	portMargin = 8
	// besideLabel is the room that arrows need each to leave a bar beside its label.
	besideLabel = 18
	// The sides of a bar.
	upper, lower = 0, 1
)

// edgesOf are those to draw, without those of operations that are not drawn.
func edgesOf(f *found, shown []int, first int) []edge {
	var list []edge
	for _, i := range shown {
		e := f.Edges[i]
		if e.From < first || e.To < first {
			continue
		}
		word, class := kindOf(e.Kind)
		if f.loop[i] && !f.cyclic() {
			class += " bold"
		}
		list = append(list, edge{
			from: e.From - first, to: e.To - first, number: i + 1, word: word, class: class,
			why: f.reason(e),
		})
	}
	return list
}

// crossing counts the arrows that need room below a row.
func crossing(bars []bar, edges []edge, row int) int {
	n := 0
	for _, e := range edges {
		from, to := bars[e.from].row, bars[e.to].row
		if min(from, to) <= row && max(from, to) > row || from == row && to == row {
			n++
		}
	}
	return n
}

type point struct{ x, y float64 }

// curve is a cubic Bézier curve.
type curve [4]point

func (c curve) at(t float64) point {
	u := 1 - t
	w := [4]float64{u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t}
	var p point
	for i, q := range c {
		p.x += w[i] * q.x
		p.y += w[i] * q.y
	}
	return p
}

func (c curve) path() string {
	return fmt.Sprintf("M%.0f %.0fC%.0f %.0f %.0f %.0f %.0f %.0f", c[0].x, c[0].y,
		c[1].x, c[1].y, c[2].x, c[2].y, c[3].x, c[3].y)
}

// head is the triangle at the end of a curve.
func (c curve) head() string {
	dx, dy := c[3].x-c[2].x, c[3].y-c[2].y
	if l := math.Hypot(dx, dy); l > 0 {
		dx, dy = dx/l, dy/l
	}
	back := point{c[3].x - dx*headLength, c[3].y - dy*headLength}
	return fmt.Sprintf("M%.1f %.1fL%.1f %.1fL%.1f %.1fZ", c[3].x, c[3].y,
		back.x-dy*headWidth, back.y+dx*headWidth, back.x+dy*headWidth, back.y-dx*headWidth)
}

// route draws the arrows and finds places for their reasons.
func (p *picture) route(edges []edge) {
	var taken []rect
	for i := range p.Bars {
		taken = append(taken, p.Bars[i].node())
	}
	for _, l := range p.Lanes {
		taken = append(taken, rect{
			X: l.TextX, Y: l.TextY - 15, Width: int(textWidth(l.Label)), Height: 20,
		})
	}
	ports := p.ports(edges)
	curves := make([]curve, len(edges))
	for i, e := range edges {
		curves[i] = p.curve(e, ports[i])
	}
	for i, e := range edges {
		c := curves[i]
		a := arrow{
			Path: c.path(), Head: c.head(), Class: e.class,
			Tip: fmt.Sprintf("%d %s: %s", e.number, e.word, brief(e.why, whyMost)),
		}
		for _, label := range []string{
			fmt.Sprintf("%d %s", e.number, e.word), fmt.Sprint(e.number),
		} {
			if pill, ok := p.pill(curves, i, label, taken); ok {
				a.Pill, a.Label = pill, label
				a.TextX, a.TextY = pill.X+pill.Width/2, pill.Y+13
				taken = append(taken, pill.grown(pillGap))
				break
			}
		}
		p.Arrows = append(p.Arrows, a)
	}
}

// pill looks along a curve, and beside it, for a place for its reason: one that hides as
// little as possible of the other curves.
func (p *picture) pill(curves []curve, i int, label string, taken []rect) (rect, bool) {
	width := int(textWidth(label)) + 8
	var best rect
	least := -1
	for _, dy := range []float64{0, -12, 12, -24, 24} {
		for _, t := range []float64{.5, .4, .6, .3, .7, .2, .8} {
			at := curves[i].at(t)
			r := rect{
				X: int(at.x) - width/2, Y: int(at.y+dy) - pillHeight/2,
				Width: width, Height: pillHeight,
			}
			free := r.X >= 2 && r.right() <= p.Width-2 && r.Y >= p.Top && r.bottom() <= p.Axis-2
			if !free || slices.ContainsFunc(taken, r.meets) {
				continue
			}
			if hides := covered(curves, i, r); least < 0 || hides < least {
				best, least = r, hides
			}
		}
	}
	return best, least >= 0
}

// covered counts the points of all curves but one that lie in a rectangle.
func covered(curves []curve, but int, r rect) int {
	n := 0
	for i, c := range curves {
		for step := range curveSteps {
			at := c.at(float64(step) / (curveSteps - 1))
			x, y := int(at.x), int(at.y)
			if i != but && x >= r.X && x < r.right() && y >= r.Y && y < r.bottom() {
				n++
			}
		}
	}
	return n
}

// ends are where an arrow leaves and arrives.
type ends struct{ from, to point }

// timely reports whether an arrow runs from the end of one bar to the start of another.
func (p *picture) timely(e edge) bool {
	from, to := &p.Bars[e.from], &p.Bars[e.to]
	return strings.HasPrefix(e.class, "edge-time") && from.X+from.Width < to.X
}

// ports hands out the places on the upper and lower sides of bars, so that no two arrows
// share one, and those that go further left leave further left.
func (p *picture) ports(edges []edge) []ends {
	all := make([]ends, len(edges))
	type port struct {
		edge  int
		leave bool
		other int // where the other end is
	}
	sides := map[[2]int][]port{} // by bar and side
	for i, e := range edges {
		from, to := &p.Bars[e.from], &p.Bars[e.to]
		if p.timely(e) {
			all[i] = ends{
				point{float64(from.X + from.Width), float64(from.Y + barHeight/2)},
				point{float64(to.X), float64(to.Y + barHeight/2)},
			}
			continue
		}
		leave, arrive := upper, lower
		switch {
		case from.row < to.row:
			leave, arrive = lower, upper
		case from.row == to.row:
			leave = lower
		}
		one, two := [2]int{e.from, leave}, [2]int{e.to, arrive}
		sides[one] = append(sides[one], port{i, true, to.X})
		sides[two] = append(sides[two], port{i, false, from.X})
	}
	for side, list := range sides {
		slices.SortStableFunc(list, func(a, b port) int {
			if d := sign(int64(a.other - b.other)); d != 0 {
				return d
			}
			return sign(int64(a.edge - b.edge))
		})
		b := &p.Bars[side[0]]
		for n, port := range list {
			at := b.port(side[1], n, len(list))
			if port.leave {
				all[port.edge].from = at
			} else {
				all[port.edge].to = at
			}
		}
	}
	return all
}

// port is the n-th of count places on a side of a bar.
func (b *bar) port(side, n, count int) point {
	if side == upper {
		margin := min(portMargin, b.Width/2)
		share := float64(n+1) / float64(count+1)
		return point{float64(b.X+margin) + share*float64(b.Width-2*margin), float64(b.Y)}
	}
	share := float64(n+1) / float64(count+1)
	if beside := b.X + b.Width - b.Plate.right(); beside >= besideLabel*(count+1) {
		x := float64(b.Plate.right()) + share*float64(beside)
		return point{x, float64(b.Y + barHeight)}
	}
	all := b.node()
	margin := min(portMargin, all.Width/2)
	x := float64(all.X+margin) + share*float64(all.Width-2*margin)
	if x > float64(b.Plate.right()) { // there is no label below the bar
		return point{x, float64(b.Y + barHeight)}
	}
	return point{x, float64(all.bottom() + 2)}
}

// curve is the way of an arrow between its ends.
func (p *picture) curve(e edge, at ends) curve {
	a, b := at.from, at.to
	if p.timely(e) {
		bend := max(14, (b.x-a.x)/2)
		if a.y == b.y {
			bend = (b.x - a.x) / 3
		}
		return curve{a, {a.x + bend, a.y}, {b.x - bend, b.y}, b}
	}
	if from, to := &p.Bars[e.from], &p.Bars[e.to]; from.row == to.row {
		depth := float64(max(from.node().bottom(), to.node().bottom())) + 34
		return curve{a, {a.x, depth}, {b.x, depth}, b}
	}
	middle := (a.y + b.y) / 2
	return curve{a, {a.x, middle}, {b.x, middle}, b}
}
