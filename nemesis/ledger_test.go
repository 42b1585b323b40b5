package nemesis

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

func openLedger(t *testing.T, path string) *Ledger {
	t.Helper()
	l, err := OpenLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// killStep is a fault for ledgers that tests write by hand.
var killStep = Step{ID: 1, At: time.Second, For: time.Second, Fault: "kill"}

func intent(at history.Time, id int64) Entry {
	step := killStep
	step.ID = id
	return Entry{Type: EntryIntent, At: at, Fault: id, Intent: &Intent{
		Step: step, Nodes: []Node{"n1"}, What: "kill n1", Undo: []string{"start n1"},
	}}
}

// TestLedgerTorn cuts a ledger at every byte, as a crash may, and goes on with it.
func TestLedgerTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	l := openLedger(t, path)
	p := ProcessRecord{Node: "n1", PID: 7, Marker: "run-1"}
	must(t, l.ProcessStarting("n1", "run-1"), l.ProcessStarted(p), l.Append(intent(5, 1)),
		l.FaultHealed(9, 1, Evidence{Bit: true, Why: "it runs"}))
	all := l.Entries()
	data, err := os.ReadFile(path)
	must(t, err)
	for cut := range len(data) + 1 {
		must(t, os.WriteFile(path, data[:cut], 0o644))
		lines := strings.Count(string(data[:cut]), "\n")
		whole := cut == 0 || data[cut-1] == '\n'
		entries, torn, err := ReadLedger(path)
		if err != nil || torn == whole || len(entries) != lines ||
			lines > 0 && !reflect.DeepEqual(entries, all[:lines]) {
			t.Fatalf("cut at %d: %+v, torn %t, %v", cut, entries, torn, err)
		}
		again, err := OpenLedger(path)
		must(t, err)
		must(t, again.ProcessEnded(p), again.Close())
		entries, torn, err = ReadLedger(path)
		if err != nil || torn || len(entries) != lines+1 {
			t.Fatalf("cut at %d, appended: %+v, torn %t, %v", cut, entries, torn, err)
		}
		if last := entries[lines]; last.Seq != int64(lines) || last.Type != EntryEnded {
			t.Fatalf("cut at %d, appended: %+v", cut, last)
		}
	}
}

// TestLedgerDamaged does not forgive damage that no crash makes.
func TestLedgerDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	must(t, os.WriteFile(path, []byte("{\"seq\":0,\"type\":\"plan\"}\n{{{\n"), 0o644))
	if _, err := OpenLedger(path); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("open: %v", err)
	}
	if _, _, err := ReadLedger(path); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("read: %v", err)
	}
	if _, err := LoadSummary(path + ".not"); err == nil {
		t.Error("a summary of a ledger that does not exist")
	}
}

// TestLedgerBroken refuses everything after a failed write: the runner must not
// act on what is not written down.
func TestLedgerBroken(t *testing.T) {
	l, err := OpenLedger(filepath.Join(t.TempDir(), "ledger.jsonl"))
	must(t, err)
	must(t, l.Close())
	first := l.Append(intent(1, 1))
	if first == nil || l.ProcessStarting("n1", "m") == nil {
		t.Fatalf("append to a closed file: %v", first)
	}
	bubble(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.env.Ledger = l
		_, err := Run(t.Context(), b.env, []Step{killStep})
		if err == nil || b.count("kill") != 0 {
			t.Errorf("error %v after\n%s", err, b.script())
		}
	})
}

func TestOutstanding(t *testing.T) {
	proc := func(pid int) *ProcessRecord {
		return &ProcessRecord{Node: "n1", PID: pid, Marker: "m"}
	}
	starting := Entry{Type: EntryStarting, Process: proc(0)}
	started := Entry{Type: EntryStarted, Process: proc(7)}
	ended := Entry{Type: EntryEnded, Process: proc(7)}
	healed := Entry{Type: EntryHealed, Fault: 1, Evidence: &Evidence{Bit: true}}
	failed := Entry{Type: EntryHealed, Fault: 1, Error: "no"}
	tests := []struct {
		name      string
		entries   []Entry
		faults    []int64
		processes []int
	}{
		{name: "nothing"},
		{"about to start", []Entry{starting}, nil, []int{0}},
		{"started", []Entry{starting, started}, nil, []int{7}},
		{"ended", []Entry{starting, started, ended}, nil, nil},
		{"came to nothing", []Entry{starting, {Type: EntryEnded, Process: proc(0)}}, nil, nil},
		{"restarted", []Entry{starting, started, ended, starting}, nil, []int{0}},
		{"pid used again", []Entry{started, ended, started}, nil, []int{7}},
		{"intent", []Entry{intent(1, 1)}, []int64{1}, nil},
		{"healed", []Entry{intent(1, 1), healed}, nil, nil},
		{"heal failed", []Entry{intent(1, 1), failed}, []int64{1}, nil},
		{"healed late", []Entry{intent(1, 1), failed, healed}, nil, nil},
		{"another", []Entry{intent(1, 1), intent(1, 2), healed, started}, []int64{2}, []int{7}},
	}
	for _, test := range tests {
		o := OutstandingIn(test.entries)
		var faults []int64
		for _, f := range o.Faults {
			faults = append(faults, f.ID)
		}
		var processes []int
		for _, p := range o.Processes {
			processes = append(processes, p.PID)
		}
		if !reflect.DeepEqual(faults, test.faults) ||
			!reflect.DeepEqual(processes, test.processes) {
			t.Errorf("%s: faults %v, processes %v", test.name, faults, processes)
		}
		if o.Empty() != (len(test.faults)+len(test.processes) == 0) {
			t.Errorf("%s: empty %t", test.name, o.Empty())
		}
	}
}

// TestLedgerConcurrent appends from many goroutines: no line is lost or mixed.
func TestLedgerConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	l := openLedger(t, path)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				p := ProcessRecord{Node: "n1", PID: 1 + i*10 + j, Marker: "m"}
				if err := l.ProcessStarted(p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	entries, torn, err := ReadLedger(path)
	if err != nil || torn || len(OutstandingIn(entries).Processes) != 80 {
		t.Errorf("%d entries, torn %t, %v", len(entries), torn, err)
	}
	for i, e := range entries {
		if e.Seq != int64(i) {
			t.Errorf("entry %d has seq %d", i, e.Seq)
		}
	}
}

// TestSummaryOfKilledController judges ledgers that end in the middle.
func TestSummaryOfKilledController(t *testing.T) {
	other := killStep
	other.ID = 2
	plan := Entry{Type: EntryPlan, Steps: []Step{killStep, other}}
	seen := &Evidence{Bit: true, Why: "gone"}
	done := Entry{Type: EntryDone, Fault: 1, Evidence: seen}
	healing := Entry{Type: EntryHealing, Fault: 1, Evidence: seen}
	healed := Entry{Type: EntryHealed, At: 9, Fault: 1, Evidence: seen}
	skipped := Entry{Type: EntrySkipped, Fault: 2, Error: "the test ended", Interrupted: true}
	tests := []struct {
		entries []Entry
		want    string
	}{
		{nil, ""},
		{[]Entry{{Type: EntryPlan}}, ""},
		{[]Entry{plan}, "kill #1 (not begun) has no record"},
		{[]Entry{plan, intent(3, 1)}, "kill #1 (kill n1) was not injected: the controller ended"},
		{[]Entry{plan, intent(3, 1), done}, "kill #1 (kill n1) was not healed: nobody tried"},
		{[]Entry{plan, intent(3, 1), done, healing, healed}, "kill #2 (not begun) has no record"},
		{[]Entry{plan, intent(3, 1), done, healing, healed, skipped}, ""},
	}
	for i, test := range tests {
		r := summarize(test.entries).Result()
		if test.want == "" && r.Verdict != check.Valid || !strings.Contains(r.Reason, test.want) ||
			test.want != "" && r.Verdict != check.Unknown {
			t.Errorf("%d: %v: %q, want %q", i, r.Verdict, r.Reason, test.want)
		}
	}
	last := summarize(tests[len(tests)-1].entries).Faults[0]
	if last.Start != 3 || last.End != 9 || !last.Bit || !last.Healed {
		t.Errorf("record %+v", last)
	}
	late := []Entry{plan, intent(3, 1), done, {Type: EntryHealed, Fault: 1, Evidence: seen}}
	if f := summarize(late).Faults[0]; f.End != history.Never || !f.Healed {
		t.Errorf("cleaned up by another: %+v", f)
	}
}

// What a cluster makes is outstanding until it is known to be gone, however often it was
// announced.
func TestLedgerResources(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	l, err := OpenLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	chain := Resource{Node: "n1", Kind: "chain", Name: "ORDEAL-1"}
	other := Resource{Kind: "namespaces", Name: "ordeal1"}
	for _, err := range []error{
		l.ResourceMaking(chain), l.ResourceMaking(other), l.ResourceMaking(chain),
		l.ResourceGone(other),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	left := l.Outstanding()
	if len(left.Resources) != 1 || left.Resources[0] != chain || left.Empty() {
		t.Errorf("outstanding: %+v", left)
	}
	if err := l.ResourceGone(chain); err != nil {
		t.Fatal(err)
	}
	entries, _, err := ReadLedger(path)
	if left := OutstandingIn(entries); err != nil || !left.Empty() {
		t.Errorf("outstanding at the end: %+v, %v", left, err)
	}
	if got := chain.String() + ", " + other.String(); got !=
		"chain ORDEAL-1 on n1, namespaces ordeal1" {
		t.Errorf("they are called %q", got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
