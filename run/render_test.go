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
