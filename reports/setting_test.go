package reports

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// settingOf is what is said of the faults, in one paragraph.
func settingOf(f *found, windows []history.Window) string {
	sc := newScene(Run{}, f, bands{windows: windows})
	text, faults := sc.meanwhile(windows)
	return setting{Before: text, Faults: faults}.String()
}

// twoOps are a write and the read that misses it.
func twoOps() found {
	return found{Counterexample: check.Counterexample{Ops: []check.Op{
		{Index: 1, Process: 1, F: "write", Call: 10e9, Return: 20e9, Missed: true},
		{Index: 2, Process: 2, F: "read", Call: 110e9, Return: 120e9, Culprit: true},
	}}}
}

// TestSetting names the faults that were there, and only those, with what came under them.
func TestSetting(t *testing.T) {
	f := twoOps()
	window := func(id int64, from, to history.Time) history.Window {
		return history.Window{ID: id, Fault: "pause", What: "n1", Start: from * 1e9, End: to * 1e9,
			Nodes: []string{"n1"}}
	}
	forever := history.Window{ID: 4, Fault: "pause", What: "n1", Start: 5e9, End: history.Never}
	const faults = "Faults, the nearest to it first: "
	for _, test := range []struct {
		windows []history.Window
		want    string
	}{
		{nil, "No fault was injected in the whole run."},
		{[]history.Window{window(4, 130, 140)},
			"No fault was needed: the first one began only at 130.000 s."},
		{[]history.Window{window(3, 0, 3), window(4, 0, 5), window(5, 130, 140)},
			"No fault was in force meanwhile; the last one before, fault 4, pause: n1, had ended 5 s " +
				"earlier (at 5.000 s)."},
		// What had just ended is told beside what was in force.
		{[]history.Window{window(3, 0, 4), window(4, 0, 9), window(5, 100, 115)}, faults +
			"fault 5, pause: n1, in force at process 2's read (100.000 s to 115.000 s); fault 4, " +
			"pause: n1, had ended 1 s before (0.000 s to 9.000 s)."},
		{[]history.Window{window(4, 100, 115)},
			"There was fault 4, pause: n1, in force at process 2's read (100.000 s to 115.000 s)."},
		{[]history.Window{forever},
			"There was fault 4, pause: n1, in force all along (5.000 s to the end)."},
		{[]history.Window{window(4, 5, 15)}, "There was fault 4, pause: n1, in force at process 1's " +
			"write, over before process 2's read (5.000 s to 15.000 s)."},
		{[]history.Window{window(1, 5, 112), window(2, 30, 111)}, faults +
			"fault 1, pause: n1, in force all along (5.000 s to 112.000 s); fault 2, pause: n1, in " +
			"force at process 2's read (30.000 s to 111.000 s)."},
		// What was over when the damage was seen may have done it.
		{[]history.Window{window(1, 25, 100)}, "No fault was in force at process 1's write and " +
			"process 2's read, but there was fault 1, pause: n1, in between (25.000 s to 100.000 s)."},
	} {
		if got := settingOf(&f, test.windows); got != test.want {
			t.Errorf("%v:\n got %q\nwant %q", test.windows, got, test.want)
		}
	}
}

// faultOf is a fault from one second to another.
func faultOf(id int64, fault string, from, to history.Time, nodes ...string) history.Window {
	return history.Window{ID: id, Fault: fault, Start: from * 1e9, End: to * 1e9, Nodes: nodes}
}

// TestWeigh: the faults that may have the most to do with it come first, and those that were in
// force are not among the rest.
func TestWeigh(t *testing.T) {
	const s = history.Time(1e9)
	window := faultOf
	link := func(from, to nemesis.Node) nemesis.Link { return nemesis.Link{From: from, To: to} }
	cut := func(id int64, links ...nemesis.Link) nemesis.FaultRecord {
		return nemesis.FaultRecord{Step: nemesis.Step{ID: id}, Cut: true, Links: links}
	}
	f := twoOps()
	b := bands{leads: []lead{{node: "n1", what: "term 1", start: 0, end: 50 * s},
		{node: "n3", what: "term 2", start: 50 * s, end: history.Never}}}
	// Process 1 talks to n2, and process 2 to n3.
	r := Run{Nodes: []string{"n1", "n2", "n3", "n4"}, Concurrency: 4, Faults: []nemesis.FaultRecord{
		cut(1, link("n2", "n3"), link("n3", "n2")), cut(2, link("n4", "n3"), link("n3", "n4")),
		cut(5, link("n2", "n3")),
	}}
	all := window(9, "messages", 5, 130)
	for _, test := range []struct {
		windows []history.Window
		want    []int64
		says    string
	}{
		{[]history.Window{all, window(1, "partition", 100, 130, "n2")}, []int64{1, 9},
			"it cut n3 (process 2's read) off from n2 (process 1's write)"},
		{[]history.Window{all, window(1, "flapping", 100, 130, "n3")}, []int64{1, 9},
			"n3 was asked for process 2's read and led at process 2's read"},
		{[]history.Window{all, window(5, "partition", 5, 130, "n2")}, []int64{5, 9},
			"nothing got from n2 (process 1's write) to n3 (process 2's read) directly"},
		{[]history.Window{all, window(3, "pause", 100, 130, "n4")}, []int64{9, 3},
			"elsewhere: fault 3, pause, in force at process 2's read (100.000 s to 130.000 s); n4 " +
				"answered none of these operations and did not lead then"},
		{[]history.Window{all, window(3, "pause", 5, 25, "n1")}, []int64{3, 9},
			"n1 led at process 1's write"},
		{[]history.Window{all, window(3, "pause", 30, 40, "n2")}, []int64{9, 3}, ", in between"},
		{[]history.Window{all, window(3, "kill", 30, 40, "n2")}, []int64{3, 9}, ", in between"},
		{[]history.Window{all, window(3, "kill-seq", 30, 40, "n4")}, []int64{3, 9}, ", in between"},
		{[]history.Window{all, window(3, "disk-torn", 30, 40, "n2")}, []int64{3, 9}, ", in between"},
		{[]history.Window{all, window(3, "disk-full", 30, 40, "n2")}, []int64{9, 3}, ", in between"},
		{[]history.Window{window(3, "kill", 30, 40, "n2"), window(4, "kill-all", 5, 15)},
			[]int64{4, 3}, "over before process 2's read"},
		{[]history.Window{window(3, "kill-all", 60, 70), window(4, "kill", 30, 40, "n2")},
			[]int64{4, 3}, ", in between"},
		// n3 was asked and led, n2 was only asked.
		{[]history.Window{window(1, "flapping", 5, 130, "n2"), window(4, "kill", 5, 130, "n3")},
			[]int64{4, 1}, ""},
		{[]history.Window{all, window(1, "partition", 30, 40, "n2")}, []int64{9, 1},
			"n2 was asked for process 1's write"},
		{[]history.Window{all, window(3, "kill", 30, 40, "n4")}, []int64{9, 3}, ", in between"},
		// What heals before the read has its part in it.
		{[]history.Window{all, window(2, "partition", 5, 100, "n4")}, []int64{2, 9},
			"over before process 2's read"},
		{[]history.Window{window(3, "clock-jump", 5, 130), all, window(4, "kill-all", 5, 130)},
			[]int64{4, 9, 3}, ""},
	} {
		sc := newScene(r, &f, b)
		var got []int64
		text := ""
		for _, w := range sc.weigh(test.windows) {
			got = append(got, w.ID)
			text += sc.tell(w) + "\n"
		}
		if !slices.Equal(got, test.want) || !strings.Contains(text, test.says) {
			t.Errorf("%v: got %v, want %v with %q in\n%s", test.windows, got, test.want, test.says, text)
		}
	}
}

// TestLately: what ended lately is told, and longer at the node of an act.
func TestLately(t *testing.T) {
	f := twoOps() // from 10 s on, at n2 and n3
	sc := newScene(Run{Nodes: []string{"n1", "n2", "n3", "n4"}, Concurrency: 4}, &f, bands{})
	window := func(id int64, end history.Time, node string) history.Window {
		return faultOf(id, "pause", 0, end, node)
	}
	for _, test := range []struct {
		windows []history.Window
		want    []int64
	}{
		{[]history.Window{window(1, 7, "n4"), window(2, 6, "n3"), window(3, 4, "n3")}, []int64{2}},
		{[]history.Window{window(1, 7, "n2"), window(2, 8, "n4"), window(3, 9, "n1")}, []int64{3, 2}},
		{[]history.Window{window(1, 10, "n2"), window(2, 30, "n2")}, nil},
	} {
		var got []int64
		for _, w := range sc.before(test.windows) {
			got = append(got, w.ID)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%v: got %v, want %v", test.windows, got, test.want)
		}
	}
}

// TestAlone: that a node answered which was cut off from all others all the time is told, and
// that an answer came just when a time limit had ended.
func TestAlone(t *testing.T) {
	f := twoOps()
	for i := range f.Ops {
		f.Ops[i].Type = "ok"
	}
	link := func(from, to nemesis.Node) nemesis.Link { return nemesis.Link{From: from, To: to} }
	rec := nemesis.FaultRecord{Step: nemesis.Step{ID: 1}, Cut: true, Injected: true,
		Links: []nemesis.Link{link("n2", "n1"), link("n2", "n3"), link("n1", "n2"), link("n3", "n2")}}
	const want = "n2 answered process 1's write while all its links to others were cut"
	for _, test := range []struct {
		fault  string
		links  int
		from   history.Time
		heal   string
		wanted bool
	}{
		{"partition", 4, 5, "", true}, {"flapping", 4, 5, "", false}, {"partition", 3, 5, "", false},
		{"partition", 4, 10, "", false}, {"partition", 4, 5, "again", false},
	} {
		r := Run{Nodes: []string{"n1", "n2", "n3"}, Concurrency: 3, Faults: []nemesis.FaultRecord{rec}}
		r.Faults[0].Links, r.Faults[0].HealError = rec.Links[:test.links], test.heal
		windows := []history.Window{faultOf(1, test.fault, test.from, 50, "n2")}
		got := newSetting(r, &f, bands{windows: windows}).String()
		if strings.Contains(got, want) != test.wanted {
			t.Errorf("%v: got %s", test, got)
		}
	}
	for limit, wanted := range map[time.Duration]bool{
		10 * time.Second: true, 9800 * time.Millisecond: true, 9 * time.Second: false,
		10100 * time.Millisecond: false, 0: false,
	} {
		got := newSetting(Run{RequestTimeout: limit}, &f, bands{}).String()
		if strings.Contains(got, "Process 1's write was answered after 10000 ms, just when the "+
			"time limit of ") != wanted {
			t.Errorf("%v: got %s", limit, got)
		}
	}
}

// TestOutOfTime: each act that was answered just in time has a sentence of its own.
func TestOutOfTime(t *testing.T) {
	op := func(back int64) check.Op { return check.Op{Type: "ok", Call: 1e9, Return: back} }
	s := &scene{limits: []time.Duration{300 * time.Millisecond}, acts: []act{
		{name: "process 1's write", op: op(1.301e9)}, {name: "process 2's read", op: op(1.01e9)},
		{name: "process 3's cas", op: op(1.308e9)},
	}}
	const want = "Process 1's write was answered after 301 ms, just when the time limit of 300 ms " +
		"had ended. Process 3's cas was answered after 308 ms, just when the time limit of 300 ms " +
		"had ended."
	if got := s.outOfTime(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTheirs: a process that did several things is named once.
func TestTheirs(t *testing.T) {
	got := theirs([]string{"process 1's write", "process 2's write", "process 2's read", "T1"})
	if want := "process 1's write, process 2's write and read and T1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRelated: how counter-examples lie to the faults, with no more than is known.
func TestRelated(t *testing.T) {
	at := func(call, back int64) found {
		return found{Counterexample: check.Counterexample{Ops: []check.Op{
			{F: "read", Call: call * 1e9, Return: back * 1e9, Culprit: true},
		}}}
	}
	h := newHistory(t, event(0, 0, history.Invoke, "write", history.Int(1)),
		event(1e9, 0, history.OK, "write", history.Int(1)))
	windows := []history.Window{faultOf(1, "pause", 5, 20), faultOf(2, "messages", 8, 20)}
	const after = "came to light after the first fault began (5.000 s); 1 of 1 operations had " +
		"succeeded before."
	for _, test := range []struct {
		all  []found
		want string
	}{
		{[]found{at(10, 11)}, ""},
		{[]found{at(10, 11), at(6, 7)}, "In force at both counter-examples on this " +
			"page: pause. Both " + after},
		{[]found{at(10, 11), at(21, 22), at(10, 11)}, "At 1 of the 3 counter-examples on this page no " +
			"fault was in force, from the first operation to the last. All 3 " + after},
		{[]found{at(6, 7), at(20, 21), at(20, 21)}, "In force at all 3 counter-examples on this " +
			"page: pause. All 3 " + after},
		{[]found{at(10, 11), at(1, 3)}, "At 1 of the 2 counter-examples on this page no fault was " +
			"in force, from the first operation to the last."},
		{[]found{at(21, 22), at(23, 24)}, "At none of the 2 counter-examples on this page was any " +
			"fault in force, from its first operation to its last. Both " + after},
	} {
		if got := related(Run{History: h}, test.all, bands{windows: windows}); got != test.want {
			t.Errorf("%v:\n got %q\nwant %q", test.all, got, test.want)
		}
	}
	if got := related(Run{History: h}, []found{at(1, 2), at(1, 2)}, bands{}); got != "" {
		t.Errorf("without faults: %q", got)
	}
}

// TestManyFaults: all that were in force are told, as far as they are not too many.
func TestManyFaults(t *testing.T) {
	f := twoOps()
	var many []history.Window
	for i := range history.Time(7) {
		many = append(many, faultOf(int64(i), "messages", 30+i, 40+i),
			faultOf(int64(10+i), "pause", 112, 130, "n4"))
	}
	got := settingOf(&f, many)
	if n := strings.Count(got, "in force at process 2's read"); n != 5 ||
		!strings.Contains(got, "; and 9 more.") {
		t.Errorf("not the five that were in force: %s", got)
	}
}

// TestScene tells who talked to whom, and how leaders changed.
func TestScene(t *testing.T) {
	f := twoOps()
	b := bands{leads: []lead{{node: "n1", what: "term 1", end: 50e9},
		{node: "n3", what: "term 2", start: 50e9, end: history.Never}}}
	got := newSetting(Run{Nodes: []string{"n1", "n2", "n3"}, Concurrency: 3}, &f, b).String()
	const want = "Process 1 is a client of n2 and process 2 of n3. No fault was injected in the " +
		"whole run. At process 1's write n1 (term 1) led; the leader changed before process 2's read. " +
		"n3 (term 2) led."
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b.leads[0].end, b.leads = history.Never, b.leads[:1]
	if got := newSetting(Run{}, &f, b).String(); strings.Contains(got, "changed") ||
		!strings.HasSuffix(got, "n1 (term 1) led.") {
		t.Errorf("one leader: %s", got)
	}
}

// TestFirst: where nothing worked, what worked before is not part of it.
func TestFirst(t *testing.T) {
	f := found{checker: "availability", Counterexample: check.Counterexample{Ops: []check.Op{
		{Call: 1e9, Return: 2e9}, {Call: 10e9, Return: 12e9, Culprit: true},
		{Call: 20e9, Return: 22e9, Culprit: true},
	}}}
	early := history.Window{Fault: "pause", Start: 1e9, End: 5e9}
	got := settingOf(&f, []history.Window{early})
	if !strings.HasPrefix(got, "No fault was in force meanwhile") {
		t.Errorf("got %q", got)
	}
	early.End = 15e9
	if got := settingOf(&f, []history.Window{early}); got !=
		"At that time there was fault 0, pause (1.000 s to 15.000 s)." {
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

// TestRoamingScene: the node of each operation is named where clients go from node to node.
func TestRoamingScene(t *testing.T) {
	f := twoOps()
	r := Run{Nodes: []string{"n1", "n2", "n3"}, Concurrency: 3, Roaming: true}
	if got := newSetting(r, &f, bands{}).String(); got != "No fault was injected in the whole run." {
		t.Errorf("nodes that nobody knows: %s", got)
	}
	r.Visited = map[int64]string{1: "n3", 2: "n1"}
	f.visited = r.Visited
	const want = "n3 was asked for process 1's write; n1 was asked for process 2's read. No " +
		"fault was injected in the whole run."
	if got := newSetting(r, &f, bands{}).String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := tell(r, &f.Ops[1], f.placed(&f.Ops[1]), clock{}).Process; got != "process 2 at n1" {
		t.Errorf("in the table: %s", got)
	}
	if got := f.located(&f.Ops[1]); !strings.HasSuffix(got[0], " at n1") {
		t.Errorf("at its bar: %q", got)
	}
}

// TestByGravity: what came before any fault is told first, then what was lost.
func TestByGravity(t *testing.T) {
	at := func(back int64, why string, lost bool) found {
		return found{Counterexample: check.Counterexample{Why: why, Lost: lost,
			Ops: []check.Op{{Call: 1, Return: back}}}}
	}
	all := func() []found {
		return []found{at(9e6, "late", false), at(9e6, "lost", true), at(-1, "open", false),
			at(2e6, "early", false)}
	}
	for _, test := range []struct {
		faults bool
		want   string
	}{{true, "early lost late open "}, {false, "lost late open early "}} {
		h := newHistory(t, event(1*ms1, 0, history.Invoke, "write", history.Int(1)))
		if test.faults {
			h = staleRead(t) // its fault begins after 3 ms
		}
		var got string
		for _, f := range byGravity(Run{History: h}, all()) {
			got += f.Why + " "
		}
		if got != test.want {
			t.Errorf("faults %v: got %q, want %q", test.faults, got, test.want)
		}
	}
	stuck := found{checker: "liveness"}
	if m := meaning(check.Invalid, &stuck); strings.Contains(m, "saw what") {
		t.Errorf("what nobody could see is called seen: %q", m)
	}
}

// TestFolded: of a long list the middle is left out.
func TestFolded(t *testing.T) {
	long := "[0" + strings.Repeat(",10", 28) + ",29]"
	for out, want := range map[string]string{
		"[1,2,3]": "read() = [1,2,3]",
		long: "read() = [0,10,10,10,10,10,… 6 more …,10,10,10,10,10,10,10,10,10,10,10,10,10,10,10," +
			"10,10,29]",
	} {
		if got := folded(&check.Op{Out: out, Describe: "read() = " + out}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
