package main

import (
	"strings"
	"testing"
)

// TestMeasure does a short run of each workload.
func TestMeasure(t *testing.T) {
	for _, name := range []string{"register", "cas-register", "set-full", "counter"} {
		var out strings.Builder
		args := []string{"-workload", name, "-ops", "2000", "-repeat", "2", "-threads", "3"}
		if err := measure(args, &out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.Count(out.String(), "ops/s") != 2 || !strings.HasPrefix(out.String(), name) {
			t.Errorf("%s: output is\n%s", name, out.String())
		}
	}
	for _, name := range []string{"register", "cas-register", "list-append", "unique-ids"} {
		var out strings.Builder
		args := []string{"-workload", name, "-ops", "2000", "-repeat", "1", "-threads", "3", "-watch",
			"-latency", "100us"}
		if err := measure(args, &out); err != nil {
			t.Fatalf("%s, watched: %v", name, err)
		}
		if strings.Count(out.String(), "ops/s") != 2 || !strings.Contains(out.String(), "\nwatched: ") {
			t.Errorf("%s: output is\n%s", name, out.String())
		}
	}
	if err := measure([]string{"-workload", "nothing"}, &strings.Builder{}); err == nil {
		t.Error("an unknown workload was measured")
	}
}
