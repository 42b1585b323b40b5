package reports

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// clockData is how far a clock of a node was ahead of the controller's, as the nemesis
// measured it.
type clockData struct {
	Name  string    `json:"name"`
	Times []float64 `json:"times"`
	Ahead []float64 `json:"ahead"`
}

// Readings are the measurements in words.
func (c clockData) Readings() string {
	var all []string
	for i, t := range c.Times {
		all = append(all, fmt.Sprintf("%.1f s: %s s", t, number(c.Ahead[i], 4)))
	}
	if most := 40; len(all) > most {
		all = append(all[:most], "…")
	}
	return strings.Join(all, "; ")
}

// justBefore the healing is when the clocks under a fault were last read.
const justBefore = history.Time(time.Millisecond)

// clocksOf collects what the faults of clocks have measured at the nodes: before a fault,
// under it, and after it was healed.
func clocksOf(faults []nemesis.FaultRecord) []clockData {
	at := map[string]int{}
	all := []clockData{}
	add := func(name string, t history.Time, ms int64) {
		if _, ok := at[name]; !ok {
			at[name] = len(all)
			all = append(all, clockData{Name: visible(name)})
		}
		c := &all[at[name]]
		c.Times = append(c.Times, seconds(t))
		c.Ahead = append(c.Ahead, float64(ms)/1000)
	}
	for _, f := range faults {
		for _, fact := range slices.Sorted(maps.Keys(f.Evidence.Facts)) {
			ms := f.Evidence.Facts[fact]
			if hand, node, ok := strings.Cut(fact, " ahead before ms "); ok {
				add(node+", "+hand, f.Start, ms)
			}
			if hand, node, ok := strings.Cut(fact, " ahead ms "); ok && f.End != history.Never {
				add(node+", "+hand, max(f.Start+1, f.End-justBefore), ms)
			}
		}
		for _, fact := range slices.Sorted(maps.Keys(f.Healing.Facts)) {
			if hand, node, ok := strings.Cut(fact, " ahead ms "); ok && f.End != history.Never {
				add(node+", "+hand, f.End, f.Healing.Facts[fact])
			}
		}
	}
	for i := range all {
		all[i].sort()
	}
	return all
}

// sort orders the measurements by time, of those at the same time the first.
func (c *clockData) sort() {
	order := make([]int, len(c.Times))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case c.Times[a] < c.Times[b]:
			return -1
		case c.Times[a] > c.Times[b]:
			return 1
		}
		return 0
	})
	times, ahead := []float64{}, []float64{}
	for _, i := range order {
		if n := len(times); n > 0 && times[n-1] == c.Times[i] {
			continue
		}
		times, ahead = append(times, c.Times[i]), append(ahead, c.Ahead[i])
	}
	c.Times, c.Ahead = times, ahead
}
