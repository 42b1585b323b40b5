package reports

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports/web"
)

//go:embed page.html.tmpl charts.html.tmpl counterexample.html.tmpl picture.svg.tmpl page.css
//go:embed links.html.tmpl
var assets embed.FS

// page is what the template shows. All text in it is plain: the template escapes
// it.
type page struct {
	Run
	CSS    template.CSS
	JS     template.JS
	Policy string
	// Data is what the script draws, in base64.
	Data template.HTML
	// Verdict is valid, unknown or invalid; Meaning explains it in a sentence.
	Verdict, Meaning string
	// Lead is the violation in a sentence, Setting which faults there were then.
	Lead    string
	Setting setting
	Grounds []ground
	Started string
	// First is the most telling counter-example, More are the others.
	First     *diagram
	More      []diagram
	Parts     []part
	Charts    *charts
	FaultRows []faultRow
	// LinkLane is nil when no link ever failed.
	LinkLane  *links
	PhaseRows []phaseRow
	// Keys are the keys with their verdicts, KeysMore how many are left out.
	Keys     []keyRow
	KeysMore int
	// KeysTold is what they come to; KeysOpen is true when there are few of them.
	KeysTold string
	KeysOpen bool
	// Errors are the classes of errors, ErrorsMore how many are left out.
	Errors     []errorRow
	ErrorsMore int
	diagrams   []diagram
	bands      bands
	lanes      *lanes
}

// charts are what is told beside the charts.
type charts struct {
	Bands     []bandKind
	Latencies []latencyRow
	Slices    []sliceRow
	Lanes     []laneRow
	LanesMore int
	Clocks    []clockData
	// Thinned is how many operations are in the page, if not all.
	Thinned string
	// Told is what the charts show in a sentence or two.
	Told string
}

// HTML writes the report of a run: one page that needs no network and opens from
// disk.
func HTML(w io.Writer, r Run) error {
	css, err := assets.ReadFile("page.css")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	t, err := template.ParseFS(assets, "*.tmpl")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	p := newPage(r)
	data, err := embedded(&p)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	style, script := string(css)+web.Style(), web.Script()
	p.CSS, p.JS, p.Data = template.CSS(style), template.JS(script), template.HTML(data)
	p.Policy = policy(script, style, p.diagrams)
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "page.html.tmpl", p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if _, err := io.WriteString(w, visible(b.String())); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func newPage(r Run) page {
	if r.History == nil {
		r.History = &history.History{}
	}
	p := page{
		Run: r, Verdict: r.Result.Verdict.String(), Meaning: meaning(r.Result.Verdict, nil),
		Grounds: grounds(r.Result, r.Result.Verdict),
		Started: r.Started.UTC().Format("2006-01-02 15:04:05 UTC"),
		Parts:   parts(r.Result, 0),
	}
	p.bands = newBands(r.History.Windows())
	p.bands.leads, p.bands.kills = leads(r), killsOf(r.Faults)
	p.lanes = newLanes(r)
	p.Charts = newCharts(r, p.bands, p.lanes)
	p.Keys, p.KeysMore = keyRows(r)
	p.KeysTold, p.KeysOpen = tellKeys(p.Keys, p.KeysMore), len(p.Keys) <= keysOpen
	p.Errors, p.ErrorsMore = errorRows(r.History, p.bands)
	p.showCounterexamples(p.bands)
	for _, f := range r.Faults {
		p.FaultRows = append(p.FaultRows, newFaultRow(f))
	}
	p.LinkLane = linksOf(r.Links, lastTime(r))
	phases := slices.Clone(r.Phases)
	slices.SortStableFunc(phases, func(a, b Phase) int { return sign(int64(a.Start - b.Start)) })
	for _, ph := range phases {
		p.PhaseRows = append(p.PhaseRows, newPhaseRow(ph))
	}
	return p
}

// newCharts tells what the charts show, nothing when nothing was recorded.
func newCharts(r Run, b bands, l *lanes) *charts {
	rows := sliceRows(r.History, b)
	if rows == nil {
		return nil
	}
	c := &charts{
		Bands: b.kinds, Latencies: latencyRows(r.History), Slices: rows,
		Clocks: clocksOf(r.Faults), Told: tellLatency(r.History),
	}
	c.Lanes, c.LanesMore = laneRows(l)
	if n := len(r.History.Ops); n > len(l.ops) {
		c.Thinned = fmt.Sprintf("The charts have %s of %s operations: of outcomes that are "+
			"frequent only every so many. The tables have all.", group(int64(len(l.ops))),
			group(int64(n)))
	}
	return c
}

// showCounterexamples opens the page with the most telling one in words.
func (p *page) showCounterexamples(bands bands) {
	all := byGravity(p.Run, counterexamples(p.Result))
	if p.Result.Verdict == check.Invalid {
		all = append(all, silences(p.Run)...)
	}
	for i := range all {
		all[i].hear(p.History)
		all[i].visited = p.Visited
	}
	for i, f := range all {
		p.diagrams = append(p.diagrams, newDiagram(p.Run, i, f, bands))
	}
	addViews(p.diagrams, all)
	if len(all) == 0 {
		return
	}
	p.First, p.More = &p.diagrams[0], p.diagrams[1:]
	if p.Result.Verdict != check.Invalid {
		return
	}
	p.Lead, p.Meaning = brief(all[0].Why, whyMost), meaning(p.Result.Verdict, &all[0])
	p.Setting = newSetting(p.Run, &all[0], bands)
	if len(p.Setting.Faults) > 0 {
		p.Setting.After = paragraph(p.Setting.After, related(p.Run, all, bands))
	} else {
		p.Setting.Before = paragraph(p.Setting.Before, related(p.Run, all, bands))
	}
	for i := range p.Grounds {
		g := &p.Grounds[i]
		for i, f := range all { // it is told where it is drawn
			g.Reason = strings.TrimRight(strings.TrimSuffix(g.Reason, f.Why), ": ")
			same := strings.EqualFold(strings.TrimRight(g.Reason, "."), strings.TrimRight(f.Why, "."))
			if same && i == 0 {
				g.Reason = ""
			}
		}
		g.Reason = brief(g.Reason, whyMost)
	}
}

func meaning(v check.Verdict, lead *found) string {
	switch v {
	case check.Invalid:
		if lead != nil && (lead.stuck() || lead.checker == "availability") {
			return "Clients waited in vain for what the claim promises to work."
		}
		return "Clients saw what the claim forbids, whatever became of unanswered operations."
	case check.Valid:
		return "No contradiction was found. That proves nothing beyond what was exercised: " +
			"see below."
	default:
		return "The record does not decide it. This is no success."
	}
}

// ground is the reason of one checker that decided the verdict.
type ground struct {
	Checker, Reason string
}

// grounds returns the reasons of the checkers that decided a verdict. A composed
// checker only repeats its parts.
func grounds(r check.Result, v check.Verdict) []ground {
	if r.Verdict != v {
		return nil
	}
	var all []ground
	for _, p := range r.Parts {
		all = append(all, grounds(p, v)...)
	}
	if len(all) == 0 {
		all = append(all, ground{Checker: r.Name, Reason: r.Reason})
	}
	return all
}

// part is one checker's result, flattened.
type part struct {
	Depth                 int
	Name, Verdict, Reason string
	Power                 []string
}

func parts(r check.Result, depth int) []part {
	p := part{
		Depth: depth, Name: r.Name, Verdict: r.Verdict.String(), Reason: brief(r.Reason, whyMost),
	}
	for _, m := range r.Power {
		p.Power = append(p.Power, measure(m))
	}
	if len(r.Parts) > 0 {
		var names []string
		for _, sub := range r.Parts {
			if sub.Verdict == r.Verdict {
				names = append(names, sub.Name)
			}
		}
		p.Reason = "decided by " + strings.Join(names, ", ")
		if len(names) == 0 {
			p.Reason = brief(r.Reason, whyMost)
		}
	}
	all := []part{p}
	for _, sub := range r.Parts {
		all = append(all, parts(sub, depth+1)...)
	}
	return all
}

// measure writes a quantity as "1,234 operations" or "12.5 ms of …".
func measure(m check.Measure) string {
	value := number(m.Value, 4)
	if m.Value == math.Trunc(m.Value) && math.Abs(m.Value) < 1e15 {
		value = group(int64(m.Value))
	}
	return strings.TrimSpace(m.Name + ": " + value + " " + m.Unit)
}

// number writes a value with as many significant digits, never with an exponent.
func number(v float64, digits int) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	if err != nil {
		rounded = v
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// group writes an integer with commas between groups of three digits.
func group(n int64) string {
	digits := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// counterexamples returns those of a result and its parts, in order, each once.
func counterexamples(r check.Result) []found {
	var all []found
	seen := map[string]bool{}
	var walk func(check.Result)
	walk = func(r check.Result) {
		for _, c := range r.Counterexamples {
			if id := string(c.Key) + "\x00" + c.Why; !seen[id] {
				seen[id] = true
				all = append(all, found{Counterexample: c, checker: r.Name})
			}
		}
		for _, p := range r.Parts {
			walk(p)
		}
	}
	walk(r)
	// One operation by itself, with the rest left out, says little: rather another one first.
	if len(all) > 0 && !all[0].Minimal && len(all[0].Ops) == 1 {
		whole := slices.IndexFunc(all, func(f found) bool { return f.Minimal && len(f.Ops) > 1 })
		if whole > 0 {
			f := all[whole]
			all = slices.Insert(slices.Delete(all, whole, whole+1), 0, f)
		}
	}
	return all
}

// byGravity puts first what was over before there was any fault, because no fault was needed
// for it, and then what was lost.
func byGravity(r Run, all []found) []found {
	if r.History == nil {
		return all
	}
	first := history.Never
	for _, w := range r.History.Windows() {
		first = min(first, w.Start)
	}
	rank := func(f found) int {
		needed := first == history.Never
		for _, op := range f.Ops {
			needed = needed || max(op.Call, op.Return) >= int64(first) || op.Return < 0
		}
		switch {
		case !needed:
			return 0
		case f.Lost:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b found) int { return rank(a) - rank(b) })
	return all
}

// faultRow is one line of the table of faults.
type faultRow struct {
	ID                        int64
	Name, What, From, To      string
	Verdict, Evidence, Healed string
}

func newFaultRow(f nemesis.FaultRecord) faultRow {
	row := faultRow{
		ID: f.Step.ID, Name: f.Step.Fault, What: f.What,
		From: at(f.Start), To: at(f.End), Verdict: "bit", Evidence: f.Evidence.Why,
		Healed: f.Healing.Why,
	}
	switch {
	case f.Skipped != "":
		row.Verdict, row.Evidence = "skipped", f.Skipped
		row.From, row.To = at(history.Time(f.Step.At)), ""
	case f.Error != "":
		row.Verdict, row.Evidence = "failed", f.Error
	case !f.Bit:
		row.Verdict = "no evidence"
	}
	if f.Skipped == "" && !f.Healed {
		row.Healed = "not healed"
		if f.HealError != "" {
			row.Healed += ": " + f.HealError
		}
	}
	return row
}

// phaseRow is one line of the table of phases.
type phaseRow struct {
	Name, From, Took, Error string
}

func newPhaseRow(p Phase) phaseRow {
	return phaseRow{
		Name: p.Name, From: at(p.Start), Error: p.Error,
		Took: time.Duration(p.End - p.Start).Round(time.Millisecond).String(),
	}
}

// at writes a moment of the test.
func at(t history.Time) string {
	if t == history.Never {
		return "the end"
	}
	return newClock(nil).at(int64(t))
}
