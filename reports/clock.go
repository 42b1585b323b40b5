package reports

import (
	"fmt"
	"math"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

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

// lasted writes a length of time.
func lasted(d int64) string {
	t := time.Duration(d)
	switch {
	case t >= 10*time.Second:
		return fmt.Sprintf("%.1f s", t.Seconds())
	case t >= time.Second:
		return fmt.Sprintf("%.2f s", t.Seconds())
	case t >= time.Millisecond:
		return fmt.Sprintf("%.0f ms", t.Seconds()*1e3)
	}
	return fmt.Sprintf("%.0f µs", t.Seconds()*1e6)
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
