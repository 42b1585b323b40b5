package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/ordeal-dev/ordeal/reports/live"
	"github.com/ordeal-dev/ordeal/reports/store"
)

// livePage is a run while it goes.
type livePage struct {
	Entry  store.Entry
	Snap   live.Snapshot
	Charts []chart
	Share  int // percent of the planned time
}

func newLivePage(e store.Entry, s live.Snapshot) livePage {
	p := livePage{Entry: e, Snap: s}
	if s.Planned > 0 {
		p.Share = int(min(100, 100*s.Elapsed/s.Planned))
	}
	times := stamps(s.Buckets)
	value := func(name, class string, of func(live.Bucket) float64) line {
		l := line{Name: name, Class: class}
		for _, b := range s.Buckets {
			l.values = append(l.values, of(b))
		}
		return l
	}
	rate := newChart("Operations a second", "1/s", false, times,
		value("ok", "line-ok", func(b live.Bucket) float64 { return b.OK }),
		value("fail", "line-fail", func(b live.Bucket) float64 { return b.Fail }),
		value("info", "line-info", func(b live.Bucket) float64 { return b.Info }))
	delay := newChart("Latency of successful operations", "ms", true, times,
		value("p50", "line-ok", func(b live.Bucket) float64 { return b.P50 }),
		value("p99", "line-b", func(b live.Bucket) float64 { return b.P99 }))
	end := 1.0
	if n := len(times); n > 0 {
		end = times[n-1]
	}
	var spans []span
	for _, f := range s.Faults {
		sp := span{from: f.From, to: f.To, title: f.Fault + ": " + f.What}
		if f.To == 0 {
			sp.to = end
		}
		spans = append(spans, sp)
	}
	rate.shade(end, spans)
	delay.shade(end, spans)
	p.Charts = []chart{rate, delay}
	return p
}

func (w *Server) live(rw http.ResponseWriter, r *http.Request) error {
	e, err := w.find(r)
	if err != nil {
		return err
	}
	s, err := w.snapshot(e)
	if err != nil {
		return err
	}
	w.page(rw, http.StatusOK, "live.html.tmpl", page{
		Title: e.ID.Name, Section: "run", Body: newLivePage(e, s),
	})
	return nil
}

func (w *Server) apiLive(rw http.ResponseWriter, r *http.Request) error {
	e, err := w.find(r)
	if err != nil {
		return err
	}
	s, err := w.snapshot(e)
	if err != nil {
		return err
	}
	return w.json(rw, s)
}

// apiEvents sends a snapshot every second, as server-sent events, until the run ended.
func (w *Server) apiEvents(rw http.ResponseWriter, r *http.Request) error {
	return w.stream(rw, r, func(_ store.Entry, s live.Snapshot) ([]byte, error) {
		return json.Marshal(s)
	})
}

// liveStream sends the live page's changing part, so that there is one thing that draws
// it, with and without a script.
func (w *Server) liveStream(rw http.ResponseWriter, r *http.Request) error {
	return w.stream(rw, r, func(e store.Entry, s live.Snapshot) ([]byte, error) {
		var b bytes.Buffer
		if err := w.pages.ExecuteTemplate(&b, "livebody", newLivePage(e, s)); err != nil {
			return nil, err
		}
		return json.Marshal(map[string]string{"html": b.String(), "state": s.State})
	})
}

const (
	streamEvery = time.Second
	// streamWait bounds how long a browser that reads nothing is waited for.
	streamWait  = 10 * time.Second
	streamsMost = 64
)

// admit counts the streams, which are the only answers that last.
func (w *Server) admit() (leave func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.streams >= streamsMost {
		return nil, false
	}
	w.streams++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.streams--
	}, true
}

// stream sends what render makes of a run every second. An event is one line of JSON; the
// last one has the name "end".
func (w *Server) stream(
	rw http.ResponseWriter, r *http.Request, render func(store.Entry, live.Snapshot) ([]byte, error),
) error {
	e, err := w.find(r)
	if err != nil {
		return err
	}
	leave, ok := w.admit()
	if !ok {
		return &httpError{http.StatusServiceUnavailable, "too many runs are being watched"}
	}
	defer leave()
	c := http.NewResponseController(rw)
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		s, err := w.snapshot(e)
		if err != nil && first {
			return err
		}
		if err != nil { // the run was deleted
			return nil
		}
		b, err := render(e, s)
		if err != nil {
			return err
		}
		if first {
			rw.Header().Set("Content-Type", "text/event-stream")
		}
		name := "status"
		if s.State != "running" {
			name = "end"
		}
		// A writer that cannot have deadlines is one of a test.
		_ = c.SetWriteDeadline(w.cfg.Now().Add(streamWait))
		if _, err := fmt.Fprintf(rw, "event: %s\ndata: %s\n\n", name, b); err != nil {
			return nil // whoever watched is gone
		}
		if err := c.Flush(); err != nil || name == "end" {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}
