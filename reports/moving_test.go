package reports

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/browsertest"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// busyHistory is what so many clients do who ask again as soon as they have an answer.
func busyHistory(operations, clients int) *history.History {
	random := rand.New(rand.NewPCG(1, 2))
	free := make([]history.Time, clients)
	process := make([]history.Process, clients)
	for c := range process {
		process[c] = history.Process(c)
		free[c] = history.Time(random.Int64N(1e6))
	}
	h := &history.History{Ops: make([]history.Operation, operations)}
	for i := range h.Ops {
		c := 0
		for other := range free {
			if free[other] < free[c] {
				c = other
			}
		}
		took := history.Time(math.Exp(random.NormFloat64())*2e6) + 1000
		op := &h.Ops[i]
		*op = history.Operation{
			Index: int64(2 * i), Process: process[c], Call: free[c], Ended: free[c] + took,
			F: "read", Type: history.OK, Key: history.Key(fmt.Sprintf("k%d", random.IntN(50))),
			Out: history.Int(random.Int64N(1000)),
		}
		if random.IntN(3) == 0 {
			op.F, op.In, op.Out = "write", history.Int(int64(i)), history.Int(int64(i))
		}
		op.Return = op.Ended
		switch random.IntN(100) {
		case 0:
			op.Type, op.Error = history.Fail, "no leader"
		case 1:
			op.Type, op.Error, op.Return = history.Info, "timeout after 1s", history.Never
			process[c] += history.Process(clients)
		}
		free[c] += took + history.Time(random.Int64N(8e6))
	}
	return h
}

// movingRun is a run with everything that moves: operations, faults, leaders, clocks, logs.
func movingRun(operations, clients int) Run {
	r := baseRun()
	r.Concurrency = clients
	r.History = busyHistory(operations, clients)
	end := r.History.End()
	r.History.Nemesis = []history.Event{
		nemesisEvent(end/4, history.Invoke, "start", "n1 | n2 n3"),
		nemesisEvent(end/2, history.Info, "stop", "n1 | n2 n3"),
	}
	culprit, other := &r.History.Ops[operations/3], &r.History.Ops[operations/3-1]
	r.Result = check.Result{
		Name: "linearizable", Verdict: check.Invalid, Reason: "not linearizable",
		Counterexamples: []check.Counterexample{{
			Key: culprit.Key, Why: "it read what nobody wrote", Ops: []check.Op{
				shown(other, false), shown(culprit, true),
			},
		}},
	}
	r.Faults = append(r.Faults, nemesis.FaultRecord{
		Step: nemesis.Step{ID: 3, Fault: "clock-jump"}, Start: end / 4, End: end / 2, Bit: true,
		Evidence: nemesis.Evidence{Facts: map[string]int64{
			"wall ahead before ms n1": 0, "wall ahead ms n1": 2000, "wall ahead ms n2": -3,
		}},
		Healing: nemesis.Evidence{Facts: map[string]int64{"wall ahead ms n1": 1}},
	})
	r.Logs = nil
	for n, node := range r.Nodes {
		var text strings.Builder
		for i := range 300 {
			at := r.Started.Add(time.Duration(end) * time.Duration(i) / 300)
			fmt.Fprintf(&text, "time=%s msg=%q primary=%v ballot=%d\n",
				at.Format("2006-01-02T15:04:05.000000Z07:00"), fmt.Sprintf("line %d", i), i/100 == n, n+1)
		}
		r.Logs = append(r.Logs, NodeLog{Node: node, Path: "nodes/" + node, Text: text.String()})
	}
	return r
}

func shown(op *history.Operation, culprit bool) check.Op {
	return check.Op{
		Index: op.Index, Process: int64(op.Process), Call: int64(op.Call), Return: int64(op.Ended),
		Type: op.Type.String(), F: string(op.F), Describe: string(op.F), Culprit: culprit,
	}
}

// What a mouse does.
const (
	moved    = input.DispatchMouseEventTypeMouseMoved
	pressed  = input.DispatchMouseEventTypeMousePressed
	released = input.DispatchMouseEventTypeMouseReleased
	wheeled  = input.DispatchMouseEventTypeMouseWheel
)

// mouseEvent is shorter.
type mouseEvent = input.DispatchMouseEventParams

// state is what the timeline shows.
type state struct {
	From, To, Visible float64
	Detail            string
}

func (p *tab) state() state {
	p.t.Helper()
	return eval[state](p, `(() => {
		const d = document.querySelector("#timeline-chart canvas").dataset;
		return {From: +d.from, To: +d.to, Visible: +d.visible, Detail: d.detail};
	})()`)
}

// settle waits until what was asked for is drawn, in the timeline and in the charts that
// are in the window.
func (p *tab) settle() {
	p.t.Helper()
	eval[bool](p, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
		const look = () => {
			const now = document.querySelector("#timeline-chart canvas").dataset.version;
			[...document.querySelectorAll("#latency-chart, #rate-chart, #clock-chart")].every(
				c => [now, "unseen"].includes(c.dataset.version)) ? done(true) : setTimeout(look, 5);
		};
		look();
	})))`)
}

// box is where an element is in the window.
type box struct{ Left, Top, Width, Height float64 }

// bring scrolls an element into the window.
func (p *tab) bring(selector string) box {
	p.t.Helper()
	return eval[box](p, fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		e.scrollIntoView({block: "center", behavior: "instant"});
		const b = e.getBoundingClientRect();
		return {Left: b.left, Top: b.top, Width: b.width, Height: b.height};
	})()`, selector))
}

// mouse does something with it; modifiers are those of the protocol.
func (p *tab) mouse(e mouseEvent) {
	p.t.Helper()
	if e.Type == pressed || e.Type == released {
		e.Button, e.ClickCount = input.MouseButtonLeft, 1
	}
	if _, err := chromedp.Call(p.Ctx, input.DispatchMouseEvent, e); err != nil {
		p.t.Fatal(err)
	}
}

// drag moves the mouse with its button down.
func (p *tab) drag(x1, y1, x2, y2 float64) {
	p.t.Helper()
	for _, e := range []mouseEvent{
		{Type: moved, X: x1, Y: y1}, {Type: pressed, X: x1, Y: y1},
		{Type: moved, X: (x1 + x2) / 2, Y: y2, Buttons: 1},
		{Type: moved, X: x2, Y: y2, Buttons: 1},
		{Type: released, X: x2, Y: y2},
	} {
		p.mouse(e)
	}
	p.settle()
}

func (p *tab) key(keys string) {
	p.t.Helper()
	p.Press(keys)
	p.settle()
}

// lookAtMoving uses everything that moves, with mouse and keys.
func lookAtMoving(t *testing.T, browser context.Context) {
	r := movingRun(20_000, 6)
	p := open(t, browser, r)
	p.wantCount("#charts canvas", 4)
	p.wantText("#clock-chart .u-legend", "n1, wall")
	p.bring("#timeline")
	whole := p.state()
	if end := seconds(r.History.End()); whole.From != 0 || math.Abs(whole.To-end) > 1e-6 ||
		whole.Visible < 20_000 || whole.Detail != "pixels" {
		t.Errorf("at first the timeline shows %+v", whole)
	}
	zoomByMouse(p, whole)
	hoverAndSelect(p, r)
	filterAndLogs(p)
	zoomByKeys(p, whole)
	zoomChart(p)
}

// zoomByMouse drags, turns the wheel, and double-clicks.
func zoomByMouse(p *tab, whole state) {
	p.t.Helper()
	canvas := p.bring("#timeline-chart canvas")
	y := canvas.Top + canvas.Height - 60
	p.drag(canvas.Left+canvas.Width/2, y, canvas.Left+canvas.Width/2+40, y)
	zoomed := p.state()
	if width := zoomed.To - zoomed.From; width > whole.To/15 || zoomed.Detail != "bars" {
		p.t.Errorf("after dragging over 40 pixels the timeline shows %+v", zoomed)
	}
	p.wantText(".moves output", " s to ")
	p.mouse(mouseEvent{
		Type: wheeled, X: canvas.Left + canvas.Width/2, Y: y, DeltaX: .01, DeltaY: -120,
		Modifiers: 2,
	})
	p.settle()
	closer := p.state()
	if closer.To-closer.From >= zoomed.To-zoomed.From {
		p.t.Errorf("Ctrl and the wheel: from %+v to %+v", zoomed, closer)
	}
	p.mouse(mouseEvent{
		Type: wheeled, X: canvas.Left + canvas.Width/2, Y: y, DeltaX: 100, DeltaY: .01,
	})
	p.settle()
	if aside := p.state(); aside.From <= closer.From {
		p.t.Errorf("the wheel sideways: from %+v to %+v", closer, aside)
	}
}

// hoverAndSelect goes to the culprit by its bar in the diagram.
func hoverAndSelect(p *tab, r Run) {
	p.t.Helper()
	culprit := r.Result.Counterexamples[0].Ops[1]
	bar := p.bring("#ce1 .wide .bar.culprit .front")
	x, y := bar.Left+bar.Width/2, bar.Top+bar.Height/2
	p.mouse(mouseEvent{Type: pressed, X: x, Y: y})
	p.mouse(mouseEvent{Type: released, X: x, Y: y})
	p.settle()
	at := seconds(history.Time(culprit.Call))
	if s := p.state(); s.From > at || s.To < at || s.To-s.From > 1 {
		p.t.Errorf("a click on the culprit, at %f, shows %+v", at, s)
	}
	for _, want := range []string{
		fmt.Sprintf("process %d at n", culprit.Process), fmt.Sprintf("index %d", culprit.Index),
		"1 partition", "What the nodes logged then", "Show it in the counter-example",
	} {
		p.wantText("#operation", want)
	}
	canvas := p.bring("#timeline-chart canvas")
	s := p.state()
	gutter := eval[float64](p, `(() => { // where the lanes begin: at the plot of the charts
		const plot = document.querySelector("#rate-chart .u-over").getBoundingClientRect();
		return plot.left - document.querySelector("#rate-chart").getBoundingClientRect().left;
	})()`)
	middle := seconds(history.Time(culprit.Call+culprit.Return)) / 2
	x = canvas.Left + gutter + (middle-s.From)/(s.To-s.From)*(canvas.Width-gutter)
	lane := float64(culprit.Process % int64(r.Concurrency))
	y = canvas.Top + canvas.Height - 24 - 20*(float64(r.Concurrency)-lane) + 10
	p.mouse(mouseEvent{Type: moved, X: x, Y: y})
	p.wantText(".tip", fmt.Sprintf("process %d at n", culprit.Process))
	p.Picture("timeline", false)
}

// filterAndLogs takes the failures away, and jumps to the logs.
func filterAndLogs(p *tab) {
	p.t.Helper()
	boxes := p.see("#filters").Text
	if !strings.Contains(boxes, "failed") || !strings.Contains(boxes, "write") {
		p.t.Errorf("the filters are %q", boxes)
	}
	counted := func() float64 {
		p.settle()
		return eval[float64](p, `(() => {
			const c = document.querySelector("#latency-chart canvas");
			const copy = Object.assign(document.createElement("canvas"),
				{width: c.width, height: c.height});
			const ctx = copy.getContext("2d", {willReadFrequently: true});
			ctx.drawImage(c, 0, 0);
			const d = ctx.getImageData(0, 0, c.width, c.height).data;
			let n = 0;
			for (let i = 0; i < d.length; i += 4) 
				if (d[i] > 150 && d[i+1] < 110 && d[i+2] < 40) n++;
			return n;
		})()`)
	}
	eval[any](p, `[...document.querySelectorAll(".moves button")].find(
		b => b.textContent === "All").click()`)
	p.bring("#latency-chart")
	before := counted()
	eval[any](p, `[...document.querySelectorAll("#filters label")].find(
		l => l.textContent.includes("failed")).querySelector("input").click()`)
	if after := counted(); before < 20 || after > before/4 {
		p.t.Errorf("orange pixels with failures: %v, without: %v", before, after)
	}
	eval[any](p, `[...document.querySelectorAll("#operation button")].find(
		b => b.textContent === "Logs at that moment").click()`)
	p.settle()
	jumped := eval[bool](p, `(() => {
		const line = document.querySelector("#log-lines .moment").getBoundingClientRect();
		return line.top > 0 && line.bottom < innerHeight &&
			document.activeElement.matches("#log-lines ol");
	})()`)
	if !jumped {
		p.t.Error("the logs were not jumped to")
	}
	p.wantText("#log-lines .moment + li", "line 1")
	eval[any](p, `(() => {
		const search = document.querySelector("#log-lines input");
		search.value = "line 299";
		search.dispatchEvent(new Event("input", {bubbles: true}));
	})()`)
	p.wantText("#log-lines output", "of 3")
}

// zoomByKeys goes from operation to operation without a mouse.
func zoomByKeys(p *tab, whole state) {
	p.t.Helper()
	eval[any](p, `document.querySelector("#timeline-chart canvas").focus()`)
	p.key("+")
	if s := p.state(); math.Abs(s.To-s.From-whole.To/2) > whole.To/1000 {
		p.t.Errorf("+ shows %+v of %+v", s, whole)
	}
	p.key("n")
	first := p.see("#operation").Text
	p.key("n")
	if next := p.see("#operation").Text; next == first || !strings.Contains(next, "called") {
		p.t.Errorf("n goes from %.200q to %.200q", first, next)
	}
	if said := p.see("#said").Text; !strings.Contains(said, "Lane") {
		p.t.Errorf("a screen reader hears %q", said)
	}
	p.key("0")
	if s := p.state(); s.From != 0 || s.To < whole.To-1e-9 {
		p.t.Errorf("0 shows %+v", s)
	}
}

// zoomChart zooms all by a drag in one chart, and reads its legend.
func zoomChart(p *tab) {
	p.t.Helper()
	over := p.bring("#rate-chart .u-over")
	y := over.Top + over.Height/2
	p.mouse(mouseEvent{Type: moved, X: over.Left + over.Width/3, Y: y})
	p.settle()
	p.wantText("#rate-chart .u-legend", " a second")
	p.drag(over.Left+over.Width/4, y, over.Left+over.Width/2, y)
	s := p.state()
	if end := s.To / (s.To - s.From); end < 1.8 || end > 2.2 {
		p.t.Errorf("a drag from a quarter to the half shows %+v", s)
	}
}

// worstStep is the processor time, in seconds, that a step of zooming or moving may take. It
// is two tasks at least, the timeline and the charts, none of which is to be longer than
// 100 ms. There is room for machines that have other work, which makes processors slower,
// too: beside other tests a step took 230 ms that alone took 170.
const worstStep = 0.4

// lookAtMillion: a run of a million operations is painted at once, and no step of zooming
// or moving takes long.
func lookAtMillion(t *testing.T, browser context.Context) {
	operations := 100_000
	if browsertest.Required() {
		operations = 1_000_000
	}
	r := movingRun(operations, 30)
	document := render(t, r)
	if len(document) > 5<<20 {
		t.Errorf("the page of %d operations has %d bytes", operations, len(document))
	}
	p := open(t, browser, Run{})
	p.load(document)
	painted := eval[float64](p,
		`performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	p.bring("#timeline-chart canvas")
	p.settle()
	if s := p.state(); s.Visible < float64(operations) {
		t.Errorf("the timeline shows %+v", s)
	}
	p.Picture("million", false)
	if _, err := chromedp.Call(p.Ctx, performance.Enable, performance.EnableParams{
		TimeDomain: performance.EnableTimeDomainThreadTicks,
	}); err != nil {
		t.Fatal(err)
	}
	steps, long := turnAndDrag(p)
	t.Logf("%d operations: the wheel and dragging, %d steps, keep the page busy for %.0f ms at most; "+
		"tasks of over 100 ms by the wall clock: %.0f", operations, steps.n, steps.worst*1000, long)
	if steps.worst > worstStep {
		t.Errorf("a step of the wheel or of dragging takes %.0f ms", steps.worst*1000)
	}
	eval[any](p, `document.querySelector("#timeline-chart canvas").focus()`)
	worst := 0.0
	for _, keys := range []string{"+", "+", "-", "-", "+", "+", "+", "+", "+", "+", "0"} {
		before := p.busy()
		p.key(keys)
		worst = max(worst, p.busy()-before)
	}
	t.Logf("%d operations: %d bytes, first paint after %.0f ms, a step keeps the page busy for "+
		"%.0f ms at most", operations, len(document), painted, worst*1000)
	if worst > worstStep {
		t.Errorf("a step of zooming takes %.0f ms", worst*1000)
	}
}

// effort is how many steps there were, and the processor time of the worst.
type effort struct {
	n     int
	worst float64 // s
}

// turnAndDrag zooms in and out by the wheel and moves what is shown by dragging, as fast
// as the page follows. long are the tasks that blocked it for over 100 ms, in milliseconds,
// by the wall clock, which on a busy machine says more of that than of the page.
func turnAndDrag(p *tab) (steps effort, long []float64) {
	p.t.Helper()
	eval[any](p, `(() => {
		window.long = [];
		new PerformanceObserver(l => {
			for (const e of l.getEntries()) if (e.duration > 100) long.push(Math.round(e.duration));
		}).observe({type: "longtask"});
	})()`)
	canvas := p.bring("#timeline-chart canvas")
	x, y := canvas.Left+canvas.Width/2, canvas.Top+canvas.Height/2
	step := func(e mouseEvent) {
		before := p.busy()
		p.mouse(e)
		p.settle()
		steps.n++
		steps.worst = max(steps.worst, p.busy()-before)
	}
	for i := range 24 {
		turn := mouseEvent{Type: wheeled, X: x, Y: y, DeltaX: .01, DeltaY: -120, Modifiers: 2}
		if i >= 12 { // back, and aside
			turn.DeltaY = 120
		}
		step(turn)
		step(mouseEvent{Type: wheeled, X: x, Y: y, DeltaX: 80, DeltaY: .01})
	}
	p.key("+")
	p.key("+")
	const shift = 8
	step(mouseEvent{Type: pressed, X: x, Y: y, Modifiers: shift})
	for i := range 20 {
		step(mouseEvent{Type: moved, X: x + float64(i*15), Y: y, Buttons: 1, Modifiers: shift})
	}
	step(mouseEvent{Type: released, X: x + 300, Y: y, Modifiers: shift})
	p.key("0")
	return steps, eval[[]float64](p, `window.long`)
}

// busy is the processor time of the page's main thread so far, in seconds.
func (p *tab) busy() float64 {
	p.t.Helper()
	got, err := chromedp.Call(p.Ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range got.Metrics {
		if m.Name == "TaskDuration" {
			return m.Value
		}
	}
	p.t.Fatal("the browser does not say how long its tasks took")
	return 0
}
