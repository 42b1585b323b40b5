package reports

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// axis maps times to places between left and right. It keeps the order of all calls
// and returns exactly, but not the distances: what matters in a contradiction is what
// came before what, and a write that everybody forgot may lie half a minute before the
// read that shows it. Times at which nothing happened for long are cut.
type axis struct {
	times       []int64
	at          []int
	left, right int
	// cuts are the positions in times at which such a gap ends.
	cuts  []int
	clock clock
}

const (
	gapMin    = 12.0
	gapDecade = 13.0 // more for each power of ten of the distance
	cutWidth  = 64.0
	openTail  = 48.0 // of an operation without end, after everything else
	// stretchMax bounds how far a few operations are drawn out over a wide picture.
	stretchMax = 2.5
	// A gap is cut when nothing is open in it and it is longer than cutFrom times
	// the longest part of the axis in which something was open.
	cutFrom = 3
)

// newAxis places the times of ops. room is how wide each one's bar should be, in pixels:
// as much of it is granted to all as there is space for.
func newAxis(ops []check.Op, room []float64, left, right int) axis {
	a := axis{left: left, right: right}
	for _, op := range ops {
		a.times = append(a.times, op.Call)
		if op.Return >= 0 {
			a.times = append(a.times, op.Return)
		}
	}
	slices.Sort(a.times)
	a.times = slices.Compact(a.times)
	a.clock = newClock(a.times)
	a.cut(ops)
	space := float64(right - left)
	var places []float64
	var end float64
	for _, share := range []float64{1, .8, .6, .4, .2, 0} {
		if places, end = a.spread(ops, room, share); end <= space {
			break
		}
	}
	scale := min(stretchMax, space/max(1, end))
	a.right = left + int(end*scale)
	for i, x := range places {
		at := left + int(x*scale)
		if i > 0 {
			at = max(at, a.at[i-1]+1) // with too many the order stays, the space does not
		}
		a.at = append(a.at, at)
		a.right = max(a.right, at+1)
	}
	return a
}

// cut finds the long times in which no operation was open. One that never ended has no
// say in it.
func (a *axis) cut(ops []check.Op) {
	if a.clock.count {
		return
	}
	var idle []int
	longest := int64(0)
	for i := 1; i < len(a.times); i++ {
		from, to := a.times[i-1], a.times[i]
		if slices.ContainsFunc(ops, func(op check.Op) bool {
			return op.Call < to && op.Return > from
		}) {
			longest = max(longest, to-from)
		} else {
			idle = append(idle, i)
		}
	}
	for _, i := range idle {
		if a.times[i]-a.times[i-1] > cutFrom*longest {
			a.cuts = append(a.cuts, i)
		}
	}
}

// spread returns the places of all times, from 0, so that each is right of the one
// before and each bar has a share of the room it asks for. The places of returns
// depend on those of calls, which are earlier, so one pass is enough.
func (a *axis) spread(
	ops []check.Op, room []float64, share float64,
) (places []float64, end float64) {
	index := make(map[int64]int, len(a.times))
	for i, t := range a.times {
		index[t] = i
	}
	ending := map[int64][]int{}
	for i, op := range ops {
		ending[op.Return] = append(ending[op.Return], i)
	}
	places = make([]float64, len(a.times))
	for i, t := range a.times {
		if i > 0 {
			us := float64(t-a.times[i-1]) / float64(time.Microsecond)
			gap := gapMin + gapDecade*math.Log10(1+us)
			if slices.Contains(a.cuts, i) {
				gap = cutWidth
			}
			places[i] = places[i-1] + gap
		}
		for _, o := range ending[t] {
			places[i] = max(places[i], places[index[ops[o].Call]]+share*room[o])
		}
		end = places[i]
	}
	last := end
	for i, op := range ops {
		if op.Return < 0 {
			end = max(end, last+openTail, places[index[op.Call]]+share*room[i])
		}
	}
	return places, end
}

// x returns the place of a time: between two known times in proportion, outside
// of all at the edge.
func (a *axis) x(t int64) int {
	i, found := slices.BinarySearch(a.times, t)
	switch {
	case found:
		return a.at[i]
	case i == 0:
		return a.left
	case i == len(a.times):
		return a.right
	}
	share := float64(t-a.times[i-1]) / float64(a.times[i]-a.times[i-1])
	return a.at[i-1] + int(share*float64(a.at[i]-a.at[i-1]))
}

const (
	// The width of a character in a broad sans serif font, and of one of those
	// that fill a square; bold is broader.
	charWidth  = 8.8
	squareWide = 14.0
	boldFactor = 1.12
	// firstSquare is where the scripts of East Asia begin.
	firstSquare = '\u1100'
)

// textWidth estimates how wide a label becomes, rather too much than too little:
// which fonts there are is known only to the reader's browser.
func textWidth(text string) float64 {
	width := 0.0
	for _, r := range text {
		width += runeWidth(r)
	}
	return width
}

func runeWidth(r rune) float64 {
	switch {
	case hidden(r):
		return 8 * squareWide // it is written as its number
	case r >= firstSquare || r == '…':
		return squareWide
	}
	return charWidth
}

// fit cuts a text that is wider than a number of pixels. Of a list it keeps the end, where
// what came last stands.
func fit(text string, width float64) string {
	most := int(width / charWidth) // characters: no more than these fit
	if len(text) <= 4*most && textWidth(text) <= width {
		return text
	}
	if head, inside, ok := splitList(text); ok && len(head) < most {
		tail := []rune(strings.ToValidUTF8(inside[max(0, len(inside)-4*most):], ""))
		for len(tail) > 1 && textWidth(head+"…"+string(tail)) > width {
			tail = tail[1:]
		}
		if textWidth(head+"…"+string(tail)) <= width && len(tail) > 3 {
			return head + "…" + string(tail)
		}
	}
	start := []rune(strings.ToValidUTF8(text[:min(len(text), 4*most)], ""))
	for len(start) > 1 && textWidth(string(start)+"…") > width {
		start = start[:len(start)-1]
	}
	return string(start) + "…"
}
