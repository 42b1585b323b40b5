package serve

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"github.com/ordeal-dev/ordeal/reports/store"
)

// heatMost bounds the rows and the columns of the map.
const heatMost = 200

// heatRow is a system, with a planted bug or without, on the map.
type heatRow struct {
	System string     `json:"system"`
	Bug    string     `json:"bug,omitempty"`
	Cells  []heatCell `json:"cells"`
}

// heatCell are the judged runs of one system with one workload.
type heatCell struct {
	Workload string `json:"workload"`
	Valid    int    `json:"valid"`
	Unknown  int    `json:"unknown"`
	Invalid  int    `json:"invalid"`

	Href string `json:"-"`
}

// Runs is how many there are.
func (c heatCell) Runs() int { return c.Valid + c.Unknown + c.Invalid }

// State is the gravest that came out, N how often it did.
func (c heatCell) State() store.State {
	switch {
	case c.Invalid > 0:
		return store.Invalid
	case c.Unknown > 0:
		return store.Unknown
	}
	return store.Valid
}

// N is how many runs came to State.
func (c heatCell) N() int {
	switch c.State() {
	case store.Invalid:
		return c.Invalid
	case store.Unknown:
		return c.Unknown
	}
	return c.Valid
}

// Heat is the share of the runs that came to State, from 1 to 4.
func (c heatCell) Heat() int { return 1 + min(3, 4*c.N()/max(1, c.Runs())) }

// heat is the map of the runs that are asked for: systems by workloads.
type heat struct {
	Query     query     `json:"-"`
	Facets    []facet   `json:"-"`
	List      string    `json:"-"` // where the same runs are listed
	Workloads []string  `json:"workloads"`
	Rows      []heatRow `json:"rows"`
	// More is how many systems are left out.
	More int `json:"more,omitempty"`
}

func newHeat(q query, runs []store.Entry) heat {
	type subject struct{ system, bug string }
	h := heat{Query: q, Facets: q.facets(runs), List: q.with(func(*query) {}),
		Workloads: []string{}, Rows: []heatRow{}}
	counts := map[subject]map[string]*heatCell{}
	for i := range runs {
		e := &runs[i]
		if e.State == store.Running || e.State == store.Unjudged || !q.matches(e) {
			continue
		}
		at := subject{e.System, e.Bug}
		if counts[at] == nil {
			counts[at] = map[string]*heatCell{}
			h.Rows = append(h.Rows, heatRow{System: e.System, Bug: e.Bug})
		}
		c := counts[at][e.Workload]
		if c == nil {
			c = &heatCell{Workload: e.Workload}
			counts[at][e.Workload] = c
			if !slices.Contains(h.Workloads, e.Workload) && len(h.Workloads) < heatMost {
				h.Workloads = append(h.Workloads, e.Workload)
			}
		}
		switch e.State {
		case store.Valid:
			c.Valid++
		case store.Invalid:
			c.Invalid++
		default:
			c.Unknown++
		}
	}
	slices.Sort(h.Workloads)
	slices.SortFunc(h.Rows, func(a, b heatRow) int {
		return cmp.Or(cmp.Compare(a.System, b.System), cmp.Compare(a.Bug, b.Bug))
	})
	h.More = max(0, len(h.Rows)-heatMost)
	h.Rows = h.Rows[:len(h.Rows)-h.More]
	for i := range h.Rows {
		r := &h.Rows[i]
		for _, w := range h.Workloads {
			c := heatCell{Workload: w}
			if known := counts[subject{r.System, r.Bug}][w]; known != nil {
				c = *known
				c.Href = q.with(func(q *query) {
					q.System, q.Workload, q.Page = r.System, w, 1
					if r.Bug != "" && q.Text == "" {
						q.Text = r.Bug
					}
				})
			}
			r.Cells = append(r.Cells, c)
		}
	}
	return h
}

// heat reads what is asked for.
func (w *Server) heat(v url.Values) (heat, error) {
	q, err := parseQuery(v)
	if err != nil {
		return heat{}, err
	}
	runs, err := w.store.Runs()
	if err != nil {
		return heat{}, err
	}
	return newHeat(q, runs), nil
}

func (w *Server) heatPage(rw http.ResponseWriter, r *http.Request) error {
	h, err := w.heat(r.URL.Query())
	if err != nil {
		return err
	}
	w.page(rw, http.StatusOK, "heat.html.tmpl", page{Title: "Map", Section: "map", Body: h})
	return nil
}

func (w *Server) apiHeat(rw http.ResponseWriter, r *http.Request) error {
	h, err := w.heat(r.URL.Query())
	if err != nil {
		return err
	}
	return w.json(rw, h)
}
