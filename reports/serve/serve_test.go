package serve

import (
	"archive/tar"
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/ordeal-dev/ordeal/reports/live"
)

// list is what /api/v1/runs answers.
type list struct {
	Total int
	Runs  []struct{ ID, State, Verdict, Href, Reason string }
}

// TestList filters and sorts.
func TestList(t *testing.T) {
	s := serve(t, newStore(t, samples()...))
	for query, want := range map[string]string{
		"":                               "5 4 3 2 1",
		"?system=etcd":                   "4 3",
		"?workload=register&verdict=":    "5 2 1",
		"?verdict=invalid":               "2",
		"?verdict=unjudged":              "4",
		"?verdict=running":               "5",
		"?fault=clock":                   "3",
		"?seed=9":                        "4 3",
		"?since=2026-03-03":              "5 4 3",
		"?until=2026-03-02":              "2 1",
		"?since=2026-03-02T12:00:01Z":    "5 4 3",
		"?q=MP-bug":                      "2",
		"?sort=seed&up=1":                "1 2 4 3 5",
		"?sort=started&up=1":             "1 2 3 4 5",
		"?sort=operations":               "1 2 3 5 4",
		"?limit=2&page=2":                "3 2",
		"?limit=2&page=9":                "",
		"?verdict=valid&system=etcd&q=x": "",
	} {
		var got list
		s.object("/api/v1/runs"+query, &got)
		var stamps []string
		for _, r := range got.Runs {
			_, stamp, _ := strings.Cut(r.ID, "/")
			stamps = append(stamps, stamp)
		}
		if got := strings.Join(stamps, " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
		if answer, body := s.get("/" + query); answer.StatusCode != 200 ||
			strings.Count(body, "<tr data-href") == 0 && want != "" && !strings.Contains(query, "limit") {
			t.Errorf("the page of %s: %d", query, answer.StatusCode)
		}
	}
	for _, bad := range []string{"sort=x", "verdict=good", "seed=-1", "since=yesterday", "page=0",
		"limit=1000000", "limit=x"} {
		if answer, body := s.get("/api/v1/runs?" + bad); answer.StatusCode != 400 ||
			!strings.Contains(body, `"error":`) {
			t.Errorf("%s: %d %s", bad, answer.StatusCode, body)
		}
	}
}

// TestPages: every page is there, and whole.
func TestPages(t *testing.T) {
	s := serve(t, newStore(t, samples()...))
	for path, want := range map[string]string{
		"/":                           "1 to 5 of 5",
		"/?verdict=unknown":           "1 to 1 of 1",
		"/trends":                     "bug mp-bug",
		"/map":                        "bug mp-bug",
		"/runs/paxos-register/2/":     "checker test --seed 7",
		"/runs/etcd-bank/4/":          "unjudged",
		"/runs/paxos-register/5/":     "Watch it",
		"/runs/paxos-register/5/live": "since 4.0 s",
		"/runs/paxos-register/1/live": "It has ended",
		"/runs/etcd-bank/4/live":      "no sign of life",
		"/compare?run=paxos-register/1&run=paxos-register/2": "≠",
		"/compare?a=paxos-register/1&b=etcd-bank/4":          "<polyline",
		"/runs/paxos-register/1/files/nodes/n1/node.log":     "log of n1",
		"/assets/serve.js": "EventSource",
	} {
		answer, body := s.get(path)
		if answer.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, %q is missing in\n%.3000s", path, answer.StatusCode, want, body)
		}
		if answer.Header.Get("X-Content-Type-Options") != "nosniff" ||
			answer.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: headers %v", path, answer.Header)
		}
	}
	if answer, _ := s.get("/latest"); answer.Header.Get("Location") != "/runs/paxos-register/5/" {
		t.Errorf("latest: %v", answer.Header)
	}
	for path, want := range map[string]int{
		"/nope": 404, "/runs/x/1/": 404, "/runs/paxos-register/9/": 404, "/api/v1/nope": 404,
		"/compare": 400, "/compare?run=paxos-register/1": 400, "/compare?a=x/1&b=y/2": 404,
		"/assets/serve.go": 404, "/runs/paxos-register/1/files/none": 404,
	} {
		if answer, body := s.get(path); answer.StatusCode != want || body == "" {
			t.Errorf("%s: %d, want %d", path, answer.StatusCode, want)
		}
	}
	if answer, _ := s.ask("POST", "/", ""); answer.StatusCode == 200 {
		t.Error("POST is answered")
	}
	empty := serve(t, newStore(t))
	for path, want := range map[string]int{"/": 200, "/trends": 200, "/map": 200, "/latest": 404} {
		if answer, _ := empty.get(path); answer.StatusCode != want {
			t.Errorf("%s of an empty store: %d", path, answer.StatusCode)
		}
	}
	if _, err := New(Config{Store: filepath.Join(t.TempDir(), "none"), Now: time.Now}); err == nil {
		t.Error("a store that is not there")
	}
}

// TestAPI: programs get the same.
func TestAPI(t *testing.T) {
	s := serve(t, newStore(t, samples()...))
	var run struct {
		ID, State, Verdict, Archive string
		Operations                  int
		Test                        struct{ Nodes []string }
		Results                     struct{ Parts []struct{ Name string } }
		Files                       []fileRow
	}
	s.object("/api/v1/runs/paxos-register/2", &run)
	if run.Verdict != "invalid" || run.Operations != 150 || len(run.Test.Nodes) != 2 ||
		len(run.Results.Parts) != 2 || len(run.Files) != 6 {
		t.Errorf("got %+v", run)
	}
	var series struct {
		End     float64
		Buckets []live.Bucket
		Faults  []struct{ From, To float64 }
	}
	s.object("/api/v1/runs/paxos-register/1/series", &series)
	if len(series.Buckets) != 10 || series.Buckets[3].OK != 18 || series.Buckets[3].P50 < 9 ||
		series.Buckets[3].P50 > 11 || len(series.Faults) != 2 || series.Faults[1].To != series.End {
		t.Errorf("got %+v", series)
	}
	var snap live.Snapshot
	s.object("/api/v1/runs/paxos-register/5/live", &snap)
	if snap.State != "running" || snap.Planned != 20 || snap.Counts.OK != 108 ||
		len(snap.Active) != 1 || snap.Matrix.Links[0][1] != live.Cut ||
		snap.Matrix.Links[1][0] != live.Clean || len(snap.Finds) != 1 {
		t.Errorf("got %+v", snap)
	}
	// 200 operations were judged in 2 s; about 400 are to be expected of this run.
	if snap.Check.Expected < 3 || snap.Check.Expected > 5 || snap.Check.Limit != 60 {
		t.Errorf("the check: %+v", snap.Check)
	}
	var trends struct{ Cells []cell }
	s.object("/api/v1/trends", &trends)
	if len(trends.Cells) != 3 || trends.Cells[0].Invalid != 1 || trends.Cells[2].Valid != 1 {
		t.Errorf("got %+v", trends)
	}
	var two struct{ Facts, Checkers, Measures []pair }
	s.object("/api/v1/compare?a=paxos-register/1&b=paxos-register/2", &two)
	if len(two.Facts) < 10 || !two.Facts[0].Diffs || len(two.Checkers) != 2 || len(two.Measures) < 5 {
		t.Errorf("got %+v", two)
	}
}

// TestArchive packs a whole run, and nothing that it only points to.
func TestArchive(t *testing.T) {
	dir := newStore(t, samples()...)
	run := filepath.Join(dir, "paxos-register", "1")
	secret := filepath.Join(dir, "..", "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("secret"), 0o600),
		os.Symlink(secret, filepath.Join(run, "link")),
		syscall.Mkfifo(filepath.Join(run, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	answer, body := serve(t, dir).get("/runs/paxos-register/1/archive")
	got := answer.Header.Get("Content-Disposition")
	if got != `attachment; filename=paxos-register-1.tar.zst` {
		t.Errorf("the name is %s", got)
	}
	z, err := zstd.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	packed := map[string]bool{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(h.Name, "paxos-register-1/")
		want, err := os.ReadFile(filepath.Join(run, name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %v", h.Name, err)
		}
		packed[name] = true
	}
	for _, name := range []string{"test.json", "history.jsonl", "nodes/n1/node.log", "report.html"} {
		if !packed[name] {
			t.Errorf("%s is missing", name)
		}
	}
	if packed["link"] || packed["pipe"] {
		t.Error("links or pipes are packed")
	}
}

// TestWatching follows a run of another process from its directory, until it ends.
func TestWatching(t *testing.T) {
	all := samples()
	dir := newStore(t, all...)
	run := filepath.Join(dir, "paxos-register", "5")
	s := serve(t, dir)
	answer, err := http.Get(s.URL + "/api/v1/runs/paxos-register/5/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("the type is %s", got)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	next := func() (name string, snap live.Snapshot) {
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = text
			}
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(text), &snap); err != nil {
					t.Fatal(err)
				}
				return name, snap
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return "", snap
	}
	if name, snap := next(); name != "status" || snap.Counts.OK != 108 {
		t.Errorf("%s %+v", name, snap.Counts)
	}
	f, err := os.OpenFile(filepath.Join(run, "history.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, text := range []string{
		`{"index":900,"time":7000000000,"process":1,"type":"invoke","f":"read","val`,
		"ue\":null}\n" +
			`{"index":901,"time":7100000000,"process":1,"type":"ok","f":"read","value":1}` + "\n",
	} {
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		for want := int64(108 + i); ; {
			if _, snap := next(); snap.Counts.OK == want {
				break
			}
		}
	}
	err = errors.Join(live.Remove(run),
		os.WriteFile(filepath.Join(run, "results.json"), []byte(`{"verdict":"valid"}`), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	for name := ""; name != "end"; {
		name, _ = next()
	}
	for lines.Scan() {
		if lines.Text() != "" {
			t.Errorf("after the end: %s", lines.Text())
		}
	}
}

// TestLarge answers for many runs: the pages, not the first reading of the store.
func TestLarge(t *testing.T) {
	dir := newStore(t)
	b := []byte(`{"name":"n","system":"s","config":{"workload":"w"}}`)
	for i := range 2000 {
		d := filepath.Join(dir, fmt.Sprint("test-", i%10), fmt.Sprint(i))
		if err := errors.Join(os.MkdirAll(d, 0o755),
			os.WriteFile(filepath.Join(d, "test.json"), b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, dir)
	best := time.Hour
	for range 5 {
		began := time.Now()
		if answer, body := s.get("/?sort=system"); answer.StatusCode != 200 ||
			!strings.Contains(body, "1 to 100 of 2000") {
			t.Fatalf("%d", answer.StatusCode)
		}
		best = min(best, time.Since(began))
	}
	if best > 300*time.Millisecond {
		t.Errorf("a list of 2000 runs takes %v", best)
	}
}

// TestNear: measures of two runs are alike up to a tenth, words only if they are the same.
func TestNear(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"1,000", "1,050", true}, {"1,000", "1,200", false}, {"70ms", "72ms", true},
		{"70ms", "1.2s", false}, {"5.25 ms, 6 ms", "5.3 ms, 6 ms", true},
		{"5 ms", "5 s", false}, {"5 ms", "5", false}, {"0", "0", true}, {"0", "1", false},
		{"", "7", false}, {"none", "all", false},
	} {
		if got := near(test.a, test.b); got != test.want {
			t.Errorf("near(%q, %q) = %v", test.a, test.b, got)
		}
	}
	rows := nearly([]pair{newPair("ok", "100", "101"), newPair("ok", "100", "200")})
	if rows[0].Diffs || !rows[1].Diffs {
		t.Errorf("%+v", rows)
	}
}

// TestShortened: a list shows few families of faults, and no checker that only passes on what
// another one said.
func TestShortened(t *testing.T) {
	if got := few([]string{"a", "b", "c", "d"}); got != "a, b, c, d" {
		t.Errorf("few of four: %s", got)
	}
	if got := few([]string{"a", "b", "c", "d", "e"}); got != "a, b, c and 2 more" {
		t.Errorf("few of five: %s", got)
	}
	for _, test := range []struct{ reason, workload, want string }{
		{"decide: decide: 11 violations", "decide", "11 violations"},
		{"register: linearizable: no", "register", "linearizable: no"},
		{": odd", "", ": odd"}, {"registers: no", "register", "registers: no"},
	} {
		if got := why(test.reason, test.workload); got != test.want {
			t.Errorf("why(%q, %q) = %q, want %q", test.reason, test.workload, got, test.want)
		}
	}
}
