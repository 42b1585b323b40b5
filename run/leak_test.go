package run

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
)

// TestRunsInARow leaves no goroutine and no open file behind, however many runs there are:
// a soak makes thousands. ORDEAL_RUNS says how many. It is not parallel, because it counts
// what the process has.
func TestRunsInARow(t *testing.T) {
	longtest.Only(t)
	runs := 2
	if text := os.Getenv("ORDEAL_RUNS"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	target, err := BuildTarget(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := Default()
	cfg.Store, cfg.Target, cfg.Schedule = filepath.Join(dir, "store"), target,
		filepath.Join(dir, "faults.jsonl")
	cfg.Protocol, cfg.Workload, cfg.Nodes, cfg.Concurrency = "quorum", "register", 3, 3
	cfg.Rate, cfg.TimeLimit = 300, time.Second
	steps := `{"at":"50ms","for":"200ms","fault":"partition","shape":"isolate","nodes":["n1"]}
{"at":"100ms","for":"100ms","fault":"kill","nodes":["n2"]}
`
	if err := os.WriteFile(cfg.Schedule, []byte(steps), 0o644); err != nil {
		t.Fatal(err)
	}
	once := func() {
		t.Helper()
		if _, err := Run(t.Context(), cfg, testEnv(t)); err != nil {
			t.Fatal(err)
		}
	}
	once() // what is made once and stays, such as connections to look names up
	goroutines, files := runtime.NumGoroutine(), openFiles()
	for range runs {
		once()
	}
	// What has said that it is done is still there for a moment.
	tick, late := time.NewTicker(10*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for runtime.NumGoroutine() > goroutines || openFiles() > files {
		select {
		case <-tick.C:
		case <-late:
			buf := make([]byte, 1<<18)
			t.Fatalf("after %d runs %d goroutines, %d before; %d open files, %d before:\n%s", runs,
				runtime.NumGoroutine(), goroutines, openFiles(), files, buf[:runtime.Stack(buf, true)])
		}
	}
}

// openFiles counts the descriptors of this process, 0 where that cannot be known.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
