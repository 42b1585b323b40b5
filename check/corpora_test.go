package check

import (
	"compress/gzip"
	"encoding/json"
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
				compareEngines(t, r.model, h, r.bad(name), false)
			})
		}
	}
}

// TestRecordedEtcd compares all engines on the histories of etcd. They are in the module
// cache, too, so this is no second reading of the verdicts.
func TestRecordedEtcd(t *testing.T) {
	root := os.Getenv("ORDEAL_CORPORA")
	if root == "" {
		t.Skip("no corpora: ORDEAL_CORPORA is not set")
	}
	verdicts, err := os.ReadFile(filepath.Join(root, "porcupine-etcd", "VERDICTS.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(verdicts)) {
		name, verdict, _ := strings.Cut(strings.TrimSpace(line), "\t")
		t.Run(name, func(t *testing.T) {
			h, err := loadEtcd(filepath.Join(root, "porcupine-etcd", name))
			if err != nil {
				t.Fatal(err)
			}
			compareEngines(t, "cas-register", h, verdict == "not-linearizable", true)
		})
		n++
	}
	if n != 102 {
		t.Errorf("%d verdicts, want 102", n)
	}
}

// TestRecordedRandom compares all engines with Knossos on small random histories.
func TestRecordedRandom(t *testing.T) {
	root := os.Getenv("ORDEAL_CORPORA")
	if root == "" {
		t.Skip("no corpora: ORDEAL_CORPORA is not set")
	}
	file, err := os.Open(filepath.Join(root, "knossos-random", "random.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(plain)
	for lines.More() {
		var c struct {
			Name, Model string
			Ops         []struct {
				Process int
				Type, F string
				Value   json.RawMessage
			}
			Expected struct{ Valid bool }
		}
		if err := lines.Decode(&c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.Name, func(t *testing.T) {
			events := make([]history.Event, len(c.Ops))
			for i, o := range c.Ops {
				v, err := history.ParseValue(o.Value)
				if err != nil {
					t.Fatal(err)
				}
				events[i] = history.Event{Process: history.Process(o.Process),
					Type: eventTypes[o.Type], F: history.F(o.F), Value: v}
				if o.F == "read" && o.Type == "ok" && v.IsNil() {
					events[i].Type = history.Info // Knossos takes nil for any value
				}
			}
			h, err := history.New(events...)
			if err != nil {
				t.Fatal(err)
			}
			compareEngines(t, c.Model, h, !c.Expected.Valid, false)
		})
	}
}

var eventTypes = map[string]history.Type{
	"invoke": history.Invoke, "ok": history.OK, "fail": history.Fail, "info": history.Info,
}

// compareEngines lets every engine decide a history of which the truth is known. All
// but the default may give up.
func compareEngines(t *testing.T, model string, h *history.History, bad, refusals bool) {
	t.Helper()
	want := Valid
	if bad {
		want = Invalid
	}
	for _, engine := range Engines() {
		o := Options{Engine: engine, Counterexamples: -1, Refusals: refusals}
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
