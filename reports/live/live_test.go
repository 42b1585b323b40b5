package live

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/history"
)

// TestHistogram: quantiles are within a sixteenth of the true ones.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 1<<40), 1, 50).Draw(t, "values")
		var h, other histogram
		for i, v := range values {
			if i%3 == 0 {
				other.add(v)
			} else {
				h.add(v)
			}
		}
		h.merge(&other)
		h.merge(nil)
		slices.Sort(values)
		for _, q := range []float64{0.5, 0.95, 0.99, 1} {
			want := float64(values[int(math.Ceil(q*float64(len(values))))-1]) / 1e6
			if got := h.quantile(q); math.Abs(got-want) > want/16+1e-9 {
				t.Fatalf("the %v quantile of %v is %v, want %v", q, values, got, want)
			}
		}
	})
	if got := (&histogram{}).quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// TestSeries: nothing is lost when pieces are merged, and rates are those of the time.
func TestSeries(t *testing.T) {
	s := NewSeries()
	const ops = 5000 // one a second: longer than there are pieces
	for i := range history.Time(ops) {
		at := i * 1e9
		s.Add(&history.Event{Time: at, Process: 1, F: "read"})
		e := history.Event{Time: at + 4e6, Process: 1, F: "read", Type: history.OK}
		if i%5 == 0 {
			e.Type = history.Info
		}
		s.Add(&e)
	}
	s.Add(&history.Event{Time: ops * 1e9, Process: 2, F: "read"})
	s.Add(&history.Event{Time: ops * 1e9, Process: history.Nemesis, F: "start"})
	if s.Counts != (Counts{OK: 4000, Info: 1000, Open: 1}) {
		t.Errorf("counts %+v", s.Counts)
	}
	buckets := s.Buckets()
	if len(buckets) > piecesMost || len(buckets) < piecesMost/2 {
		t.Errorf("%d pieces", len(buckets))
	}
	for _, b := range buckets[:len(buckets)-1] {
		if math.Abs(b.OK-0.8) > 0.2 || math.Abs(b.P50-4) > 0.25 || b.Fail != 0 {
			t.Fatalf("a piece is %+v", b)
		}
	}
}

// run writes a directory that looks like that of a run.
func run(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files[testFile] = `{"nodes":["n1","n2","n3"],"config":{"time_limit":60000000000,` +
		`"check_time":30000000000}}`
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestSilence: nothing succeeds although a majority is healthy.
func TestSilence(t *testing.T) {
	now := time.Now()
	dir := run(t, map[string]string{historyFile: `{"ordeal":"history","format":1}
{"index":0,"time":1000,"process":"nemesis","type":"info","f":"topology",` +
		`"value":{"healthy":["n1","n2"]}}
{"index":1,"time":2000,"process":0,"type":"invoke","f":"read","value":null}
not a line
`})
	f, err := Follow(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status Status
		want   int
	}{
		{Status{Phase: PhaseWorkload, Now: 4e9}, 0},
		{Status{Phase: PhaseWorkload, Now: 9e9}, 1},
		{Status{Phase: "set up", Now: 9e9}, 0},
	} {
		if err := Write(dir, c.status); err != nil {
			t.Fatal(err)
		}
		s, err := f.Look(now)
		if err != nil || len(s.Finds) != c.want || s.State != "running" || len(s.Healthy) != 2 {
			t.Errorf("%+v: %+v, %v", c.status, s.Finds, err)
		}
	}
	if s, err := f.Look(now.Add(time.Minute)); err != nil || s.State != "lost" || len(s.Finds) > 0 {
		t.Errorf("without a sign of life: %s %+v, %v", s.State, s.Finds, err)
	}
	if err := errors.Join(Remove(dir), Remove(dir)); err != nil || Alive(dir, now) {
		t.Errorf("removed: %v", err)
	}
	if _, err := Follow(t.TempDir()); err == nil {
		t.Error("a directory without a run is followed")
	}
}

// TestTail gives every line once, whatever pieces the file grows in.
func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var got []string
	tl := tail{path: path, buf: make([]byte, 16)}
	look := func() {
		t.Helper()
		if err := tl.read(func(line []byte) { got = append(got, string(line)) }); err != nil {
			t.Fatal(err)
		}
	}
	look() // not there yet
	text := "one\ntwo\n" + strings.Repeat("long", 10) + "\nthree\nfour"
	for end := 1; end <= len(text); end++ {
		if err := os.WriteFile(path, []byte(text[:end]), 0o644); err != nil {
			t.Fatal(err)
		}
		look()
	}
	if want := "one two three"; !strings.Contains(strings.Join(got, " "), "one two") ||
		got[len(got)-1] != "three" {
		t.Errorf("got %q, want %q, with the rest of the long line at most", got, want)
	}
}
