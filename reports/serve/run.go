package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports/live"
	"github.com/ordeal-dev/ordeal/reports/store"
)

// smallMost bounds the files that are read whole.
const smallMost = 64 << 20

// small reads a file of a run; nil when it is not there.
func (w *Server) small(id store.ID, name string) ([]byte, error) {
	f, info, err := w.open(id, name)
	var gone *httpError
	if errors.As(err, &gone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > smallMost {
		return nil, fmt.Errorf("%s of %s is larger than %d bytes", name, id, smallMost)
	}
	b, err := io.ReadAll(io.LimitReader(f, smallMost))
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", name, id, err)
	}
	return b, nil
}

// result returns the results of a run; nil when there are none, or none that can be read.
func (w *Server) result(id store.ID) (*check.Result, error) {
	b, err := w.small(id, "results.json")
	if b == nil || err != nil {
		return nil, err
	}
	var r check.Result
	if json.Unmarshal(b, &r) != nil {
		return nil, nil // the entry says what is wrong
	}
	return &r, nil
}

// partRow is one checker's verdict.
type partRow struct {
	Depth                 int
	Name, Verdict, Reason string
}

func partRows(r check.Result, depth int) []partRow {
	row := partRow{Depth: min(depth, 4), Name: r.Name, Verdict: r.Verdict.String()}
	if len(r.Parts) == 0 {
		row.Reason = r.Reason
	}
	rows := []partRow{row}
	for _, p := range r.Parts {
		rows = append(rows, partRows(p, depth+1)...)
	}
	return rows
}

// runPage is the page of one run.
type runPage struct {
	Entry   store.Entry
	Facts   []fact
	Parts   []partRow
	Files   []fileRow
	More    bool
	Report  bool
	Repeat  string
	Live    bool
	Others  []store.Entry // of the same cell, to be compared with
	Charts  []chart
	NoChart string
}

type fact struct{ Name, Value string }

// facts are what somebody chose for a run.
func facts(e store.Entry) []fact {
	limit := ""
	if e.TimeLimit > 0 {
		limit = e.TimeLimit.String()
	}
	return told(
		fact{"system", e.System}, fact{"planted bug", e.Bug}, fact{"workload", e.Workload},
		fact{"faults", strings.Join(e.Faults, ", ")},
		fact{"nodes", count0(int64(e.Nodes)) + " " + e.Cluster},
		fact{"clients", count0(int64(e.Concurrency))}, fact{"time limit", limit},
		fact{"seed", fmt.Sprint(e.Seed)},
	)
}

// measured is what came of it in numbers.
func measured(e store.Entry) []fact {
	took := ""
	if e.CheckTook > 0 {
		took = e.CheckTook.Round(time.Millisecond).String()
	}
	return told(
		fact{"operations", count0(e.Operations)},
		fact{"ok, fail, info", fmt.Sprintf("%s, %s, %s", group(e.OK), group(e.Fail), group(e.Info))},
		fact{"ok a second", decimal(e.Rate)},
		fact{"latency p50, p95, p99", millis(e.P50) + ", " + millis(e.P95) + ", " + millis(e.P99)},
		fact{"judged in", took},
	)
}

// told leaves out facts without a value.
func told(all ...fact) []fact {
	var kept []fact
	for _, f := range all {
		if strings.TrimSpace(f.Value) != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

// count0 is empty for 0.
func count0(n int64) string {
	if n == 0 {
		return ""
	}
	return group(n)
}

func (w *Server) run(rw http.ResponseWriter, r *http.Request) error {
	e, err := w.find(r)
	if err != nil {
		return err
	}
	p := runPage{Entry: e, Facts: append(facts(e), measured(e)...), Live: e.State == store.Running}
	p.Files, p.More = w.files(e.ID)
	for _, f := range p.Files {
		p.Report = p.Report || f.Name == "report.html"
	}
	if b, err := w.small(e.ID, "test.json"); err == nil && b != nil {
		var t struct {
			Repeat string `json:"repeat"`
		}
		_ = json.Unmarshal(b, &t) // what is not there is not shown
		p.Repeat = t.Repeat
	}
	result, err := w.result(e.ID)
	if err != nil {
		return err
	}
	if result != nil {
		p.Parts = partRows(*result, 0)
	}
	runs, err := w.store.Runs()
	if err != nil {
		return err
	}
	for _, o := range runs {
		if o.ID != e.ID && o.System == e.System && o.Workload == e.Workload && len(p.Others) < 10 {
			p.Others = append(p.Others, o)
		}
	}
	w.page(rw, http.StatusOK, "run.html.tmpl", page{Title: e.ID.Name, Section: "run", Body: p})
	return nil
}

func (w *Server) apiRun(rw http.ResponseWriter, r *http.Request) error {
	e, err := w.find(r)
	if err != nil {
		return err
	}
	out := struct {
		apiEntry
		Test    json.RawMessage `json:"test"`
		Results json.RawMessage `json:"results"`
		Files   []fileRow       `json:"files"`
		Archive string          `json:"archive"`
	}{apiEntry: newAPIEntry(e), Archive: href(e.ID) + "archive"}
	for name, to := range map[string]*json.RawMessage{
		"test.json": &out.Test, "results.json": &out.Results,
	} {
		b, err := w.small(e.ID, name)
		if err != nil {
			return err
		}
		if *to = b; !json.Valid(b) {
			*to = json.RawMessage("null")
		}
	}
	out.Files, _ = w.files(e.ID)
	return w.json(rw, out)
}

// counted is the series of a run's history, as it was when the history had a size.
type counted struct {
	size    int64
	written time.Time
	buckets []live.Bucket
	end     float64
	spans   []span
}

// seriesMost bounds the series that are remembered.
const seriesMost = 64

// countRun counts the operations of a run over time. It reads the history once, and again
// when that has changed.
func (w *Server) countRun(e store.Entry) (*counted, error) {
	const name = "history.jsonl"
	f, info, err := w.open(e.ID, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w.mu.Lock()
	c := w.series[e.ID]
	w.mu.Unlock()
	if c != nil && c.size == info.Size() && c.written.Equal(info.ModTime()) {
		return c, nil
	}
	s := live.NewSeries()
	_, err = history.Scan(filepath.Join(w.store.Dir(e.ID), name), history.LoadOptions{}, history.Sink{
		Event: func(e *history.Event) error {
			s.Add(e)
			return nil
		},
	})
	if err != nil {
		return nil, &httpError{http.StatusUnprocessableEntity, err.Error()}
	}
	c = &counted{size: info.Size(), written: info.ModTime(), buckets: s.Buckets(), end: s.End()}
	c.spans = w.faultSpans(e.ID, c.end)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.series) >= seriesMost {
		clear(w.series)
	}
	w.series[e.ID] = c
	return c, nil
}

// faultSpans are the times in which faults were in force.
func (w *Server) faultSpans(id store.ID, end float64) []span {
	// What a damaged ledger still says is shown.
	summary, err := nemesis.LoadSummary(filepath.Join(w.store.Dir(id), "ledger.jsonl"))
	if err != nil && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var spans []span
	for _, f := range summary.Faults {
		if f.What == "" || f.Skipped != "" {
			continue
		}
		s := span{from: f.Start.Seconds(), to: end, title: f.Step.Fault + ": " + f.What}
		if f.End != history.Never {
			s.to = f.End.Seconds()
		}
		spans = append(spans, s)
	}
	return spans
}

func (w *Server) apiSeries(rw http.ResponseWriter, r *http.Request) error {
	e, err := w.find(r)
	if err != nil {
		return err
	}
	c, err := w.countRun(e)
	if err != nil {
		return err
	}
	type fault struct {
		From  float64 `json:"from"`
		To    float64 `json:"to"`
		Title string  `json:"title"`
	}
	faults := []fault{}
	for _, s := range c.spans {
		faults = append(faults, fault{s.from, s.to, s.title})
	}
	return w.json(rw, map[string]any{"end": c.end, "buckets": c.buckets, "faults": faults})
}
