package run

import (
	"io"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/reports"
)

// TestRendered: a defect of a renderer is an error beside the verdict.
func TestRendered(t *testing.T) {
	err := rendered(io.Discard, reports.Run{}, func(io.Writer, reports.Run) error {
		panic("no such column")
	})
	if err == nil || !strings.Contains(err.Error(), "panic: no such column") {
		t.Errorf("%v", err)
	}
}

// TestRoaming: of a client that goes from node to node nobody may say that it talks to one.
func TestRoaming(t *testing.T) {
	for name, want := range map[string]bool{"session": true, "register": false, "none": false} {
		if got := roaming(Test{Config: Config{Workload: name}}); got != want {
			t.Errorf("%s: roaming %v, want %v", name, got, want)
		}
	}
}
