package serve

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// spark is a line of a few values, without axes.
type spark struct {
	Points string
	// LastX and LastY are where the newest value is.
	LastX, LastY string
	Empty        bool
}

const (
	sparkWidth  = 160
	sparkHeight = 28
)

func newSpark(values []float64) spark {
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	if top == 0 {
		return spark{Empty: true}
	}
	var s spark
	var points []string
	for i, v := range values {
		x := 4.0
		if len(values) > 1 {
			x += float64(i) / float64(len(values)-1) * (sparkWidth - 8)
		}
		y := sparkHeight - 3 - v/top*(sparkHeight-6)
		s.LastX, s.LastY = coordinate(x), coordinate(y)
		points = append(points, s.LastX+","+s.LastY)
	}
	s.Points = strings.Join(points, " ")
	return s
}

func coordinate(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// chart is lines over time, as SVG and as a table.
type chart struct {
	Title, Unit   string
	Width, Height int
	Lines         []line
	Ticks         []tick // of time
	Levels        []tick // of the value
	Bands         []band
	Heads         []string
	Rows          [][]string
}

type line struct {
	Name, Class, Points string
	values              []float64
}

type tick struct {
	At   string
	Text string
}

// band is a time in which a fault was in force.
type band struct {
	X, Width, Title string
}

const (
	chartWidth  = 720
	chartHeight = 200
	chartLeft   = 56
	chartRight  = 24
	chartTop    = 8
	chartBottom = 24
)

// newChart draws values at times (seconds). With log, the axis is logarithmic and values
// that are not above 0 are left out.
func newChart(title, unit string, log bool, times []float64, lines ...line) chart {
	c := chart{Title: title, Unit: unit, Width: chartWidth, Height: chartHeight}
	end, low, high := 1.0, math.Inf(1), 0.0
	for _, t := range times {
		end = max(end, t)
	}
	for _, l := range lines {
		for _, v := range l.values {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if high == 0 {
		low, high = 1, 1
	}
	scale := linear(high)
	if log {
		scale = logarithmic(low, high)
	}
	x := func(t float64) float64 {
		return chartLeft + t/end*(chartWidth-chartLeft-chartRight)
	}
	for _, l := range lines {
		var points []string
		for i, v := range l.values {
			if i < len(times) && (v > 0 || !log) {
				points = append(points, coordinate(x(times[i]))+","+coordinate(scale.y(v)))
			}
		}
		l.Points = strings.Join(points, " ")
		c.Lines = append(c.Lines, l)
	}
	for _, v := range scale.levels {
		c.Levels = append(c.Levels, tick{At: coordinate(scale.y(v)), Text: decimal(v)})
	}
	step := nice(end / 6)
	for t := 0.0; t <= end+1e-9; t += step {
		c.Ticks = append(c.Ticks, tick{At: coordinate(x(t)), Text: decimal(t) + " s"})
	}
	c.table(times)
	return c
}

// shade adds the faults.
func (c *chart) shade(end float64, spans []span) {
	end = max(1, end)
	for _, s := range spans {
		x := func(t float64) float64 {
			return chartLeft + min(1, t/end)*(chartWidth-chartLeft-chartRight)
		}
		c.Bands = append(c.Bands, band{
			X: coordinate(x(s.from)), Width: coordinate(max(1, x(s.to)-x(s.from))), Title: s.title,
		})
	}
}

// span is a time with a name.
type span struct {
	from, to float64
	title    string
}

// tableRows bounds the table beside a chart: it is for those who do not see the chart.
const tableRows = 60

func (c *chart) table(times []float64) {
	c.Heads = []string{"time"}
	for _, l := range c.Lines {
		c.Heads = append(c.Heads, l.Name)
	}
	step := max(1, (len(times)+tableRows-1)/tableRows)
	for i := 0; i < len(times); i += step {
		row := []string{decimal(times[i]) + " s"}
		for _, l := range c.Lines {
			text := ""
			if i < len(l.values) {
				text = decimal(l.values[i])
			}
			row = append(row, text)
		}
		c.Rows = append(c.Rows, row)
	}
}

// axis maps values to heights.
type axis struct {
	y      func(float64) float64
	levels []float64
}

func linear(high float64) axis {
	step := nice(high / 4)
	top := math.Ceil(high/step) * step
	a := axis{y: func(v float64) float64 {
		return chartHeight - chartBottom - v/top*(chartHeight-chartTop-chartBottom)
	}}
	for v := 0.0; v <= top+step/2; v += step {
		a.levels = append(a.levels, v)
	}
	return a
}

func logarithmic(low, high float64) axis {
	from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	to = max(to, from+1)
	a := axis{y: func(v float64) float64 {
		share := (math.Log10(v) - from) / (to - from)
		return chartHeight - chartBottom - share*(chartHeight-chartTop-chartBottom)
	}}
	for e := from; e <= to; e++ {
		a.levels = append(a.levels, math.Pow(10, e))
	}
	return a
}

// nice returns 1, 2 or 5 times a power of ten, at least v.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if v <= m*p {
			return m * p
		}
	}
	return 10 * p
}

// decimal writes a number with three significant digits.
func decimal(v float64) string {
	switch {
	case v == 0:
		return "0"
	case math.Abs(v) >= 1000:
		return group(int64(math.Round(v)))
	}
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil {
		r = v
	}
	return strconv.FormatFloat(r, 'f', -1, 64)
}

// group writes an integer with commas.
func group(n int64) string {
	if n < 0 {
		return "-" + group(-n)
	}
	if n < 1000 {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%s,%03d", group(n/1000), n%1000)
}

// millis writes a latency.
func millis(d time.Duration) string {
	if d <= 0 {
		return "–"
	}
	return decimal(float64(d)/1e6) + " ms"
}
