package run

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/workload"
)

// TestRushes: one at each begin and end of a fault, in order of time.
func TestRushes(t *testing.T) {
	const ms = time.Millisecond
	got := rushes([]nemesis.Step{
		{At: 2 * time.Second, For: 3 * time.Second}, {At: 4 * time.Second, For: 50 * ms},
	})
	want := []workload.Rush{
		{From: 1990 * ms, To: 2040 * ms}, {From: 3990 * ms, To: 4040 * ms},
		{From: 4040 * ms, To: 4090 * ms}, {From: 4990 * ms, To: 5040 * ms},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("rushes %v, want %v", got, want)
	}
}

// TestRush: when a fault begins, all clients are in the midst of an operation, although the
// rate would have hardly one in ten tests find any.
func TestRush(t *testing.T) {
	cfg := simulation(t, "paxos", 4)
	cfg.Rush, cfg.Rate = true, 20
	cfg.Schedule = filepath.Join(t.TempDir(), "faults.jsonl")
	step := `{"at":"5s","for":"2s","fault":"partition","shape":"isolate","nodes":["n1"],"seed":1}`
	if err := os.WriteFile(cfg.Schedule, []byte(step), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := simulate(t, cfg)
	h, err := history.Load(filepath.Join(out.Dir, historyFile))
	if err != nil {
		t.Fatal(err)
	}
	var faults []history.Time // begin and end
	for _, e := range h.Nemesis {
		if e.Type == history.Invoke {
			faults = append(faults, e.Time)
		}
	}
	if len(faults) != 2 {
		t.Fatalf("%d events of faults: %v", len(faults), h.Nemesis)
	}
	during, all := 0, 0
	for _, op := range h.Ops {
		if op.Call < faults[0] && op.Return > faults[0] {
			during++
		}
		if op.Call < faults[0]+history.Time(10*time.Second) {
			all++
		}
	}
	if during < cfg.Concurrency*2/3 {
		t.Errorf("%d operations were under way when the fault began, of %d clients",
			during, cfg.Concurrency)
	}
	if all > 1500 {
		t.Errorf("%d operations in 15 s at a rate of 20", all)
	}
}
