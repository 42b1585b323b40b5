package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

// TestFullDiskIgnored: a node that acknowledges what a full disk did not take, and is killed a
// moment later, cannot read its log any more; one that stops at the full disk can.
func TestFullDiskIgnored(t *testing.T) {
	t.Parallel()
	for _, bug := range []string{"stor-enospc-ack", ""} {
		dir := t.TempDir()
		cfg := Default()
		cfg.Store, cfg.Schedule = filepath.Join(dir, "store"), filepath.Join(dir, "faults.jsonl")
		cfg.Cluster, cfg.Protocol, cfg.Workload, cfg.Bug = "sim", "primary", "set-full", bug
		cfg.Nodes, cfg.Rate, cfg.TimeLimit, cfg.Seed = 3, 200, 5*time.Second, 1
		steps := `{"at":"2s","for":"300ms","fault":"disk-full","nodes":["n2"]}` + "\n" +
			`{"at":"2.6s","for":"500ms","fault":"kill","nodes":["n2"]}` + "\n"
		if err := os.WriteFile(cfg.Schedule, []byte(steps), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := Run(t.Context(), cfg, testEnv(t))
		if err != nil {
			t.Fatal(err)
		}
		r := out.Result
		if found := r.Verdict == check.Invalid; found != (bug != "") {
			t.Errorf("bug %q: %v, %s", bug, r.Verdict, r.Reason)
		}
		if bug != "" && !strings.Contains(r.Reason, "did not start again") {
			t.Errorf("the reason is %s", r.Reason)
		}
	}
}
