package reports

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/ordeal-dev/ordeal/history"
)

// header is what the page's script reads first; web/src/data.ts says the same. Times are
// seconds of the test. All text in it is plain and made visible.
type header struct {
	End       float64      `json:"end"`
	Unit      int64        `json:"unit"`
	Mantissa  int          `json:"mantissa"`
	Total     int          `json:"total"`
	Count     int          `json:"count"`
	Weights   [4]float64   `json:"weights"`
	Functions []string     `json:"functions"`
	Lanes     []laneData   `json:"lanes"`
	Windows   []windowData `json:"windows"`
	Leads     []leadData   `json:"leads"`
	Logs      []logData    `json:"logs"`
	Clocks    []clockData  `json:"clocks"`
	Marks     []mark       `json:"marks"`
	Told      int          `json:"told"`
	Views     []string     `json:"views"`
	// Between separates what is told of operations, and the fields of one.
	Between [2]string    `json:"between"`
	Columns []columnSize `json:"columns"`
}

// laneData is a client: its operations never overlap.
type laneData struct {
	Label string `json:"label"`
	Node  string `json:"node"`
	Ops   int    `json:"ops"`
}

type windowData struct {
	ID    int64    `json:"id"`
	Fault string   `json:"fault"`
	What  string   `json:"what"`
	Nodes []string `json:"nodes"`
	From  float64  `json:"from"`
	To    float64  `json:"to"` // -1: never
	Color int      `json:"color"`
}

type leadData struct {
	Node string  `json:"node"`
	What string  `json:"what"`
	From float64 `json:"from"`
	To   float64 `json:"to"` // -1: until the end
}

// mark is an operation of a counter-example: its place among those in the page, and its
// bar in the diagram.
type mark struct {
	Op      int    `json:"op"`
	Example string `json:"example"`
	Bar     int    `json:"bar"`
	Culprit bool   `json:"culprit"`
}

type columnSize struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
}

// column is one property of all operations.
type column struct {
	name  string
	bytes []byte
}

const (
	// embedMax is how many operations are in the page; of more, the successes are thinned
	// out.
	embedMax = 1_000_000
	// columnsMost bounds the packed columns in bytes, so that the page stays below 5 MB.
	columnsMost = 3_000_000
)

// embedded packs what the page's script draws: all operations, the logs, Porcupine's pages.
// It is base64, so nothing in it can end the element that it stands in.
func embedded(p *page) (string, error) {
	h := header{
		End: seconds(p.History.End()), Windows: windowsOf(p.bands), Leads: p.bands.leadData(),
		Logs: logsOf(p.Run), Clocks: clocksOf(p.Faults), Total: len(p.History.Ops),
		Views: []string{}, Between: [2]string{betweenOps, betweenFields},
	}
	for _, d := range p.diagrams {
		for _, v := range d.Views {
			h.Views = append(h.Views, v.Page)
		}
	}
	fill(&h, p.lanes)
	h.Marks = marksOf(p.Run, p.lanes, p.diagrams)
	told, text := details(p.Run, p.lanes)
	h.Told = len(told)
	columns, err := p.lanes.columns(&h)
	if err != nil {
		return "", err
	}
	columns = append(columns, planes("told", told)...)
	columns = append(columns, column{"text", text})
	packed, err := pack(h, columns)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(packed), nil
}

// fill tells what the columns mean.
func fill(h *header, l *lanes) {
	h.Count, h.Functions, h.Weights = len(l.ops), []string{}, l.weights
	for _, f := range l.functions {
		h.Functions = append(h.Functions, visible(f))
	}
	h.Lanes = []laneData{}
	for i, lane := range l.all {
		h.Lanes = append(h.Lanes, laneData{
			Label: visible(lane.label), Node: visible(lane.node), Ops: l.first[i+1] - l.first[i],
		})
	}
}

// pack is the length of the header, the header, and the columns, deflated.
func pack(h header, columns []column) ([]byte, error) {
	h.Columns = nil
	for _, c := range columns {
		h.Columns = append(h.Columns, columnSize{c.name, len(c.bytes)})
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	level := flate.BestCompression
	if h.Count > embedMax/20 {
		level = flate.DefaultCompression // numbers gain nothing from the long search for repeats
	}
	parts := [][]byte{binary.LittleEndian.AppendUint32(nil, uint32(len(head))), head}
	for _, c := range columns {
		parts = append(parts, c.bytes)
	}
	return deflate(level, parts...)
}

func deflate(level int, parts ...[]byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return nil, fmt.Errorf("deflate: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	return b.Bytes(), nil
}

// planes splits numbers into columns of their bytes: the high ones are nearly all alike,
// and alone they vanish when packed.
func planes(name string, values []uint32) []column {
	var all []column
	for p := range 4 {
		c := column{name: fmt.Sprintf("%s%d", name, p), bytes: make([]byte, len(values))}
		for i, v := range values {
			c.bytes[i] = byte(v >> (8 * p))
		}
		all = append(all, c)
	}
	return all
}

func windowsOf(b bands) []windowData {
	all := []windowData{}
	for _, w := range b.windows[:min(len(b.windows), bandsMax)] {
		d := windowData{
			ID: w.ID, Fault: visible(brief(w.Fault, tipMost)), What: visible(brief(w.What, tipMost)),
			From: seconds(w.Start), To: -1, Color: b.color(w.Fault),
		}
		for _, n := range w.Nodes {
			d.Nodes = append(d.Nodes, visible(n))
		}
		if w.End != history.Never {
			d.To = seconds(w.End)
		}
		all = append(all, d)
	}
	return all
}

func (b bands) leadData() []leadData {
	all := []leadData{}
	for _, l := range b.leads {
		d := leadData{visible(l.node), visible(l.what), seconds(l.start), -1}
		if l.end != history.Never {
			d.To = seconds(l.end)
		}
		all = append(all, d)
	}
	return all
}

// marksOf finds the operations of the counter-examples.
func marksOf(r Run, l *lanes, diagrams []diagram) []mark {
	place := l.places()
	all := []mark{}
	for i, f := range counterexamples(r.Result) {
		for n := range f.Ops {
			op := &f.Ops[n]
			at, ok := place[op.Index]
			bar := n - max(0, len(f.Ops)-opsDrawn)
			if ok && bar >= 0 && i < len(diagrams) {
				all = append(all, mark{at, diagrams[i].ID, bar, f.culprit(op)})
			}
		}
	}
	return all
}

func seconds(t history.Time) float64 { return time.Duration(t).Seconds() }
