package soak

import (
	"slices"
	"testing"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/txn"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// TestEssence: sentences that tell the same of other values, keys, processes and times have
// the same essence, those that tell something else another one.
func TestEssence(t *testing.T) {
	groups := [][]string{
		{
			"Process 52 got read() = null at 43.580 s on key c66 although cas(null, 1) of process 30 " +
				"(acknowledged at 40.474 s) had replaced it, and nothing put null there after that.",
			"Process 0 got read() = 29 at 3.856 s on key c7 although write(34) of process 3 " +
				"(acknowledged at 3.746 s) had replaced it, and nothing put 29 there after that.",
		},
		{
			"Process 12 got read() = 16 at 3.957 s on key c4, but the only operation to put 16 there, " +
				"write(16) of process 7, had failed for certain by 3.956 s.",
			"Process 13 got read() = 10 at 19.923 s on key c30, but the only operation to put 10 " +
				"there, cas(3, 10) of process 5, had failed for certain by 18.461 s.",
		},
		{
			"Process 6's cas(13, 15) succeeded at 3.747 s on key c4 (called at 3.440 s), but no order of " +
				"the 3 operations allows it: the one that goes furthest has 2 of the others done, and " +
				"then the state is 14.",
			"Process 8's cas(20, 24) succeeded at 3.732 s on key c8 (called at 3.430 s), but no order of " +
				"the 5 operations allows it: the one that goes furthest has 4 of the others done, and " +
				"then the state is 22.",
		},
	}
	seen := map[string]bool{}
	for _, g := range groups {
		first := essence(g[0])
		for _, s := range g {
			if got := essence(s); got != first {
				t.Errorf("%q\nand %q", got, first)
			}
		}
		if seen[first] {
			t.Errorf("two groups have the essence %q", first)
		}
		seen[first] = true
	}
}

// TestShape: how many operations it took does not matter, nor where a circle is entered.
func TestShape(t *testing.T) {
	cycle := func(kinds ...check.EdgeKind) check.Counterexample {
		var c check.Counterexample
		for _, k := range kinds {
			c.Edges = append(c.Edges, check.Edge{Kind: k})
		}
		return c
	}
	for _, c := range []struct {
		what check.Counterexample
		want string
	}{
		{cycle(check.WW, check.RW, check.RW, check.WR), "circle of rw wr ww"},
		{cycle(check.RW, check.WR, check.WW), "circle of rw wr ww"},
		{cycle(check.RW, check.RW), "circle of rw"},
		{check.Counterexample{Ops: []check.Op{
			{F: "write", Type: "ok"}, {F: "cas", Type: "ok"}, {F: "write", Type: "fail"},
			{F: "read", Type: "ok", Culprit: true},
		}}, "read ok against fail, ok"},
		{check.Counterexample{Ops: []check.Op{{F: "read", Type: "ok"}}}, "no single one against ok"},
	} {
		if got := shape(c.what); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestGravest: of transactions the anomaly has Elle's name, and is one that the claim forbids.
func TestGravest(t *testing.T) {
	details := func(claimed graph.Level, found map[txn.Type]int) check.Result {
		return check.Result{Details: check.ListAppendDetails{Claimed: claimed, Anomalies: found}}
	}
	found := map[txn.Type]int{txn.G1a: 1, txn.LostUpdate: 5, txn.Type("G2-item"): 7}
	if got := gravest(details(graph.Serializable, found)); got != string(txn.G1a) {
		t.Errorf("%q, want %s", got, txn.G1a)
	}
	delete(found, txn.G1a)
	delete(found, txn.LostUpdate)
	if got := gravest(details(graph.SnapshotIsolation, found)); got != "" {
		t.Errorf("%q breaks no snapshot isolation", got)
	}
	if got := gravest(details(graph.Serializable, found)); got != "G2-item" {
		t.Errorf("%q, want G2-item", got)
	}
	if got := gravest(check.Result{Details: check.SetFullDetails{}}); got != "" {
		t.Errorf("%q of what is no transaction", got)
	}
}

// TestActiveFaults: those of the moment, by their families.
func TestActiveFaults(t *testing.T) {
	at := func(kind string, start, end int64) nemesis.FaultRecord {
		r := nemesis.FaultRecord{Step: nemesis.Step{Fault: kind}, Injected: true}
		r.Start, r.End = history.Time(start), history.Time(end)
		return r
	}
	faults := []nemesis.FaultRecord{
		at("loss", 0, 9), at("kill-all", 15, 25), at("partition", 30, 40), at("pause", 5, 50),
		{Step: nemesis.Step{Fault: "clock-jump"}, Skipped: "why"},
	}
	c := check.Counterexample{Ops: []check.Op{{Call: 10, Return: 20}, {Call: 18, Return: -1}}}
	if got, want := activeFaults(faults, c), []string{"kill", "pause"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
