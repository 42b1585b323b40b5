package check

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRedHerrings holds the scripts of surprising but correct behavior to their plan:
// beside each that must be valid stands one that must be invalid. What the scripts
// say is tested by TestCheckers.
func TestRedHerrings(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "red-herrings"))
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string][]string{}
	id := ""
	for line := range strings.Lines(string(b)) {
		if rest, found := strings.CutPrefix(line, "# rh-"); found {
			id, _, _ = strings.Cut(rest, ":")
		}
		for _, v := range []string{"valid", "unknown", "invalid"} {
			if strings.HasPrefix(line, v+": ") {
				verdicts[id] = append(verdicts[id], v)
			}
		}
	}
	for _, id := range []string{
		"late-effect", "info-never", "paused-read", "token-retry", "spurious-fail",
		"sequential-stale", "si-write-skew", "2pc-blocks", "lease-silence", "ttl-longer",
		"two-believers", "gaps", "minority-refuses", "append-order",
	} {
		got := verdicts[id]
		if !slices.Contains(got, "valid") || !slices.Contains(got, "invalid") ||
			slices.Contains(got, "unknown") {
			t.Errorf("rh-%s: verdicts %v, want valid and invalid and nothing else", id, got)
		}
	}
}
