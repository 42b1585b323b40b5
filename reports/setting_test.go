package reports

import (
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// settingOf is what is said of the faults, in one paragraph.
func settingOf(f *found, windows []history.Window) string {
	text, faults := meanwhile(f, windows)
	return setting{Before: text, Faults: faults}.String()
}

// TestSetting names the faults that were there, and only those.
func TestSetting(t *testing.T) {
	f := found{Counterexample: check.Counterexample{Ops: []check.Op{
		{Index: 1, Call: 10e9, Return: 20e9}, {Index: 2, Call: 110e9, Return: 120e9, Culprit: true},
	}}}
	window := func(id int64, from, to history.Time) history.Window {
		return history.Window{ID: id, Fault: "kill", What: "n1", Start: from * 1e9, End: to * 1e9}
	}
	forever := history.Window{ID: 4, Fault: "kill", What: "n1", Start: 5e9, End: history.Never}
	const between = "Between the first and the last of these operations there "
	for _, test := range []struct {
		windows []history.Window
		want    string
	}{
		{nil, "There was no fault at that time."},
		{[]history.Window{window(4, 130, 140)}, "There was no fault at that time."},
		{[]history.Window{window(3, 0, 3), window(4, 0, 5), window(5, 130, 140)},
			"There was no fault at that time; the last one before was fault 4, kill: n1, until 5.000 s."},
		{[]history.Window{window(4, 100, 115)}, "At that time there was fault 4, kill: n1."},
		{[]history.Window{forever}, "At that time there was fault 4, kill: n1."},
		{[]history.Window{window(4, 5, 15)},
			between + "was fault 4, kill: n1, until 15.000 s."},
		{[]history.Window{window(1, 5, 112), window(2, 30, 111)},
			"At that time there were: fault 2, kill: n1; fault 1, kill: n1."},
		// What was over when the damage was seen may have done it.
		{[]history.Window{window(1, 15, 30), window(2, 25, 100), window(3, 105, 130)}, between +
			"were: fault 1, kill: n1, until 30.000 s; fault 2, kill: n1, from 25.000 s to 100.000 s; " +
			"fault 3, kill: n1, from 105.000 s."},
	} {
		if got := settingOf(&f, test.windows); got != test.want {
			t.Errorf("%v:\n got %q\nwant %q", test.windows, got, test.want)
		}
	}
}

// TestForemost: of many faults those are told that an operation came under, then those that
// ended last; in the order of time, but what went on while others came and went after them.
func TestForemost(t *testing.T) {
	f := found{Counterexample: check.Counterexample{Ops: []check.Op{
		{Index: 1, Call: 1e9, Return: -1}, {Index: 2, Call: 60e9, Return: 61e9, Culprit: true},
	}}, answered: map[int64]history.Time{1: 3e9}}
	var windows []history.Window
	for i, w := range [][2]history.Time{{2, 5}, {4, 20}, {6, 40}, {7, 30}, {8, 50}} {
		windows = append(windows, history.Window{ID: int64(i), Fault: "pause", Start: w[0] * 1e9,
			End: w[1] * 1e9})
	}
	const want = "Between the first and the last of these operations there were: " +
		"fault 0, pause, until 5.000 s; fault 2, pause, from 6.000 s to 40.000 s; " +
		"fault 4, pause, from 8.000 s to 50.000 s; and 2 more."
	if got := settingOf(&f, windows); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	windows[4].Start = 5e9
	if got := settingOf(&f, windows); !strings.Contains(got,
		"fault 0, pause, until 5.000 s; fault 2, pause, from 6.000 s to 40.000 s; fault 4") {
		t.Errorf("what went on meanwhile is not the last: %s", got)
	}
}

// TestFirst: where nothing worked, what worked before is not part of it.
func TestFirst(t *testing.T) {
	f := found{checker: "availability", Counterexample: check.Counterexample{Ops: []check.Op{
		{Call: 1e9, Return: 2e9}, {Call: 10e9, Return: 12e9, Culprit: true},
		{Call: 20e9, Return: 22e9, Culprit: true},
	}}}
	early := history.Window{Fault: "pause", Start: 1e9, End: 5e9}
	if got := settingOf(&f, []history.Window{early}); !strings.HasPrefix(got, "There was no fault") {
		t.Errorf("got %q", got)
	}
}

// TestBeforeFaults: what did not work before the first fault either is not its doing.
func TestBeforeFaults(t *testing.T) {
	f := history.Fail
	for types, want := range map[[3]history.Type]string{
		{f, history.OK, history.OK}: "",
		{f, f, history.OK}: "No fault is needed for that: of the 3 operations before the first " +
			"fault 2 did not succeed, either.",
	} {
		var events []history.Event
		for i, outcome := range append(types[:], f, f, f) {
			call := event(history.Time(i)*2e9, history.Process(i), history.Invoke, "write", history.Int(1))
			end := call
			end.Time, end.Type = call.Time+1e9, outcome
			events = append(events, call, end)
		}
		windows := []history.Window{{Start: 8e9, End: 9e9}, {Start: 5500e6, End: 6e9}}
		if got := beforeFaults(newHistory(t, events...), windows); got != want {
			t.Errorf("%v: got %q, want %q", types, got, want)
		}
		if got := beforeFaults(newHistory(t, events...), nil); got != "" {
			t.Errorf("without faults: %q", got)
		}
	}
}

// TestRivals: that two led at once is told even if it was over when it was seen.
func TestRivals(t *testing.T) {
	b := bands{leads: leads(leadRun())}
	for _, test := range []struct {
		from, to int64
		want     string
	}{
		{1e9, 7e9, ""}, {21e9, 22e9, ""},
		{1e9, 9e9, "From 8.000 s to 10.000 s n1 (ballot 1) and n3 (ballot 3) believed to lead at the " +
			"same time."},
		{1e9, 20e9, "From 15.000 s to 16.000 s n2 (ballot 2) and n3 (ballot 4) believed to lead at " +
			"the same time."},
	} {
		if got := b.rivals(test.from, test.to); got != test.want {
			t.Errorf("%d to %d: got %q, want %q", test.from, test.to, got, test.want)
		}
	}
	short := bands{leads: []lead{{node: "n1", start: 1e9, end: 2e9}, {node: "n2", start: 2e9 - 1,
		end: 5e9}}}
	if got := short.rivals(0, 9e9); got != "" {
		t.Errorf("one handed over to the other: %q", got)
	}
	if got := short.leaders(check.Op{Call: 2e9 - 2, Return: 2e9}); got != "n1, then n2 led." {
		t.Errorf("one handed over to the other: %q", got)
	}
}
