package reports

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// chart is a picture over the time of the test: points and lines over bands.
type chart struct {
	Width, Height            int
	Left, Top, Right, Bottom int
	XTicks, YTicks           []chartTick
	Bands                    []band
	Points                   []points
	Lines                    []line
	Title, Unit              string
	// Told is what the picture shows in a sentence or two.
	Told string
}

type chartTick struct {
	At    int
	Label string
}

// points are the dots of one kind, as one path: thousands of elements would make
// the page slow.
type points struct {
	Class, Name, Path string
	// Count is the number of operations, also of those that share a dot.
	Count int
}

type line struct {
	Class, Name, Path string
}

const (
	chartWidth  = 1040
	chartHeight = 272
	// dotsMax bounds the dots of one kind in one chart.
	dotsMax = 12000
	bins    = 120
	// latencyFloor is the least time that is drawn as it is.
	latencyFloor = time.Microsecond
)

// outcomes are the types of completed operations, in the order of drawing: the
// rare ones are on top.
func outcomes() []history.Type { return []history.Type{history.OK, history.Fail, history.Info} }

// outcomeName says in a legend what became of operations.
func outcomeName(t history.Type) string {
	switch t {
	case history.OK:
		return "ok"
	case history.Fail:
		return "failed"
	default:
		return "unknown outcome"
	}
}

// plot maps the time of the test and a value to a place.
type plot struct {
	end       float64 // seconds
	low, high float64
	log       bool
	c         *chart
}

func newChart(title, unit string) *chart {
	return &chart{
		Width: chartWidth, Height: chartHeight, Left: 64, Top: 24,
		Right: chartWidth - 16, Bottom: chartHeight - 28, Title: title, Unit: unit,
	}
}

func (p plot) x(t history.Time) float64 {
	share := time.Duration(t).Seconds() / p.end
	return float64(p.c.Left) + math.Min(1, share)*float64(p.c.Right-p.c.Left)
}

func (p plot) y(v float64) float64 {
	low, high := p.low, p.high
	if p.log {
		v, low, high = math.Log10(math.Max(v, low)), math.Log10(low), math.Log10(high)
	}
	share := math.Min(1, (v-low)/(high-low))
	return float64(p.c.Bottom) - share*float64(p.c.Bottom-p.c.Top)
}

// newCharts returns latency and rate over time, nothing when nothing was recorded.
func newCharts(h *history.History, b bands) []*chart {
	end := time.Duration(h.End()).Seconds()
	if end <= 0 || len(h.Ops) == 0 {
		return nil
	}
	return []*chart{latencyChart(h, b, end), rateChart(h, b, end)}
}

func latencyChart(h *history.History, b bands, end float64) *chart {
	c := newChart("Latency", "ms, logarithmic")
	low, high := extremes(h)
	p := plot{end: end, log: true, c: c}
	p.low = math.Pow10(int(math.Floor(math.Log10(ms(low)))))
	p.high = math.Pow10(int(math.Ceil(math.Log10(math.Max(ms(high), 10*p.low)))))
	c.decorate(p, b)
	for v := p.low; v <= p.high*1.001; v *= 10 {
		c.YTicks = append(c.YTicks, chartTick{
			At: int(p.y(v)), Label: number(v, 4),
		})
	}
	for _, t := range outcomes() {
		if dots := scatter(h, p, t); dots.Count > 0 {
			c.Points = append(c.Points, dots)
		}
	}
	byBin := latencies(h, end)
	for _, q := range []struct {
		share       float64
		name, class string
	}{{0.5, "median", "line-a"}, {0.99, "99th percentile", "line-b"}} {
		c.Lines = append(c.Lines, line{
			Class: q.class, Name: q.name, Path: quantilePath(byBin, p, q.share),
		})
	}
	c.Told = tellLatency(byBin, c.Points)
	return c
}

// extremes returns the least and the greatest latency, at least latencyFloor.
func extremes(h *history.History) (low, high time.Duration) {
	low, high = math.MaxInt64, latencyFloor
	for i := range h.Ops {
		if d, ok := took(&h.Ops[i]); ok {
			low, high = min(low, d), max(high, d)
		}
	}
	return min(max(low, latencyFloor), high), high
}

// took is how long a client waited for its answer, be it only that nobody knows.
func took(op *history.Operation) (time.Duration, bool) {
	if op.Ended == history.Never {
		return 0, false
	}
	return time.Duration(op.Ended - op.Call), true
}

// scatter draws a dot for each operation of one type. Operations that would hide
// each other share one; when there are still too many dots, they move to a coarser
// grid, so that none is lost at the edges of the cloud.
func scatter(h *history.History, p plot, t history.Type) points {
	dots := points{Class: "dot-" + t.String(), Name: outcomeName(t)}
	type place struct{ x, y int }
	var all []place
	for i := range h.Ops {
		op := &h.Ops[i]
		if d, ok := took(op); ok && op.Type == t {
			all = append(all, place{x: int(p.x(op.Call)), y: int(p.y(ms(d)))})
		}
	}
	dots.Count = len(all)
	for grid := 1; ; grid *= 2 {
		for i, at := range all {
			all[i] = place{x: at.x - at.x%grid, y: at.y - at.y%grid}
		}
		slices.SortFunc(all, func(a, b place) int {
			return sign(int64(a.x-b.x)*chartHeight + int64(a.y-b.y))
		})
		if all = slices.Compact(all); len(all) <= dotsMax {
			break
		}
	}
	var path []byte
	for _, at := range all {
		path = fmt.Appendf(path, "M%d %dh0", at.x, at.y)
	}
	dots.Path = string(path)
	return dots
}

// latencies returns the latencies of the successes called in each bin, sorted.
func latencies(h *history.History, end float64) [][]time.Duration {
	byBin := make([][]time.Duration, bins)
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Type == history.OK {
			n := binOf(op.Call, end)
			byBin[n] = append(byBin[n], time.Duration(op.Return-op.Call))
		}
	}
	for _, all := range byBin {
		slices.Sort(all)
	}
	return byBin
}

// quantilePath draws a quantile of the latency of successes, bin by bin; a bin
// without any interrupts the line.
func quantilePath(byBin [][]time.Duration, p plot, share float64) string {
	var path []byte
	for n, all := range byBin {
		if len(all) == 0 {
			continue
		}
		x, y := p.x(binMiddle(n, p.end)), p.y(ms(quantile(all, share)))
		switch {
		case n == 0 || len(byBin[n-1]) == 0:
			// A line without length shows a bin between two empty ones.
			path = fmt.Appendf(path, "M%.1f %.1fh0", x, y)
		default:
			path = fmt.Appendf(path, "L%.1f %.1f", x, y)
		}
	}
	return string(path)
}

// quantile returns the least element of a sorted list that at least the share q of
// the elements do not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

func tellLatency(byBin [][]time.Duration, all []points) string {
	text := ""
	for _, p := range all {
		text += fmt.Sprintf("%s %s, ", group(int64(p.Count)), p.Name)
	}
	ok := slices.Concat(byBin...)
	if len(ok) == 0 {
		return text + "no success."
	}
	slices.Sort(ok)
	return text + fmt.Sprintf("median of the successes %s, 99th percentile %s, slowest %s.",
		short(quantile(ok, 0.5)), short(quantile(ok, 0.99)), short(ok[len(ok)-1]))
}

// short writes a latency with three digits.
func short(d time.Duration) string {
	return number(ms(d), 3) + " ms"
}

func rateChart(h *history.History, b bands, end float64) *chart {
	c := newChart("Rate", "operations a second, by their ends")
	counts := map[history.Type][]float64{}
	for _, t := range outcomes() {
		counts[t] = make([]float64, bins)
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		when := op.Ended
		if when == history.Never {
			when = op.Call
		}
		counts[op.Type][binOf(when, end)] += bins / end
	}
	p := plot{end: end, c: c}
	for _, t := range outcomes() {
		p.high = math.Max(p.high, slices.Max(counts[t]))
	}
	step := niceStep(p.high / 5)
	p.high = step * math.Ceil(p.high/step*1.02)
	c.decorate(p, b)
	for v := 0.0; v <= p.high*1.001; v += step {
		c.YTicks = append(c.YTicks, chartTick{At: int(p.y(v)), Label: number(v, 4)})
	}
	for _, t := range outcomes() {
		var path []byte
		pen := "M"
		for n, v := range counts[t] {
			path = fmt.Appendf(path, "%s%.1f %.1f", pen, p.x(binMiddle(n, end)), p.y(v))
			pen = "L"
		}
		c.Lines = append(c.Lines, line{
			Class: "line-" + t.String(), Name: outcomeName(t), Path: string(path),
		})
	}
	c.Told = tellRate(counts[history.OK], end)
	return c
}

// tellRate says how steady the successes were.
func tellRate(ok []float64, end float64) string {
	sum, none := 0.0, 0
	for _, v := range ok {
		sum += v
		if v == 0 {
			none++
		}
	}
	return fmt.Sprintf("%s successes a second on average, at most %s; none during %s s of %s s.",
		number(sum/bins, 3), number(slices.Max(ok), 3), number(float64(none)*end/bins, 3),
		number(end, 3))
}

// decorate adds the bands of the faults and the ticks of time.
func (c *chart) decorate(p plot, b bands) {
	free := 0 // where the next number has room
	for _, w := range b.windows[:min(len(b.windows), bandsMax)] {
		x, end := int(p.x(w.Start)), c.Right
		if w.End != history.Never {
			end = int(p.x(w.End))
		}
		drawn := band{
			X: x, Y: c.Top, Width: max(2, end-x), Height: c.Bottom - c.Top,
			Class: b.class(w.Fault), Tip: bandTip(w),
		}
		if x >= free {
			drawn.Number = fmt.Sprint(w.ID)
			free = x + int(charWidth*float64(len(drawn.Number))) + 6
		}
		c.Bands = append(c.Bands, drawn)
	}
	stack(c.Bands)
	step := niceStep(p.end / 8)
	for n := 0; float64(n)*step <= p.end; n++ {
		s := float64(n) * step
		c.XTicks = append(c.XTicks, chartTick{
			At: int(p.x(history.Time(s * 1e9))), Label: number(s, 6) + " s",
		})
	}
}

// niceStep rounds up to 1, 2 or 5 times a power of ten.
func niceStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if f*power >= v {
			return f * power
		}
	}
	return 10 * power
}

func binOf(t history.Time, end float64) int {
	return min(bins-1, max(0, int(time.Duration(t).Seconds()/end*bins)))
}

func binMiddle(n int, end float64) history.Time {
	return history.Time((float64(n) + 0.5) / bins * end * 1e9)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
