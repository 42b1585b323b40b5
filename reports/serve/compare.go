package serve

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/reports/live"
	"github.com/ordeal-dev/ordeal/reports/store"
)

// pair is one row of a comparison.
type pair struct {
	Name  string `json:"name"`
	A     string `json:"a"`
	B     string `json:"b"`
	Diffs bool   `json:"differs"`
}

// comparePage are two runs side by side.
type comparePage struct {
	A, B   store.Entry
	Facts  []pair
	Parts  []pair
	Powers []pair
	Charts []chart
	// Missing says of which run there is no history.
	Missing []string
}

// twoRuns returns the runs that a request names: as a and b, or twice as run.
func (w *Server) twoRuns(r *http.Request) (a, b store.Entry, err error) {
	v := r.URL.Query()
	names := v["run"]
	if v.Has("a") || v.Has("b") {
		names = []string{v.Get("a"), v.Get("b")}
	}
	if len(names) != 2 {
		return a, b, badRequest("choose two runs to compare, not %d", len(names))
	}
	if a, err = w.lookup(names[0]); err != nil {
		return a, b, err
	}
	b, err = w.lookup(names[1])
	return a, b, err
}

func newPair(name, a, b string) pair { return pair{Name: name, A: a, B: b, Diffs: a != b} }

func (w *Server) comparison(r *http.Request) (p comparePage, err error) {
	if p.A, p.B, err = w.twoRuns(r); err != nil {
		return p, err
	}
	p.Facts = []pair{newPair("verdict", string(p.A.State), string(p.B.State)),
		newPair("test", p.A.ID.Name, p.B.ID.Name)}
	p.Facts = append(p.Facts, join(facts(p.A), facts(p.B))...)
	p.Facts = append(p.Facts, nearly(join(measured(p.A), measured(p.B)))...)
	ra, err := w.result(p.A.ID)
	if err != nil {
		return p, err
	}
	rb, err := w.result(p.B.ID)
	if err != nil {
		return p, err
	}
	p.Parts = join(verdicts(ra), verdicts(rb))
	p.Powers = nearly(join(powers(ra), powers(rb)))
	return p, nil
}

// join puts facts of the same name side by side, in the order in which they come.
func join(a, b []fact) []pair {
	var names []string
	values := [2]map[string]string{{}, {}}
	for i, list := range [][]fact{a, b} {
		for _, f := range list {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
			values[i][f.Name] = f.Value
		}
	}
	var rows []pair
	for _, n := range names {
		rows = append(rows, newPair(n, values[0][n], values[1][n]))
	}
	return rows
}

// nearly takes back that measures differ where they are nearly the same: no two runs are
// alike to the last operation, and where everything is marked nothing is.
func nearly(rows []pair) []pair {
	for i := range rows {
		rows[i].Diffs = rows[i].Diffs && !near(rows[i].A, rows[i].B)
	}
	return rows
}

// near reports whether two texts differ in numbers only, each by at most a tenth.
func near(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		v, isV := quantity(x[i])
		w, isW := quantity(y[i])
		switch {
		case isV && isW && math.Abs(v-w) > 0.1*max(math.Abs(v), math.Abs(w)),
			!(isV && isW) && x[i] != y[i]:
			return false
		}
	}
	return true
}

// quantity reads a number with commas, or a duration.
func quantity(text string) (float64, bool) {
	text = strings.ReplaceAll(text, ",", "")
	if v, err := strconv.ParseFloat(text, 64); err == nil {
		return v, true
	}
	d, err := time.ParseDuration(text)
	return float64(d), err == nil
}

// leaves calls f for the checkers that are not made of others.
func leaves(r *check.Result, f func(check.Result)) {
	if r == nil {
		return
	}
	if len(r.Parts) == 0 {
		f(*r)
	}
	for i := range r.Parts {
		leaves(&r.Parts[i], f)
	}
}

func verdicts(r *check.Result) (all []fact) {
	leaves(r, func(p check.Result) {
		all = append(all, fact{p.Name, fmt.Sprintf("%s: %s", p.Verdict, p.Reason)})
	})
	return all
}

func powers(r *check.Result) (all []fact) {
	leaves(r, func(p check.Result) {
		for _, m := range p.Power {
			value := decimal(m.Value)
			if m.Unit != "" {
				value += " " + m.Unit
			}
			all = append(all, fact{p.Name + ": " + m.Name, value})
		}
	})
	return all
}

func (w *Server) compare(rw http.ResponseWriter, r *http.Request) error {
	p, err := w.comparison(r)
	if err != nil {
		return err
	}
	var counts [2]*counted
	for i, e := range []store.Entry{p.A, p.B} {
		c, err := w.countRun(e)
		var known *httpError
		if errors.As(err, &known) {
			p.Missing = append(p.Missing, e.ID.String()+": "+known.text)
			c = &counted{}
		} else if err != nil {
			return err
		}
		counts[i] = c
	}
	p.Charts = compareCharts(counts)
	w.page(rw, http.StatusOK, "compare.html.tmpl", page{
		Title: "Two runs", Section: "compare", Body: p,
	})
	return nil
}

// compareCharts draw both runs over the same time.
func compareCharts(runs [2]*counted) []chart {
	pick := func(value func(live.Bucket) float64) ([]float64, []line) {
		lines := []line{{Name: "A", Class: "line-a"}, {Name: "B", Class: "line-b"}}
		times := stamps(runs[0].buckets)
		if more := stamps(runs[1].buckets); len(more) > len(times) {
			times = more
		}
		for i, r := range runs {
			lines[i].values = resample(r.buckets, times, value)
		}
		return times, lines
	}
	times, lines := pick(func(b live.Bucket) float64 { return b.OK })
	rate := newChart("Successful operations a second", "1/s", false, times, lines...)
	times, lines = pick(func(b live.Bucket) float64 { return b.P99 })
	delay := newChart("Latency, 99th percentile", "ms", true, times, lines...)
	return []chart{rate, delay}
}

func stamps(buckets []live.Bucket) []float64 {
	times := make([]float64, len(buckets))
	for i, b := range buckets {
		times[i] = b.From
	}
	return times
}

// resample returns the values at other times: those of the pieces that these lie in.
func resample(buckets []live.Bucket, times []float64, value func(live.Bucket) float64) []float64 {
	var out []float64
	k := 0
	for _, t := range times {
		for k+1 < len(buckets) && buckets[k+1].From <= t {
			k++
		}
		width := 1.0
		if len(buckets) > 1 {
			width = buckets[1].From - buckets[0].From
		}
		if len(buckets) == 0 || t >= buckets[len(buckets)-1].From+width {
			break
		}
		out = append(out, value(buckets[k]))
	}
	return out
}

func (w *Server) apiCompare(rw http.ResponseWriter, r *http.Request) error {
	p, err := w.comparison(r)
	if err != nil {
		return err
	}
	list := func(p []pair) []pair { return slices.Concat([]pair{}, p) }
	return w.json(rw, map[string]any{
		"a": newAPIEntry(p.A), "b": newAPIEntry(p.B), "facts": list(p.Facts),
		"checkers": list(p.Parts), "measures": list(p.Powers),
	})
}
