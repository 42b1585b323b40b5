package serve

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/reports/store"
)

// trendRuns is how many runs of a cell are shown, the newest.
const trendRuns = 40

// cell are the runs that were asked for the same: a place in the matrix.
type cell struct {
	System   string `json:"system"`
	Bug      string `json:"bug,omitempty"`
	Workload string `json:"workload"`
	Faults   string `json:"faults"`
	// Valid, Unknown and Invalid count all runs, Runs are the newest, oldest first.
	Valid   int        `json:"valid"`
	Unknown int        `json:"unknown"`
	Invalid int        `json:"invalid"`
	Runs    []trendRun `json:"runs"`

	Href          string `json:"-"`
	RateNow       string `json:"-"`
	P99Now        string `json:"-"`
	Rates, Delays spark  `json:"-"`
}

type trendRun struct {
	ID      string        `json:"id"`
	Started time.Time     `json:"started"`
	State   store.State   `json:"state"`
	Rate    float64       `json:"rate"`
	P50     time.Duration `json:"p50"` // ns
	P99     time.Duration `json:"p99"` // ns
	Href    string        `json:"href"`
}

// cells groups the judged runs. Those that are worst at their newest run come first.
func cells(runs []store.Entry) []*cell {
	type key struct{ system, bug, workload, faults string }
	at := map[key]*cell{}
	var all []*cell
	for i := range runs { // the newest first
		e := &runs[i]
		if e.State == store.Running || e.State == store.Unjudged {
			continue
		}
		faults := strings.Join(e.Faults, ",")
		k := key{e.System, e.Bug, e.Workload, faults}
		c := at[k]
		if c == nil {
			c = &cell{System: e.System, Bug: e.Bug, Workload: e.Workload, Faults: faults}
			v := url.Values{"system": {e.System}, "workload": {e.Workload}}
			if len(e.Faults) == 1 {
				v.Set("fault", e.Faults[0])
			}
			c.Href = "/?" + v.Encode()
			at[k] = c
			all = append(all, c)
		}
		switch e.State {
		case store.Valid:
			c.Valid++
		case store.Invalid:
			c.Invalid++
		default:
			c.Unknown++
		}
		if len(c.Runs) < trendRuns {
			c.Runs = append(c.Runs, trendRun{
				ID: e.ID.String(), Started: e.Started, State: e.State, Rate: e.Rate,
				P50: e.P50, P99: e.P99, Href: href(e.ID),
			})
		}
	}
	for _, c := range all {
		slices.Reverse(c.Runs)
		var rates, delays []float64
		for _, r := range c.Runs {
			rates = append(rates, r.Rate)
			delays = append(delays, float64(r.P99)/1e6)
		}
		c.Rates, c.Delays = newSpark(rates), newSpark(delays)
		last := c.Runs[len(c.Runs)-1]
		c.RateNow, c.P99Now = decimal(last.Rate), millis(last.P99)
	}
	slices.SortStableFunc(all, func(a, b *cell) int {
		return gravity(b) - gravity(a)
	})
	return all
}

// gravity says which cells want to be looked at first.
func gravity(c *cell) int {
	switch {
	case c.Runs[len(c.Runs)-1].State == store.Invalid:
		return 3
	case c.Invalid > 0:
		return 2
	case c.Unknown > 0:
		return 1
	default:
		return 0
	}
}

func (w *Server) trends(rw http.ResponseWriter, _ *http.Request) error {
	runs, err := w.store.Runs()
	if err != nil {
		return err
	}
	w.page(rw, http.StatusOK, "trends.html.tmpl", page{
		Title: "Trends", Section: "trends", Body: cells(runs),
	})
	return nil
}

func (w *Server) apiTrends(rw http.ResponseWriter, _ *http.Request) error {
	runs, err := w.store.Runs()
	if err != nil {
		return err
	}
	return w.json(rw, map[string]any{"cells": slices.Concat([]*cell{}, cells(runs))})
}
