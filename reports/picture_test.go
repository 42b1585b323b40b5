package reports

import (
	"bytes"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
)

// call adds an operation of a process that succeeded.
func call(
	from, to history.Time, p history.Process, f history.F, in, out history.Value,
) []history.Event {
	return []history.Event{
		event(from*ms1, p, history.Invoke, f, in), event(to*ms1, p, history.OK, f, out),
	}
}

// joined merges operations by time.
func joined(parts ...[]history.Event) []history.Event {
	var all []history.Event
	for _, p := range parts {
		all = append(all, p...)
	}
	slices.SortStableFunc(all, func(a, b history.Event) int { return sign(int64(a.Time - b.Time)) })
	return all
}

// pairRun: two readers saw two writes in opposite orders.
func pairRun(t testing.TB) Run {
	t.Helper()
	one, two, none := history.Int(1), history.Int(2), history.Nil()
	r := judged(t, newHistory(t, joined(
		call(1, 20, 0, "write", one, one), call(2, 21, 1, "write", two, two),
		call(3, 5, 2, "read", none, one), call(6, 8, 2, "read", none, two),
		call(9, 11, 3, "read", none, one),
	)...), check.Linearizable("register", check.Options{}))
	r.Faults = nil
	return r
}

// txn is a transaction of steps such as "r x 1,2", "a x 3".
func txn(t testing.TB, from, to history.Time, p history.Process, steps string) []history.Event {
	t.Helper()
	var in, out []history.Value
	for step := range strings.SplitSeq(steps, "; ") {
		var f, key, list string
		if _, err := fmt.Sscan(step+" -", &f, &key, &list); err != nil {
			t.Fatal(err)
		}
		var seen []history.Value
		for word := range strings.SplitSeq(list, ",") {
			var n int64
			if _, err := fmt.Sscan(word, &n); err == nil {
				seen = append(seen, history.Int(n))
			}
		}
		if f == "a" {
			s := history.List(history.Str("append"), history.Str(key), seen[0])
			in, out = append(in, s), append(out, s)
			continue
		}
		in = append(in, history.List(history.Str("r"), history.Str(key), history.Nil()))
		out = append(out, history.List(history.Str("r"), history.Str(key), history.List(seen...)))
	}
	return call(from, to, p, "txn", history.List(in...), history.List(out...))
}

func txnRun(t testing.TB, level graph.Level, txns ...[]history.Event) Run {
	t.Helper()
	r := judged(t, newHistory(t, joined(txns...)...), check.ListAppend(check.TxnOptions{Level: level}))
	r.Faults = nil
	return r
}

// gSingleRun: T3 sees what depends on T1, but not T1.
func gSingleRun(t testing.TB) Run {
	t.Helper()
	return txnRun(t, graph.SnapshotIsolation, txn(t, 1, 40, 0, "a x 1"),
		txn(t, 5, 42, 1, "r x 1; a y 7"), txn(t, 8, 44, 2, "r y 7; r x"),
		txn(t, 50, 60, 3, "r x 1; r y 7"))
}

// g2Run: neither transaction sees the other.
func g2Run(t testing.TB) Run {
	t.Helper()
	return txnRun(t, graph.Serializable, txn(t, 1, 9, 0, "r x; a y 1"),
		txn(t, 2, 10, 1, "r y; a x 2"), txn(t, 20, 25, 2, "r x 2; r y 1"))
}

// stuckRun: a key does not work any more after the faults.
func stuckRun(t testing.TB) Run {
	t.Helper()
	events := []history.Event{
		nemesisEvent(3*ms1, history.Invoke, "start", "n1 | n2 n3"),
		nemesisEvent(1200*ms1, history.Info, "stop", "n1 | n2 n3"),
	}
	for i := range history.Time(4) {
		p := history.Process(i)
		failed := event((9500+i*900)*ms1, p, history.Info, "write", history.Int(int64(i)))
		failed.Error = "timeout"
		events = append(events,
			event((8900+i*900)*ms1, p, history.Invoke, "write", history.Int(int64(i))), failed)
	}
	return judged(t, newHistory(t, events...), check.Liveness(check.LivenessOptions{Claimed: true}))
}

// lostWriteRun: after a partition nobody sees what was acknowledged in it.
func lostWriteRun(t testing.TB) Run {
	t.Helper()
	one, two, none := history.Int(1), history.Int(2), history.Nil()
	return judged(t, newHistory(t, joined(
		call(1, 2, 0, "write", one, one),
		[]history.Event{nemesisEvent(3*ms1, history.Invoke, "start", "n1 | n2 n3")},
		call(5, 8, 1, "write", two, two),
		[]history.Event{nemesisEvent(100*ms1, history.Info, "stop", "n1 | n2 n3")},
		call(120, 125, 0, "read", none, one), call(130, 133, 1, "read", none, one),
	)...), check.Linearizable("register", check.Options{}))
}

// lockRun: two clients hold a lock at once.
func lockRun(t testing.TB) Run {
	t.Helper()
	grant := func(token int64) history.Value {
		return history.Map(history.Field{Name: "token", Value: history.Int(token)},
			history.Field{Name: "ttl_ms", Value: history.Int(1000)})
	}
	return judged(t, newHistory(t, joined(
		call(0, 10, 0, "acquire", history.Int(1000), grant(1)),
		call(600, 620, 1, "acquire", history.Int(1000), grant(2)),
	)...), check.Lock(check.LockOptions{Drift: 0.05}))
}

// examples are runs with one violation of each kind.
func examples(t testing.TB) map[string]Run {
	t.Helper()
	return map[string]Run{
		"pair": pairRun(t), "stale-read": invalidRun(t), "g-single": gSingleRun(t),
		"g2-item": g2Run(t), "stuck": stuckRun(t), "lost-write": lostWriteRun(t),
		"lock-overlap": lockRun(t),
	}
}

// pictures draws the first counter-example of a run.
func pictures(t testing.TB, r Run) (diagram, []string) {
	t.Helper()
	templates, err := template.ParseFS(assets, "*.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	p := newPage(r)
	if p.First == nil {
		t.Fatalf("there is no counter-example: %s %s", p.Verdict, r.Result.Reason)
	}
	var all []string
	for _, picture := range p.First.Pictures {
		var b bytes.Buffer
		if err := templates.ExecuteTemplate(&b, "picture.svg.tmpl", picture); err != nil {
			t.Fatal(err)
		}
		all = append(all, b.String())
	}
	return *p.First, all
}

// TestPictures compares the drawings of each kind of violation with the ones that
// somebody has looked at.
func TestPictures(t *testing.T) {
	for name, r := range examples(t) {
		if r.Result.Verdict != check.Invalid {
			t.Errorf("%s is %s: %s", name, r.Result.Verdict, r.Result.Reason)
			continue
		}
		_, drawn := pictures(t, r)
		compareGolden(t, name+".svg", drawn[0])
	}
}

// TestWords: what is said of the culprit fits the kind of violation, and in a circle
// nobody is the culprit.
func TestWords(t *testing.T) {
	for name, want := range map[string]struct {
		mark   string
		marked int
		kinds  string
	}{
		"pair":       {"puts write(1) before and after write(2)", 1, ""},
		"stale-read": {"write(2) had replaced it by 0.008 s", 1, ""},
		"g-single":   {"misses what T1 wrote", 1, "rw wr wr"},
		"g2-item":    {"", 0, "rw rw"},
		"stuck":      {"did not succeed", 3, ""},
	} {
		d, drawn := pictures(t, examples(t)[name])
		marked := 0
		for _, op := range d.Told {
			if op.Mark != "" {
				marked++
			}
		}
		if d.Mark != want.mark || marked != want.marked {
			t.Errorf("%s: %d operations marked %q, want %d %q", name, marked, d.Mark, want.marked,
				want.mark)
		}
		if (want.marked == 0) == strings.Contains(drawn[0], "culprit") {
			t.Errorf("%s: culprits in the picture do not fit", name)
		}
		var kinds []string
		for _, o := range d.Orders {
			kinds = append(kinds, o.Kind)
		}
		if got := strings.Join(kinds, " "); want.kinds != "" && got != want.kinds {
			t.Errorf("%s: orders %q, want %q", name, got, want.kinds)
		}
	}
}

// TestMarks: what is said of a culprit fits the checker that found it.
func TestMarks(t *testing.T) {
	one := check.Counterexample{Ops: []check.Op{{Culprit: true}}}
	two := check.Counterexample{Ops: []check.Op{{Culprit: true}, {}}}
	marked := two
	marked.Mark = "the same token once more"
	circle := two
	circle.Edges = []check.Edge{{From: 0, To: 1, Kind: check.RW}, {From: 1, To: 0, Kind: check.RW}}
	for _, test := range []struct {
		checker string
		cx      check.Counterexample
		want    string
	}{
		{"linearizable", two, "cannot be placed"}, {"sequential", two, "cannot be placed"},
		{"bank", one, "breaks the promise"}, {"lock", marked, "the same token once more"},
		{"list-append", one, "contradicts itself"}, {"rw-register", two, "contradicts the others"},
		{"list-append", circle, ""}, {"g2", two, ""}, {"long-fork", two, ""},
		{"long-fork", marked, "the same token once more"},
		{"liveness", two, "did not succeed"},
	} {
		if got := Culprit(test.checker, test.cx, 0); got != test.want {
			t.Errorf("%s of %d: %q, want %q", test.checker, len(test.cx.Ops), got, test.want)
		}
	}
	if got := Culprit("linearizable", two, 1); got != "" {
		t.Errorf("an operation that is no culprit %q", got)
	}
}

// TestFate: what became of an operation is in words, with what the client was told.
func TestFate(t *testing.T) {
	h := newHistory(t, event(1*ms1, 0, history.Invoke, "write", history.Int(1)),
		history.Event{Time: 2 * ms1, Process: 0, Type: history.Fail, F: "write", Key: "k1",
			Value: history.Int(1), Error: "no leader"})
	for _, test := range []struct {
		op   check.Op
		told string
		want string
	}{
		{check.Op{Type: "ok"}, "", ""}, {check.Op{Type: "ok", Return: -1}, "late", ""},
		{check.Op{Type: "fail"}, "", "failed"},
		{check.Op{Type: "fail"}, "no leader", "failed: no leader"},
		{check.Op{Type: "info", Return: -1}, "", "never answered"},
		{check.Op{Type: "info", Return: -1}, "no answer: deadline", "never answered"},
		{check.Op{Type: "info", Return: -1}, "timeout", "outcome unknown: timeout"},
	} {
		f := found{errors: map[int64]string{0: test.told}}
		if got := f.fate(&test.op); got != test.want {
			t.Errorf("%+v, told %q: %q, want %q", test.op, test.told, got, test.want)
		}
	}
	f := found{Counterexample: check.Counterexample{Ops: []check.Op{{Index: 0, Type: "fail"}}}}
	f.hear(h)
	if got := f.fate(&f.Ops[0]); got != "failed: no leader" {
		t.Errorf("of a history: %q", got)
	}
}

// TestInLines: a remark has two lines at most, and no word is lost where they suffice.
func TestInLines(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []string
	}{
		{"", nil}, {"failed", []string{"failed"}},
		{"failed: no leader answered in time", []string{"failed: no leader", "answered in time"}},
		{"failed: " + strings.Repeat("x", 80), []string{"failed:", strings.Repeat("x", 15) + "…"}},
		{strings.Repeat("x", 80), []string{strings.Repeat("x", 15) + "…"}},
	} {
		var got []string
		for _, l := range inLines(test.in, 150, "dim") {
			got = append(got, l.Text)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.in, got, test.want)
		}
	}
}

// TestWholeFirst: a single operation whose reasons are not shown gives way to a
// counter-example that is whole.
func TestWholeFirst(t *testing.T) {
	alone := check.Counterexample{Why: "alone", Ops: make([]check.Op, 1)}
	whole := check.Counterexample{Why: "whole", Minimal: true, Ops: make([]check.Op, 3)}
	proof := check.Counterexample{Why: "proof", Minimal: true, Ops: make([]check.Op, 1)}
	for _, test := range []struct {
		in   []check.Counterexample
		want string
	}{
		{[]check.Counterexample{alone, whole}, "whole"}, {[]check.Counterexample{alone}, "alone"},
		{[]check.Counterexample{proof, whole}, "proof"},
		{[]check.Counterexample{alone, proof}, "alone"},
	} {
		all := counterexamples(check.Result{Counterexamples: test.in})
		if all[0].Why != test.want || len(all) != len(test.in) {
			t.Errorf("first of %d is %s, want %s", len(all), all[0].Why, test.want)
		}
	}
}

// TestStrips: labels of faults meet neither each other nor other strips of their row, and no
// edge of a strip runs through its label where there is room beside it.
func TestStrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rows{left: 10, right: 600}
		a := axis{times: []int64{0, 1000}, at: []int{10, 600}, left: 10, right: 600}
		type strip struct{ from, to, y int }
		var drawn []strip
		for range rapid.IntRange(1, 12).Draw(t, "strips") {
			start := rapid.IntRange(0, 1000).Draw(t, "start")
			stop := rapid.IntRange(start, 1000).Draw(t, "stop")
			d := r.place(a, history.Time(start), history.Time(stop), "12 isolate-kill")
			if d.Number == "" {
				continue
			}
			wide := int(textWidth(d.Number))
			s := strip{min(d.X, d.TextX), max(d.X+d.Width, d.TextX+wide), d.Edge}
			for _, other := range drawn {
				if other.y == s.y && other.from < s.to && s.from < other.to {
					t.Fatalf("%+v meets %+v", s, other)
				}
			}
			if d.End && (d.LabelX < d.X-8 || d.LabelX >= d.X) || !d.End && d.LabelX != d.TextX {
				t.Fatalf("the label is not beside its strip: %+v", d)
			}
			inside := d.TextX >= d.X && d.TextX+wide <= d.X+d.Width
			beside := d.TextX >= d.X+d.Width || d.TextX+wide <= d.X
			if !inside && !beside && (d.X-wide > r.left+4 || d.X+d.Width+wide < r.right-4) {
				t.Fatalf("an edge runs through the label of %+v", d)
			}
			drawn = append(drawn, s)
		}
	})
}

// TestLoops marks the edges that lead around, and no others, and tells them first.
func TestLoops(t *testing.T) {
	edge := func(from, to int, kind check.EdgeKind) check.Edge {
		return check.Edge{From: from, To: to, Kind: kind}
	}
	f := found{Counterexample: check.Counterexample{
		Ops: make([]check.Op, 4),
		Edges: []check.Edge{
			edge(0, 1, check.RealTime), edge(1, 2, check.RealTime), edge(2, 1, check.WriteOrder),
			edge(2, 3, check.ReadFrom), edge(0, 3, check.RealTime),
		},
	}}
	f.arrange()
	if want := []bool{true, true, false, false, false}; !slices.Equal(f.loop, want) {
		t.Errorf("loops %v, want %v", f.loop, want)
	}
	if got := f.Edges[2].Kind; got != check.ReadFrom {
		t.Errorf("the third edge is one of %s, want %s", got, check.ReadFrom)
	}
	if got, want := drawnEdges(&f), []int{0, 1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("drawn are %v, want %v", got, want)
	}
	f.Edges = append(f.Edges, edge(0, 2, check.RealTime))
	f.arrange()
	if got, want := drawnEdges(&f), []int{0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("of many, drawn are %v, want %v", got, want)
	}
}

// TestFit: of a list the end stays.
func TestFit(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"short", "short"},
		{"a much longer text than fits", "a much longer …"},
		{"read() = [1,2,3,4,5,6,7,8,9]", "read() = […8,9]"},
		{"write(\u4e16\u754c\u4e16\u754c\u4e16\u754c\u4e16)", "write(\u4e16\u754c\u4e16\u754c\u4e16…"},
	} {
		if got := fit(test.in, 140); got != test.want {
			t.Errorf("fit(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

// TestBrief: what is left out is counted, and no character is cut in two.
func TestBrief(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"0123456789", "0123456789"},
		{"0123456789abcdef", "01234 … 6 bytes left out … bcdef"},
		{"\u4e16\u754c\u4e16\u754c", "\u4e16 … 6 bytes left out … \u754c"},
	} {
		if got := brief(test.in, 10); got != test.want {
			t.Errorf("brief(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

// genFound are counter-examples of any shape.
func genFound(t *rapid.T) found {
	f := found{checker: rapid.SampledFrom([]string{"linearizable", "liveness", "bank"}).
		Draw(t, "checker")}
	for range rapid.IntRange(1, 80).Draw(t, "operations") {
		call := rapid.Int64Range(0, 1e11).Draw(t, "call")
		op := check.Op{
			Call: call, Return: call + rapid.Int64Range(0, 1e10).Draw(t, "took"), Type: "ok",
			Process:  rapid.Int64Range(0, 8).Draw(t, "process"),
			Describe: rapid.StringN(0, 60, -1).Draw(t, "text"),
			Culprit:  rapid.Bool().Draw(t, "culprit"),
		}
		if rapid.Bool().Draw(t, "unanswered") {
			op.Return = -1
		}
		f.Ops = append(f.Ops, op)
	}
	for range rapid.IntRange(0, 20).Draw(t, "edges") {
		f.Edges = append(f.Edges, check.Edge{
			From: rapid.IntRange(-1, len(f.Ops)).Draw(t, "from"),
			To:   rapid.IntRange(-1, len(f.Ops)).Draw(t, "to"),
			Kind: rapid.SampledFrom([]check.EdgeKind{check.RealTime, check.ReadFrom, check.RW}).
				Draw(t, "kind"),
		})
	}
	return f
}

// TestLayout: whatever there is to draw, nothing meets anything else or leaves the
// picture.
func TestLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFound(t)
		windows := []history.Window{
			{ID: 1, Fault: "partition", Start: 1e9, End: 5e10},
			{ID: 2, Fault: "kill", Start: 2e10, End: history.Never},
		}
		d := newDiagram(baseRun(), 0, f, newBands(windows))
		for _, p := range d.Pictures {
			var boxes []rect
			for i := range p.Bars {
				boxes = append(boxes, p.Bars[i].node())
			}
			for _, a := range p.Arrows {
				if a.Label != "" {
					boxes = append(boxes, a.Pill)
				}
			}
			for i, a := range boxes {
				if a.X < 0 || a.right() > p.Width || a.Y < p.Top || a.bottom() > p.Axis {
					t.Fatalf("%s: %v is not inside of %d x %d", p.Kind, a, p.Width, p.Height)
				}
				for _, b := range boxes[i+1:] {
					if a.meets(b) {
						t.Fatalf("%s: %v meets %v", p.Kind, a, b)
					}
				}
			}
		}
	})
}
