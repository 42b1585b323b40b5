package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/check/txn"
)

func small(anomaly string) plan {
	return plan{txns: 3000, clients: 10, steps: 4, keys: 5, appends: 16, crashed: 0.02, seed: 7,
		anomaly: anomaly, plant: 5}
}

// TestGenerated: what is generated shows what was planted, and nothing else.
func TestGenerated(t *testing.T) {
	for anomaly, want := range map[string]string{
		none:       "",
		staleRead:  "map[G-single-item-realtime:5]",
		lostAppend: "map[G-single-item-realtime:5 lost:5]",
		writeSkew:  "map[G2-item:5]",
		lostUpdate: "map[G-single-item:5 lost-update:5]",
		dirtyRead:  "map[G1a:5]",
		longFork:   "map[G-nonadjacent-item:5]",
	} {
		t.Run(anomaly, func(t *testing.T) {
			h := generate(small(anomaly))
			r, err := txn.ListAppend(t.Context(), h, txn.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if want == "" {
				want = "map[]"
			}
			if got := fmt.Sprint(r.Counts); got != want {
				t.Errorf("found %s, want %s", got, want)
			}
			if r.Stats.Resolved == 0 || r.Stats.Resolved == r.Stats.Crashed {
				t.Errorf("of %d crashed transactions %d were seen", r.Stats.Crashed, r.Stats.Resolved)
			}
		})
	}
}

func TestMeasure(t *testing.T) {
	var out strings.Builder
	err := measure([]string{"-txns", "2000", "-repeat", "1", "-anomaly", longFork, "-plant", "3",
		"-level", "snapshot-isolation"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"invalid in", "serializable false", "3 G-nonadjacent-item"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if err := measure([]string{"-level", "high"}, &out); err == nil {
		t.Error("accepted a level that there is not")
	}
}

func BenchmarkListAppend(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("txns=%d", n), func(b *testing.B) {
			h := generate(plan{txns: n, clients: 50, steps: 4, keys: 10, appends: 32, crashed: 0.01,
				seed: 1, anomaly: none})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := txn.ListAppend(context.Background(), h, txn.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*b.N), "ns/txn")
		})
	}
}
