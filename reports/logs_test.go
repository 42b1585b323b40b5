package reports

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

func TestStamp(t *testing.T) {
	want := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	for _, line := range []string{
		`time=2026-01-02T03:04:05.678Z level=INFO msg=x`,
		`{"level":"info","ts":"2026-01-02T04:04:05.678+0100","msg":"x"}`,
		`{"ts":"2026-01-02T05:04:05.678+02:00"}`,
		`2026-01-02 03:04:05.678 UTC [17] LOG:  x`,
		`2026-01-02 03:04:05,678 [myid:1] - INFO`,
		`[2026-01-02T03:04:05.678] x`,
		`=== ordeal: start 1 of n1 at 2026-01-02T03:04:05.678Z: target serve`,
	} {
		if got, ok := stamp(line); !ok || !got.Equal(want) {
			t.Errorf("%s: %v %v", line, got, ok)
		}
	}
	for _, line := range []string{
		"", "2026-01-02", "2026-13-02T03:04:05Z", "1-2-3 4:5:6", strings.Repeat("-", 300),
		"2026-01-02T03:04", strings.Repeat("x", 300) + " 2026-01-02T03:04:05Z",
	} {
		if got, ok := stamp(line); ok {
			t.Errorf("%s: %v", line, got)
		}
	}
}

// TestTellingLines: of a long log, its start, its end, and what is around the violation
// stay, and it says what is left out.
func TestTellingLines(t *testing.T) {
	var all []logLine
	for i := range 10_000 {
		all = append(all, logLine{fmt.Sprintf("line %d", i), history.Time(i)})
	}
	kept := tellingLines(all, []history.Time{5000}, 20_000)
	size, left := 0, 0
	var texts []string
	for _, l := range kept {
		size += len(l.text) + 30
		texts = append(texts, l.text)
		n := 0
		if _, err := fmt.Sscanf(strings.ReplaceAll(l.text, ",", ""), "… %d lines", &n); err == nil {
			left += n
			continue
		}
		left++
	}
	if size > 21_000 || left != len(all) {
		t.Errorf("%d bytes, %d of %d lines are kept or counted", size, left, len(all))
	}
	for _, want := range []string{"line 0", "line 4999", "line 5000", "line 9999"} {
		if !slices.Contains(texts, want) {
			t.Errorf("%s is left out", want)
		}
	}
	if got := tellingLines(all[:9], nil, 1e6); len(got) != 9 {
		t.Errorf("%d lines of a short log", len(got))
	}
}

// leadRun: n1 leads until it is killed, n2 after it, n3 believes it meanwhile.
func leadRun() Run {
	line := func(at int, primary bool, ballot string) string {
		return fmt.Sprintf("time=2026-01-02T03:04:%02d.000Z msg=role primary=%v ballot=%s\n", at,
			primary, ballot)
	}
	return Run{
		Started: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
		History: &history.History{},
		Logs: []NodeLog{
			{Node: "n1", Text: line(5, false, "-") + line(6, true, "1") + line(6, true, "1") +
				"=== ordeal: start 2 of n1 at 2026-01-02T03:04:20.000Z: x\n"},
			{Node: "n2", Text: "no time\n" + line(12, true, "2")},
			{Node: "n3", Text: line(8, true, "3") + line(15, true, "4") + line(16, false, "4")},
		},
		Faults: []nemesis.FaultRecord{
			{Step: nemesis.Step{Fault: "kill"}, Nodes: []nemesis.Node{"n2"}, Start: 7e9, End: 9e9},
			{Step: nemesis.Step{Fault: "kill"}, Nodes: []nemesis.Node{"n1"}, Start: 10e9, End: 20e9},
		},
	}
}

// TestLeads: who believed to lead, and until when, is read from the logs.
func TestLeads(t *testing.T) {
	var got []string
	b := bands{leads: leads(leadRun())}
	for _, l := range b.leads {
		got = append(got, fmt.Sprintf("%s, %s to %s", l.told(), at(l.start), at(l.end)))
	}
	want := []string{
		"n1 leads, ballot 1, 6.000 s to 10.000 s", "n3 leads, ballot 3, 8.000 s to 15.000 s",
		"n2 leads, ballot 2, 12.000 s to the end", "n3 leads, ballot 4, 15.000 s to 16.000 s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, test := range []struct {
		call, back int64
		want       string
	}{
		{1e9, 2e9, "Nobody said that it leads then."},
		{7e9, 7.5e9, "n1 (ballot 1) led."},
		{7e9, 7.99e9, "n1 (ballot 1) and n3 (ballot 3) believed to lead at the same time."},
		{9e9, 9.5e9, "n1 (ballot 1) and n3 (ballot 3) believed to lead at the same time."},
		{9e9, -1, "n1 (ballot 1) and n3 (ballot 3) believed to lead at the same time."},
		{9e9, 13e9, "n1 (ballot 1), then n3 (ballot 3), then n2 (ballot 2) led."},
		{20e9, 21e9, "n2 (ballot 2) led."},
	} {
		if got := b.leaders(check.Op{Call: test.call, Return: test.back}); got != test.want {
			t.Errorf("from %d to %d: %s, want %s", test.call, test.back, got, test.want)
		}
	}
}

// TestSimulatedLeads: the same from the logs of simulated nodes, which have no dates.
func TestSimulatedLeads(t *testing.T) {
	log := "37.7ms starts, epoch 1, records 0, checkpoint of 0 bytes, damaged false\n" +
		"630.6ms msg=role role=leader primary=true leader=\"n4\" ballot=1.n4.1\n" +
		"1m4.3s killed\n1m5s msg=role role=leader primary=true leader=\"n4\" ballot=2.n4.1\n" +
		"1m6s starts, epoch 2, records 9, checkpoint of 0 bytes, damaged false\n" +
		"fast primary=true\n7 primary=true\n-5s primary=true\n"
	var got []string
	for _, l := range leads(Run{Logs: []NodeLog{{Node: "n4", Text: log}}}) {
		got = append(got, fmt.Sprintf("%s, %s to %s", l.told(), at(l.start), at(l.end)))
	}
	want := []string{
		"n4 leads, ballot 1.n4.1, 0.631 s to 64.300 s", "n4 leads, ballot 2.n4.1, 65.000 s to 66.000 s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCutOffBeforeKilled: who is cut off first and killed later believes to lead until then.
func TestCutOffBeforeKilled(t *testing.T) {
	step := nemesis.Step{Fault: "isolate-kill", For: 10e9}
	for after, want := range map[string]history.Time{"": 8e9, "2s": 9e9, "9s": 12e9} {
		step.Params = map[string]string{"after": after}
		f := nemesis.FaultRecord{Step: step, Nodes: []nemesis.Node{"n1"}, Start: 7e9, End: 20e9}
		if got := killed([]nemesis.FaultRecord{f}, "n1", 1e9, 30e9); got != want {
			t.Errorf("after %q: at %s, want %s", after, at(got), at(want))
		}
	}
}

// TestErrors: errors that differ in numbers only are one class.
func TestErrors(t *testing.T) {
	h := &history.History{}
	add := func(kind history.Type, text string) {
		i := int64(len(h.Ops))
		h.Ops = append(h.Ops, history.Operation{
			Index: i, Call: history.Time(i) * ms1, Ended: history.Time(i)*ms1 + 1, F: "read", Type: kind,
			Error: text,
		})
	}
	add(history.OK, "")
	add(history.Fail, "127.0.0.1:81 refused")
	add(history.Fail, "127.0.0.2:7 refused")
	add(history.Info, "timeout")
	add(history.Fail, "timeout")
	rows, more := errorRows(h, newBands([]history.Window{{Start: 2 * ms1, End: 3 * ms1}}))
	var got []string
	for _, r := range rows {
		got = append(got, strings.Join([]string{r.Text, r.Outcome, r.Count, r.Under, r.First}, "; "))
	}
	want := []string{
		"timeout; unknown outcome; 1; all; 0.003 s",
		"127.0.0.1:81 refused; failed; 2; 1 (50 %); 0.001 s", "timeout; failed; 1; none; 0.004 s",
	}
	if !slices.Equal(got, want) || more != 0 {
		t.Errorf("got %q and %d more, want %q", got, more, want)
	}
}

// TestKeys: the keys with a verdict of their own, the worst first, also from a stored
// result, whose details have lost their types.
func TestKeys(t *testing.T) {
	r := Run{History: newHistory(t)}
	for i, k := range []history.Key{"a", "b", "b", "c", "d"} {
		r.History.Ops = append(r.History.Ops, history.Operation{
			Index: int64(i), Key: k, Type: history.OK,
		})
	}
	r.Result = check.Result{Name: "x", Parts: []check.Result{{
		Name: "linearizable", Verdict: check.Invalid,
		Details: map[string]any{
			"keys": 4, "decided": 3, "invalid": []string{"c"},
			"undecided": []any{map[string]any{"key": "d", "operations": 1}},
		},
	}}}
	rows, more := keyRows(r)
	var got []string
	for _, row := range rows {
		got = append(got, row.Key+" "+row.Verdict+" "+row.Ops)
	}
	want := []string{"c invalid 1", "d unknown 1", "b valid 2", "a valid 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := tellKeys(rows, more); got != "4 keys: 1 invalid (c), 1 unknown, 2 valid" {
		t.Errorf("the keys are told as %s", got)
	}
	if rows, _ := keyRows(Run{History: r.History}); rows != nil {
		t.Errorf("nobody judged, but there is %v", rows)
	}
}

// TestClocks: what was measured of clocks, in the order of time.
func TestClocks(t *testing.T) {
	got := clocksOf([]nemesis.FaultRecord{{
		Start: 1e9, End: 3e9,
		Evidence: nemesis.Evidence{Facts: map[string]int64{
			"wall ahead before ms n1": 1, "wall ahead ms n1": -2000, "wall gains ppm n1": 7,
		}},
		Healing: nemesis.Evidence{Facts: map[string]int64{"wall ahead ms n1": 0}},
	}})
	if len(got) != 1 || got[0].Name != "n1, wall" ||
		got[0].Readings() != "1.0 s: 0.001 s; 3.0 s: -2 s; 3.0 s: 0 s" {
		t.Errorf("%+v", got)
	}
}

// TestLateLead: who says only just after the last answer that it leads is drawn at the end, and
// the moment at which a fault killed, within its band.
func TestLateLead(t *testing.T) {
	step := func(id int64, fault, after string) nemesis.Step {
		return nemesis.Step{ID: id, Fault: fault, For: 10 * time.Second,
			Params: nemesis.Params{"after": after}}
	}
	kills := killsOf([]nemesis.FaultRecord{
		{Step: step(1, "isolate-restart", "2s"), Start: 1e9, End: 9e9, Injected: true},
		{Step: step(2, "isolate-kill", "2s"), Start: 1e9, End: 2e9, Injected: true}, // it ended before
		{Step: step(3, "isolate-kill", "2s"), Start: 1e9, End: 9e9},
		{Step: step(4, "kill", ""), Start: 1e9, End: 9e9, Injected: true},
	})
	if len(kills) != 1 || kills[0].at != 3e9 || kills[0].what != "restart" {
		t.Fatalf("kills: %+v", kills)
	}
	ops := []check.Op{{Call: 1e9, Return: 2e9}, {Call: 4e9, Return: 5e9}}
	a := newAxis(ops, []float64{50, 50}, 100, 900)
	b := newBands([]history.Window{{ID: 1, Fault: "isolate-restart", Start: 1e9, End: 9e9}})
	b.kills = kills
	b.leads = []lead{{node: "n1", end: 5e9 + 1}, {node: "n2", start: 5e9 + 10e6, end: history.Never},
		{node: "n3", start: 5e9 + 30e6, end: history.Never}}
	drawn, _, _ := b.across(a, 100, 900)
	if len(drawn) != 2 || drawn[1].Number != "1 restart" || drawn[1].X <= a.x(2e9) ||
		drawn[1].X >= a.x(4e9) {
		t.Errorf("bands: %+v", drawn)
	}
	leads, _ := b.leading(a, 100, 900, 0)
	if len(leads) != 2 || leads[1].Number != "n2 leads" || leads[1].X < a.x(4e9) {
		t.Errorf("leads: %+v", leads)
	}
}
