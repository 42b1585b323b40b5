package txn

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
)

// parse reads transactions, one on a line: "p1 0..9 ax1 rx=1,2 ry=" is of process 1, called
// at 0 and returned at 9, and appended 1 to x, read [1 2] from x and nothing from y. The
// return "fail" or "info" says that it did not or nobody knows.
func parse(t *testing.T, text string) *history.History {
	t.Helper()
	h := &history.History{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		op := history.Operation{Index: int64(len(h.Ops)), F: "txn", Type: history.OK}
		p, _ := strconv.Atoi(words[0][1:])
		op.Process = history.Process(p)
		from, to, _ := strings.Cut(words[1], "..")
		call, _ := strconv.Atoi(from)
		op.Call = history.Time(call)
		switch ret, err := strconv.Atoi(to); {
		case to == "fail":
			op.Type, op.Return = history.Fail, op.Call+1
		case to == "info":
			op.Type, op.Return = history.Info, history.Never
		case err != nil:
			t.Fatalf("%q: %v", line, err)
		default:
			op.Return = history.Time(ret)
		}
		in, out := steps(t, words[2:])
		op.In = history.Steps(in...)
		if op.Type == history.OK {
			op.Out = history.Steps(out...)
		}
		h.Ops = append(h.Ops, op)
	}
	return h
}

func steps(t *testing.T, words []string) (in, out []history.Step) {
	t.Helper()
	for _, w := range words {
		s := history.Step{F: history.StepRead, Key: history.Key(w[1:2])}
		switch w[0] {
		case 'a':
			n, err := strconv.Atoi(w[2:])
			if err != nil {
				t.Fatal(err)
			}
			s.F, s.Value = history.StepAppend, history.Int(int64(n))
			in, out = append(in, s), append(out, s)
		case 'r':
			in = append(in, s)
			v, err := history.ParseValue([]byte("[" + w[3:] + "]"))
			if err != nil {
				t.Fatal(err)
			}
			s.Value = v
			out = append(out, s)
		default:
			t.Fatalf("%q is no step", w)
		}
	}
	return in, out
}

// literal is a history with what it shows.
type literal struct {
	name, text string
	// types are all anomalies, refuted the weakest levels that are refuted.
	types   string
	refuted string
}

// anomalous are histories that show an anomaly, and what it brings with it, and no other.
func anomalous() []literal {
	return []literal{
		{"unexpected", `
			p0 0..1 ax1
			p1 2..3 rx=1,9`, "unexpected", "read-uncommitted"},
		{"duplicate", `
			p0 0..1 ax1
			p1 2..3 rx=1,1`, "duplicate-elements", "read-uncommitted"},
		{"incompatible", `
			p0 0..9 ax1
			p1 0..9 ax2
			p2 1..8 rx=1,2
			p3 1..8 rx=2`, "incompatible-order", "read-committed"},
		{"incompatible, and which came later is not known", `
			p0 0..9 ax1 ay1
			p1 0..9 ax2 ay2
			p2 0..9 rx=1
			p3 0..9 rx=2
			p4 10..11 ry=2,1`, "incompatible-order", "read-committed"},
		{"aborted read", `
			p0 0..fail ax1
			p1 2..3 rx=1`, "G1a", "read-committed"},
		{"append to what was aborted", `
			p0 0..fail ax1
			p1 0..9 ax2
			p2 0..9 rx=1,2`, "G1a dirty-update", "read-committed"},
		{"intermediate read", `
			p0 0..9 ax1 ax2
			p1 1..8 rx=1
			p2 10..11 rx=1,2`, "G1b", "read-committed"},
		{"the first append is missing", `
			p0 0..1 ax1 ax2
			p1 2..3 rx=2`, "torn", "read-uncommitted"},
		{"a transaction's appends change places", `
			p0 0..1 ax1 ax2
			p1 2..3 rx=2,1`, "G1b torn", "read-uncommitted"},
		{"from the future", `
			p0 0..1 rx=1 ax1`, "future-read", "read-committed"},
		{"does not see its own append", `
			p0 0..1 ax1 rx=`, "internal", "read-atomic"},
		{"changes under its feet", `
			p0 0..9 ax1
			p1 0..9 rx= rx=1
			p2 10..11 rx=1`, "internal G-single-item", "read-atomic"},
		{"sees half, then the other half not", `
			p0 0..9 ax1 ay1
			p1 0..9 rx=1 ry=
			p2 10..11 ry=1`, "fractured-view G-single-item", "monotonic-atomic-view"},
		{"misses half, then sees the other", `
			p0 0..9 ax1 ay1
			p1 0..9 rx= ry=1
			p2 10..11 rx=1`, "fractured-read G-single-item", "read-atomic"},
		{"lost update", `
			p0 0..9 rx= ax1
			p1 0..9 rx= ax2
			p2 10..11 rx=1,2`, "lost-update G-single-item", "causal"},
		{"lost update that nobody saw", `
			p0 0..9 rx= ax1
			p1 0..9 rx= ax2`, "lost-update G2-item", "causal"},
		{"lost append", `
			p0 0..1 ax1
			p1 0..1 ax2
			p2 2..3 rx=2`, "lost G-single-item-realtime", "strong-snapshot-isolation"},
	}
}

// contradictory are histories with lists that do not fit each other.
func contradictory() []literal {
	return []literal{
		{"the first append is missing in a list that is not the longest", `
			p0 0..1 ax1 ax2
			p1 0..1 ax3
			p2 2..3 rx=2
			p3 2..3 rx=3,1,2`, "torn incompatible-order", "read-uncommitted"},
		{"two appends of a transaction that were never there together", `
			p0 0..1 ax1 ax2
			p1 0..9 ax3
			p2 2..9 rx=1
			p3 2..9 rx=3,2`, "torn incompatible-order G1b", "read-uncommitted"},
		{"of three lists each contradicts the others' writes", `
			p0 0..9 ax1 ay1 az2
			p1 0..9 ax2 ay2
			p2 0..9 ax3 az1
			p3 1..8 rx=1
			p4 1..8 rx=2,3
			p5 1..8 ry=1,2
			p6 1..8 rz=1,2`, "G0 incompatible-order", "read-uncommitted"},
	}
}

// cyclic are histories that show one cycle of dependencies through data.
func cyclic() []literal {
	return []literal{
		{"G0", `
			p0 0..9 ax1 ay1
			p1 0..9 ax2 ay2
			p2 10..11 rx=1,2 ry=2,1`, "G0", "read-uncommitted"},
		{"G1c", `
			p0 0..9 ax1 ry=2
			p1 0..9 rx=1 ay2`, "G1c", "read-committed"},
		{"G-single, of different depths", `
			p0 0..9 ax1
			p1 0..9 rx=1 ay1
			p2 0..9 ry=1 rx=
			p3 10..11 rx=1`, "G-single-item", "causal"},
		{"long fork", `
			p0 0..9 ax1
			p1 0..9 ay1
			p2 0..9 rx=1 ry=
			p3 0..9 rx= ry=1
			p4 10..11 rx=1 ry=1`, "G-nonadjacent-item", "repeatable-read snapshot-isolation"},
		{"write skew", `
			p0 0..9 rx= ay1
			p1 0..9 ry= ax1
			p2 10..11 rx=1 ry=1`, "G2-item", "repeatable-read"},
	}
}

// ordered are histories that show one cycle with the order of sessions or of time.
func ordered() []literal {
	return []literal{
		{"G0, in sessions", `
			p0 0..1 ax2
			p0 5..6 ay1
			p1 0..1 ay2
			p1 5..6 ax1
			p2 0..11 rx=1,2 ry=1,2`, "G0-process", "strong-session-snapshot-isolation"},
		{"G1c, in a session", `
			p0 0..1 rx=1
			p0 5..6 ax1`, "G1c-process", "strong-session-snapshot-isolation"},
		{"does not read its session's writes", `
			p0 0..1 ax1
			p0 2..3 rx=
			p1 4..5 rx=1`, "G-single-item-process", "strong-session-snapshot-isolation"},
		{"long fork, of which one half is in a session", `
			p1 0..1 ay1
			p1 2..3 rx=
			p0 0..9 ax1
			p2 0..9 rx=1 ry=
			p3 10..11 rx=1 ry=1`, "G-nonadjacent-item-process", "strong-session-snapshot-isolation"},
		{"write skew, in a session", `
			p0 0..1 ay1
			p0 2..3 rx=
			p1 0..9 ry= ax1
			p2 10..11 rx=1 ry=1`, "G2-item-process", "strong-session-serializable"},
		{"G0, in time", `
			p0 0..1 ax2
			p1 2..3 ax1
			p2 4..5 rx=1,2`, "G0-realtime", "strong-snapshot-isolation"},
		{"G1c, in time", `
			p0 0..1 rx=1
			p1 2..3 ax1`, "G1c-realtime", "strong-snapshot-isolation"},
		{"stale read", `
			p0 0..1 ax1
			p1 2..3 rx=
			p2 4..5 rx=1`, "G-single-item-realtime", "strong-snapshot-isolation"},
		{"long fork, of which one half is in time", `
			p0 0..9 ax1
			p1 0..1 ay1
			p2 0..9 rx=1 ry=
			p3 2..3 rx=
			p4 10..11 rx=1 ry=1`, "G-nonadjacent-item-realtime", "strong-snapshot-isolation"},
		{"the reader's anomaly", `
			p0 0..20 rx= ay1
			p1 0..1 ax1
			p2 2..3 ry=
			p3 21..22 rx=1 ry=1`, "G2-item-realtime", "strict-serializable"},
	}
}

// harmless are histories that look bad, but keep every level.
func harmless() []literal {
	return []literal{
		{"crashed, and seen much later", `
			p0 0..info ax1
			p1 2..3 rx=
			p2 90..91 rx=1`, "", ""},
		{"crashed, and never seen", `
			p0 0..info ax1 ay1
			p1 2..3 rx= ry=
			p2 90..91 rx= ry=`, "", ""},
		{"crashed, and nobody knows what it read", `
			p0 0..1 ax1
			p1 2..info rx= ay1
			p2 4..5 ry=1`, "", ""},
		{"a crashed session goes on", `
			p0 0..info ax1
			p0 2..3 rx=
			p1 4..5 rx=1`, "", ""},
		{"read before it was acknowledged", `
			p0 0..90 ax1
			p1 2..3 rx=1
			p2 4..5 rx=1`, "", ""},
		{"not yet read before it was acknowledged", `
			p0 0..90 ax1
			p1 2..3 rx=`, "", ""},
		{"touching in time is not after", `
			p0 0..5 ax1
			p1 5..6 rx=
			p2 7..8 rx=1`, "", ""},
		{"one transaction appends twice", `
			p0 0..1 ax1 ax2
			p1 2..3 rx=1,2`, "", ""},
		{"reads between its own appends", `
			p0 0..1 ax1 rx=1 ax2 rx=1,2
			p1 2..3 rx=1,2 ax3 rx=1,2,3`, "", ""},
		{"failed, and not seen", `
			p0 0..fail ax1
			p1 2..3 rx=`, "", ""},
		{"two elements that nobody read, in some order", `
			p0 0..1 ax1
			p1 2..3 rx=1 ax2
			p2 2..9 ax3`, "", ""},
		{"concurrent appends in the order against that of the calls", `
			p0 0..9 ax1
			p1 1..8 ax2
			p2 10..11 rx=2,1`, "", ""},
	}
}

// TestLiterals compares anomalies and levels of histories written by hand.
func TestLiterals(t *testing.T) {
	shown := map[Type]bool{}
	for _, l := range slices.Concat(anomalous(), contradictory(), cyclic(), ordered(), harmless()) {
		t.Run(l.name, func(t *testing.T) {
			h := parse(t, l.text)
			r, err := ListAppend(t.Context(), h, Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Fields(l.types)
			slices.Sort(want)
			var got []string
			for _, a := range slices.Sorted(maps.Keys(r.Counts)) {
				got = append(got, string(a))
				shown[a] = true
			}
			if !slices.Equal(got, want) {
				t.Errorf("found %v, want %v\n%v", got, want, r.Anomalies)
			}
			weakest := fmt.Sprint(r.Lattice.Weakest())
			if weakest != "["+l.refuted+"]" {
				t.Errorf("refuted %s, want [%s]", weakest, l.refuted)
			}
			checkAnomalies(t, h, r)
		})
	}
	for _, a := range Types() {
		if !shown[a] && a != CyclicVersions { // which only registers have
			t.Errorf("no history shows %s", a)
		}
	}
}

// TestRefusals: what is no such history has no verdict.
func TestRefusals(t *testing.T) {
	step := func(f, key string, v history.Value) history.Value {
		return history.List(history.List(history.Str(f), history.Str(key), v))
	}
	read := history.Operation{F: "txn", Type: history.OK, In: step("r", "x", history.Nil())}
	for _, c := range []struct {
		name string
		op   history.Operation
		want string
	}{
		{"another f", history.Operation{F: "read"}, "there is only txn"},
		{"no steps", history.Operation{F: "txn", In: history.Int(3)}, "want a list of [f, key, value]"},
		{"a strange step", history.Operation{F: "txn", In: history.Ints(3)}, "want [f, key, value]"},
		{"a write", history.Operation{F: "txn", In: step("w", "x", history.Int(1))}, "not \"w\""},
		{"without result", read, "there is none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &history.History{Ops: []history.Operation{c.op}}
			_, err := ListAppend(t.Context(), h, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	for _, c := range []struct{ name, text, want string }{
		{"appended twice", "p0 0..1 ax1\np1 0..1 ax1", "appended to x twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ListAppend(t.Context(), parse(t, c.text), Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	for _, out := range []history.Value{step("r", "y", history.Ints(1)), history.List(),
		step("r", "x", history.Int(1)), history.Int(1)} {
		op := read
		op.Out = out
		h := &history.History{Ops: []history.Operation{op}}
		if _, err := ListAppend(t.Context(), h, Options{}); err == nil {
			t.Errorf("accepted the result %s of %s", out, op.In)
		}
	}
}

// TestGroupsAreDatabases: what would be a violation within one group is none between two,
// and each group is judged.
func TestGroupsAreDatabases(t *testing.T) {
	h := parse(t, `
		p0 0..1 ax1
		p0 2..3 rx=
		p0 4..5 rx=1`)
	h.Ops[1].Key = "other"
	r, err := ListAppend(t.Context(), h, Options{})
	if err != nil || len(r.Counts) > 0 || r.Stats.Keys != 2 {
		t.Errorf("%v, %+v", err, r)
	}
	h = parse(t, `
		p0 0..1 rx=1
		p0 2..3 ay1
		p1 0..1 ry=1
		p1 2..3 ax1`)
	for i := range h.Ops { // every group has one of the two reads and one append
		h.Ops[i].Key = history.Key("g" + h.Ops[i].In.At(0).At(1).String())
	}
	r, err = ListAppend(t.Context(), h, Options{})
	if err != nil || r.Lattice[graph.StrongSessionSerializable] != graph.Holds {
		t.Errorf("sessions lead from one database to another: %v, %v", err, r.Anomalies)
	}
}

// TestElementsOfAllKinds: elements need not be integers, and are what they are.
func TestElementsOfAllKinds(t *testing.T) {
	values := []history.Value{history.Int(1), history.Str("1"), history.Int(-1 << 63),
		history.Float(1.5), history.Bool(true), history.Int(-1<<63 + 1)}
	h := &history.History{}
	for i, v := range values {
		op := history.Operation{Index: int64(i), F: "txn", Type: history.OK,
			Call: history.Time(2 * i), Return: history.Time(2*i + 1)}
		op.In = history.Steps(history.Step{F: history.StepAppend, Key: "x", Value: v})
		h.Ops = append(h.Ops, op)
	}
	read := history.Operation{Index: 9, F: "txn", Type: history.OK, Call: 90, Return: 91,
		In: history.Steps(history.Step{F: history.StepRead, Key: "x"})}
	read.Out = history.Steps(history.Step{F: history.StepRead, Key: "x",
		Value: history.List(slices.Clone(values)...)})
	h.Ops = append(h.Ops, read)
	r, err := ListAppend(t.Context(), h, Options{})
	if err != nil || len(r.Counts) > 0 || r.Stats.Versions != len(values) {
		t.Fatalf("%v, %+v", err, r)
	}
	values[0], values[1] = values[1], values[0]
	read.Out = history.Steps(history.Step{F: history.StepRead, Key: "x",
		Value: history.List(values...)})
	h.Ops[len(h.Ops)-1] = read
	r, err = ListAppend(t.Context(), h, Options{})
	if err != nil || r.Counts["G0-process"] != 1 {
		t.Fatalf("%v, %+v", err, r)
	}
}

// TestEntangled: two transactions that do not see each other cannot both append to one list
// under snapshot isolation, whatever came first; but nobody read what came first.
func TestEntangled(t *testing.T) {
	skew := `
		p0 0..9 ry= az1 ax1
		p1 0..9 rz= ay1 %s
		p2 10..11 ry=1 rz=1`
	for append, want := range map[string]graph.Status{
		"ax2": graph.Undecided, // to the same list
		"aw2": graph.Holds,
	} {
		r, err := ListAppend(t.Context(), parse(t, fmt.Sprintf(skew, append)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if l := r.Lattice; l[graph.SnapshotIsolation] != want || l[graph.Causal] != want ||
			l[graph.Serializable] != graph.Refuted || r.Counts["G2-item"] != 1 {
			t.Errorf("%s: %v, %v", append, l, r.Counts)
		}
	}
}

// TestManyLost: where too many readers miss too many elements, the levels that hang on that
// are refuted or unknown, but never said to hold.
func TestManyLost(t *testing.T) {
	var b strings.Builder
	for i := range 1100 {
		fmt.Fprintf(&b, "p%d 0..9 ax%d\np%d 0..9 rx=\n", i, i, 2000+i)
	}
	concurrent, err := ListAppend(t.Context(), parse(t, b.String()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if l := concurrent.Lattice; l[graph.StrictSerializable] != graph.Undecided ||
		l[graph.Serializable] != graph.Undecided || l[graph.ReadAtomic] != graph.Holds {
		t.Errorf("%v, %v", l, concurrent.Counts)
	}
	later, err := ListAppend(t.Context(), parse(t, b.String()+"p9 10..11 rx="), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if l := later.Lattice; l[graph.StrictSerializable] != graph.Refuted || later.Counts[Lost] != 1100 {
		t.Errorf("%v, %v", l, later.Counts)
	}
}
