package nemesis

import (
	"path/filepath"
	"testing"
)

// TestExamples reads every scenario of examples/, and every schedule of the tests in
// containers.
func TestExamples(t *testing.T) {
	for _, pattern := range []string{"../examples/scenarios/*.jsonl", "../.ci/faults/*.jsonl"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) < 3 {
			t.Errorf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			steps, err := ReadScheduleFile(file)
			if err != nil {
				t.Error(err)
				continue
			}
			b := newBench(t, 5)
			b.env.Acks = func() int64 { return 0 }
			if _, err := NewRunner(b.env, steps); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
