package serve

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/reports/store"
)

// query is what a list is asked for.
type query struct {
	System, Workload, Fault, State, Seed, Since, Until, Text string
	Sort                                                     string
	Up                                                       bool
	Page, Limit                                              int

	since, until time.Time
	seed         uint64
}

const (
	pageRows = 100
	rowsMost = 10_000
	// dayForm is what a date field of a form sends.
	dayForm = "2006-01-02"
)

// column is one that a list can be sorted by.
type column struct {
	name, title string
	numeric     bool
	compare     func(a, b store.Entry) int
}

func columns() []column {
	return []column{
		{"verdict", "verdict", false, by(func(e *store.Entry) int {
			return slices.Index(store.States(), e.State)
		})},
		{"started", "started (UTC)", false, func(a, b store.Entry) int {
			return a.Started.Compare(b.Started)
		}},
		{"system", "system", false, by(func(e *store.Entry) string {
			return e.System + "\x00" + e.Bug
		})},
		{"workload", "workload", false, by(func(e *store.Entry) string { return e.Workload })},
		{"faults", "faults", false, by(func(e *store.Entry) string {
			return strings.Join(e.Faults, ",")
		})},
		{"seed", "seed", true, by(func(e *store.Entry) uint64 { return e.Seed })},
		{"operations", "operations", true, by(func(e *store.Entry) int64 { return e.Operations })},
		{"rate", "ok/s", true, by(func(e *store.Entry) float64 { return e.Rate })},
		{"p99", "p99", true, by(func(e *store.Entry) time.Duration { return e.P99 })},
	}
}

// by compares runs by one of their properties.
func by[V cmp.Ordered](of func(*store.Entry) V) func(a, b store.Entry) int {
	return func(a, b store.Entry) int { return cmp.Compare(of(&a), of(&b)) }
}

// parseQuery reads the parameters of a list.
func parseQuery(v url.Values) (q query, err error) {
	q = query{
		System: v.Get("system"), Workload: v.Get("workload"), Fault: v.Get("fault"),
		State: v.Get("verdict"), Seed: v.Get("seed"), Since: v.Get("since"),
		Until: v.Get("until"), Text: v.Get("q"), Sort: v.Get("sort"), Up: v.Get("up") == "1",
		Page: 1, Limit: pageRows,
	}
	if q.Sort == "" {
		q.Sort = "started"
	}
	if !slices.ContainsFunc(columns(), func(c column) bool { return c.name == q.Sort }) {
		return q, badRequest("sort=%q: there is no such column", q.Sort)
	}
	if q.State != "" && !slices.Contains(store.States(), store.State(q.State)) {
		return q, badRequest("verdict=%q: want one of %v", q.State, store.States())
	}
	if q.Seed != "" {
		if q.seed, err = strconv.ParseUint(q.Seed, 10, 64); err != nil {
			return q, badRequest("seed=%q: want a whole number", q.Seed)
		}
	}
	for _, d := range []struct {
		text, name string
		to         *time.Time
		more       time.Duration
	}{{q.Since, "since", &q.since, 0}, {q.Until, "until", &q.until, 24 * time.Hour}} {
		if d.text == "" {
			continue
		}
		if *d.to, err = time.Parse(time.RFC3339, d.text); err == nil {
			continue
		}
		day, err := time.Parse(dayForm, d.text)
		if err != nil {
			return q, badRequest("%s=%q: want a day as in 2026-01-31, or a time of RFC 3339",
				d.name, d.text)
		}
		*d.to = day.Add(d.more)
	}
	for _, n := range []struct {
		name string
		to   *int
		most int
	}{{"page", &q.Page, 1 << 20}, {"limit", &q.Limit, rowsMost}} {
		if text := v.Get(n.name); text != "" {
			if *n.to, err = strconv.Atoi(text); err != nil || *n.to < 1 || *n.to > n.most {
				return q, badRequest("%s=%q: want a number from 1 to %d", n.name, text, n.most)
			}
		}
	}
	return q, nil
}

// matches reports whether a run is asked for.
func (q *query) matches(e *store.Entry) bool {
	return (q.System == "" || e.System == q.System) &&
		(q.Workload == "" || e.Workload == q.Workload) &&
		(q.Fault == "" || slices.Contains(e.Faults, q.Fault)) &&
		(q.State == "" || string(e.State) == q.State) &&
		(q.Seed == "" || e.Seed == q.seed) &&
		(q.Since == "" || !e.Started.Before(q.since)) &&
		(q.Until == "" || e.Started.Before(q.until)) &&
		(q.Text == "" || contains(e, strings.ToLower(q.Text)))
}

func contains(e *store.Entry, text string) bool {
	for _, s := range []string{e.ID.Name, e.ID.Stamp, e.System, e.Bug, e.Workload, e.Reason} {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return false
}

// choose returns the page of the runs that are asked for, and how many there are.
func (q *query) choose(runs []store.Entry) (page []store.Entry, total int) {
	var all []store.Entry
	for i := range runs {
		if q.matches(&runs[i]) {
			all = append(all, runs[i])
		}
	}
	for _, c := range columns() {
		if c.name != q.Sort || q.Sort == "started" && !q.Up {
			continue // the newest first is how they come
		}
		slices.SortStableFunc(all, func(a, b store.Entry) int {
			if q.Up {
				return c.compare(a, b)
			}
			return c.compare(b, a)
		})
	}
	from := min(len(all), (q.Page-1)*q.Limit)
	return all[from:min(len(all), from+q.Limit)], len(all)
}

// with returns the query of a link: this one with one thing changed.
func (q query) with(change func(*query)) string {
	change(&q)
	v := url.Values{}
	set := func(name, text string) {
		if text != "" {
			v.Set(name, text)
		}
	}
	set("system", q.System)
	set("workload", q.Workload)
	set("fault", q.Fault)
	set("verdict", q.State)
	set("seed", q.Seed)
	set("since", q.Since)
	set("until", q.Until)
	set("q", q.Text)
	if q.Sort != "started" || q.Up {
		set("sort", q.Sort)
	}
	if q.Up {
		set("up", "1")
	}
	if q.Page > 1 {
		set("page", strconv.Itoa(q.Page))
	}
	if len(v) == 0 {
		return "/"
	}
	return "/?" + v.Encode()
}

// facet is a choice of the form.
type facet struct {
	Name, Title, Value string
	Options            []string
}

// facets are what there is to choose from.
func (q *query) facets(runs []store.Entry) []facet {
	var systems, workloads, faults []string
	seen := map[string]bool{}
	add := func(kind string, list *[]string, s string) {
		if s != "" && !seen[kind+s] {
			seen[kind+s] = true
			*list = append(*list, s)
		}
	}
	for i := range runs {
		e := &runs[i]
		add("s", &systems, e.System)
		add("w", &workloads, e.Workload)
		for _, f := range e.Faults {
			add("f", &faults, f)
		}
	}
	var states []string
	for _, s := range store.States() {
		states = append(states, string(s))
	}
	for _, list := range [][]string{systems, workloads, faults} {
		slices.Sort(list)
	}
	return []facet{
		{"verdict", "verdict", q.State, states}, {"system", "system", q.System, systems},
		{"workload", "workload", q.Workload, workloads}, {"fault", "fault", q.Fault, faults},
	}
}

// head is the head of a column.
type head struct {
	Title, Href, Sorted string
	Numeric             bool
}

// indexPage is the list of runs.
type indexPage struct {
	Query       query
	Facets      []facet
	Heads       []head
	Runs        []store.Entry
	Total       int
	From, To    int
	Older, Back string
	Counts      []count
	Newest      string
	Store       string
}

// count is how many runs of those that are asked for came to a state.
type count struct {
	State store.State
	N     int
	Href  string
}

func (w *Server) index(rw http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		return err
	}
	q.Limit = pageRows
	runs, err := w.store.Runs()
	if err != nil {
		return err
	}
	p := indexPage{Query: q, Facets: q.facets(runs), Store: w.cfg.Store}
	p.Runs, p.Total = q.choose(runs)
	p.From, p.To = min(p.Total, (q.Page-1)*q.Limit+1), min(p.Total, q.Page*q.Limit)
	if p.To < p.Total {
		p.Older = q.with(func(q *query) { q.Page++ })
	}
	if q.Page > 1 {
		p.Back = q.with(func(q *query) { q.Page-- })
	}
	p.Heads = q.heads()
	p.Counts = q.counts(runs)
	if len(runs) > 0 {
		p.Newest = runs[0].ID.String()
	}
	w.page(rw, http.StatusOK, "index.html.tmpl", page{Title: "Runs", Section: "runs", Body: p})
	return nil
}

// heads are the heads of the columns, which are links that sort by them.
func (q *query) heads() (heads []head) {
	for _, c := range columns() {
		h := head{Title: c.title, Numeric: c.numeric}
		up := q.Sort == c.name && !q.Up
		if q.Sort == c.name {
			h.Sorted = "descending"
			if q.Up {
				h.Sorted = "ascending"
			}
		}
		h.Href = q.with(func(q *query) { q.Sort, q.Up, q.Page = c.name, up, 1 })
		heads = append(heads, h)
	}
	return heads
}

// counts are the numbers of runs of each state, whatever state is asked for.
func (q *query) counts(runs []store.Entry) (all []count) {
	any := *q
	any.State = ""
	counts := map[store.State]int{}
	for i := range runs {
		if any.matches(&runs[i]) {
			counts[runs[i].State]++
		}
	}
	for _, s := range store.States() {
		all = append(all, count{State: s, N: counts[s], Href: q.with(func(q *query) {
			q.State, q.Page = string(s), 1
		})})
	}
	return all
}

// latest goes to the newest run.
func (w *Server) latest(rw http.ResponseWriter, r *http.Request) error {
	runs, err := w.store.Runs()
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return notFound("there are no runs yet")
	}
	http.Redirect(rw, r, href(runs[0].ID), http.StatusFound)
	return nil
}

// href is where a run's page is.
func href(id store.ID) string {
	return "/runs/" + url.PathEscape(id.Name) + "/" + url.PathEscape(id.Stamp) + "/"
}

// apiEntry is a run as the API tells it.
type apiEntry struct {
	ID    string      `json:"id"`
	State store.State `json:"state"`
	Href  string      `json:"href"`
	// Verdict is absent while there is none.
	Verdict string `json:"verdict,omitempty"`
	store.Run
}

func newAPIEntry(e store.Entry) apiEntry {
	a := apiEntry{ID: e.ID.String(), State: e.State, Href: href(e.ID), Run: e.Run}
	if e.State == store.Valid || e.State == store.Invalid || e.State == store.Unknown {
		a.Verdict = string(e.State)
	}
	return a
}

func (w *Server) apiRuns(rw http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		return err
	}
	runs, err := w.store.Runs()
	if err != nil {
		return err
	}
	chosen, total := q.choose(runs)
	out := struct {
		Total int        `json:"total"`
		Page  int        `json:"page"`
		Limit int        `json:"limit"`
		Runs  []apiEntry `json:"runs"`
	}{total, q.Page, q.Limit, make([]apiEntry, 0, len(chosen))}
	for _, e := range chosen {
		out.Runs = append(out.Runs, newAPIEntry(e))
	}
	return w.json(rw, out)
}
