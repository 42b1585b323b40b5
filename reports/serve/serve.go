// Package serve shows a store of runs in a browser, and to programs as JSON: a list that
// can be filtered and sorted, trends, one run with its files, a run while it goes, two
// runs side by side.
//
// Pages are made here, by html/template, and work without JavaScript; the one script only
// adds keys and what changes by itself. Everything from a store is untrusted text: it is
// escaped, files are found through an os.Root and never interpreted, and what a run's own
// report may do is confined by the sandbox of its frame. The server only reads.
package serve

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/reports/live"
	"github.com/ordeal-dev/ordeal/reports/store"
)

//go:embed *.tmpl serve.css serve.js icon.svg
var assets embed.FS

// Config is what a Server needs.
type Config struct {
	// Store is the directory of all runs.
	Store string
	Now   func() time.Time
	// Hosts are names, beside localhost and addresses, under which browsers may ask for
	// the pages. Any other name is refused, because it may be one that somebody else's
	// page has made to point here.
	Hosts  []string
	Logger *slog.Logger
}

// Server answers requests.
type Server struct {
	cfg   Config
	store *store.Store
	pages *template.Template
	mux   *http.ServeMux

	mu        sync.Mutex // Protects fields below.
	followers map[store.ID]*followed
	series    map[store.ID]*counted
	streams   int
}

// New returns a server of a store, which must exist.
func New(cfg Config) (*Server, error) {
	s, err := store.Open(cfg.Store, cfg.Now)
	if err != nil {
		return nil, err
	}
	w := &Server{
		cfg: cfg, store: s, mux: http.NewServeMux(), followers: map[store.ID]*followed{},
		series: map[store.ID]*counted{},
	}
	w.pages, err = template.New("serve").Funcs(functions()).ParseFS(assets, "*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	for pattern, h := range map[string]handler{
		"GET /{$}":                                 w.index,
		"GET /latest":                              w.latest,
		"GET /trends":                              w.trends,
		"GET /map":                                 w.heatPage,
		"GET /compare":                             w.compare,
		"GET /assets/{file}":                       w.asset,
		"GET /favicon.ico":                         w.asset,
		"GET /runs/{name}/{stamp}/{$}":             w.run,
		"GET /runs/{name}/{stamp}/live":            w.live,
		"GET /runs/{name}/{stamp}/live/stream":     w.liveStream,
		"GET /runs/{name}/{stamp}/archive":         w.archive,
		"GET /runs/{name}/{stamp}/files/{path...}": w.file,
		"GET /api/v1/runs":                         w.apiRuns,
		"GET /api/v1/trends":                       w.apiTrends,
		"GET /api/v1/map":                          w.apiHeat,
		"GET /api/v1/compare":                      w.apiCompare,
		"GET /api/v1/runs/{name}/{stamp}":          w.apiRun,
		"GET /api/v1/runs/{name}/{stamp}/series":   w.apiSeries,
		"GET /api/v1/runs/{name}/{stamp}/live":     w.apiLive,
		"GET /api/v1/runs/{name}/{stamp}/events":   w.apiEvents,
	} {
		w.mux.Handle(pattern, w.handle(h))
	}
	w.mux.Handle("/", w.handle(func(http.ResponseWriter, *http.Request) error {
		return notFound("there is no such page")
	}))
	return w, nil
}

// handler answers a request, or says why it cannot.
type handler func(http.ResponseWriter, *http.Request) error

// httpError is an error with a status.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

func notFound(text string) error { return &httpError{http.StatusNotFound, text} }

func badRequest(format string, args ...any) error {
	return &httpError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// pagePolicy is for the pages of this package: nothing inline, nothing from elsewhere.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; " +
	"frame-ancestors 'self'"

// ServeHTTP refuses names that are not ours and gives every answer the headers that
// confine it.
func (w *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	h := rw.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !w.knows(r.Host) {
		w.fail(rw, r, &httpError{http.StatusMisdirectedRequest, fmt.Sprintf("this server is not "+
			"known as %q: start it with --host to allow that name", r.Host)})
		return
	}
	w.mux.ServeHTTP(rw, r)
}

// knows reports whether a Host header is one of ours. An address cannot be made to point
// here by somebody else's DNS.
func (w *Server) knows(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") ||
		slices.ContainsFunc(w.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

func (w *Server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		err := h(rw, r)
		if err != nil && !errors.Is(err, context.Canceled) {
			w.fail(rw, r, err)
		}
	})
}

// fail answers with an error: as JSON under /api, else as a page.
func (w *Server) fail(rw http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	var known *httpError
	if errors.As(err, &known) {
		status = known.status
	} else {
		w.cfg.Logger.Error("request failed", "path", r.URL.Path, "err", err)
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(status)
		_ = json.NewEncoder(rw).Encode(map[string]string{"error": err.Error()})
		return
	}
	w.page(rw, status, "error.html.tmpl", page{Title: http.StatusText(status), Body: err.Error()})
}

// page is what every template gets.
type page struct {
	Title string
	// Section is the entry of the navigation that is current.
	Section string
	Body    any
}

// page writes a page. A template that fails gives no half page.
func (w *Server) page(rw http.ResponseWriter, status int, name string, p page) {
	var b bytes.Buffer
	if err := w.pages.ExecuteTemplate(&b, name, p); err != nil {
		w.cfg.Logger.Error("page", "template", name, "err", err)
		http.Error(rw, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.WriteHeader(status)
	_, _ = rw.Write(b.Bytes()) // a browser that left needs nothing
}

func (w *Server) json(rw http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("json: %w", err)
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(append(b, '\n'))
	return nil
}

// asset serves the style sheet and the script.
func (w *Server) asset(rw http.ResponseWriter, r *http.Request) error {
	types := map[string]string{
		"serve.css": "text/css; charset=utf-8", "serve.js": "text/javascript; charset=utf-8",
		"icon.svg": "image/svg+xml",
	}
	name := r.PathValue("file")
	if name == "" { // browsers ask for it beside files, which name none
		name = "icon.svg"
	}
	if types[name] == "" {
		return notFound("there is no such file")
	}
	b, err := assets.ReadFile(name)
	if err != nil {
		return err
	}
	rw.Header().Set("Content-Type", types[name])
	_, _ = rw.Write(b)
	return nil
}

// find returns the run that a request is about.
func (w *Server) find(r *http.Request) (store.Entry, error) {
	return w.lookup(r.PathValue("name") + "/" + r.PathValue("stamp"))
}

func (w *Server) lookup(text string) (store.Entry, error) {
	id, err := store.ParseID(text)
	if err != nil {
		return store.Entry{}, notFound(err.Error())
	}
	e, ok, err := w.store.Find(id)
	if err == nil && !ok {
		err = notFound(fmt.Sprintf("there is no run %s", id))
	}
	return e, err
}

// followed is a run that somebody watches.
type followed struct {
	mu       sync.Mutex // Protects fields below.
	follower *live.Follower
	last     live.Snapshot
	at       time.Time
}

const (
	// followEvery bounds how often a run's files are looked at, however many watch it.
	followEvery = 400 * time.Millisecond
	// followMost bounds the runs that are remembered; each costs some hundred KiB.
	followMost = 32
)

// snapshot says how a run goes.
func (w *Server) snapshot(e store.Entry) (live.Snapshot, error) {
	w.mu.Lock()
	f := w.followers[e.ID]
	if f == nil {
		if len(w.followers) >= followMost {
			clear(w.followers)
		}
		f = &followed{}
		w.followers[e.ID] = f
	}
	w.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	now := w.cfg.Now()
	if f.follower != nil && now.Sub(f.at) < followEvery && !now.Before(f.at) {
		return f.last, nil
	}
	if f.follower == nil {
		follower, err := live.Follow(w.store.Dir(e.ID))
		if err != nil {
			return live.Snapshot{}, err
		}
		f.follower = follower
	}
	snap, err := f.follower.Look(now)
	if err != nil {
		return live.Snapshot{}, err
	}
	if snap.Check.Expected, err = w.expected(e, snap); err != nil {
		return live.Snapshot{}, err
	}
	f.last, f.at = snap, now
	return snap, nil
}

// expected is how long the check will take: as long for each operation as it took, in the
// median, for the last runs of the same workload.
func (w *Server) expected(e store.Entry, s live.Snapshot) (float64, error) {
	runs, err := w.store.Runs()
	if err != nil {
		return 0, err
	}
	var costs []float64
	for _, r := range runs {
		if r.Workload == e.Workload && r.CheckTook > 0 && r.Operations > 0 && len(costs) < 20 {
			costs = append(costs, r.CheckTook.Seconds()/float64(r.Operations))
		}
	}
	if len(costs) == 0 {
		return 0, nil
	}
	slices.Sort(costs)
	operations := float64(s.Counts.OK + s.Counts.Fail + s.Counts.Info)
	if s.Planned > s.Elapsed && s.Elapsed > 0 {
		operations *= s.Planned / s.Elapsed
	}
	seconds := costs[len(costs)/2] * operations
	if s.Check.Limit > 0 {
		seconds = min(seconds, s.Check.Limit)
	}
	return seconds, nil
}
