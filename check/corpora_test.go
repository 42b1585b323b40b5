package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// recorded is a directory of histories in $ORDEAL_CORPORA and what is known of them.
type recorded struct {
	dir, model string
	// bad tells by a file's name whether it is not linearizable.
	bad func(name string) bool
}

// TestRecordedHistories compares all engines with what others said of recorded
// histories. These are not a part of this project; $ORDEAL_CORPORA names the directory.
func TestRecordedHistories(t *testing.T) {
	root := os.Getenv("ORDEAL_CORPORA")
	if root == "" {
		t.Skip("no corpora: ORDEAL_CORPORA is not set")
	}
	all := func(verdict bool) func(string) bool { return func(string) bool { return verdict } }
	for _, r := range []recorded{
		{"porcupine-kv", "text", func(name string) bool { return strings.Contains(name, "-bad") }},
		{"knossos/cas-register/good", "cas-register", all(false)},
		{"knossos/cas-register/bad", "cas-register", all(true)},
		{"knossos/mutex/bad", "mutex", all(true)},
	} {
		files, err := filepath.Glob(filepath.Join(root, r.dir, "*"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d files, %v", r.dir, len(files), err)
		}
		for _, f := range files {
			name := filepath.Base(f)
			if strings.HasSuffix(name, ".md") || strings.HasSuffix(name, ".tsv") {
				continue
			}
			t.Run(r.dir+"/"+name, func(t *testing.T) {
				h, err := history.Load(f)
				if err != nil {
					t.Fatal(err)
				}
				compareEngines(t, r.model, h, r.bad(name))
			})
		}
	}
}

// compareEngines lets every engine decide a history of which the truth is known. All
// but the default may give up.
func compareEngines(t *testing.T, model string, h *history.History, bad bool) {
	t.Helper()
	want := Valid
	if bad {
		want = Invalid
	}
	for _, engine := range Engines() {
		o := Options{Engine: engine, Counterexamples: -1}
		if engine != engineAuto {
			o.Timeout = 2 * time.Second
		}
		start := time.Now()
		r := Linearizable(model, o).Check(t.Context(), h)
		t.Logf("%s: %s in %v", engine, r.Verdict, time.Since(start))
		unsure := r.Verdict == Unknown &&
			(engine != engineAuto || strings.HasPrefix(r.Reason, "nothing to check"))
		if r.Verdict != want && !unsure {
			t.Errorf("engine %s: %s, want %s: %s", engine, r.Verdict, want, r.Reason)
		}
	}
}
