package txn

import (
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/rw"
	"github.com/ordeal-dev/ordeal/history"
)

// TestElleRegisters compares the levels with brute force and with what Elle said of random
// histories and those of its own tests, in $ORDEAL_CORPORA/elle.
func TestElleRegisters(t *testing.T) {
	seen := map[string]int{}
	if !eachRecorded(t, "rw-register", func(r recorded) { compareRegisters(t, r, seen) }) {
		return
	}
	t.Log(seen)
	if seen["histories"] != 1443 || seen["in an order that is given"] != 2 {
		t.Errorf("%v: want 1443 histories, and 2 that are not judged", seen)
	}
}

func compareRegisters(t *testing.T, r recorded, seen map[string]int) {
	t.Helper()
	h, err := r.history()
	if err != nil { // two operations of one process at a time
		seen["not joined"]++
		return
	}
	var o Options
	switch {
	case r.Opts["linearizable-keys?"] == true:
		o.Keys = rw.KeysLinearizable
	case r.Opts["sequential-keys?"] == true:
		o.Keys = rw.KeysSequential
	}
	report, err := RWRegister(t.Context(), h, o)
	if err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	if strings.Contains(r.Name, "transaction-order-2") {
		// Elle is told in which order these transactions came, we are not.
		seen["in an order that is given"]++
		return
	}
	seen["histories"]++
	for _, name := range r.Models["strict-serializable"].Anomalies {
		plain := []Type{G1a, G1b, Internal}
		aborted := name == "G1b" && report.Counts[G1a] > 0 // Elle counts such a read twice
		if slices.Contains(plain, Type(name)) && report.Counts[Type(name)] == 0 && !aborted {
			t.Errorf("%s: %v, but Elle says %s\n%s", r.Name, report.Counts, name, show(h))
		}
	}
	if r.Truth != nil {
		compareTruth(t, r, h, seen)
	}
	for l, name := range elleNames() {
		e := r.Models[name]
		valid, decided := e.Valid.(bool)
		holds := report.Lattice[l] == graph.Holds
		switch {
		case !decided || valid == holds:
		case valid: // Elle does not try all orders of versions
			seen["refuted, Elle does not: "+name]++
		default:
			t.Errorf("%s: %s is %v with %v, but Elle says %v\n%s", r.Name, l, report.Lattice[l],
				report.Counts, e, show(h))
		}
	}
}

// compareTruth compares with brute force, which knows of no order of keys.
func compareTruth(t *testing.T, r recorded, h *history.History, seen map[string]int) {
	t.Helper()
	report, err := RWRegister(t.Context(), h, Options{})
	if err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	for l, want := range map[graph.Level]bool{
		graph.Serializable: r.Truth.Serializable, graph.StrictSerializable: r.Truth.Strict,
	} {
		if (report.Lattice[l] == graph.Holds) != want {
			t.Errorf("%s: %s is %v, in truth %v: %v\n%s", r.Name, l, report.Lattice[l], want,
				report.Counts, show(h))
		}
		if !want {
			seen["not "+l.String()]++
		}
	}
}
